//! Resolves the targets on the command line: apps, instances, `all`, or the apps of a file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::context::Context;
use super::input::{self, Input};
use super::options::Targets;
use super::script;
use crate::ecosystem::values::Instances;
use crate::ecosystem::{self, diagnostic};
use crate::generate::{self, sources};
use crate::import::Kind;
use crate::layout::Layout;
use crate::output::{Exit, Failure};
use crate::systemd::{ActiveState, Brief};
use crate::unit::name::{Member, Units, parse_service};

/// The verbs that start an instance that is not running.
pub(super) const STARTS: &[&str] = &["start", "restart"];

/// An app or an instance to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A whole app.
    App(String),
    /// One instance.
    Instance(String, u32),
}

impl Target {
    /// Returns the name of the app.
    pub(super) fn app(&self) -> &str {
        match self {
            Self::App(app) | Self::Instance(app, _) => app,
        }
    }

    /// The number of the instance, where it is one.
    pub(super) fn number(&self) -> Option<u32> {
        match self {
            Self::App(_) => None,
            Self::Instance(_, number) => Some(*number),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(app) => f.write_str(app),
            Self::Instance(app, number) => write!(f, "{app}@{number}"),
        }
    }
}

/// Returns every app of this host, pinned or generated.
pub(super) fn known(layout: &Layout) -> Vec<String> {
    let (sources, _) = sources::all(layout);
    let apps: BTreeSet<String> = generate::pinned_apps(layout)
        .into_keys()
        .chain(sources.into_iter().map(|s| s.app))
        .collect();
    apps.into_iter().collect()
}

/// Returns the number of instances that an app should have; `None` for an app that has neither units nor a readable
/// file.
pub(super) fn size(layout: &Layout, cpus: u32, app: &str) -> Option<u32> {
    Some(instances(layout, app)?.resolve(cpus))
}

/// Returns the same as it is written.
pub(super) fn instances(layout: &Layout, app: &str) -> Option<Instances> {
    let pinned = generate::pinned(layout, app);
    let of_file = || {
        let source = sources::find(layout, app)?;
        let (_, app) = sources::load(layout, &source).ok()?;
        Some(app.instances)
    };
    pinned.or_else(of_file)
}

/// Returns the app that a word stands for; the word may also be the name of the app's cluster unit.
pub(super) fn app(word: &str, known: &[String]) -> Result<String, Failure> {
    match parse_service(word) {
        Some((app, Member::Cluster)) => installed(app, known),
        _ => installed(word, known),
    }
}

/// Returns whether systemd has anything of an instance: it runs, or its failure is remembered. That of an app counts as there.
pub(super) fn is_there(context: &mut Context<'_>, target: &Target) -> Result<bool, Failure> {
    let Target::Instance(app, number) = target else {
        return Ok(true);
    };
    let units = context
        .manager()?
        .units(&Units::of(app).instance(*number))?;
    let is_it = |unit: &Brief| unit.active != ActiveState::Inactive || unit.job.is_some();
    Ok(units.iter().any(is_it))
}

/// Refuses an instance beyond the number that its app should have, since no reload and no stop of the app would include
/// it.
pub(super) fn refuse_beyond(
    context: &Context<'_>,
    target: &Target,
    verb: &str,
) -> Result<(), Failure> {
    let Target::Instance(app, number) = target else {
        return Ok(());
    };
    match size(&context.layout, context.host.cpus, app) {
        Some(size) if *number >= size => {
            let last = Target::Instance(app.clone(), size.saturating_sub(1));
            let message = format!("`{app}` has {size} instances; the last is `{last}`");
            let help = if STARTS.contains(&verb) {
                let wanted = number.saturating_add(1);
                format!("to add instances, run `rsgen scale {app} {wanted}`")
            } else {
                format!("run `rsgen list {app}` to see which run")
            };
            Err(Failure::new(Exit::Usage, message).help(help))
        }
        _ => Ok(()),
    }
}

/// Resolves every word for a subcommand; a word without a meaning fails before anything is done.
pub(super) fn resolve(
    context: &mut Context<'_>,
    arguments: &Targets,
    verb: &str,
) -> Result<Vec<Target>, Failure> {
    each(context, arguments, verb)?.into_iter().collect()
}

/// The same, but an app that is not installed is a failure of its own.
///
/// # Errors
/// When the command line is wrong, or a file on it.
pub(super) fn each(
    context: &mut Context<'_>,
    arguments: &Targets,
    verb: &str,
) -> Result<Vec<Result<Target, Failure>>, Failure> {
    let known = known(&context.layout);
    let mut found: Vec<Target> = Vec::new();
    let mut all = Vec::new();
    for word in &arguments.targets {
        let targets = one(context, word, arguments, &known, verb);
        for target in targets.unwrap_or_else(|failure| vec![Err(failure)]) {
            match target {
                Err(failure) if failure.exit != Exit::Failed => return Err(failure),
                Ok(target) if found.contains(&target) => {}
                Ok(target) => {
                    found.push(target.clone());
                    all.push(Ok(target));
                }
                failed => all.push(failed),
            }
        }
    }
    Ok(all)
}

fn one(
    context: &mut Context<'_>,
    word: &str,
    arguments: &Targets,
    known: &[String],
    verb: &str,
) -> Result<Vec<Result<Target, Failure>>, Failure> {
    if word == "all" {
        let apps = known.iter().cloned();
        return Ok(apps.map(|app| Ok(Target::App(app))).collect());
    }
    // A file of that name in the folder at hand takes nothing away from an app, nor from an instance.
    let is_known = app_or_instance(word, known).is_ok();
    if !is_known && script::is_script(word) {
        return Err(script::refuse(word, context.command, &context.layout));
    }
    if script::is_folder(word) {
        return Err(input::of_folder(Path::new(word)));
    }
    if is_file(word) {
        return of_file(context, Path::new(word), &arguments.only, known, verb);
    }
    match app_or_instance(word, known) {
        Err(failure) if STARTS.contains(&verb) && failure.exit == Exit::Failed => {
            let behind = arguments.targets.iter().skip_while(|w| *w != word).skip(1);
            let behind: Vec<String> = behind.cloned().collect();
            match script::help_for_program(word, &behind) {
                Some(help) if !is_near(word, known) => Err(failure.help(help)),
                _ => Err(failure),
            }
        }
        found => Ok(vec![Ok(found?)]),
    }
}

/// Returns the app or the instance that a word names.
pub(super) fn app_or_instance(word: &str, known: &[String]) -> Result<Target, Failure> {
    match parse_service(word) {
        Some((app, Member::Cluster)) => Ok(Target::App(installed(app, known)?)),
        Some((app, Member::Instance(number))) => {
            Ok(Target::Instance(installed(app, known)?, number))
        }
        _ if word.contains('@') => {
            let failure = Failure::new(Exit::Usage, format!("`{word}` does not name an instance"));
            Err(failure.help("write one as `APP@0`"))
        }
        _ => Ok(Target::App(installed(word, known)?)),
    }
}

/// Returns whether a word is the path of an ecosystem file.
pub(super) fn is_file(word: &str) -> bool {
    word.contains('/')
        || Kind::is_of_pm2(Path::new(word))
        || Path::new(word).extension().is_some_and(|e| e == "toml")
}

/// Returns whether a word is nearly the name of an installed app.
fn is_near(word: &str, known: &[String]) -> bool {
    diagnostic::nearest(word, known.iter().map(String::as_str)).is_some()
}

fn of_file(
    context: &mut Context<'_>,
    path: &Path,
    only: &[String],
    known: &[String],
    verb: &str,
) -> Result<Vec<Result<Target, Failure>>, Failure> {
    let input = Input::read(path)?;
    let (apps, mut report) = ecosystem::parse(&input.shown, &input.text);
    ecosystem::allow_newer(&mut report.diagnostics, || context.systemd_version());
    ecosystem::allow_left_out(&mut report.diagnostics);
    if report.has_errors() {
        return Err(Failure::invalid(report));
    }
    if let Some(missing) = only.iter().find(|o| !apps.iter().any(|a| a.name == **o)) {
        return Err(Failure::new(
            Exit::Usage,
            format!("`{}` has no app `{missing}`", input.shown),
        ));
    }
    let apps = apps
        .into_iter()
        .filter(|a| only.is_empty() || only.contains(&a.name));
    let targets = apps.map(|a| {
        let app = installed(&a.name, known);
        let app = app.map_err(|failure| failure.help(remedy(verb, &input.shown)))?;
        Ok(Target::App(app))
    });
    Ok(targets.collect())
}

/// The next step where an app of a file is not installed.
fn remedy(verb: &str, file: &str) -> String {
    match verb {
        "start" | "restart" => format!("run `rsgen install {file}`, which starts it as well"),
        "reload" => format!("run `rsgen deploy {file}`"),
        _ => format!("there is nothing to {verb}; `rsgen list` shows what is installed"),
    }
}

/// The help for a number, by which PM2 names each process of all apps.
fn of_pm2s_number(number: &str, known: &[String]) -> String {
    match known {
        [] => "install one with `rsgen install ecosystem.toml`".to_owned(),
        [app] => format!(
            "names take the place of PM2's numbers: an instance is written `{app}@{number}`, all of them are `{app}`"
        ),
        [app, ..] => format!(
            "names take the place of PM2's numbers: installed are {}, and an instance is written `{app}@0`; `rsgen list` shows them",
            known.join(", ")
        ),
    }
}

fn installed(name: &str, known: &[String]) -> Result<String, Failure> {
    if known.iter().any(|k| k == name) {
        return Ok(name.to_owned());
    }
    let failure = Failure::failed(format!("no app `{name}` is installed"));
    Err(
        match diagnostic::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) => {
                failure.help(of_pm2s_number(name, known))
            }
            None if known.is_empty() => {
                failure.help("install one with `rsgen install ecosystem.toml`")
            }
            None => failure.help(format!("installed are {}", known.join(", "))),
        },
    )
}
