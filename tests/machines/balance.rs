//! `balance = "even"`: a listener for each instance, and a selector in the kernel that gives each its share.

use std::io::Write;
use std::time::Duration;

use testbed::runner::Spec;
use testbed::specs;
use testbed::{Load, Loss, Machine, PowerLoss, Traffic, wait_for, wait_until};

use crate::cluster::{
    ECOSYSTEM, SOON, assert_exactly, deploy, install, pids, wait_until_empty, write_ecosystem,
};
use crate::{balance, by_source, group, health, trouble};

pub(crate) const SPECS: &[Spec] = specs![
    balance::gives_each_instance_its_share_through_reload_and_stop,
    balance::loses_no_connection_to_a_crash_another_number_or_lost_maps,
    balance::comes_back_at_boot_and_goes_only_when_told_to,
    balance::serves_an_app_whose_name_has_dots,
    by_source::keeps_a_client_at_its_instance_whatever_the_others_do,
    trouble::of_one_instance_is_not_that_of_the_others,
    balance::spreads_the_connections_of_each_address,
    balance::says_what_keeps_an_instance_from_its_share_or_from_its_port,
    group::is_harmed_by_its_own_app_alone,
    health::reaches_one_instance_from_this_host_alone,
    health::a_bad_release_gets_no_request_of_a_client,
];

pub(crate) const EVEN: &str = "balance = \"even\"\nsettle = 0";
pub(crate) const MAPS: &str = "/run/rsgen/:balance/maps";

/// How many connections each of the first `count` instances has.
pub(crate) fn connections(machine: &Machine, count: u32) -> Vec<usize> {
    let shown = machine.run(&["ss", "-Htnp", "state", "established", "sport = :3000"]);
    let of = |pid: &u32| shown.text().matches(&format!("pid={pid},")).count();
    pids(machine, count).iter().map(of).collect()
}

/// Waits until each of so many clients has a connection, and returns how many the first `count` instances have.
fn shares(machine: &Machine, count: u32, clients: usize) -> Vec<usize> {
    wait_for(SOON, "every client to be connected", || {
        let shares = connections(machine, count);
        (shares.iter().sum::<usize>() == clients).then_some(shares)
    })
}

pub(crate) fn kept(machine: &Machine, clients: usize) -> Load {
    let traffic = Traffic::on_port(3000, clients).keep_alive();
    let load = Load::start(machine, &traffic.pause(Duration::from_millis(20)));
    load.wait_answered(u64::try_from(clients).unwrap_or(0) * 4);
    load
}

pub(crate) fn short(machine: &Machine) -> Load {
    let traffic = Traffic::on_port(3000, 8);
    let load = Load::start(machine, &traffic);
    load.wait_answered(200);
    load
}

/// The sockets that listen on the port.
fn listeners(machine: &Machine) -> usize {
    let sockets = machine.run(&["ss", "-Hltn", "sport = :3000"]).ok();
    sockets.text().lines().count()
}

fn wait_listeners(machine: &Machine, count: usize) {
    wait_until(SOON, &format!("{count} listeners"), || {
        listeners(machine) == count
    });
}

fn wait_until_no_maps(machine: &Machine) {
    wait_until(SOON, "all maps to be gone", || {
        let left = machine.sh(&format!("ls {MAPS} | grep -v debug || true"));
        left.ok().text().is_empty()
    });
}

pub(crate) fn gives_each_instance_its_share_through_reload_and_stop(machine: &mut Machine) {
    // The filter of systemd-nspawn forbids bpf(2).
    machine.power_on_unfiltered();
    install(machine, "graceful.js", "4", EVEN);
    assert_exactly(machine, 4);
    machine.run(&["rsgen", "list"]).ok().says("3000 even");
    let load = kept(machine, 8);
    assert_eq!(shares(machine, 4, 8), [2, 2, 2, 2]);
    let list = machine.run(&["rsgen", "list", "--json"]).ok();
    let even = list.stdout.matches("\"connections\": 2,").count();
    assert_eq!(even, 4, "{list}");
    load.stop().assert_nothing_lost();

    let before = pids(machine, 4);
    let load = kept(machine, 40);
    machine.systemctl(&["reload", "web"]).ok();
    let after = shares(machine, 4, 40);
    let (least, most) = (after.iter().min(), after.iter().max());
    let is_even = most.map(|most| most * 4) <= least.map(|least| least * 5);
    assert!(is_even, "{after:?}");
    load.stop().assert_nothing_lost();
    assert!(pids(machine, 4).iter().all(|pid| !before.contains(pid)));
    assert_exactly(machine, 4);
    // That of the canary is closed.
    wait_listeners(machine, 4);
    // As many canaries as instances, each on a CPU of its own.
    let doubled = format!("{EVEN}\nsurge = \"100%\"\ncpus = \"spread\"");
    write_ecosystem(machine, "graceful.js", "4", &doubled);
    let load = kept(machine, 8);
    let install = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    install.says("4 canaries first");
    // Until all have come back, the next connections are planned for those that have least.
    shares(machine, 4, 8);
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 4);
    wait_listeners(machine, 4);
    let load = kept(machine, 8);
    assert_eq!(shares(machine, 4, 8), [2, 2, 2, 2]);
    load.stop().assert_nothing_lost();

    machine.run(&["rsgen", "stop", "web"]).ok();
    wait_listeners(machine, 0);
    machine.systemctl(&["start", "web"]).ok();
    assert_exactly(machine, 4);
    machine.systemctl(&["restart", "web"]).ok();
    assert_exactly(machine, 4);
    wait_listeners(machine, 4);
    machine.systemctl(&["stop", "web"]).ok();
    wait_listeners(machine, 0);
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    wait_until_no_maps(machine);
    let left = machine.sh("ls /etc/systemd/system | grep web || true");
    assert_eq!(left.ok().text(), "");
}

pub(crate) fn loses_no_connection_to_a_crash_another_number_or_lost_maps(machine: &mut Machine) {
    machine.power_on_unfiltered();
    install(machine, "graceful", "4", EVEN);
    let load = short(machine);
    for count in [2, 4] {
        machine
            .run(&["rsgen", "install", ECOSYSTEM, "-i", &count.to_string()])
            .ok();
        assert_exactly(machine, count);
        wait_listeners(machine, count as usize);
    }
    // As if an older rsgen had loaded it.
    let rename = format!("cd {MAPS}/web/0 && mv selector-* selector-0");
    machine.sh(&rename).ok();
    machine.systemctl(&["restart", "web@0"]).ok();
    let files = machine.sh(&format!("ls {MAPS}/web/0 | grep selector"));
    assert_eq!(files.ok().text(), "selector-3");
    machine.run(&["rm", "-r", &format!("{MAPS}/web")]).ok();
    machine.systemctl(&["reload", "web"]).ok();
    load.wait_answered(100);
    load.stop().assert_nothing_lost();
    let load = kept(machine, 8);
    assert_eq!(shares(machine, 4, 8), [2, 2, 2, 2]);
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
    assert!(!report.losses.contains_key(&Loss::Refused), "{report}");
    wait_listeners(machine, 4);
}

pub(crate) fn comes_back_at_boot_and_goes_only_when_told_to(machine: &mut Machine) {
    // The filter of systemd-nspawn forbids bpf(2).
    machine.power_on_unfiltered();
    let without = "setpriv --bounding-set -sys_admin,-bpf,-perfmon";
    machine.write_app("graceful", "/srv/web");
    write_ecosystem(machine, "graceful", "4", EVEN);
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
    machine
        .sh(&format!(
            "unshare --mount sh -ec 'mount -t tmpfs none /sys/kernel/btf; rsgen check {ECOSYSTEM}'"
        ))
        .ok()
        .says("without /sys/kernel/btf/vmlinux, even to a stuck one");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.power_off(PowerLoss::Clean);
    machine.power_on_unfiltered();
    assert_exactly(machine, 4);
    let load = kept(machine, 8);
    assert_eq!(shares(machine, 4, 8), [2, 2, 2, 2]);
    load.stop().assert_nothing_lost();

    for (more, count, shown) in [("settle = 0", 1, false), (EVEN, 4, true)] {
        write_ecosystem(machine, "graceful", "4", more);
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
        wait_listeners(machine, count);
        let list = machine.run(&["rsgen", "list"]).ok();
        assert_eq!(list.stdout.contains("3000 even"), shown, "{list}");
    }
}

/// The kernel reserves names with a dot in the file system of the maps, which has a file `maps.debug` of its own.
pub(crate) fn serves_an_app_whose_name_has_dots(machine: &mut Machine) {
    machine.power_on_unfiltered();
    let app = machine.write_app("graceful", "/srv/web");
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
        wait_until_no_maps(machine);
    }
}

/// Each address has a group of its own, and so do the two families of one port.
pub(crate) fn spreads_the_connections_of_each_address(machine: &mut Machine) {
    machine.power_on_unfiltered();
    machine.write_app("graceful.js", "/srv/web");
    let again = "const again = () => http.createServer(server.listeners('request')[0]);";
    let listen = format!(
        "{again} server.listen({{ port: 3000, host: '::', ipv6Only: true }}); \
         again().listen(3000, '0.0.0.0'); again().listen(3001, '127.0.0.1');"
    );
    deploy(machine, "graceful.js", "server.listen(3000);", &listen);
    let addresses = "[\"[::]:3000\", \"0.0.0.0:3000\", \"127.0.0.1:3001\"]";
    let lines = "script = \"graceful.js\"\ninstances = 3\nuser = \"www-data\"";
    let text = format!("[[apps]]\nname = \"web\"\nlisten = {addresses}\n{lines}\n{EVEN}\n");
    machine.write(ECOSYSTEM, &text);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    for reloaded in [false, true] {
        if reloaded {
            machine.run(&["rsgen", "reload", "web"]).ok();
        }
        for address in ["'[::1]':3000", "127.0.0.1:3000", "127.0.0.1:3001"] {
            let script = format!(
                "for i in $(seq 6); do curl -s http://{address}/; echo; done | grep -o 'instance [0-9]' | sort | uniq -c"
            );
            let counted = machine.sh(&script).ok();
            let counts: Vec<&str> = counted.text().split_whitespace().collect();
            let wanted = [0, 1, 2].map(|i| format!("2 instance {i}")).join(" ");
            assert_eq!(counts.join(" "), wanted, "{address}");
        }
    }
}

pub(crate) fn says_what_keeps_an_instance_from_its_share_or_from_its_port(machine: &mut Machine) {
    machine.power_on_unfiltered();
    install(machine, "graceful", "2", EVEN);
    let drop_in = "/etc/systemd/system/web:join@.service.d/test.conf";
    machine.write(drop_in, "[Service]\nExecStart=\nExecStart=/bin/false\n");
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["restart", "web@1"]).ok();
    let told = "not in the balance, as web:join@1.service failed";
    machine.run(&["rsgen", "list"]).ok().says(told);
    machine
        .sh("setpriv --reuid=nobody --regid=nogroup --clear-groups rsgen curl web@1")
        .exits(1)
        .says("`web@1` is not in the balance because web:join@1.service failed");
    machine.run(&["rm", drop_in]).ok();
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["restart", "web@1"]).ok();
    let list = machine.run(&["rsgen", "list"]).ok();
    assert!(!list.stdout.contains(told), "{list}");

    let bind = "import socket as s; x = s.socket(s.AF_INET6); x.setsockopt(1, 15, 1); x.bind(('::', 3000))";
    let stranger = "setpriv --reuid=www-data --regid=www-data --clear-groups python3 -c";
    machine
        .sh(&format!("{stranger} \"{bind}\""))
        .exits(1)
        .says("Address already in use");

    machine.run(&["rsgen", "stop", "web"]).ok();
    let unit = "[Socket]\nListenStream=3000\n[Install]\nWantedBy=sockets.target\n";
    machine.write("/etc/systemd/system/other.socket", unit);
    let unit = "[Service]\nExecStart=/bin/cat\n";
    machine.write("/etc/systemd/system/other.service", unit);
    machine.systemctl(&["enable", "--now", "other.socket"]).ok();
    machine
        .run(&["rsgen", "start", "web"])
        .exits(1)
        .says("start of web.service failed, because web@0.socket could not be started")
        .says("Address already in use")
        .says("(pid 1) listens there")
        .says("systemctl list-sockets");
    assert_tried_once(machine);
    machine
        .run(&["rsgen", "list"])
        .ok()
        .says("errored")
        .says("web@1.socket could not be started; see `systemctl status web@1.socket`");
    machine.power_off(PowerLoss::Clean);
    machine.power_on_unfiltered();
    wait_until(SOON, "the app to be given up", || {
        machine.state("web.service") == "failed"
    });
    assert_tried_once(machine);
    machine
        .systemctl(&["disable", "--now", "other.socket"])
        .ok();
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 2);
    assert_nothing_failed_when_it_is_over(machine, drop_in);
}

/// A failed unit is remembered by systemd though its files are gone.
fn assert_nothing_failed_when_it_is_over(machine: &Machine, drop_in: &str) {
    machine.write(drop_in, "[Service]\nExecStart=\nExecStart=/bin/false\n");
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["restart", "web@1"]).ok();
    machine.wait_state("web:join@1.service", "failed", SOON);
    write_ecosystem(machine, "graceful", "2", "balance = \"shared\"");
    let install = ["rsgen", "install", ECOSYSTEM, "--replace-listener"];
    machine.run(&install).ok();
    let failed = ["list-units", "--failed", "--plain", "--no-legend", "web*"];
    wait_until_empty(machine, &failed);
}

/// Nothing can have changed since the first start failed.
fn assert_tried_once(machine: &Machine) {
    for instance in ["web@0.service", "web@1.service"] {
        let restarts: u32 = machine.property(instance, "NRestarts").parse().unwrap_or(9);
        assert!(restarts <= 1, "{instance}: {restarts}");
    }
}
