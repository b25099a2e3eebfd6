//! `balance = "even"`: a listener for each instance, and a selector in the kernel that gives each its share.

use std::io::Write;
use std::time::Duration;

use testbed::{Load, Machine, PowerLoss, Traffic, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, install, pids, write_ecosystem};

pub(crate) const EVEN: &str = "balance = \"even\"\nsettle = 0";
const MAPS: &str = "/run/rsgen/:balance/maps";

/// How many connections each of the first `count` instances has.
fn connections(machine: &Machine, count: u32) -> Vec<usize> {
    let shown = machine.run(&["ss", "-Htnp", "state", "established", "sport = :3000"]);
    let of = |pid: &u32| shown.text().matches(&format!("pid={pid},")).count();
    pids(machine, count).iter().map(of).collect()
}

fn kept(machine: &Machine, clients: usize) -> Load {
    let traffic = Traffic::on_port(3000, clients).keep_alive();
    let load = Load::start(machine, &traffic.pause(Duration::from_millis(5)));
    load.wait_answered(u64::try_from(clients).unwrap_or(0) * 4);
    load
}

fn short(machine: &Machine) -> Load {
    let traffic = Traffic::on_port(3000, 8).pause(Duration::from_millis(2));
    let load = Load::start(machine, &traffic);
    load.wait_answered(200);
    load
}

/// The sockets that listen on the port.
fn listeners(machine: &Machine) -> usize {
    let sockets = machine.run(&["ss", "-Hltn", "sport = :3000"]).ok();
    sockets.text().lines().count()
}

pub(crate) fn gives_each_instance_its_share_through_reload_and_stop(machine: &mut Machine) {
    // The filter of systemd-nspawn forbids bpf(2).
    machine.power_on_unfiltered();
    install(machine, "graceful.js", "4", EVEN);
    assert_exactly(machine, 4);
    machine.run(&["rsgen", "list"]).ok().says("3000 even");
    let load = kept(machine, 8);
    assert_eq!(connections(machine, 4), [2, 2, 2, 2]);
    load.stop().assert_nothing_lost();

    let before = pids(machine, 4);
    let load = kept(machine, 40);
    machine.systemctl(&["reload", "web"]).ok();
    wait_until(SOON, "every client to be connected again", || {
        connections(machine, 4).iter().sum::<usize>() == 40
    });
    let shares = connections(machine, 4);
    // Clients that come back before the newcomer is on go to the others.
    assert!(shares.iter().all(|share| *share >= 3), "{shares:?}");
    load.stop().assert_nothing_lost();
    assert!(pids(machine, 4).iter().all(|pid| !before.contains(pid)));
    assert_exactly(machine, 4);
    assert_eq!(listeners(machine), 4, "that of the canary is closed");
    let load = kept(machine, 8);
    assert_eq!(connections(machine, 4), [2, 2, 2, 2]);
    load.stop().assert_nothing_lost();

    machine.run(&["rsgen", "stop", "web"]).ok();
    assert_eq!(listeners(machine), 0);
    machine.systemctl(&["start", "web"]).ok();
    assert_exactly(machine, 4);
    machine.systemctl(&["restart", "web"]).ok();
    assert_exactly(machine, 4);
    assert_eq!(listeners(machine), 4);
    machine.systemctl(&["stop", "web"]).ok();
    assert_eq!(listeners(machine), 0);
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    let left = machine.sh(&format!(
        "ls {MAPS} | grep -v debug; ls /etc/systemd/system | grep web || true"
    ));
    assert_eq!(left.ok().text(), "");
}

pub(crate) fn loses_no_connection_to_a_crash_another_number_or_lost_maps(machine: &mut Machine) {
    machine.power_on_unfiltered();
    install(machine, "graceful.js", "4", EVEN);
    let load = short(machine);
    for count in [2, 4] {
        machine
            .run(&["rsgen", "install", ECOSYSTEM, "-i", &count.to_string()])
            .ok();
        assert_exactly(machine, count);
        assert_eq!(Some(listeners(machine)), usize::try_from(count).ok());
    }
    // As if an older rsgen had loaded it.
    let rename = format!("cd {MAPS}/web/0 && mv selector-* selector-0");
    machine.sh(&rename).ok();
    machine.systemctl(&["restart", "web@0"]).ok();
    let files = machine.sh(&format!("ls {MAPS}/web/0 | grep selector"));
    assert_eq!(files.ok().text(), "selector-2");
    machine.run(&["rm", "-r", &format!("{MAPS}/web")]).ok();
    machine.systemctl(&["reload", "web"]).ok();
    load.wait_answered(100);
    load.stop().assert_nothing_lost();
    let load = kept(machine, 8);
    assert_eq!(connections(machine, 4), [2, 2, 2, 2]);
    load.stop();

    let load = short(machine);
    let victim = machine.main_pid("web@1.service").to_string();
    machine.run(&["kill", "-KILL", &victim]).ok();
    wait_until(SOON, "another process", || {
        let pid = machine.main_pid("web@1.service");
        pid != 0 && pid.to_string() != victim
    });
    assert_exactly(machine, 4);
    load.wait_answered(200);
    let report = load.stop();
    let slowest = report.max_ms;
    let _ = writeln!(std::io::stderr(), "one of four killed: {slowest:.0} ms");
    assert!(report.lost <= 8, "only what it was answering: {report}");
    assert!(!report.to_string().contains("Refused"), "{report}");
    assert_eq!(listeners(machine), 4);
}

pub(crate) fn comes_back_at_boot_and_goes_only_when_told_to(machine: &mut Machine) {
    // The filter of systemd-nspawn forbids bpf(2).
    machine.power_on_unfiltered();
    let without = "setpriv --bounding-set -sys_admin,-bpf,-perfmon";
    machine.write_app("graceful.js", "/srv/web");
    write_ecosystem(machine, "graceful.js", "4", EVEN);
    machine
        .sh(&format!("{without} rsgen install {ECOSYSTEM}"))
        .exits(1)
        .says("`web` cannot have `balance = \"even\"`: the kernel refuses a selector: Operation not permitted")
        .says("write `balance = \"shared\"`");
    machine
        .sh(&format!("{without} rsgen check {ECOSYSTEM}"))
        .exits(3)
        .says("the kernel refuses a selector");
    machine
        .run(&["rsgen", "check", ECOSYSTEM])
        .ok()
        .says("connections go to the instances in turn");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.power_off(PowerLoss::Clean);
    machine.power_on_unfiltered();
    assert_exactly(machine, 4);
    let load = kept(machine, 8);
    assert_eq!(connections(machine, 4), [2, 2, 2, 2]);
    load.stop().assert_nothing_lost();

    for (more, count, shown) in [("settle = 0", 1, false), (EVEN, 4, true)] {
        write_ecosystem(machine, "graceful.js", "4", more);
        machine
            .run(&["rsgen", "reload", ECOSYSTEM])
            .exits(1)
            .says("a reload cannot change its `balance`");
        machine
            .run(&["rsgen", "install", ECOSYSTEM])
            .exits(1)
            .says("another `balance` closes 3000 first");
        machine
            .run(&["rsgen", "install", ECOSYSTEM, "--replace-listener"])
            .ok();
        assert_exactly(machine, 4);
        assert_eq!(listeners(machine), count);
        let list = machine.run(&["rsgen", "list"]).ok();
        assert_eq!(list.stdout.contains("3000 even"), shown, "{list}");
    }
}

/// The kernel reserves names with a dot in the file system of the maps, which has a file `maps.debug` of its own.
pub(crate) fn serves_an_app_whose_name_has_dots(machine: &mut Machine) {
    machine.power_on_unfiltered();
    let app = machine.write_app("graceful.js", "/srv/web");
    for name in ["shop.example", "maps.debug"] {
        let lines = "listen = 3000\ninstances = 2\nuser = \"www-data\"";
        let text = format!("[[apps]]\nname = \"{name}\"\nscript = \"{app}\"\n{lines}\n{EVEN}\n");
        machine.write(ECOSYSTEM, &text);
        machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
        let load = short(machine);
        machine.run(&["rsgen", "reload", name]).ok();
        load.stop().assert_nothing_lost();
        let journal = machine.journal(&format!("{name}*"));
        assert!(!journal.contains("balance: "), "{journal}");
        machine.run(&["rsgen", "uninstall", name]).ok();
        let left = machine.sh(&format!("ls {MAPS} | grep -v debug || true"));
        assert_eq!(left.ok().text(), "");
    }
}
