//! The effect on clients when one of four instances is in trouble.

use std::time::Duration;

use testbed::load::Report;
use testbed::{Load, Machine, nap};

use crate::contender::Contender;
use crate::table::{Row, print};
use crate::{CLIENTS, ROUND};

/// Each trouble: its name, the command that begins it, with `PID` for the process, and the command that ends it.
const TROUBLES: [(&str, &str, &str); 4] = [
    ("killed", "kill -KILL PID", "true"),
    (
        "killed and given up",
        "touch /srv/bench/broken; kill -KILL PID",
        "rm /srv/bench/broken",
    ),
    ("stopped for 2 s", "kill -STOP PID", "kill -CONT PID"),
    ("blocked half of the time", "kill -USR2 PID", "true"),
];

/// Measures the traffic while one of several instances is killed, is killed and cannot start again, hangs for [`ROUND`], or has an event loop that is blocked
/// for 100 ms of 200.
pub(crate) fn measure(machine: &Machine, contenders: &[Contender]) {
    let mut rows = Vec::new();
    for (name, begin, end) in TROUBLES {
        for contender in contenders.iter().filter(|c| c.instances > 1) {
            let report = under(machine, contender, begin, end);
            let lost: Vec<String> = report
                .losses
                .iter()
                .map(|(loss, count)| format!("{count} {loss:?}").to_lowercase())
                .collect();
            rows.push(
                Row::new(name)
                    .cell(contender.name.clone())
                    .cell(report.sent.to_string())
                    .cell(lost.join(", "))
                    .cell(format!("{:.1} ms", report.p99_ms))
                    .cell(format!("{:.0} ms", report.max_ms)),
            );
            // Another process replaces the one that is in trouble.
            contender.reload(machine);
        }
    }
    let heads = ["one of four is", "", "requests", "lost", "p99", "slowest"];
    print("One instance in trouble", &heads, rows);
}

fn under(machine: &Machine, contender: &Contender, begin: &str, end: &str) -> Report {
    let warm = contender.load(machine, CLIENTS, false, ROUND);
    let first = warm
        .bodies
        .keys()
        .find_map(|body| body.strip_prefix("pid "));
    let pid = first.unwrap_or_default().to_owned();
    // The processors are not all busy: a queue caused by the load would hide the effect of the trouble.
    let traffic = contender.traffic(CLIENTS, false);
    let load = Load::start(machine, &traffic.pause(Duration::from_millis(10)));
    load.wait_answered(100);
    machine.sh(&begin.replace("PID", &pid)).ok();
    nap(ROUND);
    machine.sh(&end.replace("PID", &pid)).ok();
    load.wait_answered(100);
    load.stop()
}
