//! The paths of a host, all in one place.
//!
//! All paths are below `root` (`/`, or a temporary folder in tests), or for `--user` below the user's own folders. Nothing
//! here touches the file system.

use std::path::{Path, PathBuf};

/// The service manager: PID 1 or a user's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The system manager.
    System,
    /// `systemd --user`.
    User,
}

/// The folders of one scope, see file-hierarchy(7) and systemd.unit(5) for the ones of systemd.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The manager that these folders belong to.
    pub scope: Scope,
    /// The folders of installed ecosystem files, the one of highest precedence first.
    pub apps: Vec<PathBuf>,
    /// The folder into which `rsgen install` writes units.
    pub units: PathBuf,
    /// The other folders of units, of packages and of this boot.
    pub vendor_units: Vec<PathBuf>,
    /// The folder of units that do not survive a boot.
    pub runtime_units: PathBuf,
    /// The folder of files that do not survive a boot: locks, progress, counters.
    pub run: PathBuf,
    /// The folder of the releases that `rsgen rollback` can go back to, for the owner alone.
    pub kept: PathBuf,
    /// The worker's path as units name it.
    pub worker: PathBuf,
    /// The command's path as units name it.
    pub command: PathBuf,
    /// systemctl(1).
    pub systemctl: PathBuf,
    /// The socket on which journald accepts entries with fields.
    pub journal: PathBuf,
}

impl Layout {
    /// The system's folders below `root`; the programs are named without it, because units are
    /// read by a systemd whose root it is.
    #[must_use]
    pub fn system(root: &Path) -> Self {
        Self {
            scope: Scope::System,
            apps: ["etc/rsgen", "run/rsgen", "usr/lib/rsgen"]
                .map(|d| root.join(d))
                .to_vec(),
            units: root.join("etc/systemd/system"),
            vendor_units: [
                "run/systemd/system",
                "usr/local/lib/systemd/system",
                "usr/lib/systemd/system",
                "lib/systemd/system",
            ]
            .map(|d| root.join(d))
            .to_vec(),
            runtime_units: root.join("run/systemd/system"),
            run: root.join("run/rsgen"),
            kept: root.join("var/lib/rsgen"),
            worker: "/usr/lib/rsgen/bin/rsgen-worker".into(),
            command: "/usr/bin/rsgen".into(),
            systemctl: root.join("usr/bin/systemctl"),
            journal: root.join("run/systemd/journal/socket"),
        }
    }

    /// A user's folders: `config` is `$XDG_CONFIG_HOME`, `run` is `$XDG_RUNTIME_DIR`.
    #[must_use]
    pub fn user(config: &Path, run: &Path) -> Self {
        Self {
            scope: Scope::User,
            apps: vec![config.join("rsgen")],
            units: config.join("systemd/user"),
            vendor_units: vec!["/etc/systemd/user".into(), "/usr/lib/systemd/user".into()],
            runtime_units: run.join("systemd/user"),
            run: run.join("rsgen"),
            kept: config.join("rsgen/releases"),
            worker: "/usr/lib/rsgen/bin/rsgen-worker".into(),
            command: "/usr/bin/rsgen".into(),
            systemctl: "/usr/bin/systemctl".into(),
            journal: run.join("systemd/journal/socket"),
        }
    }

    /// The calling user's folders; `None` when the environment names neither them nor a home.
    #[must_use]
    pub fn of_caller() -> Option<Self> {
        let var = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let config = var("XDG_CONFIG_HOME").or_else(|| Some(var("HOME")?.join(".config")))?;
        let run = var("XDG_RUNTIME_DIR")?;
        let kept = var("XDG_STATE_HOME").or_else(|| Some(var("HOME")?.join(".local/state")));
        let user = Self::user(&config, &run);
        Some(Self {
            kept: kept.map_or(user.kept, |state| state.join("rsgen")),
            // All managers share the journal of the system.
            journal: "/run/systemd/journal/socket".into(),
            ..user
        })
    }

    /// The installed file of an app, in the administrator's folder, which is the first.
    #[must_use]
    pub fn file(&self, app: &str) -> PathBuf {
        let folder = self.apps.first();
        folder
            .map(|folder| folder.join(format!("{app}.toml")))
            .unwrap_or_default()
    }

    /// The folder of one app's lock, progress and counters.
    #[must_use]
    pub fn state(&self, app: &str) -> PathBuf {
        self.run.join(app)
    }
}
