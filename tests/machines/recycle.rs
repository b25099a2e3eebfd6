//! Instances that are replaced by themselves, before they fail.

use testbed::runner::Spec;
use testbed::{Load, Machine, Traffic, specs, wait_until};

use crate::cluster::{
    ECOSYSTEM, SOON, assert_exactly, deploy, install, pids, wait_until_empty, write_ecosystem,
};
use crate::recycle;

pub(crate) const SPECS: &[Spec] = specs![
    recycle::one_that_uses_too_much_is_replaced_and_nothing_is_lost,
    recycle::one_whose_successor_fails_goes_on_and_is_left_alone_for_a_while,
    recycle::its_timer_comes_and_goes_with_the_keys_and_the_app,
];

const SERVICE: &str = "web:recycle.service";
const TIMER: &str = "web:recycle.timer";
const LIMITS: &str = "settle = 0\nmax_memory_restart = \"150M\"\nmax_uptime = \"1d\"";

fn look(machine: &Machine) {
    machine.systemctl(&["start", SERVICE]).ok();
}

/// Has an instance use too much.
fn grow(machine: &Machine, instance: &str) {
    machine.run(&["rsgen", "signal", "USR2", instance]).ok();
}

fn wait_for_history(machine: &Machine, words: &str) {
    wait_until(SOON, words, || {
        let history = machine.run(&["rsgen", "history", "web"]).ok();
        history.text().contains(words)
    });
}

fn one_that_uses_too_much_is_replaced_and_nothing_is_lost(machine: &mut Machine) {
    install(machine, "grows.js", "2", LIMITS);
    let net = machine.property("web@0.service", "MemoryMax");
    assert_eq!(net, (225 << 20).to_string(), "half as much again");
    let before = pids(machine, 2);
    look(machine);
    assert_eq!(pids(machine, 2), before, "neither uses too much");

    let load = Load::start(machine, &Traffic::on_port(3000, 10).keep_alive());
    load.wait_answered(100);
    grow(machine, "web@1");
    wait_until(SOON, "the one that has grown to be replaced", || {
        look(machine);
        pids(machine, 2)[1] != before[1]
    });
    assert_eq!(pids(machine, 2)[0], before[0]);
    wait_for_history(machine, "web@1 was recycled: ");
    load.wait_answered(100);
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 2);
    let list = machine.run(&["rsgen", "list", "--json"]).ok();
    assert!(!list.text().contains("\"restarts\": 1"), "{list}");
    machine.journalctl(&["-u", "web"]).ok().says(" of 150M");
    let crashes = machine.run(&["rsgen", "history", "web"]).ok();
    assert!(!crashes.text().contains("crash"), "{crashes}");

    // Without anybody's doing, and in as many instances as there are by now.
    machine.run(&["rsgen", "scale", "web", "3"]).ok();
    let often = "[Timer]\nOnActiveSec=\nOnUnitInactiveSec=\nOnActiveSec=200ms\nOnUnitInactiveSec=200ms\nAccuracySec=1ms\n";
    machine.write("/etc/systemd/system/web:recycle.timer.d/often.conf", often);
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["restart", TIMER]).ok();
    let before = pids(machine, 3);
    grow(machine, "web@2");
    wait_until(SOON, "the third to be replaced", || {
        let now = pids(machine, 3)[2];
        now != 0 && now != before[2]
    });
    assert_exactly(machine, 3);
    assert_eq!(pids(machine, 3)[..2], before[..2]);
}

fn one_whose_successor_fails_goes_on_and_is_left_alone_for_a_while(machine: &mut Machine) {
    let limits = format!("{LIMITS}\nmax_restarts = 1");
    install(machine, "grows.js", "2", &limits);
    // The look of the timer would be the one that fails.
    machine.systemctl(&["stop", TIMER]).ok();
    let before = pids(machine, 2);
    deploy(
        machine,
        "grows.js",
        "const http",
        "throw new Error('a bug');\nconst http",
    );
    grow(machine, "web@1");
    wait_until(SOON, "a look that fails", || {
        machine.systemctl(&["start", SERVICE]);
        machine.state(SERVICE) == "failed"
    });
    wait_for_history(machine, "web@1 was not recycled (");
    wait_for_history(
        machine,
        "every instance still serves what it served; tried again in 10min",
    );
    look(machine);
    assert_eq!(pids(machine, 2), before, "both go on");
    assert_exactly(machine, 2);

    // A reload that succeeds ends the pause.
    deploy(machine, "grows.js", "throw new Error('a bug');\n", "");
    machine.run(&["rsgen", "reload", "web"]).ok();
    let before = pids(machine, 2);
    grow(machine, "web@0");
    wait_until(SOON, "it to be replaced", || {
        look(machine);
        pids(machine, 2)[0] != before[0]
    });

    // Where the app cannot be started, nothing is looked at.
    machine.systemctl(&["start", TIMER]).ok();
    deploy(
        machine,
        "grows.js",
        "const http",
        "process.exit(1);\nconst http",
    );
    machine.run(&["rsgen", "restart", "web"]).exits(1);
    machine.wait_state(TIMER, "inactive", SOON);
}

fn its_timer_comes_and_goes_with_the_keys_and_the_app(machine: &mut Machine) {
    install(machine, "graceful", "2", "settle = 0");
    assert_eq!(machine.state(TIMER), "inactive");
    write_ecosystem(
        machine,
        "graceful",
        "2",
        "settle = \"1s\"\nmax_uptime = \"1s\"",
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_eq!(machine.state(TIMER), "active");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do");

    // A look waits for a reload. That of the timer is half a minute away.
    machine.systemctl(&["restart", TIMER]).ok();
    let reload = machine.spawn(&["rsgen", "reload", "web"]);
    machine.wait_state("web.service", "reloading", SOON);
    machine.systemctl(&["start", "--no-block", SERVICE]).ok();
    let jobs = machine.systemctl(&["list-jobs", "--no-legend"]).ok();
    let is_waiting = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        words == [SERVICE, "start", "waiting"]
    };
    assert!(jobs.text().lines().any(is_waiting), "{jobs}");
    reload.wait().ok();

    // A stop ends the look that follows, and nothing comes back.
    machine.wait_state(SERVICE, "activating", SOON);
    wait_until(SOON, "the canary of the look", || {
        machine.state("web@2.service") != "inactive"
    });
    machine.run(&["rsgen", "stop", "web"]).ok();
    assert_exactly(machine, 0);
    machine.wait_state(TIMER, "inactive", SOON);
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_eq!(machine.state(TIMER), "active");
    let before = pids(machine, 2);
    wait_until(SOON, "both to be replaced in their turn", || {
        look(machine);
        let now = pids(machine, 2);
        now.iter().zip(&before).all(|(now, before)| now != before)
    });
    wait_for_history(machine, "web@1 was recycled: up for ");

    write_ecosystem(machine, "graceful", "2", "settle = 0");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    wait_until_empty(machine, &["list-timers", "--all", "--no-legend", "web*"]);
    let left =
        machine.sh("find /etc/systemd /run/systemd -not -path '*/units/*' -name '*:recycle*'");
    assert_eq!(left.text(), "");
}
