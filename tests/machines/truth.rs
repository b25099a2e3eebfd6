//! Exit statuses, the list and the hints describe the real state.

use testbed::{Machine, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, deploy, install, write_ecosystem};
use crate::user;

const ONLY_ONE: &str = "in 1 throw only here\nanswer";
/// A reload finds the reason of a failed start before systemd begins the next one.
const BRAKE: &str = "max_restarts = 2\nsettle = 0\nrestart_delay = \"500ms\"";

pub(crate) fn of_an_instance_that_fails_while_others_serve(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    deploy(machine, "graceful", "answer", ONLY_ONE);
    write_ecosystem(machine, "graceful", "3", BRAKE);
    let why = "web: 2 of 3 serving; web@1.service: exited with status 1";
    let hint = "`journalctl -u web -u 'web@*' -n 50`";
    // The second install finds the instances of the first.
    for _ in 0..2 {
        let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
        let told = told.says(why).says(hint).says("Error: only here");
        assert!(!told.stdout.contains("nothing to do"), "{told}");
    }
    machine.run(&["rsgen", "start", "web"]).exits(1).says(why);
    let list = machine.run(&["rsgen", "list"]).ok();
    assert!(list.stdout.ends_with("\nweb: 2 of 3 serving\n"), "{list}");
    let failed = machine.run(&["rsgen", "list", "--failed"]).exits(1);
    let rows: Vec<&str> = failed.stdout.lines().skip(1).collect();
    assert!(rows.len() == 2 && rows[0].contains("errored"), "{failed}");
    let json = machine
        .run(&["rsgen", "list", "--failed", "--json"])
        .exits(1);
    assert_eq!(json.stdout.matches("\"version\"").count(), 1, "{json}");
    assert!(json.stdout.contains("\"wanted\": 3"), "{json}");

    deploy(machine, "graceful", ONLY_ONE, "answer");
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 3);
    let none = machine.run(&["rsgen", "list", "--failed"]).ok();
    assert_eq!(none.stdout, "");

    // systemd calls the cluster active, but its status and its lines say how many serve.
    deploy(machine, "graceful", "answer", ONLY_ONE);
    machine
        .systemctl(&["kill", "-s", "KILL", "web@1.service"])
        .ok();
    machine.wait_state("web@1.service", "failed", SOON);
    let line = "web@1.service was given up: exited with status 1; 2 of 3 serving";
    wait_until(SOON, "the line", || {
        machine.systemctl(&["status", "web"]).text().contains(line)
    });
    assert_status_stays_true(machine);
}

/// What systemd itself shows is kept up to date, in units of this version.
fn assert_status_stays_true(machine: &Machine) {
    let status = || machine.property("web.service", "StatusText");
    let shows = |text: &str| wait_until(SOON, text, || status() == text);
    shows("2 of 3 serving, 1 errored");
    machine.run(&["rsgen", "reload", "web"]).exits(1);
    let failed = "the last reload failed: instance 1 failed twice: exited with status 1";
    shows(&format!("2 of 3 serving, 1 errored; {failed}"));
    deploy(machine, "graceful", ONLY_ONE, "answer");
    machine.run(&["rsgen", "start", "web"]).ok();
    shows(&format!("3 of 3 serving; {failed}"));
    machine.run(&["rsgen", "reload", "web"]).ok();
    shows("3 of 3 serving; the last reload replaced all 3");
    machine.run(&["rsgen", "scale", "web", "2"]).ok();
    shows("2 of 2 serving; the last reload replaced all 3");
    machine.run(&["rsgen", "scale", "web", "3"]).ok();
    shows("3 of 3 serving; the last reload replaced all 3");
    machine.run(&["rsgen", "stop", "web@2"]).ok();
    shows("2 of 3 serving; the last reload replaced all 3");
    machine.run(&["rsgen", "start", "web@2"]).ok();
    shows("3 of 3 serving; the last reload replaced all 3");
    deploy(machine, "graceful", "answer", ONLY_ONE);
    machine
        .systemctl(&["kill", "-s", "KILL", "web@1.service"])
        .ok();
    shows("2 of 3 serving, 1 errored; the last reload replaced all 3");
    // systemd knows whose message it is, and warns of none.
    let warnings = ["-u", "web:brake", "-p", "warning", "-q", "-o", "cat"];
    let warned = machine.journalctl(&warnings).ok();
    assert!(!warned.stdout.contains("notification message"), "{warned}");
    // No process stays in the cluster unit.
    wait_until(SOON, "the brake unit to end", || {
        machine.property("web:brake.service", "ActiveState") == "inactive"
    });
    let processes = machine.sh("cat /sys/fs/cgroup/system.slice/web.service/cgroup.procs");
    assert_eq!(processes.stdout, "");

    // Units of an older version: the text is about what has happened, so that what comes after does not make it untrue.
    let old = "sed -i 's/^NotifyAccess=all/NotifyAccess=exec/; /^Delegate=/d' /etc/systemd/system/web.service";
    machine.sh(old).ok();
    machine.systemctl(&["daemon-reload"]).ok();
    deploy(machine, "graceful", ONLY_ONE, "answer");
    machine.systemctl(&["reload", "web"]).ok();
    let now = "`rsgen list web` shows which serve now";
    let done = format!("the last reload replaced all 3; {now}");
    assert_eq!(status(), done);
    machine
        .systemctl(&["kill", "-s", "KILL", "web@1.service"])
        .ok();
    assert_exactly(machine, 3);
    assert_eq!(status(), done);
    let bug = "throw a bug\nanswer";
    deploy(machine, "graceful", "answer", bug);
    machine.run(&["rsgen", "restart", "web"]).exits(1);
    assert_eq!(
        status(),
        format!("no instance came up at the last start; {now}")
    );
    machine.run(&["rsgen", "stop", "web"]).ok();
    deploy(machine, "graceful", "throw a bug\n", "");
    machine.run(&["rsgen", "start", "web"]).ok();
    machine.run(&["rsgen", "stop", "web"]).ok();
    assert_eq!(status(), "");
}

pub(crate) fn of_targets_that_mean_nothing(machine: &mut Machine) {
    install(machine, "graceful.js", "2", BRAKE);
    let before = crate::cluster::pids(machine, 2);
    for (command, why, help) in [
        (
            "list nope",
            "no app `nope` is installed",
            "installed are web",
        ),
        (
            "restart 1",
            "no app `1` is installed",
            "an instance is written `web@1`, all of them are `web`",
        ),
        (
            "start web@12",
            "`web` has 2 instances; the last is `web@1`",
            "run `rsgen scale web 13`",
        ),
        (
            "stop web@12",
            "`web` has 2 instances; the last is `web@1`",
            "run `rsgen list web` to see which run",
        ),
        (
            "restart web@2",
            "`web` has 2 instances",
            "run `rsgen scale web 3`",
        ),
        (
            "reload web@1",
            "`web@1` is one instance; a reload replaces all",
            "run `rsgen reload web`, or for this instance `rsgen restart web@1`",
        ),
        (
            "start /srv/web/graceful.js",
            "is a script, not an app",
            "`web` runs it: `rsgen start web`",
        ),
        (
            "scale web -2",
            "`web` has 2 instances, and -2 leaves none",
            "run `rsgen stop web`",
        ),
    ] {
        let told = machine.sh(&format!("rsgen {command}"));
        assert_ne!(told.status, 0, "{told}");
        let _ = told.says(why).says(help);
    }
    assert_eq!(crate::cluster::pids(machine, 2), before);
    machine.run(&["rsgen", "list", "web.service"]).ok();
    // Follows one of these hints.
    machine.sh("rsgen scale web 3").ok();
    assert_exactly(machine, 3);
}

pub(crate) fn in_the_manager_of_a_user_as_well(machine: &mut Machine) {
    user::log_in(machine);
    machine.write_app("rude.js", "/home/worker");
    let app = "[[apps]]\nname = \"web\"\nscript = \"rude.js\"\nlisten = 3000\nmax_restarts = 1\n";
    machine.write("/home/worker/ecosystem.toml", app);
    user::run(machine, "rsgen --user list")
        .ok()
        .says("begin with `rsgen --user install ecosystem.toml`");
    let told = user::run(machine, "rsgen --user install ecosystem.toml").exits(1);
    assert!(!told.to_string().contains("Failed to connect"), "{told}");
    let hint = told
        .stderr
        .split('`')
        .find(|part| part.starts_with("journalctl "));
    let hint = hint.unwrap_or_else(|| panic!("no hint: {told}"));
    assert_eq!(hint, "journalctl --user -u web -u 'web@*' -n 50");
    // journald finds out late, and not always, to which unit of a user a line of a process belongs that has ended. systemd's own lines
    // say it themselves; that they are stored is waited for, since a user cannot ask for it.
    let journal = || user::run(machine, &format!("{hint} --no-pager"));
    let ended = "web@0.service: Main process exited, code=exited, status=190";
    wait_until(SOON, ended, || journal().stdout.contains(ended));
    let journal = journal().to_string();
    assert!(!journal.contains("Failed to connect"), "{journal}");
    machine
        .journalctl(&["-t", "web", "-o", "cat"])
        .says("errored after 1 quick death, the last: exited with status 1; fix it, then `rsgen --user reload web`");
    user::run(machine, "rsgen --user nonsense web").exits(2);
    let logs = || user::run(machine, "rsgen --user logs web -n all --no-follow").ok();
    for line in [
        "web@0 # Main process exited, code=exited, status=190",
        "web   # Failed to start web.service",
    ] {
        wait_until(SOON, line, || logs().stdout.contains(line));
    }
    assert!(!logs().stdout.contains('\u{1b}'), "{}", logs());
    let history = || user::run(machine, "rsgen --user history web").ok();
    for entry in ["errored  -", "start    worker", "install  worker"] {
        wait_until(SOON, entry, || history().stdout.contains(entry));
    }
}
