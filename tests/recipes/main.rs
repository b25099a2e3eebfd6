//! The recipes of docs/recipes on a machine: `make recipes`.
//!
//! Each ecosystem file on the pages is installed as it stands there, and its instances are reloaded under load. The run prints
//! what was lost, since that depends on the program. Not part of `make test`, because the programs come from Debian, PyPI and npm.

#![expect(clippy::unwrap_used, reason = "a run that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "prints the table")]

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use testbed::load::{Loss, Report};
use testbed::{Load, Machine, Release, Traffic, docs, nap, target_dir};

const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recipes");
const CLIENTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);
/// How many tasks a recipe without a port sends, and how long their begin, or their end, is waited for.
const TASKS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let machine = Machine::with_rsgen(Release::Debian12);
    bring_programs(&machine);
    println!(
        "| app | reload took | requests | lost | requests on kept connections | cut | sent again |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut failed = 0;
    for page in pages() {
        let blocks = docs::blocks(&page);
        let is_wanted = |app: &str| wanted.is_empty() || wanted.iter().any(|w| w == app);
        for block in &blocks {
            if !block
                .file
                .as_deref()
                .and_then(app_of)
                .is_some_and(is_wanted)
            {
                continue;
            }
            for script in &block.before {
                machine.run(&["sh", "-ec", script]).ok();
            }
            if let Some(path) = &block.file {
                machine.write(path, &block.text);
            }
        }
        let files = blocks.iter().filter_map(|b| b.file.as_deref());
        let apps = files
            .filter(|f| f.ends_with("/ecosystem.toml"))
            .filter_map(app_of);
        for app in apps.filter(|a| is_wanted(a)) {
            if let Err(why) = measure(&machine, app) {
                failed += 1;
                println!("| {app} | failed |\n{why}");
            }
        }
    }
    ExitCode::from(u8::from(failed > 0))
}

/// The app that a file on a page belongs to: `/srv/APP/server.js`.
fn app_of(file: &str) -> Option<&str> {
    Some(file.strip_prefix("/srv/")?.split_once('/')?.0)
}

fn pages() -> Vec<String> {
    let entries = fs::read_dir(PAGES).unwrap().map(|e| e.unwrap().path());
    let mut paths: Vec<_> = entries.collect();
    paths.sort();
    paths
        .iter()
        .map(|p| fs::read_to_string(p).unwrap())
        .collect()
}

/// Puts what `make recipes` has fetched where the pages have it: Debian's packages in the root, npm's in /srv/node_modules, and
/// PyPI's in the virtual environment /srv/venv.
fn bring_programs(machine: &Machine) {
    let made = target_dir().join("recipes");
    assert!(made.join("debian.tar").exists(), "run `make recipes`");
    machine.copy_in(&made.join("debian.tar"), "/root/debian.tar");
    machine.sh("tar -C / -xf /root/debian.tar && ldconfig").ok();
    machine.copy_in(&made.join("srv/node_modules"), "/srv/node_modules");
    machine.copy_in(&made.join("srv/python"), "/srv/python");
    machine.run(&["mkdir", "/srv/axum"]).ok();
    machine.copy_in(&made.join("axum"), "/srv/axum/server");
    machine
        .sh(
            "python3 -m venv --without-pip /srv/venv\n\
             echo /srv/python >$(echo /srv/venv/lib/python3*/site-packages)/python.pth\n\
             for f in /srv/python/bin/*; do sed '1s,^#!.*,#!/srv/venv/bin/python3,' $f >/srv/venv/bin/${f##*/}; done\n\
             chmod 755 /srv/venv/bin/*",
        )
        .ok();
}

/// Installs the app, reloads it twice under load, prints its row, and uninstalls it.
fn measure(machine: &Machine, app: &str) -> Result<(), String> {
    let file = format!("/srv/{app}/ecosystem.toml");
    let installed = machine.run(&["rsgen", "install", &file]);
    let measured = if installed.status == 0 {
        if machine.read(&file).contains("listen = []") {
            without_a_port(machine, app)
        } else {
            under_load(machine, app)
        }
    } else {
        Err(installed.to_string())
    };
    let script = "journalctl -b -o cat -u web -u 'web@*' | tail -n 40";
    let journal = || machine.sh(script).stdout;
    let row = measured.map_err(|why| format!("{why}\n{}", journal()));
    if std::env::var_os("JOURNAL").is_some() {
        println!("{}", journal());
    }
    machine.run(&["rsgen", "uninstall", "web"]);
    println!("{}", row?);
    Ok(())
}

/// Reloads workers while they have tasks, if the recipe has a script that sends some.
fn without_a_port(machine: &Machine, app: &str) -> Result<String, String> {
    let script = format!("/srv/{app}/send.py");
    let has_tasks = machine.run(&["test", "-f", &script]).status == 0;
    if has_tasks {
        let send = "cd /srv/$1 && setpriv --reuid=www-data --regid=www-data --clear-groups .venv/bin/python3 send.py";
        let sent = machine.run(&["sh", "-c", send, "send", app]);
        if sent.status != 0 {
            return Err(sent.to_string());
        }
    }
    if has_tasks && !come(machine, app, |began, _| began > 0) {
        return Err("no task began".to_owned());
    }
    let reload = machine.run(&["rsgen", "reload", "web"]);
    if reload.status != 0 {
        return Err(reload.to_string());
    }
    let took = reload.took.as_secs_f64();
    if !has_tasks {
        return Ok(format!("| {app} | {took:.1} s | no port |"));
    }
    come(machine, app, |_, ended| ended >= TASKS);
    let (began, ended) = tasks(machine, app);
    let lost = began.saturating_sub(ended);
    Ok(format!(
        "| {app} | {took:.1} s | no port; {began} tasks | {lost} |"
    ))
}

/// Returns how many tasks have begun, and how many have ended.
fn tasks(machine: &Machine, app: &str) -> (usize, usize) {
    let notes = machine.run(&["cat", &format!("/tmp/{app}-notes")]).stdout;
    let count = |word: &str| notes.lines().filter(|line| line.starts_with(word)).count();
    (count("began "), count("ended "))
}

/// Waits for tasks; returns whether they came.
fn come(machine: &Machine, app: &str, is_done: impl Fn(usize, usize) -> bool) -> bool {
    let begun = Instant::now();
    loop {
        let (began, ended) = tasks(machine, app);
        if is_done(began, ended) || begun.elapsed() > PATIENCE {
            return is_done(began, ended);
        }
        nap(Duration::from_millis(100));
    }
}

fn under_load(machine: &Machine, app: &str) -> Result<String, String> {
    let begun = Instant::now();
    while let Err(failure) = machine.get(3000) {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err(format!("{failure:?}"));
        }
        nap(Duration::from_millis(100));
    }
    let (each, took) = reload(machine, false)?;
    let (kept, took_kept) = reload(machine, true)?;
    let of = |kinds: &[Loss]| -> u64 { kinds.iter().filter_map(|k| kept.losses.get(k)).sum() };
    // The server ended a kept connection before it had answered a byte, so a client may send the request again.
    let again = of(&[Loss::Empty, Loss::Reset]);
    let row = format!(
        "| {app} | {:.1} s, {:.1} s | {} | {} | {} | {} | {again} |",
        took.as_secs_f64(),
        took_kept.as_secs_f64(),
        each.sent,
        each.lost,
        kept.sent,
        kept.lost - again,
    );
    let first = each.first_lost.iter().chain(&kept.first_lost).take(3);
    let first: Vec<String> = first.map(|l| format!("{l:?}")).collect();
    Ok([vec![row], first].concat().join("\n"))
}

fn reload(machine: &Machine, keep_alive: bool) -> Result<(Report, Duration), String> {
    let traffic = Traffic::on_port(3000, CLIENTS)
        .pause(PAUSE)
        .keep_alive_if(keep_alive);
    let load = Load::start(machine, &traffic);
    load.wait_answered(100);
    let reload = machine.run(&["rsgen", "reload", "web"]);
    load.wait_answered(100);
    let report = load.stop();
    if reload.status == 0 {
        Ok((report, reload.took))
    } else {
        Err(reload.to_string())
    }
}
