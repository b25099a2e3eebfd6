//! `rsgen check`: everything that is wrong with ecosystem files, without installing anything.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::host_probe::HostProbe;
use super::input::Input;
use super::limits;
use super::manual::Manual;
use super::subcommand::Subcommand;
use super::unsupported;
use crate::ecosystem::diagnostic::Located;
use crate::ecosystem::{self, Diagnostic, Report, Severity, resolve};
use crate::layout::Layout;
use crate::output::{Exit, Failure, Notice, Shown};

/// Check ecosystem files without installing them
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Ecosystem files
    #[arg(value_name = "FILE", default_value = "ecosystem.toml")]
    files: Vec<PathBuf>,
}

/// The faults of all files, as scripts read them.
#[derive(Serialize)]
struct Checked<'a> {
    valid: bool,
    diagnostics: Vec<Located<'a>>,
}

impl Shown for Checked<'_> {}

impl Subcommand for Check {
    const MANUAL: Manual = Manual {
        exits: &[Exit::Done, Exit::Usage, Exit::Invalid],
        examples: &[
            (
                "rsgen check ecosystem.toml",
                "Shows every fault of the file in its place.",
            ),
            (
                "rsgen check --json *.toml",
                "Checks several files and prints the faults as JSON.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let version = context.systemd_version();
        let examined = self
            .files
            .iter()
            .map(|f| Ok(examine(&Input::read(f)?, &context.layout, version)));
        let reports = examined.collect::<Result<Vec<_>, Failure>>()?;
        for report in &reports {
            context.sink.notice(&if report.diagnostics.is_empty() {
                Notice::Good(&report.path)
            } else {
                Notice::Faults(report)
            });
        }
        let valid = !reports.iter().any(Report::has_errors);
        context.sink.answer(&Checked {
            valid,
            diagnostics: reports.iter().flat_map(Report::located).collect(),
        });
        if valid {
            return Ok(());
        }
        let failure = Failure::new(Exit::Invalid, count_errors(&reports));
        // Of two JSON objects on standard output, neither could be parsed.
        Err(if context.sink.is_for_scripts() {
            failure.silent()
        } else {
            failure
        })
    }
}

fn count_errors(reports: &[Report]) -> String {
    let diagnostics = reports.iter().flat_map(|r| &r.diagnostics);
    let is_error = |d: &&Diagnostic| d.severity == Severity::Error;
    match diagnostics.filter(is_error).count() {
        1 => "1 error".into(),
        count => format!("{count} errors"),
    }
}

fn examine(input: &Input, layout: &Layout, version: Option<u32>) -> Report {
    let (mut apps, report) = ecosystem::parse(&input.shown, &input.text);
    let mut faults = report.diagnostics;
    for app in &mut apps {
        let host = HostProbe {
            root: None,
            scope: layout.scope,
        };
        resolve::resolve(app, &input.folder, &host, &mut faults);
        faults.extend(unsupported::faults(app, version));
        faults.extend(
            limits::of(layout, &app.name)
                .into_iter()
                .map(|limit| Diagnostic::error(app.span.clone(), limit.message).help(limit.help)),
        );
    }
    Report::new(&input.shown, &input.text, faults)
}
