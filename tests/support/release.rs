//! The Debian releases that machines run, and their root folders.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages that mmdebstrap(1) adds to a minimal Debian.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,nodejs,python3,iproute2,procps,rpm,ruby,\
    ruby-webrick,openssh-server,openssh-client,haproxy,python3-apt,curl,dbus-user-session,\
    polkitd";
/// A part of the name of a root's folder. Raise it when `PACKAGES` changes, so that roots are built anew.
const REVISION: u32 = 10;

/// A Debian release, with its version of systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// bookworm, systemd 252.
    Debian12,
    /// trixie, systemd 257.
    Debian13,
    /// forky, systemd 262. It is not released yet, so it may get a newer systemd.
    Debian14,
}

impl Release {
    /// Every release that rsgen is tested on.
    pub const ALL: [Self; 3] = [Self::Debian12, Self::Debian13, Self::Debian14];

    /// The major version of the release's systemd. Before the release ([`Self::is_released`]) this is the oldest possible one.
    pub fn systemd(self) -> u32 {
        match self {
            Self::Debian12 => 252,
            Self::Debian13 => 257,
            Self::Debian14 => 262,
        }
    }

    /// Whether Debian has published the release, so that packages keep their versions.
    pub fn is_released(self) -> bool {
        self != Self::Debian14
    }

    fn codename(self) -> &'static str {
        match self {
            Self::Debian12 => "bookworm",
            Self::Debian13 => "trixie",
            Self::Debian14 => "forky",
        }
    }

    /// The folder over which a machine mounts its overlay: the root of the host if it runs this release,
    /// otherwise a root that is built at first use and kept.
    pub fn root(self) -> PathBuf {
        if self == Self::Debian12 && host_is_debian12() {
            return "/".into();
        }
        let kept = machines_dir().join(format!("{self}.{REVISION}"));
        let lock = File::create(machines_dir().join(format!("{self}.lock"))).expect("a lock file");
        lock.lock().expect("a lock on the root's folder");
        if !kept.exists() {
            build(self, &kept);
        }
        kept
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debian12 => "debian12",
            Self::Debian13 => "debian13",
            Self::Debian14 => "debian14",
        })
    }
}

fn host_is_debian12() -> bool {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let has = |line| text.lines().any(|l| l == line);
    has("ID=debian")
        && has("VERSION_ID=\"12\"")
        && Path::new("/usr/bin/node").exists()
        && Path::new("/usr/bin/rpm").exists()
        && Path::new("/usr/bin/ruby").exists()
        && Path::new("/usr/bin/pkcheck").exists()
        && Path::new("/usr/sbin/sshd").exists()
}

/// Builds a root under a temporary name and in a mount namespace of its own, so that a build that is killed leaves neither an
/// incomplete root nor mounts.
fn build(release: Release, kept: &Path) {
    let half = kept.with_extension("half");
    if half.exists() {
        fs::remove_dir_all(&half).expect("the remains of a killed build go away");
    }
    let codename = release.codename();
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
        ])
        .arg(format!("--include={PACKAGES}"));
    if !release.is_released() {
        // The package index of an unreleased suite expires after a week, and a mirror may be older than that.
        command.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    }
    let built = command.arg(codename).arg(&half).status();
    assert!(
        built.as_ref().is_ok_and(std::process::ExitStatus::success),
        "mmdebstrap could not build a root of Debian {codename} ({built:?}); \
         it needs root, the package mmdebstrap and a Debian mirror"
    );
    fs::rename(&half, kept).expect("a finished root gets its name");
}

/// The folder of the programs that cargo has built with this test, for instance `target/x86_64-unknown-linux-gnu/debug`.
pub fn build_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("a program knows its own path");
    // …/debug/deps/machines-0123456789abcdef, …/debug/examples/demo
    exe.ancestors()
        .nth(2)
        .expect("cargo's target folder")
        .to_owned()
}

/// The target folder of cargo, above the folders of all profiles: `target`.
pub fn target_dir() -> PathBuf {
    let build = build_dir();
    // `target/TRIPLE/PROFILE`
    let target = build.ancestors().nth(2);
    target.expect("cargo's target folder").to_owned()
}

/// The folder in which roots are kept: `target/machines`.
pub fn machines_dir() -> PathBuf {
    let dir = target_dir().join("machines");
    fs::create_dir_all(&dir).expect("a folder for machines in cargo's target folder");
    dir
}
