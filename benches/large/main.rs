//! Measures a host with many instances: an app of 64 instances, and 200 apps of 4. `make large` fails if a reload loses a
//! request; the times are for people, beside those of systemctl(1). `cargo bench --bench large -- 20` uses 20 apps, and with the
//! word `looks` it reloads nothing. With `bare` the program is the client of the module of that name, for use in a machine.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]

mod bare;

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use testbed::{Load, Machine, PowerLoss, Release, Traffic, wait_until};

const INSTANCES: u32 = 64;
/// The default number of apps.
const APPS: u16 = 200;
/// The number of apps that one command installs, so that it does not exceed the time limit of commands.
const AT_ONCE: u16 = 20;
/// The port of the big app, and the first of the others.
const PORT: u16 = 3000;
const PORTS: u16 = 20000;
/// The number of apps that get load while all are reloaded.
const LOADED: u16 = 4;
const CLIENTS: usize = 4;
const ROUNDS: usize = 7;
const LIMIT: Duration = Duration::from_hours(1);
/// This program in a machine.
const BARE: &str = "/srv/bare";

fn main() -> ExitCode {
    // `cargo test --benches` only runs the program, without measuring.
    if !std::env::args().any(|a| a == "--bench") {
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "bare") {
        return bare(&words);
    }
    let mut machine = Machine::with_rsgen(Release::Debian13);
    let Ok(own) = std::env::current_exe() else {
        return ExitCode::FAILURE;
    };
    machine.copy_in(&own, BARE);
    install(&machine, "big", INSTANCES, PORT..=PORT);
    let services = numbered("big", INSTANCES);
    looks(
        &machine,
        ("big*", &services),
        &format!("1 app of {INSTANCES}"),
    );
    let reloads = !std::env::args().any(|a| a == "looks");
    let mut lost = 0;
    if reloads {
        lost += walk(&machine, "big", INSTANCES, &[PORT]);
    }
    machine.run(&["rsgen", "uninstall", "big"]).ok();
    let apps = std::env::args()
        .find_map(|a| a.parse().ok())
        .unwrap_or(APPS);
    for first in (0..apps).step_by(usize::from(AT_ONCE)) {
        let end = apps.min(first + AT_ONCE);
        install(&machine, "app", 4, PORTS + first..=PORTS + end - 1);
    }
    let services = (0..apps).flat_map(|app| numbered(&format!("app{app}"), 4));
    let services: Vec<String> = services.collect();
    looks(&machine, ("app*", &services), &format!("{apps} apps of 4"));
    if reloads {
        // The first and the last are among them.
        let loaded = (0..LOADED).map(|n| PORTS + n * (apps - 1) / (LOADED - 1));
        let loaded: Vec<u16> = loaded.collect();
        lost += walk(&machine, "all", u32::from(apps) * 4, &loaded);
    }
    machine.power_off(PowerLoss::Cut);
    println!("lost: {lost}");
    ExitCode::from(u8::from(lost > 0))
}

/// Installs an app for each port. The server starts in a millisecond, and needs hardly any memory.
fn install(machine: &Machine, name: &str, instances: u32, ports: std::ops::RangeInclusive<u16>) {
    let folder = format!("/srv/{name}-{}", ports.start());
    let (mut file, mut programs) = (String::new(), String::new());
    for port in ports {
        let app = if port == PORT {
            name.to_owned()
        } else {
            format!("{name}{}", port - PORTS)
        };
        let _ = write!(
            file,
            "[[apps]]\nname = \"{app}\"\nscript = \"{app}\"\nlisten = {port}\ninstances = {instances}\nsettle = 0\nuser = \"www-data\"\n\n"
        );
        let _ = writeln!(
            programs,
            "printf '#!/usr/lib/testbed/server\\nanswer $PID\\ntakes 5\\nlisten {port}\\nfinish SIGINT\\n' >{app}; chmod +x {app}"
        );
    }
    machine.write(&format!("{folder}/ecosystem.toml"), &file);
    machine.sh(&format!("cd {folder}; {programs}")).ok();
    let path = format!("{folder}/ecosystem.toml");
    machine.run(&["rsgen", "install", &path]).ok();
}

/// The instances of an app.
fn numbered(app: &str, instances: u32) -> Vec<String> {
    let service = |number| format!("{app}@{number}.service");
    (0..instances).map(service).collect()
}

/// Prints how long systemd takes for the queries of `rsgen list` alone.
fn bare(words: &[String]) -> ExitCode {
    let services = words.get(1..).unwrap_or_default();
    let services: Vec<String> = services
        .iter()
        .filter(|word| *word != "--bench")
        .cloned()
        .collect();
    let globs = ["*.service", "*.socket", "*.timer"];
    match bare::ask(&globs, &services) {
        Ok(took) => println!("{}", took.as_secs_f64()),
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Prints the times of commands that look at everything, beside those of systemctl(1): a list of units is one query for it, and `systemctl
/// show` gets the properties of the instances that `rsgen list` shows. The queries of `rsgen list` alone take a part of that time.
fn looks(machine: &Machine, (units, services): (&str, &[String]), what: &str) {
    let properties = "ActiveEnterTimestampMonotonic,MainPID,NRestarts,MemoryCurrent,CPUUsageNSec";
    let commands = [
        "rsgen list".to_owned(),
        "rsgen list --json".to_owned(),
        "rsgen metrics".to_owned(),
        format!("systemctl list-units {units}"),
        format!("systemctl show -p {properties} {units}"),
    ];
    let mut times: Vec<(Vec<f64>, Vec<f64>)> =
        commands.iter().map(|_| Default::default()).collect();
    // In turns, so that other load on the machine affects all.
    let mut bare = Vec::new();
    for _ in 0..ROUNDS {
        let services = services.iter().map(String::as_str);
        let words: Vec<&str> = [BARE, "bare"]
            .into_iter()
            .chain(services)
            .chain(["--bench"])
            .collect();
        bare.extend(machine.run(&words).ok().stdout.trim().parse::<f64>());
        for (command, (wall, own)) in commands.iter().zip(&mut times) {
            let measured = format!("TIMEFORMAT='%3R %3U %3S'; time {command} >/dev/null");
            let ran = machine.run(&["bash", "-c", &measured]).ok();
            let seconds = ran.stderr.split_whitespace().map(str::parse::<f64>);
            let seconds: Vec<f64> = seconds.filter_map(Result::ok).collect();
            wall.extend(seconds.first());
            own.push(seconds.iter().skip(1).sum());
        }
    }
    for (command, (wall, own)) in commands.iter().zip(times) {
        println!(
            "{command}, {what}: {:.0} ms, of which the command itself computes {:.0} ms",
            median(wall) * 1000.0,
            median(own) * 1000.0
        );
    }
    println!(
        "the questions of `rsgen list` to systemd alone, {what}: {:.0} ms",
        median(bare) * 1000.0
    );
}

/// Reloads under load, and returns how many requests were lost.
fn walk(machine: &Machine, target: &str, instances: u32, ports: &[u16]) -> u64 {
    let traffic = ports.iter().map(|port| Traffic::on_port(*port, CLIENTS));
    let loads: Vec<Load> = traffic.map(|t| Load::start(machine, &t)).collect();
    for load in &loads {
        load.wait_answered(50);
    }
    let start = Instant::now();
    // The reload takes longer than a command may.
    let run = [
        "systemd-run",
        "--quiet",
        "--unit=walk",
        "--property=RemainAfterExit=yes",
    ];
    let run = [&run[..], &["rsgen", "reload", target]].concat();
    machine.run(&run).ok();
    let is_over = || {
        matches!(
            &*machine.property("walk.service", "SubState"),
            "exited" | "failed"
        )
    };
    wait_until(LIMIT, "the end of the reload", is_over);
    let took = start.elapsed();
    let is_good = machine.property("walk.service", "Result") == "success";
    assert!(is_good, "{}", machine.journalctl(&["-u", "walk.service"]));
    machine.systemctl(&["stop", "walk.service"]).ok();
    let reports: Vec<_> = loads.into_iter().map(Load::stop).collect();
    let lost = reports.iter().map(|report| report.lost).sum();
    println!(
        "rsgen reload {target}: {:.1} s, {:.0} ms for each of {instances}; {} requests, {lost} lost",
        took.as_secs_f64(),
        took.as_secs_f64() * 1000.0 / f64::from(instances),
        reports.iter().map(|report| report.sent).sum::<u64>()
    );
    lost
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
