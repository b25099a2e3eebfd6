//! `rsgen check`: everything that is wrong with ecosystem files, without installing anything.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::limits;
use super::probe;
use super::selection::Input;
use crate::ecosystem::values::Handover;
use crate::ecosystem::{self, Diagnostic, Report, Severity, diagnostic::Located, resolve};
use crate::layout::Layout;
use crate::output::{Exit, Failure};
use crate::sys::seccomp;
use crate::unit::directive::{self, Section};

/// Arguments of `rsgen check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Ecosystem files
    #[arg(value_name = "FILE", default_value = "ecosystem.toml")]
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Json<'a> {
    valid: bool,
    diagnostics: Vec<Located<'a>>,
}

pub(super) fn run(context: &mut Context, arguments: &Check) -> Result<(), Failure> {
    let version = systemd_version(context);
    let layout = context.layout.clone();
    let reports = arguments
        .files
        .iter()
        .map(|f| Ok(examine(&Input::read(f)?, &layout, version)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let valid = !reports.iter().any(Report::has_errors);
    for report in &reports {
        if report.diagnostics.is_empty() {
            context.printer.progress(format!("{}: good", report.path));
        } else if !context.printer.json {
            context
                .printer
                .warning(report.render(context.printer.paints_errors()));
        }
    }
    context.printer.json(&Json {
        valid,
        diagnostics: reports.iter().flat_map(Report::located).collect(),
    });
    if valid {
        return Ok(());
    }
    let errors = reports
        .iter()
        .flat_map(|r| &r.diagnostics)
        .filter(|d| d.severity == Severity::Error)
        .count();
    let failure = Failure::new(
        Exit::Invalid,
        format!("{errors} {}", if errors == 1 { "error" } else { "errors" }),
    );
    // The JSON result has been printed; a second one would make neither readable.
    Err(if context.printer.json {
        failure.silent()
    } else {
        failure
    })
}

fn examine(input: &Input, layout: &Layout, version: Option<u32>) -> Report {
    let (mut apps, report) = ecosystem::parse(&input.shown, &input.text);
    let mut faults = report.diagnostics;
    for app in &mut apps {
        let host = probe::Host {
            root: None,
            scope: layout.scope,
        };
        resolve::resolve(app, &input.folder, &host, &mut faults);
        faults.extend(not_here(app, version));
        faults.extend(
            limits::of(layout, &app.name)
                .into_iter()
                .map(|limit| Diagnostic::error(app.span.clone(), limit.message).help(limit.help)),
        );
    }
    Report::new(&input.shown, &input.text, faults)
}

/// What an app asks for and this host does not have.
pub(super) fn not_here(app: &ecosystem::App, version: Option<u32>) -> Vec<Diagnostic> {
    let mut faults: Vec<Diagnostic> = cannot_hand_over(app).into_iter().collect();
    let tables = [
        (Section::Unit, &app.unit),
        (Section::Service, &app.service),
        (Section::Socket, &app.socket),
    ];
    for (section, directives) in tables {
        faults.extend(too_new(app, section, directives, version));
    }
    faults
}

/// The kernel is asked, not guessed by its version: a distribution may have left it out.
fn cannot_hand_over(app: &ecosystem::App) -> Option<Diagnostic> {
    let Err(error) = (app.handover == Handover::Bind).then(seccomp::probe)? else {
        return None;
    };
    let message = format!(
        "`handover = \"bind\"` cannot work here: seccomp(2) has no user notifications ({error})"
    );
    let help = "it needs Linux 5.9; a program that speaks sd_listen_fds(3) needs only `handover = \"fds\"`";
    Some(Diagnostic::warning(app.span.clone(), message).help(help))
}

/// systemd itself only warns, in its journal, about a directive that it does not know yet.
fn too_new(
    app: &ecosystem::App,
    section: Section,
    directives: &ecosystem::app::Directives,
    version: Option<u32>,
) -> Vec<Diagnostic> {
    let Some(version) = version else {
        return Vec::new();
    };
    let since = |name: &str| {
        directive::known(section)
            .find(|(d, _)| *d == name)
            .map(|(_, since)| since)
    };
    directives
        .iter()
        .filter_map(|(name, _)| {
            Some((
                name,
                since(name).filter(|s| *s > version.max(directive::BASELINE))?,
            ))
        })
        .map(|(name, since)| {
            Diagnostic::warning(
                app.span.clone(),
                format!("`{name}` is ignored by systemd {version}"),
            )
            .help(format!("it needs systemd {since}"))
        })
        .collect()
}

pub(super) fn systemd_version(context: &mut Context) -> Option<u32> {
    // Without a systemd to ask, the file can still be checked.
    context.manager().ok()?.version().ok()
}
