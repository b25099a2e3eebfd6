//! `rsgen start`, `stop`, `restart`, `reset`, `reload` and `uninstall`.

use super::lines::run;
use super::stage::Stage;
use crate::brake::Deaths;
use crate::command::ledger::Ledger;
use crate::output::Exit;
use crate::state::{Entry, Name};
use crate::systemd::fake::Start;
use crate::systemd::{ActiveState, Manager, Unit};

const JOB: &str = "schedule = \"daily\"\n";
const APP: &str = "listen = 1\n";

/// A host with the file of an app, where these units run.
fn with(lines: &str, units: &[&str]) -> Stage {
    let stage = Stage::running(units);
    stage.write_app(lines);
    stage
}

fn down(name: &str) -> Unit {
    Unit {
        name: name.into(),
        load: "loaded".into(),
        active: ActiveState::Inactive,
        ..Unit::default()
    }
}

fn died(stage: &Stage, number: u32) -> Entry {
    let file = Entry::new(&stage.layout.state("web"), Name::Deaths(number));
    Deaths::default().store(&file).unwrap();
    file
}

#[test]
fn of_all_only_the_timers_of_jobs_are_started_and_one_that_is_named_runs() {
    for verb in ["start", "restart"] {
        let mut job = with(JOB, &[]);
        let all = run(&mut job, &format!("rsgen {verb} all"));
        assert_eq!(all.jobs(), ["start web.timer"]);
        let named = run(&mut job, &format!("rsgen {verb} web")).jobs();
        assert_eq!(
            named,
            ["start web.timer", &format!("{verb} web.service")],
            "a run"
        );
        let mut app = with(APP, &[]);
        for word in ["all", "web"] {
            let log = run(&mut app, &format!("rsgen {verb} {word}")).jobs();
            assert_eq!(log, [format!("{verb} web.service")], "{word}");
        }
        let instance = run(&mut app, &format!("rsgen {verb} web@0")).jobs();
        assert_eq!(instance, [format!("{verb} web@0.service")]);
    }
}

/// So a later start of an app that has served is no first one, and there is something to go back to.
#[test]
fn a_first_start_that_works_is_kept_as_a_release_and_one_that_fails_is_not() {
    for (start, kept) in [(Start::Works, 1), (Start::Fails, 0)] {
        let mut stage = with(APP, &[]);
        let changes = stage.prepare().changes;
        stage.write(&changes);
        stage.systemd.fake.set(down("web.service"));
        stage.systemd.fake.script("web.service", &[start]);
        let releases = |stage: &Stage| {
            let kept = Ledger::read(&stage.layout, "web");
            kept.map_err(|failure| failure.message)
                .unwrap()
                .releases
                .len()
        };
        assert_eq!(releases(&stage), 0);
        let ran = run(&mut stage, "rsgen start web");
        assert_eq!(ran.failure.is_none(), start == Start::Works, "{}", ran.told);
        assert_eq!(releases(&stage), kept, "{start:?}");
    }
}

#[test]
fn an_instance_beyond_the_last_is_not_started() {
    let mut stage = with("listen = 1\ninstances = 2\n", &[]);
    let ran = run(&mut stage, "rsgen start web@2");
    assert_eq!(ran.failure.as_ref().unwrap().exit, Exit::Usage);
    let fault = ran.fault();
    let said = "`web` has 2 instances; the last is `web@1`; ";
    assert!(
        fault.starts_with(said) && fault.contains("`rsgen scale web 3`"),
        "{fault}"
    );
    assert_eq!(
        run(&mut stage, "rsgen start web@1").jobs(),
        ["start web@1.service"]
    );
}

#[test]
fn an_instance_beyond_the_last_is_stopped_or_reset_only_if_there_is_one() {
    let mut stage = with("listen = 1\ninstances = 2\n", &["web@2.service"]);
    for verb in ["stop", "reset"] {
        let ran = run(&mut stage, &format!("rsgen {verb} web@12"));
        assert_eq!(ran.failure.as_ref().unwrap().exit, Exit::Usage);
        let fault = ran.fault();
        let said =
            "`web` has 2 instances; the last is `web@1`; run `rsgen list web` to see which run";
        assert_eq!(fault, said);
        assert_eq!(
            run(&mut stage, &format!("rsgen {verb} web@1"))
                .failure
                .map(|f| f.exit),
            None
        );
    }
    let surplus = run(&mut stage, "rsgen stop web@2").jobs();
    assert_eq!(surplus, ["stop web@2.service"], "a canary, for instance");
}

#[test]
fn a_signal_goes_to_the_instances_that_are_ready() {
    let mut stage = with(APP, &["web.service", "web@1.service", "web@0.service"]);
    let main = |number: u32| format!("signal 12 web@{number}.service main");
    // A program that is still starting, as that of a canary, may have no handler yet.
    let starting = Unit {
        active: ActiveState::Activating,
        main_pid: 7,
        ..down("web@2.service")
    };
    stage.systemd.fake.set(starting);
    let ran = run(&mut stage, "rsgen signal USR2 web");
    assert_eq!(ran.told, "web@0: SIGUSR2 done\nweb@1: SIGUSR2 done");
    assert_eq!(ran.jobs(), [main(0), main(1)]);
    assert_eq!(
        run(&mut stage, "rsgen signal USR2 web@2").jobs(),
        [main(2)],
        "by its number"
    );
    let one = run(&mut stage, "rsgen sendSignal --kill-whom all 12 web@1");
    assert_eq!(one.jobs(), ["signal 12 web@1.service all"]);
    // The first has ended since systemd was asked.
    let ended = Unit {
        active: ActiveState::Active,
        ..down("web@0.service")
    };
    stage.systemd.fake.set(ended);
    let ran = run(&mut stage, "rsgen signal USR2 web");
    assert_eq!(ran.log, [main(1)]);
    assert_eq!(ran.failure.as_ref().unwrap().exit, Exit::Failed);
    let fault = ran.fault();
    assert!(fault.starts_with("web@0: "), "{fault}");
    let ended = Unit {
        active: ActiveState::Active,
        ..down("web@1.service")
    };
    stage.systemd.fake.set(ended);
    let fault = run(&mut stage, "rsgen signal USR2 web").fault();
    let both = ["web@0: ", "; web@1: "].map(|name| fault.contains(name));
    assert_eq!(both, [true, true], "{fault}");
    stage.systemd.fake.set(down("web@2.service"));
    let fault = run(&mut stage, "rsgen signal USR2 web@2").fault();
    assert!(
        fault.starts_with("`web@2` has no running program"),
        "{fault}"
    );
    let mut idle = with(APP, &[]);
    assert_eq!(
        run(&mut idle, "rsgen signal USR2 all").jobs(),
        Vec::<String>::new()
    );
    let fault = run(&mut idle, "rsgen signal USR2 web").fault();
    assert!(
        fault.starts_with("no instance of `web` is READY"),
        "{fault}"
    );
}

#[test]
fn a_script_on_the_command_line_is_no_file_of_apps() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("server.js");
    std::fs::write(&script, "").unwrap();
    let script = script.display();
    let ran = run(&mut with(APP, &[]), &format!("rsgen start {script}"));
    assert_eq!(
        ran.fault(),
        format!("`{script}` is a script, not an app; run `rsgen install {script}`")
    );
}

#[test]
fn a_stop_ends_the_run_of_a_job_and_the_listeners_of_an_app() {
    let units = ["web.service", "web@0.service"];
    let mut job = with(JOB, &units);
    job.systemd.fake.set(down("web@1.service"));
    assert_eq!(
        run(&mut job, "rsgen stop web").jobs(),
        ["stop web.timer", "stop web.service", "stop web@0.service"]
    );
    let mut app = with(APP, &["web.service", "web@0.socket"]);
    app.systemd.fake.set(down("web@1.socket"));
    let log = run(&mut app, "rsgen stop web").jobs();
    assert_eq!(log.last().unwrap(), "stop web@0.socket");
    assert!(!log.contains(&"stop web@1.socket".into()), "{log:?}");
}

#[test]
fn a_reset_forgets_deaths_and_what_systemd_calls_failed() {
    let mut stage = with(APP, &["web@0.service", "web@1.service"]);
    let deaths = [died(&stage, 0), died(&stage, 1)];
    let there = || [0, 1].map(|i: usize| deaths[i].open().is_ok());
    let log = run(&mut stage, "rsgen reset web@1").jobs();
    assert_eq!(log, ["reset-failed web@1.service"]);
    assert_eq!(there(), [true, false]);
    for unit in ["web:join@0.service", "shop:join@0.service"] {
        stage.systemd.fake.set(down(unit));
    }
    let log = run(&mut stage, "rsgen reset web").jobs();
    for unit in [
        "web@0.service",
        "web:join@0.service",
        "web.socket",
        "web.service",
        "web.timer",
    ] {
        assert!(log.contains(&format!("reset-failed {unit}")), "{log:?}");
    }
    let of_another = |line: &String| line.contains("shop");
    assert!(!log.iter().any(of_another), "{log:?}");
    assert_eq!(there(), [false, false]);
}

#[test]
fn an_environment_is_chosen_from_a_file() {
    let mut stage = with(APP, &["web.service", "web@0.service"]);
    let ran = run(&mut stage, "rsgen reload web --env production");
    assert!(ran.log.is_empty());
    assert_eq!(
        ran.fault(),
        "`--env` needs an ecosystem file; run `rsgen reload ecosystem.toml --env production`"
    );
    let log = run(&mut stage, "rsgen reload web").jobs();
    assert!(log.contains(&"reload web.service".into()), "{log:?}");
    let one = run(&mut stage, "rsgen reload web@0").fault();
    assert!(one.starts_with("`web@0` is one instance; "), "{one}");
}

#[test]
fn an_uninstalled_app_is_stopped_and_leaves_nothing() {
    for (lines, timer) in [
        (APP, &[][..]),
        (JOB, &["stop web.timer", "forget web.timer"]),
    ] {
        let mut stage = with(lines, &["web.service"]);
        let changes = stage.prepare().changes;
        stage.write(&changes);
        let deaths = died(&stage, 0);
        let file = stage.layout.file("web");
        let are_there = |stage: &Stage| {
            let unit = stage.layout.units.join("web.service");
            [unit.exists(), file.exists(), deaths.open().is_ok()]
        };

        let one = run(&mut stage, "rsgen uninstall web@0").fault();
        assert!(one.starts_with("`web@0` is one instance; "), "{one}");
        let dry = run(&mut stage, "rsgen uninstall --dry-run web");
        assert!(dry.told.contains("web.service"), "{}", dry.told);
        assert_eq!(dry.jobs(), Vec::<String>::new());
        assert_eq!(are_there(&stage), [true; 3]);

        let done = run(&mut stage, "rsgen uninstall web");
        assert!(
            done.told.contains(&file.display().to_string()),
            "{}",
            done.told
        );
        let log = done.jobs();
        assert_eq!(log[..timer.len()], *timer);
        for job in [
            "stop web.service",
            "daemon-reload",
            "reset-failed web.service",
        ] {
            assert!(log.contains(&job.into()), "{log:?}");
        }
        assert_eq!(are_there(&stage), [false; 3]);
    }
}

#[test]
fn only_what_install_wrote_is_uninstalled() {
    let mut stage = Stage::running(&[]);
    let vendor = &stage.layout.apps[2];
    std::fs::create_dir_all(vendor).unwrap();
    let text = "[[apps]]\nname = \"web\"\nscript = \"/srv/x\"\nlisten = 1\n";
    std::fs::write(vendor.join("web.toml"), text).unwrap();
    let fault = run(&mut stage, "rsgen uninstall web").fault();
    let said = "`web` was not installed by `rsgen install`; ";
    assert!(fault.starts_with(said), "{fault}");
}

#[test]
fn the_timer_of_a_job_of_a_package_is_started_by_a_reload() {
    let mut stage = Stage::running(&["web.service"]);
    let vendor = &stage.layout.apps[2];
    std::fs::create_dir_all(vendor).unwrap();
    let text = format!("[[apps]]\nname = \"web\"\nscript = \"/srv/x\"\n{JOB}");
    std::fs::write(vendor.join("web.toml"), text).unwrap();
    let log = run(&mut stage, "rsgen reload web").jobs();
    assert!(log.contains(&"start web.timer".into()), "{log:?}");
}

/// Clients would connect, wait, and each begin another start.
#[test]
fn a_port_that_was_closed_is_closed_again_when_nobody_serves_after_a_start() {
    for verb in ["start", "restart"] {
        for was_open in [false, true] {
            let mut stage = with(APP, if was_open { &["web.socket"] } else { &[] });
            let failed = Unit {
                active: ActiveState::Failed,
                ..down("web@0.service")
            };
            let open = Unit {
                active: ActiveState::Active,
                ..down("web.socket")
            };
            // systemd opens the port, and starts the program, when the cluster unit is started.
            let fake = &mut stage.systemd.fake;
            fake.script("web.service", &[Start::GivesUp]);
            let now = fake.now();
            fake.set_at(now, failed);
            fake.set_at(now, open);
            let ran = run(&mut stage, &format!("rsgen {verb} web"));
            let is_closed = ran.log.iter().any(|job| job == "stop web.socket");
            assert_eq!(is_closed, !was_open, "{verb}: {:?}", ran.log);
            assert_eq!(ran.fault().contains("the port is closed again"), !was_open);
        }
    }
}

#[test]
fn the_variables_are_those_of_the_first_instance_that_runs_and_of_no_other_process() {
    let mut stage = with("listen = 1\ninstances = 4\n", &[]);
    let fault = run(&mut stage, "rsgen env web").fault();
    assert!(fault.starts_with("`web` has no running program"), "{fault}");
    // This process is none of the unit's.
    let runs = |number: u32| Unit {
        main_pid: std::process::id(),
        control_group: "/system.slice/system-web.slice/other.service".into(),
        ..down(&format!("web@{number}.service"))
    };
    stage.systemd.fake.set(down("web@0.service"));
    stage.systemd.fake.set(runs(3));
    stage.systemd.fake.set(runs(2));
    let fault = run(&mut stage, "rsgen env web").fault();
    let gone = "the variables of web@2.service cannot be read: its program has ended";
    assert!(fault.starts_with(gone), "{fault}");
    let fault = run(&mut stage, "rsgen env web@3").fault();
    assert!(fault.contains(" web@3.service "), "{fault}");
}

/// It is started through the link as that leads now, and not as it did when a walk began.
#[test]
fn an_instance_that_is_started_by_hand_goes_by_the_link_of_now() {
    for verb in ["start", "restart"] {
        let mut stage = with(APP, &["web.service"]);
        let note = Entry::new(&stage.layout.state("web"), Name::Release(0));
        note.write("/srv/web\n").unwrap();
        run(&mut stage, &format!("rsgen {verb} web@0")).jobs();
        assert!(note.read().is_err(), "{verb}");
    }
}
