//! The lines at the beginning of a unit that say where the unit comes from.

use std::path::Path;

use super::Origin;
use crate::layout::Scope;

/// The facts that these lines contain.
#[derive(Clone)]
pub(super) struct Header {
    /// `SourcePath=`.
    pub(super) source: Option<String>,
    /// The file that the unit is made from, and the command that applies a change of the file.
    pub(super) file: Option<(String, String)>,
}

impl Header {
    /// For a unit that no file describes.
    pub(super) fn none() -> Self {
        Self {
            source: None,
            file: None,
        }
    }

    pub(super) fn new(app: &str, origin: Origin<'_>, scope: Scope) -> Self {
        let show = |path: &Path| path.to_string_lossy().into_owned();
        let command = match scope {
            Scope::System => "rsgen reload",
            Scope::User => "rsgen --user reload",
        };
        Self {
            source: origin.source().map(show),
            file: origin
                .file()
                .map(|file| (show(file), format!("{command} {app}"))),
        }
    }
}
