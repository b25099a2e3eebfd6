//! `balance = "source"`: the client's address chooses the instance.

use testbed::Machine;

use crate::balance::{MAPS, short};
use crate::cluster::{ECOSYSTEM, install, write_ecosystem};

/// Which instance each of a few clients gets, of IPv4 and of IPv6, as one letter for each client.
fn homes(machine: &Machine) -> String {
    let ask = |address: &str, from: &str| {
        format!("curl -s --retry 9 --retry-connrefused --interface {from} http://{address}:3000/")
    };
    let script = format!(
        "for i in $(seq 12); do {}; {}; done | grep -o 'instance [0-9]*' | cut -c10- | tr -d '\\n'",
        ask("127.0.0.1", "127.0.3.$i"),
        ask("'[::1]'", "fd00::$i"),
    );
    machine.sh(&script).ok().text().to_owned()
}

/// The clients of whichever instance is off move, and no others.
fn assert_only_its_clients_move(homes: &str, now: &str, off: char) {
    assert_eq!(now.len(), homes.len(), "{now}");
    for (home, now) in homes.chars().zip(now.chars()) {
        assert!(now != off && (now == home || home == off), "{homes} {now}");
    }
}

pub(crate) fn keeps_a_client_at_its_instance_whatever_the_others_do(machine: &mut Machine) {
    machine.power_on_unfiltered();
    install(machine, "graceful", "4", "balance = \"source\"\nsettle = 0");
    machine
        .run(&["rsgen", "check", ECOSYSTEM])
        .ok()
        .says("the client's address chooses");
    machine.run(&["rsgen", "list"]).ok().says("3000 source");
    let addresses = "for i in $(seq 12); do ip -6 addr add fd00::$i/128 dev lo; done";
    machine.sh(addresses).ok();
    let before = homes(machine);
    assert_eq!(before.len(), 24, "{before}");
    for instance in ["0", "1", "2", "3"] {
        assert!(before.contains(instance), "{before}");
    }
    machine.run(&["rsgen", "stop", "web@2"]).ok();
    assert_only_its_clients_move(&before, &homes(machine), '2');
    machine.run(&["rsgen", "start", "web@2"]).ok();
    assert_eq!(homes(machine), before);

    // The canary is number 4, and gets no client.
    let load = short(machine);
    let reload = machine.spawn(&["rsgen", "reload", "web"]);
    let mut seen = String::new();
    while !reload.is_over() {
        seen.push_str(&homes(machine));
    }
    let _ = reload.wait().ok();
    load.stop().assert_nothing_lost();
    assert!(!seen.contains('4'), "{seen}");
    assert_eq!(homes(machine), before);

    // The listeners stay, and the first instance that is replaced attaches the other selector.
    let load = short(machine);
    for (balance, files) in [("even", "selector-3"), ("source", "selector-3-source")] {
        write_ecosystem(
            machine,
            "graceful",
            "4",
            &format!("balance = \"{balance}\"\nsettle = 0"),
        );
        machine.run(&["rsgen", "reload", ECOSYSTEM]).ok();
        let found = machine.sh(&format!("ls {MAPS}/web/0 | grep selector"));
        assert_eq!(found.ok().text(), files);
    }
    load.stop().assert_nothing_lost();
    assert_eq!(homes(machine), before);
}
