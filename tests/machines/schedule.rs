//! Runs of jobs and reloads of apps at set times.

use testbed::{Load, Machine, PowerLoss, Traffic, wait_until};

use crate::cluster::{
    ECOSYSTEM, SOON, assert_exactly, install, pids, wait_until_empty, write_ecosystem,
};

const TIMERS: &[&str] = &["list-timers", "--all", "--no-legend", "web*"];

fn timers(machine: &Machine) -> String {
    machine.systemctl(TIMERS).ok().text().to_owned()
}

pub(crate) fn an_app_is_reloaded_at_set_times_and_loses_nothing(machine: &mut Machine) {
    let often = "reload_schedule = \"*/4 * * * * *\"\nsettle = 0\nuser = \"www-data\"";
    install(machine, "graceful", "2", often);
    let before = pids(machine, 2);
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(100);
    wait_until(SOON, "both to be replaced by the schedule", || {
        let now = pids(machine, 2);
        !now.contains(&0) && now.iter().all(|pid| !before.contains(pid))
    });
    load.wait_answered(100);
    load.stop().assert_nothing_lost();

    // Another time replaces no instance, and applies at once.
    machine.systemctl(&["stop", "web.timer"]).ok();
    wait_until(SOON, "the last reload to end", || {
        machine.state("rsgen-reload@web.service") == "inactive"
    });
    let now = pids(machine, 2);
    let daily = often.replace("*/4 * * * * *", "daily");
    write_ecosystem(machine, "graceful", "2", &daily);
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

    // A stopped app stays stopped, which is not a failure.
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine
        .systemctl(&["start", "rsgen-reload@web.service"])
        .ok();
    machine.wait_state("web.service", "inactive", SOON);
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

    // The key is removed and added again, together with a version that does not start.
    let broken = without.replace("listen", "interpreter_args = \"--no-such-option\"\nlisten");
    machine.write(file, &broken);
    machine.run(&["rsgen", "reload", "web"]).exits(1);
    assert!(timers(machine).starts_with("Sun "), "{}", timers(machine));

    machine.write(file, &without);
    machine.run(&["rsgen", "install", file]).ok();
    wait_until_empty(machine, TIMERS);
    let left =
        machine.sh("find /etc/systemd /run/systemd -name '*web.timer' -o -name 'rsgen-reload*'");
    assert_eq!(left.text(), "");
    machine.write(file, &with);
    machine.run(&["rsgen", "install", file]).ok();
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    wait_until_empty(machine, TIMERS);
    machine.run(&stamp).exits(1);

    // Only systemd itself can find this fault.
    machine.write(ECOSYSTEM, &with.replace("Sun 04:00", "*-*-32 04:00"));
    let told = machine.run(&["rsgen", "check", ECOSYSTEM]).exits(3);
    assert!(
        told.stderr
            .contains("systemd does not accept `*-*-32 04:00`"),
        "{told:?}"
    );
}

fn write_job(machine: &Machine, more: &str) {
    machine.write_app("job.sh", "/srv/web");
    let text = "[[apps]]\nname = \"web\"\nscript = \"job.sh\"\nuser = \"www-data\"\n";
    machine.write(ECOSYSTEM, &format!("{text}{more}\n"));
}

/// The lines that the programs of the job have written.
fn written(machine: &Machine) -> Vec<String> {
    let journal = machine.journalctl(&["-t", "web", "-o", "cat"]).ok();
    let lines = journal.stdout.lines();
    let of_program = |line: &&str| line.starts_with("began ") || line.starts_with("ended ");
    lines.filter(of_program).map(str::to_owned).collect()
}

/// A run that root has asked for, one that failed, and one that systemd was asked for.
fn assert_history(machine: &Machine) {
    let history = machine.run(&["rsgen", "history", "web"]).ok();
    let runs = history.stdout.lines().filter(|line| line.contains(" run "));
    let runs: Vec<&str> = runs.collect();
    let told = [" 1 of 1 done", " 1 of 1 instances failed", " 1 of 1 done"];
    assert_eq!(runs.len(), told.len(), "{history}");
    for (run, told) in runs.iter().zip(told) {
        assert!(run.ends_with(told), "{history}");
    }
    assert!(runs[0].contains(" root "), "{history}");
    assert!(runs[2].contains(" - "), "{history}");
}

pub(crate) fn a_job_is_run_at_once_by_hand_and_tells_how_it_went(machine: &mut Machine) {
    write_job(machine, "schedule = \"yearly\"");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("next in");
    assert_eq!(
        written(machine),
        Vec::<String>::new(),
        "an install runs nothing"
    );
    assert!(
        timers(machine).contains("web.service"),
        "{}",
        timers(machine)
    );
    let enabled = machine.run(&["systemctl", "is-enabled", "web.timer", "web.service"]);
    assert_eq!(enabled.text(), "enabled\nstatic");
    machine.run(&["rsgen", "list"]).ok().says("waiting");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do");

    machine.run(&["rsgen", "start", "web"]).ok();
    assert_eq!(written(machine), ["began 0", "ended 0"]);
    machine.run(&["rsgen", "list"]).ok().says("done");
    machine.run(&["rsgen", "reload", "web"]).ok();
    machine.run(&["rsgen", "restart", "all"]).ok();
    machine.run(&["rsgen", "start", ECOSYSTEM]).ok();
    assert_eq!(written(machine).len(), 2, "none of these runs anything");

    machine.write("/srv/web/status", "3");
    let told = machine.run(&["rsgen", "start", "web"]).exits(1);
    assert!(
        told.stdout.contains("web@0.service: exited with status 3"),
        "{told:?}"
    );
    let list = machine.run(&["rsgen", "list"]).ok();
    assert!(
        list.stdout.contains("failed") && list.stdout.contains("exited with status 3"),
        "{list:?}"
    );
    let json = machine.run(&["rsgen", "list", "--json"]).ok();
    for part in [
        "\"does\": \"run\"",
        "\"good\": false",
        "\"reason\": \"exited with status 3\"",
    ] {
        assert!(json.stdout.contains(part), "{part}: {}", json.stdout);
    }
    machine.write("/srv/web/status", "0");
    machine.systemctl(&["start", "web"]).ok();
    wait_until_empty(machine, &["--failed", "--no-legend"]);
    assert_history(machine);

    machine.write("/srv/web/seconds", "60");
    write_job(machine, "schedule = \"yearly\"\nrun_timeout = \"2s\"");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.run(&["rsgen", "start", "web"]).exits(1);
    let list = machine.run(&["rsgen", "list"]).ok();
    assert!(list.stdout.contains("timed out"), "{list:?}");
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    wait_until_empty(machine, &["--failed", "--no-legend"]);
}

pub(crate) fn a_job_has_one_run_at_a_time_until_it_is_stopped(machine: &mut Machine) {
    write_job(machine, "schedule = \"* * * * * *\"\ninstances = 2");
    machine.write("/srv/web/seconds", "1.7");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    wait_until(SOON, "three runs", || written(machine).len() >= 12);
    for run in written(machine).chunks_exact(4) {
        let mut run = run.to_vec();
        run.sort();
        assert_eq!(run, ["began 0", "began 1", "ended 0", "ended 1"]);
    }
    wait_until(SOON, "the next run", || {
        machine
            .run(&["rsgen", "list"])
            .ok()
            .stdout
            .contains("running")
    });
    machine.run(&["rsgen", "stop", "web"]).ok();
    assert_eq!(crate::cluster::instances(machine), Vec::<String>::new());
    wait_until_empty(machine, &["--failed", "--no-legend"]);
    machine.run(&["rsgen", "list"]).ok().says("stopped");

    machine.power_cycle(PowerLoss::Clean);
    let before = written(machine).len();
    wait_until(SOON, "a run after the boot", || {
        written(machine).len() > before
    });
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    wait_until_empty(machine, TIMERS);
    let left = machine.sh("find /etc/systemd /run/rsgen -name '*web*'");
    assert_eq!(left.text(), "");
}

pub(crate) fn an_app_that_lasts_becomes_a_job_and_a_job_an_app_that_lasts(machine: &mut Machine) {
    machine.write_app("consume.py", "/srv/web");
    let last =
        "[[apps]]\nname = \"web\"\nscript = \"consume.py\"\nuser = \"www-data\"\nlisten = []\n";
    machine.write(ECOSYSTEM, last);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_exactly(machine, 1);
    write_job(machine, "schedule = \"yearly\"");
    machine.run(&["rsgen", "reload", ECOSYSTEM]).exits(1);
    assert_exactly(machine, 1);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    wait_until(SOON, "the instances to be gone", || {
        crate::cluster::instances(machine).is_empty()
    });
    let wanted = machine.sh("find /etc/systemd -path '*wants*' -name '*web*' -printf '%f\\n'");
    assert_eq!(wanted.text(), "web.timer");
    machine.systemctl(&["start", "web.service"]).ok();
    machine.wait_state("web.service", "inactive", SOON);

    machine.write(ECOSYSTEM, last);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_exactly(machine, 1);
    wait_until_empty(machine, TIMERS);
    machine.run(&["rsgen", "reload", "web"]).ok();
}
