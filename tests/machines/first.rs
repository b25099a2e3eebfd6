//! The first start of an app: one that cannot succeed ends at once, and is told.

use testbed::runner::Spec;
use testbed::{Machine, specs};

use crate::cluster::{ECOSYSTEM, assert_exactly, write_ecosystem};
use crate::first;

pub(crate) const SPECS: &[Spec] = specs![
    first::a_wrong_port_ends_a_first_install_after_one_start,
    first::a_program_that_never_listens_ends_a_first_install_after_one_start,
    first::a_program_that_listens_a_little_late_serves_and_is_not_said_to_be_silent,
    first::a_first_install_tells_while_it_waits_what_the_program_dies_of,
];

/// Listens on 4000 first. Where `DATABASE` is set, it reaches the declared port later, as a program with a port for metrics does.
const METRICS: &str = "
import os, select, signal, socket
s = socket.create_server(('0.0.0.0', 4000))
if 'DATABASE' in os.environ:
    select.select([], [], [], float(os.environ['DATABASE']))
    t = socket.create_server(('::', 3000), family=socket.AF_INET6)
signal.pause()
";

fn a_wrong_port_ends_a_first_install_after_one_start(machine: &mut Machine) {
    machine.write("/srv/web/metrics.py", METRICS);
    write_ecosystem(machine, "metrics.py", "1", "listen_timeout = \"3s\"");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    let line = "the program listens on 0.0.0.0:4000, declared is [::]:3000; write `listen = \"0.0.0.0:4000\"`";
    let told = told.says(line).to_string();
    assert!(!told.contains("rehearsing"), "{told}");
    let journal = machine.journal("web@0");
    let starts = journal.lines().filter(|l| l.starts_with("Starting"));
    assert_eq!(
        starts.count(),
        2,
        "the second is the worker's alone: {journal}"
    );
    machine.run(&["rsgen", "list", "web"]).says(line);
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    // A program that reaches the declared port in its time comes up, after a first install that has failed as well.
    let never = "listen_timeout = \"1s\"\nmax_restarts = 2";
    write_ecosystem(machine, "metrics.py", "1", never);
    machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    machine.write(
        "/etc/systemd/system/web@.service.d/env.conf",
        "[Service]\nEnvironment=DATABASE=0\n",
    );
    machine.systemctl(&["daemon-reload"]).ok();
    machine.run(&["rsgen", "start", "web"]).ok();
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine
        .sh("rm -r /etc/systemd/system/web@.service.d; systemctl daemon-reload")
        .ok();
    // It has served by now, so that it is started again and again.
    machine.clear_journal();
    machine.run(&["rsgen", "start", "web"]).exits(1);
    let journal = machine.journal("web@0");
    let starts = journal.lines().filter(|l| l.starts_with("Starting"));
    assert_eq!(starts.count(), 3, "{journal}");
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    let later = "listen_timeout = \"30s\"\nenv.DATABASE = 2.5";
    write_ecosystem(machine, "metrics.py", "1", later);
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("waiting for");
    assert_exactly(machine, 1);
    // Once the app has served, a slow database is no reason to give it up at its first start.
    machine.run(&["rsgen", "stop", "web"]).ok();
    let slow = "listen_timeout = \"2s\"\nenv.DATABASE = 60\nmax_restarts = 2";
    write_ecosystem(machine, "metrics.py", "1", slow);
    machine.clear_journal();
    machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    let journal = machine.journal("web@0");
    let starts = journal.lines().filter(|l| l.starts_with("Starting"));
    assert_eq!(starts.count(), 3, "{journal}");
}

/// Programs of which no process that systemd watches ever listens on the declared port, or says that it is READY: each with keys of its app
/// and with what is told.
const SILENT: &[(&str, &str, &str)] = &[
    (
        "import signal; signal.pause()",
        "listen = 3000",
        "timed out: not READY within `listen_timeout`: the program never listened on [::]:3000; a longer `listen_timeout` is for",
    ),
    (
        "import signal, socket\ns = socket.socket()\ns.bind(('0.0.0.0', 4000))\nsignal.pause()",
        "listen = 3000",
        "the program never listened on [::]:3000, nor on 0.0.0.0:4000, which it has bound; a longer",
    ),
    (
        "import signal; signal.pause()",
        "listen = 3000\nready = \"notify\"",
        // The worker's status, which has the address, may come between.
        "timed out: not READY within `listen_timeout`: the program did not send `READY=1`, see sd_notify(3); ",
    ),
    (
        "import signal; signal.pause()",
        "listen = []\nready = \"notify\"",
        "timed out: not READY within `listen_timeout`: the program did not send `READY=1`, see sd_notify(3); a longer",
    ),
    // A daemon that takes its time, as on a busy machine.
    (
        "import os, select, signal, socket\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nif os.fork() == 0:\n    select.select([], [], [], 0.4)\n    os.setsid()\n    s = socket.create_server(('::', 3000), family=socket.AF_INET6)\n    signal.pause()\nos._exit(0)",
        "listen = 3000",
        "the program went to the background; run it in the foreground",
    ),
];

fn a_program_that_never_listens_ends_a_first_install_after_one_start(machine: &mut Machine) {
    for (program, keys, told) in SILENT {
        machine.write("/srv/web/silent.py", program);
        let text = format!(
            "[[apps]]\nname = \"web\"\ncwd = \"/srv/web\"\nscript = \"silent.py\"\nuser = \"www-data\"\nlisten_timeout = \"1s\"\n\
             kill_timeout = \"1s\"\n{keys}\n"
        );
        machine.write(ECOSYSTEM, &text);
        // An app that has never served is started as it is installed.
        for command in [&format!("install {ECOSYSTEM}"), "start web", "restart web"] {
            machine.clear_journal();
            let ended = machine.sh(&format!("rsgen {command}"));
            drop(ended.exits(1).says(told));
            let journal = machine.journal("web@0");
            let starts = journal.lines().filter(|l| l.starts_with("Starting"));
            let starts = starts.count();
            assert_eq!(starts, 2, "the second is the worker's: {command} {journal}");
        }
        machine.run(&["rsgen", "uninstall", "web"]).ok();
    }
}

/// systemd gives a start five seconds more than `listen_timeout`.
fn a_program_that_listens_a_little_late_serves_and_is_not_said_to_be_silent(machine: &mut Machine) {
    let late = "import select, signal, socket\nselect.select([], [], [], 2)\n\
        s = socket.create_server(('::', 3000), family=socket.AF_INET6)\nsignal.pause()\n";
    machine.write("/srv/web/late.py", late);
    write_ecosystem(machine, "late.py", "1", "listen_timeout = \"1s\"");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_eq!(machine.property("web@0.service", "StatusText"), "");
    let list = machine.run(&["rsgen", "list", "web"]).ok();
    assert!(!list.stdout.contains("never listened"), "{list}");
}

fn a_first_install_tells_while_it_waits_what_the_program_dies_of(machine: &mut Machine) {
    let crash =
        "import select, sys; select.select([], [], [], 0.4); sys.exit('Error: no database\\nbye')";
    machine.write("/srv/web/crash.py", crash);
    write_ecosystem(machine, "crash.py", "1", "max_restarts = 8");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    let told = told.says("deaths, the last: exited with status 1");
    let told = told
        .says("web: web@0 wrote: Error: no database")
        .to_string();
    assert_eq!(told.matches("wrote:").count(), 1, "{told}");
    // A database may come up later than the app.
    let journal = machine.journal("web@0");
    let starts = journal.lines().filter(|l| l.starts_with("Starting"));
    assert_eq!(starts.count(), 9, "{journal}");
}
