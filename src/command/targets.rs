//! The targets on the command line: apps, instances, `all`, or the apps of a file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::context::Context;
use super::input::Input;
use super::options::Targets;
use crate::ecosystem::{self, diagnostic};
use crate::generate::{self, sources};
use crate::import::Kind;
use crate::layout::Layout;
use crate::output::{Exit, Failure};
use crate::unit::name::{Member, parse_service};

/// An app or an instance to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A whole app.
    App(String),
    /// One instance.
    Instance(String, u32),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(app) => f.write_str(app),
            Self::Instance(app, number) => write!(f, "{app}@{number}"),
        }
    }
}

/// Every app of this host, pinned or generated.
pub(super) fn known(layout: &Layout) -> Vec<String> {
    let (sources, _) = sources::all(layout);
    let apps: BTreeSet<String> = generate::pinned_apps(layout)
        .into_keys()
        .chain(sources.into_iter().map(|s| s.app))
        .collect();
    apps.into_iter().collect()
}

/// Resolves every word; a word without a meaning fails before anything is done.
pub(super) fn resolve(
    context: &mut Context<'_>,
    arguments: &Targets,
) -> Result<Vec<Target>, Failure> {
    let known = known(&context.layout);
    let mut found: Vec<Target> = Vec::new();
    for word in &arguments.targets {
        for target in one(context, word, arguments, &known)? {
            if !found.contains(&target) {
                found.push(target);
            }
        }
    }
    Ok(found)
}

fn one(
    context: &mut Context<'_>,
    word: &str,
    arguments: &Targets,
    known: &[String],
) -> Result<Vec<Target>, Failure> {
    if word == "all" {
        return Ok(known.iter().cloned().map(Target::App).collect());
    }
    if is_file(word) {
        return of_file(context, Path::new(word), &arguments.only, known);
    }
    let target = match parse_service(word) {
        Some((app, Member::Cluster)) => Target::App(installed(app, known)?),
        Some((app, Member::Instance(number))) => Target::Instance(installed(app, known)?, number),
        _ if word.contains('@') => {
            let failure = Failure::new(Exit::Usage, format!("`{word}` does not name an instance"));
            return Err(failure.help("write one as `APP@0`"));
        }
        _ => Target::App(installed(word, known)?),
    };
    Ok(vec![target])
}

fn is_file(word: &str) -> bool {
    word.contains('/')
        || Kind::is_of_pm2(Path::new(word))
        || Path::new(word).extension().is_some_and(|e| e == "toml")
}

fn of_file(
    context: &mut Context<'_>,
    path: &Path,
    only: &[String],
    known: &[String],
) -> Result<Vec<Target>, Failure> {
    let input = Input::read(path)?;
    let (apps, mut report) = ecosystem::parse(&input.shown, &input.text);
    ecosystem::allow_newer(&mut report.diagnostics, || context.systemd_version());
    if report.has_errors() {
        return Err(Failure::invalid(report));
    }
    if let Some(missing) = only.iter().find(|o| !apps.iter().any(|a| a.name == **o)) {
        return Err(Failure::new(
            Exit::Usage,
            format!("`{}` has no app `{missing}`", input.shown),
        ));
    }
    apps.into_iter()
        .filter(|a| only.is_empty() || only.contains(&a.name))
        .map(|a| Ok(Target::App(installed(&a.name, known)?)))
        .collect()
}

fn installed(name: &str, known: &[String]) -> Result<String, Failure> {
    if known.iter().any(|k| k == name) {
        return Ok(name.to_owned());
    }
    let failure = Failure::failed(format!("no app `{name}` is installed"));
    Err(
        match diagnostic::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => {
                failure.help("install one with `rsgen install ecosystem.toml`")
            }
            None => failure.help(format!("installed are {}", known.join(", "))),
        },
    )
}
