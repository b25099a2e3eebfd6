//! The result of `rsgen scale`, regardless of which program has done the work.

use serde::{Deserialize, Serialize};

use super::apply::JsonChange;
use crate::generate;
use crate::layout::Layout;
use crate::output::{Exit, Failure, Shown, Style, counted};
use crate::visible::Visible;

/// The change that was done, or with `--dry-run` would be, as scripts read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Scaled {
    /// Whether a file or a process has changed.
    pub(super) changed: bool,
    pub(super) dry_run: bool,
    pub(super) app: String,
    /// The number of instances that the app has now.
    pub(super) instances: u32,
    /// The number of instances that the app had.
    pub(super) before: u32,
    pub(super) changes: Vec<JsonChange>,
    pub(super) started: Vec<String>,
    pub(super) stopped: Vec<String>,
    #[serde(skip)]
    pub(super) is_up: bool,
}

/// Why an app was not scaled.
pub(super) enum Refused {
    /// The app has this number of instances by now, and the number that was asked for was compared with another.
    Moved(u32),
    /// Any other reason.
    Failed(Box<Failure>),
}

impl Refused {
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Moved(now) => Failure::failed(format!(
                "somebody else has scaled the app meanwhile: it has {}",
                counted(now)
            ))
            .help("run it again"),
            Self::Failed(failure) => *failure,
        }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl Shown for Scaled {
    fn shown(&self, _: Style) -> Option<Visible> {
        let Self { app, .. } = self;
        let number = counted(self.instances);
        let text = if !self.changed {
            format!("nothing to do: {app} has {number}")
        } else if self.dry_run {
            let steps = [("start", &self.started), ("stop", &self.stopped)];
            let steps = steps.into_iter().filter(|(_, of)| !of.is_empty());
            let lines = steps.map(|(verb, of)| format!("{app}: would {verb} {}", of.join(", ")));
            lines.collect::<Vec<_>>().join("\n")
        } else if self.is_up {
            format!("{app}: {number}")
        } else {
            format!("{app}: {number} from its next start on; it is not active")
        };
        (!text.is_empty()).then(|| Visible::lines(&text))
    }
}

/// Refuses a job.
pub(super) fn refuse_job(layout: &Layout, app: &str) -> Result<(), Failure> {
    if !generate::is_known_job(layout, app) {
        return Ok(());
    }
    let file = layout.file(app);
    let message = format!("`{app}` is a job, and its instances run only when it does");
    Err(Failure::new(Exit::Usage, message).help(format!(
        "write `instances` into its file, and run `rsgen install {}`",
        file.display()
    )))
}
