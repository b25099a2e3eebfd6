//! The crash-loop brake: how often an instance died too soon, and what follows from that.
//!
//! systemd's own start limit cannot be used, because an instance that reaches it fails the shared socket. So the
//! command that runs at the end of a run (`rsgen unit ended`, as root) counts in a file, and the one that begins the
//! next run (the worker, as any user, in any sandbox) reads the file. A file that cannot be read counts as no deaths.

use std::io;
use std::time::Duration;

use crate::contract::{Policy, REFUSED};
use crate::state::Entry;

/// After the end of a crash loop, a new start is delayed until this long after the last death.
const COOL_DOWN: Duration = Duration::from_secs(15);

/// The largest number of characters of a line in the file. A file with a longer line could not be read and would count
/// as no deaths.
const LONGEST: usize = 1000;

/// Quick deaths in a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deaths {
    /// The number of deaths.
    pub count: u32,
    /// When the last death was, on `CLOCK_BOOTTIME`.
    pub last: Duration,
    /// Whether the instance was given up. Each further start is then a single try.
    pub errored: bool,
    /// How the last run died, for people.
    pub reason: String,
    /// The invocation ID of the run that died, for the journal; empty if unknown.
    pub invocation: String,
    /// The main process of that run, for the journal as well.
    pub process: Option<Process>,
}

/// A main process that has ended, as the journal knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// The PID.
    pub pid: u32,
    /// When the process was started, by the clock: since 1970.
    pub began: Duration,
    /// When the process ended, by the same clock.
    pub ended: Duration,
    /// The user of the unit's processes; `None` where systemd names none, as for root and in the manager of a user.
    pub uid: Option<u32>,
}

impl Process {
    fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split(' ');
        Some(Self {
            pid: numbers.next()?.parse().ok()?,
            began: Duration::from_micros(numbers.next()?.parse().ok()?),
            ended: Duration::from_micros(numbers.next()?.parse().ok()?),
            uid: numbers.next().and_then(|uid| uid.parse().ok()),
        })
    }

    fn line(self) -> String {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (began, ended) = (micros(self.began), micros(self.ended));
        let uid = self.uid.map(|uid| format!(" {uid}")).unwrap_or_default();
        format!("{} {began} {ended}{uid}\n", self.pid)
    }
}

/// The decision before a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start.
    Go,
    /// Start after this time.
    Wait(Duration),
    /// Do not start, for this reason.
    Errored(String),
}

impl Deaths {
    /// Reads the file of an instance; `None` if there is no readable file.
    #[must_use]
    pub fn load(file: &Entry) -> Option<Self> {
        Self::parse(&file.read().ok()?)
    }

    /// Parses the text of such a file.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let mut numbers = lines.next()?.split(' ');
        let reason = lines.next()?;
        Some(Self {
            count: numbers.next()?.parse().ok()?,
            last: Duration::from_micros(numbers.next()?.parse().ok()?),
            errored: numbers.next()? == "errored",
            reason: reason.trim_end().to_owned(),
            // Older versions wrote neither the invocation ID nor the process.
            invocation: lines.next().unwrap_or_default().to_owned(),
            process: lines.next().and_then(Process::parse),
        })
    }

    /// Writes the file completely or not at all.
    ///
    /// # Errors
    /// The errors of the file system.
    pub fn store(&self, file: &Entry) -> io::Result<()> {
        file.write(&self.text())
    }

    /// Returns the text of such a file. When the text is read back, the time is in whole microseconds, and reason and
    /// invocation ID are one line each of at most [`LONGEST`] characters, without blanks at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let state = if self.errored { "errored" } else { "trying" };
        let last = u64::try_from(self.last.as_micros()).unwrap_or(u64::MAX);
        let (reason, invocation) = (line(&self.reason), line(&self.invocation));
        let process = self.process.map(Process::line).unwrap_or_default();
        format!(
            "{} {last} {state}\n{reason}\n{invocation}\n{process}",
            self.count
        )
    }

    /// Returns the state after one more death, which happened `uptime` after READY (zero if the run never was READY).
    #[must_use]
    pub fn after(
        previous: Option<Self>,
        uptime: Duration,
        now: Duration,
        reason: String,
        policy: &Policy,
    ) -> Self {
        let before = previous.filter(|_| uptime < policy.min_uptime);
        let errored = before.as_ref().is_some_and(|d| d.errored);
        let count = before
            .map_or(0, |d| d.count)
            .saturating_add(u32::from(uptime < policy.min_uptime));
        Self {
            count,
            last: now,
            errored,
            reason,
            invocation: String::new(),
            process: None,
        }
    }

    /// Returns the state after the worker gave up. Each further start is then a single try.
    #[must_use]
    pub fn given_up(self, policy: &Policy) -> Self {
        Self {
            count: policy.max_restarts.saturating_sub(1),
            errored: true,
            ..self
        }
    }

    /// Decides about the next start.
    #[must_use]
    pub fn decide(&self, policy: &Policy, now: Duration) -> Decision {
        // An instance that was refused is given up at once, and each further start is a single try.
        if let Some(why) = self.reason.strip_prefix(REFUSED).filter(|_| !self.errored) {
            return Decision::Errored(why.to_owned());
        }
        if self.count >= policy.max_restarts {
            let plural = if policy.max_restarts == 1 {
                "quick death"
            } else {
                "quick deaths in a row"
            };
            return Decision::Errored(format!(
                "errored after {} {plural}, the last: {}",
                policy.max_restarts, self.reason
            ));
        }
        let pause = if self.errored {
            COOL_DOWN
        } else {
            self.pause(policy)
        };
        match pause.checked_sub(now.saturating_sub(self.last)) {
            Some(left) if !left.is_zero() => Decision::Wait(left),
            _ => Decision::Go,
        }
    }

    fn pause(&self, policy: &Policy) -> Duration {
        let Some(first) = policy.backoff.filter(|_| self.count > 0) else {
            return Duration::ZERO;
        };
        let mut pause = first.min(COOL_DOWN);
        for _ in 1..self.count {
            let longer = (pause * 3 / 2).min(COOL_DOWN);
            // From here on the pause no longer grows, and the file may contain a count of four billion.
            if longer == pause {
                break;
            }
            pause = longer;
        }
        pause
    }
}

fn line(words: &str) -> String {
    let words = words.chars().take(LONGEST);
    words
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::state::Name;

    const POLICY: Policy = Policy {
        min_uptime: Duration::from_secs(1),
        max_restarts: 3,
        backoff: None,
    };
    const NOW: Duration = Duration::from_secs(1000);

    fn die(previous: Option<Deaths>, uptime_ms: u64) -> Deaths {
        Deaths::after(
            previous,
            Duration::from_millis(uptime_ms),
            NOW,
            "exited with status 1".into(),
            &POLICY,
        )
    }

    #[test]
    fn quick_deaths_in_a_row_end_it_and_a_long_life_makes_up_for_them() {
        let two = die(Some(die(None, 0)), 10);
        assert_eq!(two.decide(&POLICY, NOW), Decision::Go);
        let Decision::Errored(why) = die(Some(two.clone()), 0).decide(&POLICY, NOW) else {
            panic!("goes on")
        };
        assert!(
            why.contains("3 quick deaths") && why.contains("exited with status 1"),
            "{why}"
        );
        let min_uptime = 1000;
        assert_eq!(die(Some(two.clone()), min_uptime - 1).count, 3);
        assert_eq!(die(Some(two.clone()), min_uptime).count, 0);
        assert_eq!(die(Some(two), 5000).count, 0);
    }

    #[test]
    fn where_a_bind_was_refused_the_first_start_is_the_last_and_then_each_is_one_trial() {
        let reason = format!("{REFUSED}the program binds 0.0.0.0:1");
        let refused = Deaths::after(None, Duration::ZERO, NOW, reason, &POLICY);
        let why = Decision::Errored("the program binds 0.0.0.0:1".into());
        assert_eq!(refused.decide(&POLICY, NOW), why);
        let trial = refused.given_up(&POLICY);
        let later = NOW + Duration::from_secs(16);
        assert_eq!(trial.decide(&POLICY, later), Decision::Go);
    }

    #[test]
    fn after_the_end_each_start_is_one_trial_and_waits_for_the_cool_down() {
        let given_up = die(None, 0).given_up(&POLICY);
        assert_eq!(
            given_up.decide(&POLICY, NOW + Duration::from_secs(5)),
            Decision::Wait(Duration::from_secs(10))
        );
        assert_eq!(
            given_up.decide(&POLICY, NOW + Duration::from_secs(16)),
            Decision::Go
        );
        assert!(matches!(
            die(Some(given_up.clone()), 0).decide(&POLICY, NOW),
            Decision::Errored(_)
        ));
        assert!(!die(Some(given_up), 2000).errored);
    }

    #[test]
    fn the_pause_grows_by_half_up_to_fifteen_seconds() {
        let policy = Policy {
            backoff: Some(Duration::from_millis(100)),
            max_restarts: 100,
            ..POLICY
        };
        let pause = |count| {
            Deaths {
                count,
                ..Deaths::default()
            }
            .pause(&policy)
        };
        assert_eq!(pause(0), Duration::ZERO);
        assert_eq!(pause(1), Duration::from_millis(100));
        assert_eq!(pause(3), Duration::from_millis(225));
        assert_eq!(pause(50), Duration::from_secs(15));
    }

    #[test]
    fn no_number_of_deaths_takes_long_to_look_at() {
        for (backoff, after) in [(0, 0), (1, 15), (20_000, 15)] {
            let policy = Policy {
                backoff: Some(Duration::from_millis(backoff)),
                max_restarts: u32::MAX,
                ..POLICY
            };
            let deaths = Deaths {
                count: u32::MAX - 1,
                last: Duration::MAX,
                ..Deaths::default()
            };
            let pause = Duration::from_secs(after);
            assert_eq!(deaths.pause(&policy), pause);
            let go = (pause == Duration::ZERO).then_some(Decision::Go);
            let decision = deaths.decide(&policy, NOW);
            assert_eq!(decision, go.unwrap_or(Decision::Wait(pause)));
        }
    }

    #[test]
    fn what_is_written_can_be_read_whatever_it_is() {
        let deaths = Deaths {
            last: Duration::MAX,
            reason: "é".repeat(1 << 16),
            invocation: "a\nb".into(),
            ..die(None, 0)
        };
        let found = Deaths::parse(&deaths.text()).unwrap();
        assert_eq!(
            (found.count, found.last),
            (1, Duration::from_micros(u64::MAX))
        );
        assert_eq!(
            (found.reason, found.invocation),
            ("é".repeat(LONGEST), "a b".into())
        );
    }

    #[test]
    fn the_file_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = Entry::new(&folder.path().join("web"), Name::Deaths(0));
        let deaths = Deaths {
            reason: "a\nb".into(),
            invocation: "0123456789abcdef0123456789abcdef".into(),
            process: Some(Process {
                pid: 42,
                began: Duration::from_micros(1_700_000_000_000_042),
                ended: Duration::from_micros(1_700_000_000_500_001),
                uid: Some(33),
            }),
            ..die(None, 0)
        };
        deaths.store(&file).unwrap();
        // Older versions read the first two lines, so these must stay as they are.
        let text = file.read().unwrap();
        assert!(text.starts_with("1 1000000000 trying\na b\n"), "{text}");
        assert_eq!(
            Deaths::load(&file).unwrap(),
            Deaths {
                reason: "a b".into(),
                ..deaths
            }
        );
        let nowhere = Entry::new(Path::new("/nowhere/web"), Name::Deaths(0));
        assert_eq!(Deaths::load(&nowhere), None);
        file.write("2 7 trying\nkilled by SIGKILL\n").unwrap();
        let older = Deaths::load(&file).unwrap();
        assert_eq!(
            (older.count, older.reason.as_str()),
            (2, "killed by SIGKILL")
        );
        assert_eq!((older.invocation.as_str(), older.process), ("", None));
        file.write("2 7 trying\nkilled by SIGKILL\nab\n42 7 9\n")
            .unwrap();
        let of_root = Deaths::load(&file).unwrap().process.unwrap();
        assert_eq!((of_root.pid, of_root.uid), (42, None));
    }
}
