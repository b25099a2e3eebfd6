//! The terminal as cells to draw on, and its events: keys, signals, a new size.

use std::fmt::Write as _;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;
use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};
use ratatui_core::terminal::Terminal;

use super::hold::{Hold, Keys, show};
use super::keys::{self, Key};

/// How long the rest of a sequence may take, which distinguishes Escape from an arrow.
const SEQUENCE: Duration = Duration::from_millis(50);
/// The size if the terminal reports none.
const ASSUMED: Size = Size::new(80, 24);

/// A page of cells. The terminal is as it was before once this value is dropped.
pub struct Canvas {
    hold: Hold,
    terminal: Terminal<Codes>,
    bell: Bell,
    /// The bytes of an incomplete sequence.
    bytes: Vec<u8>,
}

/// An event at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// A signal asks for the terminal to be given back for a while.
    Suspend,
    /// A signal asks for the end, or the terminal is gone.
    End,
}

/// Interrupts the wait of a [`Canvas`], from any thread.
#[derive(Clone)]
pub struct Bell(Arc<EventFd>);

impl Bell {
    /// Rings.
    pub fn ring(&self) {
        // Writing fails only if the bell has already been rung many times.
        let _ = self.0.write(1);
    }
}

impl Canvas {
    /// Takes over the terminal.
    ///
    /// # Errors
    /// When signals cannot be waited for, or the terminal cannot be written to.
    pub(super) fn open(is_painted: bool) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = Bell(Arc::new(EventFd::from_value_and_flags(0, flags)?));
        let hold = Hold::take(Keys::Bytes)?;
        let codes = Codes::new(is_painted);
        Ok(Self {
            hold,
            terminal: Terminal::new(codes)?,
            bell,
            bytes: Vec::new(),
        })
    }

    /// Returns the bell that interrupts [`Self::wait`].
    #[must_use]
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Draws everything; unchanged cells are not written again.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn draw(&mut self, paint: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        let drawn = self.terminal.draw(|frame| paint(frame.buffer_mut()));
        drawn.map(drop)
    }

    /// Makes the next drawing write everything.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn forget(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Gives the terminal back and stops this process until it is continued. Returns whether to go on then.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn suspend(&mut self) -> io::Result<bool> {
        if self.hold.suspend().is_some() {
            return Ok(false);
        }
        self.forget()?;
        Ok(true)
    }

    /// Waits for at most this long until something happens, the bell rings or the size has changed.
    pub fn wait(&mut self, time: Duration) -> Vec<Input> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = if self.bytes.is_empty() {
                left
            } else {
                SEQUENCE
            };
            let Some((is_woken, is_key)) = self.poll(left) else {
                return vec![Input::End];
            };
            if let Some(signal) = self.hold.signal() {
                return match signal {
                    Signal::SIGWINCH => Vec::new(),
                    Signal::SIGTSTP => vec![Input::Suspend],
                    _ => vec![Input::End],
                };
            }
            let is_all = !is_key && !is_woken;
            if is_key && !self.read() {
                return vec![Input::End];
            }
            let keys = keys::take(&mut self.bytes, is_all);
            if is_woken || !keys.is_empty() || Instant::now() >= end {
                return keys.into_iter().map(Input::Key).collect();
            }
        }
    }

    /// Returns whether the bell has rung, and whether there are bytes; `None` when the terminal cannot be waited for.
    fn poll(&mut self, time: Duration) -> Option<(bool, bool)> {
        let stdin = io::stdin();
        let flags = PollFlags::POLLIN;
        let mut asked = [
            PollFd::new(self.hold.signals.as_fd(), flags),
            PollFd::new(self.bell.0.as_fd(), flags),
            PollFd::new(stdin.as_fd(), flags),
        ];
        let time = PollTimeout::try_from(time + Duration::from_millis(1));
        match poll(&mut asked, time.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
        let [_, bell, stdin] = asked;
        let is = |asked: &PollFd<'_>| asked.any().unwrap_or(false);
        let (is_woken, is_key) = (is(&bell), is(&stdin));
        if is_woken {
            let _ = self.bell.0.read();
        }
        Some((is_woken, is_key))
    }

    /// Reads the available bytes. Returns `false` if the terminal is gone.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 256];
        match nix::unistd::read(io::stdin(), &mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.bytes.extend(bytes.iter().take(count));
                true
            }
            Err(error) => matches!(error, Errno::EINTR | Errno::EAGAIN),
        }
    }
}

/// The control sequences of `console_codes(4)` that draw cells. Every terminal since the VT100 knows them.
struct Codes {
    is_painted: bool,
    /// The bytes to write next.
    text: String,
}

impl Codes {
    fn new(is_painted: bool) -> Self {
        let text = String::new();
        Self { is_painted, text }
    }

    /// Changes how the next cells look.
    fn look(&mut self, colour: Color, modifier: Modifier) {
        self.text.push_str("\x1b[0");
        for (of, code) in [
            (Modifier::BOLD, 1),
            (Modifier::DIM, 2),
            (Modifier::REVERSED, 7),
        ] {
            if modifier.contains(of) {
                let _ = write!(self.text, ";{code}");
            }
        }
        let code = match colour {
            Color::Red => 31,
            Color::Green => 32,
            Color::Yellow => 33,
            Color::Cyan => 36,
            _ => 39,
        };
        if self.is_painted {
            let _ = write!(self.text, ";{code}");
        }
        self.text.push('m');
    }
}

impl Backend for Codes {
    type Error = io::Error;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, cells: I) -> io::Result<()> {
        let mut last: Option<(u16, u16)> = None;
        let mut look = None;
        for (x, y, cell) in cells {
            if last.is_none_or(|(before, line)| line != y || before.checked_add(1) != Some(x)) {
                self.set_cursor_position((x, y))?;
            }
            last = Some((x, y));
            let of_cell = (cell.fg, cell.modifier);
            if look != Some(of_cell) {
                self.look(cell.fg, cell.modifier);
                look = Some(of_cell);
            }
            self.text.push_str(cell.symbol());
        }
        self.text.push_str("\x1b[0m");
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        let (row, column) = (u32::from(y) + 1, u32::from(x) + 1);
        let _ = write!(self.text, "\x1b[{row};{column}H");
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.text.push_str("\x1b[0m\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        let size = terminal_size::terminal_size();
        let size = size.map(|(columns, rows)| Size::new(columns.0, rows.0));
        Ok(size
            .filter(|size| size.width > 0 && size.height > 0)
            .unwrap_or(ASSUMED))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: self.size()?,
            pixels: Size::ZERO,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        // A terminal that is gone sends SIGHUP, or the end of its keys.
        show(&std::mem::take(&mut self.text));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ratatui_core::style::Style;

    use super::*;

    fn drawn(is_painted: bool) -> String {
        let mut codes = Codes::new(is_painted);
        let mut cells = Buffer::with_lines(["ab日c"]);
        let red = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
        cells.set_string(0, 0, "a", red);
        let before = Buffer::empty(cells.area);
        codes.draw(before.diff(&cells).into_iter()).unwrap();
        codes.text
    }

    #[test]
    fn neighbours_are_written_together_and_a_wide_character_takes_two_cells() {
        assert_eq!(
            drawn(true),
            "\x1b[1;1H\x1b[0;1;31ma\x1b[0;39mb日\x1b[1;5Hc\x1b[0m"
        );
    }

    #[test]
    fn without_colours_no_colour_is_named() {
        assert_eq!(
            drawn(false),
            "\x1b[1;1H\x1b[0;1ma\x1b[0mb日\x1b[1;5Hc\x1b[0m"
        );
    }
}
