//! Reads the progress file of a walk while the walk writes it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::state::{Entry, Name};
use crate::walk::Record;

/// Follows the progress file of a walk that has not begun.
pub(super) struct Tail {
    walk: Entry,
    /// The inode of the previous walk's file, which is not read.
    before: Option<u64>,
    reader: Option<BufReader<File>>,
}

impl Tail {
    /// Remembers the present file in the state folder of an app, so that the next one is read.
    pub(super) fn new(state: &Path) -> Self {
        let walk = Entry::new(state, Name::Walk);
        let before = walk.open().ok().and_then(|file| inode(&file));
        Self {
            walk,
            before,
            reader: None,
        }
    }

    /// Returns the records that were written since the last call.
    pub(super) fn read(&mut self) -> Vec<Record> {
        if self.reader.is_none() {
            let file = self.walk.open().ok();
            let newer = file.filter(|file| inode(file) != self.before);
            self.reader = newer.map(BufReader::new);
        }
        let Some(reader) = &mut self.reader else {
            return Vec::new();
        };
        let mut records = Vec::new();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok() {
            if !line.ends_with('\n') {
                // The end of the file, or an incomplete line, which the next call reads.
                let back = i64::try_from(line.len()).unwrap_or(0);
                let _ = reader.seek_relative(-back);
                break;
            }
            records.extend(Record::parse(&line));
            line.clear();
        }
        records
    }
}

fn inode(file: &File) -> Option<u64> {
    file.metadata().ok().map(|m| m.ino())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::walk::Event;

    #[test]
    fn only_whole_lines_of_the_next_walk_are_read_each_once() {
        let run = tempfile::tempdir().unwrap();
        let state = run.path().join("rsgen/web");
        let entry = Entry::new(&state, Name::Walk);
        let begun = Record::new(&Event::Begun {
            instances: 2,
            canary: true,
            canaries: None,
            kept: false,
        });
        let done = Record::new(&Event::Done {
            instances: 2,
            took_ms: 1,
        });
        entry.write(&format!("{}\n", done.line())).unwrap();
        let mut tail = Tail::new(&state);
        assert_eq!(tail.read(), [], "the previous walk's");

        let mut file = entry.begin().unwrap();
        assert_eq!(tail.read(), []);
        let line = done.line();
        let (start, rest) = line.split_at(10);
        write!(file, "{}\n{start}", begun.line()).unwrap();
        assert_eq!(tail.read(), [begun]);
        assert_eq!(tail.read(), [], "half a line");
        write!(file, "{rest}\nno JSON\n").unwrap();
        assert_eq!(tail.read(), [done]);
        assert_eq!(tail.read(), []);
    }
}
