//! `rsgen check`: everything that is wrong with ecosystem files, without installing anything.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::balance;
use super::calendar;
use super::context::Context;
use super::gone::Gone;
use super::host_probe::HostProbe;
use super::input::Input;
use super::jobs::Jobs;
use super::limits;
use super::manual::Manual;
use super::missing;
use super::options::Environment;
use super::port_owner;
use super::remote::Remote;
use super::selection;
use super::subcommand::Subcommand;
use super::unsupported;
use crate::ecosystem::diagnostic::Located;
use crate::ecosystem::{self, App, Diagnostic, Report, Severity, environments, resolve};
use crate::layout::Layout;
use crate::output::{Exit, Failure, Notice, Shown};

/// Check ecosystem files without installing them
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The ecosystem files
    #[arg(value_name = "FILE", default_value = "ecosystem.toml")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    environment: Environment,
}

/// The faults of all files, as scripts read them.
#[derive(Serialize)]
pub(super) struct Checked<'a> {
    pub(super) valid: bool,
    pub(super) diagnostics: Vec<Located<'a>>,
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
        let layout = context.layout.clone();
        let host = HostProbe::new(None, &layout);
        let env = self.environment.env.as_deref();
        let mut jobs = context.jobs().ok();
        let mut examined = Vec::new();
        for file in &self.files {
            let input = Input::read(file)?;
            examined.push(examine(
                &input,
                env,
                &host,
                &layout,
                version,
                jobs.as_mut(),
            )?);
        }
        let (reports, apps): (Vec<_>, Vec<_>) = examined.into_iter().unzip();
        for (report, apps) in reports.iter().zip(&apps) {
            context.sink.notice(&if report.diagnostics.is_empty() {
                Notice::Good(&report.path)
            } else {
                Notice::Faults(report)
            });
            for app in apps {
                balance::tell(context.sink, &layout, app);
                selection::tell_choices(context.sink, app);
            }
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

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        Err(remote.refuse_files())
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

fn examine(
    input: &Input,
    env: Option<&str>,
    host: &HostProbe,
    layout: &Layout,
    version: Option<u32>,
    mut jobs: Option<&mut Jobs<'_>>,
) -> Result<(Report, Vec<App>), Failure> {
    let (mut apps, report) = ecosystem::parse(&input.shown, &input.text);
    if !report.has_errors() {
        selection::choose_environment(input, env, &mut apps)?;
    }
    // Files that cannot be read only make a help say less.
    let gone = Gone::find(layout, input, &[], false).ok();
    let mut faults = report.diagnostics;
    ecosystem::allow_newer(&mut faults, || version);
    ecosystem::refuse_ignored(&mut faults, version);
    ecosystem::allow_left_out(&mut faults);
    for app in &mut apps {
        resolve::resolve(app, &input.folder, host, &mut faults);
        faults.extend(environments::unused(app, env));
        faults.extend(unsupported::faults(app, version));
        faults.extend(calendar::faults(app));
        let collisions = selection::collisions(layout, app, gone.as_ref());
        faults.extend(missing::faults(app));
        if let Some(jobs) = jobs.as_mut().filter(|_| collisions.is_empty()) {
            faults.extend(port_owner::warning(app, layout, jobs.manager, host));
        }
        faults.extend(collisions);
        faults.extend(
            limits::of(layout, app)
                .into_iter()
                .map(|limit| Diagnostic::error(app.span.clone(), limit.message).help(limit.help)),
        );
        faults.extend(
            balance::fault(layout, app)
                .map(|fault| Diagnostic::error(app.span.clone(), fault.message).help(fault.help)),
        );
    }
    Ok((Report::new(&input.shown, &input.text, faults), apps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::directive;

    fn told(line: &str, version: Option<u32>) -> String {
        let text = format!(
            "[[apps]]\nname = \"web\"\nscript = \"/srv/web.js\"\ncwd = \"/srv\"\nlisten = 3000\n{line}\n"
        );
        let input = Input {
            shown: "ecosystem.toml".into(),
            text,
            folder: "/srv".into(),
            root: None,
            origin: None,
        };
        let layout = Layout::system("/nonexistent".as_ref());
        let host = HostProbe::new(None, &layout);
        let (report, _) = examine(&input, None, &host, &layout, version, None).unwrap();
        let of_directives = report.diagnostics.iter().filter(|fault| {
            ["is ignored by", "is not a directive"]
                .iter()
                .any(|words| fault.message.contains(words))
        });
        let lines = of_directives.map(|fault| {
            let help = fault.help.as_deref().unwrap_or_default();
            format!("{:?}: {}; {help}", fault.severity, fault.message)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_directive_that_this_systemd_does_not_have_yet_is_named_with_the_one_that_has() {
        let line = "service.RestartRandomizedDelaySec = 5";
        assert_eq!(
            told(line, Some(257)),
            "Warning: `RestartRandomizedDelaySec` is ignored by systemd 257; it needs systemd 262"
        );
        assert_eq!(told(line, Some(262)), "");
        // Below the baseline nothing is known of what came when.
        assert_eq!(told("service.MemoryMax = \"1G\"", Some(240)), "");
    }

    #[test]
    fn one_that_is_gone_is_named_with_the_last_systemd_that_had_it() {
        let line = "service.MemoryLimit = \"1G\"";
        assert_eq!(told(line, Some(257)), "");
        assert_eq!(
            told(line, Some(258)),
            "Warning: `MemoryLimit` is ignored by systemd 258; no systemd after 257 has it; leave it out"
        );
    }

    #[test]
    fn one_that_the_list_lacks_is_an_error_unless_systemd_is_newer_than_the_list() {
        let line = "unit.ConditionPhaseOfTheMoon = \"full\"";
        let newest = directive::NEWEST;
        assert!(told(line, Some(newest)).starts_with("Error: "));
        assert!(told(line, None).starts_with("Error: "));
        assert!(told(line, Some(newest + 1)).starts_with("Warning: "));
    }
}
