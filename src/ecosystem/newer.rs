//! Directives that are missing from the list, either misspelt or known only to a newer systemd.

use std::ops::Range;

use super::diagnostic::{Diagnostic, Severity, nearest};
use crate::unit::directive::{self, NEWEST, Section};

/// Returns the fault of a directive that is not in the list. Guessing the intended directive compares the name with the
/// whole list.
pub(super) fn unknown(
    section: Section,
    name: &str,
    span: &Range<usize>,
    is_guessed: bool,
) -> Diagnostic {
    let names = || directive::known(section).map(|known| known.name);
    let near = is_guessed.then(|| nearest(name, names())).flatten();
    let help = near.map_or_else(
        || "see systemd.directives(7)".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    let mut fault = Diagnostic::error(
        span.clone(),
        format!("`{name}` is not a directive of this section"),
    )
    .help(help);
    // Only such a name may become a warning: anything else could become syntax of the unit.
    fault.is_of_unknown_directive = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    fault
}

/// Turns errors about unknown directives into warnings if the running systemd is newer than the list and may therefore
/// know them. `systemd` returns the version and is called only if there are such errors. Without a version they stay
/// errors.
pub fn allow_newer(faults: &mut [Diagnostic], systemd: impl FnOnce() -> Option<u32>) {
    let mut unknown = faults
        .iter_mut()
        .filter(|fault| fault.is_of_unknown_directive)
        .peekable();
    if unknown.peek().is_none() {
        return;
    }
    let Some(version) = systemd().filter(|version| *version > NEWEST) else {
        return;
    };
    for fault in unknown {
        fault.severity = Severity::Warning;
        let help = fault.help.take().unwrap_or_default();
        fault.help = Some(format!(
            "rsgen knows the directives up to systemd {NEWEST}, and this system runs {version}; {help}"
        ));
    }
}

/// Turns warnings about values that systemd ignores into errors, for commands that read a file before it is used. For
/// an installed file they stay warnings, so that it keeps working. They also stay warnings if systemd is newer than the
/// list and may accept the value.
pub fn refuse_ignored(faults: &mut [Diagnostic], systemd: Option<u32>) {
    if systemd.is_some_and(|version| version > NEWEST) {
        return;
    }
    for fault in faults.iter_mut().filter(|fault| fault.is_of_ignored_value) {
        fault.severity = Severity::Error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::{Report, parse};

    const NEW: &str = "RestartLotteryPercent";

    fn read(name: &str, systemd: Option<u32>) -> Report {
        let text = format!(
            "[[apps]]\nname = \"web\"\nscript = \"a.js\"\nlisten = 3000\n[apps.service]\n{name:?} = \"5\"\n"
        );
        let (apps, mut report) = parse("ecosystem.toml", &text);
        assert_eq!(apps[0].service, [(name.to_owned(), "5".to_owned())]);
        allow_newer(&mut report.diagnostics, || systemd);
        report
    }

    #[test]
    fn a_value_that_systemd_ignores_is_refused_before_it_is_used_and_by_no_reader_of_an_installed_file()
     {
        let text = "[[apps]]\nname = \"web\"\nscript = \"a.js\"\nlisten = 3000\n[apps.service]\nNice = [5, \"low\"]\n";
        let (apps, mut report) = parse("ecosystem.toml", text);
        assert_eq!((apps[0].service.len(), report.has_errors()), (2, false));
        let place = report.diagnostics[0].span.clone();
        assert_eq!(&text[place], "\"low\"");
        refuse_ignored(&mut report.diagnostics, Some(NEWEST + 1));
        assert!(!report.has_errors());
        refuse_ignored(&mut report.diagnostics, Some(NEWEST));
        assert!(report.has_errors());
        let shown = report.render(false).to_string();
        assert!(shown.contains("systemd ignores `Nice=low`"), "{shown}");
    }

    #[test]
    fn a_directive_that_no_systemd_of_the_list_has_is_an_error() {
        for systemd in [Some(249), Some(NEWEST), None] {
            let report = read(NEW, systemd);
            assert!(report.has_errors(), "{systemd:?}");
            let shown = report.render(false).to_string();
            assert!(
                shown.contains("is not a directive of this section"),
                "{shown}"
            );
            assert!(!shown.contains("this system runs"), "{shown}");
        }
    }

    #[test]
    fn it_is_a_warning_where_systemd_is_newer_than_the_list() {
        let report = read(NEW, Some(NEWEST + 1));
        assert!(!report.has_errors());
        let shown = report.render(false).to_string();
        assert!(
            shown.contains(&format!("this system runs {}", NEWEST + 1)),
            "{shown}"
        );
        assert!(
            shown.contains(&format!("up to systemd {NEWEST}")),
            "{shown}"
        );
        assert!(shown.contains("ecosystem.toml:6:1"), "{shown}");
    }

    #[test]
    fn the_name_that_was_meant_is_still_offered() {
        let shown = read("MemryMax", Some(NEWEST + 1)).render(false).to_string();
        assert!(shown.contains("did you mean `MemoryMax`?"), "{shown}");
    }

    #[test]
    fn what_cannot_be_the_name_of_a_directive_is_an_error_everywhere() {
        for name in [
            "memorymax",
            "",
            "A B",
            "A=b",
            "A\nExecStart",
            "[Service]",
            "Ä",
            "A\\",
        ] {
            assert!(read(name, Some(NEWEST + 1)).has_errors(), "{name:?}");
        }
    }

    #[test]
    fn a_file_without_unknown_directives_asks_nobody() {
        let (_, mut report) = parse("ecosystem.toml", "[[apps]]\nname = 3\n");
        allow_newer(&mut report.diagnostics, || unreachable!("nobody is asked"));
    }
}
