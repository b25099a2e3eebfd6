//! Apps that leave `listen` out: `rsgen install` starts the program once to see where it listens.

#![expect(clippy::expect_used, reason = "a spec without an answer has failed")]

use testbed::{Machine, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, write_ecosystem};

const INSTALLED: &str = "/etc/rsgen/web.toml";

/// Connects to every rehearsal, often, and reports an address of its own.
const STRANGER: &str = "
import glob, socket
open('/tmp/looks', 'w')
kept = []
while True:
    for path in glob.glob('/run/rsgen/:rehearsals/*.report'):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            s.connect(path)
            s.send(b'begun\\nfound tcp 1 0 0 0.0.0.0:6666\\nended well\\n')
            open('/tmp/connected', 'w')
            kept.append(s)
        except OSError:
            pass
";

/// Asserts that nothing of a rehearsal is left: no loaded or failed unit, no file, no process.
fn assert_nothing_left(machine: &Machine) {
    wait_until(SOON, "nothing is left of the rehearsal", || {
        let units = machine.sh("systemctl list-units --all --plain --no-legend '*:rehearsal*'");
        let files = machine
            .sh("ls /run/systemd/system /run/rsgen/:rehearsals | grep -e rehearsal -e report");
        units.stdout.is_empty() && files.stdout.lines().all(|l| l.ends_with("s:"))
    });
}

pub(crate) fn finds_the_address_whoever_has_it_and_is_not_repeated(machine: &mut Machine) {
    machine.write_app("python.py", "/srv/web");
    machine.sh("chmod +x /srv/web/python.py").ok();
    // The same program, started as PM2 would start it.
    machine
        .sh("systemd-run --unit=other /srv/web/python.py")
        .ok();
    wait_until(SOON, "the port is taken", || machine.get(3000).is_ok());
    let told = machine.sh("cd /srv/web && rsgen install python.py --name web -i 2");
    assert_ne!(told.status, 0, "the port is in use");
    assert!(!told.stdout.contains("create "), "{}", told.stdout);
    told.says("web: listens on 0.0.0.0:3000");
    assert_nothing_left(machine);
    machine.systemctl(&["stop", "other"]).ok();
    // Nothing was written, so another rehearsal has to find the address.
    let told = machine.sh("cd /srv/web && rsgen install python.py --name web -i 2");
    told.ok().says("rehearsing");
    let file = machine.read(INSTALLED);
    assert!(
        file.contains("# Found in a rehearsal") && file.contains("listen = \"0.0.0.0:3000\""),
        "{file}"
    );
    assert!(machine.get(3000).is_ok());
    assert_exactly(machine, 2);
    let again = machine.sh("cd /srv/web && rsgen install python.py --name web -i 2");
    assert!(!again.stdout.contains("rehearsing"), "{}", again.stdout);
    again.ok().says("nothing to do");
    assert_eq!(machine.read(INSTALLED), file);
    // Another rehearsal finds the same, whatever another user reports meanwhile.
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    machine.write("/srv/stranger.py", STRANGER);
    let stranger = ["setpriv", "--reuid=65534", "--clear-groups"];
    let _stranger = machine.spawn(&[&stranger[..], &["python3", "/srv/stranger.py"]].concat());
    wait_until(SOON, "the stranger", || {
        machine.sh("test -e /tmp/looks").status == 0
    });
    let told = machine.sh("cd /srv/web && rsgen install python.py --name web -i 2");
    told.ok().says("rehearsing");
    assert_eq!(machine.read(INSTALLED), file);
    machine.run(&["test", "-e", "/tmp/connected"]).ok();
}

pub(crate) fn is_over_when_its_command_is_killed(machine: &mut Machine) {
    // A program that never listens, and ignores the stop signal.
    let script =
        "process.on('SIGINT', () => {}); setInterval(() => {}, 1000); console.log('I run')";
    machine.write("/srv/web/mute.js", script);
    let text = "[[apps]]\nname = \"web\"\nscript = \"mute.js\"\nuser = \"www-data\"\nkill_timeout = \"1s\"\n";
    machine.write(ECOSYSTEM, text);
    let drop_in = "/run/systemd/system/web@.service.d/50-nice.conf";
    machine.write(drop_in, "[Service]\nNice=5\n");
    let install = machine.spawn(&["rsgen", "install", ECOSYSTEM]);
    wait_until(SOON, "the program runs", || {
        let told = machine.journalctl(&["-t", "web"]);
        told.stdout.contains("I run")
    });
    machine.sh("pkill -KILL -x rsgen").ok();
    install.wait();
    assert_nothing_left(machine);
    wait_until(SOON, "its processes to end", || {
        machine.sh("pgrep -u www-data").status != 0
    });
    // Left alone, a program that binds nothing is an app without a port.
    machine.write(ECOSYSTEM, &format!("{text}listen_timeout = \"1s\"\n"));
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("web: listens nowhere");
    assert_nothing_left(machine);
    assert!(machine.read(INSTALLED).contains("listen = []"));
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do");
    assert_exactly(machine, 1);
}

/// Python's servers bind IPv4 only, whereas a port alone at first stands for both families.
pub(crate) fn a_port_alone_is_bound_as_the_program_binds_it(machine: &mut Machine) {
    machine.write_app("python.py", "/srv/web");
    write_ecosystem(machine, "python.py", "2", "");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let told = told
        .says("web: the program binds 0.0.0.0:3000, declared is [::]:3000\n")
        .says("web: listens on 0.0.0.0:3000");
    for alarm in ["error", "Traceback", "deaths"] {
        assert!(!told.stdout.contains(alarm), "{}", told.stdout);
    }
    let journal = machine.journal("web");
    let line = "none of 2 instances serves: the program binds 0.0.0.0:3000, declared is";
    assert!(
        journal.contains(line) && !journal.contains("deaths"),
        "{journal}"
    );
    assert_exactly(machine, 2);
    assert!(machine.get(3000).is_ok());
    // The history has what was found, and no failure.
    wait_until(SOON, "the start and the install in the history", || {
        let history = machine.run(&["rsgen", "history", "web"]).ok().stdout;
        let is_told = history.contains("listens on 0.0.0.0:3000, as was found, ");
        is_told && history.lines().skip(1).count() == 2
    });
    let again = machine.run(&["rsgen", "install", ECOSYSTEM]);
    again.ok().says("nothing to do");
    // Whoever tidies the installed file up asks for no other address.
    machine
        .sh(&format!("sed -i '/# Found in a rehearsal/d' {INSTALLED}"))
        .ok();
    let again = machine.run(&["rsgen", "install", ECOSYSTEM]);
    assert!(!again.ok().stdout.contains("socket"), "the socket stays");
    assert_exactly(machine, 2);

    // A full address is taken literally, so the first start that is refused is the last.
    let text = machine
        .read(ECOSYSTEM)
        .replace("listen = 3000", "listen = \"[::]:3000\"");
    machine.write(ECOSYSTEM, &text);
    let install = || machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert!(install().stderr.contains("--replace-listener"), "it serves");
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine.clear_journal();
    let told = install();
    assert!(
        !told.stderr.contains("--replace-listener"),
        "{}",
        told.stderr
    );
    let journal = machine.journal("web@0");
    let starts = journal.lines().filter(|l| l.starts_with("Starting"));
    assert_eq!(starts.count(), 2, "the second is the worker's alone");
    machine
        .run(&["rsgen", "list", "web"])
        .says("declared is [::]:3000");
}

pub(crate) fn a_further_port_is_told_at_the_first_start(machine: &mut Machine) {
    let script = "const http = require('http'); \
        http.createServer().listen(9100, () => http.createServer().listen(3000))";
    machine.write("/srv/web/two.js", script);
    write_ecosystem(machine, "two.js", "1", "");
    let line = "9100 is bound as well: add it to `listen`, or give each instance its own";
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says(&format!("web: {line}"));
    let failed = machine.run(&["rsgen", "reload", "web"]).exits(1);
    drop(failed);
    machine
        .journalctl(&["-t", "web", "-o", "cat"])
        .says("the program asked for 9100, which another instance may have");
    let text = machine
        .read(ECOSYSTEM)
        .replace("listen = 3000", "listen = [3000, 9100]");
    machine.write(ECOSYSTEM, &text);
    // The instance has the port that systemd is to open.
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .exits(1)
        .says("`web` listens on 3000; moving it to 3000, 9100 closes 3000 first")
        .says("add --replace-listener")
        .says("the program has 9100 itself, and gives it up when it is stopped");
    machine
        .run(&["rsgen", "install", ECOSYSTEM, "--replace-listener"])
        .ok();
    machine.run(&["rsgen", "reload", "web"]).ok();
}

/// Of a unit a drop-in of systemd's, whose folder may be any that systemd reads; of a file one of rsgen's.
pub(crate) fn counts_what_drop_ins_add(machine: &mut Machine) {
    let script = "require('http').createServer().listen(process.env.PORT, process.env.HOST)";
    machine.write("/srv/web/port.js", script);
    let text = "[[apps]]\nname = \"web\"\nscript = \"port.js\"\nuser = \"www-data\"\n";
    machine.write(ECOSYSTEM, text);
    let conf = "/etc/systemd/system/web@.service.d/50-port.conf";
    machine.write(conf, "[Service]\nEnvironment=PORT=3005\n");
    let of_package = "/usr/lib/systemd/system/web@.service.d/50-port.conf";
    machine.write(of_package, "[Service]\nEnvironment=PORT=3999\n");
    let of_boot = "/run/systemd/system/web@.service.d/60-host.conf";
    machine.write(of_boot, "[Service]\nEnvironment=HOST=127.0.0.1\n");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("web: listens on 127.0.0.1:3005");
    assert_nothing_left(machine);
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    machine.run(&["rm", of_package, of_boot]).ok();
    machine.write(
        "/etc/rsgen/web.toml.d/50-port.toml",
        "listen = \"[::]:3005\"\n",
    );
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert!(!told.stdout.contains("rehearsing"), "{}", told.stdout);
    assert!(
        machine
            .read("/etc/systemd/system/web.socket")
            .contains("ListenStream=[::]:3005")
    );
}

/// Each takes its time, and one of them dies. Two go on at a time where there are two processors: the second is known long before the
/// first, which has to be seen asleep.
pub(crate) fn of_several_apps_go_on_at_the_same_time(machine: &mut Machine) {
    let begun = "console.log('begun', Date.now())";
    machine.write(
        "/srv/web/asleep.js",
        &format!("{begun}; setInterval(() => {{}}, 1000)"),
    );
    machine.write(
        "/srv/web/late.js",
        &format!("{begun}; setTimeout(() => require('http').createServer((_, answer) => answer.end('late')).listen(3007), 1000)"),
    );
    machine.write("/srv/web/dead.js", "throw new Error('no database')");
    let text: String = ["asleep", "late", "dead"]
        .map(|name| {
            format!("[[apps]]\nname = \"{name}\"\nscript = \"{name}.js\"\nuser = \"www-data\"\n\n")
        })
        .concat();
    machine.write(ECOSYSTEM, &text);
    // A dry run starts nothing.
    let told = machine
        .run(&["rsgen", "install", ECOSYSTEM, "--dry-run", "--json"])
        .ok();
    let answer: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
    let all = serde_json::json!(["asleep", "late", "dead"]);
    assert_eq!((&answer["unlocated"], &answer["started"]), (&all, &all));
    assert_eq!(answer["changed"], true);

    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    let is_told = |line: &str| {
        line.starts_with("asleep: waiting for ") && line.contains(" s: no address bound yet")
    };
    assert!(told.stdout.lines().any(is_told), "{told}");
    told.clone()
        .says("asleep: bound no address and slept for 8 s")
        .says("late: listens on [::]:3007")
        .says("Error: no database")
        .says("`dead` ended in its rehearsal (exited with status 1) before it listened");
    let lines: Vec<&str> = told.stdout.lines().collect();
    let place = |line: &str| lines.iter().position(|l| l.starts_with(line));
    assert!(
        place("late: listens on") < place("asleep: listens nowhere"),
        "each is told as soon as it is known: {told}"
    );
    assert_nothing_left(machine);
    assert!(machine.get(3007).is_ok());
    for (app, state) in [
        ("asleep", "active"),
        ("late", "active"),
        ("dead", "inactive"),
    ] {
        assert_eq!(machine.state(&format!("{app}.service")), state, "{app}");
    }
    let begun = |app: &str| {
        let lines = machine.journalctl(&["-t", app, "-o", "cat"]).ok();
        let first = lines.stdout.lines().find_map(|l| l.strip_prefix("begun "));
        first.expect("a line").parse::<u64>().expect("a number")
    };
    // If the rehearsals took turns, the second would begin when the first has slept for eight seconds.
    assert!(begun("late").abs_diff(begun("asleep")) < 8000);
    assert_reload_goes_on_with_the_others(machine, &text);
}

/// One program now ends before it binds, and another is started in another way.
fn assert_reload_goes_on_with_the_others(machine: &Machine, text: &str) {
    let spoilt = text
        .replace("asleep.js", "dead.js")
        .replace("\"late.js\"", "\"late.js\"\nenv = { A = \"1\" }");
    machine.write(ECOSYSTEM, &spoilt);
    let pids = || ["asleep@0.service", "late@0.service"].map(|unit| machine.main_pid(unit));
    let before = pids();
    let told = machine
        .run(&["rsgen", "reload", ECOSYSTEM, "--only", "asleep,late"])
        .exits(1);
    told.says("`asleep` ended in its rehearsal (exited with status 1) before it listened");
    let after = pids();
    assert_eq!(after[0], before[0], "the app stays as it is");
    assert_ne!(after[1], before[1], "the other app is reloaded");
}

/// Binds a path in its own folder, and listens there.
const BINDER: &str = "
import os, signal, socket, sys
path = sys.argv[1].replace('_', '\\n', 1)
os.makedirs(os.path.dirname(path), exist_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
signal.pause()
";

/// systemd would make the socket as root, in place of that of another service.
pub(crate) fn a_program_reports_no_path_of_others(machine: &mut Machine) {
    machine.write("/srv/web/binder.py", BINDER);
    machine
        .sh("chown www-data: /srv/web; runuser -u nobody -- touch /tmp/agent")
        .ok();
    for (path, told) in [
        // Written into a line of the report, the path ends the line and begins another.
        (
            "/srv/web/a_found unix 1 0 0 /run/dbus/system_bus_socket",
            "binds an address that cannot be shared",
        ),
        // The program has a /tmp of its own.
        ("/tmp/agent", "the file that is there belongs to `nobody`"),
        // Only root may make a file there.
        ("/run/app.sock", "write `listen = \"/run/app.sock\"`"),
    ] {
        let text = format!(
            "[[apps]]\nname = \"web\"\nscript = \"binder.py\"\nargs = [\"{path}\"]\nuser = \"www-data\"\n\
             sandbox = \"strict\"\n"
        );
        machine.write(ECOSYSTEM, &text);
        let install = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
        let _ = install.says(told);
        assert_ne!(machine.run(&["test", "-e", INSTALLED]).status, 0);
        assert_nothing_left(machine);
    }
}

pub(crate) fn one_that_cannot_be_corrected_keeps_no_other_from_it(machine: &mut Machine) {
    let serve = "from http.server import *\n\
                 HTTPServer((\"0.0.0.0\", 3000), SimpleHTTPRequestHandler).serve_forever()\n";
    // The second start, which is the rehearsal, ends before the program binds.
    let once = "import os, sys\n\
                if os.path.exists('/srv/apps/started'): sys.exit('only once')\n\
                open('/srv/apps/started', 'w')\n";
    machine.write("/srv/apps/good.py", serve);
    machine.write(
        "/srv/apps/once.py",
        &format!("{once}{}", serve.replace("3000", "3001")),
    );
    machine.write(
        "/srv/apps/ecosystem.toml",
        "[[apps]]\nname = \"once\"\nscript = \"once.py\"\nlisten = 3001\nuser = \"www-data\"\n\
         [[apps]]\nname = \"good\"\nscript = \"good.py\"\nlisten = 3000\nuser = \"www-data\"\n",
    );
    machine.run(&["chown", "-R", "www-data:", "/srv/apps"]).ok();
    machine
        .run(&["rsgen", "install", "/srv/apps/ecosystem.toml"])
        .exits(1)
        .says("`once` ended in its rehearsal");
    machine.run(&["curl", "-sf", "http://127.0.0.1:3000"]).ok();
}
