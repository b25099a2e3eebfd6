//! Takes over the terminal for a page of this program's own, and restores it however the program ends.

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::{Mutex, Once, PoisonError};

use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use nix::sys::termios::{tcgetattr, tcsetattr};

/// Another page than that of the shell, without a cursor, see "alternate screen" in `console_codes(4)`.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The state of the terminal before it was taken; `None` while nobody holds it.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);

struct Before {
    /// `None` if there are no keys.
    modes: Option<Termios>,
}

/// The keys that end or suspend a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// Ctrl-C is a signal.
    Signals,
    /// Ctrl-C, Ctrl-Z and Ctrl-\ are bytes like all other keys.
    Bytes,
}

/// The terminal, which is as it was before once this value is dropped, and also when a thread panics.
pub(super) struct Hold {
    pub(super) signals: SignalFd,
    /// Whether keys are read.
    pub(super) has_keys: bool,
    keys: Keys,
}

impl Hold {
    /// Takes over the terminal. The signals that end a command are blocked, so that none of them leaves the
    /// terminal in this state; threads that are started later inherit the mask.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub(super) fn take(keys: Keys) -> io::Result<Self> {
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
        if keys == Keys::Bytes {
            mask.add(Signal::SIGTSTP);
        }
        mask.thread_block()?;
        give_back_in_a_panic();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&mask, flags)?;
        let has_keys = enter(keys);
        Ok(Self {
            signals,
            has_keys,
            keys,
        })
    }

    /// Returns the next signal that has come.
    pub(super) fn signal(&self) -> Option<Signal> {
        let signal = self.signals.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(signal.ssi_signo).ok()?).ok()
    }

    /// Gives the terminal back and stops this process, as Ctrl-Z does, until it is continued. Returns the signal that
    /// came meanwhile, if there is one, without taking the terminal again: the process may be in the background.
    pub(super) fn suspend(&self) -> Option<Signal> {
        give_back();
        let mut stop = SigSet::empty();
        stop.add(Signal::SIGTSTP);
        // If no shell could continue the process, the kernel does not stop it.
        let _ = stop.thread_unblock();
        let _ = raise(Signal::SIGTSTP);
        let _ = stop.thread_block();
        while let Some(signal) = self.signal() {
            if signal != Signal::SIGWINCH && signal != Signal::SIGTSTP {
                return Some(signal);
            }
        }
        enter(self.keys);
        None
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        give_back();
    }
}

/// Takes the terminal; returns whether it has keys.
fn enter(keys: Keys) -> bool {
    let modes = silence(keys);
    let has_keys = modes.is_some();
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Before { modes });
    show(ENTER);
    has_keys
}

/// Restores the terminal, once.
fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        show(LEAVE);
        if let Some(modes) = &before.modes {
            let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, modes);
        }
    }
}

/// Restores the terminal before a panic is printed, since a program that is built to abort drops nothing.
fn give_back_in_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            tell(panic);
        }));
    });
}

/// Makes the terminal pass on each key at once without echo; returns its previous state. `None` if there are no keys.
fn silence(keys: Keys) -> Option<Termios> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return None;
    }
    let before = tcgetattr(&stdin).ok()?;
    let mut silent = before.clone();
    silent.local_flags &= !(LocalFlags::ICANON | LocalFlags::ECHO);
    if keys == Keys::Bytes {
        silent.local_flags &= !(LocalFlags::ISIG | LocalFlags::IEXTEN);
    }
    let characters = &mut silent.control_chars;
    for (index, value) in [
        // A command that is put into the background would leave the shell on this page.
        (SpecialCharacterIndices::VSUSP, 0),
        (SpecialCharacterIndices::VMIN, 1),
        (SpecialCharacterIndices::VTIME, 0),
    ] {
        if let Some(character) = characters.get_mut(index as usize) {
            *character = value;
        }
    }
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &silent).ok()?;
    Some(before)
}

/// Writes to the terminal, which may be gone.
pub(super) fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
