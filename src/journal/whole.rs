//! Joins the parts of lines that journald has split because they are longer than `LineMax=` of journald.conf(5), 48 KiB by
//! default.

use std::collections::HashMap;

use super::Entry;

/// The longest line in bytes; a longer one is shown in several parts.
const LONGEST: usize = 1 << 20;
/// The largest number of streams of which a part is kept.
const STREAMS: usize = 1024;
/// The largest number of bytes of all parts: any program may open many streams and never end a line.
const KEPT: usize = 16 * LONGEST;

/// The parts of lines whose end has not been read.
#[derive(Debug, Default)]
pub struct Whole {
    parts: HashMap<String, Entry>,
    /// The bytes of their texts.
    kept: usize,
}

impl Whole {
    /// Takes the next entry. Returns a whole line if the entry ends one.
    pub fn add(&mut self, mut entry: Entry) -> Option<Entry> {
        let Some(stream) = entry.stream.clone() else {
            return Some(entry);
        };
        if let Some(mut begun) = self.parts.remove(&stream) {
            self.kept -= begun.message.len();
            begun.message.push_str(&entry.message);
            begun.is_continued = entry.is_continued;
            entry = begun;
        }
        let length = entry.message.len();
        let has_room = self.parts.len() < STREAMS && self.kept + length <= KEPT;
        if !entry.is_continued || length >= LONGEST || !has_room {
            return Some(entry);
        }
        self.kept += length;
        self.parts.insert(stream, entry);
        None
    }

    /// Returns the lines whose end was never read, in the order of their beginnings.
    pub fn rest(&mut self) -> Vec<Entry> {
        self.kept = 0;
        let mut rest: Vec<Entry> = self.parts.drain().map(|(_, entry)| entry).collect();
        rest.sort_by_key(|entry| entry.time);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    fn part(time: u64, stream: &str, message: &str, is_continued: bool) -> Entry {
        Entry {
            time,
            unit: "web@0.service".to_owned(),
            source: Source::Unit,
            pid: None,
            priority: None,
            message: message.to_owned(),
            stream: Some(stream.to_owned()),
            is_continued,
        }
    }

    #[test]
    fn a_line_that_was_split_is_whole_again_whatever_others_write_meanwhile() {
        let mut whole = Whole::default();
        assert_eq!(whole.add(part(1, "a", "one ", true)), None);
        assert_eq!(
            whole.add(part(2, "b", "other", false)),
            Some(part(2, "b", "other", false))
        );
        assert_eq!(whole.add(part(3, "a", "two ", true)), None);
        assert_eq!(
            whole.add(part(4, "a", "three", false)),
            Some(part(1, "a", "one two three", false))
        );
        assert_eq!(
            whole.add(part(5, "a", "next", false)),
            Some(part(5, "a", "next", false))
        );
        let message = Entry {
            stream: None,
            ..part(6, "", "m", false)
        };
        assert_eq!(whole.add(message.clone()), Some(message));
    }

    #[test]
    fn a_line_without_an_end_is_shown_in_parts_and_at_the_end() {
        let mut whole = Whole::default();
        let long = "x".repeat(LONGEST);
        assert!(
            whole.add(part(1, "a", &long, true)).is_some(),
            "too long to wait for more"
        );
        assert_eq!(whole.add(part(3, "b", "late", true)), None);
        assert_eq!(whole.add(part(2, "a", "rest", true)), None);
        let rest: Vec<String> = whole.rest().into_iter().map(|e| e.message).collect();
        assert_eq!(rest, ["rest", "late"]);
        assert_eq!(whole.rest(), []);
        for stream in 0..STREAMS {
            assert_eq!(whole.add(part(4, &stream.to_string(), "", true)), None);
        }
        assert!(whole.add(part(4, "one more", "", true)).is_some());
    }

    #[test]
    fn many_lines_without_an_end_take_no_more_memory_than_a_few() {
        let mut whole = Whole::default();
        let text = "x".repeat(LONGEST - 1);
        for stream in 0..16 {
            let begun = part(1, &stream.to_string(), &text, true);
            assert_eq!(whole.add(begun), None);
        }
        assert!(whole.add(part(2, "more", &text, true)).is_some());
        let (fits, too_long) = ("x".repeat(16), "x".repeat(17));
        assert!(whole.add(part(2, "more", &too_long, true)).is_some());
        assert_eq!(whole.add(part(2, "more", &fits, true)), None);
        assert!(whole.add(part(2, "more", "", false)).is_some());
        // A line that ends makes room again.
        let ended = whole.add(part(3, "0", "y", false)).unwrap();
        assert_eq!(ended.message.len(), LONGEST);
        assert_eq!(whole.add(part(4, "more", &text, true)), None);
        let full = whole.add(part(4, "one more", &too_long, true));
        assert!(full.is_some(), "there is room for no more than that");
        assert_eq!(whole.rest().len(), 16);
        assert_eq!(whole.kept, 0);
    }
}
