//! The events of a command that works, with one variant for each thing that is reported.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::ecosystem::values::Instances;
use crate::ecosystem::{By, Chosen, Report};
use crate::plan::diff::Change;
use crate::systemd::Verb;
use crate::visible::Visible;
use crate::walk::{Killed, Record};

/// The words for a cancelled job, for which systemd's result is `canceled`.
pub const CANCELLED: &str = "cancelled by another job of systemd";

/// How important a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Printed with `--verbose`.
    Detail,
    /// Printed, but not with `--quiet`.
    Progress,
    /// Always printed: part of the result.
    Result,
}

/// An event that has happened, or is about to.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// A file or link that is written or removed, by its path.
    Changed(&'a Change),
    /// A change that a dry run leaves undone, as a diff.
    Diff(&'a Change),
    /// A file or link that `rsgen uninstall` removes.
    Removed(&'a Path),
    /// A file or link that `rsgen generate` has written.
    Written(&'a str),
    /// An ecosystem file without faults.
    Good(&'a str),
    /// The faults of an ecosystem file that is only checked.
    Faults(&'a Report),
    /// A number of instances that an earlier command line chose for an app, and the number that the file has now.
    Chosen(&'a str, Chosen, Instances),
    /// The environment that an earlier command line chose for an app, and that still applies.
    KeptEnvironment(&'a str, &'a str),
    /// An app has no `user` and runs as the owner of a file.
    RunsAs {
        /// The name of the app.
        app: &'a str,
        /// The owner.
        user: &'a str,
        /// The file.
        file: &'a str,
    },
    /// The folder of a program comes first in the `PATH` of an app.
    FirstInPath(&'a str, &'a str),
    /// The program of an app is started once, for at most this long, to see where it listens.
    Rehearsing(&'a str, Duration),
    /// An address that a rehearsal has found; empty if there is none.
    Located(&'a str, &'a str),
    /// Another remark about an app.
    Noted(&'a str, &'a str),
    /// An app is started.
    Starting(&'a str),
    /// An app is restarted, all instances at once.
    Restarting(&'a str),
    /// The walk of an app is queued.
    Reloading(&'a str),
    /// A line of the walk's progress file.
    Walked(&'a Record),
    /// An instance that did not end by itself.
    Killed(&'a Killed),
    /// A job was cancelled and is queued again.
    QueuedAgain(Verb, &'a str),
    /// The job of an app's walk was cancelled; the walk itself may go on.
    WalkCancelled(&'a str),
    /// The object that a command has been waiting for, for an app.
    Waiting(&'a str, &'a str),
    /// A line, among the last, that a failed program wrote.
    LastWord(&'a Visible),
    /// The units of an app were put back, since no instance runs the new ones.
    PutBack(&'a str),
    /// An app is scaled from one number of instances to another.
    Scaling(&'a str, u32, u32),
    /// A verb was carried out on an app or an instance.
    Done(&'a str, &'a str),
    /// A remark on an omission of a command, and the command that does it.
    Remark(&'a str),
    /// A line of a command that a unit runs.
    Said(&'a str),
}

impl Notice<'_> {
    /// Returns how important the notice is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Diff(_) | Self::Said(_) => Level::Result,
            Self::Changed(change) if is_wanted(&change.path) => Level::Detail,
            _ => Level::Progress,
        }
    }

    /// Formats the notice for people.
    #[must_use]
    pub fn text(&self) -> Visible {
        match self {
            Self::Diff(change) => change.shown(),
            Self::LastWord(line) => (*line).clone(),
            Self::Faults(report) => report.render(false),
            other => Visible::line(&other.to_string()),
        }
    }
}

/// Returns whether a path is one of the links by which systemd starts an instance.
fn is_wanted(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::extension);
    folder.is_some_and(|extension| extension == "wants")
}

/// Returns the command line that restores the file's number of instances.
fn back(by: By, app: &str, now: Instances) -> String {
    match (by, now) {
        (By::Scale, Instances::Exactly(_) | Instances::Max) => format!("rsgen scale {app} {now}"),
        // For `scale`, a negative number means fewer than at present.
        (By::Option, _) | (By::Scale, Instances::Fewer(_)) => format!("--instances {now}"),
    }
}

/// Returns a number of instances in words.
#[must_use]
pub fn counted(instances: u32) -> String {
    match instances {
        1 => "1 instance".to_owned(),
        _ => format!("{instances} instances"),
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(change) => write!(f, "{} {}", change.verb(), change.path.display()),
            Self::Removed(path) => write!(f, "remove {}", path.display()),
            Self::Written(path) => f.write_str(path),
            Self::Good(path) => write!(f, "{path}: good"),
            Self::Chosen(app, chosen, now) if chosen.in_place_of == *now => write!(
                f,
                "{app}: instances = {}, as set by `{}`; the file has {now}, which `{}` restores",
                chosen.instances,
                chosen.by.words(),
                back(chosen.by, app, *now),
            ),
            Self::KeptEnvironment(app, name) => write!(
                f,
                "{app}: environment {name}, as `--env {name}` chose; `--env ''` restores the variables of `env` alone"
            ),
            Self::Chosen(app, chosen, now) => write!(
                f,
                "{app}: instances = {now}, since the file has changed; the {} of `{}` no longer applies",
                chosen.instances,
                chosen.by.words(),
            ),
            Self::RunsAs { app, user, file } => {
                write!(f, "{app}: runs as `{user}`, the owner of `{file}`")
            }
            Self::FirstInPath(app, program) => {
                write!(
                    f,
                    "{app}: uses `{program}`, whose folder comes first in its `PATH`"
                )
            }
            Self::Rehearsing(app, longest) => write!(
                f,
                "{app}: rehearsing: starting the program once, for at most {} s, to see where it listens",
                longest.as_secs_f64()
            ),
            Self::Located(app, "") => write!(f, "{app}: listens nowhere"),
            Self::Located(app, address) => write!(f, "{app}: listens on {address}"),
            Self::Noted(app, note) => write!(f, "{app}: {note}"),
            Self::Starting(app) => write!(f, "{app}: starting"),
            Self::Restarting(app) => write!(f, "{app}: restarting"),
            Self::Reloading(app) => write!(f, "{app}: reloading"),
            Self::Scaling(app, from, to) => {
                write!(f, "{app}: scaling from {from} to {}", counted(*to))
            }
            Self::Walked(record) => write!(f, "  {}", record.text),
            Self::Killed(killed) => write!(f, "{killed}"),
            Self::QueuedAgain(verb, unit) => {
                write!(f, "{verb} of {unit} was {CANCELLED}; queued again")
            }
            Self::WalkCancelled(app) => write!(f, "{app}: the job of the reload was {CANCELLED}"),
            Self::PutBack(app) => write!(f, "{app}: put back the units of the version that runs"),
            Self::Waiting(app, what) => write!(f, "{app}: {what}"),
            Self::Done(target, verb) => write!(f, "{target}: {verb} done"),
            Self::Remark(line) | Self::Said(line) => f.write_str(line),
            Self::Diff(_) | Self::LastWord(_) | Self::Faults(_) => write!(f, "{}", self.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::diff::Content;

    #[test]
    fn links_of_instances_are_details_and_a_diff_is_a_result() {
        let change = |path: &str| Change {
            path: path.into(),
            old: None,
            new: Some(Content::File("[Unit]\n".into())),
        };
        let unit = change("/etc/systemd/system/web.service");
        let link = change("/etc/systemd/system/web.service.wants/web@0.service");
        assert_eq!(Notice::Changed(&unit).level(), Level::Progress);
        assert_eq!(Notice::Changed(&link).level(), Level::Detail);
        assert_eq!(Notice::Diff(&link).level(), Level::Result);
        assert!(Level::Detail < Level::Progress && Level::Progress < Level::Result);
    }

    #[test]
    fn a_chosen_number_is_told_with_the_command_that_brings_back_the_files() {
        let told = |by, in_place_of, now| {
            let chosen = Chosen {
                by,
                instances: Instances::Exactly(8),
                in_place_of,
            };
            Notice::Chosen("web", chosen, now).to_string()
        };
        let (four, fewer) = (Instances::Exactly(4), Instances::Fewer(1));
        for (by, file, ends) in [
            (
                By::Option,
                four,
                "as set by `--instances`; the file has 4, which `--instances 4` restores",
            ),
            (
                By::Scale,
                four,
                "as set by `rsgen scale`; the file has 4, which `rsgen scale web 4` restores",
            ),
            (
                By::Scale,
                fewer,
                "as set by `rsgen scale`; the file has -1, which `--instances -1` restores",
            ),
        ] {
            assert_eq!(told(by, file, file), format!("web: instances = 8, {ends}"));
        }
        assert_eq!(
            told(By::Scale, four, fewer),
            "web: instances = -1, since the file has changed; the 8 of `rsgen scale` no longer applies"
        );
    }

    #[test]
    fn names_and_words_of_others_are_made_visible() {
        let change = Change {
            path: "/etc/a\u{1b}[2J".into(),
            old: Some(Content::File(String::new())),
            new: None,
        };
        let text = Notice::Changed(&change).text();
        assert_eq!(text.as_str(), r"remove /etc/a\x1b[2J");
        assert_eq!(Notice::Said("a\nb").text().as_str(), r"a\x0ab");
    }
}
