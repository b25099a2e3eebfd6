//! `balance = "even"` and `"source"`: every instance has a listener of its own, and a selector in the kernel gives each new
//! connection to one of them. See docs/balance.md.
//!
//! `rsgen-worker balance …` runs as root: `join` in a unit of its own, to which systemd passes the listener;
//! `on` and `off` as commands of the instance. No command looks at the app, its processes or its descriptors,
//! and each gives up every right except the use of bpf(2) before it changes a map.

pub mod btf;
pub mod census;
mod connections;
mod folder;
mod group;
mod guard;
mod homes;
pub mod queue;
mod selector;
mod share;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use listenfd::ListenFd;

use crate::begin;
use crate::contract::{Act, Balance, canaries};
use crate::log::say;
use crate::peer::stopping;
use crate::state::{Entry, Name};
use crate::sys::{exec, process};
use folder::Folder;
use group::{Door, Group};

/// The pause between two looks at a queue.
const LOOK: Duration = Duration::from_millis(10);
/// The bound on the wait for a queue. The remaining connections are answered by the instance's successor, which has the same listener.
const LONGEST: Duration = Duration::from_secs(1);
/// The oldest kernel in which the selector chooses where the connections of a closing listener go.
const OLDEST: (u32, u32) = (5, 14);
/// The exit status for a command line that no unit has.
const USAGE: u8 = 2;

/// Carries out one command; returns the exit status.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    let balance = match Balance::parse(arguments) {
        Ok(balance) => balance,
        Err(error) => {
            say(3, &error.to_string());
            return USAGE;
        }
    };
    let done = run(&balance).map_err(|error| told(&balance, &error));
    if balance.act != Act::Join {
        note(&balance, done.as_ref().err());
    }
    match done {
        Ok(()) => 0,
        Err(why) => {
            say(4, &format!("balance: {why}"));
            1
        }
    }
}

/// Stores the reason of a failure for `rsgen list`. For [`Act::Join`], systemd itself records that the unit has failed.
fn note(balance: &Balance, why: Option<&String>) {
    let file = Entry::new(&balance.state, Name::Unbalanced(balance.instance));
    // Usually there is no such file. If it cannot be written, only the journal has the reason.
    let _ = match why {
        Some(why) => file.write(why),
        None => file.remove(),
    };
}

fn run(balance: &Balance) -> io::Result<()> {
    let run = balance.state.parent().unwrap_or(&balance.state);
    match balance.act {
        Act::Join => {
            begin::as_worker();
            join(balance, run)
        }
        Act::On => {
            begin::as_root();
            // A new connection to it would wait until the instance has ended.
            if stopping::has_begun(&balance.app, balance.instance) {
                return Ok(());
            }
            let is_extra = is_by_source(balance) && is_canary(balance);
            let change = |group: &Group| group.turn_on(balance.instance, is_extra);
            change_all(balance, run, change).map(drop)
        }
        Act::Off => {
            begin::as_root();
            off(balance, run).map(drop)
        }
        Act::Leave => {
            begin::as_root();
            outwait(&off(balance, run)?, balance.instance)
        }
    }
}

/// Adds the listeners that systemd has passed: one for each address, in the order of the socket unit.
fn join(balance: &Balance, run: &Path) -> io::Result<()> {
    refuse_old_kernel()?;
    let mut passed = ListenFd::from_env();
    let listeners: Vec<RawFd> = (0..passed.len())
        .filter_map(|index| passed.take_raw_fd(index).ok().flatten())
        .collect();
    // The listener was closed meanwhile, or could not be opened. The instance, which needs the listener, reports this.
    if listeners.is_empty() {
        return Ok(());
    }
    let folder = Folder::take(run)?;
    folder.mount()?;
    process::keep_bpf()?;
    let app = folder.of(&balance.app);
    let is_guarded = is_guarded(balance);
    for (number, fd) in listeners.into_iter().enumerate() {
        let place = app.join(number.to_string());
        let listener = exec::passed(fd)?;
        let door = Door {
            instance: balance.instance,
            is_guarded,
        };
        Group::join(&place, door, listener.as_fd(), is_by_source(balance))?;
    }
    Ok(())
}

/// Whether the instance is protected from ordinary users of this host while it is off; logs a line if that is impossible.
fn is_guarded(balance: &Balance) -> bool {
    let is_wanted = balance.guarded == Some(true);
    if is_wanted && !guard::is_possible() {
        let Balance { app, instance, .. } = balance;
        let text = format!(
            "balance: the system manager has no CAP_NET_BIND_SERVICE, so `health` checks {app}@{instance} from an ordinary port; \
             until the instance is on, any user of this host can also connect to its address"
        );
        say(5, &text);
        return false;
    }
    is_wanted
}

fn is_by_source(balance: &Balance) -> bool {
    balance.by_source == Some(true)
}

/// Whether the instance is one that a reload starts beside the others.
fn is_canary(balance: &Balance) -> bool {
    let note = Entry::new(&balance.state, Name::Canary).read();
    note.is_ok_and(|note| canaries::noted(&note).contains(&balance.instance))
}

fn off(balance: &Balance, run: &Path) -> io::Result<Vec<Group>> {
    change_all(balance, run, |group| group.turn_off(balance.instance))
}

/// Changes every group of the app.
fn change_all(
    balance: &Balance,
    run: &Path,
    change: impl Fn(&Group) -> io::Result<()>,
) -> io::Result<Vec<Group>> {
    let folder = Folder::take(run)?;
    process::keep_bpf()?;
    let mut groups = Vec::new();
    for place in places(&folder.of(&balance.app))? {
        let group = Group::open(&place)?;
        change(&group)?;
        if is_by_source(balance) {
            group.find_homes()?;
        }
        groups.push(group);
    }
    Ok(groups)
}

fn places(app: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(app) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        // No instance has joined yet.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// Waits until the program has accepted the connections from before the instance was off.
fn outwait(groups: &[Group], instance: u32) -> io::Result<()> {
    let end = Instant::now() + LONGEST;
    let mut empty = 0;
    // A connection may be between the end of its handshake and the queue at one look, but not at several.
    while empty < 3 && Instant::now() < end {
        let mut waiting = 0;
        for group in groups {
            waiting += group.waiting(instance)?;
        }
        empty = if waiting == 0 { empty + 1 } else { 0 };
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn refuse_old_kernel() -> io::Result<()> {
    let release = nix::sys::utsname::uname()?;
    let release = release.release().to_string_lossy().into_owned();
    if is_new_enough(&release) {
        return Ok(());
    }
    let (major, minor) = OLDEST;
    Err(io::Error::other(format!(
        "Linux {release} is older than {major}.{minor}"
    )))
}

fn is_new_enough(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|n| n.parse::<u32>().ok());
    match (next(), next()) {
        (Some(major), Some(minor)) => (major, minor) >= OLDEST,
        _ => false,
    }
}

fn told(balance: &Balance, error: &io::Error) -> String {
    let Balance {
        act, app, instance, ..
    } = balance;
    let cost = match act {
        Act::Join => "the kernel picks a listener regardless of load",
        Act::On => {
            "it gets no connections while other instances are on; `rsgen reload` tries again"
        }
        Act::Off | Act::Leave => "it may get connections until it has ended",
    };
    format!("{app}@{instance} cannot {act}: {error}; {cost}")
}

/// Whether this kernel, and the rights of this process, suffice for a selector, or for one that uses the
/// client's address: `true` if it can also detect stuck instances. The attempt leaves nothing behind.
///
/// # Errors
/// The reason why they do not.
pub fn probe(by_source: bool) -> io::Result<bool> {
    refuse_old_kernel()?;
    let (_, sees_stuck) = Group::new(Path::new(""))?.load(by_source)?;
    Ok(sees_stuck)
}

/// Removes the files of an app; `run` is `/run/rsgen`.
///
/// # Errors
/// The errors of the file system.
pub fn forget(run: &Path, app: &str) -> io::Result<()> {
    if !run.join(":balance").exists() {
        return Ok(());
    }
    match fs::remove_dir_all(Folder::take(run)?.of(app)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_the_last_failure_is_kept_until_something_works() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("rsgen");
        let balance = Balance {
            act: Act::Off,
            app: "web".into(),
            instance: 1,
            state: run.join("web"),
            by_source: None,
            guarded: None,
        };
        let file = Entry::new(&balance.state, Name::Unbalanced(1));
        let why = told(&balance, &io::ErrorKind::PermissionDenied.into());
        assert!(why.starts_with("web@1 cannot "), "{why}");
        note(&balance, Some(&why));
        assert_eq!(file.read().unwrap(), why);
        note(&balance, None);
        assert!(file.open().is_err());
    }

    #[test]
    fn a_kernel_is_new_enough_from_the_version_on_that_migrates_connections() {
        for (release, is_new) in [
            ("5.14.0", true),
            ("6.1.0-18-amd64", true),
            ("5.13.19", false),
            ("4.19", false),
            ("10.0-rc1", true),
            ("nonsense", false),
        ] {
            assert_eq!(is_new_enough(release), is_new, "{release}");
        }
    }
}
