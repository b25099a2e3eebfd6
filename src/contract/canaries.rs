//! The note on the canaries of a walk: their numbers, and whether they are kept when the walk ends. The walk writes the note, and the
//! programs of the units read it.

/// The word before the numbers of canaries that are kept.
const KEPT: &str = "kept ";

/// Returns the note on these canaries.
#[must_use]
pub fn note(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(" ")
}

/// Returns the note on canaries that stay when the walk has ended.
#[must_use]
pub fn note_of_kept(numbers: &[u32]) -> String {
    format!("{KEPT}{}", note(numbers))
}

/// Returns whether the canaries in a note are kept.
#[must_use]
pub fn are_kept(note: &str) -> bool {
    note.starts_with(KEPT)
}

/// Returns the canaries in a note, kept or not; none if the note is not one.
#[must_use]
pub fn noted(note: &str) -> Vec<u32> {
    let numbers = note.strip_prefix(KEPT).unwrap_or(note);
    let numbers: Result<Vec<u32>, _> = numbers.split_whitespace().map(str::parse).collect();
    numbers.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_are_noted_are_read() {
        for numbers in [&[][..], &[4], &[4, 6, 7]] {
            assert_eq!(noted(&note(numbers)), numbers);
            assert_eq!(noted(&note_of_kept(numbers)), numbers);
            assert!(are_kept(&note_of_kept(numbers)) && !are_kept(&note(numbers)));
        }
        assert_eq!(noted("4"), [4], "as versions that had one canary wrote it");
        for broken in ["4 x", "-4", "4,5", "99999999999", "kept 4 kept 5"] {
            assert_eq!(noted(broken), [0; 0], "{broken}");
        }
    }
}
