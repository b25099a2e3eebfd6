//! A note for the walk that `rsgen reload` is about to have started: a unit's `ExecReload=` takes no arguments, so the command
//! leaves a note, which the walk takes once it has the lock.
//!
//! A note that its command has left behind must not change a later walk, and a walk that began later than expected must not replace
//! instances that were meant to stay. So the walk that finds an old note does nothing but fail.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::contract::{Amount, Course};
use crate::state::{Entry, Name};
use crate::walk::Plan;

/// How long a note is valid. Nothing but the start of a process is between the two, unless another walk is under way.
const VALID: Duration = Duration::from_mins(1);

/// The differences of one walk from the command line of the unit; by default there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// A part of a reload in place of all of it.
    pub course: Option<Course>,
    /// How many canaries go first.
    pub surge: Option<Amount>,
    /// How many instances are replaced at a time.
    pub parallel: Option<Amount>,
}

/// The word for a whole walk, in the place of a course.
const ALL: &str = "all";
const SURGE: &str = "surge=";
const PARALLEL: &str = "parallel=";

impl Wish {
    /// A whole walk by the command line of the unit.
    pub const NONE: Self = Self {
        course: None,
        surge: None,
        parallel: None,
    };

    /// Returns whether nothing is wished, so that no note is needed.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Returns the plan of a walk with this wish.
    pub(super) fn applied_to(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        if let Some(surge) = self.surge {
            plan.canaries = canaries(surge, plan.instances);
        }
        if let Some(parallel) = self.parallel {
            plan.parallel = parallel.of(plan.instances);
        }
        plan
    }
}

/// Returns the number of canaries that stand for an amount. More than there are instances would have nothing to stand in for.
#[must_use]
pub fn canaries(surge: Amount, instances: u32) -> u32 {
    surge.of(instances).min(instances)
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.course {
            Some(course) => write!(f, "{course}")?,
            None => f.write_str(ALL)?,
        }
        for (name, amount) in [(SURGE, self.surge), (PARALLEL, self.parallel)] {
            if let Some(amount) = amount {
                write!(f, " {name}{amount}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Wish {
    type Err = Old;

    fn from_str(text: &str) -> Result<Self, Old> {
        let mut words = text.split(' ');
        let mut wish = Self {
            course: match words.next() {
                Some(ALL) => None,
                course => Some(course.and_then(|c| c.parse().ok()).ok_or(Old)?),
            },
            ..Self::NONE
        };
        for word in words {
            let amount = |amount: &str| amount.parse().map(Some).map_err(|_| Old);
            match (word.strip_prefix(SURGE), word.strip_prefix(PARALLEL)) {
                (Some(surge), _) => wish.surge = amount(surge)?,
                (_, Some(parallel)) => wish.parallel = amount(parallel)?,
                _ => return Err(Old),
            }
        }
        Ok(wish)
    }
}

/// A note that exists and does not count.
#[derive(Debug, PartialEq, Eq)]
pub struct Old;

/// A note that a command has left. It is taken back when this value ends, unless the walk or another command's note has taken its
/// place: without its note, the walk that the other command asks for would replace all instances.
#[must_use]
#[derive(Debug)]
pub struct Note {
    entry: Entry,
    text: String,
}

impl Drop for Note {
    fn drop(&mut self) {
        if self.entry.read().is_ok_and(|text| text == self.text) {
            let _ = self.entry.remove();
        }
    }
}

/// Leaves a note for the next walk of the app with this state folder. `now` is the time since boot.
///
/// # Errors
/// When the note cannot be written.
pub fn ask(state: &Path, wish: Wish, now: Duration) -> io::Result<Note> {
    let entry = Entry::new(state, Name::Asked);
    let text = format!("{wish} {}", now.as_micros());
    entry.write(&text)?;
    Ok(Note { entry, text })
}

/// Removes the note, regardless of who left it.
pub(super) fn forget(state: &Path) {
    // A note that stays is too old for a later walk.
    let _ = Entry::new(state, Name::Asked).remove();
}

/// Takes the note, if there is one.
pub(super) fn take(state: &Path, now: Duration) -> Result<Wish, Old> {
    let Ok(note) = Entry::new(state, Name::Asked).read() else {
        return Ok(Wish::NONE);
    };
    forget(state);
    wish(&note, now).ok_or(Old)
}

fn wish(note: &str, now: Duration) -> Option<Wish> {
    let (words, at) = note.rsplit_once(' ')?;
    let at = Duration::from_micros(at.parse().ok()?);
    let age = now.checked_sub(at)?;
    words.parse().ok().filter(|_| age <= VALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(course: Course) -> Wish {
        Wish {
            course: Some(course),
            ..Wish::NONE
        }
    }

    #[test]
    fn a_note_counts_once_and_for_a_minute() {
        let run = tempfile::tempdir().unwrap();
        let state = run.path().join("rsgen/web");
        let seconds = Duration::from_secs;
        assert_eq!(take(&state, seconds(100)), Ok(Wish::NONE));
        let _note = ask(&state, of(Course::CanaryOnly), seconds(100)).unwrap();
        assert_eq!(take(&state, seconds(160)), Ok(of(Course::CanaryOnly)));
        assert_eq!(take(&state, seconds(160)), Ok(Wish::NONE));
        for now in [99, 161] {
            let _note = ask(&state, of(Course::Promote), seconds(100)).unwrap();
            assert_eq!(take(&state, seconds(now)), Err(Old));
            assert_eq!(take(&state, seconds(now)), Ok(Wish::NONE), "removed");
        }
        let earlier = ask(&state, of(Course::Abort), seconds(100)).unwrap();
        let later = ask(&state, of(Course::CanaryOnly), seconds(101)).unwrap();
        drop(earlier);
        assert_eq!(take(&state, seconds(101)), Ok(of(Course::CanaryOnly)));
        drop(later);
        drop(ask(&state, of(Course::Abort), seconds(102)).unwrap());
        assert_eq!(take(&state, seconds(102)), Ok(Wish::NONE), "taken back");
    }

    #[test]
    fn a_note_is_read_as_it_was_written_or_not_at_all() {
        let amounts = [None, Some(Amount::Exactly(0)), Some(Amount::Percent(25))];
        for course in [None, Some(Course::Promote)] {
            for surge in amounts {
                for parallel in amounts {
                    let wish = Wish {
                        course,
                        surge,
                        parallel,
                    };
                    assert_eq!(wish.to_string().parse(), Ok(wish), "{wish}");
                }
            }
        }
        for broken in [
            "",
            "promote",
            "begin 100000000",
            "abort x",
            "all surge=x 100000000",
            "all surge=101% 100000000",
            "all fast=2 100000000",
            "surge=2 100000000",
        ] {
            assert_eq!(wish(broken, Duration::from_secs(100)), None, "{broken}");
        }
    }
}
