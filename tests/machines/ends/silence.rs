//! Programs that take their time to start and to end.

use testbed::{Machine, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, deploy, write_ecosystem};

pub(crate) fn that_take_their_time_are_not_awaited_in_silence(machine: &mut Machine) {
    machine.write_app("graceful.js", "/srv/web");
    let awaits = |file: &str, then: &str| {
        format!(
            "{{ const timer = setInterval(() => {{ if (!require('fs').existsSync('{file}')) return; clearInterval(timer); {then}; }}, 50); }}"
        )
    };
    let late = awaits("/srv/go", "server.listen(3000)");
    deploy(machine, "graceful.js", "server.listen(3000);", &late);
    let deaf = awaits("/srv/end", "process.exit(0)");
    let deaf = format!("process.on('SIGINT', () => {deaf});");
    let stops = "process.on('SIGINT', () => server.close(() => process.exit(0)));";
    deploy(machine, "graceful.js", stops, &deaf);
    let lines = "listen_timeout = \"100s\"\nkill_timeout = \"100s\"\nparallel = 2\nsurge = 0";
    write_ecosystem(machine, "graceful.js", "2", lines);
    let starting = "web@0: started, but not READY yet; web@1: started, but not READY yet";
    let install = format!("rsgen install {ECOSYSTEM}");
    tells_meanwhile(machine, &install, &[(starting, "/srv/go")]);
    let stopping = "web@0: being stopped (stop-sigterm)";
    let starts = "web@0: started, but not READY yet";
    let told = [(stopping, "/srv/end"), (starts, "/srv/go")];
    tells_meanwhile(machine, "rsgen reload web", &told);
    let stopping = "waiting for 2 to finish; web@0: being stopped (stop-sigterm)";
    tells_meanwhile(machine, "rsgen stop web", &[(stopping, "/srv/end")]);
    tells_meanwhile(machine, "rsgen start web", &[(starting, "/srv/go")]);
    let third = "web@2: started, but not READY yet";
    tells_meanwhile(machine, "rsgen scale web 3", &[(third, "/srv/go")]);
    let stopping = "web@0: being stopped (stop-sigterm)";
    tells_meanwhile(machine, "rsgen pause web", &[(stopping, "/srv/end")]);
}

/// Runs a command that waits for programs, which wait for files: each is made once the command has told what it is waiting for.
fn tells_meanwhile(machine: &Machine, command: &str, told: &[(&str, &str)]) {
    machine.sh("rm -f /srv/go /srv/end /run/told").ok();
    let command = format!("exec {command} >/run/told 2>&1");
    let running = machine.spawn(&["sh", "-c", &command]);
    for (words, file) in told {
        wait_until(SOON, words, || {
            let told = machine.sh("grep 'web: waiting for ' /run/told").stdout;
            told.contains(words)
        });
        machine.write(file, "");
    }
    running.wait().ok();
}
