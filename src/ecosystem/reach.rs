//! What an app's own settings reach: who it runs as, and who may write what root reads for it.
//!
//! systemd opens these files as root, at each start and by their names. Whoever may write to one of
//! the folders on the way decides what is found there.

mod directives;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use super::app::App;
use super::diagnostic::Diagnostic;
use super::resolve::{Account, FileStatus, Probe};

/// As the kernel's own limit, see `path_resolution(7)`.
const MOST_LINKS: u32 = 40;

/// Adds what an app of the system can do to it.
pub(super) fn warn(app: &App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    if !probe.is_system() {
        return;
    }
    if app.is_root() {
        let message = format!("`{}` runs as root", app.name);
        let help = "add `user = \"www-data\"`, or another account that may do no more than the program has to";
        faults.push(Diagnostic::warning(app.user_span.clone(), message).help(help));
    }
    for file in &app.env_file {
        faults.extend(read_as_root(file, &app.env_file_span, probe));
    }
    directives::warn(app, probe, faults);
}

fn read_as_root(file: &str, span: &Range<usize>, probe: &dyn Probe) -> Option<Diagnostic> {
    let spot = weak_spot(Path::new(file), probe)?;
    let message = format!(
        "`{file}` is read by root at each start, and {}",
        spot.told(probe)
    );
    let help = "that decides the environment of the unit, can have root read another file, and with a FIFO in its place have systemd wait for ever, and the machine with it: keep it where only root may write, as in /etc";
    Some(Diagnostic::warning(span.clone(), message).help(help))
}

/// A place that others than root may write to.
struct Spot {
    path: PathBuf,
    by: Writer,
}

enum Writer {
    Owner(u32),
    Group(u32),
    Everybody,
}

impl Spot {
    fn told(&self, probe: &dyn Probe) -> String {
        let name = |account| probe.name(account);
        let by = match self.by {
            Writer::Owner(number) => format!("its owner `{}`", name(Account::User(number))),
            Writer::Group(number) => format!("its group `{}`", name(Account::Group(number))),
            Writer::Everybody => "everybody".to_owned(),
        };
        format!("`{}` may be written by {by}", self.path.display())
    }
}

impl FileStatus {
    /// Who may change it. A sticky bit keeps nobody from putting a new file there.
    fn writer(&self) -> Option<Writer> {
        if self.owner != 0 {
            Some(Writer::Owner(self.owner))
        } else if self.mode & 0o002 != 0 {
            Some(Writer::Everybody)
        } else if self.mode & 0o020 != 0 && self.group != 0 {
            Some(Writer::Group(self.group))
        } else {
            None
        }
    }
}

/// The first place on the way to a path, links followed, that others than root may write to.
fn weak_spot(path: &Path, probe: &dyn Probe) -> Option<Spot> {
    let mut left = parts(path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        // What is not there yet is for the folder above it.
        let status = probe.status(&next)?;
        if let Some(target) = &status.link {
            links += 1;
            if links > MOST_LINKS {
                return None;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            let mut way = parts(target);
            way.append(&mut left);
            left = way;
            continue;
        }
        if let Some(by) = status.writer() {
            return Some(Spot { path: next, by });
        }
        at = next;
    }
    None
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ecosystem::resolve::resolve;
    use crate::ecosystem::{Report, parse};

    const ROOT: (u32, u32) = (0, 0);
    const APP: (u32, u32) = (33, 33);

    struct Fake {
        entries: BTreeMap<PathBuf, FileStatus>,
        is_system: bool,
    }

    impl Fake {
        fn of(entries: &[(&str, (u32, u32), u32)], links: &[(&str, &str)]) -> Self {
            let plain = |owner, group, mode| FileStatus {
                owner,
                group,
                mode,
                link: None,
            };
            let mut all: BTreeMap<PathBuf, FileStatus> =
                ["/srv", "/srv/web", "/etc", "/var", "/tmp"]
                    .map(|path| (path.into(), plain(0, 0, 0o755)))
                    .into();
            for (path, (owner, group), mode) in entries {
                all.insert(path.into(), plain(*owner, *group, *mode));
            }
            for (path, target) in links {
                let link = Some(target.into());
                all.insert(
                    path.into(),
                    FileStatus {
                        link,
                        ..plain(0, 0, 0o777)
                    },
                );
            }
            Self {
                entries: all,
                is_system: true,
            }
        }
    }

    impl Probe for Fake {
        fn is_file(&self, _: &Path) -> bool {
            true
        }
        fn is_dir(&self, _: &Path) -> bool {
            true
        }
        fn names(&self, _: &Path) -> Vec<String> {
            Vec::new()
        }
        fn search_path(&self) -> Vec<PathBuf> {
            Vec::new()
        }
        fn has_user(&self, _: &str) -> bool {
            true
        }
        fn has_group(&self, _: &str) -> bool {
            true
        }
        fn is_system(&self) -> bool {
            self.is_system
        }
        fn status(&self, path: &Path) -> Option<FileStatus> {
            self.entries.get(path).cloned()
        }
        fn name(&self, account: Account) -> String {
            match account {
                Account::User(number) | Account::Group(number) => number.to_string(),
            }
        }
    }

    fn told(keys: &str, fake: &Fake) -> Vec<String> {
        let text = format!("[[apps]]\nscript = \"x\"\nlisten = 1\n{keys}");
        let (mut apps, report) = parse("eco.toml", &text);
        assert!(report.diagnostics.is_empty(), "{}", report.render(false));
        let mut faults = Vec::new();
        resolve(&mut apps[0], Path::new("/srv/web"), fake, &mut faults);
        let report = Report::new("eco.toml", &text, faults);
        assert!(!report.has_errors(), "{}", report.render(false));
        report
            .located()
            .map(|l| format!("{}: {}", l.line, l.message))
            .collect()
    }

    fn told_of_www(keys: &str, fake: &Fake) -> String {
        told(&format!("user = \"www\"\n{keys}"), fake).join("\n")
    }

    #[test]
    fn a_program_of_roots_is_told_where_the_user_would_stand() {
        let fake = Fake::of(&[], &[]);
        assert_eq!(told("user = 0", &fake), ["4: `x` runs as root"]);
        assert_eq!(told("", &fake).len(), 1);
        assert_eq!(told("service.DynamicUser = true", &fake).len(), 0);
        let own = Fake {
            is_system: false,
            ..fake
        };
        assert_eq!(told("", &own).len(), 0);
    }

    #[test]
    fn a_file_of_variables_is_for_root_alone_with_every_folder_above_it() {
        let keys = "env_file = \".env\"";
        let weak = |entry: (&str, (u32, u32), u32)| told_of_www(keys, &Fake::of(&[entry], &[]));
        for (entry, by) in [
            (
                ("/srv/web/.env", APP, 0o400),
                "`/srv/web/.env` may be written by its owner `33`",
            ),
            (
                ("/srv/web/.env", (0, 33), 0o660),
                "`/srv/web/.env` may be written by its group `33`",
            ),
            (
                ("/srv/web", APP, 0o755),
                "`/srv/web` may be written by its owner `33`",
            ),
            (("/srv", ROOT, 0o1777), "`/srv` may be written by everybody"),
        ] {
            let said = weak(entry);
            assert!(said.starts_with("5: ") && said.ends_with(by), "{said}");
        }
        assert_eq!(weak(("/srv/web/.env", (0, 33), 0o640)), "");
        assert_eq!(weak(("/srv/web/.env", ROOT, 0o664)), "");
    }

    #[test]
    fn links_on_the_way_are_followed() {
        let keys = "env_file = \"current/.env\"";
        let link = [("/srv/web/current", "../releases/7")];
        let releases = [
            ("/srv/releases", ROOT, 0o755),
            ("/srv/releases/7", APP, 0o755),
        ];
        let said = told_of_www(keys, &Fake::of(&releases, &link));
        assert!(said.contains("`/srv/releases/7` may be written"), "{said}");
        let around = [("/srv/web/current", "/srv/web/current")];
        assert_eq!(told_of_www(keys, &Fake::of(&[], &around)), "");
    }

    #[test]
    fn so_is_what_takes_the_place_of_the_systems_folders() {
        let fake = Fake::of(
            &[
                ("/srv/web/usr", APP, 0o755),
                ("/var/own", APP, 0o755),
                ("/var/own/log", APP, 0o644),
            ],
            &[],
        );
        for weak in [
            "RootDirectory = \"/srv/web\"",
            "BindPaths = \"/var/own:/usr/lib\"",
            "BindReadOnlyPaths = \"-/var/own:/etc/ssl /srv:/x\"",
            "StandardOutput = \"append:/var/own/log\"",
            "EnvironmentFile = \"-/var/own/env\"",
            "LoadCredential = \"key:/var/own/key\"",
        ] {
            let said = told_of_www(&format!("service.{weak}"), &fake);
            assert!(
                said.starts_with("5: ") && said.contains("may be written by its owner `33`"),
                "{weak}: {said}"
            );
        }
        for good in [
            "RootDirectory = \"/srv\"",
            "BindPaths = \"/var/own:/data\"",
            "StandardOutput = \"append:/var/log\"",
            "StandardOutput = \"journal\"",
            "EnvironmentFile = \"/var/%i/env\"",
            // What a later assignment takes back is not in force.
            "RootDirectory = [\"/srv/web\", \"\"]",
            "EnvironmentFile = [\"/var/own/env\", \"\"]",
            "StandardOutput = [\"append:/var/own/log\", \"journal\"]",
        ] {
            assert_eq!(told_of_www(&format!("service.{good}"), &fake), "", "{good}");
        }
    }
}
