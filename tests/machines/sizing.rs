//! The number of instances: on this machine, on one with more CPUs, and after a boot.

use testbed::{Load, Machine, PowerLoss, Traffic, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, deploy, install, write_ecosystem};

fn cpus(machine: &Machine) -> u32 {
    machine.run(&["nproc"]).ok().text().parse().unwrap_or(0)
}

pub(crate) fn four_instances_answer_on_one_port_with_their_numbers(machine: &mut Machine) {
    install(machine, "node4.js", "4", "");
    let answers = |machine: &Machine| {
        let load = Load::start(machine, &Traffic::on_port(3000, 16));
        load.wait_answered(2000);
        load.stop()
    };
    let report = answers(machine);
    for number in ["0 ", "1 ", "2 ", "3 "] {
        assert!(report.with(number) > 0, "{number} never answered: {report}");
    }
    write_ecosystem(machine, "node4.js", "2", "instance_var = \"WORKER\"");
    deploy(
        machine,
        "node4.js",
        "process.env.NODE_APP_INSTANCE",
        "process.env.WORKER",
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let report = answers(machine);
    assert!(report.with("0 ") > 0 && report.with("1 ") > 0, "{report}");
}

pub(crate) fn the_command_line_beats_the_file(machine: &mut Machine) {
    install(machine, "graceful.js", "1", "settle = 0");
    let all = cpus(machine);
    for (number, count) in [("max", all), ("3", 3), ("-1", (all - 1).max(1)), ("0", all)] {
        machine
            .run(&["rsgen", "install", ECOSYSTEM, "-i", number])
            .ok();
        assert_exactly(machine, count);
    }
    // The number is kept as long as the file has the one that it was chosen in place of.
    machine
        .run(&["rsgen", "install", ECOSYSTEM, "-i", "3"])
        .ok();
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("web: instances = 3, as `--instances` chose; the file has 1")
        .says("nothing to do");
    machine
        .run(&["rsgen", "install", "/etc/rsgen/web.toml", "-i", "2"])
        .ok();
    machine.run(&["rsgen", "deploy", ECOSYSTEM]).ok();
    assert_exactly(machine, 2);
    write_ecosystem(machine, "graceful.js", "0", "settle = 0");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("web: instances = max, since the file has changed");
    assert_exactly(machine, all);
}

pub(crate) fn after_a_boot_it_serves_and_fits_the_machine(machine: &mut Machine) {
    install(machine, "graceful.js", "\"max\"", "");
    let all = cpus(machine);
    assert_exactly(machine, all);
    machine.power_off(PowerLoss::Clean);
    machine.power_on(Some("0"));
    wait_until(SOON, "the app to serve", || machine.get(3000).is_ok());
    assert_exactly(machine, 1);
    machine.power_off(PowerLoss::Cut);
    machine.power_on(None);
    wait_until(SOON, "the app to serve", || machine.get(3000).is_ok());
    assert_exactly(machine, all);
}

pub(crate) fn a_bigger_machine_gets_more_than_was_pinned(machine: &mut Machine) {
    machine.power_off(PowerLoss::Cut);
    machine.power_on(Some("0"));
    install(machine, "graceful.js", "\"max\"", "");
    assert_exactly(machine, 1);
    machine.power_off(PowerLoss::Cut);
    machine.power_on(None);
    let all = cpus(machine);
    wait_until(SOON, "the app to serve", || machine.get(3000).is_ok());
    assert_exactly(machine, all);
}

pub(crate) fn a_file_that_a_package_drops_is_an_app(machine: &mut Machine) {
    machine.write_app("graceful.js", "/srv/web");
    let text = "[[apps]]\nname = \"web\"\nscript = \"/srv/web/graceful.js\"\ncwd = \"/srv/web\"\nlisten = 3000\ninstances = 2\n";
    machine.write("/usr/lib/rsgen/web.toml", text);
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["start", "web"]).ok();
    assert_exactly(machine, 2);
    machine.run(&["rsgen", "reload", "web"]).ok();
    machine.power_cycle(PowerLoss::Cut);
    wait_until(SOON, "the app to serve", || machine.get(3000).is_ok());
    assert_exactly(machine, 2);
    machine.write("/etc/rsgen/web.toml.d/scale.toml", "instances = 3\n");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 3);
    machine.systemctl(&["stop", "web"]).ok();
    machine
        .run(&["ln", "-s", "/dev/null", "/etc/rsgen/web.toml"])
        .ok();
    machine.systemctl(&["daemon-reload"]).ok();
    assert_eq!(machine.property("web.service", "LoadState"), "not-found");
}
