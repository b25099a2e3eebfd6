//! Commands for another host: `rsgen --host`.

use super::elsewhere::{Course, Ran, Wait, run, run_during, run_saying, serving};
use super::stage::Recorder;
use crate::command::remote::{Host, Remote};
use crate::output::Exit;
use crate::systemd::fake::Fake;
use crate::systemd::{ATTEMPTS, ActiveState, Unit};

#[test]
fn the_list_has_the_apps_whose_cluster_units_say_that_they_are_rsgens() {
    let Ran { failure, told, .. } = run(serving(), "rsgen list");
    assert!(failure.is_none(), "{failure:?}");
    for part in [
        r#""name":"web""#,
        r#""name":"backup""#,
        r#""ready":2,"#,
        r#""wanted":2"#,
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for other in ["getty", "forged", r#""name":"a"#] {
        assert!(!told.contains(other), "{told}");
    }
    let one = run(serving(), "rsgen list web").told;
    assert!(one.contains("web") && !one.contains("backup"), "{one}");
    let none = run(serving(), "rsgen list webb").failure.unwrap();
    assert_eq!(none.message, "anna@web1: no app `webb` is installed");
    assert_eq!(none.help.as_deref(), Some("did you mean `web`?"));
}

#[test]
fn a_list_of_what_has_failed_there_fails_where_anything_has() {
    let good = run(serving(), "rsgen list --failed");
    assert!(good.failure.is_none(), "{:?}", good.failure);
    let mut fake = serving();
    fake.set(Unit {
        name: "web@1.service".into(),
        active: ActiveState::Failed,
        result: "exit-code".into(),
        ..Unit::default()
    });
    let bad = run(fake, "rsgen list --failed");
    assert_eq!(bad.failure.map(|failure| failure.exit), Some(Exit::Failed));
}

#[test]
fn a_verb_is_a_job_of_the_other_hosts_systemd() {
    for (line, jobs) in [
        ("rsgen start web", &["start web.service"][..]),
        ("rsgen restart web", &["restart web.service"]),
        ("rsgen reload web", &["reload web.service"]),
        ("rsgen stop web", &["stop web.service"]),
        ("rsgen restart web@1", &["restart web@1.service"]),
        ("rsgen stop web@1", &["stop web@1.service"]),
        (
            "rsgen start backup",
            &["start backup.timer", "start backup.service"],
        ),
        (
            "rsgen stop backup",
            &["stop backup.timer", "stop backup.service"],
        ),
        (
            "rsgen start all",
            &["start backup.timer", "start web.service"],
        ),
    ] {
        let ran = run(serving(), line);
        assert_eq!(ran.failure.map(|f| f.message), None, "{line}");
        assert_eq!(ran.log, jobs, "{line}");
    }
    for (verb, told) in [("start", "web: starting"), ("restart", "web: restarting")] {
        let ran = run(serving(), &format!("rsgen {verb} web"));
        assert!(ran.told.contains(told), "{}", ran.told);
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is() {
    for (line, exit, fault) in [
        (
            "rsgen reload web@1",
            Exit::Usage,
            "`web@1` is one instance; a reload replaces all instances",
        ),
        (
            "rsgen start web@2",
            Exit::Usage,
            "anna@web1: `web` has no instance `web@2`",
        ),
        (
            "rsgen reload backup",
            Exit::Failed,
            "anna@web1: `backup` is a job, which is not reloaded",
        ),
        (
            "rsgen stop web wbe",
            Exit::Failed,
            "anna@web1: no app `wbe` is installed",
        ),
    ] {
        let ran = run(serving(), line);
        let failure = ran.failure.unwrap();
        assert_eq!((failure.exit, failure.message.as_str()), (exit, fault));
        assert_eq!(ran.log, [""; 0], "{line}");
    }
    let down = run(Fake::default(), "rsgen reload web").failure.unwrap();
    assert_eq!(down.message, "anna@web1: `web` is not running");
    assert_eq!(
        down.help.as_deref(),
        Some("run `rsgen --host anna@web1 start web`")
    );
}

#[test]
fn what_needs_more_than_the_bus_names_the_command_that_runs_there() {
    for (line, command) in [
        ("rsgen logs web", "logs"),
        ("rsgen describe web", "describe"),
        ("rsgen scale web 4 --dry-run", "scale"),
        ("rsgen reload web --prune", "reload"),
        ("rsgen install ecosystem.toml", "install"),
        ("rsgen unit start web --instances=2", "unit"),
        ("rsgen list --watch", "list"),
        ("rsgen reload web --surge 2", "reload"),
        ("rsgen reload web --promote", "reload"),
        ("rsgen reload ecosystem.toml", "reload"),
        ("rsgen reload ecosystem.toml --env production", "reload"),
        ("rsgen start ecosystem.toml --only web", "start"),
    ] {
        let ran = run(serving(), line);
        let failure = ran.failure.unwrap();
        assert_eq!(failure.exit, Exit::Usage, "{line}");
        let refused = " needs more than the bus of anna@web1";
        assert!(failure.message.ends_with(refused), "{failure:?}");
        let is_quoted = failure.message.starts_with('`');
        let is_prose = line.contains("--surge") || line.contains("--promote");
        assert_eq!(is_quoted, !is_prose, "{failure:?}");
        let help = failure.help.unwrap();
        let there = format!("run `ssh anna@web1 rsgen {command} …`");
        assert!(help.starts_with(&there), "{help}");
        assert_eq!(ran.log, [""; 0], "{line}");
    }
    let host = crate::command::command_line().command;
    let mut options = host.get_arguments();
    let host = options.find(|option| option.get_id() == "host").unwrap();
    let help = host.get_help().unwrap().to_string();
    assert!(help.ends_with(crate::command::remote::POSSIBLE), "{help}");
}

/// The unit that scales `web` to four, and is not at work.
fn with_scaler() -> Fake {
    let mut fake = serving();
    fake.set(Unit {
        name: SCALER.into(),
        load: "loaded".into(),
        active: ActiveState::Inactive,
        sub: "dead".into(),
        ..Unit::default()
    });
    fake
}

const SCALER: &str = "rsgen-scale@web:4.service";

#[test]
fn a_scale_is_a_restart_of_its_unit_which_says_how_it_has_ended() {
    let done = r#"{"at":1,"done":{"changed":true,"dry_run":false,"app":"web","instances":4,"before":2,"changes":[],"started":["web@2","web@3"],"stopped":[]},"is_up":true,"failed":null}"#;
    for (line, begin) in [
        ("rsgen scale web 4", SCALER),
        ("rsgen scale web +2", "rsgen-scale@web:4:from-2-"),
    ] {
        let ran = run_saying(with_scaler(), line, Some(done));
        assert_eq!(ran.failure.map(|f| f.message), None, "{line}");
        let [heard, restarted] = ran.log.as_slice() else {
            panic!("{line}: {:?}", ran.log)
        };
        assert!(
            restarted.starts_with(&format!("restart {begin}")),
            "{restarted}"
        );
        assert_eq!(
            heard.strip_prefix("listen to "),
            restarted.strip_prefix("restart ")
        );
        for said in [
            "web: scaling from 2 to 4 instances",
            "web@2: start done",
            "web@3: start done",
        ] {
            assert!(ran.told.contains(said), "{said}: {}", ran.told);
        }
    }
    let moved = r#"{"at":1,"done":null,"is_up":false,"failed":null,"moved":3}"#;
    let ran = run_saying(with_scaler(), "rsgen scale web +2", Some(moved));
    let fault = ran.failure.unwrap().message;
    assert_eq!(fault, "anna@web1: others scale `web` again and again");
    assert_eq!(ran.log.len(), 2 * ATTEMPTS);
    let refused = r#"{"at":1,"done":null,"is_up":false,"failed":{"status":1,"message":"`web` is paused","help":"run `rsgen resume web` first"}}"#;
    let ran = run_saying(with_scaler(), "rsgen scale web 4", Some(refused));
    let failure = ran.failure.unwrap();
    assert_eq!(failure.exit, Exit::Failed);
    assert_eq!(failure.message, "anna@web1: `web` is paused");
    let help = "on anna@web1: run `rsgen resume web` first";
    assert_eq!(failure.help.as_deref(), Some(help));
    assert!(!ran.told.contains("scaling"), "{}", ran.told);
}

#[test]
fn a_scale_that_is_not_possible_or_says_nothing_has_failed() {
    let fault = |fake, line, said| run_saying(fake, line, said).failure.unwrap().message;
    let other = r#"{"at":1,"done":{"changed":true,"dry_run":false,"app":"api","instances":4,"before":2,"changes":[],"started":[],"stopped":[]},"is_up":true,"failed":null}"#;
    let less = r#"{"at":1,"done":{"changed":true,"dry_run":false,"app":"web","instances":3,"before":2,"changes":[],"started":[],"stopped":[]},"is_up":true,"failed":null}"#;
    for said in [None, Some("4"), Some("{}"), Some(other), Some(less)] {
        let silent = fault(with_scaler(), "rsgen scale web 4", said);
        let wanted = format!("anna@web1: {SCALER} ended as `done` without reporting a reason");
        assert_eq!(silent, wanted);
    }
    let older = fault(serving(), "rsgen scale web 3", None);
    let wanted = "anna@web1 has no unit rsgen-scale@web:3.service";
    assert_eq!(older, wanted);
    let job = fault(with_scaler(), "rsgen scale backup 4", None);
    assert!(job.contains("`backup` is a job"), "{job}");
    let none = fault(with_scaler(), "rsgen scale web -2", None);
    assert!(none.contains("-2 leaves none"), "{none}");
}

#[test]
fn a_scale_to_the_present_number_tells_of_no_change_however_long_it_takes() {
    let scaler = "rsgen-scale@web:2.service";
    let mut fake = serving();
    fake.set(Unit {
        name: scaler.into(),
        load: "loaded".into(),
        ..Unit::default()
    });
    let course = Course {
        waits: [Wait::Says("")].into(),
        ..Course::default()
    };
    let ran = run_during(fake, "rsgen scale web 2", course);
    assert_eq!(ran.failure.map(|f| f.message), None);
    assert!(ran.told.contains(r#""changed":false"#), "{}", ran.told);
    assert!(!ran.told.contains("scaling"), "{}", ran.told);
}

#[test]
fn what_needs_no_systemd_is_told_where_it_runs() {
    let both = "for files of this host, or `ssh anna@web1 rsgen ";
    for (line, help) in [
        ("rsgen init -- node server.js", both),
        ("rsgen check ecosystem.toml", both),
        ("rsgen import ecosystem.config.js", both),
        ("rsgen generate ecosystem.toml --output units", both),
        ("rsgen completions bash", "run `rsgen completions …`"),
    ] {
        let ran = run(serving(), line);
        let failure = ran.failure.unwrap();
        assert_eq!(failure.exit, Exit::Usage, "{line}");
        assert!(failure.message.ends_with("so it takes no `--host`"));
        let told = failure.help.unwrap();
        assert!(told.contains(help), "{told}");
        assert_eq!(ran.log, [""; 0], "{line}");
    }
}

#[test]
fn a_start_after_which_an_instance_does_not_serve_has_failed() {
    let mut fake = serving();
    fake.set(Unit {
        name: "web@1.service".into(),
        load: "loaded".into(),
        active: ActiveState::Failed,
        result: "exit-code".into(),
        exit_code: libc::CLD_EXITED,
        exit_status: 3,
        ..Unit::default()
    });
    let failure = run(fake, "rsgen start web").failure.unwrap();
    assert_eq!(
        failure.message,
        "anna@web1: web: 1 of 2 serving; web@1.service: exited with status 3"
    );
    assert_eq!(
        failure.help.as_deref(),
        Some("run `ssh anna@web1 rsgen logs web`")
    );
}

#[test]
fn a_user_has_no_bus_there() {
    let sink = Recorder::default();
    let host = Host::parse("anna@web1").unwrap();
    let failure = Remote::new(host, true, &sink).err().unwrap();
    assert_eq!(failure.exit, Exit::Usage);
    assert_eq!(
        failure.help.as_deref(),
        Some("run `ssh anna@web1 rsgen --user …`")
    );
}

#[test]
fn a_pause_there_is_told_and_ended_by_a_start_and_no_instance_is_stopped_meanwhile() {
    let paused = || {
        let mut fake = Fake::running(&["web.service", "web:pause.service"]);
        for name in ["web@0.service", "web@1.service"] {
            fake.set(Unit {
                name: name.into(),
                load: "loaded".into(),
                ..Unit::default()
            });
        }
        fake.set(Unit {
            name: "web:pause.service".into(),
            active: ActiveState::Active,
            status_text: "paused until 11:52:31".into(),
            ..Unit::default()
        });
        fake
    };
    let told = run(paused(), "rsgen list web").told;
    let count = |text: &str| told.matches(text).count();
    assert_eq!(count(r#""status":"paused""#), 2, "{told}");
    assert_eq!(count("paused until 11:52:31"), 2, "{told}");
    // The pause of another app.
    let mut other = paused();
    for (name, active) in [
        ("web:pause.service", ActiveState::Inactive),
        ("backup:pause.service", ActiveState::Active),
    ] {
        other.set(Unit {
            name: name.into(),
            active,
            ..Unit::default()
        });
    }
    let told = run(other, "rsgen list web").told;
    assert!(!told.contains("paused"), "{told}");
    let started = run(paused(), "rsgen start web").log;
    assert_eq!(started, ["stop web:pause.service", "start web.service"]);
    let refused = run(paused(), "rsgen stop web@1");
    let failure = refused.failure.unwrap();
    assert_eq!(failure.message, "anna@web1: `web` is paused");
    assert_eq!(
        failure.help.as_deref(),
        Some("run `ssh anna@web1 rsgen resume web` first")
    );
    assert_eq!(refused.log, [""; 0]);
}
