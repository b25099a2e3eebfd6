//! Files and folders that other users may have planted do no harm.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use proptest::prelude::*;

use super::*;

/// The UID of a user who is neither root nor the user that runs the tests.
const STRANGER: u32 = 65534;
const SECRET: &str = "root's own";

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("run/rsgen/web")).unwrap();
        fs::write(folder.path().join("victim"), SECRET).unwrap();
        Self { folder }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn state(&self) -> PathBuf {
        self.path("run/rsgen/web")
    }

    fn entry(&self, name: Name) -> Entry {
        Entry::new(&self.state(), name)
    }

    fn plant(&self, plant: Plant, path: &Path) {
        match plant {
            Plant::Link => symlink(self.path("victim"), path).unwrap(),
            Plant::LinkToNothing => symlink(self.path("nothing"), path).unwrap(),
            Plant::HardLink => fs::hard_link(self.path("victim"), path).unwrap(),
            Plant::Fifo => mkfifo(path, Mode::from_bits_truncate(0o666)).unwrap(),
            Plant::Folder => {
                fs::create_dir_all(path.join("deep/er")).unwrap();
                fs::write(path.join("deep/file"), "").unwrap();
            }
            Plant::Socket => drop(UnixListener::bind(path).unwrap()),
            Plant::OfAnother => {
                fs::write(path, "planted").unwrap();
                chown(path, Some(STRANGER), None).unwrap();
            }
            Plant::OthersWrite => {
                fs::write(path, "planted").unwrap();
                chmod(path, 0o666);
            }
        }
    }

    fn assert_unharmed(&self) {
        assert_eq!(fs::read_to_string(self.path("victim")).unwrap(), SECRET);
        assert!(!self.path("nothing").exists());
    }
}

#[derive(Debug, Clone, Copy)]
enum Plant {
    Link,
    LinkToNothing,
    HardLink,
    Fifo,
    Folder,
    Socket,
    /// Only root can make one.
    OfAnother,
    /// A file with this mode is harmless below a user's own manager, so only root's tests plant it.
    OthersWrite,
}

fn plants() -> Vec<Plant> {
    let mut plants = vec![
        Plant::Link,
        Plant::LinkToNothing,
        Plant::HardLink,
        Plant::Fifo,
        Plant::Folder,
        Plant::Socket,
    ];
    if geteuid().is_root() {
        plants.extend([Plant::OfAnother, Plant::OthersWrite]);
    }
    plants
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// All names under which something may be planted, including the temporary names of older versions.
fn names() -> Vec<String> {
    let names = [
        Name::Lock,
        Name::Walk,
        Name::Done,
        Name::Canary,
        Name::Asked,
        Name::AskedBy,
        Name::Scaling,
        Name::StopReason,
        Name::Failures,
        Name::Good,
        Name::Deaths(0),
        Name::Sockets(0),
        Name::Helper(0),
    ];
    let older = ["0.deaths-new", "walk.jsonl-new"].map(String::from);
    names
        .map(|name| name.to_string())
        .into_iter()
        .chain(older)
        .collect()
}

#[test]
fn what_was_planted_is_not_there_for_a_reader_and_replaced_by_a_writer() {
    for plant in plants() {
        let host = Host::new();
        let deaths = host.entry(Name::Deaths(0));
        host.plant(plant, &deaths.path());
        let read = deaths.read().unwrap_err();
        assert_eq!(read.kind(), ErrorKind::NotFound, "{plant:?}");
        deaths.write("one").unwrap();
        assert_eq!(deaths.read().unwrap(), "one", "{plant:?}");
        assert_eq!(mode(&deaths.path()), 0o644);
        deaths.remove().unwrap();
        host.plant(plant, &deaths.path());
        deaths.remove().unwrap();
        assert!(deaths.path().symlink_metadata().is_err(), "{plant:?}");
        assert_eq!(fs::read_dir(host.state()).unwrap().count(), 0, "{plant:?}");
        host.assert_unharmed();
    }
}

#[test]
fn what_was_planted_in_the_place_of_a_folder_is_replaced() {
    for (place, plant) in ["run/rsgen", "run/rsgen/web"]
        .into_iter()
        .flat_map(|place| plants().into_iter().map(move |plant| (place, plant)))
        .filter(|(_, plant)| !matches!(plant, Plant::Folder))
    {
        let host = Host::new();
        fs::remove_dir_all(host.path(place)).unwrap();
        host.plant(plant, &host.path(place));
        let walk = host.entry(Name::Walk);
        assert!(walk.read().is_err(), "{plant:?}");
        walk.write("{}").unwrap();
        assert_eq!(walk.read().unwrap(), "{}", "{plant:?}");
        assert_eq!(mode(&host.path(place)), 0o755);
        host.assert_unharmed();
    }
}

#[test]
fn a_link_to_another_folder_is_not_followed() {
    let host = Host::new();
    fs::create_dir(host.path("elsewhere")).unwrap();
    fs::write(host.path("elsewhere/stop.reason"), "planted").unwrap();
    fs::remove_dir(host.state()).unwrap();
    symlink(host.path("elsewhere"), host.state()).unwrap();
    let stop_reason = host.entry(Name::StopReason);
    assert!(stop_reason.read().is_err());
    stop_reason.write("idle").unwrap();
    let there = fs::read_to_string(host.path("elsewhere/stop.reason")).unwrap();
    assert_eq!(
        (stop_reason.read().unwrap().as_str(), there.as_str()),
        ("idle", "planted")
    );
    Folder::discard(&host.state()).unwrap();
    symlink(host.path("elsewhere"), host.state()).unwrap();
    Folder::discard(&host.state()).unwrap();
    assert!(host.path("elsewhere/stop.reason").exists() && !host.state().exists());
}

#[test]
fn a_folder_that_others_could_write_is_corrected_before_it_is_trusted() {
    if !geteuid().is_root() {
        return;
    }
    let host = Host::new();
    for place in ["run/rsgen", "run/rsgen/web"] {
        chmod(&host.path(place), 0o777);
    }
    let (own, theirs) = (host.entry(Name::Deaths(0)), host.entry(Name::Deaths(1)));
    fs::write(own.path(), "own").unwrap();
    chmod(&own.path(), 0o600);
    host.plant(Plant::OfAnother, &theirs.path());
    host.plant(Plant::OfAnother, &host.path("run/rsgen/evil.toml"));
    fs::write(host.path("run/rsgen/good.toml"), "").unwrap();
    assert_eq!(own.read().unwrap_err().kind(), ErrorKind::NotFound);
    host.entry(Name::Canary).write("4").unwrap();
    assert_eq!(own.read().unwrap(), "own");
    assert!(theirs.path().symlink_metadata().is_err());
    assert!(
        !host.path("run/rsgen/evil.toml").exists() && host.path("run/rsgen/good.toml").exists()
    );
    let modes = ["run/rsgen", "run/rsgen/web", "run/rsgen/web/0.deaths"];
    assert_eq!(
        modes.map(|path| mode(&host.path(path))),
        [0o755, 0o755, 0o644]
    );
}

#[test]
fn a_folder_of_another_user_is_replaced() {
    if !geteuid().is_root() {
        return;
    }
    let host = Host::new();
    fs::write(host.entry(Name::Canary).path(), "7").unwrap();
    chown(host.state(), Some(STRANGER), None).unwrap();
    assert!(host.entry(Name::Canary).read().is_err());
    host.entry(Name::StopReason).write("idle").unwrap();
    assert!(host.entry(Name::Canary).read().is_err());
    assert_eq!(fs::metadata(host.state()).unwrap().uid(), 0);
}

/// A folder like /tmp is shared on purpose, so its mode must not be corrected.
#[test]
fn a_folder_for_everybody_is_left_as_it_is() {
    let host = Host::new();
    chmod(&host.path("run/rsgen"), 0o1777);
    let refused = host.entry(Name::Canary).write("4").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert_eq!(mode(&host.path("run/rsgen")), 0o1777);
}

#[test]
fn a_file_that_exceeds_its_limit_is_not_read() {
    let host = Host::new();
    let deaths = host.entry(Name::Deaths(0));
    deaths.write(&"a".repeat(64 << 10)).unwrap();
    assert_eq!(deaths.read().unwrap().len(), 64 << 10);
    deaths.write(&"a".repeat((64 << 10) + 1)).unwrap();
    assert_eq!(deaths.read().unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[test]
fn an_abandoned_temporary_file_is_cleared_away_and_a_young_one_is_not() {
    let host = Host::new();
    for (name, age) in [(".0.deaths.1-0-new", 120), (".0.deaths.2-0-new", 0)] {
        let path = host.state().join(name);
        fs::write(&path, "").unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(then)
            .unwrap();
    }
    host.entry(Name::Canary).remove().unwrap();
    let left = fs::read_dir(host.state()).unwrap().flatten();
    let left: Vec<_> = left.map(|e| e.file_name()).collect();
    assert_eq!(left, [".0.deaths.2-0-new"]);
}

#[test]
fn the_lock_is_held_once() {
    let host = Host::new();
    let held = Lock::take(&host.state()).unwrap();
    assert!(held.is_some());
    assert!(Lock::take(&host.state()).unwrap().is_none());
    assert_eq!(mode(&host.entry(Name::Lock).path()), 0o600);
    // Writing another file sweeps the folder, and must not touch the lock.
    host.entry(Name::Deaths(0)).write("1").unwrap();
    assert!(Lock::take(&host.state()).unwrap().is_none());
    drop(held);
    assert!(Lock::take(&host.state()).unwrap().is_some());
}

#[test]
fn a_lock_that_others_could_open_is_replaced_whoever_holds_it() {
    for plant in plants() {
        let host = Host::new();
        host.plant(plant, &host.entry(Name::Lock).path());
        assert!(Lock::take(&host.state()).unwrap().is_some(), "{plant:?}");
        host.assert_unharmed();
    }
    let host = Host::new();
    let lock = host.entry(Name::Lock).path();
    fs::write(&lock, "").unwrap();
    chmod(&lock, 0o644);
    let theirs = fs::File::open(&lock).unwrap();
    let _theirs = Flock::lock(theirs, FlockArg::LockExclusiveNonblock).unwrap();
    let ours = Lock::take(&host.state()).unwrap();
    assert!(ours.is_some());
    assert_eq!(mode(&lock), 0o600);
    assert!(Lock::take(&host.state()).unwrap().is_none());
}

#[test]
fn deaths_are_forgotten_and_nothing_else() {
    let host = Host::new();
    for name in [Name::Deaths(0), Name::Deaths(1), Name::Failures, Name::Walk] {
        host.entry(name).write("").unwrap();
    }
    let is_there = |name| host.entry(name).open().is_ok();
    forget_deaths(&host.state(), Some(1));
    assert!(is_there(Name::Deaths(0)) && !is_there(Name::Deaths(1)) && is_there(Name::Failures));
    forget_deaths(&host.state(), None);
    assert!(!is_there(Name::Deaths(0)) && !is_there(Name::Failures) && is_there(Name::Walk));
    fs::remove_dir_all(host.path("run/rsgen")).unwrap();
    forget_deaths(&host.state(), None);
    assert!(
        !host.path("run/rsgen").exists(),
        "forgetting creates no folder"
    );
}

#[test]
fn paths_for_calls_without_descriptors_lead_into_the_folder() {
    let host = Host::new();
    let folder = Folder::make(&host.state()).unwrap();
    let listener = UnixListener::bind(folder.path_of(Name::Helper(0))).unwrap();
    folder.open_to(Name::Helper(0), false).unwrap();
    assert_eq!(mode(&host.state().join("0.helper")), 0o600);
    let seen = Folder::look(&host.state()).unwrap();
    let _client = std::os::unix::net::UnixStream::connect(seen.path_of(Name::Helper(0))).unwrap();
    assert!(listener.accept().unwrap().0.as_raw_fd() > 0);
}

#[test]
fn the_folders_are_those_that_tmpfiles_makes() {
    let units = include_str!("../../units/rsgen.conf");
    let folders: Vec<&str> = units.lines().filter(|l| l.starts_with("d ")).collect();
    let made = [Path::new("/run/rsgen"), &drain(Path::new("/run/rsgen/web"))]
        .map(|path| format!("d {} 0755 root root -", path.display()));
    assert_eq!(folders, made);
    let host = Host::new();
    let notices = drain(&host.state());
    Folder::make(&notices).unwrap();
    assert_eq!(mode(&notices), 0o755);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// With anything planted under any name, in a folder of any mode, the text that was written is read back,
    /// everything belongs to the writer, and nothing outside the folder has changed.
    #[test]
    fn planted_files_never_do_harm(
        planted in prop::collection::btree_map(
            prop::sample::select(names()), prop::sample::select(plants()), 0..8),
        open in prop::sample::select(vec![0o700, 0o755, 0o775, 0o777]),
    ) {
        let host = Host::new();
        for (name, plant) in &planted {
            host.plant(*plant, &host.state().join(name));
        }
        chmod(&host.state(), open);
        for name in [Name::Deaths(0), Name::Walk, Name::Good, Name::StopReason] {
            host.entry(name).write("ours").unwrap();
            prop_assert_eq!(host.entry(name).read().unwrap(), "ours");
        }
        prop_assert!(Lock::take(&host.state()).unwrap().is_some());
        for entry in fs::read_dir(host.state()).unwrap().flatten() {
            let found = entry.metadata().unwrap();
            prop_assert_eq!(found.uid(), geteuid().as_raw());
            prop_assert!(!found.is_file() || found.mode() & 0o022 == 0 && found.nlink() == 1);
        }
        prop_assert_eq!(mode(&host.state()), 0o755);
        host.assert_unharmed();
    }
}

#[test]
fn the_path_of_an_unreachable_socket_is_known() {
    let room = tempfile::tempdir().unwrap();
    let folder = Folder::make(&room.path().join("web")).unwrap();
    assert!(is_unreachable(&folder.path_of(Name::Dead(364))));
    for other in [
        "/run/web.sock",
        "/run/1.dead",
        "/proc/self/fd/9/web.dead",
        "/proc/self/fd/9/0364.dead",
    ] {
        assert!(!is_unreachable(Path::new(other)), "{other}");
    }
}
