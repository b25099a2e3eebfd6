//! Apps that extend their time-outs without end, and jobs that somebody else's job cancels.

use std::time::{Duration, Instant};

use testbed::{Load, Loss, Machine, Output, PowerLoss, Traffic, wait_until};

use crate::cluster::{
    ECOSYSTEM, SOON, assert_exactly, install, instances, pids, wait_closed, write_ecosystem,
};

/// With these keys a stop may take three seconds, and rsgen kills the instance after eight.
const QUICK: &str = "drain_timeout = \"1s\"\nkill_timeout = \"1s\"\nsettle = \"100ms\"";
/// A deadline that is below the minute for which the app asks each second.
const IN_TIME: Duration = Duration::from_secs(50);

fn in_time(machine: &Machine, command: &[&str]) -> Output {
    let done = machine.run(command).ok();
    assert!(done.took < IN_TIME, "{done}");
    done
}

/// Waits until nothing runs. Instances that had to be killed are `failed`, as for every program that systemd kills with
/// SIGKILL after a stop.
fn assert_gone(machine: &Machine) {
    wait_until(SOON, "instances to end", || {
        instances(machine).iter().all(|i| i.ends_with(" failed"))
    });
    wait_closed(machine);
    wait_until(SOON, "their processes to end", || {
        machine.run(&["pgrep", "-f", "[c]lings"]).status == 1
    });
    machine.wait_state("web.service", "inactive", SOON);
}

pub(crate) fn an_app_that_asks_for_time_without_end_is_stopped_in_time(machine: &mut Machine) {
    install(machine, "clings.py", "2", QUICK);
    for command in [
        &["systemctl", "stop", "web"][..],
        &["rsgen", "stop", "web"],
        &["systemctl", "stop", "web.socket"],
    ] {
        in_time(machine, command);
        assert_gone(machine);
        machine.systemctl(&["start", "web"]).ok();
        assert_exactly(machine, 2);
    }
    let journal = machine.journal("web.service");
    assert!(
        journal.contains("web@0 did not end within 8 s: killed"),
        "{journal}"
    );
    in_time(machine, &["rsgen", "uninstall", "web"]);
    assert_gone(machine);
}

pub(crate) fn one_instance_of_it_is_stopped_in_time_too(machine: &mut Machine) {
    install(machine, "clings.py", "2", QUICK);
    let before = pids(machine, 2);
    in_time(machine, &["rsgen", "restart", "web@1"]).says("did not end within");
    in_time(machine, &["rsgen", "stop", "web@0"]).says("did not end within");
    machine.wait_state("web@0.service", "failed", SOON);
    machine.wait_state("web@1.service", "active", SOON);
    assert_ne!(machine.main_pid("web@1.service"), before[1]);
}

pub(crate) fn a_reload_and_a_restart_replace_it(machine: &mut Machine) {
    install(machine, "clings.py", "2", QUICK);
    let load = Load::start(machine, &Traffic::on_port(3000, 2));
    let before = pids(machine, 2);
    let told = machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(told.took < 2 * IN_TIME, "{told}");
    let told = told.says("instance 0: did not end within 8 s: killed");
    let _ = told.says("done: 2 of 2 replaced");
    assert_exactly(machine, 2);
    assert!(pids(machine, 2).iter().all(|p| !before.contains(p)));
    // The killed instances lose the requests that they had not answered, but no connection is refused.
    let report = load.stop();
    assert!(!report.losses.contains_key(&Loss::Refused), "{report}");

    let before = pids(machine, 2);
    in_time(machine, &["systemctl", "restart", "web"]);
    assert_exactly(machine, 2);
    assert!(pids(machine, 2).iter().all(|p| !before.contains(p)));
}

pub(crate) fn the_machine_goes_down_in_time_with_it(machine: &mut Machine) {
    install(machine, "clings.py", "2", QUICK);
    // Fails after a minute.
    machine.power_cycle(PowerLoss::Clean);
    assert_exactly(machine, 2);
}

/// Units that an older version pinned lack the longest stop, and some arguments of the worker and the drain.
pub(crate) fn with_units_of_an_older_version_it_is_stopped_as_well(machine: &mut Machine) {
    // Where the bound is missing, a stop of a program that clings takes 20 s. The last stop shows it; before, the program yields.
    machine.write("/srv/web/yields", "");
    install(machine, "clings.py", "1", QUICK);
    machine
        .sh("cd /etc/systemd/system && sed -i -E 's/ --longest-stop=[^ ]+//; /^ExecStart=/s/ --step-timeout=[^ ]+//' web.service \
             && sed -i -E 's/ --preload=[^ ]+//; /^ExecStop=/s/ --handover=[^ ]+//' web@.service && systemctl daemon-reload")
        .ok();
    for (unit, lost) in [("web", "--longest-stop"), ("web@", "--preload")] {
        let unit = machine.read(&format!("/etc/systemd/system/{unit}.service"));
        assert!(!unit.contains(lost), "{unit}");
    }
    // The note of a successful walk of that version.
    machine.write("/run/rsgen/web/walk.done", "1 Plan { app: \"web\" }");
    let before = pids(machine, 1);
    machine.systemctl(&["reload", "web"]).ok();
    assert_exactly(machine, 1);
    let after = pids(machine, 1);
    assert!(before.iter().all(|pid| !after.contains(pid)), "{after:?}");
    let drain = machine.journal("web@0.service");
    assert!(!drain.contains("is not an argument of"), "{drain}");
    assert!(!drain.contains("lacks `"), "{drain}");
    machine.run(&["rm", "/srv/web/yields"]).ok();
    machine.systemctl(&["restart", "web@0.service"]).ok();
    in_time(machine, &["systemctl", "stop", "web"]);
    machine.wait_journal("web.service", "web@0 did not end within", SOON);
    assert_gone(machine);
}

pub(crate) fn one_that_asks_for_time_at_its_start_holds_up_nobody(machine: &mut Machine) {
    let lines = format!("{QUICK}\nready = \"notify\"\nlisten_timeout = \"8s\"");
    machine.write("/srv/web/late-1", "");
    machine.write_app("clings.py", "/srv/web");
    write_ecosystem(machine, "clings.py", "3", &lines);
    let began = Instant::now();
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .exits(1)
        .says("web: 2 of 3 serving; web@1.service: started, but not READY yet");
    assert!(began.elapsed() < 2 * IN_TIME, "{:?}", began.elapsed());
    let journal = machine.journal("web.service");
    assert!(
        journal.contains("web@1.service does not serve: started, but not READY yet"),
        "{journal}"
    );
    assert!(machine.get(3000).is_ok());
    in_time(machine, &["systemctl", "stop", "web"]);
    assert_gone(machine);
}

/// Cancels all jobs, as a user can who may start `other.service` and nothing else.
fn cancel_all(machine: &Machine) {
    machine
        .run(&[
            "busctl",
            "call",
            "org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager",
            "StartUnit",
            "ss",
            "other.service",
            "flush",
        ])
        .ok();
}

fn write_other(machine: &Machine) {
    let other = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
    machine.write("/etc/systemd/system/other.service", other);
    machine.systemctl(&["daemon-reload"]).ok();
}

/// Runs a command, and meanwhile cancels all jobs again and again.
fn cancelled(machine: &Machine, command: &[&str]) -> Output {
    let running = machine.spawn(command);
    while !running.is_over() {
        cancel_all(machine);
    }
    running.wait()
}

const WORDS: &str = "cancelled by another job of systemd";

pub(crate) fn a_walk_whose_jobs_are_cancelled_replaces_all_and_loses_nothing(
    machine: &mut Machine,
) {
    write_other(machine);
    install(machine, "graceful", "4", "settle = \"300ms\"");
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    load.wait_answered(100);
    let before = pids(machine, 4);
    let told = cancelled(machine, &["rsgen", "reload", "web"]).says(WORDS);
    if told.status == 0 {
        assert!(pids(machine, 4).iter().all(|p| !before.contains(p)));
    } else {
        assert!(told.stderr.contains(WORDS), "{told}");
        machine.run(&["rsgen", "reload", "web"]).ok();
    }
    load.wait_answered(100);
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 4);
}

pub(crate) fn a_walk_goes_on_when_its_own_job_is_cancelled_once(machine: &mut Machine) {
    write_other(machine);
    // The jobs are cancelled while the canary settles.
    install(machine, "graceful", "2", "settle = \"5s\"");
    for command in [
        &["rsgen", "reload", "web"][..],
        &["systemctl", "reload", "web"],
    ] {
        let before = pids(machine, 2);
        let running = machine.spawn(command);
        wait_until(SOON, "the canary to be up", || {
            machine.state("web@2.service") == "active"
        });
        cancel_all(machine);
        let told = running.wait();
        if command[0] == "rsgen" {
            let _ = told.ok().says(WORDS).says("done: 2 of 2 replaced");
        }
        wait_until(SOON, "the walk to end", || {
            machine.state("web.service") == "active"
        });
        assert!(pids(machine, 2).iter().all(|p| !before.contains(p)));
        assert_exactly(machine, 2);
    }
}

pub(crate) fn starts_and_stops_whose_jobs_are_cancelled_come_to_their_end(machine: &mut Machine) {
    write_other(machine);
    install(machine, "graceful", "4", "");
    for _ in 0..3 {
        let told = cancelled(machine, &["rsgen", "stop", "web"]);
        if told.status != 0 {
            assert!(told.stderr.contains(WORDS), "{told}");
            machine.run(&["rsgen", "stop", "web"]).ok();
        }
        // A stop goes on when its job is cancelled, but rsgen cannot wait for it any more.
        assert_gone(machine);
        for verb in ["start", "restart"] {
            let told = cancelled(machine, &["rsgen", verb, "web"]);
            if told.status != 0 {
                assert!(told.stderr.contains(WORDS), "{told}");
                machine.run(&["rsgen", "start", "web"]).ok();
            }
            assert_exactly(machine, 4);
        }
    }
}

/// A script that sends a forged `JobRemoved` to every client on the bus, as any user can.
const FORGE: &str = "
bus=/org/freedesktop/systemd1
while :; do
    for job in $(systemctl list-jobs --no-legend 'web@*' | awk '{ print $1 }'); do
        for name in $(busctl list --unique --no-legend | awk '$3 == \"rsgen\" { print $1 }'); do
            busctl emit --destination=$name $bus org.freedesktop.systemd1.Manager JobRemoved \
                uoss $job $bus/job/$job web@2.service failed && touch /tmp/forged
        done
    done
done
";

pub(crate) fn nobody_but_systemd_says_that_one_has_ended(machine: &mut Machine) {
    install(machine, "slow.js", "2", "settle = \"100ms\"");
    let forger = machine.spawn(&["runuser", "-u", "nobody", "--", "sh", "-c", FORGE]);
    // The forger has to find a job while the job is there.
    wait_until(SOON, "a forged signal", || {
        machine
            .run(&["rsgen", "reload", "web"])
            .ok()
            .says("done: 2 of 2 replaced");
        machine.run(&["test", "-e", "/tmp/forged"]).status == 0
    });
    drop(forger);
    assert_exactly(machine, 2);
}
