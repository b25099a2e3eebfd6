//! Tables that fit the terminal.

use comfy_table::{Table, presets};

use crate::visible::Visible;

/// Formats a table without lines between its cells.
#[must_use]
pub fn render(header: &[&str], rows: Vec<Vec<Visible>>) -> Visible {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>());
    if let Some(width) = width() {
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
        table.set_width(width);
    }
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Visible::composed(lines.join("\n"))
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
