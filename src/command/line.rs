//! A line of `rsgen logs`.

use anstyle::AnsiColor;
use serde::Serialize;

use crate::journal::{Entry, Source};
use crate::output::{Shown, Style};
use crate::sys::clock::{Local, local};
use crate::unit::name::owner;
use crate::visible::Visible;

/// The colours of instances, by their numbers.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];
/// syslog(3)'s `LOG_ERR`, and more severe ones.
const ERR: u8 = 3;

/// The facts about earlier lines that the next line depends on.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The width of the longest name so far.
    width: usize,
    /// The day of the last line.
    day: Option<(i32, i32, i32)>,
}

/// A line as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    /// The time at which the line was written, in seconds since 1970.
    pub(super) time: f64,
    pub(super) app: String,
    /// The number of the instance; `None` for a line about the whole app.
    pub(super) instance: Option<u32>,
    pub(super) unit: String,
    /// `program`, `systemd` or `rsgen`.
    pub(super) source: &'static str,
    pub(super) pid: Option<u32>,
    pub(super) priority: Option<u8>,
    pub(super) message: String,
    #[serde(skip)]
    clock: Option<Local>,
    #[serde(skip)]
    width: usize,
    #[serde(skip)]
    is_new_day: bool,
}

impl Line {
    /// Returns the line for an entry; `None` for one about a unit that does not belong to an app.
    pub(super) fn of(entry: &Entry, before: &mut Before) -> Option<Self> {
        let (app, instance) = owner(&entry.unit)?;
        // Of the units with a number, only those of instances run the program of the app.
        let is_instance = instance.is_some() && !entry.unit.contains(':');
        let is_ours = !is_instance && entry.source == Source::Unit;
        let seconds = entry.time / 1_000_000;
        let clock = i64::try_from(seconds).ok().and_then(local);
        let day = clock.map(|c| (c.year, c.month, c.day));
        let is_new_day = day != before.day;
        before.day = day;
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a century fit")]
        let time = entry.time as f64 / 1e6;
        let mut line = Self {
            time,
            app: app.to_owned(),
            instance,
            unit: entry.unit.clone(),
            source: match entry.source {
                Source::Systemd => "systemd",
                Source::Root => "rsgen",
                Source::Unit if is_ours => "rsgen",
                Source::Unit => "program",
            },
            pid: entry.pid,
            priority: entry.priority,
            message: entry.message.clone(),
            clock,
            width: 0,
            is_new_day,
        };
        before.width = before.width.max(line.name().len());
        line.width = before.width;
        Some(line)
    }

    fn name(&self) -> String {
        match self.instance {
            Some(number) => format!("{}@{number}", self.app),
            None => self.app.clone(),
        }
    }

    fn colour(&self) -> Option<AnsiColor> {
        let number = usize::try_from(self.instance?).ok()?;
        COLOURS.get(number % COLOURS.len()).copied()
    }

    /// The text without the name of the unit with which systemd begins its messages, because the line begins with the name
    /// anyway.
    fn text(&self) -> &str {
        let said = (self.source == "systemd")
            .then(|| self.message.strip_prefix(&self.unit)?.strip_prefix(": "))
            .flatten();
        said.unwrap_or(&self.message)
    }
}

impl Shown for Line {
    /// Lines of systemd and of rsgen have another mark after the name, so no program can forge one.
    fn shown(&self, style: Style) -> Option<Visible> {
        let mut text = String::new();
        if let Some(at) = self.clock {
            if self.is_new_day {
                let day = format!("-- {}-{:02}-{:02} --\n", at.year, at.month, at.day);
                text.push_str(&day);
            }
            let time = format!("{:02}:{:02}:{:02} ", at.hour, at.minute, at.second);
            text.push_str(&time);
        }
        let mark = if self.source == "program" { '|' } else { '#' };
        let name = format!("{:1$} {mark}", self.name(), self.width);
        let name = match self.colour() {
            Some(colour) => style.paint(&name, colour),
            None => Visible::line(&name),
        };
        let said = match self.priority {
            // Lines of rsgen were made visible before they reached the journal.
            _ if self.source == "rsgen" => Visible::again(self.text()),
            Some(priority) if priority <= ERR => style.paint(self.text(), AnsiColor::Red),
            _ => Visible::line(self.text()),
        };
        Some(Visible::composed(format!("{text}{name} {said}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visible::json;

    const NOON: u64 = 1_700_000_000_000_000;

    fn entry(unit: &str, source: Source, message: &str) -> Entry {
        Entry {
            time: NOON,
            unit: unit.to_owned(),
            source,
            pid: Some(42),
            priority: Some(6),
            message: message.to_owned(),
            stream: None,
            is_continued: false,
        }
    }

    fn shown(entry: &Entry, before: &mut Before, style: Style) -> String {
        let line = Line::of(entry, before).unwrap();
        line.shown(style).unwrap().to_string()
    }

    #[test]
    fn lines_are_numbered_and_those_of_systemd_have_a_mark_of_their_own() {
        let mut before = Before::default();
        let mut show = |unit: &str, source, message: &str| {
            let shown = shown(&entry(unit, source, message), &mut before, Style::Plain);
            // The time of day depends on the machine.
            let shown = shown.rsplit('\n').next().unwrap_or_default();
            shown.split_once(' ').unwrap().1.to_owned()
        };
        let (unit, systemd) = (Source::Unit, Source::Systemd);
        assert_eq!(
            show("web.service", unit, "reload begun"),
            "web # reload begun"
        );
        assert_eq!(show("web.service", unit, "a \\x1b b"), "web # a \\x1b b");
        assert_eq!(
            show("web@1.service", unit, "hi \u{1b}[2J"),
            "web@1 | hi \\x1b[2J"
        );
        assert_eq!(
            show("web@1.service", unit, "a\nweb@0 | b"),
            "web@1 | a\\x0aweb@0 | b"
        );
        let died = "web@1.service: Main process exited";
        assert_eq!(
            show("web@1.service", systemd, died),
            "web@1 # Main process exited"
        );
        assert_eq!(
            show("web@1.service", systemd, "Started web."),
            "web@1 # Started web."
        );
        assert_eq!(
            show("web@1.service", Source::Root, "rsgen: x"),
            "web@1 # rsgen: x"
        );
        assert_eq!(
            show("web.socket", systemd, "Listening."),
            "web   # Listening."
        );
        assert_eq!(
            show("web@0.socket", systemd, "Listening."),
            "web@0 # Listening."
        );
        assert_eq!(show("web:watch.service", unit, "x"), "web   # x");
        assert_eq!(show("web:join@1.service", unit, "x"), "web@1 # x");
    }

    #[test]
    fn a_day_is_told_once_and_instances_differ_in_colour() {
        let mut before = Before::default();
        let first = entry("web@0.service", Source::Unit, "x");
        let begun = shown(&first, &mut before, Style::Terminal);
        assert!(begun.starts_with("-- 2023-11-1"), "{begun}");
        let next = shown(&first, &mut before, Style::Terminal);
        assert!(!next.contains("--"), "{next}");
        let other = shown(
            &entry("web@1.service", Source::Unit, "x"),
            &mut before,
            Style::Terminal,
        );
        assert_ne!(next.replace("web@0", "web@1"), other);
        let mut error = first.clone();
        error.priority = Some(3);
        let red = shown(&error, &mut before, Style::Terminal);
        error.priority = Some(4);
        let warning = shown(&error, &mut before, Style::Terminal);
        assert!(
            red.ends_with("\u{1b}[0m") && warning.ends_with(" x"),
            "{red}, {warning}"
        );
        assert_eq!(next, warning);
        let day = Entry {
            time: NOON + 86_400_000_000,
            ..first
        };
        assert!(shown(&day, &mut before, Style::Plain).starts_with("-- "));
    }

    #[test]
    fn scripts_get_the_text_as_it_was_written() {
        let entry = entry("web@1.service", Source::Systemd, "web@1.service: \u{1b}");
        let line = Line::of(&entry, &mut Before::default()).unwrap();
        let text = json(&serde_json::to_string(&line).unwrap());
        assert_eq!(
            text,
            r#"{"time":1700000000.0,"app":"web","instance":1,"unit":"web@1.service","source":"systemd","pid":42,"priority":6,"message":"web@1.service: \u001b"}"#
        );
        assert!(
            Line::of(
                &super::Entry {
                    unit: "x".into(),
                    ..entry
                },
                &mut Before::default()
            )
            .is_none()
        );
    }
}
