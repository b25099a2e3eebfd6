//! What happens seldom is told as what it is, too.

use testbed::runner::Spec;
use testbed::{Machine, specs, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, deploy, install, write_ecosystem};
use crate::seldom;

pub(crate) const SPECS: &[Spec] = specs![
    seldom::units_that_are_all_masked_are_told_and_stopped,
    seldom::on_failure_starts_a_unit_for_an_instance_that_is_given_up,
    seldom::an_instance_beyond_the_number_goes_with_the_next_walk,
    seldom::the_stop_signal_reaches_those_that_pm2_would_send_it_to,
];

pub(crate) fn units_that_are_all_masked_are_told_and_stopped(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    let masks = ["web@0.service", "web@1.service"];
    let told = "Unit web@0.service is masked";
    machine.systemctl(&[&["mask"], &masks[..]].concat()).ok();
    let reload = machine.run(&["rsgen", "reload", "web"]).exits(1);
    reload.says(told);
    assert_exactly(machine, 2);
    machine.run(&["rsgen", "stop", "web"]).ok();
    for unit in masks {
        assert_eq!(machine.state(unit), "inactive");
    }
    machine.systemctl(&[&["unmask"], &masks[..]].concat()).ok();
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 2);
}

/// Notes for whom it was started.
const ALERT: &str = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo %i >>/run/alerts'\n";

pub(crate) fn on_failure_starts_a_unit_for_an_instance_that_is_given_up(machine: &mut Machine) {
    machine.write("/etc/systemd/system/alert@.service", ALERT);
    let lines = "max_restarts = 2\nunit.OnFailure = \"alert@%n.service\"";
    install(machine, "graceful", "2", lines);
    let unit = "web@0.service";
    let kill = || {
        let kill = ["kill", "--kill-whom=main", "-s", "KILL", unit];
        machine.systemctl(&kill).ok();
    };
    let alerts = || machine.sh("cat /run/alerts").stdout.matches(unit).count();
    // From 254 on, systemd takes each end as a failure, also when it starts the unit again.
    let each = usize::from(machine.systemd_version() >= 254);
    let before = machine.main_pid(unit);
    kill();
    wait_until(SOON, "the instance to be up again", || {
        machine.main_pid(unit) != before && machine.state(unit) == "active"
    });
    wait_until(SOON, "no alert, or one", || alerts() == each);
    deploy(machine, "graceful", "answer", "throw a bug\nanswer");
    kill();
    machine.wait_state(unit, "failed", SOON);
    wait_until(SOON, "the last alert", || alerts() == 2 * each + 1);
}

pub(crate) fn an_instance_beyond_the_number_goes_with_the_next_walk(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    machine.systemctl(&["start", "web@2.service"]).ok();
    let list = machine.run(&["rsgen", "list"]).ok();
    assert_eq!(list.stdout.matches("online").count(), 3, "{list}");
    write_ecosystem(machine, "graceful", "2", "settle = 0");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("instance 2: stopped, it was surplus");
    assert_exactly(machine, 2);
}

/// A parent and its child, each of which notes the stop signal.
const KIN: &str = "import os, signal
name = 'parent' if os.fork() else 'child'
def note(*_):
    with open('told', 'a') as told:
        told.write(name + '\\n')
    if name == 'parent':
        raise SystemExit
signal.signal(signal.SIGINT, note)
print(name, 'listens', flush=True)
while True:
    signal.pause()
";

/// With `treekill: false` PM2 sends the signal to the main process alone.
const KINDS: &str = "const kin = (name, treekill) => ({
  name, treekill, script: 'kin.py', cwd: `/srv/${name}`, kill_timeout: 1000,
});
module.exports = { apps: [kin('tree', true), kin('main', false)] };
";

pub(crate) fn the_stop_signal_reaches_those_that_pm2_would_send_it_to(machine: &mut Machine) {
    for folder in ["tree", "main"] {
        machine.write(&format!("/srv/{folder}/kin.py"), KIN);
    }
    machine.write("/srv/web/ecosystem.config.js", KINDS);
    let owner = "chown -R www-data: /srv/web /srv/tree /srv/main";
    machine.sh(owner).ok();
    let file = "/srv/web/ecosystem.config.js";
    machine.run(&["rsgen", "install", file, "--import"]).ok();
    for (app, told) in [("tree", "child\nparent\n"), ("main", "parent\n")] {
        let unit = format!("{app}@0.service");
        for name in ["parent", "child"] {
            machine.wait_journal(&unit, &format!("{name} listens"), SOON);
        }
        // The rehearsal has left notes as well.
        machine.run(&["rm", &format!("/srv/{app}/told")]).ok();
        machine.run(&["rsgen", "stop", app]).ok();
        let noted = machine.sh(&format!("sort -u /srv/{app}/told"));
        assert_eq!(noted.stdout, told, "{app}");
        let left = machine.sh(&format!("pgrep -f /srv/{app}/[k]in.py"));
        assert_eq!(left.text(), "", "{app}");
    }
}
