//! The results of a deployment: what was done for each app, and what a user reads of it.

use serde::Serialize;

use super::apply::{JsonChange, Prepared};
use super::hint;
use crate::layout::Scope;
use crate::output::{Failure, Shown, Style};
use crate::plan::diff::Change;
use crate::visible::Visible;

/// The step that brings the processes of an app in line with its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The instances run what the files say already.
    Nothing,
    /// The app is not active.
    Start,
    /// The app is active, and some of its instances are down.
    Mend {
        /// Whether more instances run than the app is to have.
        has_surplus: bool,
    },
    /// The instances run another version, or some of them may do so.
    Reload,
    /// The timer of the app was stopped and has to run.
    Arm,
    /// More instances run than the app is to have.
    Trim,
}

/// The result of a deployment, or with `--dry-run` the expected one, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// Whether a file or a process has changed.
    pub(super) changed: bool,
    dry_run: bool,
    changes: Vec<JsonChange>,
    pub(super) apps: Vec<String>,
    /// The apps that were not active and have been started, and those of which instances were down.
    pub(super) started: Vec<String>,
    /// The apps whose instances were replaced one by one.
    pub(super) reloaded: Vec<String>,
    /// The apps that had more instances than they are to have, which were stopped.
    pub(super) trimmed: Vec<String>,
    /// The apps of a dry run whose address is not known before their program is started, nor what their units would be.
    pub(super) unlocated: Vec<String>,
    /// The apps that an earlier install of the file has brought, and that it no longer has.
    pub(super) gone: Vec<String>,
    /// The apps of `gone` that were removed.
    pub(super) pruned: Vec<String>,
    /// The steps by which apps get to other addresses while they serve.
    #[serde(skip)]
    crossings: Vec<String>,
    /// The apps whose timer was started, and nothing else.
    #[serde(skip)]
    armed: Vec<String>,
    /// The apps of `started` that were active.
    #[serde(skip)]
    mended: Vec<String>,
    /// The long-running apps, which need a reload to run new code.
    #[serde(skip)]
    lasting: Vec<String>,
    #[serde(skip)]
    scope: Scope,
}

impl Action {
    /// Returns the word for an action that was done.
    pub(super) const fn word(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Start | Self::Mend { .. } => Some("started"),
            Self::Reload => Some("reloaded"),
            Self::Arm => Some("timer started"),
            Self::Trim => Some("surplus instances stopped"),
        }
    }
}

impl Outcome {
    pub(super) fn new(
        prepared: &[Prepared],
        actions: &[Action],
        dry_run: bool,
        scope: Scope,
    ) -> Self {
        let names = |is_it: fn(Action) -> bool| {
            let with = prepared.iter().zip(actions).filter(|(_, a)| is_it(**a));
            with.map(|(p, _)| p.app.clone()).collect()
        };
        let changes = prepared.iter().flat_map(Prepared::all_changes);
        let crossings = prepared.iter().filter_map(|p| {
            let crossing = p.crossing.as_ref()?;
            Some(crossing.foreseen(&p.app))
        });
        Self {
            changed: prepared.iter().any(|p| p.all_changes().next().is_some())
                || actions.iter().any(|a| *a != Action::Nothing),
            dry_run,
            changes: changes.map(|c| JsonChange::new(c, dry_run)).collect(),
            apps: prepared.iter().map(|p| p.app.clone()).collect(),
            started: names(|a| matches!(a, Action::Start | Action::Mend { .. })),
            reloaded: names(|a| a == Action::Reload),
            trimmed: names(|a| matches!(a, Action::Trim | Action::Mend { has_surplus: true })),
            unlocated: Vec::new(),
            gone: Vec::new(),
            pruned: Vec::new(),
            crossings: crossings.collect(),
            armed: names(|a| a == Action::Arm),
            mended: names(|a| matches!(a, Action::Mend { .. })),
            lasting: prepared
                .iter()
                .filter(|p| !p.is_job)
                .map(|p| p.app.clone())
                .collect(),
            scope,
        }
    }

    /// Adds the apps that the file no longer has, and the changes that remove some of them.
    pub(super) fn add_gone(&mut self, gone: &[String], pruned: Vec<String>, changes: &[Change]) {
        self.changed |= !pruned.is_empty();
        self.changes.extend(JsonChange::each(changes, self.dry_run));
        self.gone = gone.to_vec();
        self.pruned = pruned;
    }
}

impl Shown for Outcome {
    fn shown(&self, _: Style) -> Option<Visible> {
        if !self.changed {
            let apps = self.lasting.join(" ");
            let text = match apps.as_str() {
                // A job runs new code at its next run anyway.
                "" => "nothing to do".to_owned(),
                apps => format!("nothing to do; for new code, run `rsgen reload {apps}`"),
            };
            return Some(hint::for_manager(self.scope, &text).into());
        }
        // A notice has reported each step as it was done.
        if !self.dry_run {
            return None;
        }
        let started = self.started.iter().map(|app| {
            if self.mended.contains(app) {
                format!("{app}: would start the instances that are down")
            } else {
                format!("{app}: would start")
            }
        });
        let reloaded = self
            .reloaded
            .iter()
            .map(|app| format!("{app}: would reload"));
        let armed = self
            .armed
            .iter()
            .map(|app| format!("{app}: would start the timer"));
        let trimmed = self.trimmed.iter();
        let trimmed =
            trimmed.map(|app| format!("{app}: would stop the instances beyond its number"));
        let pruned = self.pruned.iter();
        let pruned = pruned.map(|app| format!("{app}: would uninstall"));
        let unlocated = self.unlocated.iter().map(|app| {
            format!("{app}: leaves `listen` out; the install starts its program once to find where it listens")
        });
        let lines: Vec<String> = unlocated
            .chain(started)
            .chain(reloaded)
            .chain(self.crossings.iter().cloned())
            .chain(armed)
            .chain(trimmed)
            .chain(pruned)
            .collect();
        (!lines.is_empty()).then(|| Visible::lines(&lines.join("\n")))
    }
}

/// The results of a deployment, one for each app, in the order of the apps.
pub(super) struct Deployed(pub(super) Vec<Result<Action, Failure>>);

impl Deployed {
    pub(super) fn is_any_failed(&self) -> bool {
        self.0.iter().any(Result::is_err)
    }

    /// Further apps failed before anything was deployed for them.
    pub(super) fn add(&mut self, failures: Vec<Failure>) {
        self.0.extend(failures.into_iter().map(Err));
    }

    /// The app at `index` was deployed again, alone.
    pub(super) fn replace(&mut self, index: usize, mut again: Self) {
        if let (Some(before), Some(now)) = (self.0.get_mut(index), again.0.pop()) {
            *before = now;
        }
    }

    /// The app at `index` has failed for this reason in the end.
    pub(super) fn fail(&mut self, index: usize, failure: Failure) {
        if let Some(end) = self.0.get_mut(index) {
            *end = Err(failure);
        }
    }

    /// Returns the overall result, which is a failure if any app has failed.
    pub(super) fn outcome(self, prepared: &[Prepared], scope: Scope) -> Result<Outcome, Failure> {
        let mut actions = Vec::new();
        let mut failures = Vec::new();
        let count = self.0.len();
        for end in self.0 {
            match end {
                Ok(action) => actions.push(action),
                Err(failure) => failures.push(failure),
            }
        }
        match Failure::of_several(failures, count) {
            None => Ok(Outcome::new(prepared, &actions, false, scope)),
            Some(failure) => Err(failure),
        }
    }
}
