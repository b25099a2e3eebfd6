//! Decides who reads each file of `env_file`: systemd as root, or the worker with the rights of the app.
//!
//! systemd opens environment files before `User=` and the sandbox take effect, in a process that the whole
//! machine depends on. A user who may replace such a file by a FIFO can make systemd wait forever, and by a
//! link make it read any file. So systemd reads only files that nobody but root may change. Files that only
//! root may read remain readable in this way.

use std::borrow::Cow;
use std::path::Path;

use super::app::App;
use super::diagnostic::Diagnostic;
use super::resolve::{FileStatus, Ids, Probe};
use super::way::{Look, is_readable, weak_spot};
use crate::contract::Text;

/// A user that owns no file and belongs to no group.
const ANYBODY: Ids = Ids {
    user: u32::MAX,
    groups: Vec::new(),
};

/// The environment files of an app, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EnvFiles<'a> {
    /// The files for `EnvironmentFile=`.
    pub by_systemd: Vec<&'a str>,
    /// The files that the worker reads. Their variables override those of the other files.
    pub by_worker: Vec<&'a str>,
    /// The files that `EnvironmentFile` in `[apps.service]` names, which systemd reads too.
    passed: Vec<&'a str>,
    /// Whether an empty `EnvironmentFile` in `[apps.service]` removes the files of `env_file` that systemd reads.
    is_reset: bool,
    /// Whether the unit's own commands see other files at these paths than systemd does.
    is_elsewhere: bool,
}

/// The directive of systemd for such a file.
const DIRECTIVE: &str = "EnvironmentFile";

impl<'a> EnvFiles<'a> {
    /// Decides by the folders and links on the way to each file.
    #[must_use]
    pub fn of(app: &'a App, look: &dyn Fn(&Path) -> Option<FileStatus>) -> Self {
        if has_root_of_its_own(app) {
            return Self::all_by_systemd(app);
        }
        let mut files = Self {
            by_systemd: Vec::new(),
            ..Self::all_by_systemd(app)
        };
        for file in &app.env_file {
            let path = Path::new(file);
            let is_weak = weak_spot(path, look).is_some();
            // The worker also reads every file after one that it reads, so that later files still override
            // earlier ones.
            let follows =
                || !files.by_worker.is_empty() && is_readable(path, &ANYBODY, look) == Some(true);
            if is_weak || follows() {
                files.by_worker.push(file);
            } else {
                files.by_systemd.push(file);
            }
        }
        files
    }

    /// Leaves all files to systemd, whatever the way to them.
    #[must_use]
    pub fn all_by_systemd(app: &'a App) -> Self {
        Self {
            by_systemd: app.env_file.iter().map(String::as_str).collect(),
            by_worker: Vec::new(),
            passed: passed(app),
            is_reset: app.assigned(DIRECTIVE).is_reset(),
            is_elsewhere: has_root_of_its_own(app),
        }
    }

    /// Returns the files that a command of the unit checks before each start, and that are optional for systemd: if
    /// systemd itself misses a file, it runs no command of the unit, so nothing would count the restarts.
    #[must_use]
    pub fn looked_at(&self) -> Vec<Text> {
        if self.is_elsewhere {
            return Vec::new();
        }
        let own = self.by_systemd.iter().filter(|_| !self.is_reset);
        let passed = self.passed.iter().map(|value| Text::with_specifiers(value));
        own.map(Text::plain).chain(passed).collect()
    }

    /// Returns the value of a directive of `[apps.service]` as the unit has it, in which a file that is checked is
    /// optional.
    #[must_use]
    pub fn in_unit(&self, directive: &str, value: &'a str) -> Cow<'a, str> {
        if directive == DIRECTIVE && !self.is_elsewhere && is_one_file(value) {
            Cow::Owned(format!("-{}", value.trim()))
        } else {
            Cow::Borrowed(value)
        }
    }
}

/// Returns the files that `[apps.service]` names and that have to exist. Their paths may contain specifiers.
#[must_use]
pub fn passed(app: &App) -> Vec<&str> {
    let mut files = app.assigned(DIRECTIVE).list();
    files.retain(|value| is_one_file(value));
    files
}

/// Returns whether systemd reads a value as the path of one file, without a wildcard of glob(7) and without a `-` in
/// front.
fn is_one_file(value: &str) -> bool {
    value.trim().starts_with('/') && !value.contains(['*', '?', '['])
}

/// Returns whether the worker sees other files at these paths than systemd does.
fn has_root_of_its_own(app: &App) -> bool {
    let roots = ["RootDirectory", "RootImage", "RootMStack"];
    roots.iter().any(|d| app.assigned(d).one().is_some())
}

/// Adds warnings about the influence of users other than root on these files, and about its consequences for the app.
pub(super) fn warn(app: &App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    let look = |path: &Path| probe.status(path);
    let files = EnvFiles::of(app, &look);
    let mut add = |message: String, help: &str, is_standing| {
        let fault = Diagnostic::warning(app.env_file_span.clone(), message).help(help);
        faults.push(Diagnostic {
            is_standing,
            ..fault
        });
    };
    let mut weak: Option<&str> = None;
    for file in app.env_file.iter().map(String::as_str) {
        let path = Path::new(file);
        let is_by_worker = files.by_worker.contains(&file);
        match weak_spot(path, &look) {
            Some(spot) if is_by_worker => {
                weak = weak.or(Some(file));
                let told = spot.told(probe);
                add(
                    format!("`{file}` is read with the rights of the app, and {told}"),
                    "that decides the environment of the program: keep it where only root may write, as in /etc",
                    true,
                );
            }
            Some(spot) => {
                let told = spot.told(probe);
                add(
                    format!("`{file}` is read by root at each start, and {told}"),
                    BY_ROOT,
                    false,
                );
            }
            None => {}
        }
        if let Some(weak) = weak.filter(|_| !is_by_worker) {
            add(
                format!("`{weak}` overrides `{file}`, although it comes first"),
                "the worker reads the former after systemd has read the latter: let only root write to the former, or \
                 let everybody read the latter",
                true,
            );
        }
        if let Some(user) = is_by_worker
            .then(|| cannot_read(app, path, &look, probe))
            .flatten()
        {
            add(
                format!("`{user}` may not read `{file}`, so the app cannot start"),
                "let that user read it, or let only root write to it and to the folders above it: then systemd reads \
                 it as root",
                false,
            );
        }
    }
}

/// The help for an environment file that systemd opens as root and somebody else may write to.
pub(super) const BY_ROOT: &str = "anybody who may write there sets the environment of the unit, can make root read another file, and with a FIFO can make systemd, and so the machine, hang: keep the file where only root may write, such as /etc";

/// Returns the app's user, if the worker will certainly not be able to read a file.
fn cannot_read<'a>(
    app: &'a App,
    path: &Path,
    look: Look<'_>,
    probe: &dyn Probe,
) -> Option<&'a str> {
    let user = app.user.as_deref().filter(|_| !app.is_dynamic())?;
    if app.assigned("SupplementaryGroups").is_named() {
        return None;
    }
    let ids = probe.ids(user, app.group.as_deref())?;
    (!is_readable(path, &ids, look)?).then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::parse;
    use crate::ecosystem::resolve::Beyond;

    fn app(lines: &str) -> App {
        let text = format!("[[apps]]\nscript = \"x\"\nlisten = 1\n{lines}");
        let (mut apps, report) = parse("eco.toml", &text);
        assert!(!report.has_errors(), "{}", report.render(false));
        apps.remove(0)
    }

    /// Everything below /srv belongs to the app, and a file named `secret` is readable only by its owner.
    fn look(path: &Path) -> Option<FileStatus> {
        let owner = if path.starts_with("/srv") { 33 } else { 0 };
        let is_secret = path.to_str()?.ends_with("secret");
        (!path.ends_with("nothing")).then_some(FileStatus {
            owner,
            group: owner,
            mode: if is_secret { 0o600 } else { 0o755 },
            link: None,
            beyond: Beyond::Nothing,
        })
    }

    fn files(lines: &str) -> [Vec<String>; 2] {
        let app = app(lines);
        let files = EnvFiles::of(&app, &look);
        [files.by_systemd, files.by_worker].map(|l| l.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn systemd_reads_what_only_root_may_write() {
        let lines = "env_file = [\"/etc/secret\", \"/etc/plain\", \"/etc/nothing\"]";
        let all = ["/etc/secret", "/etc/plain", "/etc/nothing"];
        assert_eq!(files(lines), [all.map(str::to_owned).to_vec(), Vec::new()]);
    }

    #[test]
    fn the_worker_reads_the_others_and_what_everybody_may_read_behind_them() {
        let lines = "env_file = [\"/etc/plain\", \"/srv/a\", \"/etc/b\", \"/etc/secret\", \"/srv/nothing\"]";
        let [by_systemd, by_worker] = files(lines);
        assert_eq!(by_systemd, ["/etc/plain", "/etc/secret"]);
        assert_eq!(by_worker, ["/srv/a", "/etc/b", "/srv/nothing"]);
    }

    #[test]
    fn what_systemd_reads_is_looked_at_and_optional_to_systemd() {
        let looked_at = |lines: &str| {
            let app = app(lines);
            let files = EnvFiles::of(&app, &look);
            files.looked_at()
        };
        let wanted = |files: &[&str]| files.iter().map(Text::plain).collect::<Vec<_>>();
        let own = "env_file = [\"/etc/plain\", \"/srv/a\"]\n";
        assert_eq!(looked_at(own), wanted(&["/etc/plain"]));
        let more = "service.EnvironmentFile = [\"/etc/b\", \"-/etc/c\", \"/etc/*\"]";
        let found = looked_at(&format!("{own}{more}"));
        assert_eq!(found, wanted(&["/etc/plain", "/etc/b"]));
        let reset = "service.EnvironmentFile = [\"/etc/b\", \"\", \"/etc/c\"]";
        assert_eq!(looked_at(&format!("{own}{reset}")), wanted(&["/etc/c"]));
        let root = "service.RootDirectory = \"/srv\"";
        assert_eq!(looked_at(&format!("{own}{root}")), wanted(&[]));

        let app = app(own);
        let files = EnvFiles::of(&app, &look);
        for (directive, value, written) in [
            ("EnvironmentFile", "/etc/b", "-/etc/b"),
            ("EnvironmentFile", "-/etc/b", "-/etc/b"),
            ("EnvironmentFile", "/etc/*", "/etc/*"),
            ("PIDFile", "/etc/b", "/etc/b"),
        ] {
            assert_eq!(files.in_unit(directive, value), written);
        }
    }

    #[test]
    fn a_root_of_ones_own_has_not_the_same_files() {
        let lines = "env_file = \"/srv/a\"\nservice.RootDirectory = \"/srv\"";
        assert_eq!(files(lines), [vec!["/srv/a".to_owned()], Vec::new()]);
        let unset = "env_file = \"/srv/a\"\nservice.RootDirectory = \"\"";
        assert_eq!(files(unset), [Vec::new(), vec!["/srv/a".to_owned()]]);
    }

    #[test]
    fn a_file_is_read_by_its_owner_its_group_and_others_as_its_bits_say() {
        let ids = |user, groups: &[u32]| Ids {
            user,
            groups: groups.to_vec(),
        };
        let readable = |ids: &Ids, mode: u32, folder: u32| {
            let look = |path: &Path| {
                Some(FileStatus {
                    owner: 7,
                    group: 8,
                    mode: if path.ends_with("file") { mode } else { folder },
                    link: None,
                    beyond: Beyond::Nothing,
                })
            };
            is_readable(Path::new("/a/file"), ids, &look) == Some(true)
        };
        assert!(readable(&ids(7, &[]), 0o400, 0o100) && !readable(&ids(7, &[8]), 0o044, 0o755));
        assert!(readable(&ids(9, &[1, 8]), 0o040, 0o710) && !readable(&ids(9, &[8]), 0o404, 0o755));
        assert!(readable(&ANYBODY, 0o004, 0o001) && !readable(&ANYBODY, 0o664, 0o750));
        assert!(readable(&ids(0, &[]), 0o000, 0o000));
        assert_eq!(is_readable(Path::new("/a"), &ANYBODY, &|_| None), None);
    }
}
