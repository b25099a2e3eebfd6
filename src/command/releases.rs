//! `rsgen releases`: the releases of an app that are kept, and which instances run which.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::ledger::{self, Ledger, Release};
use super::manual::{self, Manual};
use super::released;
use super::subcommand::Subcommand;
use super::targets;
use crate::output::{Failure, Shown, Style, table};
use crate::sys::clock::local;
use crate::unit::name::Units;
use crate::visible::Visible;

/// List the releases of an app that `rsgen rollback` can go back to
#[derive(Debug, Args)]
pub(super) struct Releases {
    /// The app
    #[arg(value_name = "APP")]
    app: String,
}

/// The releases as scripts read them, the last one that was deployed at the end.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    pub(super) app: String,
    /// The release that a rollback has left, until something else is deployed.
    pub(super) back_from: Option<String>,
    pub(super) releases: Vec<Row>,
}

/// A release.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) deployed: u64,
    /// The user who deployed it; null if it was seen only later.
    pub(super) by: Option<String>,
    /// The folder, for an app with a link to its releases.
    pub(super) folder: Option<PathBuf>,
    /// Whether the folder is gone.
    pub(super) gone: bool,
    /// Whether the app serves it.
    pub(super) current: bool,
    /// Whether a rollback has left it.
    pub(super) left: bool,
    /// The instances that run it; null for an app without a link.
    pub(super) instances: Option<Vec<u32>>,
}

impl Subcommand for Releases {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen releases web",
                "Lists the last releases of an app, when and by whom they were deployed, and which one the app serves.",
            ),
            ("rsgen releases web --json", "Prints the same as JSON."),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let app = targets::app(&self.app, &targets::known(&context.layout))?;
        let layout = context.layout.clone();
        let mut ledger = Ledger::read(&layout, &app)?;
        let mut numbers = Vec::new();
        let mut jobs = context.jobs()?;
        if let Some(installed) = ledger::installed(&layout, &app) {
            // Something that systemctl has brought is not kept yet.
            if let Some(served) = released::serving(&mut jobs, &app, &installed)? {
                ledger.see(served);
            }
        }
        let units = Units::of(&app);
        for brief in jobs.manager.units(&units.instances())? {
            numbers.extend(units.number(&brief.name).filter(|_| brief.is_ready()));
        }
        numbers.sort_unstable();
        let runs = |release: &Release| {
            let (link, folder) = (
                release.served.link.as_ref()?,
                release.served.folder.as_ref()?,
            );
            let is_this = |number: &&u32| {
                let started = released::started_with(&layout, &app, **number, link);
                started.as_ref() == Some(folder)
            };
            Some(numbers.iter().filter(is_this).copied().collect())
        };
        let current = ledger.current;
        let rows = ledger.releases.into_iter().map(|release| Row {
            instances: runs(&release),
            current: release.name == current,
            gone: release.served.folder.as_ref().is_some_and(|f| !f.is_dir()),
            folder: release.served.folder,
            name: release.name,
            deployed: release.deployed,
            by: release.by,
            left: release.left,
        });
        context.sink.answer(&Listed {
            releases: rows.collect(),
            back_from: ledger.back_from,
            app,
        });
        Ok(())
    }
}

impl Row {
    fn cells(&self) -> Vec<Visible> {
        let at = local(i64::try_from(self.deployed).unwrap_or_default());
        let at = at.map_or_else(String::new, |at| {
            format!(
                "{}-{:02}-{:02} {:02}:{:02}:{:02}",
                at.year, at.month, at.day, at.hour, at.minute, at.second
            )
        });
        let instances = self.instances.as_ref().map(|numbers| {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            numbers.join(",")
        });
        let instances = instances.filter(|numbers| !numbers.is_empty());
        let remarks = [
            (self.current, "current"),
            (self.left, "left by a rollback"),
            (self.gone, "its folder is gone"),
        ];
        let remarks = remarks.into_iter().filter(|(is_so, _)| *is_so);
        let remarks: Vec<&str> = remarks.map(|(_, remark)| remark).collect();
        let or_none = |text: Option<&str>| Visible::line(text.unwrap_or("-"));
        vec![
            Visible::line(&self.name),
            at.into(),
            or_none(self.by.as_deref()),
            or_none(instances.as_deref()),
            Visible::line(&remarks.join(", ")),
        ]
    }
}

impl Shown for Listed {
    fn shown(&self, _: Style) -> Option<Visible> {
        if self.releases.is_empty() {
            let text = format!("no release of {} is kept; the next deploy begins", self.app);
            return Some(Visible::line(&text));
        }
        let rows = self.releases.iter().map(Row::cells).collect();
        let header = ["RELEASE", "DEPLOYED", "BY", "INSTANCES", ""];
        Some(table::render(&header, rows, &["BY"]))
    }
}
