//! Tables that fit the terminal.

use crate::visible::Visible;

/// The least room for remarks in the last column, if they need it.
const REMARKS: usize = 20;
/// The width of the space around a cell.
const SPACE: usize = 2;

/// Formats a table without lines between its cells. If it is wider than the terminal, these columns are left
/// out, in this order, until it fits; the text of the last column, which has no head, is continued below.
#[must_use]
pub fn render(header: &[&str], rows: Vec<Vec<Visible>>, spared: &[&str]) -> Visible {
    let widest = width().map_or(usize::MAX, usize::from);
    let (header, rows) = fit(header, rows, spared, widest);
    Visible::composed(lines(&header, &rows, widest).join("\n"))
}

/// Formats a table with one line for its head and one for each row, however wide that is.
#[must_use]
pub fn aligned(header: &[&str], rows: &[Vec<Visible>]) -> Vec<String> {
    let widths = widths(header, rows);
    let head = std::iter::once(line(header.iter().copied(), &widths));
    let rows = rows
        .iter()
        .map(|row| line(row.iter().map(Visible::as_str), &widths));
    head.chain(rows).collect()
}

fn lines(header: &[&str], rows: &[Vec<Visible>], widest: usize) -> Vec<String> {
    let widths = widths(header, rows);
    let fixed = widths
        .iter()
        .zip(header)
        .filter(|(_, head)| !head.is_empty());
    let fixed: usize = fixed.map(|(width, _)| width + SPACE).sum();
    let room = widest.saturating_sub(fixed).max(REMARKS);
    let mut lines = vec![line(header.iter().copied(), &widths)];
    for row in rows {
        let remark = match header.last() {
            Some(&"") => row.last().map_or("", Visible::as_str),
            _ => "",
        };
        let mut remark = wrap(remark, room).into_iter();
        let first = remark.next().unwrap_or_default();
        let cells = row.iter().zip(header).map(|(cell, head)| match *head {
            "" => first.as_str(),
            _ => cell.as_str(),
        });
        lines.push(line(cells, &widths));
        lines.extend(remark.map(|more| format!("{:fixed$}{more}", "")));
    }
    lines
}

/// A line of cells, each filled up to the width of its column.
fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let cells = cells.zip(widths).map(|(cell, width)| {
        let missing = width.saturating_sub(columns(cell)) + SPACE;
        format!("{cell}{:missing$}", "")
    });
    cells.collect::<String>().trim_end().to_owned()
}

/// Divides a text at its blanks into lines of at most this many columns; a longer word has a line of its own.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) if columns(last) + 1 + columns(word) <= room => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Leaves out these columns, in this order, until the table is not wider than this.
#[must_use]
pub fn fit<'a>(
    header: &[&'a str],
    mut rows: Vec<Vec<Visible>>,
    spared: &[&str],
    widest: usize,
) -> (Vec<&'a str>, Vec<Vec<Visible>>) {
    let mut header = header.to_vec();
    for head in spared {
        if needed(&header, &rows) <= widest {
            break;
        }
        let Some(at) = header.iter().position(|h| h == head) else {
            continue;
        };
        header.remove(at);
        for row in rows.iter_mut().filter(|row| at < row.len()) {
            row.remove(at);
        }
    }
    (header, rows)
}

/// The width that a table needs for every cell to be in one line, apart from remarks.
fn needed(header: &[&str], rows: &[Vec<Visible>]) -> usize {
    let widths = widths(header, rows).into_iter().zip(header);
    let widths = widths.map(|(width, head)| match *head {
        "" => width.min(REMARKS),
        _ => width + SPACE,
    });
    widths.sum()
}

/// The width of each column.
#[must_use]
pub fn widths(header: &[&str], rows: &[Vec<Visible>]) -> Vec<usize> {
    let of = |(at, head): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        let widest = cells.map(|cell| columns(cell.as_str())).max();
        widest.unwrap_or(0).max(columns(head))
    };
    header.iter().enumerate().map(of).collect()
}

/// The columns that a text takes, without its colours.
#[must_use]
pub fn columns(text: &str) -> usize {
    let mut is_colour = false;
    let visible = text.chars().filter(|c| match c {
        '\u{1b}' => {
            is_colour = true;
            false
        }
        'm' if is_colour => {
            is_colour = false;
            false
        }
        _ => !is_colour,
    });
    visible.count()
}

/// Returns the number of columns of the terminal; `None` if there is no terminal.
fn width() -> Option<u16> {
    terminal_size::terminal_size().map(|(width, _)| width.0)
}

/// Formats a size for people.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: &[&str] = &["B", "K", "M", "G", "T"];
    let mut size = count;
    let mut tenths = 0;
    let mut unit = 0;
    while size >= 1024 && unit + 1 < UNITS.len() {
        tenths = size % 1024 * 10 / 1024;
        size /= 1024;
        unit += 1;
    }
    let suffix = UNITS.get(unit).copied().unwrap_or("");
    if unit == 0 || size >= 100 {
        format!("{size}{suffix}")
    } else {
        format!("{size}.{tenths}{suffix}")
    }
}

/// Formats a time span for people, in its largest unit or two.
#[must_use]
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, m) => format!("{m}min"),
        (0, h, m) => format!("{h}h {m}min"),
        (d, h, _) => format!("{d}d {h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_too_wide_is_spared_columns_in_their_order_and_keeps_its_remarks() {
        let red = Visible::composed("\u{1b}[31monline\u{1b}[0m".into());
        let row = || {
            vec![
                "web".into(),
                red.clone(),
                "123".into(),
                "why it is so, at length".into(),
            ]
        };
        let fitted = |widest| {
            let header = ["APP", "STATUS", "PID", ""];
            let (header, rows) = fit(&header, vec![row()], &["PID", "STATUS"], widest);
            assert_eq!(header.len(), rows[0].len());
            header
        };
        assert_eq!(fitted(38), ["APP", "STATUS", "PID", ""]);
        assert_eq!(fitted(37), ["APP", "STATUS", ""]);
        assert_eq!(fitted(32), ["APP", ""]);
        assert_eq!(fitted(1), ["APP", ""]);
    }

    #[test]
    fn colours_take_no_room_and_a_long_remark_goes_on_below() {
        let red = Visible::composed("\u{1b}[31monline\u{1b}[0m".into());
        let why: Visible = "killed by the kernel for want of memory".into();
        let rows = [
            vec!["web".into(), red, why],
            vec!["a".into(), "up".into(), "".into()],
        ];
        let lines = lines(&["APP", "STATUS", ""], &rows, 33);
        let expected = [
            "APP  STATUS",
            "web  \u{1b}[31monline\u{1b}[0m  killed by the kernel",
            "             for want of memory",
            "a    up",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn sizes_and_spans_are_short() {
        assert_eq!(
            [bytes(5), bytes(1536), bytes(52_700_000), bytes(200 << 30)],
            ["5B", "1.5K", "50.2M", "200G"]
        );
        assert_eq!(
            [span(5), span(65), span(3700), span(90_000)],
            ["5s", "1min", "1h 1min", "1d 1h"]
        );
    }
}
