//! Faults of rsgen's own files and programs: a broken file, a generator that fails or is missing. The port stays open.

use std::time::Duration;

use testbed::{Load, Machine, PowerLoss, Traffic, wait_until};

use crate::cluster::{SOON, assert_exactly, install, listener, pids};

const GENERATOR: &str = "/usr/lib/systemd/system-generators/rsgen-generator";

/// A script for each fault.
const FAULTS: [&str; 5] = [
    "echo '[[apps' > /etc/rsgen/web.toml",
    "rm /etc/rsgen/web.toml; mkdir /etc/rsgen/web.toml",
    "rmdir /etc/rsgen/web.toml; ln -s web.toml /etc/rsgen/web.toml",
    "printf '#!/bin/sh\\nexit 1\\n' > {}.new; chmod 755 {}.new; mv {}.new {}",
    "rm {}",
];

fn commit(machine: &Machine, fault: &str) {
    machine.sh(&fault.replace("{}", GENERATOR)).ok();
    machine.systemctl(&["daemon-reload"]).ok();
}

pub(crate) fn of_an_installed_app_take_nothing_away(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    for fault in FAULTS {
        let inode = listener(machine);
        let load = Load::start(machine, &Traffic::on_port(3000, 4));
        load.wait_answered(50);
        commit(machine, fault);
        let before = pids(machine, 2);
        machine.systemctl(&["restart", "web@0.service"]).ok();
        machine.systemctl(&["reload", "web"]).ok();
        load.wait_answered(50);
        load.stop().assert_nothing_lost();
        assert!(inode.is_some() && listener(machine) == inode, "{fault}");
        assert!(
            pids(machine, 2).iter().all(|p| !before.contains(p)),
            "{fault}"
        );
        machine.power_cycle(PowerLoss::Cut);
        wait_until(SOON, "the cluster to serve after a boot", || {
            machine.get(3000).is_ok()
        });
        assert_exactly(machine, 2);
    }
}

pub(crate) fn of_a_generated_apps_file_take_nothing_away(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    let text = "[[apps]]\nname = \"web\"\nscript = \"/srv/web/graceful\"\ncwd = \"/srv/web\"\nlisten = 3000\ninstances = 2\n";
    machine.write("/etc/rsgen/web.toml", text);
    machine.write(
        "/etc/rsgen/other.toml",
        &text
            .replace("web\"\ns", "other\"\ns")
            .replace("3000", "3001"),
    );
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["start", "web"]).ok();
    let inode = listener(machine);
    for fault in &FAULTS[..3] {
        commit(machine, fault);
        machine.systemctl(&["restart", "web@0.service"]).ok();
        machine.systemctl(&["reload", "web"]).ok();
        assert_eq!(listener(machine), inode, "{fault}");
        assert_eq!(machine.property("other.service", "LoadState"), "loaded");
        assert_exactly(machine, 2);
    }
    machine.run(&["rsgen", "reload", "web"]).exits(3);
}

/// At a shutdown each wait for a bus that has stopped to answer makes the shutdown longer.
pub(crate) fn of_the_bus_are_waited_for_once_by_a_stop(machine: &mut Machine) {
    install(machine, "graceful", "1", "");
    let bus = machine.property("dbus.service", "MainPID");
    machine.run(&["kill", "-STOP", &bus]).ok();
    let stop = machine.run(&["rsgen", "unit", "stop", "web", "--longest-stop=1s"]);
    machine.run(&["kill", "-CONT", &bus]).ok();
    let stop = stop.exits(4).says("does not answer");
    // Each wait takes ten seconds.
    assert!(stop.took < Duration::from_secs(20), "twice: {stop}");
}
