//! The share of each instance.

use std::time::Duration;

use testbed::load::Report;
use testbed::{Load, Machine, nap, wait_for};

use crate::contender::Contender;
use crate::table::{Row, print};
use crate::{CLIENTS, ROUND};

/// Measures the share of each instance of the requests, if each has a connection of its own, and of kept
/// connections before and after a reload.
pub(crate) fn measure(machine: &Machine, contenders: &[Contender]) {
    let clusters = contenders.iter().filter(|c| c.instances > 1);
    let rows = clusters.map(|contender| {
        let each = contender.load(machine, CLIENTS, false, ROUND);
        let row = Row::new(&contender.name).cell(shares(&each, contender.instances));
        [8, 200].iter().fold(row, |row, &clients| {
            let [before, after] = kept(machine, contender, clients);
            row.cell(before).cell(after)
        })
    });
    let heads = [
        "",
        "requests, in %",
        "8 kept connections",
        "after a reload",
        "200 kept connections",
        "after a reload",
    ];
    print("Share of each instance", &heads, rows.collect());
}

/// The connections of each instance before and after a reload.
fn kept(machine: &Machine, contender: &Contender, clients: usize) -> [String; 2] {
    let traffic = contender.traffic(clients, true);
    let load = Load::start(machine, &traffic.pause(Duration::from_millis(20)));
    let count = || {
        // Soon after a reload some clients are about to connect again.
        let all =
            || Some(contender.connections(machine)).filter(|c| c.iter().sum::<usize>() >= clients);
        let counts = wait_for(Duration::from_secs(10), "all clients to be connected", all);
        let shown: Vec<String> = counts.iter().map(usize::to_string).collect();
        shown.join(" ")
    };
    nap(ROUND);
    let before = count();
    contender.reload(machine);
    nap(ROUND);
    let after = count();
    load.stop();
    [before, after]
}

fn shares(report: &Report, instances: usize) -> String {
    let mut shares: Vec<u64> = report
        .bodies
        .values()
        .map(|n| n * 100 / report.ok.max(1))
        .collect();
    shares.resize(instances.max(shares.len()), 0);
    shares.sort_unstable_by(|a, b| b.cmp(a));
    let shares: Vec<String> = shares.iter().map(u64::to_string).collect();
    shares.join(" ")
}
