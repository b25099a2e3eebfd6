//! The release of an instance whose `cwd` is below a link: noted when the instance is started, and kept when
//! systemd starts the instance again after a crash, even if the link points elsewhere by then.
//!
//! The note is written by a command that runs as root, which only resolves the link. The worker, which has the rights
//! of the app, follows the note. So a link that the app controls decides only which code the app itself runs.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::process::fchdir;

use super::Error;
use crate::begin;
use crate::contract::{Release, Run, StartedWith};
use crate::log::say;
use crate::state::{Entry, Name};
use crate::sys::process;

/// Notes the release that an instance is started with, unless there is a note. A command that starts an instance on purpose
/// removes the note first. Returns the exit status, which systemd ignores: without a note the instance starts through the link.
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
    // With a dangling link the start fails, since systemd cannot change to the folder.
    let Some(folder) = resolve(&release.link) else {
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
    if let Err(fault) = enter(&folder) {
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
            "restarted in {}, as before; {shown} now points elsewhere, and `rsgen reload {}` follows it",
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

/// Returns the folder that a link leads to, without links. A folder behind a link of /proc, such as /proc/1/cwd,
/// is not a release: everybody may read the note, and the app itself could not see where such a link leads.
fn resolve(link: &Path) -> Option<PathBuf> {
    match open(link) {
        Err(Errno::NOSYS | Errno::PERM) => fs::canonicalize(link).ok(),
        opened => {
            let path = format!("/proc/self/fd/{}", opened.ok()?.as_raw_fd());
            // Without /proc there are no such links.
            fs::read_link(path).or_else(|_| fs::canonicalize(link)).ok()
        }
    }
}

/// Changes to a folder without links. The app may have replaced the folder by a link, and with
/// `CAP_SYS_PTRACE` one of /proc would lead to folders that the app may not enter.
fn enter(folder: &Path) -> io::Result<()> {
    match open(folder) {
        // Also the answer of a filter, such as that of `RestrictSUIDSGID=`.
        Err(Errno::NOSYS | Errno::PERM) => enter_plainly(folder, process::may_trace_others()),
        opened => Ok(fchdir(opened?)?),
    }
}

/// Changes to a folder where openat2(2) is missing. A link is noticed only by the folder that it has led to.
fn enter_plainly(folder: &Path, may_trace_others: bool) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let before = rustix::fs::open(".", flags, Mode::empty())?;
    std::env::set_current_dir(folder)?;
    if may_trace_others && std::env::current_dir().ok().as_deref() != Some(folder) {
        fchdir(before)?;
        return Err(Errno::LOOP.into());
    }
    Ok(())
}

/// Opens a folder, following no link of /proc.
fn open(folder: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_MAGICLINKS;
    openat2(CWD, folder, flags, Mode::empty(), resolve)
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
        // Without a slash at its end.
        let same = folder(&note, Some(&current));
        assert_eq!(same.as_os_str(), note.folder.as_os_str());
    }

    #[test]
    fn a_link_of_proc_leads_to_no_release() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        fs::create_dir(path.join("1")).unwrap();
        std::os::unix::fs::symlink("1", path.join("current")).unwrap();
        std::os::unix::fs::symlink("/proc/self/cwd", path.join("planted")).unwrap();
        assert_eq!(resolve(&path.join("current")), Some(path.join("1")));
        for absent in ["planted", "gone"] {
            assert_eq!(resolve(&path.join(absent)), None, "{absent}");
        }
        let here = std::env::current_dir().unwrap();
        let planted = path.join("planted");
        for fault in [enter(&planted), enter_plainly(&planted, true)] {
            assert_eq!(fault.unwrap_err().raw_os_error(), Some(libc::ELOOP));
        }
        assert_eq!(std::env::current_dir().unwrap(), here);
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
