//! Compares the list of directives, which tests/directives.py makes, with the systemd of each release.

use std::collections::BTreeSet;
use std::fmt::Write;

use rsgen::unit::directive::{BASELINE, NEWEST, Section, known};
use testbed::Machine;

use crate::cluster::ECOSYSTEM;

const SECTIONS: [(&str, Section); 4] = [
    ("Unit", Section::Unit),
    ("Service", Section::Service),
    ("Socket", Section::Socket),
    ("Timer", Section::Timer),
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

/// Values of every type, right and wrong ones: each is tried on every directive.
const VALUES: &str = "yes|no|TRUE|oN|maybe|1|0|2|-1|+5|-20|19|20|-21|100|1000|-1000|1001|10000|10001|0x10|010|08|0777|7777|8|1.5|\
     1.5G|10.M|300M|300MB|300m|1 G|3T 10G|10G 3T|1M1K|50%|150%|0.5%|50.55%|.5%|1.5‰|5‱|infinity|Infinity|5s|5 s|5min 20s|5parsecs|1h30|\
     1.5h|.5s|5.|12.34.56|12.34 .56|+5s|2us|2µs|100ns|1month|SIGTERM|TERM|sigterm|15|64|65|RTMIN|RTMIN+3|RTMIN+30|RTMIN+40|SIGRTMAX-2|SIGFOO|idle|\
     none|mixed|control-group|auto|skip|kill|stop|continue|full|strict|read-only|tmpfs|private|self|identity|managed|connected|\
     disconnected|restart|closed|numa|all|0-3|0,1 2-3|3-0|0 a|a|5:3|3:5|5:|:5|infinity:infinity|5:infinity|1G:2G|5s:10s|+5:-5|\
     journal|syslog|console|kmsg+console|file:/x|append:x|append:/x|truncate:/x|null|tty|fd:a|fd|best-effort|realtime|7|99|fifo|rr|\
     batch|other|ext|deadline|debug|err|error|local7|kern|ftp|reboot-force|soft-reboot|halt|isolate|replace|lenient|low-delay|255|\
     256|127|128|terminate|abort|main|cgroup|inactive|avoid|omit|inherit|shared|invisible|default|pid|init|user|both|ipv6-only|local|\
     bind|preferred-many|4294967295|4294967296|18446744073709551615";

/// systemd reads no further in a unit in which this one is wrong.
const FATAL: &str = "DynamicUser";

pub(crate) fn are_refused_only_for_values_that_this_systemd_ignores(machine: &mut Machine) {
    let version = machine.systemd_version();
    let (mut caught, mut taken) = (0, Vec::<String>::new());
    for (name, section) in SECTIONS {
        let here = |known: &rsgen::unit::directive::Known| {
            known.since <= version && known.until.is_none_or(|until| version <= until)
        };
        let known: BTreeSet<&str> = known(section).filter(here).map(|k| k.name).collect();
        let checked = rsgen::unit::value::checked().filter(|d| known.contains(d) && *d != FATAL);
        let lines = checked.flat_map(|d| VALUES.split('|').map(move |value| (d, value.trim())));
        let lines: Vec<(&str, &str)> = lines.collect();
        let mut text = format!("[{name}]\n");
        for (directive, value) in &lines {
            let _ = writeln!(text, "{directive}={value}");
        }
        let kind = if section == Section::Socket {
            "socket"
        } else {
            "service"
        };
        let file = format!("/root/{name}.{kind}");
        machine.write(&file, &text);
        let told = machine.run(&["systemd-analyze", "verify", &file]);
        let told: BTreeSet<usize> = told
            .stderr
            .lines()
            .filter_map(|line| number(line, &file))
            .collect();
        for (at, (directive, value)) in lines.iter().enumerate() {
            if rsgen::unit::value::check(directive, value).is_err() {
                if !told.contains(&(at + 2)) {
                    taken.push(format!("{directive}={value}"));
                }
                caught += 1;
            }
        }
    }
    assert!(taken.is_empty(), "systemd {version} takes {taken:?}");
    assert!(caught > 5000, "only {caught} values are refused");
}

/// The number of the line that a message is about.
fn number(message: &str, file: &str) -> Option<usize> {
    let rest = message.strip_prefix(file)?.strip_prefix(':')?;
    rest.split(':').next()?.parse().ok()
}
