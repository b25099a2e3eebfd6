//! The state below /run/rsgen belongs to root: whatever other users plant, lock or read there does no harm.

use std::time::Duration;

use testbed::{Machine, wait_until};

use crate::cluster::{SOON, assert_exactly, install, pids};

/// The state folder of the app.
const STATE: &str = "/run/rsgen/web";
/// A file of root that must not change.
const VICTIM: &str = "/etc/victim";
const UNTOUCHED: &str = "as root wrote it\n";

/// A script that opens and locks every file below /run/rsgen that it may open, prints them, and waits.
const HOLDER: &str = r#"
import fcntl, os, signal
held = []
for folder, _, files in os.walk("/run/rsgen"):
    for path in [folder] + [os.path.join(folder, name) for name in files]:
        try:
            held.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            print(path, error)
open("/tmp/held", "w").close()
signal.pause()
"#;

/// Runs a shell script as a user who has nothing to do with rsgen. Commands that fail are ignored.
fn as_nobody(machine: &Machine, script: &str) {
    machine.run(&["runuser", "-u", "nobody", "--", "sh", "-c", script]);
}

fn is_there(machine: &Machine, path: &str) -> bool {
    machine.run(&["test", "-e", path]).status == 0
}

/// Kills an instance; returns when it is active again and its death was counted.
fn die(machine: &Machine) {
    let before = pids(machine, 1);
    let counted = || machine.sh(&format!("stat -c %i {STATE}/0.deaths")).stdout;
    let last = counted();
    machine
        .systemctl(&["kill", "-s", "KILL", "--kill-whom=main", "web@0.service"])
        .ok();
    wait_until(SOON, "the death to be counted", || {
        counted() != last
            && machine.state("web@0.service") == "active"
            && pids(machine, 1) != before
    });
}

/// The files below /run/rsgen that belong to other users, or that others could write.
fn astray(machine: &Machine) -> String {
    let found = "find /run/rsgen -ignore_readdir_race '(' -not -user root -o -perm /022 -not -type l ')' -printf '%M %u %p\\n'";
    machine.sh(found).ok().stdout
}

fn reload(machine: &Machine) {
    let told = machine
        .run(&["timeout", "60", "rsgen", "reload", "web"])
        .ok();
    assert!(told.took < Duration::from_secs(50), "{told}");
}

pub(crate) fn whoever_holds_what_may_be_opened_does_not_delay_a_reload(machine: &mut Machine) {
    install(machine, "graceful", "2", "settle = 0");
    reload(machine);
    machine.write("/srv/holder.py", HOLDER);
    // First with the lock of this version, and then with that of an older one.
    for before in ["true", "umask 022; rm -f lock; : >lock; chmod 644 lock"] {
        machine.sh(&format!("cd {STATE}; {before}")).ok();
        machine
            .sh("rm -f /tmp/held; systemd-run -q --uid=nobody --unit=holder python3 /srv/holder.py")
            .ok();
        wait_until(SOON, "all files to be held open", || {
            is_there(machine, "/tmp/held")
        });
        let was = pids(machine, 2);
        reload(machine);
        assert!(pids(machine, 2).iter().all(|pid| !was.contains(pid)));
        machine.systemctl(&["stop", "holder"]).ok();
        assert_eq!(
            machine.sh(&format!("stat -c %a {STATE}/lock")).text(),
            "600"
        );
    }
    let public = "head -c 1 /run/rsgen/web/walk.jsonl >/tmp/read";
    as_nobody(machine, public);
    assert_eq!(machine.read("/tmp/read"), "{");
    assert_exactly(machine, 2);
}

pub(crate) fn the_umask_of_an_app_is_not_that_of_its_state(machine: &mut Machine) {
    machine.write(VICTIM, UNTOUCHED);
    for umask in ["0000", "0777"] {
        install(
            machine,
            "graceful",
            "2",
            &format!("[apps.service]\nUMask = {umask:?}"),
        );
        machine.sh(&format!("rm -rf {STATE}")).ok();
        die(machine);
        let plant = format!(
            "cd {STATE}; for name in 0.deaths-new 0.deaths canary stop.reason; do ln -sf {VICTIM} $name; done"
        );
        as_nobody(machine, &plant);
        die(machine);
        assert_eq!(machine.read(VICTIM), UNTOUCHED);
        let modes = format!("stat -c %a {STATE} {STATE}/0.deaths | xargs");
        assert_eq!(machine.sh(&modes).text(), "755 644", "UMask={umask}");
        assert_eq!(astray(machine), "");
    }
    assert_exactly(machine, 2);
}

pub(crate) fn what_others_planted_before_an_upgrade_is_cleared_away(machine: &mut Machine) {
    machine.write(VICTIM, UNTOUCHED);
    install(machine, "graceful", "2", "settle = 0");
    // The brake unit that the start has left would clear the folder before it is asked to.
    wait_until(SOON, "the brake unit to end", || {
        machine.property("web:brake.service", "ActiveState") == "inactive"
    });
    // The modes that the older version left for an app with `UMask=0000`.
    machine
        .sh(&format!(
            "rm -rf {STATE}; umask 0; mkdir {STATE}; cd {STATE}; echo '1 1 trying\nwhy' >1.deaths"
        ))
        .ok();
    let plant = format!(
        "cd {STATE} && echo '99 1 errored\nplanted' >0.deaths && mkfifo lock canary && mkdir -p walk.jsonl/a/b &&
         for name in 0.deaths-new 1.deaths-new walk.jsonl-new walk.done stop.reason failures; do ln -s {VICTIM} $name; done"
    );
    as_nobody(machine, &plant);
    assert!(
        is_there(machine, &format!("{STATE}/walk.jsonl/a/b")),
        "planted"
    );
    die(machine);
    let deaths = machine.read(&format!("{STATE}/0.deaths"));
    assert!(
        !deaths.contains("planted") && deaths.contains("SIGKILL"),
        "{deaths}"
    );
    reload(machine);
    die(machine);
    assert_eq!(machine.read(VICTIM), UNTOUCHED);
    assert_eq!(astray(machine), "");
    assert_eq!(machine.sh(&format!("stat -c %a {STATE}")).text(), "755");
    assert_exactly(machine, 2);
}

pub(crate) fn a_pipe_in_the_place_of_an_apps_file_hangs_nobody(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    machine
        .sh("mkdir -p /etc/rsgen/web.toml.d; ln -s /dev/zero /etc/rsgen/endless.toml; truncate -s 1T /etc/rsgen/huge.toml
             mkfifo /etc/rsgen/pipe.toml /etc/rsgen/web.toml.d/more.toml /etc/systemd/system/other.service")
        .ok();
    // systemd gives a generator 90 seconds.
    let reloaded = machine
        .run(&["timeout", "80", "systemctl", "daemon-reload"])
        .ok();
    assert!(reloaded.took < Duration::from_secs(40), "{reloaded}");
    let listed = machine.run(&["timeout", "60", "rsgen", "list"]).ok();
    listed.says("web").says("pipe").says("endless").says("huge");
    assert_exactly(machine, 2);
}
