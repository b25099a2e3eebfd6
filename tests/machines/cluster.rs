//! What the specs of several topics share: installing an app, and looking at its units.

use std::time::Duration;

use testbed::{Machine, wait_until};

/// A deadline for whatever happens soon, even on a host that is busy with much else.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// The number of reloads under load where one more is one more chance for a loss: what an everyday run needs, or `RELOADS=20`.
pub(crate) fn reloads(everyday: u32) -> u32 {
    let given = std::env::var("RELOADS").ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(everyday)
}

/// The ecosystem file of a spec.
pub(crate) const ECOSYSTEM: &str = "/srv/web/ecosystem.toml";

/// Installs one of `tests/apps` as `web` on port 3000, with more lines for its table.
/// For what a listener for each instance does not have, see "What differs" in docs/balance.md.
pub(crate) const SHARED: &str = "balance = \"shared\"";

pub(crate) fn install(machine: &Machine, app: &str, instances: &str, more: &str) {
    machine.write_app(app, "/srv/web");
    write_ecosystem(machine, app, instances, more);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
}

pub(crate) fn write_ecosystem(machine: &Machine, app: &str, instances: &str, more: &str) {
    let user = if more.contains("user = ") {
        ""
    } else {
        "user = \"www-data\"\n"
    };
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{app}\"\nlisten = 3000\ninstances = {instances}\n{user}{more}\n"
    );
    machine.write(ECOSYSTEM, &text);
}

/// Deploys a changed version of the program: replaces a part of its text.
pub(crate) fn deploy(machine: &Machine, app: &str, from: &str, to: &str) {
    let path = format!("/srv/web/{app}");
    let text = machine.read(&path);
    assert!(text.contains(from), "{from} is not in {text}");
    machine.write(&path, &text.replace(from, to));
}

/// The main PIDs of the first `count` instances, by one command, since specs ask for them often.
pub(crate) fn pids(machine: &Machine, count: u32) -> Vec<u32> {
    let units: Vec<String> = (0..count).map(|i| format!("web@{i}.service")).collect();
    let mut argv = vec!["show", "--value", "-p", "MainPID"];
    argv.extend(units.iter().map(String::as_str));
    let shown = machine.systemctl(&argv).ok();
    let pids: Result<Vec<u32>, _> = shown.text().split_whitespace().map(str::parse).collect();
    let pids = pids.unwrap_or_default();
    assert_eq!(pids.len(), units.len(), "{shown}");
    pids
}

/// The units that systemd has loaded and that are not inactive, as `web@0.service active`.
fn units(machine: &Machine, pattern: &[&str]) -> Vec<String> {
    let list = ["list-units", "--plain", "--no-legend", "--all"];
    let list = machine.systemctl(&[&list[..], pattern].concat());
    let mut found: Vec<String> = list
        .text()
        .lines()
        .filter_map(|l| {
            let words: Vec<&str> = l.split_whitespace().collect();
            let (unit, active) = (words.first()?, words.get(2)?);
            (*active != "inactive").then(|| format!("{unit} {active}"))
        })
        .collect();
    found.sort();
    found
}

fn is_instance(unit: &str) -> bool {
    unit.starts_with("web@") && unit.contains(".service ")
}

/// The instances among the [`units`].
pub(crate) fn instances(machine: &Machine) -> Vec<String> {
    units(machine, &["web@*.service"])
}

/// Waits until exactly `count` instances are active, and no unit has failed.
pub(crate) fn assert_exactly(machine: &Machine, count: u32) {
    let wanted: Vec<String> = (0..count)
        .map(|i| format!("web@{i}.service active"))
        .collect();
    let what = format!("{wanted:?}, no others, and no unit that has failed");
    wait_until(SOON, &what, || {
        let mut units = units(machine, &[]);
        units.retain(|unit| is_instance(unit) || unit.ends_with(" failed"));
        units == wanted
    });
}

/// Waits until `systemctl …` lists nothing. A unit that has ended, or whose files are gone, is forgotten a moment later.
pub(crate) fn wait_until_empty(machine: &Machine, list: &[&str]) {
    wait_until(SOON, &format!("an empty list of {list:?}"), || {
        machine.systemctl(list).text().is_empty()
    });
}

/// Waits until nothing listens on port 3000.
pub(crate) fn wait_closed(machine: &Machine) {
    wait_until(SOON, "the port to be closed", || {
        listener(machine).is_none()
    });
}

/// The inode of the listener on port 3000; `None` when the port is closed.
pub(crate) fn listener(machine: &Machine) -> Option<String> {
    let sockets = machine.run(&["ss", "-Hltne", "sport = :3000"]).ok();
    let line = sockets.text().lines().next()?.to_owned();
    line.split_whitespace()
        .find(|w| w.starts_with("ino:"))
        .map(str::to_owned)
}
