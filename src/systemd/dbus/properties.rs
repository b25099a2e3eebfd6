//! Reads a unit from the properties of its interfaces `Unit` and `Service` or `Socket`, see org.freedesktop.systemd1(5).

use std::collections::HashMap;
use std::time::Duration;

use zbus::OwnedVariant;

use super::super::unit::{ActiveState, QueuedJob, Timer, Unit};

/// All properties of one interface.
pub(super) type Properties = HashMap<String, OwnedVariant>;

pub(super) fn read_unit(
    name: &str,
    unit: &Properties,
    service: &Properties,
    job: Option<QueuedJob>,
) -> Unit {
    let micros =
        |properties: &Properties, key| Duration::from_micros(number(properties, key).unwrap_or(0));
    // Without accounting systemd writes the largest number.
    let counted = |key| number(service, key).filter(|n| *n != u64::MAX);
    Unit {
        name: name.to_owned(),
        load: text(unit, "LoadState"),
        unmet: unmet(unit, &text(service, "Result")),
        active: ActiveState::from_word(&text(unit, "ActiveState")),
        sub: text(unit, "SubState"),
        result: text(service, "Result"),
        main_pid: get(service, "MainPID").unwrap_or(0),
        last_main_pid: get(service, "ExecMainPID").unwrap_or(0),
        // The largest number stands for no user, and root is not told apart from it.
        uid: get(service, "UID").filter(|uid| !matches!(*uid, 0 | u32::MAX)),
        job,
        exit_code: get(service, "ExecMainCode").unwrap_or(0),
        exit_status: get(service, "ExecMainStatus").unwrap_or(0),
        invocation: invocation(unit),
        n_restarts: get(service, "NRestarts").unwrap_or(0),
        active_enter: micros(unit, "ActiveEnterTimestampMonotonic"),
        inactive_exit: micros(unit, "InactiveExitTimestampMonotonic"),
        main_exit: micros(service, "ExecMainExitTimestampMonotonic"),
        began: micros(service, "ExecMainStartTimestamp"),
        ended: micros(service, "ExecMainExitTimestamp"),
        stop_timeout: micros(service, "TimeoutStopUSec"),
        status_text: text(service, "StatusText"),
        need_daemon_reload: get(unit, "NeedDaemonReload").unwrap_or(false),
        control_group: text(service, "ControlGroup"),
        memory_current: counted("MemoryCurrent"),
        cpu_usage_nsec: counted("CPUUsageNSec"),
        has_leftovers: false,
    }
}

/// A row of the properties `Conditions` and `Asserts`: the directive, whether it is one of several of which one has to hold, whether it is
/// negated, its argument, and whether it held when it was tested last: 0 if it was not tested, below that if it did not hold.
type Tested = (String, bool, bool, String, i32);

/// Returns what has kept the last start of a unit from happening, as it would be written in the unit.
fn unmet(unit: &Properties, ended: &str) -> String {
    let lists = [
        (
            "ConditionTimestampMonotonic",
            "ConditionResult",
            "Conditions",
        ),
        ("AssertTimestampMonotonic", "AssertResult", "Asserts"),
    ];
    for (when, result, list) in lists {
        let is_tested = number(unit, when).is_some_and(|when| when > 0);
        if is_tested && get(unit, result) == Some(false) {
            let all: Vec<Tested> = get(unit, list).unwrap_or_default();
            // Once systemd has read its files anew, it knows only that the start was prevented: one of those that there are is why. A
            // command of `ExecCondition=` prevents a start as well, which the result of the service tells.
            match failed(&all) {
                Some(failed) => return failed,
                None if all.is_empty() || ended == "exec-condition" => {}
                None => return joined(all.iter()),
            }
        }
    }
    String::new()
}

/// Returns the first of these that did not hold. Where only those have failed of which one has to hold, it returns all of them.
fn failed(all: &[Tested]) -> Option<String> {
    let failed: Vec<&Tested> = all.iter().filter(|tested| tested.4 < 0).collect();
    match failed.iter().find(|tested| !tested.1) {
        Some(alone) => Some(written(alone)),
        None if failed.is_empty() => None,
        None => Some(joined(failed.into_iter())),
    }
}

fn written((directive, is_one_of, is_negated, argument, _): &Tested) -> String {
    let one_of = if *is_one_of { "|" } else { "" };
    let negated = if *is_negated { "!" } else { "" };
    format!("{directive}={one_of}{negated}{argument}")
}

fn joined<'a>(all: impl Iterator<Item = &'a Tested>) -> String {
    all.map(written).collect::<Vec<_>>().join(" ")
}

pub(super) fn read_timer(unit: &Properties, timer: &Properties) -> Timer {
    // systemd writes "never" as 0 or as the largest number.
    let next = number(timer, "NextElapseUSecRealtime");
    let next = next.filter(|next| *next != 0 && *next != u64::MAX);
    Timer {
        starts: text(timer, "Unit"),
        is_active: text(unit, "ActiveState") == "active",
        next: next.map(Duration::from_micros),
    }
}

pub(super) fn get<T: TryFrom<OwnedVariant>>(properties: &Properties, key: &str) -> Option<T> {
    T::try_from(properties.get(key)?.try_clone().ok()?).ok()
}

pub(super) fn text(properties: &Properties, key: &str) -> String {
    get(properties, key).unwrap_or_default()
}

pub(super) fn number(properties: &Properties, key: &str) -> Option<u64> {
    get(properties, key)
}

fn invocation(properties: &Properties) -> String {
    invocation_id(get(properties, "InvocationID").unwrap_or_default())
}

/// An invocation ID in the form of the journal.
pub(super) fn invocation_id(bytes: Vec<u8>) -> String {
    // A unit that never ran has no invocation ID.
    <[u8; 16]>::try_from(bytes).map_or_else(
        |_| String::new(),
        |id| format!("{:032x}", u128::from_be_bytes(id)),
    )
}
