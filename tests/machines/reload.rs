//! The rolling reload: what it replaces, in which order, and how it ends with a broken version.

use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{SOON, assert_exactly, deploy, install, instances, pids, write_ecosystem};

fn load(machine: &Machine) -> Load {
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(200);
    load
}

pub(crate) fn replaces_every_instance_in_order_and_loses_nothing(machine: &mut Machine) {
    install(machine, "graceful.js", "4", "");
    for command in [
        &["systemctl", "reload-or-restart", "web"][..],
        &["rsgen", "reload", "web"],
    ] {
        let before = pids(machine, 4);
        let load = load(machine);
        deploy(machine, "graceful.js", "version ", "version 1");
        let reload = machine.spawn(command);
        let mut order: Vec<usize> = Vec::new();
        let mut fewest = 4;
        let mut status = String::new();
        while !reload.is_over() {
            let active = instances(machine)
                .iter()
                .filter(|l| l.ends_with(" active"))
                .count();
            fewest = fewest.min(active);
            let now = pids(machine, 4);
            let new = |i: &usize| now[*i] != before[*i] && !order.contains(i);
            let changed: Vec<usize> = (0..4).filter(new).collect();
            order.extend(changed);
            let text = machine.property("web.service", "StatusText");
            if text.starts_with("instance ") {
                status = text;
            }
        }
        let _ = reload.wait().ok();
        // The last one may have been replaced since the last look.
        let now = pids(machine, 4);
        order.extend(
            (0..4)
                .filter(|i| now[*i] != before[*i] && !order.contains(i))
                .collect::<Vec<_>>(),
        );
        load.wait_answered(200);
        let report = load.stop();
        report.assert_nothing_lost();
        assert_eq!(order, [0, 1, 2, 3], "in order");
        assert!(fewest >= 4, "{fewest} were ready");
        assert!(!status.is_empty(), "the progress is the unit's status");
        assert!(report.with("version 11") > 0, "the new code serves");
        assert_exactly(machine, 4);
    }
}

pub(crate) fn tells_its_progress_line_by_line(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    let told = machine.run(&["rsgen", "reload", "web"]).ok();
    let lines = [
        "canary: ready",
        "instance 0: ready",
        "instance 1: ready",
        "canary: stopped",
        "done: 2 of 2 replaced",
    ];
    let places: Vec<usize> = lines.iter().filter_map(|l| told.stdout.find(l)).collect();
    assert_eq!(places.len(), lines.len(), "{}", told.stdout);
    assert!(places.is_sorted(), "{}", told.stdout);
    assert!(!told.stdout.contains('\x1b'), "{}", told.stdout);

    // On a terminal in place of that: a picture, and only the end as a line.
    let told =
        machine.sh("TERM=xterm script -qec 'stty rows 24 cols 80; rsgen reload web' /dev/null");
    let told = told.ok().stdout;
    for part in [
        "\x1b[3A\r",
        "web@1        waiting",
        "canary, ready in",
        "web@1        ready in",
    ] {
        assert!(told.contains(part), "{part:?} in {told:?}");
    }
    assert!(
        told.contains("\n  done: 2 of 2 replaced")
            || told.contains("\x1b[J  done: 2 of 2 replaced"),
        "{told:?}"
    );
    assert!(!told.contains("replacing pid"), "{told:?}");
    // Nothing takes the picture away, not even the end.
    assert!(!told.contains("A\r\x1b[J"), "{told:?}");
}

pub(crate) fn a_build_that_crashes_or_is_never_ready_touches_nothing(machine: &mut Machine) {
    // The walk stops the canary before systemd starts it again, so the reason is that of the run that failed.
    let keys = "listen_timeout = \"6s\"\nrestart_delay = \"5s\"";
    install(machine, "graceful", "4", keys);
    let before = pids(machine, 4);
    let load = load(machine);
    for (bad, status, why) in [
        ("throw a bug in the new version", 1, "exited with status 1"),
        ("sleep 3600000", 5, "timed out"),
    ] {
        deploy(machine, "graceful", "answer", &format!("{bad}\nanswer"));
        let told = machine.run(&["rsgen", "reload", "web"]).exits(status);
        assert!(
            told.stdout.contains(why) && told.stderr.contains("every instance still serves"),
            "{told:?}"
        );
        let is_waited_for = status == 5;
        assert!(
            !is_waited_for || told.stdout.contains("web: waiting for "),
            "{told:?}"
        );
        machine.run(&["systemctl", "reload", "web"]).exits(1);
        assert_eq!(pids(machine, 4), before);
        assert_exactly(machine, 4);
        deploy(machine, "graceful", &format!("{bad}\n"), "");
    }
    let journal = machine.journalctl(&["-u", "web.service", "-o", "cat"]).ok();
    assert!(
        journal.stdout.contains("a bug in the new version"),
        "{}",
        journal.stdout
    );
    load.wait_answered(100);
    load.stop().assert_nothing_lost();

    deploy(machine, "graceful", "version 1", "version 2");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(machine.get(3000).unwrap_or_default().contains("version 2"));
}

pub(crate) fn works_ten_times_in_a_row(machine: &mut Machine) {
    install(machine, "graceful", "2", "settle = 0");
    let load = load(machine);
    for _ in 0..10 {
        let before = pids(machine, 2);
        machine.systemctl(&["reload", "web"]).ok();
        let after = pids(machine, 2);
        assert!(
            after.iter().all(|p| !before.contains(p)),
            "{before:?} {after:?}"
        );
    }
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 2);
}

pub(crate) fn an_instance_that_fails_twice_stops_it_and_the_rest_keep_their_version(
    machine: &mut Machine,
) {
    install(machine, "graceful", "4", "");
    let before = pids(machine, 4);
    let crash = "in 1 throw only here\nanswer";
    deploy(machine, "graceful", "answer", crash);
    let told = machine.run(&["rsgen", "reload", "web"]).exits(1);
    assert!(told.stderr.contains("instance 1 failed twice"), "{told:?}");
    assert_eq!(pids(machine, 4)[2..], before[2..]);
    assert_ne!(pids(machine, 4)[0], before[0]);
    deploy(machine, "graceful", crash, "answer");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 4);
}

pub(crate) fn brings_the_number_of_instances_to_what_the_file_says(machine: &mut Machine) {
    install(machine, "graceful", "4", "settle = 0");
    for count in [2, 3] {
        write_ecosystem(machine, "graceful", &count.to_string(), "settle = 0");
        machine
            .run(&["rsgen", "install", crate::cluster::ECOSYSTEM])
            .ok();
        assert_exactly(machine, count);
    }
}

pub(crate) fn starts_an_app_that_is_stopped(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 2);
}

pub(crate) fn two_at_once_both_end_well(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    let load = load(machine);
    let walk = || machine.spawn(&["rsgen", "reload", "web"]);
    let mut first = walk();
    wait_until(SOON, "the first walk", || {
        // A walk may be over between two looks.
        if first.is_over() {
            first = walk();
        }
        machine.state("web.service") == "reloading"
    });
    let second = machine.spawn(&["systemctl", "reload", "web"]);
    let _ = first.wait().ok();
    let _ = second.wait().ok();
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 2);
}

pub(crate) fn takes_several_at_a_time_and_goes_without_a_canary_when_told(machine: &mut Machine) {
    install(machine, "graceful", "4", "surge = 0\nparallel = \"50%\"");
    let before = pids(machine, 4);
    let told = machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(!told.stdout.contains("canary"), "{}", told.stdout);
    assert!(pids(machine, 4).iter().all(|p| !before.contains(p)));
    assert_exactly(machine, 4);

    // Another pace is that of one reload.
    let wish = ["rsgen", "reload", "web", "--surge", "100%"];
    machine.run(&wish).ok().says("4 canaries first");
    assert_exactly(machine, 4);
    machine.systemctl(&["reload", "web"]).ok();
    let walk = machine.run(&["cat", "/run/rsgen/web/walk.jsonl"]).ok();
    assert!(!walk.stdout.contains("canary-starting"), "{walk}");
    let both = ["rsgen", "reload", "web", "--canary-only", "--surge", "2"];
    machine.run(&both).exits(2);
    machine
        .run(&["rsgen", "reload", "web", "--parallel", "0"])
        .exits(2);
}

/// The places of the events whose lines have this part. A line that says what a silent reload waits for is none.
fn places(told: &str, part: &str) -> Vec<usize> {
    let lines = told.lines().enumerate();
    let found = lines.filter(|(_, line)| line.starts_with("  ") && line.contains(part));
    found.map(|(place, _)| place).collect()
}

pub(crate) fn doubles_the_app_for_a_while_and_goes_on_after_a_failure_when_told(
    machine: &mut Machine,
) {
    let pace = "surge = \"100%\"\nmax_failures = 1\nsettle = 0";
    install(machine, "graceful", "4", pace);
    let before = pids(machine, 4);
    let load = load(machine);
    let told = machine.run(&["rsgen", "reload", "web"]).ok().stdout;
    load.wait_answered(100);
    load.stop().assert_nothing_lost();
    assert!(
        told.contains("replacing 4 instances, 4 canaries first"),
        "{told}"
    );
    let up = places(&told, "canary 7: ready");
    let replacing = places(&told, ": replacing pid");
    let ready: Vec<usize> = (0..4)
        .flat_map(|i| places(&told, &format!("instance {i}: ready")))
        .collect();
    assert_eq!(
        (up.len(), replacing.len(), ready.len()),
        (1, 4, 4),
        "{told}"
    );
    assert!(
        up < replacing && replacing.last() < ready.iter().min(),
        "{told}"
    );
    assert!(pids(machine, 4).iter().all(|p| !before.contains(p)));
    assert_exactly(machine, 4);

    let before = pids(machine, 4);
    let crash = "in 1 throw only here\nanswer";
    deploy(machine, "graceful", "answer", crash);
    let told = machine.run(&["rsgen", "reload", "web"]).exits(1);
    assert!(
        told.stdout.contains("continuing, 1 of at most 1 failures")
            && told
                .stderr
                .contains("every instance that did not fail was replaced"),
        "{told:?}"
    );
    let after = pids(machine, 4);
    assert!([0, 2, 3].iter().all(|i| before[*i] != after[*i]));
    deploy(machine, "graceful", crash, "answer");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 4);
}

/// While a canary is kept.
fn assert_nothing_else_is_done(machine: &Machine) {
    for command in [
        &["systemctl", "reload", "web"][..],
        &["rsgen", "reload", "web"],
        &["rsgen", "reload", "web", "--canary-only"],
        &["rsgen", "scale", "web", "3"],
    ] {
        let told = machine.run(command).exits(1);
        let is_said = told.stderr.contains("`rsgen reload web --promote`");
        assert!(is_said || command[0] == "systemctl", "{told}");
    }
}

fn assert_the_canary_is_in_the_history(machine: &Machine) {
    wait_until(SOON, "the canary in the history", || {
        let history = machine.run(&["rsgen", "history", "web"]).ok();
        // `systemctl reload` was refused.
        let told = ["canary", "abort", "reload"];
        told.iter().all(|word| {
            let is_it = |line: &str| line.split_whitespace().any(|column| column == *word);
            history.stdout.lines().any(is_it)
        })
    });
}

pub(crate) fn a_canary_stays_until_it_is_promoted_or_aborted(machine: &mut Machine) {
    install(machine, "graceful", "2", "settle = 0");
    let old = pids(machine, 2);
    let keep = |machine: &Machine| {
        machine
            .run(&["rsgen", "reload", "web", "--canary-only"])
            .ok()
            .says("kept, as instance 2");
    };
    deploy(machine, "graceful", "version 1", "version 2");
    let traffic = load(machine);
    keep(machine);
    wait_until(SOON, "the end of the brake unit", || {
        machine.state("web:brake.service") == "inactive"
    });
    traffic.wait_answered(400);
    assert_exactly(machine, 3);
    machine
        .run(&["rsgen", "list"])
        .ok()
        .says("canary, until `--promote` or `--abort`");
    machine
        .run(&["rsgen", "describe", "web"])
        .ok()
        .says("2 of 2 serving");
    let logs = ["rsgen", "logs", "web@2", "-n", "1", "--no-follow"];
    let logs = machine.run(&logs).ok();
    assert!(!format!("{logs}").contains("only while"), "{logs}");
    assert_nothing_else_is_done(machine);
    assert_eq!(pids(machine, 2), old);
    machine.run(&["rsgen", "reload", "web", "--abort"]).ok();
    assert_exactly(machine, 2);
    assert_eq!(pids(machine, 2), old);
    assert_the_canary_is_in_the_history(machine);

    keep(machine);
    let canary = machine.main_pid("web@2.service");
    let told = machine.run(&["rsgen", "reload", "web", "--promote"]).ok();
    assert!(!told.stdout.contains("canary: starting"), "{told}");
    let report = traffic.stop();
    report.assert_nothing_lost();
    assert!(report.with("version 2") > 0, "the canary has its share");
    assert!(
        pids(machine, 2)
            .iter()
            .all(|pid| !old.contains(pid) && *pid != canary)
    );
    assert_exactly(machine, 2);
    let told = machine.run(&["rsgen", "reload", "web", "--promote"]);
    assert!(told.exits(1).stderr.contains("no canary of `web` is kept"));

    keep(machine);
    machine.systemctl(&["restart", "web"]).ok();
    assert_exactly(machine, 2);
    machine.systemctl(&["reload", "web"]).ok();
}
