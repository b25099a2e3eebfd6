//! `rsgen pause` and `rsgen resume`: instances end, connections wait, and nothing is lost.

use testbed::runner::Spec;
use testbed::{Load, Machine, PowerLoss, Traffic, specs, wait_until};

use crate::balance::EVEN;
use crate::cluster::{
    ECOSYSTEM, SHARED, SOON, assert_exactly, install, instances, listener, wait_closed,
    wait_until_empty,
};
use crate::{pause, user};

pub(crate) const SPECS: &[Spec] = specs![
    pause::under_load_makes_connections_wait_and_loses_none,
    pause::ends_by_itself_and_by_whatever_starts_or_stops_the_app,
    pause::makes_clients_of_a_socket_file_and_of_a_full_queue_wait_as_well,
    pause::leaves_listeners_of_programs_that_sleep_in_accept_as_they_are,
    pause::of_an_app_of_a_user_ends_as_any_other,
    pause::keeps_the_watch_from_trying_and_starts_the_new_files,
];

const PAUSE: &str = "web:pause.service";
/// Longer than what is looked at takes, and than [`SOON`]: a pause that nothing has ended goes on.
const LONG: &str = "5min";

fn load(machine: &Machine, keep_alive: bool) -> Load {
    let traffic = Traffic::on_port(3000, 8).keep_alive_if(keep_alive);
    let load = Load::start(machine, &traffic);
    load.wait_answered(80);
    load
}

fn begin(machine: &Machine, time: &str) {
    machine
        .run(&["rsgen", "pause", "web", "--for", time])
        .ok()
        .says("2 instances ended and connections wait");
    if time == LONG {
        assert_eq!(instances(machine), Vec::<String>::new());
    }
}

fn assert_over(machine: &Machine) {
    wait_until(SOON, "the end of the pause", || {
        machine.property(PAUSE, "ActiveState") == "inactive"
    });
    assert_exactly(machine, 2);
}

/// How many connections wait at the listeners of the port.
fn waiting(machine: &Machine) -> u32 {
    let sockets = machine.run(&["ss", "-Hltn", "sport = :3000"]).ok();
    let queues = sockets.text().lines();
    let queues = queues.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok());
    queues.sum()
}

pub(crate) fn under_load_makes_connections_wait_and_loses_none(machine: &mut Machine) {
    // The filter of systemd-nspawn forbids bpf(2).
    machine.power_on_unfiltered();
    for balance in ["settle = 0", EVEN] {
        let keys = format!("{balance}\nreload_schedule = \"0 4 * * *\"");
        install(machine, "graceful.js", "2", &keys);
        assert_exactly(machine, 2);
        for keep_alive in [false, true] {
            let load = load(machine, keep_alive);
            let before = machine.property("web.service", "ActiveEnterTimestampMonotonic");
            begin(machine, LONG);
            wait_until(SOON, "every client to wait", || waiting(machine) == 8);
            let answered = load.answered();
            if keep_alive {
                machine.systemctl(&["daemon-reexec"]).ok();
            }
            // Nothing starts an instance for them, and nobody is told that the app is down.
            wait_until(SOON, "three seconds of the pause", || {
                let ago = "now=$(date +%s%N); since=$(stat -c %Y /run/rsgen/web/pause); \
                           [ $((now / 1000000000 - since)) -ge 3 ]";
                machine.sh(ago).status == 0
            });
            assert_eq!(instances(machine), Vec::<String>::new());
            assert_eq!(load.answered(), answered, "nobody answers");
            assert_eq!(load.failed(), 0);
            machine
                .run(&["rsgen", "resume", "web"])
                .ok()
                .says("web: resumed, 2 instances started");
            load.wait_answered(80);
            let report = load.stop();
            report.assert_nothing_lost();
            let after = machine.property("web.service", "ActiveEnterTimestampMonotonic");
            assert_eq!(after, before, "the cluster unit stays active");
            assert_exactly(machine, 2);
        }
        // Without clients, since these would not wait for that long.
        begin(machine, LONG);
        assert_told(machine);
        assert_held(machine);
        for dry in [&["--dry-run"][..], &[]] {
            let uninstall = [&["rsgen", "uninstall", "web"], dry].concat();
            let refused = machine.run(&uninstall).exits(1);
            refused
                .says("`web` is paused")
                .says("or `rsgen stop web`, which cuts");
        }
        machine.run(&["rsgen", "stop", "web"]).ok();
        machine.run(&["rsgen", "uninstall", "web"]).ok();
        wait_until_empty(machine, &["list-unit-files", "--no-legend", "web*"]);
    }
}

/// Every view says that the app is paused, and for how long.
fn assert_told(machine: &Machine) {
    machine
        .run(&["rsgen", "list"])
        .ok()
        .says("paused")
        .says("connections wait, for ");
    machine
        .systemctl(&["status", "web"])
        .says("Status: \"paused until ");
    machine
        .run(&["rsgen", "history", "web"])
        .ok()
        .says("pause ")
        .says("2 stopped, connections wait; resumes automatically in 5min");
    machine
        .run(&["rsgen", "metrics", "web"])
        .ok()
        .says("rsgen_app_paused{app=\"web\"} 1\n");
    // The same command gives the pause another end.
    let again = machine
        .run(&["rsgen", "pause", "web", "--for", "6min"])
        .ok();
    again.says(
        "web: is paused already; `rsgen resume web` ends the pause, which otherwise ends in 6min",
    );
}

/// Nothing replaces or renumbers instances meanwhile, and nothing is changed by the try.
fn assert_held(machine: &Machine) {
    let commands: [&[&str]; 3] = [
        &["rsgen", "deploy", ECOSYSTEM],
        &["rsgen", "reload", "web"],
        &["rsgen", "scale", "web", "3"],
    ];
    for command in commands {
        machine
            .run(command)
            .exits(1)
            .says("`web` is paused")
            .says("run `rsgen resume web` first");
    }
    let file = machine.read(ECOSYSTEM);
    machine.write(ECOSYSTEM, &file.replace("3000", "\"[::]:3000\""));
    for command in [
        &["rsgen", "stop", "web@1"][..],
        &["rsgen", "install", ECOSYSTEM, "--replace-listener"],
    ] {
        machine.run(command).exits(1).says("`web` is paused");
    }
    machine.write(ECOSYSTEM, &file);
    machine.systemctl(&["reload", "web"]).exits(1);
    // A reload by the schedule is left out, and has not failed.
    let reloader = "rsgen-reload@web.service";
    machine.systemctl(&["start", reloader]).ok();
    assert_eq!(machine.state(reloader), "inactive");
    assert_eq!(machine.property(reloader, "ConditionResult"), "no");
    machine
        .systemctl(&["status", "web"])
        .says("Status: \"paused until ");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_eq!(instances(machine), Vec::<String>::new());
}

pub(crate) fn ends_by_itself_and_by_whatever_starts_or_stops_the_app(machine: &mut Machine) {
    machine.power_on_unfiltered();
    for balance in ["settle = 0", EVEN] {
        install(machine, "graceful", "2", balance);
        machine
            .run(&["rsgen", "resume", "web"])
            .ok()
            .says("nothing to do: web is not paused");
        machine
            .run(&["rsgen", "pause", "web", "--for", "1h"])
            .exits(2)
            .says("write at most 10min");
        begin(machine, "1s");
        assert_over(machine);
        wait_until(SOON, "the end in the history", || {
            let history = machine.run(&["rsgen", "history", "web"]).ok();
            history.stdout.contains("2 of 2 serve")
        });
        // Whatever becomes of the one that watches the time.
        let is_even = balance == EVEN;
        let (whom, time) = if is_even {
            ("all", "5s")
        } else {
            ("main", LONG)
        };
        begin(machine, time);
        machine
            .systemctl(&["kill", "--kill-whom", whom, "-s", "KILL", PAUSE])
            .ok();
        assert_over(machine);
        let starts: [&[&str]; 5] = [
            &["rsgen", "start", "web"],
            &["rsgen", "restart", "web"],
            &["systemctl", "start", "web"],
            &["systemctl", "restart", "web"],
            &["rsgen", "start", "web@1"],
        ];
        for start in starts.into_iter().skip(if is_even { 4 } else { 0 }) {
            begin(machine, LONG);
            machine.run(start).ok();
            assert_over(machine);
        }
        assert_ends_with_the_machine_and_the_app(machine);
        machine.run(&["rsgen", "uninstall", "web"]).ok();
        let left = machine.sh("ls /run/systemd/system | grep '^web:' || true");
        assert_eq!(left.ok().text(), "");
    }
}

fn assert_ends_with_the_machine_and_the_app(machine: &mut Machine) {
    begin(machine, LONG);
    machine.power_off(PowerLoss::Clean);
    machine.power_on_unfiltered();
    assert_over(machine);
    begin(machine, LONG);
    machine.run(&["rsgen", "stop", "web"]).ok();
    wait_closed(machine);
    assert_eq!(instances(machine), Vec::<String>::new());
    machine
        .run(&["rsgen", "pause", "web"])
        .exits(1)
        .says("`web` is not active");
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_over(machine);
    assert!(listener(machine).is_some());
    // A start that fails is told by whoever asked for it.
    begin(machine, LONG);
    machine
        .run(&["mv", "/srv/web/graceful", "/srv/web/gone"])
        .ok();
    machine.run(&["rsgen", "resume", "web"]).exits(1);
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine
        .run(&["mv", "/srv/web/gone", "/srv/web/graceful"])
        .ok();
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 2);
}

/// One queue for five, and eight clients: the kernel of those that find no room tries again.
pub(crate) fn makes_clients_of_a_socket_file_and_of_a_full_queue_wait_as_well(
    machine: &mut Machine,
) {
    let keys = format!("settle = 0\n{SHARED}\n\n[apps.socket]\nBacklog = 4");
    install(machine, "graceful.js", "2", &keys);
    loses_nothing_in_a_pause(machine, &Traffic::on_port(3000, 8), Some(5));
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    let path = "/run/web.sock";
    let app = format!(
        "[[apps]]\nname = \"web\"\nscript = \"threads.py\"\nargs = [\"{path}\"]\nlisten = \"{path}\"\n\
         instances = 2\nsettle = 0\nservice.NonBlocking = \"no\"\n"
    );
    machine.write_app("threads.py", "/srv/web");
    machine.write(ECOSYSTEM, &app);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    loses_nothing_in_a_pause(machine, &Traffic::on_socket(machine, path, 8), None);
}

/// systemd passes the listener of an instance to the pause unit and to the unit that joins the balance as well.
pub(crate) fn leaves_listeners_of_programs_that_sleep_in_accept_as_they_are(machine: &mut Machine) {
    machine.power_on_unfiltered();
    machine.write_app("threads.py", "/srv/web");
    let app = format!(
        "[[apps]]\nname = \"web\"\nscript = \"threads.py\"\nlisten = \"0.0.0.0:3000\"\ninstances = 2\n{EVEN}\n\
         service.NonBlocking = \"no\"\n"
    );
    machine.write(ECOSYSTEM, &app);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let load = load(machine, false);
    load.wait_answered(80);
    begin(machine, LONG);
    machine.run(&["rsgen", "start", "web@1"]).ok();
    wait_until(SOON, "the end of the pause", || {
        machine.state(PAUSE) == "inactive"
    });
    assert_exactly(machine, 2);
    machine.systemctl(&["start", "web@0", "web@1"]).ok();
    load.wait_answered(160);
    load.stop().assert_nothing_lost();
    let journal = machine.journal("web*");
    assert!(!journal.contains("BlockingIOError"), "{journal}");
}

fn loses_nothing_in_a_pause(machine: &Machine, traffic: &Traffic, queued: Option<u32>) {
    assert_exactly(machine, 2);
    let load = Load::start(machine, traffic);
    load.wait_answered(80);
    begin(machine, LONG);
    if let Some(queued) = queued {
        wait_until(SOON, "a full queue", || waiting(machine) == queued);
    }
    machine
        .run(&["rsgen", "resume", "web"])
        .ok()
        .says("web: resumed, 2 instances started");
    load.wait_answered(80);
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 2);
}

pub(crate) fn of_an_app_of_a_user_ends_as_any_other(machine: &mut Machine) {
    user::log_in(machine);
    user::deploy(machine, "plain.js", "listen = 3000");
    let up =
        "systemctl --user list-units --plain --no-legend --state=active 'web@*.service' | wc -l";
    let is_up = |count: &str| user::run(machine, up).text() == count;
    let load = Load::start(machine, &Traffic::on_port(3000, 8));
    load.wait_answered(80);
    for end in ["rsgen --user resume web", "rsgen --user start web", "true"] {
        let time = if end == "true" { "1s" } else { LONG };
        user::run(machine, &format!("rsgen --user pause web --for {time}"))
            .ok()
            .says("2 instances ended and connections wait");
        if time == LONG {
            assert!(is_up("0"));
            user::run(machine, "systemctl --user reload web").exits(1);
            user::run(machine, "systemctl --user status web").says("Status: \"paused until ");
        }
        user::run(machine, end).ok();
        wait_until(SOON, "both instances", || is_up("2"));
        load.wait_answered(80);
    }
    load.stop().assert_nothing_lost();
    let failed = user::run(machine, "systemctl --user --failed --plain --no-legend");
    assert_eq!(failed.text(), "");
}

pub(crate) fn keeps_the_watch_from_trying_and_starts_the_new_files(machine: &mut Machine) {
    install(machine, "graceful.js", "2", "settle = 0\nwatch = true");
    assert_exactly(machine, 2);
    let said = || {
        let said = machine.journalctl(&["-u", "web:watch.service", "-o", "cat"]);
        said.stdout
    };
    wait_until(SOON, "the watch", || said().contains("watching "));
    begin(machine, LONG);
    machine.write("/srv/web/new.js", "// new\n");
    wait_until(SOON, "the watch to say it", || {
        said().contains("no reload: the app is paused")
    });
    assert!(!said().contains("the reload ended"), "{}", said());
    machine.run(&["rsgen", "resume", "web"]).ok();
    assert_exactly(machine, 2);
}
