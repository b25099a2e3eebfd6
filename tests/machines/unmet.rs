//! Conditions of systemd.unit(5) that do not hold, and instances beyond the number of an app: commands tell the one, and end the other.

use testbed::runner::Spec;
use testbed::{Machine, Output, specs};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, install, pids, write_ecosystem};
use crate::unmet;

pub(crate) const SPECS: &[Spec] = specs![
    unmet::a_condition_that_does_not_hold_is_told_by_each_command,
    unmet::a_condition_keeps_a_rehearsal_and_a_run_of_a_job_down,
    unmet::instances_beyond_the_number_are_stopped_by_an_install,
];

const TOLD: &str = "not started, because `ConditionPathExists=/srv/ok` did not hold";

/// Asserts that nobody has waited for READY, and that systemd was not asked to start an instance again and again.
fn assert_told_at_once(told: Output) {
    // On a busy machine the command itself may take its time.
    assert!(!told.stdout.contains("not READY yet"), "{told}");
    let told = told.exits(1).says(TOLD);
    drop(told);
}

fn a_condition_that_does_not_hold_is_told_by_each_command(machine: &mut Machine) {
    let keys = "settle = 0\nunit.ConditionPathExists = \"/srv/ok\"";
    machine.write_app("graceful", "/srv/web");
    write_ecosystem(machine, "graceful", "2", keys);
    let run = |command: &str| machine.sh(&format!("rsgen {command}"));
    let hold = |holds: bool| {
        let command = if holds { "touch /srv/ok" } else { "rm /srv/ok" };
        machine.sh(command).ok();
    };
    for command in [&format!("install {ECOSYSTEM}"), "start web", "restart web"] {
        let told = run(command).says(&format!(" of web.service failed: {TOLD}"));
        assert_told_at_once(told.says("remove it from `[apps.unit]`"));
        // From then on, systemd does not know any more which condition it was.
        machine.systemctl(&["daemon-reload"]).ok();
        let list = run("list web").says("stopped").says(TOLD);
        assert!(!list.stdout.contains("exited"), "{list}");
        let described = run("describe web").ok().says(TOLD);
        drop(described);
    }
    let journal = machine.journal("web@0");
    assert!(journal.lines().count() < 10, "{journal}");
    hold(true);
    run("start web").ok();
    assert_exactly(machine, 2);
    // The canary is not started, so the others stay.
    let before = pids(machine, 2);
    hold(false);
    assert_told_at_once(run("reload web"));
    assert_eq!(pids(machine, 2), before);
    run("stop web@1").ok();
    assert_told_at_once(run("start web@1"));
    run("list").ok().says(TOLD);
    let told = run(&format!("install {ECOSYSTEM}"));
    let told = told
        .says("web: 1 of 2 serving; web@1.service: not started")
        .says("`[apps.unit]`");
    assert_told_at_once(told);
    hold(true);
    run(&format!("install {ECOSYSTEM}")).ok().says("start");
    assert_exactly(machine, 2);
    // An assertion fails the job as well.
    machine.run(&["rsgen", "stop", "web"]).ok();
    let keys = "settle = 0\nunit.AssertPathExists = \"!/srv/ok\"";
    write_ecosystem(machine, "graceful", "2", keys);
    let told = run(&format!("install {ECOSYSTEM}")).exits(1);
    drop(told.says("`AssertPathExists=!/srv/ok` did not hold"));
    hold(false);
    run("start web").ok();
    hold(true);
    let told = run("restart web@1").exits(1);
    drop(
        told.says(
            "restart of web@1.service failed: not started, because `AssertPathExists=!/srv/ok`",
        ),
    );
}

fn a_condition_keeps_a_rehearsal_and_a_run_of_a_job_down(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    let text = "[[apps]]\nname = \"web\"\nscript = \"graceful\"\nuser = \"www-data\"\nunit.ConditionPathExists = \"/srv/ok\"\n";
    machine.write(ECOSYSTEM, text);
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    drop(told.says("`web` was not started for its rehearsal, because `ConditionPathExists=/srv/ok` did not hold"));
    let text = "[[apps]]\nname = \"backup\"\nscript = \"/bin/true\"\ncwd = \"/\"\nschedule = \"daily\"\nuser = \"www-data\"\n\
                unit.ConditionPathExists = \"/srv/ok\"\n";
    machine.write(ECOSYSTEM, text);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    // To systemd this is no failure, and a timer of its own would go on as well.
    let told = machine.run(&["rsgen", "start", "backup"]).ok();
    drop(told.says("backup: 0 of 1 done; `rsgen logs backup` shows"));
    let list = machine.run(&["rsgen", "list", "backup"]).ok();
    drop(list.says("0 of 1 done ").says("s ago"));
    let line = format!("backup@0.service: {TOLD}");
    machine.wait_journal("backup", &line, SOON);
    machine.wait_journal("backup", "0 of 1 done", SOON);
    // A run that fails, and one that is skipped after it.
    machine.sh("touch /srv/ok").ok();
    let broken = text.replace("/bin/true", "/bin/false");
    machine.write(ECOSYSTEM, &broken);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.run(&["rsgen", "start", "backup"]).exits(1);
    machine.run(&["rsgen", "list", "backup"]).says("failed");
    machine.sh("rm /srv/ok").ok();
    machine.run(&["rsgen", "start", "backup"]).ok();
    let list = machine.run(&["rsgen", "list", "backup"]).ok();
    assert!(!list.stdout.contains("failed"), "{list}");
    machine.run(&["rsgen", "list", "--failed"]).ok();
}

fn instances_beyond_the_number_are_stopped_by_an_install(machine: &mut Machine) {
    install(machine, "graceful", "1", "settle = 0");
    machine.systemctl(&["start", "web@2.service"]).ok();
    let again = |words: &str| {
        let told = machine.sh(&format!("rsgen install {ECOSYSTEM} {words}"));
        told.ok()
    };
    drop(again("--dry-run").says("web: would stop the instances beyond its number"));
    let before = pids(machine, 1);
    drop(
        again("")
            .says("web: has 1 instance: stopping web@2")
            .says("web@2: stop done"),
    );
    assert_exactly(machine, 1);
    assert_eq!(pids(machine, 1), before);
    drop(again("").says("nothing to do"));
}
