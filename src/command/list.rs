//! `rsgen list`: every app, and the state of each of its instances.

use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;

use super::context::Context;
use super::hint;
use super::last_words;
use super::manual::Manual;
use super::order::{self, Order};
use super::rates;
use super::remote::Remote;
use super::rows;
use super::status::AppStatus;
use super::subcommand::Subcommand;
use super::survey;
use super::targets;
use crate::layout::{Layout, Scope};
use crate::output::{Exit, Failure, Shown, Style};
use crate::systemd::{ActiveState, Manager};
use crate::visible::Visible;

/// List apps and their instances
#[derive(Debug, Args)]
#[command(visible_aliases = ["ls", "status"], aliases = ["l", "ps"])]
pub(super) struct List {
    /// Only these apps
    #[arg(value_name = "APP")]
    apps: Vec<String>,
    /// Only failures; the exit status is 1 if there are any, for alerts
    #[arg(long)]
    failed: bool,
    /// Only instances and jobs in these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = PossibleValuesParser::new(order::STATES))]
    status: Vec<String>,
    /// Sort by `name`, `cpu`, `memory`, `restarts`, `uptime` or `connections`; a suffix `:asc` or `:desc` sets the direction
    #[arg(long, value_name = "KEY", value_parser = Order::parse)]
    sort: Option<Order>,
    /// Measure CPU usage for half a second, and show it in per cent of one CPU
    #[arg(long)]
    cpu: bool,
    /// Refresh the list every 2 seconds, or at the given interval, until `q` or Ctrl-C
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2", value_parser = interval)]
    watch: Option<Duration>,
}

/// How long processor time is measured.
pub(super) const MEASURED: Duration = Duration::from_millis(500);

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    let seconds = seconds.filter(|seconds| (0.1..=86400.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "write a number of seconds from 0.1 to 86400".to_owned())
}

/// The apps as scripts read them.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    pub(super) apps: Vec<AppStatus>,
    #[serde(skip)]
    pub(super) is_filtered: bool,
    /// Whether another listing follows below.
    #[serde(skip)]
    pub(super) is_block: bool,
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
                "rsgen list --watch --sort cpu",
                "Refreshes the list every two seconds, sorted by CPU usage.",
            ),
            (
                "rsgen list --failed || logger 'an app needs help'",
                "Shows the apps and instances that were given up, if there are any, and does something about it.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let known = targets::known(&context.layout);
        let apps = if self.apps.is_empty() {
            known
        } else {
            let apps = self.apps.iter().map(|word| targets::app(word, &known));
            apps.collect::<Result<_, _>>()?
        };
        if let Some(interval) = self.watch {
            return self.watch(context, &apps, interval);
        }
        let cpus = context.host.cpus;
        let jobs = context.jobs()?;
        let mut listing = listing(jobs.manager, jobs.layout, cpus, &apps)?;
        if self.is_measured() {
            let before = (listing.apps, jobs.manager.now());
            jobs.manager.pause(MEASURED);
            (listing, _) = measured(jobs.manager, jobs.layout, cpus, &apps, &before)?;
        }
        self.arrange(&mut listing);
        if !self.apps.is_empty() && !context.sink.is_for_scripts() {
            let jobs = context.jobs()?;
            listing.words = last_words::of_errored(jobs.manager, jobs.layout, &listing.apps)?;
        }
        context.sink.answer(&listing);
        if self.failed && !listing.apps.is_empty() {
            return Err(Failure::failed("").silent());
        }
        Ok(())
    }

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        if self.watch.is_some() {
            return Err(remote.refuse_option("`--watch`"));
        }
        let chosen = remote.chosen(&self.apps)?;
        let mut apps = remote.states(&chosen)?;
        if self.is_measured() {
            let (before, at) = (apps, remote.manager()?.now());
            remote.manager()?.pause(MEASURED);
            apps = remote.states(&chosen)?;
            let time = remote.manager()?.now().saturating_sub(at);
            rates::measure(&mut apps, &before, time);
        }
        let mut listing = Listing {
            apps,
            is_filtered: false,
            is_block: false,
            scope: Scope::System,
            words: Vec::new(),
        };
        self.arrange(&mut listing);
        remote.sink.answer(&listing);
        if self.failed && !listing.apps.is_empty() {
            return Err(Failure::failed("").silent());
        }
        Ok(())
    }
}

impl List {
    /// Whether processor time is shown as a rate, which takes a while.
    fn is_measured(&self) -> bool {
        self.cpu || self.sort.as_ref().is_some_and(Order::is_by_cpu)
    }

    /// Leaves what is to be shown, in its order.
    fn arrange(&self, listing: &mut Listing) {
        if self.failed {
            listing.keep_failed();
        }
        if !self.status.is_empty() {
            order::keep(&mut listing.apps, &self.status);
            listing.is_filtered = true;
        }
        if let Some(order) = &self.sort {
            order.apply(&mut listing.apps);
        }
    }

    /// Shows the list again and again: in place on a terminal, otherwise one below the other.
    fn watch(
        &self,
        context: &mut Context<'_>,
        apps: &[String],
        interval: Duration,
    ) -> Result<(), Failure> {
        // Before the connection to systemd, whose threads have to inherit which signals are blocked.
        let mut screen = context.sink.screen();
        let (sink, cpus) = (context.sink, context.host.cpus);
        let footer = format!("every {} s; `q` ends", interval.as_secs_f64());
        let jobs = context.jobs()?;
        let first = listing(jobs.manager, jobs.layout, cpus, apps)?;
        let mut before = (first.apps, jobs.manager.now());
        jobs.manager.pause(MEASURED.min(interval));
        loop {
            let jobs = context.jobs()?;
            let (mut shown, at) = measured(jobs.manager, jobs.layout, cpus, apps, &before)?;
            before = (shown.apps.clone(), at);
            self.arrange(&mut shown);
            let goes_on = if let Some(screen) = &mut screen {
                screen.draw(&shown, &footer);
                screen.goes_on(interval)
            } else {
                shown.is_block = true;
                let is_read = sink.item(&shown);
                context.manager()?.pause(interval);
                is_read
            };
            if !goes_on {
                return Ok(());
            }
        }
    }
}

/// The state of these apps with their processor time since an earlier look, and the time of this look.
pub(super) fn measured(
    manager: &mut dyn Manager,
    layout: &Layout,
    cpus: u32,
    apps: &[String],
    (earlier, at): &(Vec<AppStatus>, Duration),
) -> Result<(Listing, Duration), Failure> {
    let mut listing = listing(manager, layout, cpus, apps)?;
    let now = manager.now();
    rates::measure(&mut listing.apps, earlier, now.saturating_sub(*at));
    Ok((listing, now))
}

/// The state of these apps.
pub(super) fn listing(
    manager: &mut dyn Manager,
    layout: &Layout,
    cpus: u32,
    apps: &[String],
) -> Result<Listing, Failure> {
    Ok(Listing {
        apps: survey::states(manager, layout, cpus, apps)?,
        is_filtered: false,
        is_block: false,
        scope: layout.scope,
        words: Vec::new(),
    })
}

impl Listing {
    /// Leaves the instances that were given up, and the apps that have such or have failed as a whole.
    fn keep_failed(&mut self) {
        self.is_filtered = true;
        for app in &mut self.apps {
            app.instances.retain(|i| i.status == "errored");
        }
        let failed = ActiveState::Failed.to_string();
        self.apps
            .retain(|app| app.active_state == failed || !app.instances.is_empty());
    }
}

impl Shown for Listing {
    fn shown(&self, style: Style) -> Option<Visible> {
        if self.apps.is_empty() {
            let hint = "no app is installed; begin with `rsgen install ecosystem.toml`";
            let hint = hint::for_manager(self.scope, hint);
            return (!self.is_filtered).then(|| hint.into());
        }
        let missing = self.apps.iter().filter_map(AppStatus::missing);
        let unlimited = self.apps.iter().flat_map(AppStatus::unlimited);
        let lines = std::iter::once(rows::table(&self.apps, style).to_string())
            .chain(missing.map(|m| m.to_string()))
            .chain(unlimited.map(|u| u.to_string()))
            .chain(self.words.iter().map(|line| line.as_str().to_owned()))
            .chain(self.is_block.then(String::new));
        Some(Visible::composed(lines.collect::<Vec<_>>().join("\n")))
    }
}
