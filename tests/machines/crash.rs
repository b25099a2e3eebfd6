//! Instances that die: the port stays open, the others serve, and the reason is reported.

use std::time::{Duration, Instant};

use testbed::{Load, Loss, Machine, Traffic, wait_until};

use crate::balance::EVEN;
use crate::cluster::{
    SHARED, SOON, assert_exactly, deploy, install, listener, pids, write_ecosystem,
};

const ONLY_ONE: &str = "in 1 throw only here\nanswer";

pub(crate) fn one_that_loops_is_given_up_and_the_others_serve(machine: &mut Machine) {
    install(
        machine,
        "graceful",
        "4",
        "max_restarts = 14\nrestart_delay = \"1s\"",
    );
    let inode = listener(machine);
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    deploy(machine, "graceful", "answer", ONLY_ONE);
    machine
        .systemctl(&["kill", "-s", "KILL", "web@1.service"])
        .ok();
    let start = Instant::now();
    wait_until(Duration::from_mins(4), "web@1 to be given up", || {
        machine.state("web@1.service") == "failed"
    });
    // Longer than the intervals of systemd's start and trigger limits, so that either would have taken effect.
    assert!(
        start.elapsed() > Duration::from_secs(12),
        "it looped: {:?}",
        start.elapsed()
    );
    load.wait_answered(100);
    let report = load.stop();
    assert_eq!(listener(machine), inode, "the port never closed");
    // Requests that the killed instance was answering are lost, but no connection is ever refused.
    assert!(!report.losses.contains_key(&Loss::Refused), "{report}");
    let list = machine.run(&["rsgen", "list"]).ok();
    assert!(
        list.stdout.contains("errored") && list.stdout.contains("exited with status 1"),
        "{}",
        list.stdout
    );
    let json = machine.run(&["rsgen", "list", "--json"]).ok();
    assert!(
        json.stdout.contains("\"status\": \"errored\""),
        "{}",
        json.stdout
    );
    machine.wait_state("web.service", "active", SOON);
    let journal = machine.journalctl(&["-t", "web", "-o", "cat"]).ok();
    assert!(
        journal
            .stdout
            .contains("errored after 14 quick deaths in a row"),
        "{}",
        journal.stdout
    );
    let history = machine.run(&["rsgen", "history", "web", "--json"]).ok();
    history
        .says("\"what\": \"crash\"")
        .says("\"what\": \"errored\"");

    deploy(machine, "graceful", ONLY_ONE, "answer");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 4);
}

pub(crate) fn the_pause_grows_when_told(machine: &mut Machine) {
    let more = "max_restarts = 6\nexp_backoff_restart_delay = \"200ms\"";
    install(machine, "graceful", "2", more);
    deploy(machine, "graceful", "answer", ONLY_ONE);
    let start = Instant::now();
    machine
        .systemctl(&["kill", "-s", "KILL", "web@1.service"])
        .ok();
    wait_until(SOON, "web@1 to be given up", || {
        machine.state("web@1.service") == "failed"
    });
    // Each pause is half as long again as the one before: 200, 300, 450, 675 and 1012 ms.
    let pauses = Duration::from_millis(2637);
    assert!(start.elapsed() > pauses, "{:?}", start.elapsed());

    deploy(machine, "graceful", ONLY_ONE, "answer");
    machine.run(&["rsgen", "reset", "web@1"]).ok();
    machine.wait_state("web@1.service", "inactive", SOON);
    let begun = machine.systemctl(&["start", "web@1.service"]).ok();
    assert!(begun.took < Duration::from_secs(10), "{:?}", begun.took);
    assert_exactly(machine, 2);
}

pub(crate) fn all_that_crash_at_their_start_fail_the_cluster_and_a_start_that_opened_the_port_closes_it(
    machine: &mut Machine,
) {
    machine.write_app("graceful", "/srv/web");
    deploy(machine, "graceful", "answer", "throw a bug\nanswer");
    write_ecosystem(
        machine,
        "graceful",
        "2",
        &format!("max_restarts = 3\n{SHARED}"),
    );
    let told = machine
        .run(&["rsgen", "install", crate::cluster::ECOSYSTEM])
        .exits(1);
    assert!(told.stderr.contains("web.service"), "{told:?}");
    // Clients are refused as before, and the files are there.
    told.says("the port is closed again; `rsgen start web` opens it");
    assert_eq!(listener(machine), None);
    assert_eq!(machine.systemctl(&["is-enabled", "web"]).text(), "enabled");
    machine.run(&["rsgen", "list", "web"]).says("errored");
    let told = machine.run(&["rsgen", "start", "web"]).exits(1);
    told.says("the port is closed again; `rsgen start web` opens it");
    assert_eq!(listener(machine), None);
    machine.systemctl(&["start", "web"]).exits(1);
    assert!(listener(machine).is_some());
    let told = machine.run(&["rsgen", "history", "web", "--json"]).ok();
    let failed = told.stdout.split('}').filter(|event| {
        ["\"what\": \"start\"", "\"outcome\": \"failed\""]
            .iter()
            .all(|said| event.contains(said))
    });
    assert_eq!(failed.count(), 3, "{told}");
    write_ecosystem(
        machine,
        "graceful",
        "2",
        &format!("max_restarts = 2\n{SHARED}"),
    );
    let told = machine
        .run(&["rsgen", "install", crate::cluster::ECOSYSTEM])
        .exits(1);
    assert!(!told.stderr.contains("closed"), "{told:?}");
    machine.wait_state("web.service", "failed", SOON);
    assert_eq!(
        machine.run(&["systemctl", "is-system-running"]).text(),
        "degraded"
    );
    assert!(listener(machine).is_some());
    deploy(machine, "graceful", "throw a bug\n", "");
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 2);
}

pub(crate) fn the_last_one_given_up_fails_the_cluster_with_a_reason(machine: &mut Machine) {
    install(
        machine,
        "graceful",
        "2",
        &format!("max_restarts = 3\n{SHARED}"),
    );
    deploy(machine, "graceful", "answer", "throw a bug\nanswer");
    machine
        .systemctl(&["kill", "-s", "KILL", "web@0.service", "web@1.service"])
        .ok();
    wait_until(SOON, "the cluster unit to fail", || {
        machine.state("web.service") == "failed"
    });
    let words = "no instance is left: exited with status 1";
    machine.wait_journal("web.service", words, SOON);
    assert!(listener(machine).is_some(), "the port stays open");
    deploy(machine, "graceful", "throw a bug\n", "");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 2);
}

pub(crate) fn killed_ones_come_back(machine: &mut Machine) {
    kill_one_soon(machine, "");
}

pub(crate) fn killed_ones_with_listeners_of_their_own_come_back(machine: &mut Machine) {
    machine.power_on_unfiltered();
    kill_one_soon(machine, EVEN);
}

/// Kills an instance that has just started.
fn kill_one_soon(machine: &Machine, more: &str) {
    install(machine, "graceful", "2", more);
    let before = pids(machine, 2);
    machine
        .systemctl(&["kill", "-s", "KILL", "web@0.service"])
        .ok();
    wait_until(SOON, "a new process", || {
        let pid = machine.main_pid("web@0.service");
        pid != before[0] && pid != 0 && machine.state("web@0.service") == "active"
    });
    assert_exactly(machine, 2);
    assert_eq!(machine.main_pid("web@1.service"), before[1]);
    // Newer releases of systemd kill the command that counts the death as well.
    wait_until(SOON, "the end to be told", || {
        let history = machine.run(&["rsgen", "history", "web"]).ok();
        history.stdout.contains("killed by SIGKILL")
    });
}

pub(crate) fn what_systemd_cannot_execute_is_not_tried_again(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    machine.run(&["mv", "/srv/web", "/srv/elsewhere"]).ok();
    machine.systemctl(&["restart", "web"]).exits(1);
    machine.wait_state("web@0.service", "failed", SOON);
    assert_eq!(machine.property("web@0.service", "NRestarts"), "0");
    machine.wait_state("web.service", "failed", SOON);
    let list = machine.run(&["rsgen", "list"]).ok();
    assert!(
        list.stdout.contains("errored") && list.stdout.contains("200"),
        "{}",
        list.stdout
    );
    machine.run(&["mv", "/srv/elsewhere", "/srv/web"]).ok();
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 2);
}
