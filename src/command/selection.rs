//! Reads an ecosystem file, or makes one of a script, and picks the apps that are meant.

use std::path::{Path, PathBuf};

use super::check;
use super::context::Context;
use super::probe;
use crate::ecosystem::values::Instances;
use crate::ecosystem::{self, App, Diagnostic, Report, Severity, pin, resolve};
use crate::generate::sources;
use crate::output::{Exit, Failure};

/// The file name that means standard input.
pub(super) const STANDARD_INPUT: &str = "-";

/// An app that is to be installed.
pub(super) struct Selected {
    pub(super) app: App,
    /// The text of its installed file.
    pub(super) pinned: String,
}

/// A text and the folder that its relative paths start from.
pub(super) struct Input {
    pub(super) shown: String,
    pub(super) text: String,
    pub(super) folder: PathBuf,
    /// What will be `/` where the app runs, when that is not this host.
    pub(super) root: Option<PathBuf>,
}

impl Input {
    /// Reads an ecosystem file, or standard input when its name is `-`; relative paths in that start
    /// from the current folder.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        if path == Path::new(STANDARD_INPUT) {
            return Self::from_standard_input();
        }
        let shown = path.display().to_string();
        let absolute = std::path::absolute(path)
            .map_err(|e| Failure::new(Exit::Invalid, format!("{shown}: {e}")))?;
        let text = std::fs::read_to_string(path).map_err(|e| {
            let failure = Failure::new(Exit::Invalid, format!("`{shown}` cannot be read: {e}"));
            match e.kind() {
                std::io::ErrorKind::NotFound => {
                    failure.help("name an ecosystem file, or a script with `--listen`")
                }
                std::io::ErrorKind::InvalidData => failure.help("save it as UTF-8"),
                _ => failure,
            }
        })?;
        Ok(Self {
            shown,
            text,
            folder: utf8_folder(&absolute)?,
            root: None,
        })
    }

    fn from_standard_input() -> Result<Self, Failure> {
        let text = std::io::read_to_string(std::io::stdin()).map_err(|e| {
            Failure::new(Exit::Invalid, format!("standard input cannot be read: {e}"))
                .help("write an ecosystem file to it, as UTF-8")
        })?;
        let inside = std::path::absolute("ecosystem.toml")
            .map_err(|e| Failure::new(Exit::Usage, format!("the current folder: {e}")))?;
        Ok(Self {
            shown: "standard input".into(),
            text,
            folder: utf8_folder(&inside)?,
            root: None,
        })
    }

    /// Meant for a host that is being put together in a folder.
    pub(super) fn below(mut self, root: &Path) -> Result<Self, Failure> {
        let root = std::path::absolute(root)
            .map_err(|e| Failure::new(Exit::Usage, format!("{}: {e}", root.display())))?;
        let inside = self.folder.strip_prefix(&root).map_err(|_| {
            Failure::new(
                Exit::Usage,
                format!("`{}` is not below `{}`", self.shown, root.display()),
            )
            .help("put the ecosystem file where it will lie in the package")
        })?;
        self.folder = Path::new("/").join(inside);
        self.root = Some(root);
        Ok(self)
    }
}

/// The folder of a file, if TOML can hold its name.
pub(super) fn utf8_folder(absolute: &Path) -> Result<PathBuf, Failure> {
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    if folder.to_str().is_none() {
        return Err(Failure::new(
            Exit::Invalid,
            format!("the folder `{}` is not named in UTF-8", folder.display()),
        )
        .help("rename it: neither TOML nor units can hold such a name"));
    }
    Ok(folder.to_owned())
}

/// Parses, resolves and picks. Warnings are printed; errors are the failure.
pub(super) fn select(
    context: &mut Context,
    input: &Input,
    only: &[String],
    instances: Option<Instances>,
) -> Result<Vec<Selected>, Failure> {
    let (apps, report) = ecosystem::parse(&input.shown, &input.text);
    let mut faults = report.diagnostics.clone();
    if let Some(missing) = only
        .iter()
        .find(|o| !apps.iter().any(|a| a.name == **o))
        .filter(|_| !report.has_errors())
    {
        let known: Vec<&str> = apps.iter().map(|a| a.name.as_str()).collect();
        return Err(Failure::new(
            Exit::Usage,
            format!("`{}` has no app `{missing}`", input.shown),
        )
        .help(format!("its apps are {}", known.join(", "))));
    }
    let mut picked: Vec<(usize, App)> = apps
        .into_iter()
        .enumerate()
        .filter(|(_, a)| only.is_empty() || only.contains(&a.name))
        .collect();
    let host = probe::Host {
        root: input.root.clone(),
        scope: context.layout.scope,
    };
    let version = check::systemd_version(context);
    for (_, app) in &mut picked {
        resolve::resolve(app, &input.folder, &host, &mut faults);
        if let Some(instances) = instances {
            app.instances = instances;
        }
        if input.root.is_none() {
            check_against_installed(context, app, &mut faults);
            faults.extend(check::not_here(app, version));
        }
    }
    let report = Report::new(&input.shown, &input.text, faults);
    if report.has_errors() {
        return Err(Failure::invalid(report));
    }
    warn(context, &report);
    picked
        .into_iter()
        .map(|(index, app)| {
            let pinned = pin::pin(&input.text, index, &app, instances)
                .map_err(|e| Failure::new(Exit::Invalid, e.message).help(e.help))?;
            Ok(Selected { app, pinned })
        })
        .collect()
}

/// Prints what is no error.
pub(super) fn warn(context: &Context, report: &Report) {
    if report
        .diagnostics
        .iter()
        .any(|d| d.severity == Severity::Warning)
    {
        context
            .printer
            .warning(report.render(context.printer.paints_errors()));
    }
}

/// An address that another installed app has.
fn check_against_installed(context: &Context, app: &App, faults: &mut Vec<Diagnostic>) {
    let (installed, _) = sources::all(&context.layout);
    for source in installed.iter().filter(|s| s.app != app.name) {
        // A broken file of another app is that app's matter.
        let Ok((_, other)) = sources::load(&context.layout, source) else {
            continue;
        };
        faults.extend(ecosystem::collision(app, &other));
    }
}
