//! `rsgen list`: every app, and the state of each of its instances.

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::hint;
use super::last_words;
use super::manual::Manual;
use super::status::{AppStatus, InstanceStatus, LastEnd};
use super::subcommand::Subcommand;
use super::targets;
use crate::layout::{Layout, Scope};
use crate::output::{Exit, Failure, Shown, Style, table};
use crate::systemd::{ActiveState, Manager};
use crate::visible::Visible;

/// List apps and their instances
#[derive(Debug, Args)]
#[command(visible_aliases = ["ls", "status"], aliases = ["l", "ps"])]
pub(super) struct List {
    /// Only these apps
    #[arg(value_name = "APP")]
    apps: Vec<String>,
    /// Only what has failed; the exit status is 1 if there is any, for alerts
    #[arg(long)]
    failed: bool,
}

/// The apps as scripts read them.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    pub(super) apps: Vec<AppStatus>,
    #[serde(skip)]
    pub(super) only_failed: bool,
    #[serde(skip)]
    pub(super) scope: Scope,
    /// What errored instances have written, for people.
    #[serde(skip)]
    pub(super) words: Vec<Visible>,
}

impl Subcommand for List {
    const MANUAL: Manual = Manual {
        exits: &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable],
        examples: &[
            ("rsgen list", "Shows every app and its instances."),
            ("rsgen list --json", "Prints the same as JSON."),
            (
                "rsgen list --failed || logger 'an app needs help'",
                "Shows the apps and instances that were given up, if there are any, and does something about it.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let known = targets::known(&context.layout);
        let is_named = !self.apps.is_empty();
        let apps = if self.apps.is_empty() {
            known
        } else {
            let apps = self.apps.iter().map(|word| targets::app(word, &known));
            apps.collect::<Result<_, _>>()?
        };
        let cpus = context.host.cpus;
        let jobs = context.jobs()?;
        let mut listing = listing(jobs.manager, jobs.layout, cpus, &apps)?;
        if self.failed {
            listing.keep_failed();
        }
        if is_named && !context.sink.is_for_scripts() {
            let jobs = context.jobs()?;
            listing.words = words_of(jobs.manager, jobs.layout, &listing.apps)?;
        }
        context.sink.answer(&listing);
        if listing.only_failed && !listing.apps.is_empty() {
            return Err(Failure::failed("").silent());
        }
        Ok(())
    }
}

/// The state of these apps.
pub(super) fn listing(
    manager: &mut dyn Manager,
    layout: &Layout,
    cpus: u32,
    apps: &[String],
) -> Result<Listing, Failure> {
    let apps = apps
        .iter()
        .map(|app| AppStatus::of(manager, layout, cpus, app));
    Ok(Listing {
        apps: apps.collect::<Result<_, _>>()?,
        only_failed: false,
        scope: layout.scope,
        words: Vec::new(),
    })
}

impl Listing {
    /// Leaves the instances that were given up, and the apps that have such or have failed as a whole.
    fn keep_failed(&mut self) {
        self.only_failed = true;
        for app in &mut self.apps {
            app.instances.retain(|i| i.status == "errored");
        }
        let failed = ActiveState::Failed.to_string();
        self.apps
            .retain(|app| app.active_state == failed || !app.instances.is_empty());
    }
}

/// What the first errored instance of each app has written: usually the others have written the same.
fn words_of(
    manager: &mut dyn Manager,
    layout: &Layout,
    apps: &[AppStatus],
) -> Result<Vec<Visible>, Failure> {
    let mut shown = Vec::new();
    for app in apps {
        let errored = app.instances.iter().find(|i| i.status == "errored");
        let Some(instance) = errored else {
            continue;
        };
        let lines = last_words::of_unit(layout, &manager.unit(&instance.unit)?);
        if !lines.is_empty() {
            let title = format!("{}@{} wrote:", app.name, instance.number);
            shown.push(Visible::from(title));
            let indented = |line: Visible| Visible::composed(format!("  {line}"));
            shown.extend(lines.into_iter().map(indented));
        }
        shown.extend(last_words::elsewhere(layout, &app.name).map(Visible::from));
    }
    Ok(shown)
}

impl Shown for Listing {
    fn shown(&self, style: Style) -> Option<Visible> {
        if self.apps.is_empty() {
            let hint = "no app is installed; begin with `rsgen install ecosystem.toml`";
            let hint = hint::for_manager(self.scope, hint);
            return (!self.only_failed).then(|| hint.into());
        }
        let header = [
            "APP", "#", "STATUS", "PID", "UPTIME", "RESTARTS", "MEMORY", "LISTEN", "",
        ];
        let rows = self.apps.iter().flat_map(|app| app.rows(style));
        let table = table::render(&header, rows.collect());
        let missing = self.apps.iter().filter_map(AppStatus::missing);
        let lines = std::iter::once(table.to_string())
            .chain(missing.map(|m| m.to_string()))
            .chain(self.words.iter().map(|line| line.as_str().to_owned()));
        Some(Visible::composed(lines.collect::<Vec<_>>().join("\n")))
    }
}

impl AppStatus {
    /// How many instances serve, if the app is up and some do not.
    fn missing(&self) -> Option<Visible> {
        let wanted = usize::try_from(self.wanted?).ok()?;
        let is_down = self.active_state == ActiveState::Inactive.to_string();
        let (name, ready) = (&self.name, self.ready);
        (ready < wanted && !is_down && self.status.is_none())
            .then(|| Visible::line(&format!("{name}: {ready} of {wanted} serving")))
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
    fn rows(&self, style: Style) -> Vec<Vec<Visible>> {
        let is_idle = self.status.is_some_and(|status| status != "running");
        if !self.instances.is_empty() && !is_idle {
            let rows = self.instances.iter().map(|i| row(style, self, i));
            return rows.collect();
        }
        let dash = || Visible::from("-");
        vec![vec![
            (&self.name).into(),
            dash(),
            match self.status {
                Some(status) => style.paint(status, colour(status)),
                None => (&self.active_state).into(),
            },
            dash(),
            dash(),
            dash(),
            dash(),
            self.addresses(),
            match &self.schedule {
                Some(schedule) if schedule.is_job() => schedule.told().into(),
                _ => "".into(),
            },
        ]]
    }
}

fn colour(status: &str) -> AnsiColor {
    match status {
        "online" | "running" | "waiting" => AnsiColor::Green,
        "errored" | "failed" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    }
}

fn row(style: Style, app: &AppStatus, instance: &InstanceStatus) -> Vec<Visible> {
    let or_dash = |text: Option<String>| text.map_or_else(|| "-".into(), Visible::from);
    vec![
        (&app.name).into(),
        instance.number.to_string().into(),
        style.paint(instance.status, colour(instance.status)),
        or_dash(instance.pid.map(|p| p.to_string())),
        or_dash(instance.uptime_seconds.map(table::span)),
        instance.restarts.to_string().into(),
        or_dash(instance.memory_bytes.map(table::bytes)),
        app.addresses(),
        remark(app, instance).into(),
    ]
}

/// The reason for which an instance is not online or not in the balance, or for which it was restarted; otherwise, of the first
/// one, whether the app is watched.
fn remark(app: &AppStatus, instance: &InstanceStatus) -> String {
    if let Some(fault) = &instance.balance_fault {
        return fault.clone();
    }
    match (&instance.reason, &instance.last_end) {
        (Some(reason), _) => reason.clone(),
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
