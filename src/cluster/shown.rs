//! The status text of the cluster unit, which `systemctl status` shows, while instances come and go.
//!
//! systemd takes the text only from a process in the control group of the unit, and the cluster unit has none. So the command of the
//! brake unit, which each start of an instance starts, moves into that control group before it sends the text. Units of older versions
//! forbid that; their text stays as their own commands have set it.

use std::collections::BTreeSet;
use std::time::Duration;

use sd_notify::NotifyState;

use super::{Cluster, pause, progress};
use crate::brake::Deaths;
use crate::systemd::{ActiveState, Error, Manager};
use crate::visible::Visible;

/// How often, and at which interval, the text is sent until systemd has it.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);
/// The end of a text that a command of the cluster unit has set, see `notify_at_the_end`.
const HINT: &str = "; `rsgen ";

/// The instances of an app by what they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    serving: usize,
    errored: usize,
    /// Instances that are gone and were not given up.
    stopped: usize,
    all: usize,
}

impl Counts {
    /// Leaves out instances that are gone and that the text before did not count: canaries that systemd still knows, after this
    /// process was started. More instances come by a command of the cluster unit alone, which sets a text of its own.
    fn after(self, before: &str) -> Self {
        let there = self.all.saturating_sub(self.stopped);
        let most = all(before).map_or(self.all, |all| all.max(there));
        Self {
            all: self.all.min(most),
            ..self
        }
    }
}

/// Keeps the text up to date.
#[derive(Debug, Default)]
pub(super) struct Shown {
    is_inside: bool,
    is_refused: bool,
    /// The canaries that were there since the brake unit was started. systemd still knows them for a moment after their walk has
    /// forgotten them.
    canaries: BTreeSet<u32>,
}

impl Shown {
    /// Tells systemd how many instances serve, if its text says anything else. Returns whether that is done; while a command of the
    /// cluster unit runs, the text is the command's.
    pub(super) fn keep(
        &mut self,
        manager: &mut dyn Manager,
        cluster: &Cluster,
    ) -> Result<bool, Error> {
        self.canaries.extend(progress::canaries(cluster));
        let name = cluster.units().cluster();
        for _ in 0..TRIES {
            let leader = manager.unit(&name)?;
            let is_busy = matches!(
                leader.active,
                ActiveState::Reloading | ActiveState::Activating
            );
            if leader.job.is_some() || is_busy {
                return Ok(false);
            }
            if leader.active != ActiveState::Active || self.is_refused {
                return Ok(true);
            }
            // The pause unit has told how long that lasts.
            if pause::holds(manager, cluster)? {
                return Ok(true);
            }
            let counts = self.count(manager, cluster)?;
            let text = text(counts.after(&leader.status_text), &leader.status_text);
            if leader.status_text == text {
                return Ok(true);
            }
            if !self.is_inside {
                // A unit of an older version has no `Delegate=`.
                self.is_refused = manager.attach(&name).is_err();
                self.is_inside = !self.is_refused;
            }
            if self.is_inside {
                let text = Visible::line(&text);
                let _ = sd_notify::notify(&[NotifyState::Status(text.as_str())]);
                manager.pause(PAUSE);
            }
        }
        Ok(true)
    }

    fn count(&self, manager: &mut dyn Manager, cluster: &Cluster) -> Result<Counts, Error> {
        let mut canaries = progress::canaries(cluster);
        canaries.extend(progress::kept(&cluster.state));
        let mut counts = Counts::default();
        for (number, brief) in cluster.instances(manager)? {
            let was_canary = brief.is_gone() && self.canaries.contains(&number);
            if canaries.contains(&number) || was_canary {
                continue;
            }
            counts.all += 1;
            counts.serving += usize::from(brief.is_ready());
            let deaths = Deaths::load(&cluster.deaths(number));
            let is_errored = brief.is_gone() && deaths.is_some_and(|deaths| deaths.errored);
            counts.errored += usize::from(is_errored);
            counts.stopped += usize::from(brief.is_gone() && !is_errored);
        }
        Ok(counts)
    }
}

/// Returns the text, which continues with what happened last according to the text before.
fn text(counts: Counts, before: &str) -> String {
    let Counts {
        serving,
        errored,
        all,
        ..
    } = counts;
    let errored = match errored {
        0 => String::new(),
        number => format!(", {number} errored"),
    };
    let event = event(before).map(|event| format!("; {event}"));
    let event = event.unwrap_or_default();
    format!("{serving} of {all} serving{errored}{event}")
}

/// Returns what happened last, according to a text of this module or of a command of the cluster unit. What happened may name
/// commands itself.
fn event(text: &str) -> Option<&str> {
    if let Some((counts, event)) = text.split_once("; ")
        && is_count(counts)
    {
        return Some(event);
    }
    let (event, _) = text.rsplit_once(HINT)?;
    let is_start = event.ends_with(" came up at the start");
    Some(event).filter(|_| !is_start)
}

/// Whether this is the beginning of a text of this module: `3 of 4 serving, 1 errored`.
fn is_count(text: &str) -> bool {
    all(text).is_some()
}

/// Returns how many instances there are according to a text of this module.
fn all(text: &str) -> Option<usize> {
    let (counts, _) = text.split_once("; ").unwrap_or((text, ""));
    let words: Vec<&str> = counts.split(' ').collect();
    match words.as_slice() {
        [serving, "of", all, "serving" | "serving,", ..] => {
            serving.parse::<usize>().ok()?;
            all.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Scope;
    use crate::record::Journal;
    use crate::systemd::Unit;
    use crate::systemd::fake::Fake;

    #[test]
    fn an_instance_that_was_stopped_counts_and_a_canary_that_has_gone_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster {
            app: "web".into(),
            state: folder.path().join("web"),
            scope: Scope::System,
            journal: Journal::default(),
        };
        let mut fake = Fake::running(&["web.service", "web@0.service", "web@1.service"]);
        fake.set(Unit {
            name: "web@2.service".into(),
            load: "loaded".into(),
            active: ActiveState::Inactive,
            ..Unit::default()
        });
        let mut shown = Shown::default();
        let counted = |shown: &Shown, fake: &mut Fake| {
            let counts = shown.count(fake, &cluster).unwrap();
            text(counts, "")
        };
        assert_eq!(counted(&shown, &mut fake), "2 of 3 serving");
        fake.busy("web.service", "reload");
        progress::remember_canaries(&cluster, &[2]);
        assert_eq!(shown.keep(&mut fake, &cluster), Ok(false));
        progress::remember_canaries(&cluster, &[]);
        assert_eq!(counted(&shown, &mut fake), "2 of 2 serving");

        // Of one that nobody saw while it was up, the text before decides, unless it was given up.
        let before = "2 of 2 serving";
        let unseen = |fake: &mut Fake| {
            let counts = Shown::default().count(fake, &cluster).unwrap();
            text(counts.after(before), before)
        };
        assert_eq!(unseen(&mut fake), before);
        let given_up = Deaths {
            errored: true,
            ..Deaths::default()
        };
        given_up.store(&cluster.deaths(2)).unwrap();
        assert_eq!(unseen(&mut fake), "2 of 3 serving, 1 errored");
    }

    #[test]
    fn the_text_says_how_many_serve_and_what_happened_last() {
        let counts = |serving, errored| Counts {
            serving,
            errored,
            all: 4,
            ..Counts::default()
        };
        let all = counts(4, 0);
        assert_eq!(text(all, ""), "4 of 4 serving");
        let start = "4 of 4 came up at the start; `rsgen list web` shows which serve now";
        assert_eq!(text(all, start), "4 of 4 serving");
        let walk = "the last reload failed: a; b; `rsgen list web` shows which serve now";
        let after = text(counts(3, 1), walk);
        let expected = "3 of 4 serving, 1 errored; the last reload failed: a; b";
        assert_eq!(after, expected);
        assert_eq!(text(counts(3, 1), &after), expected);
        let mended = "4 of 4 serving; the last reload failed: a; b";
        assert_eq!(text(all, &after), mended);
        assert_eq!(text(counts(2, 0), "stopping"), "2 of 4 serving");
    }

    #[test]
    fn a_process_that_never_saw_the_canary_does_not_count_it_once_it_has_gone() {
        let told = |counts: Counts, before: &str| text(counts.after(before), before);
        let canary = Counts {
            serving: 2,
            stopped: 1,
            all: 3,
            ..Counts::default()
        };
        for event in ["", "; the last reload failed: 4 of 9 serving"] {
            let before = format!("2 of 2 serving{event}");
            assert_eq!(told(canary, &before), before);
        }
        // An instance that was stopped had been counted before.
        assert_eq!(told(canary, "3 of 3 serving"), "2 of 3 serving");
        // After a command of the cluster unit there may be more, and those that are there or errored count in any case.
        let start = "3 of 3 came up at the start; `rsgen list web` shows which serve now";
        assert_eq!(told(canary, start), "2 of 3 serving");
        let errored = Counts {
            errored: 1,
            stopped: 0,
            ..canary
        };
        assert_eq!(told(errored, "2 of 2 serving"), "2 of 3 serving, 1 errored");
    }

    #[test]
    fn what_happened_may_name_commands_and_counts() {
        let counts = |serving| Counts {
            serving,
            errored: 0,
            stopped: 0,
            all: 4,
        };
        let kept = "the last reload failed: web@4.service is kept; `rsgen reload web --promote` continues with it";
        let few = "the last reload failed: none of 4 serving; why";
        for event in [kept, few] {
            let told = format!("{event}; `rsgen list web` shows which serve now");
            let first = text(counts(4), &told);
            assert_eq!(first, format!("4 of 4 serving; {event}"));
            assert_eq!(text(counts(4), &first), first);
            assert_eq!(text(counts(3), &first), format!("3 of 4 serving; {event}"));
        }
    }
}
