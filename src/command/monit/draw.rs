//! What is drawn where.

use anstyle::AnsiColor;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

use super::super::rows;
use super::super::targets::Target;
use super::log::LogLine;
use super::past::{Look, bars};
use super::state::{Page, State};
use crate::output::table;
use crate::visible::Visible;

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);
const BAD: Style = Style::new().fg(Color::Red);

/// The keys, for the last line and for the page of help.
const KEYS: &str = "r reload  + - scale  R restart  l log  ? help  q quit";
const HELP: &[(&str, &str)] = &[
    (
        "↑ ↓ k j",
        "select an app or an instance; also PgUp, PgDn, g, G",
    ),
    (
        "r",
        "reload the app: one instance after the other, losing no request",
    ),
    ("+ -", "add an instance, or remove one"),
    ("R", "restart the selection at once"),
    (
        "l Enter",
        "the log on the whole screen; ↑ ↓ PgUp PgDn g G scroll",
    ),
    ("^L", "redraw everything"),
    ("^Z", "back to the shell for a while; `fg` returns"),
    ("q ^C", "quit; a change under way continues"),
];
const QUESTION: &str = "changes ask for confirmation: y confirms, any other key cancels";

/// The fewest lines of a log that are worth a place.
const LOG: usize = 3;
/// The lines of the past of the chosen row, with their head.
const PAST: usize = 4;

/// A part of the screen that is filled from above.
struct Pen<'a> {
    page: &'a mut Buffer,
    left: u16,
    width: u16,
    next: u16,
    end: u16,
}

impl<'a> Pen<'a> {
    fn new(page: &'a mut Buffer) -> Self {
        let Rect {
            x,
            y,
            width,
            height,
        } = page.area;
        Self {
            page,
            left: x,
            width,
            next: y,
            end: y + height,
        }
    }

    fn columns(&self) -> usize {
        usize::from(self.width)
    }

    /// The lines that are left.
    fn room(&self) -> usize {
        usize::from(self.end.saturating_sub(self.next))
    }

    /// Writes a line, cut where the screen ends.
    fn line(&mut self, text: &str, style: Style) {
        if self.next < self.end {
            self.page
                .set_stringn(self.left, self.next, text, self.columns(), style);
            self.next += 1;
        }
    }

    /// Gives the last line another look.
    fn restyle(&mut self, from: usize, width: usize, style: Style) {
        let small = |number| u16::try_from(number).unwrap_or(u16::MAX);
        let x = self.left.saturating_add(small(from));
        let area = Rect::new(x, self.next.saturating_sub(1), small(width), 1);
        self.page
            .set_style(area.intersection(self.page.area), style);
    }

    /// Writes the head of a part.
    fn head(&mut self, text: &str) {
        let rest = self.columns().saturating_sub(table::columns(text) + 4);
        self.line(&format!("── {text} {}", "─".repeat(rest)), FAINT);
    }

    /// The last line, which is then no place for anything else.
    fn foot(&mut self, text: &str, style: Style) {
        if self.next < self.end {
            self.end -= 1;
            self.page
                .set_stringn(self.left, self.end, text, self.columns(), style);
        }
    }
}

/// Draws everything.
pub(super) fn page(page: &mut Buffer, state: &mut State) {
    let mut pen = Pen::new(page);
    foot(&mut pen, state);
    title(&mut pen, state);
    if let Some(failed) = &state.failed {
        pen.head(&format!("{} (press any key)", failed.title));
        let surplus = failed.said.len().saturating_sub(pen.room());
        for line in failed.said.iter().skip(surplus) {
            pen.line(line.as_str(), PLAIN);
        }
        return;
    }
    match state.page {
        Page::Apps => apps(&mut pen, state),
        Page::Log => log(&mut pen, state),
        Page::Help => help(&mut pen),
    }
}

fn title(pen: &mut Pen<'_>, state: &State) {
    let wanted: u32 = state.apps.iter().filter_map(|app| app.wanted).sum();
    let ready: usize = state.apps.iter().map(|app| app.ready).sum();
    let count = state.apps.len();
    let apps = if count == 1 { "app" } else { "apps" };
    let told = match &state.trouble {
        Some(trouble) => format!("systemd does not answer: {trouble}"),
        None if !state.has_seen => "…".to_owned(),
        None if count == 0 => "no app is installed".to_owned(),
        None => format!("{count} {apps}, {ready} of {wanted} serving"),
    };
    pen.line(&format!("monit  {told}"), BOLD);
    if state.trouble.is_some() {
        pen.restyle(0, pen.columns(), BAD);
    }
}

/// Asks, or shows what is under way; otherwise names the keys.
fn foot(pen: &mut Pen<'_>, state: &State) {
    if let Some(action) = &state.asked {
        let question = format!("{}{}? y/N", action.line(), action.warning());
        pen.foot(&question, CHOSEN);
    } else if let Some(running) = &state.running {
        let said = running.said.back().map_or("", |said| said.as_str().trim());
        pen.foot(&format!("{}: … {said}", running.action.line()), BOLD);
    } else if state.told.as_str().is_empty() {
        pen.foot(KEYS, PLAIN);
    } else {
        pen.foot(state.told.as_str(), BOLD);
    }
}

fn apps(pen: &mut Pen<'_>, state: &mut State) {
    let (heads, cells) = rows::tree(&state.apps, pen.columns().saturating_sub(2));
    let room = pen.room().saturating_sub(1);
    // The list has what the rest does not need, and the rest what the list does not.
    let has_log = room >= LOG + 4;
    let has_past = room >= PAST + LOG + 5;
    let rest = if has_past { PAST } else { 0 } + if has_log { LOG + 1 } else { 0 };
    list(pen, state, (&heads, &cells), room.saturating_sub(rest));
    let Some(target) = state.target() else {
        return;
    };
    if has_past {
        past(pen, state, &target);
    }
    if has_log {
        pen.head(&format!("log of {target}"));
        let room = pen.room();
        lines(pen, state.log.shown(room));
    }
}

fn list(
    pen: &mut Pen<'_>,
    state: &mut State,
    (heads, cells): (&[&str], &[Vec<Visible>]),
    room: usize,
) {
    let lines = table::aligned(heads, cells);
    let mut lines = lines.iter().map(String::as_str);
    pen.line(&format!("  {}", lines.next().unwrap_or_default()), FAINT);
    state.top = state.top.min(state.chosen);
    state.top = state.top.max((state.chosen + 1).saturating_sub(room));
    let at = heads.iter().position(|head| *head == "STATUS");
    let widths = table::widths(heads, cells);
    let before = widths.iter().take(at.unwrap_or(0));
    let from = 2 + before.map(|width| width + 2).sum::<usize>();
    for (number, line) in lines.enumerate().skip(state.top).take(room) {
        let is_chosen = number == state.chosen;
        let mark = if is_chosen { '>' } else { ' ' };
        pen.line(&format!("{mark} {line}"), PLAIN);
        let status = cells.get(number).zip(at).and_then(|(row, at)| row.get(at));
        if let Some(status) = status {
            let style = Style::new().fg(colour(status.as_str()));
            pen.restyle(from, table::columns(status.as_str()), style);
        }
        if is_chosen {
            pen.restyle(0, pen.columns(), CHOSEN);
        }
    }
}

/// The colour of a state, as `rsgen list` has it; of `3/4`, whether all serve.
fn colour(status: &str) -> Color {
    let colour = match status.split_once('/') {
        Some((ready, wanted)) if ready == wanted => AnsiColor::Green,
        Some(_) => AnsiColor::Yellow,
        None => rows::colour(status),
    };
    match colour {
        AnsiColor::Green => Color::Green,
        AnsiColor::Red => Color::Red,
        _ => Color::Yellow,
    }
}

fn past(pen: &mut Pen<'_>, state: &State, target: &Target) {
    let number = match target {
        Target::App(_) => None,
        Target::Instance(_, number) => Some(*number),
    };
    pen.head(&target.to_string());
    let of = (target.app().to_owned(), number);
    let looks = state.past.last(&of, pen.columns().saturating_sub(18));
    let values = |value: fn(&Look) -> Option<f64>| looks.iter().map(value).collect::<Vec<_>>();
    let percent = |value: f64| format!("{value:.1}%");
    let whole = |value: f64| format!("{value:.0}");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was a number of bytes"
    )]
    let bytes = |value: f64| table::bytes(value as u64);
    // Little looks like little: a bar of full height is at least this.
    sparkline(pen, "CPU", &values(|look| look.cpu), (100.0, &percent));
    sparkline(pen, "MEMORY", &values(|look| look.memory), (0.0, &bytes));
    sparkline(pen, "QUEUE", &values(|look| look.waiting), (8.0, &whole));
}

fn sparkline(
    pen: &mut Pen<'_>,
    name: &str,
    values: &[Option<f64>],
    (least, text): (f64, &dyn Fn(f64) -> String),
) {
    let latest = values
        .last()
        .copied()
        .flatten()
        .map_or("-".to_owned(), text);
    pen.line(
        &format!("  {name:6} {latest:>7} {}", bars(values, least)),
        PLAIN,
    );
}

fn log(pen: &mut Pen<'_>, state: &mut State) {
    let target = state.target().map_or(String::new(), |t| t.to_string());
    state.log.fit(pen.room().saturating_sub(1));
    let below = match state.log.up {
        0 => String::new(),
        up => format!(", {up} lines below"),
    };
    pen.head(&format!("log of {target}{below} (l or Esc: back)"));
    let room = pen.room();
    lines(pen, state.log.shown(room));
}

fn lines<'a>(pen: &mut Pen<'_>, lines: impl Iterator<Item = &'a LogLine>) {
    for line in lines {
        // A tab would be no cell.
        let text = line.text.as_str().replace('\t', "    ");
        pen.line(&text, if line.is_error { BAD } else { PLAIN });
    }
}

fn help(pen: &mut Pen<'_>) {
    pen.head("keys (any key: back)");
    for (keys, what) in HELP {
        pen.line(&format!("  {keys:8} {what}"), PLAIN);
    }
    pen.line(QUESTION, FAINT);
}
