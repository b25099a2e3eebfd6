//! Ecosystem files beside their expected units, so that reviewers read unit files, not Rust.
//!
//! Each folder of `tests/golden` is a case. `RSGEN_BLESS=1 cargo test --test golden` writes the expected units anew. A spec on
//! the machines checks that systemd finds no fault with them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rsgen::contract::{Balance, Drain, EnvFiles, Health, Line, Release, Run, Step};
use rsgen::ecosystem::{
    self,
    resolve::{Beyond, FileStatus},
};
use rsgen::generate;
use rsgen::layout::Layout;
use rsgen::plan::{self, Host, Origin, UnitSet};
use testbed::unit::{self, Dollar};

const HOST: Host = Host {
    cpus: 4,
    yama: true,
    status,
};

/// A host on which files below /home belong to a user, and all others to root, and where /srv/released/current is a link.
#[expect(
    clippy::unnecessary_wraps,
    reason = "as of a host, where something may be missing"
)]
fn status(path: &Path) -> Option<FileStatus> {
    let is_users = path.starts_with("/home") && path != Path::new("/home");
    let owner = if is_users { 1000 } else { 0 };
    Some(FileStatus {
        owner,
        group: owner,
        mode: 0o640 | 0o111,
        link: (path == Path::new("/srv/released/current")).then(|| "releases/7".into()),
        beyond: Beyond::Nothing,
    })
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    cases.sort();
    cases
}

fn rendered(case: &Path) -> UnitSet {
    rendered_for(case, &Layout::system(Path::new("/")))
}

fn rendered_for(case: &Path, layout: &Layout) -> UnitSet {
    let text = fs::read_to_string(case.join("ecosystem.toml")).unwrap();
    let (apps, report) = ecosystem::parse("ecosystem.toml", &text);
    assert!(!report.has_errors(), "{}", report.render(false));
    let mut all = UnitSet::default();
    for app in &apps {
        let source = format!("/etc/rsgen/{}.toml", app.name());
        let set = plan::units(app, Origin::Generated(Path::new(&source)), layout, HOST).unwrap();
        all.files.extend(set.files);
        all.links.extend(set.links);
    }
    all
}

/// The files of a folder, path → text; the text of a link is its target.
fn tree(folder: &Path, below: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder.join(below))
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            tree(folder, &path, found);
        } else if let Ok(target) = fs::read_link(entry.path()) {
            found.insert(path, format!("-> {}", target.display()));
        } else {
            found.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

#[test]
fn every_case_renders_to_its_expected_units() {
    let bless = std::env::var_os("RSGEN_BLESS").is_some();
    for case in cases() {
        let set = rendered(&case);
        let expected = case.join("expected");
        if bless {
            let _ = fs::remove_dir_all(&expected);
            generate::place(&expected, &set).unwrap();
        }
        let mut wanted = BTreeMap::new();
        tree(&expected, Path::new(""), &mut wanted);
        let mut got = set.files;
        got.extend(
            set.links
                .into_iter()
                .map(|(p, t)| (p, format!("-> {}", t.display()))),
        );
        for (path, text) in &wanted {
            assert_eq!(
                got.get(path),
                Some(text),
                "{}: {}",
                case.display(),
                path.display()
            );
        }
        assert_eq!(got.len(), wanted.len(), "{}", case.display());
    }
}

#[test]
fn no_value_of_an_ecosystem_file_becomes_a_line_of_its_own() {
    let set = rendered(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hostile-values"));
    for text in set.files.values() {
        assert!(
            !text
                .lines()
                .any(|l| l.starts_with("User=") || l.starts_with("ExecStart=/bin/evil")),
            "{text}"
        );
        assert!(!text.lines().any(|l| l.ends_with('\\')), "{text}");
    }
}

/// Reads a command line of a unit as its program would, and writes it again.
fn read_back(words: &[String]) -> Line {
    let (program, words) = words.split_first().unwrap();
    let mut words: Vec<OsString> = words.iter().map(OsString::from).collect();
    if Path::new(program).ends_with("rsgen-worker") {
        return match words.first().and_then(|w| w.to_str()) {
            Some("balance") => Balance::parse(words).unwrap().line(),
            Some("drain") => Drain::parse(words).unwrap().line(),
            Some("health") => Health::parse(words).unwrap().line(),
            Some("release") => Release::parse(words).unwrap().line(),
            Some("env-files") => EnvFiles::parse(words).unwrap().line(),
            _ => Run::parse(words).unwrap().line(),
        };
    }
    words.retain(|word| word != "--user");
    assert_eq!(words.remove(0), "unit");
    Step::parse(words).unwrap().line()
}

#[test]
fn every_command_line_can_be_read_by_its_program_without_loss() {
    let user = Layout::user(Path::new("/home/u/.config"), Path::new("/run/user/1000"));
    let mut read = 0;
    for (case, layout) in cases()
        .iter()
        .flat_map(|case| [(case, Layout::system(Path::new("/"))), (case, user.clone())])
    {
        for text in rendered_for(case, &layout).files.values() {
            let units = unit::read(text).unwrap();
            for line in units.iter().filter(|d| d.key.starts_with("Exec")) {
                // The specifiers as systemd replaces them in the unit of instance 3, and in that of a user.
                let value = line.value.trim_start_matches(['+', '-']);
                let value = value.replace("%t", "/run/user/1000");
                let words = unit::words(&value, Dollar::Variable).unwrap();
                let words: Vec<String> = words.iter().map(|w| w.replace("%i", "3")).collect();
                if words
                    .first()
                    .is_some_and(|program| program == "/usr/bin/systemctl")
                {
                    continue;
                }
                let line = read_back(&words).words();
                let line: Vec<String> =
                    line.into_iter().map(|w| w.into_string().unwrap()).collect();
                let end = words.len() - line.len();
                assert_eq!(line, words[end..], "{}: {value}", case.display());
                read += 1;
            }
        }
    }
    assert!(read > 100, "{read} lines");
}

/// The unit of a rehearsal is that of an instance in all that a program can notice.
#[test]
fn a_rehearsal_is_in_the_unit_of_an_instance() {
    let layout = Layout::system(Path::new("/"));
    let is_own = |line: &str| {
        let own = [
            "Description",
            "PartOf",
            "Sockets",
            "NonBlocking",
            "ExecStart",
            "ExecStartPost",
            "ExecStop",
            "ExecStopPost",
            "TimeoutStartSec",
            "Restart",
            "CollectMode",
            "Slice",
            "RuntimeDirectoryPreserve",
            "RuntimeMaxSec",
            "SourcePath",
        ];
        let key = line.split('=').next().unwrap_or_default();
        // The report goes over a socket; connections are not spread over rehearsals, and none is started again.
        let beside = [":join@", ":brake.service", "rsgen-worker release"];
        let is_needed = line == "RestrictAddressFamilies=AF_UNIX"
            || beside.iter().any(|unit| line.contains(unit));
        is_needed || line.starts_with('#') || own.contains(&key) && !line.contains("/usr/local/")
    };
    for case in cases() {
        let text = fs::read_to_string(case.join("ecosystem.toml")).unwrap();
        let apps = ecosystem::parse("ecosystem.toml", &text).0;
        // A job binds nothing, and is not rehearsed.
        for app in apps.into_iter().filter(|app| !app.is_job()) {
            let rehearsal = plan::Rehearsal {
                number: 7,
                report: Path::new("/run/rsgen/:rehearsals/7.report"),
                longest: std::time::Duration::from_secs(30),
            };
            let rehearsal = plan::rehearsal(&app, &layout, HOST, rehearsal).unwrap();
            let set = plan::units(&app, Origin::Packaged, &layout, HOST).unwrap();
            let template = format!("{}@.service", app.name());
            let instance = set.files.get(Path::new(&template)).unwrap();
            let lines = |text: &str| -> Vec<String> {
                let lines = text.lines().filter(|l| !is_own(l));
                lines.map(str::to_owned).collect()
            };
            assert_eq!(lines(&rehearsal), lines(instance), "{}", case.display());
            let units = unit::read(&rehearsal).unwrap();
            let all = |key: &str| -> Vec<&str> {
                let found = units.iter().filter(|d| d.key == key);
                found.map(|d| d.value.as_str()).collect()
            };
            for (key, value) in [
                ("CollectMode", "inactive-or-failed"),
                ("Restart", "no"),
                ("RuntimeMaxSec", "30s"),
            ] {
                assert_eq!(all(key).last(), Some(&value), "{rehearsal}");
            }
            let ended = format!("+-/usr/bin/rsgen unit rehearsed {} 7", app.name());
            assert!(all("ExecStopPost").contains(&ended.as_str()), "{rehearsal}");
            assert!(all("Sockets").is_empty() && all("PartOf").is_empty());
        }
    }
}
