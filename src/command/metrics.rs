//! `rsgen metrics`: the numbers of every app and instance in the text format of `OpenMetrics`.

use std::collections::BTreeSet;
use std::fmt::Write;
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

/// Print metrics of apps and instances in the `OpenMetrics` format, for Prometheus
#[derive(Debug, Args)]
pub(super) struct Metrics {
    /// Only these apps
    #[arg(value_name = "APP")]
    apps: Vec<String>,
    /// Write the metrics to FILE atomically, in the format of `node_exporter`'s textfile collector
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Answer one HTTP request on standard input and output, as `rsgen-metrics.socket` does
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
                "Writes the metrics for node_exporter, as rsgen-textfile.timer does.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        if self.http {
            let metrics = || Ok(text(&states(&self.apps, context)?, Format::OpenMetrics));
            // The client may be gone already.
            let _ = scrape::answer_here(metrics);
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
    // A duplicate series makes Prometheus refuse the whole response.
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

/// A number as it is printed; `None` if it is not known.
type Number = Option<String>;

/// Where each sample of a family has its number.
enum Of {
    App(fn(&AppStatus) -> Number),
    Instance(fn(&InstanceStatus) -> Number),
}

/// Samples that differ in their labels alone.
struct Family {
    kind: &'static str,
    name: &'static str,
    help: &'static str,
    of: Of,
}

const fn gauge(name: &'static str, help: &'static str, of: Of) -> Family {
    Family {
        kind: "gauge",
        name,
        help,
        of,
    }
}

const fn counter(name: &'static str, help: &'static str, of: Of) -> Family {
    Family {
        kind: "counter",
        ..gauge(name, help, of)
    }
}

/// The units of numbers: `OpenMetrics` wants the name of a family to end with its unit.
const UNITS: &[&str] = &["seconds", "bytes"];

const FAMILIES: &[Family] = &[
    gauge(
        "rsgen_app_instances_wanted",
        "Instances that the app should have.",
        Of::App(|a| a.wanted.map(|n| n.to_string())),
    ),
    gauge(
        "rsgen_app_instances_serving",
        "Instances that serve; of a job, that run.",
        Of::App(|a| Some(a.ready.to_string())),
    ),
    gauge(
        "rsgen_app_paused",
        "Whether the app is paused, so that no instance serves and connections wait.",
        Of::App(|a| Some(u8::from(is_paused(a)).to_string())),
    ),
    gauge(
        "rsgen_app_connections",
        "Open TCP connections that were accepted.",
        Of::App(|a| a.connections.map(|n| n.to_string())),
    ),
    gauge(
        "rsgen_app_queue",
        "TCP connections that wait to be accepted.",
        Of::App(|a| a.waiting.map(|n| n.to_string())),
    ),
    counter(
        "rsgen_app_dropped",
        "TCP connections that the kernel dropped because too many waited.",
        Of::App(|a| a.dropped.map(|n| n.to_string())),
    ),
    gauge(
        "rsgen_instance_up",
        "Whether the instance serves; of a job, whether it runs.",
        Of::Instance(|i| Some(u8::from(is_up(i)).to_string())),
    ),
    gauge(
        "rsgen_instance_errored",
        "Whether the instance was given up.",
        Of::Instance(|i| Some(u8::from(is_given_up(i)).to_string())),
    ),
    counter(
        "rsgen_instance_restarts",
        "Automatic restarts since the last start by hand.",
        Of::Instance(|i| Some(i.restarts.to_string())),
    ),
    counter(
        "rsgen_instance_cpu_seconds",
        "Processor time of this run.",
        Of::Instance(|i| i.cpu_seconds.map(|n| n.to_string())),
    ),
    gauge(
        "rsgen_instance_memory_bytes",
        "Memory.",
        Of::Instance(|i| i.memory_bytes.map(|n| n.to_string())),
    ),
    gauge(
        "rsgen_instance_uptime_seconds",
        "Time since the instance was READY.",
        Of::Instance(|i| i.uptime_seconds.map(|n| n.to_string())),
    ),
    gauge(
        "rsgen_instance_connections",
        "Open TCP connections that the instance has accepted.",
        Of::Instance(|i| i.connections.map(|n| n.to_string())),
    ),
    gauge(
        "rsgen_instance_queue",
        "TCP connections that wait at the instance's own listener.",
        Of::Instance(|i| i.waiting.map(|n| n.to_string())),
    ),
    counter(
        "rsgen_instance_dropped",
        "TCP connections that the kernel dropped at the instance's own listener.",
        Of::Instance(|i| i.dropped.map(|n| n.to_string())),
    ),
];

fn is_paused(app: &AppStatus) -> bool {
    app.instances.iter().any(|i| i.status == "paused")
}

fn is_up(instance: &InstanceStatus) -> bool {
    ["online", "running"].contains(&instance.status)
}

fn is_given_up(instance: &InstanceStatus) -> bool {
    ["errored", "failed"].contains(&instance.status)
}

/// The names of all samples.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = String> {
    let all = FAMILIES.iter();
    all.map(|family| format!("{}{}", family.name, family.suffix()))
}

impl Family {
    /// The end of its samples' names.
    fn suffix(&self) -> &'static str {
        if self.kind == "counter" { "_total" } else { "" }
    }
}

/// The metrics of these apps.
fn text(apps: &[AppStatus], format: Format) -> String {
    let mut text = String::new();
    for family in FAMILIES {
        write(&mut text, format, family, &samples(&family.of, apps));
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text.pop();
    text
}

/// The labels and the number of each sample, if the number is known.
fn samples(of: &Of, apps: &[AppStatus]) -> Vec<(String, String)> {
    let mut samples = Vec::new();
    for app in apps {
        let label = format!("app=\"{}\"", app.name);
        match of {
            Of::App(number) => samples.extend(number(app).map(|number| (label, number))),
            Of::Instance(number) => samples.extend(app.instances.iter().filter_map(|i| {
                let labels = format!("{label},instance=\"{}\"", i.number);
                Some((labels, number(i)?))
            })),
        }
    }
    samples
}

/// Writes one family. A family without a sample is left out.
fn write(text: &mut String, format: Format, family: &Family, samples: &[(String, String)]) {
    if samples.is_empty() {
        return;
    }
    let Family {
        kind, name, help, ..
    } = family;
    let suffix = family.suffix();
    let of_family = match format {
        Format::OpenMetrics => "",
        Format::Prometheus => suffix,
    };
    let _ = writeln!(text, "# TYPE {name}{of_family} {kind}");
    let unit = name.rsplit('_').next().filter(|unit| UNITS.contains(unit));
    if let Some(unit) = unit.filter(|_| format == Format::OpenMetrics) {
        let _ = writeln!(text, "# UNIT {name} {unit}");
    }
    let _ = writeln!(text, "# HELP {name}{of_family} {help}");
    for (labels, number) in samples {
        let _ = writeln!(text, "{name}{suffix}{{{labels}}} {number}");
    }
}
