//! `rsgen --host`: the apps of another host, over its sshd and its bus. The other host is the machine itself.

use std::path::Path;

use testbed::runner::Spec;
use testbed::{Load, Machine, Output, Traffic, specs, wait_until};

use crate::cluster::{self, SOON, assert_exactly, pids};
use crate::{polkit, remote};

pub(crate) const SPECS: &[Spec] = specs![
    remote::lists_reloads_and_stops_the_apps_of_another_host,
    remote::scales_an_app_of_another_host_and_says_what_its_unit_says,
    remote::says_why_there_is_no_connection,
];

/// A user of the machine who may do nothing there, and one for whom sshd(8) runs another command than the bridge.
const ANNA: &str = "anna";
const BORIS: &str = "boris";

/// Installs `web`, starts sshd(8), and lets root log in as root and as these users.
fn prepare(machine: &Machine) {
    cluster::install(machine, "graceful", "2", "settle = 0");
    let script = format!(
        "set -e; umask 077; mkdir -p /root/.ssh /run/sshd
        ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
        echo 'StrictHostKeyChecking accept-new' > /root/.ssh/config
        cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
        for user in {ANNA} {BORIS}; do
            useradd --create-home --shell /bin/sh --password '*' $user
            install -d -o $user /home/$user/.ssh
            install -o $user /root/.ssh/id_ed25519.pub /home/$user/.ssh/authorized_keys
        done
        echo 'UsePAM no' > /etc/ssh/sshd_config.d/quick.conf
        ssh-keygen -A > /dev/null; systemctl start ssh"
    );
    machine.sh(&script).ok();
}

/// Has sshd(8) run this command for the second user, whatever was asked for.
fn has_boris_run(machine: &Machine, command: &str) {
    machine.write("/home/boris/run", command);
    let key = machine.read("/root/.ssh/id_ed25519.pub");
    let line = format!("command=\"exec sh /home/boris/run\" {key}");
    machine.write("/home/boris/.ssh/authorized_keys", &line);
}

fn on(machine: &Machine, host: &str, words: &[&str]) -> Output {
    machine.run(&[&["rsgen", "-H", host], words].concat())
}

pub(crate) fn lists_reloads_and_stops_the_apps_of_another_host(machine: &mut Machine) {
    prepare(machine);
    let there = "root@localhost";
    let list = on(machine, there, &["list", "--cpu"]).ok();
    let list = list.says("web").says("online").says("[::]:3000");
    assert_eq!(list.stdout.matches("online").count(), 2, "{list}");
    let json = on(machine, there, &["list", "--json"]).ok().stdout;
    for part in ["\"wanted\": 2", "\"ready\": 2", "\"connections\": null"] {
        assert!(json.contains(part), "{part}: {json}");
    }

    let before = pids(machine, 2);
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    load.wait_answered(100);
    on(machine, there, &["reload", "web"])
        .ok()
        .says("web: reload done");
    load.stop().assert_nothing_lost();
    assert!(pids(machine, 2).iter().all(|pid| !before.contains(pid)));

    let (zero, one) = (pids(machine, 2)[0], pids(machine, 2)[1]);
    on(machine, there, &["restart", "web@1"]).ok();
    let now = pids(machine, 2);
    assert!(now[0] == zero && now[1] != one, "{now:?}");
    on(machine, there, &["stop", "web"]).ok();
    assert!(cluster::listener(machine).is_none());
    let _ = on(machine, there, &["reload", "web"])
        .exits(1)
        .says("`web` is not running");
    on(machine, there, &["start", "web"]).ok();
    let slow = "[Service]\nExecStartPre=/bin/sleep 3\n";
    machine.write("/run/systemd/system/web@.service.d/slow.conf", slow);
    machine.systemctl(&["daemon-reload"]).ok();
    let told = on(machine, there, &["restart", "web@1"]).ok();
    drop(told.says("web: waiting for ").says(" s: web@1: "));
    machine.sh("rm -r /run/systemd/system/web@.service.d").ok();
    machine.systemctl(&["daemon-reload"]).ok();
    assert_exactly(machine, 2);

    // Whoever may log in sees the list; what systemd does is for whom polkit(8) allows it.
    on(machine, "anna@localhost", &["list"]).ok().says("online");
    let before = pids(machine, 2);
    let refused = on(machine, "anna@localhost", &["stop", "web"]).exits(4);
    let _ = refused
        .says("permission is missing")
        .says("polkit(8) of anna@localhost");
    assert_eq!(pids(machine, 2), before);
    allow_anna(machine);
    on(machine, "anna@localhost", &["reload", "web"]).ok();
    assert!(pids(machine, 2).iter().all(|pid| !before.contains(pid)));
    on(machine, "anna@localhost", &["stop", "web"]).exits(4);
    assert_exactly(machine, 2);
    let logs = on(machine, there, &["logs", "web"]).exits(2);
    let _ = logs.says("run `ssh root@localhost rsgen logs …`");
    wait_until(SOON, "the end of every ssh", || {
        machine.run(&["pgrep", "-x", "ssh"]).text().is_empty()
    });
}

/// Installs the rules of the packages, whose group has the first user.
fn allow_anna(machine: &Machine) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    machine.copy_in(&root.join("packaging/polkit/50-rsgen.rules"), polkit::RULES);
    // polkitd may be up, and reads a new file of rules when it gets to it.
    let group = format!("groupadd deploy && usermod -aG deploy {ANNA} && systemctl restart polkit");
    machine.sh(&group).ok();
}

fn scales_an_app_of_another_host_and_says_what_its_unit_says(machine: &mut Machine) {
    prepare(machine);
    allow_anna(machine);
    let (root, anna) = ("root@localhost", "anna@localhost");
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    load.wait_answered(100);
    let before = pids(machine, 2);
    let told = on(machine, anna, &["scale", "web", "4"]).ok();
    // Before it, ssh warns of a host that it did not know, and a start that takes long is told.
    told.clone().says("web: scaling from 2 to 4 instances\n");
    let at_home = "\nweb@2: start done\nweb@3: start done\nweb: 4 instances";
    assert!(told.text().ends_with(at_home), "{told}");
    assert_eq!(pids(machine, 4)[..2], before, "the others are left alone");
    let same = on(machine, root, &["scale", "web", "4"]).ok();
    let _ = same.says("nothing to do: web has 4 instances");
    let json = on(machine, root, &["scale", "web", "-2", "--json"]).ok();
    for part in [
        "\"changed\": true",
        "\"instances\": 2",
        "\"before\": 4",
        "\"web@3\"",
    ] {
        assert!(json.stdout.contains(part), "{part}: {json}");
    }
    assert_exactly(machine, 2);
    load.stop().assert_nothing_lost();

    for arguments in [["web", "17"], ["web", "max"]] {
        let words = [&["scale"][..], &arguments].concat();
        let refused = on(machine, anna, &words).exits(4);
        let _ = refused.says("polkit(8) of anna@localhost");
    }
    on(machine, root, &["scale", "web", "0"]).exits(2);
    let none = on(machine, root, &["scale", "wbe", "3"]).exits(1);
    let _ = none.says("root@localhost: no app `wbe` is installed");
    machine.run(&["rsgen", "pause", "web"]).ok();
    let paused = on(machine, anna, &["scale", "web", "3"]).exits(1);
    assert!(!paused.stderr.contains("scaling"), "{paused}");
    let _ = paused
        .says("anna@localhost: `web` is paused")
        .says("on anna@localhost: run `rsgen resume web` first");
    on(machine, anna, &["resume", "web"]).exits(4);
    let resumed = on(machine, root, &["resume", "web"]).ok();
    let _ = resumed.says("web: resumed, 2 instances started");
    assert_exactly(machine, 2);
    let before = pids(machine, 2);
    on(machine, anna, &["signal", "KILL", "web@1"]).exits(4);
    let signalled = on(machine, root, &["signal", "KILL", "web@1"]).ok();
    let _ = signalled.says("web@1: SIGKILL");
    wait_until(SOON, "another web@1 to serve", || {
        let now = machine.main_pid("web@1.service");
        now != 0 && now != before[1]
    });
    assert_exactly(machine, 2);
    // A unit that says nothing, as that of an older version.
    let drop_in = "/etc/systemd/system/rsgen-scale@.service.d/mute.conf";
    machine.write(drop_in, "[Service]\nNotifyAccess=none\n");
    machine.systemctl(&["daemon-reload"]).ok();
    let told = on(machine, root, &["scale", "web", "3"]).ok();
    let _ = told.says("web: 3 instances");
    assert_exactly(machine, 3);
}

pub(crate) fn says_why_there_is_no_connection(machine: &mut Machine) {
    prepare(machine);
    for (host, why) in [
        ("localhost:1", "Connection refused"),
        ("nobody@localhost", "Permission denied"),
        ("nowhere.invalid", "Could not resolve hostname"),
    ] {
        let told = on(machine, host, &["--json", "list"]).exits(4);
        let told = told.says("systemd cannot be reached: ").says(why);
        assert!(told.stdout.contains("\"status\": 4"), "{told}");
    }
    let option = ["rsgen", "--host=-oProxyCommand=reboot", "list"];
    let option = machine.run(&option).exits(2);
    let _ = option.says("does not begin with `-`");

    // What the other host says is shown, and moves no cursor.
    has_boris_run(machine, "printf 'sh: no \\033[2Jbridge\\n' >&2; exit 127");
    let told = on(machine, "boris@localhost", &["list"]).exits(4);
    let told = told.says("sh: no \\x1b[2Jbridge");
    let _ = told.says("see that `ssh boris@localhost systemd-stdio-bridge --version` works");
    has_boris_run(machine, "echo Welcome");
    let _ = on(machine, "boris@localhost", &["list"]).exits(4);

    // One that does not answer is left by Ctrl-C, and ssh with it.
    has_boris_run(machine, "exec sleep 600");
    let script = "timeout -s INT 2 rsgen -H boris@localhost list; echo ended with $?";
    machine.sh(script).ok().says("ended with 124");
    wait_until(SOON, "the end of every ssh", || {
        machine.run(&["pgrep", "-x", "ssh"]).text().is_empty()
    });
}
