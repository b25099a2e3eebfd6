//! What happens at set times: reloads of apps that last.

use testbed::{Load, Machine, PowerLoss, Traffic, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, install, pids, write_ecosystem};

fn timers(machine: &Machine) -> String {
    let list = machine.systemctl(&["list-timers", "--all", "--no-legend", "web*"]);
    list.ok().text().to_owned()
}

pub(crate) fn an_app_is_reloaded_at_set_times_and_loses_nothing(machine: &mut Machine) {
    let often = "reload_schedule = \"*/4 * * * * *\"\nsettle = 0\nuser = \"www-data\"";
    install(machine, "graceful.js", "2", often);
    let before = pids(machine, 2);
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(100);
    wait_until(SOON, "both to be replaced by the schedule", || {
        let now = pids(machine, 2);
        !now.contains(&0) && now.iter().all(|pid| !before.contains(pid))
    });
    load.wait_answered(100);
    load.stop().assert_nothing_lost();

    // Another time replaces nobody, and counts at once.
    machine.systemctl(&["stop", "web.timer"]).ok();
    wait_until(SOON, "the last reload to end", || {
        machine.state("rsgen-reload@web.service") == "inactive"
    });
    let now = pids(machine, 2);
    let daily = often.replace("*/4 * * * * *", "daily");
    write_ecosystem(machine, "graceful.js", "2", &daily);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert!(
        machine
            .property("web.timer", "TimersCalendar")
            .contains("*-*-* 00:00:00")
    );
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do");
    assert_eq!(pids(machine, 2), now);

    // An app that is stopped stays so, and that is no failure.
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine
        .systemctl(&["start", "rsgen-reload@web.service"])
        .ok();
    assert_eq!(machine.state("web.service"), "inactive");
    machine.power_cycle(PowerLoss::Clean);
    assert_exactly(machine, 2);
    assert!(timers(machine).contains("rsgen-reload@web.service"));
}

pub(crate) fn a_timer_comes_and_goes_with_the_key(machine: &mut Machine) {
    install(machine, "graceful.js", "1", "");
    let pid = pids(machine, 1);
    let file = "/etc/rsgen/web.toml";
    let without = machine.read(file);
    let with = without.replace(
        "listen",
        "reload_schedule = \"Sun 04:00\"\ntimer = { Persistent = true }\nlisten",
    );
    machine.write(file, &with);
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(timers(machine).contains("web.timer"), "{}", timers(machine));
    let enabled = machine.run(&["systemctl", "is-enabled", "web.timer"]);
    assert_eq!(enabled.text(), "enabled");
    assert_ne!(pids(machine, 1), pid, "a reload is asked for");
    let stamp = ["test", "-e", "/var/lib/systemd/timers/stamp-web.timer"];
    machine.run(&stamp).ok();

    machine.write(file, &without);
    machine.run(&["rsgen", "install", file]).ok();
    assert_eq!(timers(machine), "");
    let left =
        machine.sh("find /etc/systemd /run/systemd -name '*web.timer' -o -name 'rsgen-reload*'");
    assert_eq!(left.text(), "");
    machine.write(file, &with);
    machine.run(&["rsgen", "install", file]).ok();
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    assert_eq!(timers(machine), "");
    machine.run(&stamp).exits(1);

    // systemd knows what no parser of ours does.
    machine.write(ECOSYSTEM, &with.replace("Sun 04:00", "*-*-32 04:00"));
    let told = machine.run(&["rsgen", "check", ECOSYSTEM]).exits(3);
    assert!(
        told.stderr.contains("systemd takes `*-*-32 04:00`"),
        "{told:?}"
    );
}
