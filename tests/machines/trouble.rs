//! One of four instances is stopped, or given up, with a listener for each instance and with one for all.

use std::io::Write;

use testbed::load::{Loss, Report};
use testbed::{Load, Machine, wait_until};

use crate::balance::{connections, kept, short};
use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, write_ecosystem};

/// Prints the slowest request while one of four instances is in trouble.
fn slowest(what: &str, balance: &str, load: Load) -> Report {
    let report = load.stop();
    let _ = writeln!(
        std::io::stderr(),
        "one of four {what}, {balance}: slowest {:.0} ms, {} of {} lost",
        report.max_ms,
        report.lost,
        report.sent
    );
    report
}

/// A program that is killed takes the connections with it that it has accepted, at most one of each client. What waits at its
/// listener is moved to the others, or stays at the shared one.
fn assert_only_what_was_accepted_is_lost(machine: &Machine, report: &Report) {
    let is_accepted = |loss: &Loss| matches!(loss, Loss::Empty | Loss::Reset | Loss::Cut);
    assert!(
        report.lost <= 8 && report.losses.keys().all(is_accepted),
        "{report}"
    );
    let counters = machine.run(&["cat", "/proc/net/netstat"]).ok();
    let lines: Vec<&str> = counters.stdout.lines().collect();
    let [names, values, ..] = lines[..] else {
        panic!("no counters: {counters}");
    };
    let values = values.split_whitespace();
    let mut counters = names.split_whitespace().zip(values);
    let not_moved = counters.find(|(name, _)| *name == "TCPMigrateReqFailure");
    assert!(
        not_moved.is_none_or(|(_, count)| count == "0"),
        "{not_moved:?}"
    );
}

/// With the same troubles for `shared`, to compare the figures of one run.
pub(crate) fn of_one_instance_is_not_that_of_the_others(machine: &mut Machine) {
    machine.power_on_unfiltered();
    for balance in ["shared", "even"] {
        let more = format!("balance = \"{balance}\"\nsettle = 0\nmax_restarts = 2");
        write_ecosystem(machine, "graceful", "4", &more);
        machine.write_app("graceful", "/srv/web");
        let install = ["rsgen", "install", ECOSYSTEM, "--replace-listener"];
        machine.run(&install).ok();
        assert_exactly(machine, 4);

        let stuck = machine.main_pid("web@1.service").to_string();
        let load = short(machine);
        machine.run(&["kill", "-STOP", &stuck]).ok();
        load.wait_answered(400);
        machine.run(&["kill", "-CONT", &stuck]).ok();
        load.wait_answered(100);
        slowest("stopped", balance, load);

        let load = short(machine);
        machine
            .run(&["mv", "/srv/web/graceful", "/srv/web/away"])
            .ok();
        let victim = machine.main_pid("web@2.service").to_string();
        machine.run(&["kill", "-KILL", &victim]).ok();
        wait_until(SOON, "the instance to be given up", || {
            machine.state("web@2.service") == "failed"
        });
        load.wait_answered(200);
        let report = slowest("errored", balance, load);
        assert_only_what_was_accepted_is_lost(machine, &report);
        machine
            .run(&["mv", "/srv/web/away", "/srv/web/graceful"])
            .ok();
    }
    let load = kept(machine, 6);
    let shares = connections(machine, 4);
    assert_eq!((shares[0], shares[1], shares[3]), (2, 2, 2), "{shares:?}");
    load.stop().assert_nothing_lost();
    let load = short(machine);
    machine.run(&["rsgen", "start", "web@2"]).ok();
    machine.systemctl(&["daemon-reexec"]).ok();
    for count in ["8", "2", "4"] {
        machine
            .run(&["rsgen", "install", ECOSYSTEM, "-i", count])
            .ok();
    }
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 4);
}
