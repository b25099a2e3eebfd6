//! The releases of an app whose `cwd` is a link: which one an instance runs, and how an app goes back to an earlier one.

use testbed::runner::Spec;
use testbed::{Load, Machine, Traffic, specs, wait_until};

use crate::cluster::SOON;
use crate::{release, yama};

pub(crate) const SPECS: &[Spec] = specs![
    release::a_crash_starts_the_release_that_the_instance_was_started_with,
    release::a_rollback_under_load_goes_one_back_and_loses_nothing,
    release::a_rollback_that_fails_leaves_the_link_and_the_instances_as_they_were,
    release::an_app_without_a_link_goes_back_to_an_earlier_file,
];

/// The colours in the answers of the program, which are hexadecimal.
const RED: &str = "726564";
const GREEN: &str = "677265656e";
const FILE: &str = "/srv/app/current/ecosystem.toml";

/// Puts a release in its folder, whose program answers with its number.
fn write(machine: &Machine, number: &str) {
    let app = "[[apps]]\nname = \"web\"\nscript = \"graceful\"\nlisten = 3000\ninstances = 2\nsettle = 0\nuser = \"www-data\"\n";
    let folder = format!("/srv/app/releases/{number}");
    machine.write_app("graceful", &folder);
    machine.write(&format!("{folder}/ecosystem.toml"), app);
    let version = format!("sed -i 's/version 1/version {number}/' {folder}/graceful");
    machine.sh(&version).ok();
}

fn link_to(machine: &Machine, number: &str) {
    let link = format!("ln -sfn releases/{number} /srv/app/current");
    machine.sh(&link).ok();
}

fn pid(machine: &Machine, instance: u32) -> String {
    machine.property(&format!("web@{instance}.service"), "MainPID")
}

/// Kills an instance, and waits until systemd has started it again.
fn crash(machine: &Machine, instance: u32) {
    let before = pid(machine, instance);
    machine.run(&["kill", "-KILL", &before]).ok();
    let unit = format!("web@{instance}.service");
    wait_until(SOON, "the instance serves again", || {
        let now = pid(machine, instance);
        now != before && now != "0" && machine.property(&unit, "ActiveState") == "active"
    });
}

/// The folder in which an instance works.
fn runs(machine: &Machine, instance: u32) -> String {
    let cwd = format!("readlink /proc/{}/cwd", pid(machine, instance));
    machine.sh(&cwd).ok().stdout.trim().to_owned()
}

fn assert_runs(machine: &Machine, numbers: [&str; 2]) {
    for (instance, number) in (0..).zip(numbers) {
        let folder = format!("/srv/app/releases/{number}");
        assert_eq!(runs(machine, instance), folder, "instance {instance}");
        let command = machine.sh(&format!(
            "tr '\\0' ' ' </proc/{}/cmdline",
            pid(machine, instance)
        ));
        let command = command.ok().stdout;
        let is_through = |path: &str| command.contains(&format!("{path}/graceful"));
        assert!(
            is_through("/srv/app/current") || is_through(&folder),
            "{command}"
        );
    }
    let list = machine.run(&["rsgen", "list", "--json"]).ok();
    let shown = numbers.map(|number| format!("\"release\": \"{number}\""));
    shown.iter().fold(list, |list, release| list.says(release));
}

fn a_crash_starts_the_release_that_the_instance_was_started_with(machine: &mut Machine) {
    yama::pretend(machine, 1);
    for number in ["1", "2", "3"] {
        write(machine, number);
    }
    machine.write("/srv/app/releases/2/graceful", "#!/bin/sh\nexit 1\n");
    link_to(machine, "1");
    machine.run(&["rsgen", "install", FILE]).ok();
    assert_runs(machine, ["1", "1"]);

    // A walk that failed at its canary, and one that has not begun.
    link_to(machine, "2");
    machine.run(&["rsgen", "reload", "web"]).exits(1);
    crash(machine, 1);
    assert_runs(machine, ["1", "1"]);
    let told = "restarted in /srv/app/releases/1, as before; /srv/app/current now points elsewhere";
    assert!(machine.journal("web@1.service").contains(told));
    crash(machine, 1);
    link_to(machine, "3");
    crash(machine, 0);
    assert_runs(machine, ["1", "1"]);

    // What starts an instance on purpose follows the link.
    machine.run(&["rsgen", "reload", "web"]).ok();
    crash(machine, 0);
    assert_runs(machine, ["3", "3"]);
    link_to(machine, "1");
    machine.run(&["rsgen", "restart", "web@0"]).ok();
    assert_runs(machine, ["1", "3"]);
    machine.systemctl(&["restart", "web"]).ok();
    wait_until(SOON, "both serve", || {
        (0..2).all(|n| machine.property(&format!("web@{n}.service"), "ActiveState") == "active")
    });
    assert_runs(machine, ["1", "1"]);

    recycle_both(machine);
    assert_runs(machine, ["1", "1"]);

    // A release that is gone cannot be kept, and neither can a folder that only a capability of the worker opens.
    link_to(machine, "3");
    machine.sh("rm -r /srv/app/releases/1").ok();
    crash(machine, 0);
    assert_runs_one(machine, 0, "3");
    let plant = "mkdir -p /srv/hidden/open && chmod 700 /srv/hidden && cd /srv/hidden/open && \
                 systemd-run -q --unit=inside --working-directory=/srv/hidden/open sleep 1000 && \
                 ln -s /proc/$(systemctl show -P MainPID inside)/cwd /srv/app/releases/1";
    machine.sh(plant).ok();
    crash(machine, 0);
    assert_runs_one(machine, 0, "3");
    let told = "/srv/app/releases/1, in the release that this instance was started with, cannot be used: Too many";
    assert!(machine.journal("web@0.service").contains(told));
}

/// Has both instances recycled while the link leads to a release that does not start.
fn recycle_both(machine: &Machine) {
    let limit = "sed -i '/^settle/a max_uptime = \"1s\"' /etc/rsgen/web.toml";
    machine.sh(limit).ok();
    machine.run(&["rsgen", "reload", "web"]).ok();
    machine
        .systemctl(&["stop", "web:recycle.timer", "web:recycle.service"])
        .ok();
    link_to(machine, "2");
    let before = [pid(machine, 0), pid(machine, 1)];
    wait_until(SOON, "both to be recycled", || {
        machine.systemctl(&["start", "web:recycle.service"]).ok();
        (0..)
            .zip(&before)
            .all(|(n, before)| pid(machine, n) != *before)
    });
}

fn assert_runs_one(machine: &Machine, instance: u32, number: &str) {
    assert_eq!(
        runs(machine, instance),
        format!("/srv/app/releases/{number}")
    );
}

fn reload_to(machine: &Machine, number: &str) {
    link_to(machine, number);
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_runs(machine, [number, number]);
}

fn link(machine: &Machine) -> String {
    let link = machine.run(&["readlink", "/srv/app/current"]).ok();
    link.text().to_owned()
}

fn a_rollback_under_load_goes_one_back_and_loses_nothing(machine: &mut Machine) {
    for number in ["1", "2", "3"] {
        write(machine, number);
    }
    machine.sh("chown -hR www-data /srv/app").ok();
    link_to(machine, "1");
    machine.sh("chown -h www-data /srv/app/current").ok();
    machine.run(&["rsgen", "install", FILE]).ok();
    reload_to(machine, "2");
    // By systemctl, which keeps nothing.
    link_to(machine, "3");
    machine.systemctl(&["reload", "web"]).ok();
    assert_runs(machine, ["3", "3"]);
    let told = machine.run(&["rsgen", "releases", "web"]).ok();
    assert_eq!(told.stdout.lines().count(), 4, "{told}");
    told.says("current");

    let dry = machine.run(&["rsgen", "rollback", "web", "--dry-run"]).ok();
    dry.says("web: would go back from 3 to release 2")
        .says("/srv/app/current would point to /srv/app/releases/2")
        .says("web: would reload");
    assert_runs(machine, ["3", "3"]);
    assert_eq!(link(machine), "releases/3");

    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    load.wait_answered(20);
    let told = machine.run(&["rsgen", "rollback", "web"]).ok();
    load.stop().assert_nothing_lost();
    told.says("web: link /srv/app/current to releases/2")
        .says("web: back from 3 to release 2");
    assert_runs(machine, ["2", "2"]);
    assert_eq!(link(machine), "releases/2");
    machine
        .run(&["rsgen", "describe", "web"])
        .ok()
        .says("2, rolled back from 3");
    let history = machine.run(&["rsgen", "history", "web"]).ok();
    history.says("from /srv/app/releases/3 to /srv/app/releases/2");

    // Once more it goes further back, and then there is nothing left.
    let wish = ["rsgen", "rollback", "web", "--surge", "100%"];
    machine.run(&wish).ok().says("2 canaries first");
    assert_runs(machine, ["1", "1"]);
    machine
        .run(&["rsgen", "rollback", "web"])
        .exits(1)
        .says("no release of `web` before the present one is kept");
    // To where it is already, it does nothing.
    let before = pid(machine, 0);
    machine.run(&["rsgen", "rollback", "web", "1"]).ok();
    assert_eq!(pid(machine, 0), before);
    machine
        .run(&["rsgen", "rollback", "web", "4"])
        .exits(2)
        .says("no release `4` of `web` is kept");

    // What is deployed next replaces it, and says so.
    link_to(machine, "3");
    machine
        .run(&["rsgen", "deploy", FILE])
        .ok()
        .says("release 3 replaces 1, the result of a rollback");
    let json = machine.run(&["rsgen", "releases", "web", "--json"]).ok();
    json.says("\"back_from\": null");
    machine.run(&["rm", "-r", "/srv/app/releases/2"]).ok();
    machine
        .run(&["rsgen", "rollback", "web", "2"])
        .exits(1)
        .says("the folder of release 2 is gone");
}

fn a_rollback_that_fails_leaves_the_link_and_the_instances_as_they_were(machine: &mut Machine) {
    for number in ["1", "2"] {
        write(machine, number);
    }
    link_to(machine, "1");
    machine.run(&["rsgen", "install", FILE]).ok();
    reload_to(machine, "2");
    machine.write("/srv/app/releases/1/graceful", "#!/bin/sh\nexit 1\n");
    let before = pid(machine, 0);
    machine.run(&["rsgen", "rollback", "web"]).exits(1);
    assert_eq!(link(machine), "releases/2");
    assert_eq!(pid(machine, 0), before);
    crash(machine, 0);
    assert_runs(machine, ["2", "2"]);

    // After a reload that failed, the link alone goes back.
    let before = [pid(machine, 0), pid(machine, 1)];
    link_to(machine, "1");
    machine.run(&["rsgen", "reload", "web"]).exits(1);
    let dry = machine.run(&["rsgen", "rollback", "web", "--dry-run"]);
    dry.ok().says("web: would stay on release 2");
    let told = machine.run(&["rsgen", "rollback", "web"]).ok();
    told.says("web: link /srv/app/current to releases/2")
        .says("web: stays on release 2");
    assert_eq!(link(machine), "releases/2");
    assert_eq!([pid(machine, 0), pid(machine, 1)], before);

    // An instance that somebody has started on purpose meanwhile goes back as well.
    write(machine, "3");
    link_to(machine, "3");
    machine.run(&["rsgen", "restart", "web@1"]).ok();
    assert_runs(machine, ["2", "3"]);
    let told = machine.run(&["rsgen", "rollback", "web"]).ok();
    told.says("web: web@1 serves another release than 2");
    assert_runs(machine, ["2", "2"]);

    // Two at once do it once, and a full disk keeps nobody from going back.
    write(machine, "1");
    machine
        .sh("rsgen rollback web & rsgen rollback web; wait")
        .ok();
    assert_eq!(link(machine), "releases/1");
    assert_runs(machine, ["1", "1"]);
    write(machine, "3");
    link_to(machine, "3");
    machine.systemctl(&["reload", "web"]).ok();
    let fill = "cp -a /var/lib/rsgen /run/kept && mount -t tmpfs -o mode=700 none /var/lib/rsgen && \
                cp -a /run/kept/. /var/lib/rsgen && mount -o remount,ro /var/lib/rsgen";
    machine.sh(fill).ok();
    machine
        .run(&["rsgen", "rollback", "web"])
        .ok()
        .says("not kept for a rollback: /var/lib/rsgen/web.json cannot be written");
    assert_runs(machine, ["1", "1"]);
    machine.run(&["umount", "/var/lib/rsgen"]).ok();
    reload_to(machine, "2");

    // A link that root has no business with.
    machine
        .sh("mv /srv/app /srv/moved && ln -s moved /srv/app")
        .ok();
    machine
        .run(&["rsgen", "rollback", "web"])
        .exits(1)
        .says("there is another link on the way");
    assert_eq!(link(machine), "releases/2");
}

fn an_app_without_a_link_goes_back_to_an_earlier_file(machine: &mut Machine) {
    machine.write_app("echo.js", "/srv/web");
    let deploy = |colour: &str| {
        let app = format!(
            "[[apps]]\nname = \"web\"\nscript = \"echo.js\"\nlisten = 3000\ninstances = 2\nsettle = 0\nuser = \"www-data\"\nenv = {{ COLOUR = \"{colour}\" }}\n"
        );
        machine.write("/srv/web/ecosystem.toml", &app);
        let file = "/srv/web/ecosystem.toml";
        machine.run(&["rsgen", "install", file]).ok()
    };
    deploy("red");
    let units = machine
        .sh("cd /etc/systemd/system && cat web.service web@.service")
        .ok()
        .stdout;
    deploy("green");
    machine.run(&["rsgen", "scale", "web", "3"]).ok();
    assert!(machine.get(3000).unwrap_or_default().contains(GREEN));
    let kept = "stat -c '%a %U' /var/lib/rsgen /var/lib/rsgen/*";
    assert_eq!(machine.sh(kept).ok().text(), "700 root\n600 root");

    let dry = machine.run(&["rsgen", "rollback", "web", "--dry-run"]).ok();
    dry.says("-env = { COLOUR = \"green\" }");
    assert!(machine.get(3000).unwrap_or_default().contains(GREEN));
    machine
        .run(&["rsgen", "rollback", "web"])
        .ok()
        .says("web: back from 2 to release 1");
    for _ in 0..6 {
        let answer = machine.get(3000).unwrap_or_default();
        assert!(answer.contains(RED), "{answer}");
    }
    // The number that was chosen since stays.
    machine
        .sh("rsgen list web --json")
        .ok()
        .says("\"wanted\": 3");
    machine.run(&["rsgen", "scale", "web", "2"]).ok();
    assert_eq!(
        machine
            .sh("cd /etc/systemd/system && cat web.service web@.service")
            .ok()
            .stdout,
        units
    );
    let told = deploy("green");
    told.says("release 2 replaces 1, the result of a rollback");
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    machine.run(&["test", "!", "-e", "/var/lib/rsgen"]).ok();
}
