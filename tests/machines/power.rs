//! Starting, stopping, restarting, and the first connection.

use std::time::Duration;

use testbed::runner::Spec;
use testbed::specs;
use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{SHARED, SOON, assert_exactly, deploy, install, instances, listener, pids};
use crate::power;

pub(crate) const SPECS: &[Spec] = specs![
    power::a_restart_keeps_the_listener,
    power::seven_quick_restarts_close_nothing,
    power::a_stop_returns_when_all_are_gone_and_the_port_is_closed,
    power::a_stop_under_load_stays_a_stop,
    power::a_start_may_take_longer_than_one_step,
    power::the_first_connection_starts_the_cluster,
    power::instances_stopped_by_hand_do_not_swallow_connections,
    power::one_instance_is_stopped_started_and_restarted_by_its_name,
    power::stopping_the_socket_stops_the_app,
];

pub(crate) fn a_restart_keeps_the_listener(machine: &mut Machine) {
    // systemd passes the listener to each command of this unit, here to one that runs once the instances accept connections: it
    // must not make the listener block.
    let last = "[Service]\nExecStart=/bin/true\n";
    machine.write("/etc/systemd/system/web.service.d/last.conf", last);
    install(machine, "graceful", "4", "");
    let inode = listener(machine);
    assert!(inode.is_some());
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(100);
    let before = pids(machine, 4);
    machine.systemctl(&["restart", "web"]).ok();
    load.wait_answered(100);
    load.stop().assert_nothing_lost();
    assert!(pids(machine, 4).iter().all(|p| !before.contains(p)));
    assert_eq!(listener(machine), inode);
    machine.run(&["rsgen", "restart", "web"]).ok();
    assert_eq!(listener(machine), inode);
}

pub(crate) fn seven_quick_restarts_close_nothing(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    let inode = listener(machine);
    for _ in 0..7 {
        machine.systemctl(&["restart", "web"]).ok();
    }
    assert_exactly(machine, 2);
    assert_eq!(listener(machine), inode);
}

pub(crate) fn a_stop_returns_when_all_are_gone_and_the_port_is_closed(machine: &mut Machine) {
    machine.write_app("graceful.js", "/srv/web");
    deploy(
        machine,
        "graceful.js",
        "() => server.close(() => process.exit(0))",
        "() => setTimeout(() => process.exit(0), 2000)",
    );
    crate::cluster::write_ecosystem(machine, "graceful.js", "3", "");
    machine
        .run(&["rsgen", "install", crate::cluster::ECOSYSTEM])
        .ok();
    for command in [&["systemctl", "stop", "web"][..], &["rsgen", "stop", "web"]] {
        let stopped = machine.run(command).ok();
        assert!(
            stopped.took >= Duration::from_millis(1900),
            "it waited for the instances"
        );
        assert_eq!(instances(machine), Vec::<String>::new());
        assert_eq!(
            listener(machine),
            None,
            "the port is closed when the stop returns"
        );
        assert_exactly(machine, 0);
        machine.systemctl(&["start", "web"]).ok();
        assert_exactly(machine, 3);
        assert!(machine.get(3000).is_ok());
    }
}

pub(crate) fn a_stop_under_load_stays_a_stop(machine: &mut Machine) {
    install(machine, "plain", "4", "");
    for command in ["systemctl stop web", "rsgen stop web"].repeat(4) {
        // Two connections in each millisecond of the stop, any of which could start the app again.
        let load = Load::start(machine, &Traffic::on_port(3000, 20));
        load.wait_answered(100);
        machine.sh(command).ok();
        assert_eq!(instances(machine), Vec::<String>::new(), "{command}");
        assert_eq!(listener(machine), None, "{command}");
        let _ = load.stop();
        assert_exactly(machine, 0);
        machine.systemctl(&["start", "web"]).ok();
    }
}

/// The program exits at once until something that it needs, such as a database, is available.
pub(crate) fn a_start_may_take_longer_than_one_step(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    deploy(
        machine,
        "graceful",
        "answer",
        "needs /srv/web/database\nanswer",
    );
    crate::cluster::write_ecosystem(
        machine,
        "graceful",
        "2",
        "listen_timeout = \"1s\"\nkill_timeout = \"1s\"\ndrain = \"off\"\nmax_restarts = 1000",
    );
    let install = machine.spawn(&["rsgen", "install", crate::cluster::ECOSYSTEM]);
    let shown = |property| machine.property("web.service", property);
    wait_until(SOON, "the start to begin", || {
        shown("ActiveState") == "activating"
    });
    let step = shown("TimeoutStartUSec");
    let seconds = step.split(['.', 's']).next();
    let seconds: u64 = seconds.and_then(|s| s.parse().ok()).unwrap_or(0);
    assert!((5..20).contains(&seconds), "{step}");
    let began = std::time::Instant::now();
    wait_until(
        Duration::from_secs(seconds + 20),
        "longer than a step",
        || {
            assert_eq!(shown("ActiveState"), "activating");
            began.elapsed() > Duration::from_secs(seconds + 3)
        },
    );
    machine.write("/srv/web/database", "");
    let _ = install.wait().ok();
    assert_exactly(machine, 2);
}

pub(crate) fn the_first_connection_starts_the_cluster(machine: &mut Machine) {
    install(machine, "graceful", "2", SHARED);
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine.systemctl(&["start", "web.socket"]).ok();
    assert_exactly(machine, 0);
    assert!(machine.get(3000).unwrap_or_default().contains("instance"));
    assert_exactly(machine, 2);
}

pub(crate) fn instances_stopped_by_hand_do_not_swallow_connections(machine: &mut Machine) {
    install(machine, "graceful", "2", SHARED);
    machine
        .systemctl(&["stop", "web@0.service", "web@1.service"])
        .ok();
    wait_until(SOON, "the cluster unit to follow", || {
        machine.state("web.service") == "inactive"
    });
    assert!(machine.get(3000).unwrap_or_default().contains("instance"));
    assert_exactly(machine, 2);
}

pub(crate) fn one_instance_is_stopped_started_and_restarted_by_its_name(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    let before = pids(machine, 2);
    machine.run(&["rsgen", "stop", "web@1"]).ok();
    assert_exactly(machine, 1);
    machine.run(&["rsgen", "start", "web@1"]).ok();
    machine.run(&["rsgen", "restart", "web@0"]).ok();
    assert_exactly(machine, 2);
    assert!(pids(machine, 2).iter().all(|p| !before.contains(p)));
}

pub(crate) fn stopping_the_socket_stops_the_app(machine: &mut Machine) {
    install(machine, "graceful", "2", SHARED);
    machine.systemctl(&["stop", "web.socket"]).ok();
    wait_until(SOON, "all instances to be gone", || {
        instances(machine).is_empty()
    });
    assert_exactly(machine, 0);
    machine.systemctl(&["start", "web"]).ok();
    assert_exactly(machine, 2);
}
