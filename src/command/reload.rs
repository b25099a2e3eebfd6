//! `rsgen reload`: replaces old instances by new ones, one by one.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;

use super::apply::{self, Prepared, Timer};
use super::context::Context;
use super::course::{self, Pace, Part};
use super::deployment::{self, Goal};
use super::gone::{Gone, Origin};
use super::host_probe::HostProbe;
use super::input::Input;
use super::manual::{self, Manual};
use super::options::{Environment, Targets};
use super::passage;
use super::preparation::{self, Preparation};
use super::prune;
use super::reloaded::Reloaded;
use super::remote::{self, Remote};
use super::selection::{self, Purpose, Wanted};
use super::subcommand::Subcommand;
use super::targets::{self, Target};
use crate::contract::Course;
use crate::ecosystem::{App, Report, release};
use crate::generate::{self, files, sources};
use crate::layout::Layout;
use crate::output::{Exit, Failure, Sink};
use crate::plan::Host;
use crate::systemd::Verb;

/// Replace the instances of apps one by one, losing no request
#[derive(Debug, Args)]
#[command(alias = "gracefulReload")]
pub(super) struct Reload {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    environment: Environment,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    pace: Pace,
    /// For an ecosystem file: after everything else has succeeded, remove the apps that an earlier install of it installed and that it
    /// no longer has
    #[arg(long, conflicts_with_all = ["canary_only", "promote", "abort"])]
    prune: bool,
}

/// What the ecosystem files on the command line ask for.
#[derive(Default)]
struct OfFiles {
    /// The changes, by app.
    prepared: BTreeMap<String, Prepared>,
    /// The apps whose program shows no address when it is rehearsed. They are not reloaded.
    missed: Vec<String>,
    failures: Vec<Failure>,
    /// The files that apps come from, by app.
    origins: BTreeMap<String, Origin>,
    /// The apps that the files no longer have.
    gone: Vec<Gone>,
}

impl Subcommand for Reload {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            ("rsgen reload web", "Replaces all instances of an app."),
            (
                "rsgen reload ecosystem.toml --only web,api",
                "Replaces all instances of two apps of the file.",
            ),
            (
                "rsgen reload ecosystem.toml --env production",
                "Applies the file with the variables of `env_production`, and replaces all instances.",
            ),
            (
                "rsgen reload web --surge 25% --parallel 50%",
                "Does so this once with a canary for each four instances, and half of the instances at a time.",
            ),
            (
                "rsgen reload ecosystem.toml --prune",
                "Applies the file, replaces all instances, and removes the apps that the file no longer has.",
            ),
            (
                "rsgen reload web --canary-only",
                "Starts one more instance with the new code, which gets its share of the connections while you observe it.",
            ),
            (
                "rsgen reload web --promote",
                "Replaces the instances after such a canary; `--abort` stops the canary.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let targets = targets::resolve(context, &self.targets, "reload")?;
        if let Some(instance) = targets.iter().find(|t| matches!(t, Target::Instance(..))) {
            return Err(refused(instance));
        }
        self.refuse_needless_options()?;
        context.require_permission("reload")?;
        context.jobs()?;
        if let Some(course) = self.part.course() {
            return self.take(context, course, targets);
        }
        let mut of_files = self.of_files(context)?;
        let gone = std::mem::take(&mut of_files.gone);
        let mut done = Reloaded::default();
        let result = self.each(context, targets, of_files, &mut done);
        let result = result.map_err(|failure| kept(context, &gone, failure));
        let result = result.and_then(|()| {
            for gone in &gone {
                done.pruned.extend(prune::prune(context, gone)?);
            }
            Ok(())
        });
        result.map_err(|failure| failure.beside(done.reloaded.clone()))?;
        context.sink.answer(&done);
        Ok(())
    }

    /// The pace and the part of a walk, and a file's changes, are told to it by files.
    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        if self.environment.env.is_some() {
            return Err(remote.refuse_option("`--env`"));
        }
        if self.part.course().is_some() {
            return Err(remote.refuse_option("a reload in two parts"));
        }
        if self.pace.is_given() {
            return Err(remote.refuse_option("another pace"));
        }
        if self.prune {
            return Err(remote.refuse_option("`--prune`"));
        }
        let reloaded = remote::carry_out(remote, &self.targets, Verb::Reload)?;
        remote.sink.answer(&Reloaded {
            reloaded,
            pruned: Vec::new(),
        });
        Ok(())
    }
}

impl Reload {
    /// Reloads the apps up to the first one that fails, and notes which.
    fn each(
        &self,
        context: &mut Context<'_>,
        targets: Vec<Target>,
        mut of_files: OfFiles,
        done: &mut Reloaded,
    ) -> Result<(), Failure> {
        let count = targets.len();
        for target in targets {
            let Target::App(app) = target else { continue };
            // The installed copy is not what was asked for.
            if of_files.missed.contains(&app) {
                continue;
            }
            let goal = Goal::Fresh(self.pace.on(None));
            reload(context, &app, of_files.prepared.remove(&app), goal)?;
            if let Some(origin) = of_files.origins.get(&app) {
                prune::note(&mut context.jobs()?, origin, &app);
            }
            done.reloaded.push(app);
        }
        Failure::of_several(of_files.failures, count).map_or(Ok(()), Err)
    }

    /// Carries out one part of a reload.
    fn take(
        &self,
        context: &mut Context<'_>,
        course: Course,
        targets: Vec<Target>,
    ) -> Result<(), Failure> {
        let apps = course::apps(&self.targets.targets, targets)?;
        for app in &apps {
            if course == Course::CanaryOnly {
                course::refuse_changes(&prepare(
                    &context.layout,
                    context.host,
                    context.sink,
                    app,
                    true,
                )?)?;
            }
            course::take(context, app, self.pace.on(Some(course)))?;
        }
        let reloaded = if course == Course::Promote {
            apps
        } else {
            Vec::new()
        };
        context.sink.answer(&Reloaded {
            reloaded,
            pruned: Vec::new(),
        });
        Ok(())
    }

    /// Refuses `--prune` without an ecosystem file, and `--env` without an ecosystem file, since an installed copy contains the variables of only one
    /// environment.
    fn refuse_needless_options(&self) -> Result<(), Failure> {
        let is_any_file = self.targets.targets.iter().any(|t| targets::is_file(t));
        if self.prune && !is_any_file {
            return Err(
                Failure::new(Exit::Usage, "`--prune` needs an ecosystem file")
                    .help("run `rsgen reload ecosystem.toml --prune`, or remove apps with `rsgen uninstall APP`"),
            );
        }
        match &self.environment.env {
            Some(name) if !is_any_file => {
                Err(Failure::new(Exit::Usage, "`--env` needs an ecosystem file")
                    .help(format!("run `rsgen reload ecosystem.toml --env {name}`")))
            }
            _ => Ok(()),
        }
    }

    /// Returns the changes that bring apps in line with the ecosystem files on the command line. The installed copy of
    /// such a file could be an older version of it.
    fn of_files(&self, context: &mut Context<'_>) -> Result<OfFiles, Failure> {
        let mut all = OfFiles::default();
        for file in self.targets.targets.iter().filter(|t| targets::is_file(t)) {
            let input = Input::read(Path::new(file))?;
            let only = &self.targets.only;
            let leaving = Gone::find(&context.layout, &input, only, self.prune)?;
            prune::refuse_paused(&mut context.jobs()?, &leaving)?;
            // An address that one of them has is free only once it is removed, which comes last.
            let gone = leaving.staying();
            let wanted = Wanted {
                input: &input,
                only,
                instances: None,
                purpose: Purpose::Install,
                env: self.environment.env.as_deref(),
                gone: Some(&gone),
            };
            let Preparation {
                prepared,
                missed,
                failures,
            } = preparation::prepare(context, &wanted, true)?;
            all.missed.extend(missed);
            all.failures.extend(failures);
            for prepared in prepared {
                refuse_readdressing(&prepared, file)?;
                refuse_another_kind(&prepared, file)?;
                apply::show(context.sink, std::slice::from_ref(&prepared), false);
                all.origins
                    .insert(prepared.app.clone(), gone.origin.clone());
                all.prepared.insert(prepared.app.clone(), prepared);
            }
            leaving.tell(context.sink, &context.layout, "deploy");
            all.gone.push(leaving);
        }
        Ok(all)
    }
}

/// Applies the changes of an app's files, then reloads the app. The changes are those of the ecosystem file on the
/// command line, if there is one, otherwise those of the installed copy.
fn reload(
    context: &mut Context<'_>,
    app: &str,
    of_file: Option<Prepared>,
    goal: Goal,
) -> Result<(), Failure> {
    let prepared = if let Some(prepared) = of_file {
        prepared
    } else {
        let serves = passage::serves(context, app);
        prepare(&context.layout, context.host, context.sink, app, serves)?
    };
    let prepared = std::slice::from_ref(&prepared);
    deployment::deploy(&mut context.jobs()?, prepared, goal)?;
    Ok(())
}

/// Adds to a failure that no app was removed.
fn kept(context: &Context<'_>, gone: &[Gone], failure: Failure) -> Failure {
    let gone = gone.iter();
    gone.fold(failure, |failure, gone| {
        prune::kept(&context.layout, gone, failure)
    })
}

fn refused(instance: &Target) -> Failure {
    let Target::Instance(app, _) = instance else {
        return Failure::failed(format!("`{instance}` cannot be reloaded"));
    };
    Failure::new(
        Exit::Usage,
        format!(
            "`{instance}` is one instance; a reload replaces all instances, starting with a canary"
        ),
    )
    .help(format!(
        "run `rsgen reload {app}`, or for this instance `rsgen restart {instance}`"
    ))
}

fn refuse_readdressing(prepared: &Prepared, file: &str) -> Result<(), Failure> {
    let Some(moved) = &prepared.readdressed else {
        return Ok(());
    };
    Err(Failure::failed(moved.refusal(&prepared.app))
        .help(format!("run `rsgen install {file} --replace-listener`"))
        .help_also(moved.why.clone()))
}

/// Refuses to run an app as root because `user` was removed from its file. Only `install` looks for the owner of a
/// program.
pub(super) fn refuse_root(layout: &Layout, app: &App, file: &Path) -> Result<(), Failure> {
    let name = app.name();
    let before = files::pinned_user(layout, name).filter(|before| before != "root");
    match before {
        Some(before) if app.user.is_none() && !app.is_dynamic() => Err(Failure::failed(format!(
            "`{name}` runs as `{before}`, and without `user` a reload would run it as root"
        ))
        .help(format!(
            "write `user = \"{before}\"`, or `user = \"root\"`, into {}",
            file.display()
        ))),
        _ => Ok(()),
    }
}

/// Refuses to turn a long-running app into a job or a job into a long-running app, which would stop all instances at
/// once.
pub(super) fn refuse_another_kind(prepared: &Prepared, file: &str) -> Result<(), Failure> {
    if !prepared.is_of_another_kind {
        return Ok(());
    }
    let kind = if prepared.is_job {
        "a job"
    } else {
        "a long-running app"
    };
    let app = &prepared.app;
    Err(Failure::failed(format!(
        "`{app}` becomes {kind}, and a reload cannot do that"
    ))
    .help(format!("run `rsgen install {file}`")))
}

/// Returns the changes that bring the pinned units of an app in line with its file. An app without pinned units has
/// none.
pub(super) fn prepare(
    layout: &Layout,
    host: Host,
    sink: &dyn Sink,
    app: &str,
    serves: bool,
) -> Result<Prepared, Failure> {
    let is_job = generate::is_known_job(layout, app);
    let Some(source) = sources::find(layout, app) else {
        return Ok(Prepared::unchanged(app, is_job));
    };
    let (text, parsed, mut report) = sources::read(layout, &source).map_err(Failure::invalid)?;
    let host_probe = HostProbe::new(None, layout);
    release::warn(&parsed, &host_probe, &mut report.diagnostics);
    selection::warn(sink, &Report::new(report.path, &text, report.diagnostics));
    if generate::pinned(layout, app).is_none() {
        let timer = parsed.timer().map_or(Timer::None, |_| Timer::Runs);
        return Ok(Prepared {
            timer,
            ..Prepared::unchanged(app, is_job)
        });
    }
    refuse_root(layout, &parsed, &source.path)?;
    let prepared = apply::prepare_units(layout, host, parsed, &source.path, serves)?;
    let file = source.path.display().to_string();
    refuse_readdressing(&prepared, &file)?;
    refuse_another_kind(&prepared, &file)?;
    apply::show(sink, std::slice::from_ref(&prepared), false);
    Ok(prepared)
}
