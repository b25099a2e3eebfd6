//! Counting variables: `{3100 + i}` in an ecosystem file, where `i` is the number of the instance.
//!
//! systemd cannot calculate: it only replaces `%i` by the number, so the worker does the addition.

/// Returns the value for instance 0, from a text like `{3100 + i}`.
#[must_use]
pub fn first(text: &str) -> Option<u32> {
    let (first, number) = sum(text)?;
    (number == "i").then(|| first.parse().ok())?
}

/// Returns whether a text looks like a counting value but is not one.
#[must_use]
pub fn is_mistaken(text: &str) -> bool {
    let Some(inner) = inner(text).filter(|_| first(text).is_none()) else {
        return false;
    };
    let is_formula = inner
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " +-*/".contains(c));
    let mut words = inner.split(|c: char| !c.is_ascii_alphanumeric());
    is_formula
        && inner.contains(['+', '-', '*', '/'])
        && inner.contains(|c: char| c.is_ascii_digit())
        && words.any(|word| word == "i")
}

/// Returns the texts that a unit has before and after the number of the instance.
#[must_use]
pub fn around(first: u32) -> (String, &'static str) {
    (format!("{{{first} + "), "}")
}

/// Returns the value in the environment of an instance, from a text like `{3100 + 2}`.
#[must_use]
pub fn value(text: &str) -> Option<u64> {
    let (first, number) = sum(text)?;
    let (first, number): (u32, u32) = (first.parse().ok()?, number.parse().ok()?);
    Some(u64::from(first) + u64::from(number))
}

fn inner(text: &str) -> Option<&str> {
    text.strip_prefix('{')?.strip_suffix('}')
}

fn sum(text: &str) -> Option<(&str, &str)> {
    let (first, number) = inner(text)?.split_once('+')?;
    let first = first.trim();
    // `parse` would accept a sign.
    let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((first, number.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_and_i_count() {
        for (text, expected) in [
            ("{3100 + i}", Some(3100)),
            ("{3100+i}", Some(3100)),
            ("{0 + i}", Some(0)),
            ("{4294967295 + i}", Some(u32::MAX)),
        ] {
            assert_eq!(first(text), expected, "{text}");
            assert!(!is_mistaken(text));
        }
        for (text, mistaken) in [
            ("{3100 - i}", true),
            ("{i + 3100}", true),
            ("{4294967296 + i}", true),
            ("{3100 + i * 2}", true),
            ("{-1 + i}", true),
            ("{i}", false),
            ("{3100 + n}", false),
            ("3100 + i", false),
            ("{\"a\": 1 + i}", false),
            ("{}", false),
        ] {
            assert_eq!(first(text), None, "{text}");
            assert_eq!(is_mistaken(text), mistaken, "{text}");
        }
    }

    #[test]
    fn the_worker_adds_what_the_unit_says() {
        let (before, after) = around(u32::MAX);
        assert_eq!(
            value(&format!("{before}2{after}")),
            Some(u64::from(u32::MAX) + 2)
        );
        for text in ["{1 + i}", "{1 + %i}", "1", "{+1 + 2}", "{1 + -2}", "{1 +}"] {
            assert_eq!(value(text), None, "{text}");
        }
    }
}
