//! The move of an app from PM2, under load, in the order of docs/from-pm2.md and in another: the lost requests, and the longest time without an
//! answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use testbed::load::{Loss, Report};
use testbed::{Load, Machine, Traffic, nap, wait_until};

use crate::contender::SERVER;
use crate::table::{Row, print};
use crate::{CLIENTS, median};

const PORT: u16 = 3200;
const ROUNDS: usize = 3;
const FILE: &str = "/srv/move/ecosystem.config.js";
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a client waits for an answer.
const HANGS: Duration = Duration::from_secs(5);

/// The values of `exec_mode`, with the number of instances.
const MODES: [(&str, usize); 2] = [("cluster", 2), ("fork", 1)];

/// The two orders, as shell scripts; `pm2` runs PM2 as the user who has started the app.
const WAYS: [(&str, &str); 2] = [
    (
        "delete, install, save",
        "pm2 delete web && rsgen install /srv/move/ecosystem.toml && pm2 save --force",
    ),
    (
        "delete, save, install",
        "pm2 delete web && pm2 save --force && rsgen install /srv/move/ecosystem.toml",
    ),
];

/// Runs PM2 as www-data; its daemon keeps running as that user.
const PM2: &str = "#!/bin/sh\n\
    exec setpriv --reuid=www-data --regid=www-data --clear-groups env PM2_HOME=/srv/move/.pm2 \
    node /srv/bench/node_modules/pm2/bin/pm2 \"$@\"\n";

/// The move of an app, as its clients saw it.
struct Moved {
    report: Report,
    gap: Duration,
    took: Duration,
}

/// Moves an app repeatedly, and prints the losses.
pub(crate) fn measure(machine: &Machine) {
    machine.write("/srv/move/server.js", SERVER);
    machine.write("/usr/local/bin/pm2", PM2);
    machine.run(&["chmod", "755", "/usr/local/bin/pm2"]).ok();
    let mut rows = Vec::new();
    for (mode, instances) in MODES {
        for (name, way) in WAYS {
            let moves: Vec<Moved> = (0..ROUNDS)
                .map(|_| once(machine, mode, instances, way))
                .collect();
            let mut losses: BTreeMap<Loss, u64> = BTreeMap::new();
            for (loss, count) in moves.iter().flat_map(|m| &m.report.losses) {
                *losses.entry(*loss).or_default() += count;
            }
            let losses: Vec<String> = losses.iter().map(|(l, n)| format!("{n} {l:?}")).collect();
            let lost: Vec<String> = moves.iter().map(|m| m.report.lost.to_string()).collect();
            let middle =
                |of: fn(&Moved) -> Duration| median(moves.iter().map(|m| of(m).as_secs_f64()));
            rows.push(
                Row::new(&format!("{mode}: {name}"))
                    .cell(format!("{:.1} s", middle(|m| m.took)))
                    .cell(lost.join(", "))
                    .cell(losses.join(", ").to_lowercase())
                    .cell(format!("{:.2} s", middle(|m| m.gap)))
                    .cell(format!(
                        "{:.0} ms",
                        median(moves.iter().map(|m| m.report.max_ms))
                    )),
            );
        }
    }
    let heads = ["", "took", "failed", "all, how", "longest gap", "slowest"];
    print(&format!("{ROUNDS} moves from PM2 under load"), &heads, rows);
}

fn once(machine: &Machine, mode: &str, instances: usize, way: &str) -> Moved {
    let config = format!(
        "module.exports = {{ apps: [{{ name: 'web', script: 'server.js', cwd: '/srv/move', exec_mode: '{mode}', \
         instances: {instances}, env: {{ PORT: {PORT} }} }}] }};\n"
    );
    machine.write(FILE, &config);
    machine.run(&["chown", "-R", "www-data:", "/srv/move"]).ok();
    let start = [
        "systemd-run",
        "--unit=pm2",
        "--property=Type=forking",
        "pm2",
        "start",
        FILE,
    ];
    machine.run(&start).ok();
    let is_served = || machine.get(PORT).is_ok();
    wait_until(PATIENCE, "PM2's app", is_served);
    machine.run(&["rsgen", "import", FILE, "--force"]).ok();
    machine
        .run(&["rsgen", "check", "/srv/move/ecosystem.toml"])
        .ok();

    let mut traffic = Traffic::on_port(PORT, CLIENTS).path("/20");
    // A connection that PM2's daemon has passed to a worker which it then ends stays open as long as the daemon runs.
    traffic.request.patience = HANGS;
    let load = Load::start(machine, &traffic);
    load.wait_answered(500);
    let start = Instant::now();
    let moving = machine.spawn(&["bash", "-c", way]);
    let gap = longest_gap(&load, || moving.is_over());
    let took = start.elapsed();
    moving.wait().ok();
    load.wait_answered(100);
    let report = load.stop();
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    machine.run(&["pm2", "kill"]).ok();
    wait_until(PATIENCE, "PM2 to end", || {
        machine.state("pm2.service") != "active"
    });
    machine.run(&["systemctl", "reset-failed"]).ok();
    Moved { report, gap, took }
}

/// The longest time without an answer to any client, until something is over.
fn longest_gap(load: &Load, is_over: impl Fn() -> bool) -> Duration {
    let (mut longest, mut last, mut count) = (Duration::ZERO, Instant::now(), load.answered());
    loop {
        nap(Duration::from_millis(1));
        let over = is_over();
        let now = load.answered();
        if now != count || over {
            longest = longest.max(last.elapsed());
            (last, count) = (Instant::now(), now);
        }
        if over {
            return longest;
        }
    }
}
