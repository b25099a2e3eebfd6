//! The terminal as a screen that is redrawn repeatedly, until the user ends it.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::hold::{Hold, Keys, show};
use super::{Answer, Style};

/// The byte that Ctrl-C sends if the terminal does not turn it into a signal.
const INTERRUPT: u8 = 3;

/// A screen. The terminal is as it was before once this value is dropped.
pub struct Screen {
    style: Style,
    hold: Hold,
}

impl Screen {
    /// Takes over the terminal.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub(super) fn open(style: Style) -> io::Result<Self> {
        let hold = Hold::take(Keys::Signals)?;
        Ok(Self { style, hold })
    }

    /// Draws an answer over the present one, as much as there is room for.
    pub fn draw(&self, answer: &dyn Answer, footer: &str) {
        let text = answer.shown(self.style);
        let text = text.as_ref().map_or("", |text| text.as_str());
        let rows = terminal_size::terminal_size().map(|(_, rows)| usize::from(rows.0));
        show(&page(text, footer, rows.unwrap_or(usize::MAX)));
    }

    /// Waits until it is time to draw again, or the size of the terminal has changed. Returns `false` when
    /// the user presses `q` or Ctrl-C, or a signal asks for the end.
    #[must_use]
    pub fn goes_on(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut has_keys = self.hold.has_keys;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let stdin = io::stdin();
            let mut asked = vec![PollFd::new(self.hold.signals.as_fd(), PollFlags::POLLIN)];
            if has_keys {
                asked.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            }
            let left = PollTimeout::try_from(left + Duration::from_millis(1));
            let _ = poll(&mut asked, left.unwrap_or(PollTimeout::MAX));
            let is_key = asked.get(1).and_then(PollFd::any).unwrap_or(false);
            if let Some(signal) = self.hold.signal() {
                return signal == Signal::SIGWINCH;
            }
            if is_key {
                let mut keys = [0; 64];
                let count = stdin.lock().read(&mut keys).unwrap_or(0);
                has_keys = count > 0;
                let keys = keys.get(..count).unwrap_or_default();
                if keys.iter().any(|key| [b'q', b'Q', INTERRUPT].contains(key)) {
                    return false;
                }
            }
        }
    }
}

/// The bytes that fill a screen of this many rows: each line replaces the present one.
fn page(text: &str, footer: &str, rows: usize) -> String {
    let room = rows.saturating_sub(1).max(1);
    let lines: Vec<&str> = text.lines().collect();
    let mut page = "\x1b[H".to_owned();
    let fits = lines.len() <= room;
    let shown = if fits { lines.len() } else { room - 1 };
    for line in lines.iter().take(shown) {
        let _ = write!(page, "{line}\x1b[K\r\n");
    }
    if !fits {
        let _ = write!(page, "… {} more lines\x1b[K\r\n", lines.len() - shown);
    }
    let _ = write!(page, "{footer}\x1b[K\x1b[J");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a page, without the codes.
    fn lines(text: &str, rows: usize) -> Vec<String> {
        let page = page(text, "end", rows);
        let page = page.strip_prefix("\x1b[H").unwrap();
        let page = page.strip_suffix("\x1b[J").unwrap();
        let lines = page.split("\r\n");
        lines
            .map(|line| line.strip_suffix("\x1b[K").unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_page_never_has_more_lines_than_the_terminal_and_says_how_many_are_missing() {
        assert_eq!(lines("a\nb\nc", 4), ["a", "b", "c", "end"]);
        assert_eq!(lines("a\nb\nc\nd", 4), ["a", "b", "… 2 more lines", "end"]);
        assert_eq!(lines("a\nb", 1), ["… 2 more lines", "end"]);
        assert_eq!(lines("a\nb", usize::MAX), ["a", "b", "end"]);
    }
}
