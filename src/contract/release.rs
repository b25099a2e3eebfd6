//! `rsgen-worker release`: `ExecStartPre=` of an instance whose `cwd` is below a link, and the note that the command leaves. The note
//! keeps an instance that systemd starts again after a crash on the release that the instance was started with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::flags::Words;
use super::{Line, Usage, Value};

/// `rsgen-worker release`: the instance, and the link to note for it. In a template unit `N` and `F` are [`super::Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release<N = u32, F = PathBuf> {
    /// The number of the instance.
    pub instance: N,
    /// The state folder of the app.
    pub state: F,
    /// The link to the deployed release.
    pub link: F,
}

impl<N: Value, F: Value> Release<N, F> {
    /// Returns `release --instance=… --state=… --link=…`.
    #[must_use]
    pub fn line(&self) -> Line {
        let Self {
            instance,
            state,
            link,
        } = self;
        Line::of("release")
            .flag("--instance", instance)
            .flag("--state", state)
            .flag("--link", link)
    }
}

impl Release {
    /// Reads what [`Release::line`] writes.
    ///
    /// # Errors
    /// When units never wrote such a line.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut words = Words::of("release", words)?;
        let release = Self {
            instance: words.flag("--instance")?,
            state: words.flag("--state")?,
            link: words.flag("--link")?,
        };
        words.end()?;
        Ok(release)
    }

    /// Returns whether the unit belongs to the system manager, as the command line says, which the app cannot change.
    #[must_use]
    pub fn is_systems(&self) -> bool {
        self.state.starts_with("/run/rsgen")
    }
}

/// The release that an instance was started with: the link, and the folder that the link led to at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedWith {
    /// The link to the deployed release.
    pub link: PathBuf,
    /// The folder of the release, without links.
    pub folder: PathBuf,
}

impl StartedWith {
    /// Returns the text of the note; `None` for paths that a line cannot hold.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let line = |path: &Path| {
            let path = path.to_str()?;
            (!path.contains('\n')).then(|| path.to_owned())
        };
        Some(format!("{}\n{}\n", line(&self.link)?, line(&self.folder)?))
    }

    /// Reads such a note; `None` if the text is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (link, folder) = text.strip_suffix('\n')?.split_once('\n')?;
        let path = |line: &str| {
            let path = PathBuf::from(line);
            (path.is_absolute() && !line.contains('\n')).then_some(path)
        };
        Some(Self {
            link: path(link)?,
            folder: path(folder)?,
        })
    }

    /// Returns a path in the folder instead of one through the link; `None` for a path elsewhere.
    #[must_use]
    pub fn within(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.link).ok()?;
        Some(if below.as_os_str().is_empty() {
            self.folder.clone()
        } else {
            self.folder.join(below)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let note = StartedWith {
            link: "/srv/app/current".into(),
            folder: "/srv/app/releases/7 b".into(),
        };
        assert_eq!(
            StartedWith::parse(&note.text().unwrap()),
            Some(note.clone())
        );
        let broken = StartedWith {
            folder: "/srv/a\nb".into(),
            ..note
        };
        assert_eq!(broken.text(), None);
        for text in ["", "/a\n", "/a\n/b", "a\n/b\n", "/a\n/b\n/c\n"] {
            assert_eq!(StartedWith::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_paths_through_the_link_lead_to_the_release() {
        let note = StartedWith {
            link: "/srv/app/current".into(),
            folder: "/srv/app/releases/7".into(),
        };
        let within = |path: &str| note.within(Path::new(path));
        assert_eq!(
            within("/srv/app/current"),
            Some("/srv/app/releases/7".into())
        );
        assert_eq!(
            within("/srv/app/current/bin/x"),
            Some("/srv/app/releases/7/bin/x".into())
        );
        for path in ["/srv/app/current2/x", "/usr/bin/node", "current"] {
            assert_eq!(within(path), None, "{path}");
        }
    }

    #[test]
    fn the_folder_of_the_state_tells_the_manager() {
        let of = |state: &str| Release {
            instance: 0,
            state: state.into(),
            link: "/srv/app/current".into(),
        };
        assert!(of("/run/rsgen/web").is_systems());
        assert!(!of("/run/user/1000/rsgen/web").is_systems());
    }
}
