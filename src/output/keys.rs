//! The keys that a terminal sends.

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The arrow up.
    Up,
    /// The arrow down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    Home,
    /// To the last.
    End,
    /// Escape.
    Escape,
    /// Enter.
    Enter,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L, which requests a redraw of everything.
    Redraw,
    /// A printable character of ASCII.
    Char(char),
}

const ESCAPE: u8 = 0x1b;

/// Takes the keys out of the bytes that a terminal has sent, see "Escape sequences" in `console_codes(4)`. The
/// beginning of a sequence stays until the rest arrives; if nothing more arrives, `is_all`, it was the key Escape.
pub(super) fn take(bytes: &mut Vec<u8>, is_all: bool) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let (key, after) = match (first, after) {
            (&ESCAPE, [b'[' | b'O', sequence @ ..]) => {
                let end = sequence.iter().position(|b| (0x40..=0x7e).contains(b));
                let Some(end) = end else {
                    if is_all {
                        rest = &[];
                    }
                    break;
                };
                let (of_key, after) = sequence.split_at(end + 1);
                (of_sequence(of_key), after)
            }
            (&ESCAPE, []) if !is_all => break,
            (byte, after) => (of_byte(*byte), after),
        };
        keys.extend(key);
        rest = after;
    }
    *bytes = rest.to_vec();
    keys
}

fn of_byte(byte: u8) -> Option<Key> {
    match byte {
        ESCAPE => Some(Key::Escape),
        0x03 => Some(Key::Interrupt),
        0x0c => Some(Key::Redraw),
        0x1a => Some(Key::Suspend),
        b'\r' | b'\n' => Some(Key::Enter),
        b' '..=b'~' => Some(Key::Char(char::from(byte))),
        _ => None,
    }
}

fn of_sequence(sequence: &[u8]) -> Option<Key> {
    match sequence {
        [.., b'A'] => Some(Key::Up),
        [.., b'B'] => Some(Key::Down),
        [.., b'H'] | b"1~" | b"7~" => Some(Key::Home),
        [.., b'F'] | b"4~" | b"8~" => Some(Key::End),
        b"5~" => Some(Key::PageUp),
        b"6~" => Some(Key::PageDown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str, is_all: bool) -> (Vec<Key>, Vec<u8>) {
        let mut bytes = text.as_bytes().to_vec();
        let keys = take(&mut bytes, is_all);
        (keys, bytes)
    }

    #[test]
    fn sequences_are_keys_and_others_are_passed_over() {
        let all = "j\x1b[A\x1bOB\x1b[1;5A\x1b[5~\x1b[6~\x1b[H\x1b[4~\x1b[200~\x1b[3~ö\x03\x1a\r?";
        let expected = [
            Key::Char('j'),
            Key::Up,
            Key::Down,
            Key::Up,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
            Key::Interrupt,
            Key::Suspend,
            Key::Enter,
            Key::Char('?'),
        ];
        assert_eq!(keys(all, true), (expected.to_vec(), Vec::new()));
    }

    #[test]
    fn half_a_sequence_waits_for_its_rest_and_is_never_taken_for_letters() {
        for half in ["\x1b", "\x1b[", "\x1bO", "\x1b[1;5"] {
            assert_eq!(keys(half, false), (Vec::new(), half.as_bytes().to_vec()));
        }
        assert_eq!(keys("\x1b", true).0, [Key::Escape]);
        assert_eq!(keys("\x1b[1", true), (Vec::new(), Vec::new()));
        assert_eq!(keys("\x1bq", true).0, [Key::Escape, Key::Char('q')]);
    }
}
