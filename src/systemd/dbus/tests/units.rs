//! What is read of a unit, and of many.

use std::time::Duration;

use zbus::Variant;

use super::super::Bus;
use super::systemd::{Instead, Shared, THE_JOB};
use super::{UNIT, instead};
use crate::systemd::{ActiveState, Brief, Error, Manager, Pulse, QueuedJob, Unit, Used};

#[test]
fn reads_a_unit_from_its_properties() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    {
        let mut systemd = systemd.lock();
        systemd.jobs = vec![THE_JOB];
        let path = zbus::ObjectPath::try_from(THE_JOB).unwrap();
        systemd.unit.extend([
            ("SubState", Variant::from("running")),
            ("Job", Variant::from((7_u32, path))),
            ("InvocationID", Variant::from(vec![0xab_u8; 16])),
            (
                "ActiveEnterTimestampMonotonic",
                Variant::from(1_500_000_u64),
            ),
            ("NeedDaemonReload", Variant::from(true)),
        ]);
        systemd.service.extend([
            ("Result", Variant::from("exit-code")),
            ("MainPID", Variant::from(42_u32)),
            ("ExecMainPID", Variant::from(41_u32)),
            ("UID", Variant::from(u32::MAX)),
            ("ExecMainCode", Variant::from(1_i32)),
            ("ExecMainStatus", Variant::from(3_i32)),
            ("NRestarts", Variant::from(5_u32)),
            ("TimeoutStopUSec", Variant::from(90_000_000_u64)),
            ("StatusText", Variant::from("serving")),
            ("MemoryCurrent", Variant::from(4096_u64)),
            ("CPUUsageNSec", Variant::from(u64::MAX)),
        ]);
    }
    let unit = bus.unit(UNIT).unwrap();
    assert_eq!(
        (unit.load.as_str(), unit.active),
        ("loaded", ActiveState::Active)
    );
    assert_eq!(
        (unit.sub.as_str(), unit.result.as_str()),
        ("running", "exit-code")
    );
    assert_eq!((unit.main_pid, unit.n_restarts), (42, 5));
    assert_eq!((unit.last_main_pid, unit.uid), (41, None));
    assert_eq!((unit.exit_code, unit.exit_status), (1, 3));
    assert_eq!(unit.invocation, "ab".repeat(16));
    assert_eq!(unit.active_enter, Duration::from_millis(1500));
    assert_eq!(unit.stop_timeout, Duration::from_secs(90));
    assert_eq!(unit.status_text, "serving");
    assert!(unit.need_daemon_reload);
    // Without accounting systemd writes the largest number.
    assert_eq!(
        (unit.memory_current, unit.cpu_usage_nsec),
        (Some(4096), None)
    );
    let job = QueuedJob {
        path: THE_JOB.into(),
        kind: "start".into(),
    };
    assert_eq!(unit.job, Some(job));
}

#[test]
fn a_condition_that_has_kept_a_unit_down_is_read_as_it_is_written() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    let mut unmet = |result: (bool, bool), (conditions, asserts): (&[Tested], &[Tested])| {
        systemd.lock().unit.extend([
            ("ConditionTimestampMonotonic", Variant::from(5_u64)),
            ("ConditionResult", Variant::from(result.0)),
            ("Conditions", Variant::from(owned(conditions))),
            (
                "AssertTimestampMonotonic",
                Variant::from(u64::from(asserts.iter().any(|tested| tested.4 != 0))),
            ),
            ("AssertResult", Variant::from(result.1)),
            ("Asserts", Variant::from(owned(asserts))),
        ]);
        bus.unit(UNIT).unwrap().unmet
    };
    let path = ("ConditionPathExists", false, true, "/a", -1);
    let one = ("ConditionHost", true, false, "a", -1);
    let other = ("ConditionHost", true, false, "b", -1);
    let good = ("ConditionUser", false, false, "root", 1);
    let untested = ("ConditionUser", false, false, "x", 0);
    let assertion = ("AssertPathExists", false, false, "/b", -1);
    assert_eq!(
        unmet((false, false), (&[good, one, path, untested], &[])),
        "ConditionPathExists=!/a"
    );
    assert_eq!(
        unmet((false, false), (&[one, good, other], &[])),
        "ConditionHost=|a ConditionHost=|b"
    );
    assert_eq!(
        unmet((true, false), (&[good], &[assertion])),
        "AssertPathExists=/b"
    );
    assert_eq!(unmet((true, true), (&[good], &[assertion])), "");
    // A daemon-reload forgets which one it was.
    let forgotten = ("ConditionPathExists", false, true, "/a", 0);
    assert_eq!(
        unmet((false, false), (&[forgotten, untested], &[])),
        "ConditionPathExists=!/a ConditionUser=x"
    );
    // What was never tested has prevented nothing.
    let never = ("AssertHost", false, false, "c", 0);
    assert_eq!(unmet((true, false), (&[good], &[never])), "");
    // A command of `ExecCondition=` prevents a start as well.
    assert_eq!(unmet((false, false), (&[], &[])), "");
    let ended = ("Result", Variant::from("exec-condition"));
    systemd.lock().service.extend([ended]);
    assert_eq!(unmet((false, false), (&[forgotten], &[])), "");
    assert_eq!(
        unmet((false, false), (&[path], &[])),
        "ConditionPathExists=!/a"
    );
}

/// A condition: the directive, whether it is one of several, whether it is negated, its argument, and whether it held.
type Tested = (&'static str, bool, bool, &'static str, i32);

fn owned(all: &[Tested]) -> Vec<(String, bool, bool, String, i32)> {
    let owned = |(directive, one, not, argument, held): &Tested| {
        (
            (*directive).to_owned(),
            *one,
            *not,
            (*argument).to_owned(),
            *held,
        )
    };
    all.iter().map(owned).collect()
}

/// A job may end between the call that names it and the one that reads it.
#[test]
fn a_unit_whose_job_has_just_ended_has_no_job() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    let path = zbus::ObjectPath::try_from(THE_JOB).unwrap();
    let job = Variant::from((7_u32, path));
    systemd.lock().unit.insert("Job", job);
    assert_eq!(bus.unit(UNIT).unwrap().job, None);
}

/// More than wait for their answers at once.
#[test]
fn reads_many_units_in_their_order_although_systemd_goes_away_meanwhile() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    let names: Vec<String> = (0..150).map(|n| format!("web@{n}.service")).collect();
    let away = Instead::Error("org.freedesktop.DBus.Error.NoReply");
    instead(&systemd, "LoadUnit", std::slice::from_ref(&away));
    instead(&systemd, "GetAll", &[away, Instead::End]);
    let units = bus.each(&names).unwrap();
    assert!(units.iter().all(|unit| unit.active == ActiveState::Active));
    let read: Vec<String> = units.into_iter().map(|unit| unit.name).collect();
    assert_eq!(read, names);
    let denied = Instead::Error("org.freedesktop.DBus.Error.AccessDenied");
    instead(&systemd, "LoadUnit", &[denied]);
    assert!(matches!(bus.each(&names), Err(Error::AccessDenied { .. })));
}

fn glances(bus: &mut Bus, names: &[String], has_process: fn(&str) -> bool) -> Vec<Unit> {
    let all = ["*.service".to_owned()];
    let mut choose = |_: &[Brief]| names.to_vec();
    bus.glances(&all, &mut choose, has_process).unwrap()
}

fn glances_of_none(bus: &mut Bus, names: &[String]) -> Vec<Unit> {
    glances(bus, names, |_| false)
}

#[test]
fn of_a_unit_that_is_up_a_glance_asks_for_what_a_table_shows() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    systemd.lock().unit.extend([(
        "ActiveEnterTimestampMonotonic",
        Variant::from(1_500_000_u64),
    )]);
    systemd.lock().service.extend([
        ("MainPID", Variant::from(42_u32)),
        ("NRestarts", Variant::from(5_u32)),
        ("ControlGroup", Variant::from("/web")),
        ("MemoryCurrent", Variant::from(4096_u64)),
        ("CPUUsageNSec", Variant::from(u64::MAX)),
        ("Result", Variant::from("exit-code")),
    ]);
    let names = ["gone.service", UNIT, "web.socket"].map(str::to_owned);
    let glances = |bus: &mut Bus| glances(bus, &names, |unit| unit == UNIT);
    let [gone, up, socket] = glances(&mut bus).try_into().unwrap();
    let expected = Unit {
        sub: "running".into(),
        result: String::new(),
        // A process tells its control group itself.
        control_group: String::new(),
        memory_current: None,
        ..bus.unit(UNIT).unwrap()
    };
    assert_eq!(up, expected);
    let used = bus.used(std::slice::from_ref(&UNIT.to_owned())).unwrap();
    let whole = bus.unit(UNIT).unwrap();
    assert_eq!(used, [Used::from(&whole)]);
    assert_eq!(
        (used[0].memory_current, used[0].cpu_usage_nsec),
        (Some(4096), None)
    );
    // Of a service without a process to show, the state is enough.
    let [_, without, _] = glances_of_none(&mut bus, &names).try_into().unwrap();
    assert_eq!((without.active, without.main_pid), (ActiveState::Active, 0));
    for (unit, name) in [(gone, "gone.service"), (socket, "web.socket")] {
        assert_eq!(
            (unit.name.as_str(), unit.load.as_str()),
            (name, "not-found")
        );
        assert_eq!(unit.main_pid, 0);
    }
    // One that has failed has to say why.
    let failed = Variant::from("failed");
    systemd.lock().unit.insert("ActiveState", failed);
    let [_, failed, _] = glances(&mut bus).try_into().unwrap();
    assert_eq!(failed, bus.unit(UNIT).unwrap());
    assert_eq!(failed.result, "exit-code");
}

#[test]
fn the_pulse_of_a_service_is_its_state_its_process_and_its_run() {
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    let invocation = Variant::from(vec![0xab_u8; 16]);
    systemd.lock().unit.insert("InvocationID", invocation);
    let main_pid = Variant::from(42_u32);
    systemd.lock().service.insert("MainPID", main_pid);
    let pulse = bus.pulse(UNIT).unwrap();
    assert!(pulse.is_ready() && !pulse.is_starting());
    assert_eq!(pulse.main_pid, 42);
    assert_eq!(pulse.invocation, "ab".repeat(16));
    let whole = Pulse::from(bus.unit(UNIT).unwrap());
    let sub = pulse.state.sub.clone();
    let state = Brief { sub, ..whole.state };
    assert_eq!(pulse, Pulse { state, ..whole });
}

/// So that a list of many apps costs little.
#[test]
fn of_many_units_systemd_is_asked_for_those_that_it_has_or_has_a_file_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for file in ["web@.service", "stopped.service"] {
        std::fs::write(path(file), "").unwrap();
    }
    let systemd = Shared::default();
    let mut bus = systemd.connect().unwrap();
    let folders = vec![
        path("none").display().to_string(),
        path("").display().to_string(),
    ];
    systemd
        .lock()
        .service
        .insert("UnitPath", Variant::from(folders));
    systemd.lock().listed = vec!["loaded.service"];
    let mut names = [
        "stopped.service",
        "loaded.service",
        "web@7.service",
        "my@7.service",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend((0..150).map(|n| format!("app{n}:watch.service")));
    let units = glances_of_none(&mut bus, &names);
    let found: Vec<&String> = units.iter().map(|unit| &unit.name).collect();
    assert_eq!(found, names.iter().collect::<Vec<_>>());
    let loads: Vec<&str> = units.iter().map(|unit| unit.load.as_str()).collect();
    assert_eq!(loads[..3], ["loaded"; 3]);
    assert!(
        loads[3..].iter().all(|load| *load == "not-found"),
        "{loads:?}"
    );
    assert_eq!(
        systemd.lock().log.last().map(String::as_str),
        Some("ListUnitsByNames 2")
    );
    // A folder that the caller may not read may have any file.
    let folders = vec![path("stopped.service").display().to_string()];
    systemd
        .lock()
        .service
        .insert("UnitPath", Variant::from(folders));
    glances_of_none(&mut bus, &names);
    assert_eq!(
        systemd.lock().log.last().map(String::as_str),
        Some("ListUnitsByNames 153")
    );
}
