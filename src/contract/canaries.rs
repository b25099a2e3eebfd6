//! The note on the canaries of a walk: their numbers. The walk writes it, and the programs of the units read it.

/// Returns the note on these canaries.
#[must_use]
pub fn note(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(" ")
}

/// Returns the canaries in a note; none if the note is not one.
#[must_use]
pub fn noted(note: &str) -> Vec<u32> {
    let numbers: Result<Vec<u32>, _> = note.split_whitespace().map(str::parse).collect();
    numbers.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_are_noted_are_read() {
        for numbers in [&[][..], &[4], &[4, 6, 7]] {
            assert_eq!(noted(&note(numbers)), numbers);
        }
        assert_eq!(noted("4"), [4], "as versions that had one canary wrote it");
        for broken in ["4 x", "-4", "4,5", "99999999999"] {
            assert_eq!(noted(broken), [0; 0], "{broken}");
        }
    }
}
