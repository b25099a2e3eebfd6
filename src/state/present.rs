//! The files of an app's state that exist, by one look at its folder.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::{Folder, Name};

/// The names in the folder of an app's state, for callers that would open many files there that usually do not exist.
#[derive(Debug, Clone)]
pub struct Present(Option<HashSet<String>>);

impl Present {
    /// Looks at the folder once.
    #[must_use]
    pub fn look(folder: &Path) -> Self {
        match Folder::look(folder).and_then(|folder| folder.names()) {
            Ok(names) => Self(Some(names.into_iter().collect())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self(Some(HashSet::new())),
            // A folder that cannot be listed may have any file.
            Err(_) => Self(None),
        }
    }

    /// Whether the file may exist.
    #[must_use]
    pub fn has(&self, name: Name) -> bool {
        self.0
            .as_ref()
            .is_none_or(|names| names.contains(&name.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Entry;

    #[test]
    fn one_look_tells_which_files_are_there() {
        let run = tempfile::tempdir().unwrap();
        let state = |app: &str| run.path().join("rsgen").join(app);
        let deaths = Name::Deaths(3);
        Entry::new(&state("web"), deaths).write("1").unwrap();
        let present = Present::look(&state("web"));
        assert!(present.has(deaths) && !present.has(Name::Deaths(4)));
        assert!(!Present::look(&state("other")).has(deaths));
    }
}
