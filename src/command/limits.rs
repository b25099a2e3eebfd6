//! Finds drop-ins that set a start limit or a trigger limit on the units of an app.
//!
//! The units of rsgen set none, since systemd closes the shared socket as soon as one instance reaches a limit. But a
//! drop-in can apply to every service of a host and override the units. The author of the drop-in may not have thought
//! of them, and nobody would notice before the first crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::ecosystem::App;
use crate::generate::files;
use crate::layout::Layout;
use crate::unit::name::Units;

/// A limit that is in force.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Where the limit is set, and its text.
    pub(super) message: String,
    /// How to remove the limit.
    pub(super) help: String,
}

/// A kind of unit, and the directives of its limit.
struct Kind {
    suffix: &'static str,
    section: &'static str,
    /// Every name of the directive for the interval.
    intervals: &'static [&'static str],
    /// The directive for the number of starts within the interval.
    number: &'static str,
}

const SERVICE: Kind = Kind {
    suffix: "service",
    section: "Unit",
    intervals: &["StartLimitIntervalSec", "StartLimitInterval"],
    number: "StartLimitBurst",
};
const SOCKET: Kind = Kind {
    suffix: "socket",
    section: "Socket",
    intervals: &["TriggerLimitIntervalSec"],
    number: "TriggerLimitBurst",
};

/// Returns the limits of all units of an app.
pub(super) fn of(layout: &Layout, app: &App) -> Vec<Limit> {
    of_units(layout, Units::of(&app.name), app.socket_files())
}

fn of_units(layout: &Layout, units: Units, sockets: Vec<String>) -> Vec<Limit> {
    let what_ends = if sockets.is_empty() {
        "systemd does not start it again"
    } else {
        "systemd closes the shared socket"
    };
    let services = [units.cluster(), units.template()].into_iter();
    let services = services.chain(instances(layout, units));
    let services = services.filter_map(|unit| limit(layout, &unit, &SERVICE, what_ends));
    let sockets = sockets.into_iter();
    let sockets = sockets.filter_map(|unit| limit(layout, &unit, &SOCKET, what_ends));
    services.chain(sockets).collect()
}

/// Returns the instances that have drop-ins of their own.
fn instances(layout: &Layout, units: Units) -> BTreeSet<String> {
    let entries =
        unit_folders(layout).flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    let names = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    names
        .filter_map(|name| name.strip_suffix(".d").map(str::to_owned))
        .filter(|unit| units.number(unit).is_some())
        .collect()
}

/// Returns whether a drop-in for the instances of an app, or for one of them, assigns one of these directives.
pub(super) fn has_drop_in(layout: &Layout, app: &str, directives: &[&str]) -> bool {
    let units = Units::of(app);
    let all = std::iter::once(units.template()).chain(instances(layout, units));
    let mut files = all.flat_map(|unit| drop_ins(layout, &unit, SERVICE.suffix).into_values());
    files.any(|path| {
        let text = files::read(&path).unwrap_or_default();
        let mut names = text.lines().filter_map(|line| line.split_once('='));
        names.any(|(name, _)| directives.contains(&name.trim()))
    })
}

fn unit_folders(layout: &Layout) -> impl Iterator<Item = &PathBuf> {
    std::iter::once(&layout.units).chain(&layout.vendor_units)
}

/// Returns the limit of one unit. `what_ends` says what happens when the limit is reached.
fn limit(layout: &Layout, unit: &str, kind: &Kind, what_ends: &str) -> Option<Limit> {
    let mut interval = None;
    let mut number = None;
    for path in drop_ins(layout, unit, kind.suffix).values() {
        let text = files::read(path).unwrap_or_default();
        for (at, line) in text.lines().enumerate() {
            let Some((directive, value)) = line.split_once('=') else {
                continue;
            };
            let (directive, value) = (directive.trim(), value.trim());
            if kind.intervals.contains(&directive) {
                interval = Some((path.clone(), at + 1, line.trim().to_owned(), is_zero(value)));
            } else if directive == kind.number {
                number = Some(is_zero(value));
            }
        }
    }
    let (path, line, text, _) = interval.filter(|(.., zero)| !zero && number != Some(true))?;
    let own = layout.units.join(format!("{unit}.d/zz-no-limit.conf"));
    let section = kind.section;
    let directive = kind.intervals.first().copied().unwrap_or_default();
    Some(Limit {
        message: format!(
            "{}:{line} sets `{text}` on `{unit}`: once the limit is reached, {what_ends}",
            path.display()
        ),
        help: format!(
            "remove the line, or write `[{section}]` and `{directive}=0` into {}",
            own.display()
        ),
    })
}

fn is_zero(value: &str) -> bool {
    let number = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    !number.is_empty() && number.trim().chars().all(|c| c == '0')
}

/// Returns the drop-ins of a unit in the order in which systemd reads them, see systemd.unit(5): sorted by name, and of
/// those with the same name the one in the first folder.
fn drop_ins(layout: &Layout, unit: &str, suffix: &str) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for folder in folders(unit, suffix) {
        for parent in unit_folders(layout) {
            for entry in fs::read_dir(parent.join(&folder))
                .into_iter()
                .flatten()
                .flatten()
            {
                let path = entry.path();
                if path.extension().is_some_and(|e| e == "conf")
                    && let Some(name) = path.file_name().and_then(|n| n.to_str())
                {
                    found.entry(name.to_owned()).or_insert_with(|| path.clone());
                }
            }
        }
    }
    found
}

/// Returns the folders of a unit's drop-ins: its own, that of its template, one for each prefix of its name that ends
/// in `-`, and that of its type.
fn folders(unit: &str, suffix: &str) -> Vec<String> {
    let name = unit.strip_suffix(suffix).unwrap_or(unit);
    let name = name.strip_suffix('.').unwrap_or(name);
    let stem = name.split('@').next().unwrap_or(name);
    let at = if name == stem { "" } else { "@" };
    let prefixes = stem.match_indices('-').rev();
    let prefixes = prefixes.filter_map(|(end, _)| stem.get(..=end));
    let mut names = vec![name.to_owned()];
    names.extend(
        std::iter::once(stem)
            .chain(prefixes)
            .map(|n| format!("{n}{at}")),
    );
    let mut folders: Vec<String> = names.iter().map(|n| format!("{n}.{suffix}.d")).collect();
    folders.push(format!("{suffix}.d"));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<Limit>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let units = Units::of("my-web");
        let limits = of_units(&Layout::system(root.path()), units, units.sockets());
        (root, limits)
    }

    const LIMIT: &str = "[Unit]\n# for all\nStartLimitIntervalSec=30\nStartLimitBurst=3\n";

    #[test]
    fn one_for_all_services_is_found_with_its_place() {
        let (root, limits) = host(&[("usr/lib/systemd/system/service.d/10-all.conf", LIMIT)]);
        let path = root
            .path()
            .join("usr/lib/systemd/system/service.d/10-all.conf");
        assert_eq!(limits.len(), 2, "the cluster's and the instances'");
        let start = format!(
            "{}:3 sets `StartLimitIntervalSec=30` on `my-web.service`: ",
            path.display()
        );
        assert!(limits[0].message.starts_with(&start), "{limits:?}");
        assert!(
            limits[1].message.contains("`my-web@.service`"),
            "{limits:?}"
        );
        assert!(
            limits[1].help.contains("`StartLimitIntervalSec=0`"),
            "{limits:?}"
        );
        assert!(
            limits[1]
                .help
                .ends_with("/etc/systemd/system/my-web@.service.d/zz-no-limit.conf")
        );
    }

    #[test]
    fn what_is_read_later_counts() {
        let all = ("usr/lib/systemd/system/service.d/10-all.conf", LIMIT);
        let none = "[Unit]\nStartLimitIntervalSec = 0s\n";
        let later = |name| host(&[all, (name, none)]).1.len();
        assert_eq!(
            later("etc/systemd/system/my-web@.service.d/zz-no-limit.conf"),
            1
        );
        assert_eq!(later("etc/systemd/system/service.d/zz.conf"), 0);
        assert_eq!(later("etc/systemd/system/service.d/10-all.conf"), 0);
        assert_eq!(
            later("etc/systemd/system/my-web@.service.d/00-early.conf"),
            2
        );
        assert_eq!(later("etc/systemd/system/other@.service.d/zz.conf"), 2);
    }

    #[test]
    fn a_number_of_zero_is_no_limit_and_a_name_begins_with_others() {
        let none = "[Unit]\nStartLimitInterval=1min\nStartLimitBurst=0\n";
        assert_eq!(host(&[("etc/systemd/system/service.d/a.conf", none)]).1, []);
        let own = host(&[("etc/systemd/system/my-web@3.service.d/a.conf", LIMIT)]).1;
        assert!(own.len() == 1 && own[0].message.contains("`my-web@3.service`"));
        let prefix = host(&[("run/systemd/system/my-@.service.d/a.conf", LIMIT)]);
        assert_eq!(prefix.1.len(), 1);
        let socket = "[Socket]\nTriggerLimitIntervalSec=2s\n";
        let socket = host(&[("etc/systemd/system/socket.d/a.conf", socket)]).1;
        assert!(socket[0].message.contains("`my-web.socket`"), "{socket:?}");
    }

    #[test]
    fn a_directive_of_a_drop_in_for_all_or_one_of_the_instances_is_found() {
        for folder in ["my-web@.service.d", "my-web@3.service.d", "service.d"] {
            let text = "[Service]\nSupplementaryGroups = adm\n#User=x\n";
            let path = format!("etc/systemd/system/{folder}/a.conf");
            let (root, _) = host(&[(&path, text)]);
            let layout = Layout::system(root.path());
            let has = |app, directive| has_drop_in(&layout, app, &[directive]);
            assert!(has("my-web", "SupplementaryGroups"), "{folder}");
            assert!(!has("my-web", "User"));
            assert_eq!(has("api", "SupplementaryGroups"), folder == "service.d");
        }
    }
}
