//! The packages of this build, which `make deb rpm` makes from the programs that cargo has built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::release::{build_dir, target_dir};

/// A Debian package and an RPM of one version, and their folder.
#[derive(Debug, Clone)]
pub struct Packages {
    /// The folder of both packages.
    pub folder: PathBuf,
    /// `rsgen_…_amd64.deb`
    pub deb: PathBuf,
    /// `rsgen-….x86_64.rpm`
    pub rpm: PathBuf,
}

/// The packages with this version number. They are made once in each run of a test program.
pub fn packages(version: &str) -> Packages {
    static MADE: Mutex<Vec<(String, Packages)>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, packages)) = made.iter().find(|(v, _)| v == version) {
        return packages.clone();
    }
    let folder = build_dir().join("packages/tests").join(version);
    let packages = make(version, &folder);
    made.push((version.to_owned(), packages.clone()));
    packages
}

/// Makes the packages in a folder of their own.
pub fn make(version: &str, folder: &Path) -> Packages {
    let _ = std::fs::remove_dir_all(folder);
    let build = build_dir();
    let profile = match build.file_name().and_then(|n| n.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let made = Command::new("make")
        .args(["--silent", "deb", "rpm", "NO_BUILD=1"])
        .args([format!("PROFILE={profile}"), format!("VERSION={version}")])
        .arg(format!("BUILD={}", build.display()))
        .arg(format!("PACKAGES={}", folder.display()))
        .env("CARGO_TARGET_DIR", target_dir())
        // The options of a `make test` that runs this test are not meant for this `make`.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .current_dir(source())
        .output()
        .expect("`make` starts");
    assert!(made.status.success(), "`make deb rpm` failed: {made:?}");
    let find = |end: &str| {
        let entries = std::fs::read_dir(folder).expect("a folder of packages");
        let mut paths = entries.flatten().map(|e| e.path());
        paths
            .find(|p| p.extension().is_some_and(|e| e == end))
            .unwrap_or_else(|| panic!("no .{end} in {}", folder.display()))
    };
    Packages {
        deb: find("deb"),
        rpm: find("rpm"),
        folder: folder.to_owned(),
    }
}

/// The folder of the project.
pub fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the source")
}
