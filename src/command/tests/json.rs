//! `docs/json.md` has every field of the JSON that commands print, with its type and whether it may be null or absent.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::command::apply::JsonChange;
use crate::command::check::Checked;
use crate::command::controllers::Unlimited;
use crate::command::curl::Asked;
use crate::command::deployment::{Goal, foresee};
use crate::command::describe::Described;
use crate::command::env::Variables;
use crate::command::generate::Generated;
use crate::command::history::{Row, Told};
use crate::command::line::{Before, Line};
use crate::command::list::Listing;
use crate::command::metrics::Exposed;
use crate::command::power::Done;
use crate::command::releases::{Listed, Row as Kept};
use crate::command::reloaded::Reloaded;
use crate::command::rollback::RolledBack;
use crate::command::scaled::Scaled;
use crate::command::signal::Signalled;
use crate::command::status::{AppStatus, InstanceStatus, LastEnd};
use crate::command::times::{Last, Schedule};
use crate::command::uninstall::Uninstalled;
use crate::command::walked::Walk;
use crate::command::{import, init};
use crate::ecosystem::Severity;
use crate::ecosystem::diagnostic::Located;
use crate::journal::{Entry, Happened, Happening, Source};
use crate::layout::Scope;
use crate::output::Failure;
use crate::plan::diff::{Change, Content};

const PAGE: &str = include_str!("../../../docs/json.md");

/// The rows of a table of the page: the types by their fields.
fn table(name: &str) -> BTreeMap<String, String> {
    let mark = format!("<!-- json: {name} -->\n");
    let (_, rest) = PAGE
        .split_once(&mark)
        .unwrap_or_else(|| panic!("no {name}"));
    let rows = rest
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let rows = rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    });
    rows.collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// Compares a table with a value that has everything and one that has as little as there can be.
#[track_caller]
pub(super) fn is_documented<T: Serialize>(name: &str, full: T, least: T) {
    let mut rows = table(name);
    let [full, least] = [full, least].map(|of| serde_json::to_value(of).unwrap());
    for (field, with) in full.as_object().unwrap() {
        let row = rows.remove(field);
        let row = row.unwrap_or_else(|| panic!("{name}.{field} is not documented"));
        let (first, more) = row.split_once(", ").unwrap_or((&row, ""));
        let expected = match least.get(field) {
            Some(Value::Null) => "or null",
            Some(_) => "",
            None => "absent ",
        };
        assert_eq!(kind(with), first, "{name}.{field}");
        let is_said = if expected.is_empty() {
            more.is_empty()
        } else {
            more.starts_with(expected)
        };
        assert!(is_said, "{name}.{field}: `{row}`, but {expected:?}");
    }
    assert!(rows.is_empty(), "{name} has no {rows:?}");
}

fn instance(is_full: bool) -> InstanceStatus {
    InstanceStatus {
        number: 0,
        unit: "web@0.service".into(),
        status: "online",
        pid: is_full.then_some(1),
        uptime_seconds: is_full.then_some(1),
        restarts: 0,
        memory_bytes: is_full.then_some(1),
        cpu_seconds: is_full.then_some(1.5),
        has_leftovers: false,
        cpu_percent: is_full.then_some(1.0),
        connections: is_full.then_some(1),
        waiting: is_full.then_some(1),
        dropped: is_full.then_some(1),
        reason: is_full.then(|| "x".into()),
        canary: false,
        release: is_full.then(|| "x".into()),
        balance_fault: is_full.then(|| "x".into()),
        last_end: is_full.then(last_end),
    }
}

fn last_end() -> LastEnd {
    LastEnd {
        reason: "x".into(),
        seconds_ago: 1,
    }
}

fn last(reason: Option<&str>) -> Last {
    Last {
        began: 1,
        ended: 2,
        seconds: 1.0,
        good: reason.is_none(),
        reason: reason.map(str::to_owned),
    }
}

fn schedule(is_full: bool) -> Schedule {
    Schedule {
        does: "run",
        active: is_full,
        next: is_full.then_some(3),
        last: is_full.then(|| last(None)),
    }
}

fn app(is_full: bool) -> AppStatus {
    AppStatus {
        name: "web".into(),
        active_state: "active".into(),
        listen: Vec::new(),
        watch: is_full.then(|| "active".into()),
        balance: is_full.then_some("even"),
        ready: 1,
        wanted: is_full.then_some(1),
        connections: is_full.then_some(1),
        waiting: is_full.then_some(1),
        dropped: is_full.then_some(1),
        without_effect: Vec::new(),
        instances: Vec::new(),
        status: is_full.then_some("waiting"),
        schedule: is_full.then(|| schedule(true)),
    }
}

fn line(is_full: bool) -> Line {
    let entry = Entry {
        time: 1,
        unit: if is_full {
            "web@1.service"
        } else {
            "web.service"
        }
        .into(),
        source: Source::Unit,
        pid: is_full.then_some(1),
        priority: is_full.then_some(6),
        message: "x".into(),
        stream: None,
        is_continued: false,
    };
    Line::of(&entry, &mut Before::default()).unwrap()
}

#[test]
fn every_field_of_a_line_of_the_logs_is_documented() {
    is_documented("line", line(true), line(false));
}

#[test]
fn every_field_of_the_list_is_documented() {
    let listing = || Listing {
        apps: Vec::new(),
        is_filtered: false,
        is_block: false,
        scope: Scope::System,
        words: Vec::new(),
    };
    is_documented("listing", listing(), listing());
    is_documented("app", app(true), app(false));
    is_documented("instance", instance(true), instance(false));
    is_documented("unlimited", Unlimited::default(), Unlimited::default());
    is_documented("last_end", last_end(), last_end());
    is_documented("schedule", schedule(true), schedule(false));
    is_documented("last", last(Some("x")), last(None));
}

#[test]
fn every_field_of_a_description_is_documented() {
    let walk = |took_ms| Walk {
        state: "done",
        text: "x".into(),
        took_ms,
        seconds_ago: 1,
    };
    let described = |is_full: bool| Described {
        app: app(is_full),
        file: is_full.then(|| "/x".into()),
        drop_ins: Vec::new(),
        fault: is_full.then(|| "x".into()),
        command: is_full.then(Vec::new),
        cwd: is_full.then(|| "/x".into()),
        user: is_full.then(|| "x".into()),
        handover: is_full.then_some("bind"),
        units: Vec::new(),
        differing: Vec::new(),
        outdated: Vec::new(),
        needs_daemon_reload: false,
        slice: is_full.then(|| "x".into()),
        output: is_full.then(|| "x".into()),
        walk: is_full.then(|| walk(None)),
        release: is_full.then(|| "x".into()),
        back_from: is_full.then(|| "x".into()),
        words: Vec::new(),
    };
    is_documented("described", described(true), described(false));
    is_documented("walk", walk(Some(1)), walk(None));
}

#[test]
fn every_field_of_releases_is_documented() {
    let back = |is_full: bool| RolledBack {
        app: "web".into(),
        dry_run: true,
        from: is_full.then(|| "x".into()),
        to: "x".into(),
        link: is_full.then(|| "x".into()),
        folder: is_full.then(|| "x".into()),
        changes: Vec::new(),
        outcome: None,
    };
    is_documented("back", back(true), back(false));
    let listed = |is_full: bool| Listed {
        app: "web".into(),
        back_from: is_full.then(|| "x".into()),
        releases: Vec::new(),
    };
    is_documented("releases", listed(true), listed(false));
    let row = |is_full: bool| Kept {
        name: "7".into(),
        deployed: 1,
        by: is_full.then(|| "x".into()),
        folder: is_full.then(|| "/x".into()),
        gone: false,
        current: true,
        left: false,
        instances: is_full.then(Vec::new),
    };
    is_documented("release", row(true), row(false));
}

#[test]
fn every_field_of_the_metrics_is_documented() {
    let exposed = || Exposed { text: "x".into() };
    is_documented("exposed", exposed(), exposed());
}

#[test]
fn every_field_of_what_commands_have_done_is_documented() {
    let change = Change {
        path: "/etc/rsgen/web.toml".into(),
        old: None,
        new: Some(Content::File(String::new())),
    };
    let change = |diff| JsonChange::new(&change, diff);
    is_documented("change", change(true), change(false));
    let outcome = || {
        let unlocated = vec!["web".to_owned()];
        foresee(None, &[], unlocated, Goal::CURRENT, Scope::System).unwrap()
    };
    is_documented("outcome", outcome(), outcome());
    let reloaded = || Reloaded {
        pruned: Vec::new(),
        reloaded: Vec::new(),
    };
    is_documented("reloaded", reloaded(), reloaded());
    let done = || Done { done: Vec::new() };
    is_documented("done", done(), done());
    let scaled = || Scaled {
        changed: true,
        dry_run: true,
        app: "web".into(),
        instances: 2,
        before: 1,
        changes: Vec::new(),
        started: Vec::new(),
        stopped: Vec::new(),
        is_up: true,
    };
    is_documented("scaled", scaled(), scaled());
    let signalled = || Signalled {
        signal: 12,
        signalled: Vec::new(),
    };
    is_documented("signalled", signalled(), signalled());
    let variables = || Variables {
        app: "web".into(),
        instance: 2,
        pid: 1,
        environment: Vec::new(),
    };
    is_documented("environment", variables(), variables());
    let uninstalled = || Uninstalled {
        dry_run: true,
        changes: Vec::new(),
    };
    is_documented("uninstalled", uninstalled(), uninstalled());
}

#[test]
fn every_field_of_what_is_said_of_files_is_documented() {
    let checked = || Checked {
        valid: true,
        diagnostics: Vec::new(),
    };
    is_documented("checked", checked(), checked());
    let diagnostic = |help| Located {
        severity: Severity::Error,
        file: "x",
        line: 1,
        column: 1,
        message: "x",
        help,
    };
    is_documented("diagnostic", diagnostic(Some("x")), diagnostic(None));
    let init = |listen| init::Written {
        file: "x".into(),
        listen,
    };
    is_documented("init", init(Some(Vec::new())), init(None));
    let imported = |file| import::Written {
        file,
        apps: Vec::new(),
        left_out: 0,
        text: String::new(),
    };
    is_documented("import", imported(Some("x".into())), imported(None));
    let generated = || Generated { files: Vec::new() };
    is_documented("generated", generated(), generated());
    let failure = Failure::failed("x");
    let helped = failure.clone().help("x");
    is_documented("failure", helped.as_json(), failure.as_json());
}

#[test]
fn every_field_of_an_answer_is_documented() {
    let asked = || Asked {
        app: "web".into(),
        instance: 2,
        address: "127.0.0.1:3000".into(),
        source: "127.114.0.2".into(),
        status: 200,
        status_line: "200 OK".into(),
        headers: Vec::new(),
        body: String::new(),
        complete: true,
        include: false,
    };
    is_documented("curl", asked(), asked());
}

#[test]
fn the_history_is_documented() {
    let happened = |is_full: bool| Happened {
        time: 1,
        app: "web".into(),
        happening: Happening::Reloaded,
        is_failed: false,
        message: "x".into(),
        instance: is_full.then_some(1),
        walk: is_full.then(|| "x".into()),
        took_ms: is_full.then_some(1),
        from: is_full.then(|| "x".into()),
        to: is_full.then(|| "x".into()),
        by: is_full.then(|| "x".into()),
        command: is_full.then(|| "x".into()),
    };
    let row = |is_full| Row::from(happened(is_full));
    is_documented("happened", row(true), row(false));
    let told = |history| Told {
        history,
        has_apps: true,
    };
    is_documented("told", told(vec![row(true)]), told(Vec::new()));
}
