//! The environment of an app has no influence on the commands that run as root in its units.

use std::path::Path;
use std::process::Command;

use testbed::{Machine, wait_until};

use crate::cluster::{self, SOON};

const LOOT: &str = "/srv/loot";
const FILE: &str = "/srv/web/env";
/// Variables by which an app could make root load its code, or connect to it.
const HOSTILE: &str = "LD_PRELOAD=/srv/lib/preload.so
LD_AUDIT=/srv/lib/preload.so
LD_LIBRARY_PATH=/srv/lib
GCONV_PATH=/srv/lib
LOCPATH=/srv/lib
GLIBC_TUNABLES=glibc.malloc.perturb=255:glibc.malloc.mmap_max=0
DBUS_SYSTEM_BUS_ADDRESS=unix:path=/srv/ears/bus
DBUS_STARTER_ADDRESS=unix:path=/srv/ears/bus
NOTIFY_SOCKET=/srv/ears/notify
MAINPID=1
SERVICE_RESULT=success
EXIT_CODE=exited
EXIT_STATUS=0
";
/// A client whose requests do not end, so that a drain lasts until its time-out.
const SLOW: &str = "
import signal, socket
held = [socket.create_connection(('127.0.0.1', 3000)) for _ in range(20)]
for connection in held:
    connection.sendall(b'GET / HTTP/1.1\\r\\nHost')
open('/run/held', 'w')
signal.pause()
";

/// Compiles a C file of `tests/apps` into a file of the machine.
pub(crate) fn compile(machine: &Machine, source: &str, flags: &[&str], to: &str) {
    let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let made = folder.path().join("made");
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps");
    let mut cc = Command::new("cc");
    let cc = cc.args(flags).arg("-o").arg(&made).arg(apps.join(source));
    assert!(cc.status().is_ok_and(|s| s.success()), "{source}");
    let folder = Path::new(to).parent().and_then(Path::to_str);
    machine.run(&["mkdir", "-p", folder.unwrap_or("/")]).ok();
    machine.copy_in(&made, to);
}

/// Installs an app whose user can write its environment file, with a planted library, and with sockets in place of the bus
/// and the manager.
fn plant(machine: &Machine, more: &str) {
    let flags = ["-shared", "-fPIC", "-w"];
    compile(machine, "preload.c", &flags, "/srv/lib/preload.so");
    machine.write(LOOT, "");
    machine.write(FILE, "");
    machine.write_app("ears.py", "/srv/ears");
    machine.sh("chmod 666 /srv/loot; chmod 777 /srv/ears").ok();
    let ears = ["-p", "User=nobody", "python3", "/srv/ears/ears.py"];
    machine
        .run(&[&["systemd-run", "--quiet", "--unit=ears"][..], &ears].concat())
        .ok();
    wait_until(SOON, "the sockets of ears.py", || {
        machine.run(&["test", "-S", "/srv/ears/notify"]).status == 0
    });
    let own = "user = \"nobody\"\nenv_file = \"env\"\ndrain_timeout = \"3s\"";
    cluster::install(machine, "pace.js", "2", &format!("{own}\n{more}"));
}

/// The programs that have loaded the planted library, except those of the app with the app's own rights.
fn taken(machine: &Machine) -> Vec<String> {
    let loot = machine.read(LOOT);
    let own = |line: &str| line.contains("node uid=65534 CapEff:\t0000000000000000");
    assert!(
        loot.lines().any(own),
        "the planted library does not work: {loot}"
    );
    let taken = loot.lines().filter(|line| !own(line));
    taken.map(str::to_owned).collect()
}

/// Kills the program of an instance, and waits until the command that root runs has counted its death.
fn die(machine: &Machine, number: u32) {
    let program = machine.main_pid(&format!("web@{number}.service"));
    machine.run(&["kill", "-9", &program.to_string()]).ok();
    let file = format!("/run/rsgen/web/{number}.deaths");
    wait_until(SOON, "the reason of the death", || {
        machine.run(&["cat", &file]).stdout.contains("SIGKILL")
    });
}

pub(crate) fn never_reaches_what_runs_as_root(machine: &mut Machine) {
    plant(machine, "");
    machine.write(FILE, HOSTILE);
    die(machine, 1);
    wait_until(SOON, "the program to have the library", || {
        machine.read(LOOT).contains("node")
    });

    let _slow = machine.spawn(&["python3", "-c", SLOW]);
    wait_until(SOON, "requests that do not end", || {
        machine.run(&["test", "-e", "/run/held"]).status == 0
    });
    machine.systemctl(&["stop", "web@0.service"]).ok();
    machine.systemctl(&["stop", "web.service"]).ok();
    assert_eq!(taken(machine), Vec::<String>::new());
    let heard = machine.sh("cat /srv/ears/heard 2>/dev/null").stdout;
    // The worker may ask for more time there, which is harmless, because it has the rights of its app.
    for word in ["bus", "draining", "STATUS"] {
        assert!(!heard.contains(word), "{word}: {heard}");
    }
}

pub(crate) fn finds_no_capability_in_the_worker(machine: &mut Machine) {
    let more = "[apps.service]\nAmbientCapabilities = \"CAP_SYS_PTRACE\"\n";
    plant(machine, more);
    let load = "LD_PRELOAD=/srv/lib/preload.so\nLD_LIBRARY_PATH=/srv/lib\n";
    machine.write(FILE, load);
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_eq!(taken(machine), Vec::<String>::new());
}

pub(crate) fn that_has_a_umask_and_limits_spoils_no_state(machine: &mut Machine) {
    let more = "[apps.service]\nUMask = \"0000\"\nLimitFSIZE = \"1\"\n";
    plant(machine, more);
    die(machine, 0);
    let modes = [
        "stat",
        "-c",
        "%a",
        "/run/rsgen/web",
        "/run/rsgen/web/0.deaths",
    ];
    assert_eq!(machine.run(&modes).ok().text(), "755\n644");
}
