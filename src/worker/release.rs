//! The release of an instance whose `cwd` is below a link: noted when the instance is started, and kept when systemd starts the
//! instance again after a crash, though the link may lead elsewhere by then.
//!
//! The note is written by a command that runs as root, which only resolves the link. The worker, which has the rights of the app,
//! follows the note. So a link that the app controls decides nothing but what the app itself runs.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use crate::begin;
use crate::contract::{Release, Run, StartedWith};
use crate::log::say;
use crate::state::{Entry, Name};

/// Notes the release that an instance is started with, unless there is a note. Whoever starts an instance on purpose removes it
/// first. Returns the exit status, which systemd ignores: without a note the instance starts through the link.
#[must_use]
pub fn note(arguments: impl Iterator<Item = OsString>) -> u8 {
    let release = match Release::parse(arguments) {
        Ok(release) => release,
        Err(fault) => {
            say(3, &fault.to_string());
            return Error::from(fault).status();
        }
    };
    if release.is_systems() {
        begin::as_root();
    } else {
        begin::as_user();
    }
    let entry = Entry::new(&release.state, Name::Release(release.instance));
    let noted = entry.read().ok();
    let noted = noted.as_deref().and_then(StartedWith::parse);
    // A note about another link is from before the app was moved.
    if noted.is_some_and(|noted| noted.link == release.link) {
        return 0;
    }
    // A link that leads nowhere fails the start, as systemd cannot change to the folder.
    let Ok(folder) = fs::canonicalize(&release.link) else {
        return 0;
    };
    let link = release.link;
    let text = StartedWith { link, folder }.text();
    match text.map(|text| entry.write(&text)) {
        Some(Err(fault)) => {
            let path = entry.path();
            let path = path.display();
            say(
                4,
                &format!("{path}: {fault}; after a crash the link decides which release runs"),
            );
            1
        }
        Some(Ok(())) | None => 0,
    }
}

/// Returns the command line in the release that the instance was started with, and changes to the folder there. As long as the link
/// leads to that release, and without a note, everything stays as it is.
pub(super) fn keep(run: &Run) -> Cow<'_, Run> {
    let note = Entry::new(&run.state, Name::Release(run.instance)).read();
    let Some(note) = note.ok().as_deref().and_then(StartedWith::parse) else {
        return Cow::Borrowed(run);
    };
    let now = fs::canonicalize(&note.link).ok();
    if now.as_ref() == Some(&note.folder) {
        return Cow::Borrowed(run);
    }
    let folder = folder(&note, now.as_deref());
    let shown = note.link.display();
    if let Err(fault) = std::env::set_current_dir(&folder) {
        let folder = folder.display();
        say(
            4,
            &format!(
                "{folder}, in the release that this instance was started with, cannot be used: {fault}; it is started in {shown}"
            ),
        );
        return Cow::Borrowed(run);
    }
    say(
        5,
        &format!(
            "started again in {}, as before; {shown} leads elsewhere by now, and `rsgen reload {}` goes there",
            note.folder.display(),
            run.app
        ),
    );
    let words = run.program.iter().map(|word| within(&note, word));
    Cow::Owned(Run {
        program: words.collect(),
        env_files: run
            .env_files
            .iter()
            .map(|file| note.within(file).unwrap_or_else(|| file.clone()))
            .collect(),
        ..run.clone()
    })
}

/// The folder in the noted release that corresponds to the present one, which systemd has changed to through the link.
fn folder(note: &StartedWith, now: Option<&Path>) -> PathBuf {
    let current = std::env::current_dir().ok();
    let below = current.as_deref().zip(now);
    let below = below.and_then(|(current, now)| current.strip_prefix(now).ok());
    match below {
        Some(below) if !below.as_os_str().is_empty() => note.folder.join(below),
        _ => note.folder.clone(),
    }
}

fn within(note: &StartedWith, word: &OsStr) -> OsString {
    let path = note.within(Path::new(word));
    path.map_or_else(|| word.to_owned(), PathBuf::into_os_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_below_the_link_is_found_in_the_other_release() {
        let note = StartedWith {
            link: "/srv/app/current".into(),
            folder: "/srv/app/releases/7".into(),
        };
        // The present folder is that of the test, which is in no release.
        assert_eq!(folder(&note, Some(Path::new("/nowhere"))), note.folder);
        assert_eq!(folder(&note, None), note.folder);
        let current = std::env::current_dir().unwrap();
        let (above, name) = (current.parent().unwrap(), current.file_name().unwrap());
        assert_eq!(folder(&note, Some(above)), note.folder.join(name));
    }

    #[test]
    fn words_through_the_link_change_and_others_do_not() {
        let note = StartedWith {
            link: "/srv/app/current".into(),
            folder: "/srv/app/releases/7".into(),
        };
        for (word, expected) in [
            ("/srv/app/current/x.js", "/srv/app/releases/7/x.js"),
            ("--root=/srv/app/current", "--root=/srv/app/current"),
            ("/usr/bin/node", "/usr/bin/node"),
        ] {
            assert_eq!(within(&note, OsStr::new(word)), OsString::from(expected));
        }
    }
}
