//! `rsgen logs`: the lines that instances write, and those of systemd and rsgen about them, merged in the order of time.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use clap::Args;

use super::context::Context;
use super::last_words;
use super::line::{Before, Line};
use super::manual::{self, Manual};
use super::options;
use super::subcommand::Subcommand;
use super::targets::{self, Target};
use crate::journal::{Entry, JOURNALCTL, Query, Whole};
use crate::layout::{Layout, Scope};
use crate::output::{Exit, Failure, Notice};
use crate::unit::name::Units;

/// The longest entry in bytes of JSON that is read, since a program may send one of any size.
const LONGEST: u64 = 16 << 20;
/// The number of instances that are looked for in addition to those that an app should have: canaries, instances of an earlier
/// size, and those that are added while the command runs.
const MORE: u32 = 8;

/// Follow the output of instances and what happens to them
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// App names, instances as APP@N, or ecosystem files; without any, every app
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Begin with this many lines from the end, or with `all`
    #[arg(short = 'n', long, value_name = "N", default_value = "15", value_parser = lines)]
    lines: Lines,
    /// Exit after the existing lines
    #[arg(long, alias = "nostream")]
    no_follow: bool,
    /// Begin at a time, such as -1h, "10:30" or yesterday
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// End at a time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only lines that match a regular expression; lines longer than 48 KiB are searched in parts
    #[arg(short, long, value_name = "PATTERN", allow_hyphen_values = true)]
    grep: Option<String>,
    /// Only lines of the priority `err` and more severe ones
    #[arg(long)]
    err: bool,
}

/// The number of lines that are shown before new ones.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lines {
    All,
    Last(u32),
}

impl Lines {
    /// The number of lines to ask for; `None` for all. A range of time is shown whole.
    pub(super) fn outside(self, is_range: bool) -> Option<u32> {
        match self {
            Self::Last(lines) if !is_range => Some(lines),
            _ => None,
        }
    }
}

pub(super) fn lines(text: &str) -> Result<Lines, String> {
    match text {
        "all" => Ok(Lines::All),
        text => text
            .parse()
            .map(Lines::Last)
            .map_err(|_| "write a number, or `all`".to_owned()),
    }
}

impl Subcommand for Logs {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen logs",
                "Shows the last lines of all apps, and new ones until it is interrupted.",
            ),
            (
                "rsgen logs web@2 -n 100",
                "Shows the last hundred lines of one instance, and new ones.",
            ),
            (
                "rsgen logs web --since -1h --grep timeout --no-follow",
                "Shows the lines of the last hour that contain `timeout`.",
            ),
        ],
    };

    fn run(mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let words = options::Targets {
            targets: if self.targets.is_empty() {
                vec!["all".to_owned()]
            } else {
                self.targets.clone()
            },
            only: Vec::new(),
        };
        let targets = targets::resolve(context, &words, "show")?;
        if targets.is_empty() {
            let failure = Failure::failed("no app is installed");
            return Err(failure.help("begin with `rsgen install ecosystem.toml`"));
        }
        let mut is_all_over = true;
        for target in &targets {
            tell_file(context, target);
            is_all_over &= tell_beyond(context, target);
        }
        self.no_follow |= is_all_over;
        let (layout, cpus) = (&context.layout, context.host.cpus);
        let units = targets.iter().flat_map(|t| units(layout, cpus, t));
        let units: Vec<String> = units.collect();
        self.show(context, &units)
    }
}

impl Logs {
    fn query<'a>(&'a self, units: &'a [String]) -> Query<'a> {
        Query {
            units,
            lines: self
                .lines
                .outside(self.since.is_some() || self.until.is_some()),
            since: self.since.as_deref(),
            until: self.until.as_deref(),
            grep: self.grep.as_deref(),
            errors: self.err,
            follow: !self.no_follow && self.until.is_none(),
        }
    }

    fn show(&self, context: &Context<'_>, units: &[String]) -> Result<(), Failure> {
        if self.no_follow {
            // Waits until journald has stored all that was sent to it. Only root may ask for that; for others the last lines
            // may be missing.
            let _ = journalctl(&["--sync", "--quiet"])
                .stderr(Stdio::null())
                .status();
        }
        let uid = nix::unistd::geteuid().as_raw();
        let arguments = self.query(units).arguments(context.layout.scope, uid);
        let mut child = journalctl(&arguments)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| cannot_run(&e))?;
        let Some(out) = child.stdout.take() else {
            return Ok(());
        };
        let entries = Entries {
            out: BufReader::new(out),
            scope: context.layout.scope,
            units,
        };
        let (sink, is_search) = (context.sink, self.grep.is_some());
        let is_read = if self.query(units).is_reversed() {
            let mut entries: Vec<Entry> = entries.collect();
            entries.reverse();
            each(entries.into_iter(), is_search, |line| sink.item(line))
        } else {
            each(entries, is_search, |line| sink.item(line))
        };
        end(&mut child, is_read, is_search)
    }
}

pub(super) fn cannot_run(error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("cannot run `{JOURNALCTL}`: {error}"));
    if error.kind() == io::ErrorKind::ArgumentListTooLong {
        return failure.help("name some of the apps: together, all apps have too many units");
    }
    failure
}

/// The command journalctl(1), which inherits nothing of this environment.
pub(super) fn journalctl<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(JOURNALCTL);
    command
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// Passes on each line of these entries, as long as somebody reads them. Returns whether somebody has read them all.
pub(super) fn each(
    entries: impl Iterator<Item = Entry>,
    is_search: bool,
    mut take: impl FnMut(&Line) -> bool,
) -> bool {
    let mut whole = Whole::default();
    let mut before = Before::default();
    let mut show = |entry: &Entry| {
        let line = Line::of(entry, &mut before);
        line.is_none_or(|line| take(&line))
    };
    for mut entry in entries {
        // Of a line in several parts, journalctl prints only the parts that match.
        entry.is_continued &= !is_search;
        if whole.add(entry).is_some_and(|entry| !show(&entry)) {
            return false;
        }
    }
    whole.rest().iter().all(show)
}

/// The entries that journalctl prints.
pub(super) struct Entries<'a, R> {
    pub(super) out: R,
    pub(super) scope: Scope,
    pub(super) units: &'a [String],
}

/// Returns the next line of journalctl, cut if it is too long; `None` at the end.
fn next_line(out: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let mut bounded = out.by_ref().take(LONGEST);
    let length = bounded.read_until(b'\n', &mut line).ok()?;
    if !line.ends_with(b"\n") {
        out.skip_until(b'\n').ok()?;
    }
    (length > 0).then(|| String::from_utf8_lossy(&line).into_owned())
}

/// The lines that journalctl prints.
pub(super) fn json_lines(out: impl Read) -> impl Iterator<Item = String> {
    let mut out = BufReader::new(out);
    std::iter::from_fn(move || next_line(&mut out))
}

impl<R: BufRead> Iterator for Entries<'_, R> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            let line = next_line(&mut self.out)?;
            if let Some(entry) = Entry::parse(&line, self.scope, self.units) {
                return Some(entry);
            }
        }
    }
}

/// Ends journalctl, which would continue although nobody reads. With `--grep`, a status other than 0 means that nothing was found.
pub(super) fn end(child: &mut Child, is_read: bool, is_search: bool) -> Result<(), Failure> {
    if !is_read {
        let _ = child.kill();
        let _ = child.wait();
        return Ok(());
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) if is_search => Err(Failure::new(Exit::Failed, "")),
        Ok(status) => Err(Failure::failed(format!("`{JOURNALCTL}` failed: {status}")).help(
            "journalctl says why; root, and members of the group `systemd-journal`, may read the journal of the system",
        )),
        Err(e) => Err(Failure::failed(format!(
            "cannot wait for `{JOURNALCTL}`: {e}"
        ))),
    }
}

/// The units of a target whose entries are shown.
pub(super) fn units(layout: &Layout, cpus: u32, target: &Target) -> Vec<String> {
    match target {
        Target::Instance(app, number) => {
            let units = Units::of(app);
            vec![
                units.instance(*number),
                units.listener(*number),
                units.join(*number),
            ]
        }
        Target::App(app) => {
            let size = targets::size(layout, cpus, app);
            let names = Units::of(app);
            let mut units = names.sockets();
            units.extend([names.cluster(), names.timer()]);
            units.extend(names.beside());
            for number in 0..size.unwrap_or(0).saturating_add(MORE) {
                units.extend([
                    names.instance(number),
                    names.listener(number),
                    names.join(number),
                ]);
            }
            units
        }
    }
}

/// Names the file that an app writes to instead of the journal.
pub(super) fn tell_file(context: &Context<'_>, target: &Target) {
    let (Target::App(app) | Target::Instance(app, _)) = target;
    if let Some(elsewhere) = last_words::elsewhere(&context.layout, app, target.number()) {
        context.sink.notice(&Notice::Noted(app, &elsewhere));
    }
}

/// Reports an instance that the app does not have. Returns whether no line of it can come any more. A canary that is there is such
/// an instance, and its lines come.
pub(super) fn tell_beyond(context: &mut Context<'_>, target: &Target) -> bool {
    let Target::Instance(app, number) = target else {
        return false;
    };
    let size = targets::size(&context.layout, context.host.cpus, app);
    let Some(size) = size.filter(|size| number >= size) else {
        return false;
    };
    // Without a bus, the journal can still be read.
    if targets::is_there(context, target).unwrap_or(false) {
        return false;
    }
    let is_canary = *number == size;
    let what = if is_canary {
        format!("`{target}` exists only while a reload runs its canary")
    } else {
        format!(
            "`{target}` does not exist, since the app has {size} instances; the output of an earlier one is shown"
        )
    };
    context.sink.notice(&Notice::Noted(app, &what));
    !is_canary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::name::owner;

    #[test]
    fn what_is_no_entry_is_passed_over_and_a_line_of_any_length_ends() {
        let entry = r#"{"__REALTIME_TIMESTAMP":"1","UNIT":"web.service","MESSAGE":"m"}"#;
        let long = "x".repeat(usize::try_from(LONGEST).unwrap() + 7);
        let text = format!("-- No entries --\n{long}\n{entry}\n{entry}");
        let entries = Entries {
            out: text.as_bytes(),
            scope: Scope::System,
            units: &["web.service".to_owned()],
        };
        assert_eq!(entries.count(), 2);
    }

    #[test]
    fn too_many_units_are_told_from_a_missing_journalctl() {
        let help = |number| cannot_run(&io::Error::from_raw_os_error(number)).help;
        assert!(help(libc::E2BIG).is_some_and(|help| help.starts_with("name some of the apps")));
        assert_eq!(help(libc::ENOENT), None);
    }

    #[test]
    fn the_units_beside_an_instance_are_those_of_its_number() {
        let units = Units::of("web");
        let own = [units.instance(2), units.listener(2), units.join(2)];
        assert!(own.iter().all(|unit| owner(unit) == Some(("web", Some(2)))));
        assert_eq!(owner(&units.brake()), Some(("web", None)));
    }

    #[test]
    fn what_was_asked_for_by_its_time_is_shown_whole_and_ends_there() {
        let logs = |since: Option<&str>, until: Option<&str>, lines| Logs {
            targets: Vec::new(),
            lines,
            no_follow: false,
            since: since.map(str::to_owned),
            until: until.map(str::to_owned),
            grep: None,
            err: false,
        };
        let query = |logs: &Logs| {
            let query = logs.query(&[]);
            (query.lines, query.follow)
        };
        let last = Lines::Last(15);
        assert_eq!(query(&logs(None, None, last)), (Some(15), true));
        assert_eq!(query(&logs(Some("-1h"), None, last)), (None, true));
        assert_eq!(query(&logs(None, Some("now"), last)), (None, false));
        assert_eq!(
            query(&logs(None, None, lines("all").unwrap())),
            (None, true)
        );
        assert!(lines("few").is_err());
    }
}
