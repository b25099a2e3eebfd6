//! The table of `rsgen list`.

use std::fmt;

use anstyle::AnsiColor;

use super::controllers::Unlimited;
use super::status::{AppStatus, InstanceStatus, LastEnd};
use crate::output::{Style, table};
use crate::systemd::ActiveState;
use crate::visible::Visible;

/// The columns that a terminal too narrow for all of them is spared, the first one first.
const SPARED: &[&str] = &[
    "PID", "LISTEN", "UPTIME", "QUEUE", "CONNS", "RESTARTS", "RELEASE", "MEMORY", "CPU",
];

/// The cells of a row, each with the head of its column.
type Row = Vec<(&'static str, Option<Visible>)>;

/// A table of these apps: a row for each instance, or one for an app that has none. A column that says nothing about any of them
/// is left out, unless it is always there.
pub(super) fn table(apps: &[AppStatus], style: Style) -> Visible {
    let rows: Vec<Row> = apps.iter().flat_map(|app| app.rows(style)).collect();
    let (heads, cells) = columns(rows);
    table::render(&heads, cells, SPARED)
}

/// The same for a screen of this width on which apps and instances are chosen: each app has a row, with the sums of its instances,
/// and below it each of those has one.
pub(super) fn tree(apps: &[AppStatus], width: usize) -> (Vec<&'static str>, Vec<Vec<Visible>>) {
    let rows = apps.iter().flat_map(|app| {
        let below = app.below().iter().map(|instance| {
            let mut row = row(Style::Plain, app, instance, false);
            blank(&mut row, &["APP", "LISTEN"]);
            row
        });
        std::iter::once(app.whole()).chain(below)
    });
    let (heads, cells) = columns(rows.collect());
    table::fit(&heads, cells, SPARED, width)
}

/// Empties these cells.
fn blank(row: &mut Row, heads: &[&str]) {
    for (_, cell) in row.iter_mut().filter(|(head, _)| heads.contains(head)) {
        *cell = Some("".into());
    }
}

/// The columns that say something, and the cells in them.
fn columns(rows: Vec<Row>) -> (Vec<&'static str>, Vec<Vec<Visible>>) {
    let heads = rows.first().into_iter().flatten().map(|(head, _)| *head);
    let is_said = |head: &str| {
        let mut cells = rows.iter().flatten();
        !["CPU", "CONNS", "QUEUE", "RELEASE"].contains(&head)
            || cells.any(|(of, cell)| *of == head && cell.is_some())
    };
    let heads: Vec<&'static str> = heads.filter(|head| is_said(head)).collect();
    let cells = |row: Row| {
        let said = row.into_iter().filter(|(head, _)| heads.contains(head));
        said.map(|(_, cell)| cell.unwrap_or_else(|| "-".into()))
            .collect()
    };
    let cells = rows.into_iter().map(cells).collect();
    (heads, cells)
}

impl AppStatus {
    /// How many instances serve, if the app is up and some do not.
    pub(super) fn missing(&self) -> Option<Visible> {
        let wanted = usize::try_from(self.wanted?).ok()?;
        let is_down = self.active_state == ActiveState::Inactive.to_string();
        let (name, ready) = (&self.name, self.ready);
        (ready < wanted && !is_down && self.status.is_none())
            .then(|| Visible::line(&format!("{name}: {ready} of {wanted} serving")))
    }

    /// The limits of the app that have no effect.
    pub(super) fn unlimited(&self) -> impl Iterator<Item = Visible> {
        let told = self.without_effect.iter().map(Unlimited::told);
        told.map(|told| Visible::line(&format!("{}: {told}", self.name)))
    }

    /// The addresses that the app listens on.
    fn addresses(&self) -> Visible {
        match self.listen.join(" ").as_str() {
            "" => "-".into(),
            listen => match self.balance {
                Some(balance @ ("even" | "source")) => format!("{listen} {balance}").into(),
                _ => listen.into(),
            },
        }
    }

    /// A row for each instance, or one for the app if there is none. A job has a row of its own unless it runs.
    fn rows(&self, style: Style) -> Vec<Row> {
        if !self.below().is_empty() {
            let rows = self.instances.iter().enumerate();
            return rows.map(|(at, i)| row(style, self, i, at == 0)).collect();
        }
        vec![self.alone(style)]
    }

    /// The instances that have rows.
    pub(super) fn below(&self) -> &[InstanceStatus] {
        let is_idle = self.status.is_some_and(|status| status != "running");
        if is_idle { &[] } else { &self.instances }
    }

    /// Processor time and memory of all instances, where they are known of any.
    pub(super) fn used(&self) -> (Option<f64>, Option<u64>) {
        let percent = self.below().iter().filter_map(|i| i.cpu_percent);
        let bytes = self.below().iter().filter_map(|i| i.memory_bytes);
        let percent = percent.reduce(|sum, percent| sum + percent);
        (percent, bytes.reduce(u64::saturating_add))
    }

    /// The row of the app above those of its instances.
    fn whole(&self) -> Row {
        let mut row = self.alone(Style::Plain);
        if self.below().is_empty() {
            return row;
        }
        let (percent, bytes) = self.used();
        let serving = self.wanted.map(|wanted| format!("{}/{wanted}", self.ready));
        let restarts: u32 = self.instances.iter().map(|i| i.restarts).sum();
        for (head, cell) in &mut row {
            *cell = match *head {
                "#" | "PID" | "UPTIME" => Some("".into()),
                "STATUS" if self.status.is_none() => serving.as_deref().map(Into::into),
                "RESTARTS" => Some(count(restarts)),
                "CPU" => percent.map(|cpu| format!("{cpu:.1}%").into()),
                "MEMORY" => bytes.map(|bytes| table::bytes(bytes).into()),
                "CONNS" => self.connections.map(count),
                _ => cell.take(),
            };
        }
        row
    }

    /// The row of an app of which no instance has one.
    fn alone(&self, style: Style) -> Row {
        let status = match self.status {
            Some(status) => style.paint(status, colour(status)),
            None => (&self.active_state).into(),
        };
        let remark = match &self.schedule {
            Some(schedule) if schedule.is_job() => schedule.told(),
            _ => String::new(),
        };
        vec![
            ("APP", Some((&self.name).into())),
            ("#", None),
            ("STATUS", Some(status)),
            ("PID", None),
            ("UPTIME", None),
            ("RESTARTS", None),
            ("CPU", None),
            ("MEMORY", None),
            ("CONNS", None),
            ("QUEUE", self.waiting.map(count)),
            ("RELEASE", None),
            ("LISTEN", Some(self.addresses())),
            ("", Some(remark.into())),
        ]
    }
}

/// The colour of a state.
pub(super) fn colour(status: &str) -> AnsiColor {
    match status {
        "online" | "running" | "waiting" => AnsiColor::Green,
        "errored" | "failed" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    }
}

fn count(count: impl fmt::Display) -> Visible {
    format!("{count}").into()
}

/// The row of an instance. What waits for all instances stands in the first.
fn row(style: Style, app: &AppStatus, instance: &InstanceStatus, is_first: bool) -> Row {
    let of_all = app
        .waiting
        .filter(|_| is_first && app.balance == Some("shared"));
    vec![
        ("APP", Some((&app.name).into())),
        ("#", Some(count(instance.number))),
        (
            "STATUS",
            Some(style.paint(instance.status, colour(instance.status))),
        ),
        ("PID", instance.pid.map(count)),
        (
            "UPTIME",
            instance.uptime_seconds.map(|s| table::span(s).into()),
        ),
        ("RESTARTS", Some(count(instance.restarts))),
        (
            "CPU",
            instance.cpu_percent.map(|cpu| format!("{cpu:.1}%").into()),
        ),
        (
            "MEMORY",
            instance.memory_bytes.map(|b| table::bytes(b).into()),
        ),
        ("CONNS", instance.connections.map(count)),
        ("QUEUE", instance.waiting.or(of_all).map(count)),
        ("RELEASE", instance.release.as_deref().map(Into::into)),
        ("LISTEN", Some(app.addresses())),
        ("", Some(remark(app, instance).into())),
    ]
}

/// The reason for which an instance is not online or not in the balance, that it is a canary that was kept, or the reason for which it
/// was restarted; otherwise, of the first one, whether the app is watched.
fn remark(app: &AppStatus, instance: &InstanceStatus) -> String {
    if let Some(fault) = &instance.balance_fault {
        return fault.clone();
    }
    match (&instance.reason, &instance.last_end) {
        (Some(reason), _) => reason.clone(),
        _ if instance.canary => "canary, until `--promote` or `--abort`".to_owned(),
        (
            None,
            Some(LastEnd {
                reason,
                seconds_ago,
            }),
        ) if instance.status == "online" => {
            format!("restarted {} ago: {reason}", table::span(*seconds_ago))
        }
        _ if instance.number == 0 => match app.watch.as_deref() {
            Some("active") => "watched".to_owned(),
            // The watch unit stops with the app.
            Some("inactive") if app.active_state == "inactive" => String::new(),
            Some(state) => format!("watch unit: {state}"),
            None => String::new(),
        },
        _ => String::new(),
    }
}
