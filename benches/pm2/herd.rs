//! Connections that each carry one request, with an increasing number of instances: those that wait on one listener are all woken.

use std::collections::BTreeMap;

use testbed::Machine;
use testbed::load::Report;

use crate::contender::Contender;
use crate::table::{Row, print};
use crate::{ROUND, ROUNDS, median};

const CLIENTS: usize = 32;
const PORT: u16 = 3100;
/// How many requests an instance answers before it is measured. Node's compiler needs some five thousand of this program until a request
/// costs a third of what the first ones do, and sixteen instances would not have had so many by the end of the rounds.
const WARM: u64 = 6000;
/// The bound on that, as a multiple: with a shared listener some instances get few of the requests.
const LONGEST: u64 = 3;

/// Measures requests a second, processor time for each, and the slowest of a hundred, with 2 to 16 instances.
pub(crate) fn measure(machine: &Machine) {
    let mut rows = Vec::new();
    for instances in [2, 4, 8, 16] {
        let clusters = Contender::clusters(PORT, instances);
        for contender in &clusters {
            contender.start(machine);
        }
        for contender in &clusters {
            warm_up(machine, contender);
        }
        rows.extend(compare(machine, &clusters));
        for contender in &clusters {
            contender.remove(machine);
        }
    }
    let heads = ["", "rate", "to shared", "CPU per request", "p99", "failed"];
    print("One connection per request, 32 clients", &heads, rows);
}

/// Sends requests until each instance has answered enough of them.
fn warm_up(machine: &Machine, contender: &Contender) {
    let instances = u64::try_from(contender.instances).unwrap_or(u64::MAX);
    let mut answered: BTreeMap<String, u64> = BTreeMap::new();
    let is_warm = |answered: &BTreeMap<String, u64>| {
        let least = answered.values().min().copied().unwrap_or(0);
        let all: u64 = answered.values().sum();
        let are_all_there = answered.len() >= contender.instances;
        (are_all_there && least >= WARM) || all >= instances * WARM * LONGEST
    };
    while !is_warm(&answered) {
        let report = contender.load(machine, CLIENTS, false, ROUND);
        assert!(report.ok > 0, "{} answers: {report}", contender.name);
        for (body, count) in report.bodies {
            *answered.entry(body).or_default() += count;
        }
    }
}

fn compare(machine: &Machine, clusters: &[Contender]) -> Vec<Row> {
    let mut rounds: Vec<Vec<(Report, f64)>> = clusters.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (contender, rounds) in clusters.iter().zip(&mut rounds) {
            let before = contender.cpu(machine);
            let report = contender.load(machine, CLIENTS, false, ROUND);
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let each = (contender.cpu(machine) - before) as f64 / report.ok.max(1) as f64;
            rounds.push((report, each / 1000.0));
        }
    }
    let rate = |rounds: &[(Report, f64)]| median(rounds.iter().map(|(r, _)| r.rate));
    let shared = rounds.first().map_or(f64::NAN, |first| rate(first));
    let row = |(contender, rounds): (&Contender, &Vec<(Report, f64)>)| {
        let failed: u64 = rounds.iter().map(|(r, _)| r.lost).sum();
        Row::new(&contender.name)
            .cell(format!("{:.0}/s", rate(rounds)))
            .cell(format!("{:.2}", rate(rounds) / shared))
            .cell(format!(
                "{:.0} µs",
                median(rounds.iter().map(|(_, cpu)| *cpu))
            ))
            .cell(format!(
                "{:.1} ms",
                median(rounds.iter().map(|(r, _)| r.p99_ms))
            ))
            .cell(failed.to_string())
    };
    clusters.iter().zip(&rounds).map(row).collect()
}
