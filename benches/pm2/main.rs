//! Compares rsgen with PM2 and with the bare program, on one machine in one run. All run at the same time on ports of their
//! own, and get the same load in turns, so that the ratios depend little on the machine.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]

mod contender;
mod evenness;
mod herd;
mod table;
mod takeover;
mod trouble;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use testbed::load::Report;
use testbed::{Load, Machine, Release, Traffic, nap};

use contender::{Contender, Kind};
use table::{Row, print};

/// How many times each contender gets the load.
const ROUNDS: usize = 5;
/// How long the load lasts each time.
const ROUND: Duration = Duration::from_secs(2);
/// The number of reloads under load.
const RELOADS: usize = 5;
const CLIENTS: usize = 20;

fn main() -> ExitCode {
    // `cargo test --benches` only runs the program, without measuring.
    if !std::env::args().any(|a| a == "--bench") {
        return ExitCode::SUCCESS;
    }
    let mut machine = Machine::with_rsgen(Release::Debian12);
    // The filter of systemd-nspawn forbids bpf(2), which `balance = "even"` needs.
    machine.power_on_unfiltered();
    if let Err(why) = contender::prepare(&machine) {
        println!("error: {why}");
        return ExitCode::FAILURE;
    }
    println!(
        "{CLIENTS} clients on the same machine, {ROUNDS} rounds of {} s in turns, medians.\n",
        ROUND.as_secs()
    );
    if SECTIONS.iter().any(|(section, _)| is_wanted(section)) {
        measure_managers(&machine);
    }
    if is_wanted("herd") {
        herd::measure(&machine);
    }
    if is_wanted("move") {
        takeover::measure(&machine);
    }
    machine.power_off(testbed::PowerLoss::Clean);
    ExitCode::SUCCESS
}

type Section = fn(&Machine, &[Contender]);

/// The sections that compare the same contenders. `herd` has others, which idle processes of these would slow down.
const SECTIONS: [(&str, Section); 5] = [
    ("throughput", throughput),
    ("evenness", evenness::measure),
    ("trouble", trouble::measure),
    ("reloads", reloads),
    ("memory", memory),
];

/// Whether a section is measured: `cargo bench --bench pm2 -- herd` measures one.
fn is_wanted(section: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let first = named.next();
    first.is_none_or(|first| first == section || named.any(|a| a == section))
}

fn measure_managers(machine: &Machine) {
    let contenders = Contender::all();
    for contender in &contenders {
        contender.start(machine);
    }
    for (section, measure) in SECTIONS {
        if is_wanted(section) {
            measure(machine, &contenders);
        }
    }
    for contender in &contenders {
        contender.remove(machine);
    }
}

/// Measures requests a second, and how long they take.
fn throughput(machine: &Machine, contenders: &[Contender]) {
    for (title, keep_alive) in [("One connection per request", false), ("Keep-alive", true)] {
        let mut reports: Vec<Vec<Report>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (contender, reports) in contenders.iter().zip(&mut reports) {
                reports.push(contender.load(machine, CLIENTS, keep_alive, ROUND));
            }
        }
        let bare = median(reports.first().into_iter().flatten().map(|r| r.rate));
        let rows = contenders.iter().zip(&reports).map(|(contender, reports)| {
            let rate = median(reports.iter().map(|r| r.rate));
            let lost: u64 = reports.iter().map(|r| r.lost).sum();
            Row::new(&contender.name)
                .cell(format!("{rate:.0}/s"))
                .cell(format!("{:.2}", rate / bare))
                .cell(format!(
                    "{:.2} ms",
                    median(reports.iter().map(|r| r.p50_ms))
                ))
                .cell(format!(
                    "{:.2} ms",
                    median(reports.iter().map(|r| r.p99_ms))
                ))
                .cell(lost.to_string())
        });
        let heads = ["", "rate", "to bare", "p50", "p99", "failed"];
        print(title, &heads, rows.collect());
    }
}

/// Measures how a reload affects clients. Every request takes 20 ms.
fn reloads(machine: &Machine, contenders: &[Contender]) {
    let fast = Contender::without_settle(3010, 4);
    for contender in &fast {
        contender.start(machine);
    }
    let mut rows = Vec::new();
    let compared = contenders.iter().filter(|c| c.kind != Kind::Bare);
    for contender in compared.chain(&fast) {
        for (clients, keep_alive) in [("per request", false), ("keep-alive", true)] {
            let traffic = Traffic::on_port(contender.port, CLIENTS)
                .path("/20")
                .pause(Duration::ZERO)
                .keep_alive_if(keep_alive);
            let load = Load::start(machine, &traffic);
            load.wait_answered(100);
            let times = (0..RELOADS).map(|_| {
                let start = Instant::now();
                contender.reload(machine);
                let took = start.elapsed();
                nap(Duration::from_millis(500));
                took.as_secs_f64()
            });
            let took = median(times.collect::<Vec<_>>().into_iter());
            let report = load.stop();
            let losses: Vec<String> = report
                .losses
                .iter()
                .map(|(l, n)| format!("{n} {l:?}"))
                .collect();
            rows.push(
                Row::new(&contender.name)
                    .cell(clients.to_owned())
                    .cell(format!("{took:.1} s"))
                    .cell(report.sent.to_string())
                    .cell(report.lost.to_string())
                    .cell(losses.join(", ").to_lowercase())
                    .cell(format!("{:.0} ms", report.max_ms)),
            );
        }
    }
    let heads = [
        "",
        "clients",
        "one reload",
        "requests",
        "failed",
        "how",
        "slowest",
    ];
    print(&format!("{RELOADS} reloads under load"), &heads, rows);
    for contender in &fast {
        contender.remove(machine);
    }
}

/// Measures the memory that is needed beside the program. Shared pages count in proportion.
fn memory(machine: &Machine, contenders: &[Contender]) {
    let rows = contenders
        .iter()
        .filter(|c| c.kind != Kind::Bare)
        .map(|contender| {
            let kilobytes = contender.overhead(machine);
            Row::new(&contender.name).cell(format!("{:.1} MB", kilobytes / 1024.0))
        });
    print(
        "Memory of the manager",
        &["", "resident (PSS)"],
        rows.collect(),
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
