//! `rsgen metrics`: the numbers of every app and instance in the text format of `OpenMetrics`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::manual::{self, Manual};
use super::scrape;
use super::status::{AppStatus, InstanceStatus};
use super::subcommand::Subcommand;
use super::survey;
use super::targets;
use crate::output::{Failure, Shown, Style};
use crate::visible::Visible;

/// Print the numbers of apps and instances in the format of `OpenMetrics`, for Prometheus
#[derive(Debug, Args)]
pub(super) struct Metrics {
    /// Only these apps
    #[arg(value_name = "APP")]
    apps: Vec<String>,
    /// Write them to FILE, whole whenever another program looks, in the format that the textfile collector of `node_exporter`
    /// reads
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Answer one HTTP request on standard input and output; `systemctl enable --now rsgen-metrics.socket` serves the metrics so
    #[arg(long, conflicts_with = "output")]
    http: bool,
}

/// The metrics; with `--json`, their text in a string.
#[derive(Debug, Serialize)]
pub(super) struct Exposed {
    pub(super) text: String,
}

impl Subcommand for Metrics {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            ("rsgen metrics", "Prints the metrics of every app."),
            ("rsgen metrics web", "Prints those of one app."),
            (
                "rsgen metrics -o /var/lib/prometheus/node-exporter/rsgen.prom",
                "Writes them for node_exporter, as `systemctl enable --now rsgen-textfile.timer` has it done.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        if self.http {
            let metrics = || Ok(text(&states(&self.apps, context)?, Format::OpenMetrics));
            // Whoever asked may be gone already.
            let _ = scrape::answer(io::stdin(), &mut io::stdout(), metrics);
            return Ok(());
        }
        let apps = states(&self.apps, context)?;
        if let Some(path) = self.output {
            return scrape::save(&path, &text(&apps, Format::Prometheus))
                .map_err(|e| Failure::failed(format!("{}: {e}", path.display())));
        }
        context.sink.answer(&Exposed {
            text: text(&apps, Format::OpenMetrics),
        });
        Ok(())
    }
}

/// The state of the apps of these names, or of all.
fn states(words: &[String], context: &mut Context<'_>) -> Result<Vec<AppStatus>, Failure> {
    let known = targets::known(&context.layout);
    let apps = words.iter().map(|word| targets::app(word, &known));
    let apps = if words.is_empty() {
        known.clone()
    } else {
        apps.collect::<Result<_, _>>()?
    };
    let cpus = context.host.cpus;
    let jobs = context.jobs()?;
    // A series that is there twice makes Prometheus refuse the whole answer.
    let mut named = BTreeSet::new();
    let apps: Vec<String> = apps
        .into_iter()
        .filter(|app| named.insert(app.clone()))
        .collect();
    survey::states(jobs.manager, jobs.layout, cpus, &apps)
}

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// The text format of `OpenMetrics` 1.0, in which a family has the name of its samples without `_total`.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus, which the collector reads.
    Prometheus,
}

impl Shown for Exposed {
    fn shown(&self, _: Style) -> Option<Visible> {
        Some(Visible::lines(&self.text))
    }
}

/// A number as it is printed; `None` where it is not known.
type Number = Option<String>;

/// The type, the name, the unit and the help of a family, and where an app or an instance has its number.
type Family<T> = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    fn(&T) -> Number,
);

const OF_APPS: &[Family<AppStatus>] = &[
    (
        "gauge",
        "rsgen_app_instances_wanted",
        "",
        "Instances that the app should have.",
        |a| a.wanted.map(|n| n.to_string()),
    ),
    (
        "gauge",
        "rsgen_app_instances_serving",
        "",
        "Instances that serve; of a job, that run.",
        |a| Some(a.ready.to_string()),
    ),
    (
        "gauge",
        "rsgen_app_connections",
        "",
        "Open TCP connections that were accepted.",
        |a| a.connections.map(|n| n.to_string()),
    ),
    (
        "gauge",
        "rsgen_app_queue",
        "",
        "TCP connections that wait to be accepted.",
        |a| a.waiting.map(|n| n.to_string()),
    ),
    (
        "counter",
        "rsgen_app_dropped",
        "",
        "TCP connections that the kernel dropped because too many waited.",
        |a| a.dropped.map(|n| n.to_string()),
    ),
];

const OF_INSTANCES: &[Family<InstanceStatus>] = &[
    (
        "gauge",
        "rsgen_instance_up",
        "",
        "Whether the instance serves; of a job, whether it runs.",
        |i| Some(u8::from(is_up(i)).to_string()),
    ),
    (
        "gauge",
        "rsgen_instance_errored",
        "",
        "Whether the instance was given up.",
        |i| Some(u8::from(is_given_up(i)).to_string()),
    ),
    (
        "counter",
        "rsgen_instance_restarts",
        "",
        "Automatic restarts since the last start by hand.",
        |i| Some(i.restarts.to_string()),
    ),
    (
        "counter",
        "rsgen_instance_cpu_seconds",
        "seconds",
        "Processor time of this run.",
        |i| i.cpu_seconds.map(|n| n.to_string()),
    ),
    (
        "gauge",
        "rsgen_instance_memory_bytes",
        "bytes",
        "Memory.",
        |i| i.memory_bytes.map(|n| n.to_string()),
    ),
    (
        "gauge",
        "rsgen_instance_uptime_seconds",
        "seconds",
        "Time since the instance was READY.",
        |i| i.uptime_seconds.map(|n| n.to_string()),
    ),
    (
        "gauge",
        "rsgen_instance_connections",
        "",
        "Open TCP connections that the instance has accepted.",
        |i| i.connections.map(|n| n.to_string()),
    ),
    (
        "gauge",
        "rsgen_instance_queue",
        "",
        "TCP connections that wait at the instance's own listener.",
        |i| i.waiting.map(|n| n.to_string()),
    ),
    (
        "counter",
        "rsgen_instance_dropped",
        "",
        "TCP connections that the kernel dropped at the instance's own listener.",
        |i| i.dropped.map(|n| n.to_string()),
    ),
];

fn is_up(instance: &InstanceStatus) -> bool {
    ["online", "running"].contains(&instance.status)
}

fn is_given_up(instance: &InstanceStatus) -> bool {
    ["errored", "failed"].contains(&instance.status)
}

/// The names of all samples.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = String> {
    let of_apps = OF_APPS.iter().map(|(kind, name, ..)| (kind, name));
    let of_instances = OF_INSTANCES.iter().map(|(kind, name, ..)| (kind, name));
    let all = of_apps.chain(of_instances);
    all.map(|(kind, name)| format!("{name}{}", suffix(kind)))
}

/// The end of a sample's name.
fn suffix(kind: &str) -> &'static str {
    if kind == "counter" { "_total" } else { "" }
}

/// The metrics of these apps.
fn text(apps: &[AppStatus], format: Format) -> String {
    let mut text = String::new();
    let label = |app: &AppStatus| format!("app=\"{}\"", app.name);
    let of_apps: Vec<_> = apps.iter().map(|app| (label(app), app)).collect();
    for family in OF_APPS {
        write(&mut text, format, family, &of_apps);
    }
    let of_instances = apps.iter().flat_map(|app| {
        let own = app.instances.iter();
        own.map(move |i| (format!("{},instance=\"{}\"", label(app), i.number), i))
    });
    let of_instances: Vec<_> = of_instances.collect();
    for family in OF_INSTANCES {
        write(&mut text, format, family, &of_instances);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text.pop();
    text
}

/// Writes one family. A family without a number is left out.
fn write<T>(text: &mut String, format: Format, family: &Family<T>, all: &[(String, &T)]) {
    let (kind, name, unit, help, number) = family;
    let numbers = all
        .iter()
        .filter_map(|(labels, of)| Some((labels, number(of)?)));
    let mut numbers = numbers.peekable();
    if numbers.peek().is_none() {
        return;
    }
    let suffix = suffix(kind);
    let of_family = match format {
        Format::OpenMetrics => "",
        Format::Prometheus => suffix,
    };
    let _ = writeln!(text, "# TYPE {name}{of_family} {kind}");
    if !unit.is_empty() && format == Format::OpenMetrics {
        let _ = writeln!(text, "# UNIT {name} {unit}");
    }
    let _ = writeln!(text, "# HELP {name}{of_family} {help}");
    for (labels, number) in numbers {
        let _ = writeln!(text, "{name}{suffix}{{{labels}}} {number}");
    }
}
