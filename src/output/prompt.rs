//! Questions to a person at a terminal.

use std::io::{self, BufRead, Write};

use nix::sys::termios::{FlushArg, tcflush};

/// The way to ask a person who is at both ends.
#[derive(Debug)]
pub struct Prompt(());

impl Prompt {
    pub(super) fn new() -> Self {
        Self(())
    }

    /// Asks until the answer begins with one of these letters, in lower or upper case. `None` when nothing
    /// can be read any more. Input from before the question is not an answer to it.
    #[must_use]
    pub fn ask(&self, question: &str, letters: &[char]) -> Option<char> {
        let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
        loop {
            let mut stdout = io::stdout().lock();
            let shown = write!(stdout, "{question} ").and_then(|()| stdout.flush());
            shown.ok()?;
            let mut line = String::new();
            match io::stdin().lock().read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                // A line of other bytes is not an answer.
                Err(e) if e.kind() == io::ErrorKind::InvalidData => continue,
                Err(_) => return None,
            }
            if let Some(letter) = answer(&line, letters) {
                return Some(letter);
            }
        }
    }
}

fn answer(line: &str, letters: &[char]) -> Option<char> {
    let first = line.trim_start().chars().next()?.to_ascii_lowercase();
    letters.contains(&first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_begins_with_a_letter_of_the_question() {
        let letters = ['y', 'n'];
        for (line, letter) in [
            ("y\n", Some('y')),
            ("  Yes\n", Some('y')),
            ("NO\n", Some('n')),
            ("\n", None),
            ("e\n", None),
            ("\u{1b}y\n", None),
        ] {
            assert_eq!(answer(line, &letters), letter, "{line:?}");
        }
    }
}
