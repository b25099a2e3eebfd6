//! The number of instances: on this machine, on one with more CPUs, and after a boot.

use testbed::{Load, Machine, PowerLoss, Traffic, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, deploy, install, pids, write_ecosystem};

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
    let keys = "instance_var = \"WORKER\"\ncpus = \"spread\"";
    write_ecosystem(machine, "node4.js", "2", keys);
    deploy(
        machine,
        "node4.js",
        "process.env.NODE_APP_INSTANCE",
        "process.env.WORKER",
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let report = answers(machine);
    assert!(report.with("0 ") > 0 && report.with("1 ") > 0, "{report}");
    machine
        .run(&["rsgen", "env", "web@1"])
        .ok()
        .says("\nWORKER=1\n");
    let nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups rsgen env web@1";
    machine.sh(nobody).exits(4).says("run it with sudo");
    // There a process of another user has no folder.
    let hides = format!("unshare -m sh -c 'mount -t proc -o hidepid=2 proc /proc && {nobody}'");
    machine.sh(&hides).exits(4).says("run it with sudo");
    let before = pids(machine, 2);
    let [first, second] = [before[0], before[1]].map(|pid| {
        let status = machine.read(&format!("/proc/{pid}/status"));
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("Cpus_allowed_list:"));
        line.and_then(|list| list.trim().parse::<u32>().ok())
    });
    assert!(first.is_some() && second.is_some(), "one CPU each");
    assert!(first < second || cpus(machine) == 1);
    machine.run(&["rsgen", "signal", "KILL", "web@1"]).ok();
    wait_until(SOON, "another program", || pids(machine, 2)[1] != before[1]);
    assert_eq!(pids(machine, 2)[0], before[0]);
}

pub(crate) fn the_command_line_beats_the_file(machine: &mut Machine) {
    install(machine, "graceful", "1", "settle = 0");
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
        .says("web: instances = 3, as set by `--instances`; the file has 1")
        .says("nothing to do");
    machine
        .run(&["rsgen", "install", "/etc/rsgen/web.toml", "-i", "2"])
        .ok();
    machine.run(&["rsgen", "deploy", ECOSYSTEM]).ok();
    assert_exactly(machine, 2);
    write_ecosystem(machine, "graceful", "0", "settle = 0");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("web: instances = max, since the file has changed");
    assert_exactly(machine, all);
}

pub(crate) fn scaling_adds_and_drains_and_leaves_the_others_alone(machine: &mut Machine) {
    install(machine, "graceful", "2", "settle = 0");
    let first = pids(machine, 2);
    let load = Load::start(machine, &Traffic::on_port(3000, 8));
    machine.run(&["rsgen", "scale", "web", "4"]).ok();
    assert_exactly(machine, 4);
    let four = pids(machine, 4);
    assert_eq!(four[..2], first);
    // One that cannot start leaves the others alone, and the next command starts it.
    machine.write(
        "/etc/systemd/system/web@5.service.d/no.conf",
        "[Service]\nExecStartPre=/bin/false\n",
    );
    machine
        .run(&["rsgen", "scale", "web", "+2"])
        .exits(1)
        .says("web: 5 of 6 serving; web@5.service");
    assert_eq!(pids(machine, 4), four);
    machine.sh("rm -r /etc/systemd/system/web@5.service.d").ok();
    machine
        .run(&["rsgen", "scale", "web", "6"])
        .ok()
        .says("web@5: start done");
    assert_eq!(pids(machine, 4), four);
    // A walk that runs is waited for, and it brings all six to their new version.
    let walk = || machine.spawn(&["systemctl", "reload", "web"]);
    let mut reload = walk();
    wait_until(SOON, "a walk", || {
        // A walk may be over between two looks.
        if reload.is_over() {
            reload = walk();
        }
        machine.state("web.service") == "reloading"
    });
    let scaled = machine.run(&["rsgen", "scale", "web", "-4"]).ok();
    let _ = reload.wait();
    scaled.says("web@5: stop done").says("web@2: stop done");
    assert_exactly(machine, 2);
    load.stop().assert_nothing_lost();
    // At the same moment, one of them may have to be called again; the files and the processes say the same.
    let install = machine.spawn(&["rsgen", "install", ECOSYSTEM, "-i", "4"]);
    machine.run(&["rsgen", "scale", "web", "+1"]);
    let _ = install.wait();
    let cluster = machine.read("/etc/systemd/system/web.service");
    let number = cluster.lines().find_map(|l| l.strip_prefix("Instances="));
    let number = number.and_then(|n| n.parse().ok()).unwrap_or(0);
    let file = machine.read("/etc/rsgen/web.toml");
    assert!(file.contains(&format!("instances = {number} #")), "{file}");
    wait_until(SOON, "the reload to end", || {
        machine.state("web.service") == "active"
    });
    assert_exactly(machine, number);
    assert_both_count(machine);
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("web: instances = 3, as set by `rsgen scale`; the file has 2")
        .says("nothing to do");
    machine.power_cycle(PowerLoss::Cut);
    wait_until(SOON, "the app to serve", || machine.get(3000).is_ok());
    assert_exactly(machine, 3);
}

/// Each of two that come at the same moment counts.
fn assert_both_count(machine: &Machine) {
    machine.run(&["rsgen", "scale", "web", "1"]).ok();
    let both = [(); 2].map(|()| machine.spawn(&["rsgen", "scale", "web", "+1"]));
    for one in both {
        one.wait().ok();
    }
    assert_exactly(machine, 3);
}

pub(crate) fn after_a_boot_it_serves_and_fits_the_machine(machine: &mut Machine) {
    install(machine, "graceful", "\"max\"", "");
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
    install(machine, "graceful", "\"max\"", "");
    assert_exactly(machine, 1);
    machine.power_off(PowerLoss::Cut);
    machine.power_on(None);
    let all = cpus(machine);
    wait_until(SOON, "the app to serve", || machine.get(3000).is_ok());
    assert_exactly(machine, all);
}

pub(crate) fn a_file_that_a_package_drops_is_an_app(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    let text = "[[apps]]\nname = \"web\"\nscript = \"/srv/web/graceful\"\ncwd = \"/srv/web\"\nlisten = 3000\ninstances = 2\n";
    machine.write("/usr/lib/rsgen/web.toml", text);
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["start", "web"]).ok();
    assert_exactly(machine, 2);
    machine.run(&["rsgen", "reload", "web"]).ok();
    machine.power_cycle(PowerLoss::Cut);
    wait_until(SOON, "the app to serve", || machine.get(3000).is_ok());
    assert_exactly(machine, 2);
    let two = pids(machine, 2);
    machine.run(&["rsgen", "scale", "web", "+1"]).ok();
    assert_exactly(machine, 3);
    assert_eq!(pids(machine, 2), two);
    let number = machine.read("/etc/rsgen/web.toml.d/99-scale.toml");
    assert_eq!(number, "instances = 3 # scale, in place of 2\n");
    machine.write("/etc/rsgen/web.toml.d/99-scale.toml", "instances = 1\n");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 1);
    machine.systemctl(&["stop", "web"]).ok();
    machine
        .run(&["ln", "-s", "/dev/null", "/etc/rsgen/web.toml"])
        .ok();
    machine.systemctl(&["daemon-reload"]).ok();
    assert_eq!(machine.property("web.service", "LoadState"), "not-found");
}

/// The units that an install writes take the place of those of the generator.
pub(crate) fn the_first_install_of_an_app_that_a_file_has_brought_loses_nothing(
    machine: &mut Machine,
) {
    machine.write_app("graceful", "/srv/web");
    let text = "[[apps]]\nname = \"web\"\nscript = \"/srv/web/graceful\"\ncwd = \"/srv/web\"\nuser = \"www-data\"\nlisten = 3000\ninstances = 2\n";
    machine.write("/usr/lib/rsgen/web.toml", text);
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["start", "web"]).ok();
    assert_exactly(machine, 2);
    let load = Load::start(machine, &Traffic::on_port(3000, 8));
    load.wait_answered(50);
    machine.write(ECOSYSTEM, text);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    load.wait_answered(50);
    deploy(machine, "graceful", "answer", "takes 1\nanswer");
    machine.run(&["rsgen", "reload", "web"]).ok();
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 2);
}
