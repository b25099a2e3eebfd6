//! Apps that leave `listen` out: `rsgen install` starts the program once to see where it listens.

use testbed::{Machine, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, instances, write_ecosystem};

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
    let install = machine.spawn(&["rsgen", "install", ECOSYSTEM]);
    wait_until(SOON, "the program runs", || {
        machine.sh("journalctl -t web | grep 'I run'").status == 0
    });
    machine.sh("pkill -KILL -x rsgen").ok();
    install.wait();
    assert_nothing_left(machine);
    assert_ne!(machine.sh("pgrep -u www-data").status, 0);
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
    assert_eq!(instances(machine), ["web@0.service active"]);
}

/// Python's servers bind IPv4 only, whereas a port alone at first stands for both families.
pub(crate) fn a_port_alone_is_bound_as_the_program_binds_it(machine: &mut Machine) {
    machine.write_app("python.py", "/srv/web");
    write_ecosystem(machine, "python.py", "2", "");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let told = told.says("web: listens on 0.0.0.0:3000");
    assert!(
        told.stdout
            .contains("the program binds 0.0.0.0:3000, declared is [::]:3000")
    );
    assert_exactly(machine, 2);
    assert!(machine.get(3000).is_ok());
    let again = machine.run(&["rsgen", "install", ECOSYSTEM]);
    again.ok().says("nothing to do");

    // A full address is taken literally, so the first start that is refused is the last.
    let text = machine
        .read(ECOSYSTEM)
        .replace("listen = 3000", "listen = \"[::]:3000\"");
    machine.write(ECOSYSTEM, &text);
    let install = || machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert!(install().stderr.contains("--replace-listener"), "it serves");
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine.run(&["journalctl", "--rotate"]).ok();
    machine.run(&["journalctl", "--vacuum-time=1s"]).ok();
    let told = install();
    assert!(
        !told.stderr.contains("--replace-listener"),
        "{}",
        told.stderr
    );
    let starts = machine.sh("journalctl -u web@0 -o cat | grep -c ^Starting");
    assert_eq!(starts.text(), "2", "the second is the worker's alone");
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
        .run(&["journalctl", "-t", "web", "-o", "cat"])
        .says("the program asked for 9100, which another instance may have");
    let text = machine
        .read(ECOSYSTEM)
        .replace("listen = 3000", "listen = [3000, 9100]");
    machine.write(ECOSYSTEM, &text);
    machine
        .run(&["rsgen", "install", ECOSYSTEM, "--replace-listener"])
        .ok();
    machine.run(&["rsgen", "reload", "web"]).ok();
}

/// Of a unit a drop-in of systemd's, of a file one of rsgen's.
pub(crate) fn counts_what_drop_ins_add(machine: &mut Machine) {
    let script = "require('http').createServer().listen(process.env.PORT)";
    machine.write("/srv/web/port.js", script);
    let text = "[[apps]]\nname = \"web\"\nscript = \"port.js\"\nuser = \"www-data\"\n";
    machine.write(ECOSYSTEM, text);
    let conf = "/etc/systemd/system/web@.service.d/50-port.conf";
    machine.write(conf, "[Service]\nEnvironment=PORT=3005\n");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("web: listens on [::]:3005");
    assert_nothing_left(machine);
    machine.run(&["rsgen", "uninstall", "web"]).ok();
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
