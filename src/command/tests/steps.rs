//! The command lines of the units, each carried out as systemd would.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::lines::{Ran, run};
use super::stage::Stage;
use crate::brake::Deaths;
use crate::state::{Entry, Name, rehearsals};
use crate::systemd::{ActiveState, Unit};

/// A host where the units of an app are installed, and these run.
fn installed(lines: &str, units: &[&str]) -> Stage {
    let mut stage = Stage::running(units);
    stage.write_app(lines);
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage.systemd.fake.log.clear();
    stage
}

/// Carries out a directive of a unit, for instance 0 where the unit is a template.
fn carry_out(stage: &mut Stage, unit: &str, directive: &str) -> Ran {
    let text = stage.unit(unit);
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(directive)?.strip_prefix('='));
    let (_, words) = line
        .unwrap_or_else(|| panic!("{text}"))
        .split_once(' ')
        .unwrap();
    run(stage, &format!("rsgen {}", words.replace("%i", "0")))
}

const TWO: &str = "listen = 3000\ninstances = 2\nmin_uptime = 0\n";

#[test]
fn a_cluster_is_started_reloaded_and_stopped() {
    let mut stage = installed(TWO, &["web.socket"]);
    let started = carry_out(&mut stage, "web.service", "ExecStart");
    assert!(started.told.ends_with("2 of 2 serving"), "{}", started.told);
    let log = started.jobs();
    assert!(
        log.contains(&"start web@0.service".into()) && log.contains(&"start web@1.service".into()),
        "{log:?}"
    );

    let reloaded = carry_out(&mut stage, "web.service", "ExecReload").jobs();
    assert!(
        reloaded.contains(&"restart web@1.service".into()),
        "{reloaded:?}"
    );
    assert!(
        Entry::new(&stage.layout.state("web"), Name::Walk)
            .open()
            .is_ok()
    );

    let stopping = Unit {
        name: "web.service".into(),
        active: ActiveState::Deactivating,
        result: "success".into(),
        ..Unit::default()
    };
    stage.systemd.fake.set(stopping);
    stage.systemd.fake.busy("web.service", "stop");
    let stopped = carry_out(&mut stage, "web.service", "ExecStop").jobs();
    // The systemd of the test knows no `PartOf=`.
    let stops = [
        "stop web.socket",
        "stop web@0.service",
        "stop web@1.service",
    ];
    assert_eq!(stopped, stops);
}

#[test]
fn the_end_of_an_instance_is_noted() {
    let mut stage = installed(TWO, &["web.service"]);
    let ended = Unit {
        name: "web@0.service".into(),
        active: ActiveState::Deactivating,
        result: "signal".into(),
        exit_code: libc::CLD_KILLED,
        exit_status: libc::SIGBUS,
        ..Unit::default()
    };
    stage.systemd.fake.set(ended);
    carry_out(&mut stage, "web@.service", "ExecStopPost").jobs();
    let deaths = Deaths::load(&Entry::new(&stage.layout.state("web"), Name::Deaths(0)));
    let reason = deaths.unwrap().reason;
    assert!(reason.contains("SIGBUS"), "{reason}");
}

#[test]
fn a_job_starts_its_instances_and_fails_with_them() {
    use crate::systemd::fake::Start;
    let mut stage = installed("schedule = \"daily\"\ninstances = 2\n", &[]);
    let job = carry_out(&mut stage, "web.service", "ExecStart").jobs();
    assert_eq!(job, ["start web@0.service", "start web@1.service"]);
    for unit in ["web@0.service", "web@1.service"] {
        stage
            .jobs()
            .manager
            .queue(crate::systemd::Verb::Stop, unit)
            .unwrap();
    }
    stage
        .systemd
        .fake
        .script("web@1.service", &[Start::GivesUp]);
    let failure = carry_out(&mut stage, "web.service", "ExecStart").failure;
    assert!(failure.is_some());
}

#[test]
fn the_end_of_a_rehearsal_is_told_and_its_files_are_removed() {
    let mut stage = Stage::running(&[]);
    let unit = "web:rehearsal-7@0.service";
    let ended = Unit {
        name: unit.into(),
        active: ActiveState::Deactivating,
        result: "exit-code".into(),
        exit_code: libc::CLD_EXITED,
        exit_status: 3,
        ..Unit::default()
    };
    stage.systemd.fake.set(ended);
    let units = stage.layout.runtime_units.clone();
    let (file, drop_ins) = (units.join(unit), units.join(format!("{unit}.d")));
    std::fs::create_dir_all(&drop_ins).unwrap();
    std::fs::write(&file, "").unwrap();
    let folder = rehearsals(&stage.layout.run);
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join(Name::Rehearsal(7).to_string());
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    run(&mut stage, "rsgen unit rehearsed web 7").jobs();
    let (connection, _) = listener.accept().unwrap();
    let said = std::io::read_to_string(connection).unwrap();
    assert_eq!(said, "ended exited with status 3\n");
    let left = [file, drop_ins, socket].map(|path| path.exists());
    assert_eq!(left, [false; 3]);
}

#[test]
fn what_does_not_end_after_a_stop_is_killed() {
    let mut stage = installed(TWO, &[]);
    let falls = |name: &str| Unit {
        name: name.into(),
        active: ActiveState::Deactivating,
        result: "success".into(),
        main_pid: 7,
        ..Unit::default()
    };
    stage.systemd.fake.set(falls("web.service"));
    stage.systemd.fake.busy("web.service", "stop");
    stage.systemd.fake.set(falls("web@0.service"));
    let log = carry_out(&mut stage, "web.service", "ExecStopPost").jobs();
    assert!(log.contains(&"kill web@0.service".into()), "{log:?}");
}

#[test]
fn the_units_of_an_older_version_stop_within_the_time_out_of_their_cluster() {
    let mut stage = Stage::running(&[]);
    for (name, pid, longest) in [("web.service", 0, 42), ("web@0.service", 7, 0)] {
        stage.systemd.fake.set(Unit {
            name: name.into(),
            active: ActiveState::Deactivating,
            result: "success".into(),
            main_pid: pid,
            stop_timeout: Duration::from_secs(longest),
            ..Unit::default()
        });
    }
    stage.systemd.fake.busy("web.service", "stop");
    let stopped = run(&mut stage, "rsgen unit stopped web");
    let killed = "web@0 did not end within 47 s: killed";
    assert!(stopped.told.contains(killed), "{}", stopped.told);
}

#[test]
fn the_listener_of_a_crashed_instance_is_closed_where_it_has_its_own() {
    let is_closed = |option: &str| {
        let mut stage = Stage::running(&["web.service", "web@0.service", "web@1.socket"]);
        stage.systemd.fake.set(Unit {
            name: "web@1.service".into(),
            active: ActiveState::Deactivating,
            result: "exit-code".into(),
            exit_code: libc::CLD_EXITED,
            exit_status: 1,
            ..Unit::default()
        });
        let policy = "--min-uptime=1s --max-restarts=16 --autorestart=true";
        let line = format!("rsgen unit ended web 1 {policy}{option}");
        let log = run(&mut stage, &line).jobs();
        log.iter().any(|job| job.starts_with("stop web@1.socket"))
    };
    assert!(is_closed(" --own-listener=true") && !is_closed(""));
}
