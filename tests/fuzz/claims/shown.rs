//! Claims about output of a program that is shown on a terminal, in the journal or by systemd: no character of it is
//! interpreted, and of endless output only a few lines are kept.

use rsgen::cluster::lines::{Extent, LEFT_OUT, LONGEST, Lines};
use rsgen::visible::{self, Visible};

/// The bytes as output that is read in pieces of this size.
pub(crate) fn of_any_bytes(bytes: &[u8], piece: u8) {
    let mut read = Lines::new(Extent::OF_A_PROGRAM);
    let pieces = bytes.chunks(usize::from(piece).max(1));
    pieces.for_each(|piece| read.add(piece));
    let read = read.end();
    assert!(read.len() <= Extent::OF_A_PROGRAM.most() + 1);
    assert_eq!(read, first_and_last_lines(bytes));
    for line in &read {
        assert!(line.chars().count() <= LONGEST + 1 && !line.contains('\n'));
    }

    let text = String::from_utf8_lossy(bytes);
    of_any_text(&text);
    let middle = text.floor_char_boundary(text.len() / 2);
    let (one, other) = text.split_at(middle);
    assert!(one == other || Visible::line(one) != Visible::line(other));
    assert!(one == other || Visible::lines(one) != Visible::lines(other));
}

/// The same without minding how much there is.
fn first_and_last_lines(bytes: &[u8]) -> Vec<String> {
    let Extent { first, last } = Extent::OF_A_PROGRAM;
    let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    lines.pop_if(|open| open.is_empty());
    let show = |lines: &[&[u8]]| {
        let texts = lines.iter().map(|line| String::from_utf8_lossy(line));
        texts.map(|line| visible::cut(&line, LONGEST)).collect()
    };
    if lines.len() <= first + last {
        return show(&lines);
    }
    let mut shown: Vec<String> = show(&lines[..first]);
    shown.push(LEFT_OUT.to_owned());
    shown.append(&mut show(&lines[lines.len() - last..]));
    shown
}

fn of_any_text(text: &str) {
    let line = Visible::line(text);
    assert!(!line.as_str().contains(is_obeyed), "{line:?}");
    assert_eq!(Visible::again(line.as_str()), line);
    let again = Visible::again(text);
    assert!(!again.as_str().contains(is_obeyed), "{again:?}");
    let lines = Visible::lines(text);
    let is_one = |c| is_obeyed(c) && c != '\n';
    assert!(!lines.as_str().contains(is_one), "{lines:?}");
    assert_eq!(
        lines.as_str().matches('\n').count(),
        text.matches('\n').count()
    );
    assert!(!visible::json(text).contains(is_one));
    let short = visible::cut(text, 7);
    assert!(short == text || text.starts_with(short.strip_suffix('…').expect("a mark")));
    assert!(short.chars().count() <= 8);
}

/// Whether a terminal may interpret the character: control characters but the tab, and marks of direction and line separators
/// of Unicode.
fn is_obeyed(c: char) -> bool {
    let marks = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}'];
    let turns = ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c);
    c != '\t' && (c.is_control() || marks.contains(&c) || turns)
}
