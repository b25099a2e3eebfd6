//! Informs Node programs that their instance drains or shuts down, by a file in a folder that `units/drain.js` watches.

use std::io;
use std::path::{Path, PathBuf};

use crate::state::{self, Folder};

/// A file that exists as long as this value lives.
pub(super) struct Notice {
    path: PathBuf,
    folder: Folder,
    name: String,
}

impl Notice {
    /// Informs the program that the instance drains. `places` are those of its listeners, see
    /// [`Listener::place`]; none if they are not known.
    ///
    /// # Errors
    /// When the folder cannot be written.
    ///
    /// [`Listener::place`]: super::kinds::Listener::place
    pub(super) fn drain(
        state: &Path,
        app: &str,
        instance: u32,
        places: &[String],
    ) -> io::Result<Self> {
        let path = state::Notice::Drain.path(state, app, instance);
        Self::give(path, &places.join("\n"))
    }

    /// Makes `units/drain.js` emit PM2's message `shutdown` in the program.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn shutdown(state: &Path, app: &str, instance: u32) -> io::Result<Self> {
        Self::give(state::Notice::Shutdown.path(state, app, instance), "")
    }

    fn give(path: PathBuf, text: &str) -> io::Result<Self> {
        let parts = path.parent().zip(path.file_name());
        let (folder, name) = parts.ok_or(io::ErrorKind::InvalidInput)?;
        let folder = Folder::make(folder)?;
        let name = name.to_string_lossy().into_owned();
        // A file that a killed drain has left is removed first, so that the new one is a change that the program notices.
        folder.remove(&name)?;
        // `put` renames a finished file into place: the program opens the file as soon as it notices the name.
        folder.put(&name, text)?;
        Ok(Self { path, folder, name })
    }

    /// Whether a descriptor with this link in /proc/PID/fd leads to the file, which a program keeps open as long as it
    /// has connections.
    pub(super) fn is(&self, link: &str) -> bool {
        Path::new(link) == self.path
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        // A file that could not be removed does no harm for long: the next drain, or the next boot, removes it.
        let _ = self.folder.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_given_anew_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("web");
        let file = folder.path().join("drain/web@0");
        std::mem::forget(Notice::drain(&state, "web", 0, &[]).unwrap());
        let places = ["3000", "/run/web.sock"].map(str::to_owned);
        let notice = Notice::drain(&state, "web", 0, &places).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "3000\n/run/web.sock");
        drop(notice);
        assert!(!file.exists());
    }

    #[test]
    fn the_shutdown_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("web.x");
        let _notice = Notice::shutdown(&state, "web.x", 0).unwrap();
        assert!(folder.path().join("drain/web.x@0.shutdown").exists());
    }
}
