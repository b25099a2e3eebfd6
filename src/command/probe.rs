//! The file system as an ecosystem file sees it.

use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};

use crate::ecosystem::resolve::Probe;

/// This host.
pub(super) struct Host;

impl Probe for Host {
    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn names(&self, dir: &Path) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .collect()
    }

    fn search_path(&self) -> Vec<PathBuf> {
        std::env::var_os("PATH")
            .map(|p| std::env::split_paths(&p).collect())
            .unwrap_or_default()
    }

    fn has_user(&self, user: &str) -> bool {
        user.parse::<u32>().is_ok() || User::from_name(user).is_ok_and(|u| u.is_some())
    }

    fn has_group(&self, group: &str) -> bool {
        group.parse::<u32>().is_ok() || Group::from_name(group).is_ok_and(|g| g.is_some())
    }
}
