//! Rolls releases out over three hosts behind a load balancer, under load.

use testbed::Output;

use crate::fleet::{Fleet, Host};

const VARIABLES: &str = "\
app_name=web
app_config={\"script\": \"server.js\", \"listen\": 3000, \"instances\": 2, \"user\": \"www-data\"}
app_health_retries=2
";

/// Writes a build that answers with its version, and finishes its requests on the signal as Node's documentation shows.
fn release(fleet: &Fleet, version: &str) -> String {
    let text =
        include_str!("../apps/graceful.js").replace("version 1", &format!("version {version}"));
    write_release(fleet, version, &text)
}

fn write_release(fleet: &Fleet, version: &str, text: &str) -> String {
    let file = fleet.write(&format!("builds/{version}/server.js"), text);
    file.parent().expect("a folder").display().to_string()
}

fn play(fleet: &Fleet, playbook: &str, version: &str, source: &str) -> Output {
    let version = format!("app_version={version}");
    let source = format!("app_source={source}");
    fleet.play(playbook, &["-e", &version, "-e", &source])
}

fn roll(fleet: &Fleet, version: &str, source: &str) -> Output {
    play(fleet, "rsgen.rsgen.rolling", version, source)
}

fn pids(fleet: &Fleet) -> Vec<Vec<u32>> {
    fleet.hosts.iter().map(Host::pids).collect()
}

#[test]
fn a_release_loses_no_request_and_a_bad_one_stops_at_the_first_host() {
    let fleet = Fleet::of(3, VARIABLES);
    let first = release(&fleet, "1");
    play(&fleet, "rsgen.rsgen.one_host", "1", &first).ok();
    fleet.wait_balanced();
    good(&fleet);
    crashing(&fleet);
    sick(&fleet);
}

fn good(fleet: &Fleet) {
    let load = fleet.load(8);
    load.wait_answered(300);
    let before = pids(fleet);
    let second = release(fleet, "2");
    let told = roll(fleet, "2", &second).ok();
    load.wait_answered(300);
    let report = load.stop();
    report.assert_nothing_lost();
    assert!(
        report.with("version 1") > 0 && report.with("version 2") > 0,
        "{report}"
    );
    for (host, before) in fleet.hosts.iter().zip(&before) {
        assert!(host.ask().contains("version 2"), "{told}");
        assert!(host.pids().iter().all(|p| !before.contains(p)), "{told}");
    }
    let before = pids(fleet);
    let again = roll(fleet, "2", &second).ok();
    assert_eq!(again.stdout.matches("changed=0").count(), 3, "{again}");
    assert_eq!(pids(fleet), before);
}

/// A build that does not start replaces no instance, not even on the first host.
fn crashing(fleet: &Fleet) {
    let before = pids(fleet);
    let load = fleet.load(8);
    load.wait_answered(300);
    let crash = write_release(fleet, "3", include_str!("../apps/crash.js"));
    let refused = roll(fleet, "3", &crash)
        .exits(2)
        .says("the canary failed: exited with status 1; every instance still serves what it served")
        .says("this build crashes at its start");
    assert!(!refused.stdout.contains("web2"), "{refused}");
    load.wait_answered(300);
    let report = load.stop();
    report.assert_nothing_lost();
    assert_eq!(report.with("version 2"), report.ok);
    assert_eq!(pids(fleet), before, "{refused}");
}

/// A build that starts but fails its health check. The second host is changed only after the check of the first.
fn sick(fleet: &Fleet) {
    let before = pids(fleet);
    let broken = "{ response.statusCode = 500; response.end(hello); }";
    let sick = include_str!("../apps/graceful.js").replace("response.end(hello)", broken);
    let sick = write_release(fleet, "4", &sick);
    let stopped = roll(fleet, "4", &sick).exits(2).says("HTTP Error 500");
    assert!(!stopped.stdout.contains("web2"), "{stopped}");
    assert_ne!(pids(fleet)[0], before[0], "{stopped}");
    assert_eq!(pids(fleet)[1..], before[1..], "{stopped}");
}
