//! A note for the walk that `rsgen reload` is about to have started: a unit's `ExecReload=` takes no arguments, so the command
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
pub fn ask(state: &Path, course: Course, now: Duration) -> io::Result<Note> {
    let entry = Entry::new(state, Name::Asked);
    let text = format!("{course} {}", now.as_micros());
    entry.write(&text)?;
    Ok(Note { entry, text })
}

/// Removes the note, whoever has left it.
pub(super) fn forget(state: &Path) {
    // A note that stays is too old for a later walk.
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
        let _note = ask(&state, Course::CanaryOnly, seconds(100)).unwrap();
        assert_eq!(take(&state, seconds(160)), Ok(Some(Course::CanaryOnly)));
        assert_eq!(take(&state, seconds(160)), Ok(None));
        for now in [99, 161] {
            let _note = ask(&state, Course::Promote, seconds(100)).unwrap();
            assert_eq!(take(&state, seconds(now)), Err(Old));
            assert_eq!(take(&state, seconds(now)), Ok(None), "removed");
        }
        let earlier = ask(&state, Course::Abort, seconds(100)).unwrap();
        let later = ask(&state, Course::CanaryOnly, seconds(101)).unwrap();
        drop(earlier);
        assert_eq!(take(&state, seconds(101)), Ok(Some(Course::CanaryOnly)));
        drop(later);
        drop(ask(&state, Course::Abort, seconds(102)).unwrap());
        assert_eq!(take(&state, seconds(102)), Ok(None), "taken back");
        for broken in ["", "promote", "begin 100000000", "abort x"] {
            assert_eq!(course(broken, seconds(100)), None, "{broken}");
        }
    }
}
