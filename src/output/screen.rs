//! The terminal as a screen that is drawn anew again and again, until somebody ends that.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use nix::sys::termios::{tcgetattr, tcsetattr};

use super::{Answer, Style};

/// Another page than that of the shell, without a cursor, see "alternate screen" in `console_codes(4)`.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// The byte that Ctrl-C sends where the terminal makes no signal of it.
const INTERRUPT: u8 = 3;

/// A screen. The terminal is as it was before once this value is dropped.
pub struct Screen {
    style: Style,
    signals: SignalFd,
    before: Option<Termios>,
}

impl Screen {
    /// Takes over the terminal. The signals that end a command are blocked, so that none of them leaves the terminal as it is
    /// drawn on; threads that are started later inherit that.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub(super) fn open(style: Style) -> io::Result<Self> {
        let mut mask = SigSet::empty();
        for signal in [
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGWINCH,
        ] {
            mask.add(signal);
        }
        mask.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let screen = Self {
            style,
            signals: SignalFd::with_flags(&mask, flags)?,
            before: silence(),
        };
        show(ENTER);
        Ok(screen)
    }

    /// Draws an answer in place of what is there, as much of it as there is room for.
    pub fn draw(&self, answer: &dyn Answer, footer: &str) {
        let text = answer.shown(self.style);
        let text = text.as_ref().map_or("", |text| text.as_str());
        let rows = terminal_size::terminal_size().map(|(_, rows)| usize::from(rows.0));
        show(&page(text, footer, rows.unwrap_or(usize::MAX)));
    }

    /// Waits until it is time to draw again, or the size of the terminal has changed. Returns `false` when somebody presses `q`
    /// or Ctrl-C, or a signal asks for the end.
    #[must_use]
    pub fn goes_on(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut has_keys = self.before.is_some();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let stdin = io::stdin();
            let mut asked = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            if has_keys {
                asked.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            }
            let left = PollTimeout::try_from(left + Duration::from_millis(1));
            let _ = poll(&mut asked, left.unwrap_or(PollTimeout::MAX));
            let is_key = asked.get(1).and_then(PollFd::any).unwrap_or(false);
            if let Ok(Some(signal)) = self.signals.read_signal() {
                return i32::try_from(signal.ssi_signo) == Ok(libc::SIGWINCH);
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

impl Drop for Screen {
    fn drop(&mut self) {
        show(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, before);
        }
    }
}

/// Has the terminal pass on each key at once and show none; returns how the terminal was before. `None` if there are no keys.
fn silence() -> Option<Termios> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return None;
    }
    let before = tcgetattr(&stdin).ok()?;
    let mut silent = before.clone();
    silent.local_flags &= !(LocalFlags::ICANON | LocalFlags::ECHO);
    // A command that is put into the background would leave the shell on this page.
    if let Some(suspend) = silent
        .control_chars
        .get_mut(SpecialCharacterIndices::VSUSP as usize)
    {
        *suspend = 0;
    }
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &silent).ok()?;
    Some(before)
}

fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// What is written in order to fill a screen of this many rows: each line replaces the one that is there.
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
