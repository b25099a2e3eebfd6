//! Interruptions in the middle of a walk, and the state after them.

use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{SOON, assert_exactly, deploy, install, instances, listener, pids};

/// The last of four instances starts when the spec lets it, so that nothing ends a walk before its interruption.
const HELD: &str = "in 3 awaits /srv/go\nlisten 3000";

/// Starts a reload, which cannot end by itself, and returns when its first instance is being replaced.
fn begin(machine: &Machine, command: &[&str]) -> testbed::Running {
    deploy(machine, "graceful", "listen 3000", HELD);
    let before = pids(machine, 1);
    let reload = machine.spawn(command);
    wait_until(SOON, "an instance to be replaced", || {
        pids(machine, 1) != before
    });
    assert_eq!(machine.state("web.service"), "reloading");
    reload
}

/// Lets the last instance start.
fn go_on(machine: &Machine) {
    machine.write("/srv/go", "");
}

pub(crate) fn a_restart_in_the_middle_leaves_exactly_n(machine: &mut Machine) {
    install(machine, "graceful", "4", "");
    let reload = begin(machine, &["systemctl", "reload", "web"]);
    let inode = listener(machine);
    let restart = machine.spawn(&["systemctl", "restart", "web"]);
    wait_until(SOON, "the walk to be interrupted", || {
        machine.state("web.service") != "reloading"
    });
    go_on(machine);
    let _ = restart.wait().ok();
    let _ = reload.wait();
    assert_exactly(machine, 4);
    assert_eq!(listener(machine), inode);
    assert!(machine.get(3000).is_ok());
}

pub(crate) fn a_stop_in_the_middle_leaves_none(machine: &mut Machine) {
    install(machine, "graceful", "4", "");
    let reload = begin(machine, &["rsgen", "reload", "web"]);
    machine.systemctl(&["stop", "web"]).ok();
    assert_eq!(instances(machine), Vec::<String>::new());
    let _ = reload.wait().exits(1);
    wait_until(SOON, "the port to close", || listener(machine).is_none());
    assert_exactly(machine, 0);
}

pub(crate) fn a_killed_walk_is_finished_by_the_next(machine: &mut Machine) {
    // Such instances have no crash-loop brake, and the brake unit all the same.
    install(machine, "graceful", "4", "autorestart = false");
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    let reload = begin(machine, &["rsgen", "reload", "web"]);
    machine.sh("pkill -KILL -f 'rsgen [u]nit reload'").ok();
    go_on(machine);
    let told = reload.wait().exits(1).to_string();
    assert!(
        !told.contains("4 of 4 serving"),
        "lines of the start: {told}"
    );
    // As it happens, and not once more as the last words of the reload.
    for words in ["replacing 4 instances, a canary first", "canary: ready"] {
        assert_eq!(told.matches(words).count(), 1, "{told}");
    }
    // The canary ends by itself; the instances are of two versions until the next walk.
    machine.wait_state("web@4.service", "inactive", SOON);
    assert_exactly(machine, 4);
    // The brake unit may have moved into the control group of the cluster unit by then, so the line may be of either unit.
    machine
        .journalctl(&["-t", "web", "-o", "cat"])
        .ok()
        .says("web@4.service is stopped: it was the canary of a reload that was killed");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 4);
    load.stop().assert_nothing_lost();
}

pub(crate) fn a_killed_command_leaves_the_walk_alone(machine: &mut Machine) {
    install(machine, "graceful", "4", "");
    let before = pids(machine, 4);
    let reload = begin(machine, &["rsgen", "reload", "web"]);
    machine.sh("pkill -KILL -f 'rsgen [r]eload web'").ok();
    let _ = reload.wait();
    go_on(machine);
    wait_until(SOON, "the walk to end", || {
        machine.state("web.service") == "active"
    });
    assert!(pids(machine, 4).iter().all(|p| !before.contains(p)));
    assert_exactly(machine, 4);
}

pub(crate) fn a_daemon_reload_in_the_middle_is_survived(machine: &mut Machine) {
    install(machine, "graceful", "4", "");
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    let reload = begin(machine, &["rsgen", "reload", "web"]);
    machine.systemctl(&["daemon-reload"]).ok();
    go_on(machine);
    let _ = reload.wait().ok();
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 4);
}

/// systemd would end the command that notes the end only after `kill_timeout`.
pub(crate) fn a_bus_that_hangs_delays_the_next_start_of_an_instance_for_a_moment_only(
    machine: &mut Machine,
) {
    install(machine, "graceful", "2", "kill_timeout = \"9s\"");
    let before = pids(machine, 1);
    machine.sh("pkill -STOP -x dbus-daemon").ok();
    let unit = "web@0.service";
    machine
        .systemctl(&["kill", "--kill-whom=main", "-s", "KILL", unit])
        .ok();
    wait_until(SOON, "another process to serve", || {
        pids(machine, 1) != before && machine.state(unit) == "active"
    });
    let told = machine.journal(unit);
    assert!(
        told.contains("the bus accepts connections but does not answer"),
        "{told}"
    );
    assert!(!told.contains("stop-post"), "{told}");
    machine.sh("pkill -CONT -x dbus-daemon").ok();
    assert_exactly(machine, 2);
}

pub(crate) fn a_daemon_reexec_in_the_middle_is_survived(machine: &mut Machine) {
    install(machine, "graceful", "4", "");
    let before = pids(machine, 4);
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    let reload = begin(machine, &["rsgen", "reload", "web"]);
    machine.systemctl(&["daemon-reexec"]).ok();
    go_on(machine);
    // After the daemon-reexec, systemd signals the end of the job under another unique name on the bus.
    reload.wait().ok().says("done: 4 of 4 replaced");
    wait_until(SOON, "the walk to end", || {
        machine.state("web.service") == "active"
    });
    load.stop().assert_nothing_lost();
    assert!(pids(machine, 4).iter().all(|p| !before.contains(p)));
    assert_exactly(machine, 4);
}
