//! What `rsgen reload` asks of the walk that it is about to have started: a unit's `ExecReload=` takes no arguments, so the command
//! leaves a note, which the walk takes once it has the lock.
//!
//! A note that its command has left behind must not change a later walk, and a walk that began later than expected must not replace
//! instances that were meant to stay. So the walk that finds an old note does nothing but fail.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::contract::Course;
use crate::state::{Entry, Name};

/// How long a note is valid. Nothing but the start of a process is between the two, unless another walk is under way.
const VALID: Duration = Duration::from_mins(1);

/// A note that is there and does not count.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Old;

/// Leaves a note for the next walk of the app with this state folder. `now` is the time since boot.
///
/// # Errors
/// When the note cannot be written.
pub fn ask(state: &Path, course: Course, now: Duration) -> io::Result<()> {
    Entry::new(state, Name::Asked).write(&format!("{course} {}", now.as_micros()))
}

/// Takes the note back.
pub fn forget(state: &Path) {
    // Usually the walk has taken it.
    let _ = Entry::new(state, Name::Asked).remove();
}

/// Takes the note, if there is one.
pub(super) fn take(state: &Path, now: Duration) -> Result<Option<Course>, Old> {
    let Ok(note) = Entry::new(state, Name::Asked).read() else {
        return Ok(None);
    };
    forget(state);
    course(&note, now).map(Some).ok_or(Old)
}

fn course(note: &str, now: Duration) -> Option<Course> {
    let (word, at) = note.split_once(' ')?;
    let at = Duration::from_micros(at.parse().ok()?);
    let age = now.checked_sub(at)?;
    word.parse().ok().filter(|_| age <= VALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_once_and_for_a_minute() {
        let run = tempfile::tempdir().unwrap();
        let state = run.path().join("rsgen/web");
        let seconds = Duration::from_secs;
        assert_eq!(take(&state, seconds(100)), Ok(None));
        ask(&state, Course::CanaryOnly, seconds(100)).unwrap();
        assert_eq!(take(&state, seconds(160)), Ok(Some(Course::CanaryOnly)));
        assert_eq!(take(&state, seconds(160)), Ok(None));
        for now in [99, 161] {
            ask(&state, Course::Promote, seconds(100)).unwrap();
            assert_eq!(take(&state, seconds(now)), Err(Old));
            assert_eq!(take(&state, seconds(now)), Ok(None), "removed");
        }
        for broken in ["", "promote", "begin 100000000", "abort x"] {
            assert_eq!(course(broken, seconds(100)), None, "{broken}");
        }
    }
}
