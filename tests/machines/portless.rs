//! Apps that do not listen: there is no socket, and everything else works as for any other app.

use std::fmt::Write;

use testbed::{Machine, PowerLoss, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, deploy, listener, pids};

fn write(machine: &Machine, script: &str, listen: &str, more: &str) {
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{script}\"\nlisten = {listen}\nuser = \"www-data\"\n{more}\n"
    );
    machine.write(ECOSYSTEM, &text);
}

/// Returns the units of the app, other than services, that systemd or a folder has.
fn sockets(machine: &Machine) -> String {
    let units = "list-units --all --plain --no-legend 'web*.socket'";
    let files = "list-unit-files --no-legend 'web*.socket'";
    let found = machine.sh(&format!(
        "systemctl {units}; systemctl {files}; find /etc/systemd /run/systemd -name 'web*.socket'"
    ));
    found.text().to_owned()
}

/// Returns how often a process has begun a job, and how often one has finished.
fn jobs(machine: &Machine, pid: u32) -> (usize, usize) {
    let journal = machine.journalctl(&["-t", "web", "-o", "cat"]).ok();
    let count = |word: &str| {
        let start = format!("{word} job of ");
        let by = format!(" by {pid},");
        let lines = journal.stdout.lines();
        lines
            .filter(|line| line.starts_with(&start) && line.contains(&by))
            .count()
    };
    (count("began"), count("ended"))
}

pub(crate) fn a_consumer_of_a_queue_is_reloaded_and_ends_the_job_in_hand(machine: &mut Machine) {
    machine.write_app("consume.py", "/srv/web");
    write(
        machine,
        "consume.py",
        "[]",
        "instances = 2\nmax_restarts = 2\nsettle = \"2s\"\nrestart_delay = \"500ms\"",
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_exactly(machine, 2);
    assert_eq!(sockets(machine), "");
    let enabled = machine.run(&["systemctl", "is-enabled", "web.service"]);
    assert_eq!(enabled.text(), "enabled");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do");

    let before = pids(machine, 2);
    wait_until(SOON, "both to work", || {
        before.iter().all(|pid| jobs(machine, *pid).0 > 0)
    });
    deploy(machine, "consume.py", "version = 1", "version = 2");
    let told = machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(told.stdout.contains("canary: ready"), "{told:?}");
    let after = pids(machine, 2);
    for (old, new) in before.iter().zip(&after) {
        let (began, ended) = jobs(machine, *old);
        assert!(
            old != new && began == ended,
            "{old}, {new}: {began}, {ended}"
        );
    }

    a_crash_is_found_out_and_braked(machine);

    machine.power_cycle(PowerLoss::Clean);
    assert_exactly(machine, 2);
    machine.run(&["rsgen", "stop", "web"]).ok();
    assert_eq!(crate::cluster::instances(machine), Vec::<String>::new());
    machine.run(&["rsgen", "restart", "web"]).ok();
    assert_exactly(machine, 2);
    assert_eq!(sockets(machine), "");
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    let left = machine.sh("find /etc/systemd /etc/rsgen /run/rsgen -name '*web*'");
    assert_eq!(left.text(), "");
}

fn a_crash_is_found_out_and_braked(machine: &Machine) {
    let before = pids(machine, 2);
    // Only `settle` notices a version that crashes after it was started.
    deploy(
        machine,
        "consume.py",
        "stopping = False",
        "raise SystemExit(3)",
    );
    let told = machine.run(&["rsgen", "reload", "web"]).exits(1);
    // systemd may still say for a moment that the unit is active, but without the process.
    let whys = ["exited with status 3", "ready, and then pid "];
    let is_told = whys.iter().any(|why| told.stderr.contains(why));
    assert!(is_told, "{told:?}");
    assert_eq!(pids(machine, 2), before);
    for number in ["0", "1"] {
        let unit = format!("web@{number}.service");
        machine.systemctl(&["kill", "-s", "KILL", &unit]).ok();
    }
    wait_until(SOON, "the cluster unit to fail", || {
        machine.state("web.service") == "failed"
    });
    deploy(
        machine,
        "consume.py",
        "raise SystemExit(3)",
        "stopping = False",
    );
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 2);
}

pub(crate) fn a_program_that_ends_at_once_has_not_been_started(machine: &mut Machine) {
    machine.write("/srv/web/end.sh", "#!/bin/sh\nexit 0\n");
    machine.run(&["chmod", "755", "/srv/web/end.sh"]).ok();
    let fds = "max_restarts = 2\nhandover = \"fds\"";
    for (listen, keys) in [("[]", "max_restarts = 2"), ("3000", fds)] {
        write(machine, "end.sh", listen, keys);
        let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
        told.says("exited with status 0")
            .says("autorestart = false");
        machine.run(&["rsgen", "uninstall", "web"]).ok();
    }
}

/// With `autorestart = false` a program may end. Whether it ends before, during or after the start of the cluster unit, is a race that makes
/// no difference.
pub(crate) fn a_program_that_nothing_starts_again_has_done_its_work_or_failed(
    machine: &mut Machine,
) {
    let end = |seconds: &str, status: &str| {
        let text = format!("#!/bin/sh\necho run >>/run/runs\nsleep {seconds}\nexit {status}\n");
        machine.write("/srv/web/end.sh", &text);
        machine.run(&["chmod", "755", "/srv/web/end.sh"]).ok();
        machine.sh("install -m 666 /dev/null /run/runs").ok();
    };
    let once = "instances = 2\nautorestart = false";
    let fds = "instances = 2\nautorestart = false\nhandover = \"fds\"\nready = \"exec\"";
    let slow = [("0.2", "0"), ("0.2", "3")];
    for (listen, keys, more) in [("[]", once, &slow[..]), ("3000", fds, &[])] {
        for (seconds, status) in [&[("0", "0"), ("0", "3")], more].concat() {
            end(seconds, status);
            // The end has to be seen within this time, on a busy host as well.
            let settle = if seconds == "0" { "1s" } else { "2s" };
            let keys = format!("{keys}\nsettle = {settle:?}");
            write(machine, "end.sh", listen, &keys);
            for command in [
                &["install", ECOSYSTEM][..],
                &["start", "web"],
                &["reload", "web"],
            ] {
                let told = machine.run(&[&["rsgen"], command].concat());
                let state = if status == "0" {
                    let why = "has ended by itself, as the app allows: exited with status 0";
                    let told = told.ok().says(&format!("web@0 {why}"));
                    told.says(&format!("web@1 {why}"));
                    "inactive"
                } else {
                    told.exits(1).says("exited with status 3");
                    "failed"
                };
                machine.wait_state("web.service", state, SOON);
            }
            // Each of the three has run both instances once.
            assert_eq!(
                machine.read("/run/runs").lines().count(),
                6,
                "{listen} {seconds} {status}"
            );
            machine.run(&["rsgen", "uninstall", "web"]).ok();
        }
    }
}

pub(crate) fn a_port_is_given_up_and_taken_again_when_told(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    write(machine, "graceful", "3000", "");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let held = listener(machine);

    write(machine, "graceful", "[]", "");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert!(told.stderr.contains("--replace-listener"), "{told:?}");
    assert_eq!(listener(machine), held);
    let replace = ["rsgen", "install", ECOSYSTEM, "--replace-listener"];
    machine.run(&replace).ok();
    assert_exactly(machine, 1);
    assert_eq!(sockets(machine), "");
    // Without a socket unit, the program now binds the port itself.
    wait_until(SOON, "the program's own listener", || {
        listener(machine).is_some_and(|inode| Some(inode) != held)
    });
    let list = machine.run(&["rsgen", "list", "--json"]).ok();
    assert!(list.stdout.contains("\"listen\": []"), "{}", list.stdout);

    write(machine, "graceful", "3000", "");
    machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    machine.run(&replace).ok();
    assert_exactly(machine, 1);
    let enabled = machine.run(&["systemctl", "is-enabled", "web.socket"]);
    assert_eq!(enabled.text(), "enabled");
    machine.run(&["rsgen", "reload", "web"]).ok();
    wait_until(SOON, "an answer", || machine.get(3000).is_ok());
}

pub(crate) fn a_node_program_says_when_it_is_ready_and_is_told_to_shut_down(machine: &mut Machine) {
    machine.write_app("consume.js", "/srv/web");
    let keys = "ready = \"message\"\nshutdown_with_message = true\ninstances = 2\nsettle = 0";
    write(machine, "consume.js", "[]", keys);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let before = pids(machine, 2);
    let told = machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(told.stdout.contains("done: 2 of 2 replaced"), "{told:?}");
    assert!(pids(machine, 2).iter().all(|pid| !before.contains(pid)));
    machine.run(&["rsgen", "stop", "web"]).ok();
    let journal = machine.journalctl(&["-t", "web", "-o", "cat"]).ok();
    let said: Vec<&str> = journal
        .stdout
        .lines()
        .filter(|l| l.starts_with("told "))
        .collect();
    // Two in the reload, the canary, and two in the stop.
    assert_eq!(said, ["told shutdown"; 5], "{}", journal.stdout);
}

/// Says READY once it has its queue, and what it is doing; dies of a message that says why. The notification is that of `sd_notify(3)`.
const NOTIFIES: &str = "#!/usr/bin/python3
import os, select, signal, socket
signal.signal(signal.SIGINT, lambda *_: os._exit(0))
if os.path.exists('/srv/web/broken'): raise SystemExit('no queue for ' + os.environ['NODE_APP_INSTANCE'])
say = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
say.connect(os.environ['NOTIFY_SOCKET'].replace('@', '\\0', 1))
select.select([], [], [], 0.3)
say.send(b'READY=1\\nSTATUS=consuming')
signal.pause()
";

pub(crate) fn one_that_says_when_it_is_ready_is_waited_for(machine: &mut Machine) {
    machine.write("/srv/web/notifies.py", NOTIFIES);
    machine.run(&["chmod", "755", "/srv/web/notifies.py"]).ok();
    let keys = "instances = 2\nready = \"notify\"\nmax_restarts = 2\nrestart_delay = \"500ms\"";
    write(machine, "notifies.py", "[]", keys);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_exactly(machine, 2);
    assert_eq!(sockets(machine), "");
    let status = || machine.property("web@1.service", "StatusText");
    assert_eq!(status(), "consuming");
    let before = pids(machine, 2);
    machine.run(&["rsgen", "reload", "web"]).ok();
    let after = pids(machine, 2);
    assert!(before.iter().all(|pid| !after.contains(pid)), "{after:?}");
    machine.sh("touch /srv/web/broken").ok();
    let failed = machine.run(&["rsgen", "reload", "web"]).exits(1);
    drop(failed.says("no queue for ").says("exited with status 1"));
    assert_eq!(pids(machine, 2), after);
}

/// Two apps fail at the same time, and each is told in its own words.
pub(crate) fn two_that_fail_side_by_side_are_told_in_their_own_words(machine: &mut Machine) {
    let mut text = String::new();
    for name in ["mails", "bills"] {
        machine.write(
            &format!("/srv/web/{name}.py"),
            &format!("#!/usr/bin/python3\nraise SystemExit('no {name} today')\n"),
        );
        let _ = write!(
            text,
            "[[apps]]\nname = \"{name}\"\nscript = \"{name}.py\"\nlisten = []\nuser = \"www-data\"\nmax_restarts = 2\n\n"
        );
    }
    machine.write(ECOSYSTEM, &text);
    machine.sh("chmod 755 /srv/web/*.py").ok();
    let both = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    drop(
        both.says("no mails today")
            .says("no bills today")
            .says("2 of 2 apps failed"),
    );
    let start = |name: &str| machine.spawn(&["rsgen", "start", name]);
    let runs =
        [("mails", "bills"), ("bills", "mails")].map(|(name, other)| (name, other, start(name)));
    for (name, other, run) in runs {
        let told = run.wait().exits(1).says(&format!("no {name} today"));
        assert!(!told.to_string().contains(&format!("no {other}")), "{told}");
    }
    let list = machine
        .run(&["rsgen", "list", "mails"])
        .ok()
        .says("no mails today");
    assert!(!list.stdout.contains("no bills"), "{list}");
}
