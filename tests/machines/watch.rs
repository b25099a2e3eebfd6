//! Apps that are reloaded when their files change.

use testbed::runner::Spec;
use testbed::specs;
use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, deploy, install, pids, write_ecosystem};
use crate::user;
use crate::watch;

pub(crate) const SPECS: &[Spec] = specs![
    watch::a_change_reloads_and_a_bad_one_stops_at_the_canary,
    watch::its_unit_comes_and_goes_with_the_app,
    watch::works_below_systemd_user,
];

const UNIT: &str = "web:watch.service";
const WATCHED: &str = "settle = 0\nwatch = true\nwatch_delay = \"100ms\"";

fn wait_for_words(machine: &Machine, words: &str) {
    machine.wait_journal(UNIT, words, SOON);
}

fn wait_for_others(machine: &Machine, before: &[u32]) {
    wait_until(SOON, "instances of the new version", || {
        let now = pids(machine, 2);
        now.iter().all(|pid| *pid != 0 && !before.contains(pid))
    });
    // The walk has yet to stop the canary.
    wait_until(SOON, "the end of the walk", || {
        let unit = machine.systemctl(&["show", "--value", "-p", "ActiveState", "web"]);
        unit.text() == "active"
    });
}

pub(crate) fn a_change_reloads_and_a_bad_one_stops_at_the_canary(machine: &mut Machine) {
    // A folder that only its owner may enter.
    machine
        .sh("mkdir -p /srv/web/lib/deep && chown -R www-data: /srv/web && chmod 700 /srv/web/lib")
        .ok();
    install(machine, "graceful", "2", WATCHED);
    wait_for_words(machine, "watching 4 folders");
    let before = pids(machine, 2);
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(50);
    machine.write("/srv/web/node_modules/x/index.js", "");
    machine
        .sh(&format!(
            "cp {ECOSYSTEM} {ECOSYSTEM}~ && sed -i 's/web/web/' {ECOSYSTEM}"
        ))
        .ok();
    // The folder comes with its file: two changes that lie apart would be two reloads.
    machine.write("/srv/new/a.js", "");
    machine.run(&["mv", "/srv/new", "/srv/web/lib/deep"]).ok();
    wait_for_others(machine, &before);
    let journal = machine.journal(UNIT);
    for ignored in ["node_modules/x", "ecosystem.toml", "/sed"] {
        assert!(!journal.contains(ignored), "{ignored}: {journal}");
    }
    load.wait_answered(50);
    load.stop().assert_nothing_lost();

    let before = pids(machine, 2);
    deploy(machine, "graceful", "answer", "throw a bug\nanswer");
    wait_for_words(machine, "the reload ended as `failed`");
    assert_eq!(pids(machine, 2), before, "the version before goes on");
    deploy(machine, "graceful", "throw a bug\n", "");
    wait_for_others(machine, &before);
    assert_exactly(machine, 2);
}

pub(crate) fn its_unit_comes_and_goes_with_the_app(machine: &mut Machine) {
    install(machine, "graceful", "2", WATCHED);
    let list = machine.run(&["rsgen", "list"]).ok();
    assert!(list.text().contains("watched"), "{}", list.text());
    machine.run(&["rsgen", "stop", "web"]).ok();
    wait_until(SOON, "the unit to stop", || {
        machine.state(UNIT) == "inactive"
    });
    machine.run(&["rsgen", "start", "web"]).ok();
    wait_until(SOON, "the unit to start", || {
        machine.state(UNIT) == "active"
    });
    let changed = WATCHED.replace("true", "\"graceful\"");
    write_ecosystem(machine, "graceful", "2", &changed);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let command = machine.systemctl(&["show", "-p", "ExecStart", UNIT]).ok();
    assert!(
        command.text().contains("--path=/srv/web/graceful "),
        "{}",
        command.text()
    );
    machine.wait_state(UNIT, "active", SOON);

    write_ecosystem(machine, "graceful", "2", "settle = 0");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.wait_state(UNIT, "inactive", SOON);
    let left = machine
        .sh("find /etc/systemd /run/systemd -not -path '*/units/*' -name '*:watch*'")
        .ok();
    assert_eq!(left.text(), "");
    assert_eq!(machine.main_pid(UNIT), 0);

    write_ecosystem(machine, "graceful", "2", WATCHED);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.wait_state(UNIT, "active", SOON);
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    wait_until(SOON, "the unit to be gone", || {
        machine.state(UNIT) == "inactive"
    });
    let left = machine.sh("find /etc/systemd -name '*web*'").ok();
    assert_eq!(left.text(), "");
}

pub(crate) fn works_below_systemd_user(machine: &mut Machine) {
    user::log_in(machine);
    user::run(machine, "mkdir lib").ok();
    user::deploy(machine, "graceful.js", "listen = 3000\nwatch = \"lib\"");
    let pid = || {
        let shown = user::run(machine, "systemctl --user show --value -p MainPID web@0");
        shown.text().to_owned()
    };
    let before = pid();
    // The unit is active before its command watches.
    let of_watch = ["-o", "cat", "_SYSTEMD_USER_UNIT=web:watch.service"];
    wait_until(SOON, "the folder to be watched", || {
        machine.journalctl(&of_watch).stdout.contains("watching ")
    });
    machine.write("/home/worker/lib/a.js", "");
    wait_until(SOON, "another instance", || {
        let now = pid();
        now != "0" && now != before
    });
}
