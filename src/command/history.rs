//! `rsgen history`: what has happened to apps, and who asked for it.

use std::process::Stdio;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::logs::{self, Lines};
use super::manual::{self, Manual};
use super::subcommand::Subcommand;
use super::targets;
use crate::journal::{Happened, Past};
use crate::layout::Scope;
use crate::output::{Failure, Shown, Style, table};
use crate::sys::clock::local;
use crate::visible::Visible;

/// Show what has happened to apps: reloads, deploys, scales, starts, stops, runs and crashes, and who asked for them
#[derive(Debug, Args)]
pub(super) struct History {
    /// App names; without any, or with `all`, every app
    #[arg(value_name = "APP")]
    apps: Vec<String>,
    /// Only this many of the latest entries, or `all`
    #[arg(short = 'n', long, value_name = "N", default_value = "20", value_parser = logs::lines)]
    lines: Lines,
    /// Begin at a time, such as -1h, "10:30" or yesterday
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// End at a time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
}

/// The history as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) history: Vec<Row>,
    /// Whether there is a column for the apps.
    #[serde(skip)]
    pub(super) has_apps: bool,
}

/// Something that has happened.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Seconds since 1970.
    time: f64,
    app: String,
    /// `start`, `stop`, `failed`, `reload`, `crash`, `errored`, `run`, `pause`, `resume`, `scale`, `install`, `deploy` or `uninstall`.
    what: &'static str,
    /// `done` or `failed`.
    outcome: &'static str,
    /// The user who requested it; null if nobody did, or if it was requested from systemd.
    by: Option<String>,
    /// The subcommand by which that user asked.
    command: Option<String>,
    /// The number of the instance.
    instance: Option<u32>,
    /// The ID of the walk: `RSGEN_WALK=` of its lines in the journal.
    walk: Option<String>,
    /// The number of instances, or the folder of the release, before.
    from: Option<String>,
    /// The same afterwards.
    to: Option<String>,
    took_ms: Option<u64>,
    message: String,
}

impl Subcommand for History {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen history web",
                "Shows the last reloads, deploys, scales, starts, stops, runs and crashes of an app.",
            ),
            (
                "rsgen history --since yesterday",
                "Shows what has happened to all apps since yesterday.",
            ),
            (
                "rsgen history web -n all --json",
                "Prints everything that the journal has about an app as JSON.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let is_all = self.apps.iter().any(|app| app == "all");
        let apps = if is_all { &[] } else { self.apps.as_slice() };
        let history = self.read(apps, context.layout.scope)?;
        if history.is_empty() {
            // An app that is not installed any more has a history as well.
            let known = targets::known(&context.layout);
            for app in apps {
                targets::app(app, &known)?;
            }
        }
        context.sink.answer(&Told {
            history: history.into_iter().map(Row::from).collect(),
            has_apps: apps.len() != 1,
        });
        Ok(())
    }
}

impl History {
    /// How many of the latest events are requested; all of those in a range of time.
    fn number(&self) -> Option<u32> {
        let is_range = self.since.is_some() || self.until.is_some();
        self.lines.outside(is_range)
    }

    fn read(&self, apps: &[String], scope: Scope) -> Result<Vec<Happened>, Failure> {
        let uid = nix::unistd::geteuid().as_raw();
        let past = Past {
            apps,
            lines: self.number(),
            since: self.since.as_deref(),
            until: self.until.as_deref(),
        };
        // Waits until journald has stored all that was sent to it, which only root may ask for.
        let _ = logs::journalctl(&["--sync", "--quiet"])
            .stderr(Stdio::null())
            .status();
        let mut child = logs::journalctl(&past.arguments(scope, uid))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| logs::cannot_run(&e))?;
        let lines = child.stdout.take().map(logs::json_lines);
        let history = lines.into_iter().flatten();
        let history = history
            .filter_map(|line| Happened::parse(&line, scope, uid))
            .collect();
        logs::end(&mut child, true, false)?;
        Ok(history)
    }
}

impl From<Happened> for Row {
    fn from(happened: Happened) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a century fit")]
        let time = happened.time as f64 / 1e6;
        Self {
            time,
            app: happened.app,
            what: happened.happening.word(),
            outcome: if happened.is_failed { "failed" } else { "done" },
            by: happened.by,
            command: happened.command,
            instance: happened.instance,
            walk: happened.walk,
            from: happened.from,
            to: happened.to,
            took_ms: happened.took_ms,
            message: happened.message,
        }
    }
}

impl Row {
    fn when(&self) -> String {
        #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
        let at = local(self.time as i64);
        at.map_or_else(String::new, |at| {
            format!(
                "{}-{:02}-{:02} {:02}:{:02}:{:02}",
                at.year, at.month, at.day, at.hour, at.minute, at.second
            )
        })
    }

    /// The text without what other columns show.
    fn remark(&self) -> Visible {
        let text = self.message.as_str();
        let text = text.strip_prefix("rsgen: ").unwrap_or(text);
        let text = text.strip_prefix("error: ").unwrap_or(text);
        let own = text.strip_prefix(self.what);
        let own = own.filter(|rest| rest.starts_with([':', ' ']));
        let text = own.map_or(text, |rest| rest.trim_start_matches([':', ' ']));
        let release = match (&self.from, &self.to) {
            (Some(from), Some(to)) if self.what != "scale" => format!("; from {from} to {to}"),
            _ => String::new(),
        };
        // rsgen made the message visible before it reached the journal.
        Visible::again(&format!("{text}{release}"))
    }

    fn cells(&self, has_apps: bool, style: Style) -> Vec<Visible> {
        let took = self.took_ms.map(|ms| match ms {
            ..1000 => format!("{ms}ms"),
            1000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
            ms => table::span(ms / 1000),
        });
        let what = match self.outcome {
            "failed" => style.paint(self.what, anstyle::AnsiColor::Red),
            _ => self.what.into(),
        };
        let or_none = |text: Option<&str>| Visible::line(text.unwrap_or("-"));
        let mut cells = vec![self.when().into()];
        cells.extend(has_apps.then(|| Visible::line(&self.app)));
        cells.extend([
            what,
            or_none(self.by.as_deref()),
            or_none(took.as_deref()),
            self.remark(),
        ]);
        cells
    }
}

impl Shown for Told {
    fn shown(&self, style: Style) -> Option<Visible> {
        if self.history.is_empty() {
            return Some("nothing in the journal".into());
        }
        let rows = self.history.iter();
        let rows = rows.map(|row| row.cells(self.has_apps, style)).collect();
        let mut header = vec!["WHEN", "APP", "WHAT", "BY", "TOOK", ""];
        header.retain(|head| self.has_apps || *head != "APP");
        Some(table::render(&header, rows, &["TOOK", "BY"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Happening;

    #[test]
    fn a_range_of_time_is_shown_whole() {
        let number = |since: Option<&str>, until: Option<&str>| {
            let asked = History {
                apps: Vec::new(),
                lines: logs::lines("20").unwrap(),
                since: since.map(str::to_owned),
                until: until.map(str::to_owned),
            };
            asked.number()
        };
        assert_eq!(number(None, None), Some(20));
        assert_eq!(number(Some("-1h"), None), None);
        assert_eq!(number(None, Some("-1h")), None);
    }

    fn happened(happening: Happening, message: &str) -> Happened {
        Happened {
            time: 1_700_000_000_500_000,
            app: "web".into(),
            happening,
            is_failed: happening.is_failure(),
            message: message.into(),
            instance: None,
            walk: None,
            took_ms: None,
            from: None,
            to: None,
            by: None,
            command: None,
        }
    }

    #[test]
    fn each_word_for_what_has_happened_is_documented() {
        let page = include_str!("../../docs/json.md");
        let row = page.lines().find(|line| line.starts_with("| `what` |"));
        for happening in Happening::ALL {
            let word = format!("`{}`", happening.word());
            assert!(row.unwrap().contains(&word), "{word}");
        }
    }

    #[test]
    fn what_stands_in_a_column_is_not_repeated_and_fits_eighty_columns() {
        let scaled = Happened {
            by: Some("alice".into()),
            took_ms: Some(1530),
            from: Some("2".into()),
            to: Some("4".into()),
            ..happened(Happening::Scaled, "rsgen: scale from 2 to 4 instances")
        };
        let walk = Happened {
            from: Some("/srv/1".into()),
            to: Some("/srv/2\n".into()),
            took_ms: Some(70),
            ..happened(Happening::Reloaded, "done: 2 of 2 replaced in 70 ms")
        };
        let failed = happened(Happening::StartFailed, "error: none of 2 \\x1b serves");
        let stopped = happened(Happening::Stopped, "stopped");
        let rows = [scaled, walk, failed, stopped].map(Row::from);
        let told = Told {
            history: rows.into(),
            has_apps: true,
        };
        let shown = told.shown(Style::Plain).unwrap().to_string();
        // The time depends on the time zone of the machine.
        let cut = |line: &str| line.get(21..).unwrap_or_default().to_owned();
        let lines: Vec<String> = shown.lines().map(cut).collect();
        assert_eq!(
            lines,
            [
                "APP  WHAT    BY     TOOK",
                "web  scale   alice  1.5s  from 2 to 4 instances",
                "web  reload  -      70ms  done: 2 of 2 replaced in 70 ms; from /srv/1 to /srv/2\\x0a",
                "web  start   -      -     none of 2 \\x1b serves",
                "web  stop    -      -     stopped",
            ]
        );
    }

    #[test]
    fn scripts_get_every_field_whether_it_is_known_or_not() {
        let row = Row::from(happened(Happening::Crashed, "m"));
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"time":1700000000.5,"app":"web","what":"crash","outcome":"failed","by":null,"command":null,"#,
                r#""instance":null,"walk":null,"from":null,"to":null,"took_ms":null,"message":"m"}"#
            )
        );
    }

    #[test]
    fn a_failure_is_red_on_a_terminal_and_one_app_needs_no_column() {
        let slow = Happened {
            took_ms: Some(120_000),
            ..happened(Happening::ReloadFailed, "error: it died")
        };
        let told = |style| {
            let row = Row::from(slow.clone());
            let told = Told {
                history: vec![row],
                has_apps: false,
            };
            told.shown(style).unwrap().to_string()
        };
        let plain = told(Style::Plain);
        assert!(!plain.contains("APP") && plain.contains("WHAT"), "{plain}");
        assert!(plain.contains(" 2min "), "{plain}");
        let red = style_of_red();
        assert!(told(Style::Terminal).contains(&format!("{red}reload")));
        assert!(!plain.contains(&red));
    }

    fn style_of_red() -> String {
        anstyle::AnsiColor::Red.on_default().render().to_string()
    }
}
