//! The apps that an ecosystem file has brought and no longer has: told by `install`, `deploy` and `reload`, removed with `--prune`.
//!
//! Which file has brought an app is kept beside its releases, where only root writes. An app without that is never counted: older
//! versions kept none, and standard input, a script and an installed file are no file that could lose an app.

use std::path::Path;

use super::hint;
use super::input::Input;
use super::ledger::Ledger;
use crate::ecosystem::{self, App};
use crate::generate::{self, sources};
use crate::layout::Layout;
use crate::output::{Exit, Failure, Notice, Sink};

/// The file that apps are installed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// An ecosystem file, by its absolute path.
    File(String),
    /// An installed file. An app keeps the origin that it has.
    Installed,
    /// Standard input, or a command line.
    Nowhere,
}

impl Origin {
    pub(super) fn of(input: &Input, layout: &Layout) -> Self {
        match &input.origin {
            Some(path) if layout.apps.iter().any(|d| Path::new(path).starts_with(d)) => {
                Self::Installed
            }
            Some(path) => Self::File(path.clone()),
            None => Self::Nowhere,
        }
    }
}

/// The apps that a file has brought and no longer has.
pub(super) struct Gone {
    pub(super) origin: Origin,
    /// The name that messages use for the file.
    shown: String,
    /// The names of the apps.
    pub(super) apps: Vec<String>,
    /// Whether they are to be removed.
    pub(super) is_pruned: bool,
}

impl Gone {
    /// Finds them, if the command works on all apps of the file.
    ///
    /// # Errors
    /// If they are to be removed, and cannot be.
    pub(super) fn find(
        layout: &Layout,
        input: &Input,
        only: &[String],
        is_pruned: bool,
    ) -> Result<Self, Failure> {
        let origin = Origin::of(input, layout);
        if is_pruned {
            refuse(&origin, input, only)?;
        }
        let mut gone = Self {
            origin,
            shown: input.shown.clone(),
            apps: Vec::new(),
            is_pruned,
        };
        if !only.is_empty() || !matches!(gone.origin, Origin::File(_)) {
            return Ok(gone);
        }
        let (own, report) = ecosystem::parse(&input.shown, &input.text);
        if is_pruned && own.is_empty() && !report.has_errors() {
            let message = format!(
                "{} has no app, so `--prune` would remove all of its apps",
                input.shown
            );
            let help = "remove them by name: `rsgen uninstall APP`";
            return Err(Failure::new(Exit::Invalid, message).help(help));
        }
        let (installed, _) = sources::all(layout);
        for source in installed {
            let is_own = own.iter().any(|app| app.name == source.app);
            if !is_own && gone.has_brought(layout, &source.app)? {
                gone.apps.push(source.app);
            }
        }
        Ok(gone)
    }

    /// Returns whether an app is installed, and this file was the last that has brought it.
    pub(super) fn has_brought(&self, layout: &Layout, app: &str) -> Result<bool, Failure> {
        let Origin::File(path) = &self.origin else {
            return Ok(false);
        };
        let is_installed = sources::find(layout, app).is_some_and(|s| s.path == layout.file(app))
            && generate::pinned(layout, app).is_some();
        if !is_installed {
            return Ok(false);
        }
        match Ledger::read(layout, app) {
            Ok(ledger) => Ok(ledger.origin.as_ref() == Some(path)),
            // Without `--prune`, only a notice is missing.
            Err(_) if !self.is_pruned => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Returns whether an app is on its way out: it keeps no address from the apps of the file.
    pub(super) fn makes_room(&self, app: &str) -> bool {
        self.is_pruned && self.apps.iter().any(|gone| gone == app)
    }

    /// Returns the apps on their way out whose addresses an app needs.
    pub(super) fn in_the_way_of(&self, layout: &Layout, app: &App) -> Vec<App> {
        let leaving = self.apps.iter().filter(|_| self.is_pruned);
        let sources = leaving.filter_map(|name| sources::find(layout, name));
        let apps = sources.filter_map(|source| sources::load(layout, &source).ok());
        apps.map(|(_, other)| other)
            .filter(|other| ecosystem::collision(app, other).is_some())
            .collect()
    }

    /// Returns the next step if an app that is gone has an address that an app of the file needs.
    pub(super) fn help(&self, layout: &Layout, app: &str) -> Option<String> {
        let is_gone = self.apps.iter().any(|gone| gone == app);
        let help = format!(
            "`{}` no longer has `{app}`: run `rsgen install {} --prune` to remove it, or give one of them another address in `listen`",
            self.shown, self.shown
        );
        is_gone.then(|| hint::for_manager(layout.scope, &help))
    }

    /// The same apps, for a command that removes them only after everything else: meanwhile they keep their addresses.
    pub(super) fn staying(&self) -> Self {
        Self {
            origin: self.origin.clone(),
            shown: self.shown.clone(),
            apps: self.apps.clone(),
            is_pruned: false,
        }
    }

    /// Tells of the apps, unless they are removed. `command` is one that removes them.
    pub(super) fn tell(&self, sink: &dyn Sink, layout: &Layout, command: &str) {
        for app in self.apps.iter().filter(|_| !self.is_pruned) {
            let text = format!(
                "`{}` no longer has this app, which keeps running; `rsgen {command} {} --prune` removes it",
                self.shown, self.shown
            );
            let text = hint::for_manager(layout.scope, &text);
            sink.notice(&Notice::Noted(app, &text));
        }
    }
}

/// Refuses `--prune` if it is not said which apps there should be.
fn refuse(origin: &Origin, input: &Input, only: &[String]) -> Result<(), Failure> {
    let usage = |message: &str| Failure::new(Exit::Usage, message);
    if !only.is_empty() {
        return Err(
            usage("`--prune` and `--only` cannot be used together").help(format!(
                "run `rsgen install {} --prune`, which installs all apps of the file, or `rsgen uninstall APP`",
                input.shown
            )),
        );
    }
    let help = "give it the path of the ecosystem file, or remove apps with `rsgen uninstall APP`";
    match origin {
        Origin::File(_) => Ok(()),
        Origin::Installed => Err(usage("`--prune` cannot be used with an installed file, which has one app").help(help)),
        Origin::Nowhere => Err(usage(
            "`--prune` needs an ecosystem file: which apps came from standard input, or from a command line, is not known",
        )
        .help(help)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ecosystem_file_with_all_its_apps_can_lose_one() {
        let layout = Layout::system("/".as_ref());
        let refused = |origin: Option<&str>, only: &[String]| {
            let input = Input {
                shown: "eco.toml".into(),
                text: String::new(),
                folder: "/".into(),
                root: None,
                origin: origin.map(str::to_owned),
            };
            let refused = Gone::find(&layout, &input, only, true).err()?;
            assert_eq!(refused.exit, Exit::Usage);
            assert!(refused.help.is_some());
            Some(refused.message)
        };
        let told = |refused: Option<String>, words: &str| refused.unwrap().contains(words);
        assert_eq!(refused(Some("/srv/eco.toml"), &[]), None);
        assert!(told(
            refused(Some("/srv/eco.toml"), &["web".into()]),
            "`--only`"
        ));
        assert!(told(
            refused(Some("/etc/rsgen/web.toml"), &[]),
            "an installed file"
        ));
        assert!(told(refused(None, &[]), "needs an ecosystem file"));
    }
}
