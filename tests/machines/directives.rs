//! Compares the list of directives, which tests/directives.py makes, with the systemd of each release.

use std::collections::BTreeSet;
use std::fmt::Write;

use rsgen::unit::directive::{BASELINE, NEWEST, Section, known};
use testbed::Machine;

use crate::cluster::ECOSYSTEM;

const SECTIONS: [(&str, Section); 3] = [
    ("Unit", Section::Unit),
    ("Service", Section::Service),
    ("Socket", Section::Socket),
];

/// A set of lines `section directive`.
type Directives = BTreeSet<String>;

/// The directives that this systemd lists itself.
fn dumped(machine: &Machine) -> Directives {
    let dump = machine.sh("/usr/lib/systemd/systemd --dump-configuration-items");
    let mut section = "";
    let mut found = Directives::new();
    for line in dump.text().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        } else if let Some((name, _)) = line.split_once('=')
            && SECTIONS.iter().any(|(s, _)| *s == section)
        {
            found.insert(format!("{section} {name}"));
        }
    }
    assert!(found.len() > 500, "not a list of directives: {dump:?}");
    found
}

/// The directives that a systemd has according to the list.
fn listed(version: u32) -> Directives {
    let of = |(name, section): (&'static str, Section)| {
        let has = known(section).filter(move |directive| {
            directive.since <= version && directive.until.is_none_or(|until| version <= until)
        });
        has.map(move |directive| format!("{name} {}", directive.name))
    };
    SECTIONS.into_iter().flat_map(of).collect()
}

pub(crate) fn of_this_systemd_are_all_in_the_list(machine: &mut Machine) {
    let version = machine.systemd_version();
    let (here, list) = (dumped(machine), listed(version));
    let gone: Vec<_> = list.difference(&here).collect();
    assert!(gone.is_empty(), "systemd {version} does not have {gone:?}");
    let lacking: Vec<_> = here.difference(&list).collect();
    // A systemd that is newer than the list may have more directives; `check` warns of them.
    let is_newer = version > NEWEST;
    assert!(
        lacking.is_empty() || is_newer,
        "the list has not: {lacking:?}"
    );
}

/// Whether `rsgen check` says that systemd ignores a directive. Its value does not matter here.
pub(crate) fn that_this_systemd_ignores_are_told_by_check_and_that_it_has_are_not(
    machine: &mut Machine,
) {
    let version = machine.systemd_version();
    machine.write_app("python.py", "/srv/web");
    let mut app =
        "[[apps]]\nname = \"web\"\nscript = \"python.py\"\nlisten = 3000\n[apps.service]\n"
            .to_owned();
    let dated = || known(Section::Service).filter(|d| d.since > BASELINE || d.until.is_some());
    let refused = |name: &str| rsgen::unit::directive::refusal(Section::Service, name).is_some();
    for directive in dated().filter(|d| !refused(d.name)) {
        let _ = writeln!(app, "{} = \"\"", directive.name);
    }
    machine.write(ECOSYSTEM, &app);
    let told = machine.run(&["rsgen", "check", ECOSYSTEM]).ok().stderr;
    for directive in dated().filter(|d| !refused(d.name)) {
        let has = directive.since <= version && directive.until.is_none_or(|u| version <= u);
        let line = format!("`{}` is ignored by systemd {version}", directive.name);
        assert_eq!(told.contains(&line), !has, "{line}\n{told}");
    }
}
