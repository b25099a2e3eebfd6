//! Finds the ecosystem files of installed apps, decides which of them take precedence, and applies drop-ins.
//!
//! Precedence and masking are systemd's own, see "Unit File Load Path" in systemd.unit(5): /etc before /run
//! before /usr/lib, and a link to /dev/null means that there is no such app. In `/run/rsgen` only files owned
//! by root count, because an older version may have let others write there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{files, version};
use crate::ecosystem::{self, App, Diagnostic, Report};
use crate::layout::Layout;
use crate::unit::name;

/// The file that takes effect for an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name of the app, which is also the name of the file.
    pub app: String,
    /// The path of the file.
    pub path: PathBuf,
}

/// Returns the file of every app that is not masked, by name, and the faults of file names.
#[must_use]
pub fn all(layout: &Layout) -> (Vec<Source>, Vec<String>) {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut problems = Vec::new();
    for path in layout.apps.iter().flat_map(|dir| files::list(dir, "toml")) {
        let Some(app) = path.file_stem().and_then(|s| s.to_str()).map(str::to_owned) else {
            continue;
        };
        match name::check(&app) {
            Ok(()) if is_foreign(layout, &path) => problems.push(format!(
                "{}: it belongs to another user and is not read: remove it, or give it to root",
                path.display()
            )),
            Ok(()) => {
                found.entry(app).or_insert(path);
            }
            Err(e) => problems.push(format!("{}: {e}", path.display())),
        }
    }
    let sources = found
        .into_iter()
        .filter(|(_, path)| !is_null(path))
        .map(|(app, path)| Source { app, path })
        .collect();
    (sources, problems)
}

/// Returns the file of one app.
#[must_use]
pub fn find(layout: &Layout, app: &str) -> Option<Source> {
    let path = first(layout, app)?;
    (!is_null(&path)).then(|| Source {
        app: app.to_owned(),
        path,
    })
}

/// Returns whether an app is masked.
#[must_use]
pub fn is_masked(layout: &Layout, app: &str) -> bool {
    first(layout, app).is_some_and(|p| is_null(&p))
}

fn first(layout: &Layout, app: &str) -> Option<PathBuf> {
    let mut paths = layout.apps.iter().map(|d| d.join(format!("{app}.toml")));
    paths.find(|p| p.symlink_metadata().is_ok() && !is_foreign(layout, p))
}

/// Returns whether a file in `/run/rsgen` belongs to somebody who is neither root nor the owner of that folder. The
/// mode of the folder does not help, since others may have lost the right to write there only later.
fn is_foreign(layout: &Layout, path: &Path) -> bool {
    let owner = |path: &Path| path.symlink_metadata().ok().map(|found| found.uid());
    let is_of_others = |uid| uid != 0 && Some(uid) != owner(&layout.run);
    path.starts_with(&layout.run) && owner(path).is_some_and(is_of_others)
}

fn is_null(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// Returns the app of a file with its drop-ins, and the text that results from them.
///
/// # Errors
/// The report, which has at least one error.
pub fn load(layout: &Layout, source: &Source) -> Result<(String, App), Report> {
    let (text, app, _) = read(layout, source)?;
    Ok((text, app))
}

/// Does the same as [`load`], with this text instead of the file's.
pub(super) fn load_text(
    layout: &Layout,
    source: &Source,
    text: String,
) -> Result<(String, App), Report> {
    let (text, app, _) = with_drop_ins(layout, source, text)?;
    Ok((text, app))
}

/// Does the same as [`load_text`], without drop-ins.
pub(super) fn load_plain(
    layout: &Layout,
    source: &Source,
    text: String,
) -> Result<(String, App), Report> {
    let (text, app, _) = check(layout, source, text)?;
    Ok((text, app))
}

/// Returns the app of a file with its drop-ins, and the report with all faults.
///
/// # Errors
/// The report, which has at least one error.
pub fn read(layout: &Layout, source: &Source) -> Result<(String, App, Report), Report> {
    let text = files::read(&source.path).map_err(|e| unreadable(&source.path, &e))?;
    with_drop_ins(layout, source, text)
}

/// Does the same as [`read`], with the text that the file is going to have.
///
/// # Errors
/// The report, which has at least one error.
pub fn with_drop_ins(
    layout: &Layout,
    source: &Source,
    text: String,
) -> Result<(String, App, Report), Report> {
    overlaid(layout, source, text, None)
}

/// Does the same as [`with_drop_ins`], with this text for one of the drop-ins in /etc.
///
/// # Errors
/// The report, which has at least one error.
pub fn with_drop_in(
    layout: &Layout,
    source: &Source,
    text: String,
    drop_in: (&Path, &str),
) -> Result<(String, App, Report), Report> {
    overlaid(layout, source, text, Some(drop_in))
}

fn overlaid(
    layout: &Layout,
    source: &Source,
    mut text: String,
    future: Option<(&Path, &str)>,
) -> Result<(String, App, Report), Report> {
    let shown = source.path.display();
    let mut found = drop_ins(layout, &source.app);
    if let Some((path, _)) = future {
        found.retain(|other| other.file_name() != path.file_name());
        found.push(path.to_owned());
        found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    }
    for drop_in in found {
        let added = match future {
            Some((path, text)) if path == drop_in => text.to_owned(),
            _ => files::read(&drop_in).map_err(|e| unreadable(&drop_in, &e))?,
        };
        text = ecosystem::pin::overlay(&text, &added).map_err(|mut fault| {
            fault.message = format!("the drop-in for {shown} cannot be used: {}", fault.message);
            Report::new(drop_in.display().to_string(), &added, vec![fault])
        })?;
    }
    check(layout, source, text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Report {
    let fault = format!("the file cannot be read: {error}");
    let faults = vec![Diagnostic::error(0..0, fault)];
    Report::new(path.display().to_string(), "", faults)
}

fn check(layout: &Layout, source: &Source, text: String) -> Result<(String, App, Report), Report> {
    let (mut apps, mut report) = ecosystem::parse(&source.path.display().to_string(), &text);
    ecosystem::allow_newer(&mut report.diagnostics, || version::of(&layout.systemctl));
    if !report.has_errors() {
        let wrong = match apps.as_slice() {
            [app] if app.name == source.app => None,
            [app] => Some((
                app.span.clone(),
                format!(
                    "the file is called `{}.toml`, but its app `{}`",
                    source.app, app.name
                ),
            )),
            [_, second, ..] => Some((
                second.span.clone(),
                "an installed file contains one app".to_owned(),
            )),
            [] => Some((0..0, "the file lists no apps".to_owned())),
        };
        if let Some((span, message)) = wrong {
            let fault = Diagnostic::error(span, message)
                .help("give each app a file of its own, with the app's name");
            report = Report::new(report.path, &text, vec![fault]);
        }
    }
    match apps.pop() {
        Some(app) if !report.has_errors() => Ok((text, app, report)),
        _ => Err(report),
    }
}

/// Returns the drop-ins of an app, sorted by file name. If two have the same name, the one in the folder of
/// higher precedence counts.
fn drop_ins(layout: &Layout, app: &str) -> Vec<PathBuf> {
    let mut found: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for path in layout
        .apps
        .iter()
        .map(|d| d.join(format!("{app}.toml.d")))
        .filter(|d| !is_foreign(layout, d))
        .flat_map(|d| files::list(&d, "toml"))
        .filter(|path| !is_foreign(layout, path))
    {
        if let Some(file) = path.file_name() {
            found.entry(file.to_owned()).or_insert(path);
        }
    }
    found.into_values().filter(|p| !is_null(p)).collect()
}

/// Returns the files and folders that make up an app: its file, the folders of drop-ins, and the drop-ins.
#[must_use]
pub fn parts(layout: &Layout, source: &Source) -> Vec<PathBuf> {
    let folders = layout.apps.iter();
    let folders = folders.map(|dir| dir.join(format!("{}.toml.d", source.app)));
    let mut parts = drop_ins(layout, &source.app);
    parts.extend(folders);
    parts.push(source.path.clone());
    parts
}

/// Returns the first error of a file that cannot be used, with its place, as one line.
#[must_use]
pub fn one_line(report: &Report) -> String {
    let first = report
        .located()
        .find(|l| l.severity == ecosystem::Severity::Error);
    match first {
        Some(l) => format!("{}:{}:{}: {}", l.file, l.line, l.column, l.message),
        None => format!("{}: unusable", report.path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;
    use crate::ecosystem::values::{Amount, Instances};

    const WEB: &str = "[[apps]]\nname = \"web\"\nscript = \"/srv/x\"\nlisten = 1\n";

    fn root(path: &str, text: &str) -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        for folder in &layout.apps {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(root.path().join(path), text).unwrap();
        (root, layout)
    }

    #[test]
    fn the_file_of_an_app_is_found_wherever_it_lies() {
        for path in [
            "etc/rsgen/web.toml",
            "run/rsgen/web.toml",
            "usr/lib/rsgen/web.toml",
        ] {
            let (root, layout) = root(path, WEB);
            let found = find(&layout, "web").map(|source| source.path);
            assert_eq!(found, Some(root.path().join(path)));
            assert_eq!(find(&layout, "other"), None);
        }
    }

    /// Only root can change the owner of a file.
    #[test]
    fn the_owner_of_a_file_matters_below_run_alone() {
        for (path, owner, owner_of_run, counts) in [
            ("etc/rsgen/web.toml", 1234, 0, true),
            ("run/rsgen/web.toml", 1234, 0, false),
            ("run/rsgen/web.toml", 1234, 1234, true),
            ("run/rsgen/web.toml", 0, 1234, true),
        ] {
            let (root, layout) = root(path, WEB);
            let given = chown(root.path().join(path), Some(owner), None)
                .and_then(|()| chown(&layout.run, Some(owner_of_run), None));
            if given.is_ok() {
                let found = find(&layout, "web").is_some();
                assert_eq!(found, counts, "{path}: {owner}, {owner_of_run}");
            }
        }
    }

    #[test]
    fn a_drop_in_that_is_going_to_be_written_takes_its_place_among_the_others() {
        let (_root, layout) = root("etc/rsgen/web.toml", WEB);
        let folder = layout.apps[0].join("web.toml.d");
        fs::create_dir(&folder).unwrap();
        for (name, text) in [
            ("10.toml", "instances = 2\nsurge = 7\n"),
            ("20.toml", "instances = 3\n"),
            ("30.toml", "parallel = 9\n"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let source = find(&layout, "web").unwrap();
        for (name, instances, parallel) in [("05.toml", 3, 9), ("20.toml", 4, 9), ("40.toml", 4, 8)]
        {
            let text = "instances = 4\nparallel = 8\n";
            let drop_in = folder.join(name);
            let read = with_drop_in(&layout, &source, WEB.to_owned(), (&drop_in, text));
            let app = read.map_err(|report| one_line(&report)).unwrap().1;
            assert_eq!(app.instances, Instances::Exactly(instances), "{name}");
            let of_walk = (app.rollout.parallel, app.rollout.surge);
            let wanted = (Amount::Exactly(parallel), Amount::Exactly(7));
            assert_eq!(of_walk, wanted, "{name}");
        }
    }

    #[test]
    fn an_installed_file_holds_one_app_that_is_called_as_the_file() {
        let other = WEB.replace("\"web\"", "\"shop\"").replace('1', "2");
        let two = format!("{WEB}{other}");
        for (text, told) in [
            (WEB, None),
            (
                &*other,
                Some("the file is called `web.toml`, but its app `shop`"),
            ),
            (&two, Some("an installed file contains one app")),
            ("[[apps", Some("web.toml:1:")),
        ] {
            let (_root, layout) = root("etc/rsgen/web.toml", text);
            let source = find(&layout, "web").unwrap();
            match (load(&layout, &source), told) {
                (Ok((_, app)), None) => assert_eq!(app.name, "web"),
                (Err(report), Some(told)) => {
                    let fault = one_line(&report);
                    assert!(fault.contains(told), "{fault}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
