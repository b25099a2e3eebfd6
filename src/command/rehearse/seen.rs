//! What is seen of a program in its rehearsal, and when that is enough. Nothing here asks systemd.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::findings;
use crate::contract::Ready;
use crate::contract::report::{Found, Report};
use crate::ecosystem::App;
use crate::procfs;
use crate::systemd::{ActiveState, Unit};

/// A program of which nothing new was heard for so long, and for as long as the last news took, is taken to have bound what
/// it binds. One that has said that it is READY is heard for this time only.
pub(super) const QUIET: Duration = Duration::from_millis(1500);
/// A program that listens and has been asleep for so long has bound what it binds.
const RESTED: Duration = Duration::from_secs(3);
/// A program that binds nothing and has been asleep for so long is up. A program that waits before its first bind(2) waits
/// for the network as a rule, and moves sooner: a resolver asks again after 5 s, and connect(2) sends its third SYN after 3 s
/// and its fourth after 7 s, see resolv.conf(5) and tcp(7).
pub(super) const ASLEEP: Duration = Duration::from_secs(8);
/// Of a hundred parts of a processor, what a program that is asleep may use: timers, heartbeats and long polls use less, a
/// program that loads its code uses all that it gets.
const SHARE: u128 = 3;
/// The most processes of a control group that are looked at.
const MOST_PROCESSES: usize = 64;

/// What was seen of a program.
pub(super) struct Seen {
    pub(super) found: Vec<Found>,
    pub(super) is_strange: bool,
    /// The path of a unix socket that the program's user may not make.
    pub(super) unmade: Option<String>,
    /// Whether the program has ended by itself.
    pub(super) has_ended: bool,
    /// What the journal has to know about the run.
    pub(super) run: Unit,
    begun: Instant,
    /// When something new was heard last.
    news: Instant,
    /// Whether the program has said that it is READY, if it is one that says so.
    is_told_ready: bool,
    rest: Rest,
}

/// Why a rehearsal is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// READY is clear and nothing new has come for a moment.
    Clear,
    /// The program has been asleep for [`ASLEEP`] without an address that can be shared.
    Asleep,
    /// The time was over.
    Late,
    /// The program has ended.
    Ended,
}

impl Seen {
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            found: Vec::new(),
            is_strange: false,
            unmade: None,
            has_ended: false,
            run: Unit::default(),
            begun: now,
            news: now,
            is_told_ready: false,
            rest: Rest::default(),
        }
    }

    /// Takes in a report.
    pub(super) fn take(&mut self, now: Instant, report: Report, app: &App) {
        let is_new = match report {
            Report::Found(found) if !self.found.contains(&found) => {
                // The same socket, which listens now.
                self.found.retain(|f| {
                    *f != Found {
                        listens: false,
                        ..found.clone()
                    }
                });
                self.found.push(found);
                true
            }
            Report::Strange => !std::mem::replace(&mut self.is_strange, true),
            Report::Unmade(path) => self.unmade.replace(path).is_none(),
            Report::Begun => true,
            Report::Ready if app.ready == Ready::Message => {
                !std::mem::replace(&mut self.is_told_ready, true)
            }
            Report::Ready | Report::Found(_) | Report::Ended(_) => false,
        };
        if is_new {
            self.news = now;
        }
    }

    /// Takes in the state of the unit, whose worker has reported if `is_heard`; whether the program has ended.
    pub(super) fn look(&mut self, now: Instant, unit: &Unit, is_heard: bool, app: &App) -> bool {
        if !unit.invocation.is_empty() {
            self.run = Unit {
                name: unit.name.clone(),
                invocation: unit.invocation.clone(),
                last_main_pid: unit.last_main_pid,
                began: unit.began,
                // systemd forgets the user with the last process.
                uid: unit.uid.or(self.run.uid),
                ..Unit::default()
            };
        }
        let is_active = unit.active == ActiveState::Active && app.ready == Ready::Notify;
        if is_active && !std::mem::replace(&mut self.is_told_ready, true) {
            self.news = now;
        }
        if is_heard {
            let waits = unit.main_pid != 0 && waits_for_disk(unit.main_pid);
            self.rest.look(now, unit.cpu_usage_nsec, waits);
        }
        // Before its job has begun the unit is inactive as well.
        self.has_ended = unit.is_gone() && unit.job.is_none();
        self.has_ended
    }

    /// Whether the rehearsal is over, and why.
    pub(super) fn over(&self, now: Instant, app: &App) -> Option<Over> {
        if self.has_ended {
            return Some(Over::Ended);
        }
        let quiet = now.duration_since(self.news);
        let asleep = self.rest.of(now).min(quiet);
        let is_clear = if self.is_told_ready {
            quiet >= QUIET
        } else {
            // A program that takes long to bind a first address takes as long for a second, unless it sleeps.
            let moment = QUIET.max(self.news.duration_since(self.begun));
            self.serves(app) && (quiet >= moment || asleep >= RESTED)
        };
        if is_clear {
            return Some(Over::Clear);
        }
        if !says_ready(app) && asleep >= ASLEEP {
            return Some(Over::Asleep);
        }
        (now.duration_since(self.begun) >= app.lifecycle.listen_timeout).then_some(Over::Late)
    }

    /// Whether a program that says when it is READY has not said so.
    pub(super) fn is_unready(&self, app: &App) -> bool {
        says_ready(app) && !self.is_told_ready
    }

    /// Whether a program that does not report READY listens.
    fn serves(&self, app: &App) -> bool {
        !says_ready(app) && findings::judge(&self.found, false).is_ok()
    }

    /// What the rehearsal waits for, and until when.
    pub(super) fn progress(&self, is_heard: bool, app: &App) -> String {
        let limit = app.lifecycle.listen_timeout.as_secs_f64();
        let what = if !is_heard {
            "the commands before the program run"
        } else if self.is_unready(app) {
            "not READY yet"
        } else if self.is_told_ready || self.serves(app) {
            "it listens; it may bind a further address"
        } else {
            let asleep = ASLEEP.as_secs();
            return format!(
                "no address bound yet; a program that sleeps for {asleep} s, or has bound none after {limit} s, has no port"
            );
        };
        format!("{what}; this ends after {limit} s")
    }
}

/// Whether the program of an app says by itself that it is READY.
fn says_ready(app: &App) -> bool {
    matches!(app.ready, Ready::Message | Ready::Notify)
}

/// For how long a program has been asleep, by the processor time of its control group.
#[derive(Debug, Default)]
struct Rest {
    last: Option<(Instant, u64)>,
    since: Option<Instant>,
}

impl Rest {
    /// Takes in the processor time so far, in nanoseconds, and whether a thread waits for a disk.
    fn look(&mut self, now: Instant, used: Option<u64>, waits_for_disk: bool) {
        let Some(used) = used else {
            // Without CPU accounting nothing is known.
            *self = Self::default();
            return;
        };
        let is_asleep = self.last.is_some_and(|(when, before)| {
            let share = u128::from(used.saturating_sub(before)) * 100;
            share <= now.duration_since(when).as_nanos() * SHARE
        });
        if is_asleep && !waits_for_disk {
            let begun = self.last.map(|(when, _)| when);
            self.since = self.since.or(begun);
        } else {
            self.since = None;
        }
        self.last = Some((now, used));
    }

    fn of(&self, now: Instant) -> Duration {
        self.since
            .map(|since| now.saturating_duration_since(since))
            .unwrap_or_default()
    }
}

/// Whether a thread of the unit of this process is in an uninterruptible sleep, as while a file is read.
fn waits_for_disk(main_pid: u32) -> bool {
    let group = std::fs::read_to_string(format!("/proc/{main_pid}/cgroup")).unwrap_or_default();
    let path = group.lines().find_map(|line| line.strip_prefix("0::/"));
    let list = path.map(|path| {
        PathBuf::from("/sys/fs/cgroup")
            .join(path)
            .join("cgroup.procs")
    });
    let list = list.and_then(|list| std::fs::read_to_string(list).ok());
    let list = list.unwrap_or_else(|| main_pid.to_string());
    list.lines().take(MOST_PROCESSES).any(|process| {
        let threads = std::fs::read_dir(format!("/proc/{process}/task"));
        threads.into_iter().flatten().flatten().any(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            procfs::stat(&stat).is_some_and(|(state, _)| state == 'D')
        })
    })
}

#[cfg(test)]
mod tests;
