//! What is seen of apps that run: processor time, connections, what waits.

use std::time::Duration;

use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{SOON, assert_exactly, install};

/// How often a field of `rsgen list --json` has this value.
fn times(machine: &Machine, field: &str, value: u32) -> usize {
    let list = machine.run(&["rsgen", "list", "--json"]).ok();
    let said = format!("\"{field}\": {value},");
    list.stdout.matches(&said).count()
}

pub(crate) fn the_list_counts_connections_and_goes_on_until_a_key_is_pressed(
    machine: &mut Machine,
) {
    install(machine, "graceful", "2", "settle = 0");
    assert_exactly(machine, 2);
    let traffic = Traffic::on_port(3000, 6).keep_alive();
    let load = Load::start(machine, &traffic.pause(Duration::from_millis(5)));
    load.wait_answered(60);
    // The app's number is the sum of the instances', which root may count.
    wait_until(SOON, "six connections in two instances", || {
        let list = machine.run(&["rsgen", "list", "--cpu", "--json"]).ok();
        let list = list.stdout.replace("\"connections\": ", "\n#");
        let counts = list.lines().filter_map(|line| line.strip_prefix('#'));
        let counts: Vec<u32> = counts
            .filter_map(|count| count.split(',').next()?.parse().ok())
            .collect();
        counts.len() == 3 && counts[0] == 6 && counts[1] + counts[2] == 6
    });
    assert_a_screen_is_drawn_and_left(machine);
    load.stop().assert_nothing_lost();
    assert_an_app_is_described(machine);

    // Nobody accepts.
    machine
        .systemctl(&["kill", "-s", "STOP", "web@0", "web@1"])
        .ok();
    let waiting = machine.spawn(&["timeout", "60", "curl", "-s", "http://127.0.0.1:3000"]);
    wait_until(SOON, "a connection that waits", || {
        times(machine, "waiting", 1) == 1
    });
    machine
        .systemctl(&["kill", "-s", "CONT", "web@0", "web@1"])
        .ok();
    waiting.wait().ok().says("version 1");
    machine
        .run(&["rsgen", "metrics"])
        .ok()
        .says("rsgen_app_instances_serving{app=\"web\"} 2")
        .says("rsgen_app_dropped_total{app=\"web\"} 0");
    wait_until(SOON, "an empty queue", || times(machine, "waiting", 0) == 1);
}

/// On a terminal the list is drawn in place, and in a pipe one below the other.
fn assert_a_screen_is_drawn_and_left(machine: &Machine) {
    let watch = "stty rows 24 cols 50; rsgen --color never list --watch=0.2; stty -a; echo end";
    // The key is pressed when the list has been drawn three times.
    let keys = "(until [ \"$(grep -o '`q` ends' /run/screen | wc -l)\" -gt 2 ]; do sleep 0.1; done; printf q)";
    let told = machine.sh(&format!(
        ": >/run/screen; {keys} | timeout 60 script -qc '{watch}' /dev/null | tee /run/screen"
    ));
    let told = told.ok();
    let (screen, after) = told
        .stdout
        .split_once("\u{1b}[?1049l")
        .unwrap_or_else(|| panic!("{told}"));
    assert!(screen.starts_with("\u{1b}[?1049h"), "{told}");
    assert!(screen.matches("`q` ends").count() > 2, "{told}");
    let heads = "APP  #  STATUS  RESTARTS  CPU";
    assert!(
        screen.contains(heads) && !screen.contains("LISTEN"),
        "{told}"
    );
    for expected in [" icanon", " echo", "susp = ^Z", "end"] {
        assert!(after.contains(expected), "{expected}: {told}");
    }
    let blocks = machine
        .sh("rsgen list --watch=0.1 --sort cpu | head -n 8")
        .ok();
    assert_eq!(blocks.stdout.matches("APP").count(), 2, "{blocks}");
    assert!(!blocks.stdout.contains('\u{1b}'), "{blocks}");
}

/// Where the parts of an app are, and what is not as its file says.
fn assert_an_app_is_described(machine: &Machine) {
    let describe = || machine.run(&["rsgen", "describe", "web"]).ok();
    let parts = "/etc/systemd/system/web.service /etc/systemd/system/web.socket";
    let told = describe();
    let told = told
        .says("state     active, 2 of 2 serving")
        .says("listens   3000, shared, handover by bind")
        .says("file      /etc/rsgen/web.toml")
        .says(parts)
        .says("slice     system-web.slice")
        .says("logs      in the journal; `rsgen logs web`");
    assert!(
        !told.stdout.contains("differs") && !told.stdout.contains("walk"),
        "{told}"
    );
    machine.run(&["rsgen", "reload", "web"]).ok();
    describe().says("walk      done: 2 of 2 replaced in ");
    machine
        .sh("echo 'kill_timeout = \"7s\"' >>/etc/rsgen/web.toml")
        .ok();
    describe().says(
        "differs   web.service web@.service would change: `rsgen reload web` applies the file",
    );
    machine
        .sh("sed -i 's/^TimeoutStopSec=.*/TimeoutStopSec=9s/' /etc/systemd/system/web@.service")
        .ok();
    describe()
        .says("systemd has not read the changed units: `systemctl daemon-reload`")
        .says("started before their unit was changed: 0, 1; `rsgen reload web` replaces them");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(!describe().stdout.contains("differs"));
}
