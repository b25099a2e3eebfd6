//! Draws docs/reload.svg from walks on the fake systemd, so that its events and states are those of the code.
//!
//! `RSGEN_BLESS=1 cargo test --test picture` draws the picture anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::time::Duration;

use rsgen::contract::{Course, OnFailure};
use rsgen::systemd::fake::{Fake, Start};
use rsgen::walk::{self, Cause, Effects, Event, Plan};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reload.svg");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reload.md");

const LABEL: usize = 100;
const COLUMN: usize = 86;
const LANE: usize = 24;
const HEAD: usize = 84;
const GAP: usize = 26;
const INSTANCES: u32 = 2;

/// Prepares the behaviour of the units.
type Prepare = fn(&mut Fake);

/// What happens after failures, `on_failure` and `max_failures`, and the courses of the walks.
type Bounds = (OnFailure, u32, &'static [Option<Course>]);
const ABORT: Bounds = (OnFailure::Abort, 0, &[None]);

/// Walks with different results, and their titles.
const WALKS: &[(&str, Bounds, Prepare)] = &[
    ("a version that works", ABORT, |_| {}),
    ("a version that does not start", ABORT, |fake| {
        fake.script("web@2.service", &[Start::Fails]);
    }),
    ("an instance that fails once", ABORT, |fake| {
        fake.script("web@1.service", &[Start::Fails]);
    }),
    (
        "an instance that fails twice, on_failure = \"abort\"",
        ABORT,
        |fake| fake.script("web@1.service", &[Start::Fails, Start::Fails]),
    ),
    (
        "an instance that fails twice, on_failure = \"restart\"",
        (OnFailure::Restart, 0, &[None]),
        |fake| fake.script("web@1.service", &[Start::Fails, Start::Fails]),
    ),
    (
        "an instance that fails twice, max_failures = 1",
        (OnFailure::Abort, 1, &[None]),
        |fake| fake.script("web@0.service", &[Start::Fails, Start::Fails]),
    ),
    (
        "--canary-only, then --abort",
        (
            OnFailure::Abort,
            0,
            &[Some(Course::CanaryOnly), Some(Course::Abort)],
        ),
        |_| {},
    ),
    (
        "an instance that does not end, and one whose job is cancelled",
        ABORT,
        |fake| {
            fake.cling("web@0.service");
            fake.cancel("web@1.service", 1);
        },
    ),
];

const STYLE: &str = "\
text { font: 12px sans-serif; fill: black } .title { font-weight: bold } .event { font-size: 11px }
line { stroke: gray; stroke-dasharray: 2 3 } rect { stroke: none }
.old { fill: cornflowerblue } .rising { fill: gold } .new { fill: mediumseagreen } .failed { fill: indianred }
@media (prefers-color-scheme: dark) { text { fill: gainsboro } }";

/// The state of an instance between two events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Old,
    Rising,
    New,
    Failed,
}

impl State {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Old, "old", "serves the old version"),
        (Self::Rising, "rising", "drains, stops, starts"),
        (Self::New, "new", "serves the new version"),
        (Self::Failed, "failed", "has failed"),
    ];

    fn class(self) -> &'static str {
        Self::ALL.iter().find(|(s, ..)| *s == self).unwrap().1
    }
}

#[derive(Default)]
struct Notes {
    events: Vec<Event>,
    canaries: Vec<u32>,
    kept: Vec<u32>,
}

impl Effects for Notes {
    fn step(&mut self, _: Duration) {}
    fn tell(&mut self, event: &Event) {
        self.events.push(event.clone());
    }
    fn forget(&mut self, _: u32) {}
    fn remember_canaries(&mut self, numbers: &[u32]) {
        self.canaries = numbers.to_vec();
    }
    fn keep_canaries(&mut self, numbers: &[u32]) -> bool {
        self.canaries.clear();
        self.kept = numbers.to_vec();
        true
    }
    fn canaries_left(&mut self) -> Vec<u32> {
        self.canaries.clone()
    }
    fn cause(&self, _: u32) -> Option<Cause> {
        None
    }
}

fn events((on_failure, max_failures, courses): Bounds, prepare: Prepare) -> Vec<Event> {
    let mut fake = Fake::running(&["web@0.service", "web@1.service"]);
    prepare(&mut fake);
    let plan = Plan {
        app: "web".into(),
        instances: INSTANCES,
        canaries: 1,
        parallel: 1,
        settle: Duration::from_secs(1),
        on_failure,
        max_failures,
        step: Duration::from_secs(10),
        longest_stop: Duration::from_secs(3),
    };
    let mut notes = Notes::default();
    for course in courses {
        let kept = std::mem::take(&mut notes.kept);
        let _ = walk::walk_by(&mut fake, &plan, *course, &kept, &mut notes);
    }
    notes.events
}

/// The name of the event in JSON.
fn name(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap();
    json.get("event").unwrap().as_str().unwrap().to_owned()
}

/// Applies an event to the states. A new kind of event does not compile here until this handles it.
fn change(lanes: &mut BTreeMap<u32, State>, event: &Event) {
    match event {
        Event::Begun { .. }
        | Event::CanaryKept { .. }
        | Event::CanaryDropped
        | Event::Done { .. }
        | Event::Canceled { .. }
        | Event::Killed { .. } => {}
        Event::CanaryStarting { number, .. }
        | Event::Replacing { number, .. }
        | Event::Retrying { number, .. } => {
            lanes.insert(*number, State::Rising);
        }
        Event::CanaryReady { number, .. } | Event::Ready { number, .. } => {
            lanes.insert(*number, State::New);
        }
        Event::RestartingAll => {
            for number in 0..INSTANCES {
                lanes.insert(number, State::Rising);
            }
        }
        Event::Stopped { number, .. } => {
            lanes.remove(number);
        }
        Event::Failed { number, .. } => {
            lanes.insert(*number, State::Failed);
        }
        Event::Aborted { failed } => {
            if let Some(number) = failed.number.filter(|_| !failed.canary) {
                lanes.insert(number, State::Failed);
            }
        }
    }
}

fn text(out: &mut String, x: usize, y: usize, class: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        out,
        "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{text}</text>"
    )
    .unwrap();
}

fn bar(out: &mut String, x: usize, y: usize, state: State) {
    let (class, width, height) = (state.class(), COLUMN, LANE - 8);
    writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
    )
    .unwrap();
}

fn slanted(out: &mut String, x: usize, y: usize, words: &str) {
    writeln!(
        out,
        "<text class=\"event\" transform=\"translate({x} {y}) rotate(-30)\">{words}</text>"
    )
    .unwrap();
}

/// Draws one walk below `top`, with a column for each event and a lane for each instance. Returns the lower end.
fn draw(out: &mut String, top: usize, title: &str, events: &[Event]) -> usize {
    text(out, 0, top + 14, "title", title);
    let lanes_top = top + HEAD;
    let bottom = lanes_top + LANE * (INSTANCES as usize + 1);
    for number in 0..=INSTANCES {
        let y = lanes_top + LANE * number as usize + 14;
        let canary = if number == INSTANCES { ", canary" } else { "" };
        text(out, 0, y, "lane", &format!("web@{number}{canary}"));
    }
    let mut lanes = BTreeMap::from([(0, State::Old), (1, State::Old)]);
    for (index, event) in events.iter().enumerate() {
        let x = LABEL + COLUMN * index;
        change(&mut lanes, event);
        for (number, state) in &lanes {
            bar(out, x, lanes_top + LANE * *number as usize + 2, *state);
        }
        slanted(out, x + 4, lanes_top - 8, &name(event));
        writeln!(
            out,
            "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\"/>",
            lanes_top - 6
        )
        .unwrap();
    }
    bottom + GAP
}

fn picture() -> String {
    let walks: Vec<_> = WALKS
        .iter()
        .map(|(title, bounds, prepare)| (*title, events(*bounds, *prepare)))
        .collect();
    let longest = walks.iter().map(|(_, e)| e.len()).max().unwrap();
    let mut body = String::new();
    for (index, (_, class, meaning)) in State::ALL.iter().enumerate() {
        let x = 190 * index;
        writeln!(
            body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"0\" width=\"16\" height=\"16\"/>"
        )
        .unwrap();
        text(&mut body, x + 22, 13, "key", meaning);
    }
    let mut top = 40;
    for (title, events) in &walks {
        top = draw(&mut body, top, title, events);
    }
    let (width, height) = (LABEL + COLUMN * longest + 20, top);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-10 -10 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>What a reload does to two instances, event by event</title>\n\
         <style>{STYLE}</style>\n{body}</svg>\n"
    )
}

#[test]
fn the_picture_is_the_one_that_the_walk_draws() {
    let drawn = picture();
    if std::env::var_os("RSGEN_BLESS").is_some() {
        fs::write(PICTURE, &drawn).unwrap();
    }
    let kept = fs::read_to_string(PICTURE).unwrap_or_default();
    assert!(
        kept == drawn,
        "the walk is not the one of docs/reload.svg; look at it after `RSGEN_BLESS=1 cargo test --test picture`"
    );
}

#[test]
fn the_picture_and_the_page_name_every_event_of_the_walk_and_the_page_no_other() {
    let source = include_str!("../src/walk/event.rs");
    let variants = source.split("pub enum Event {").nth(1).unwrap();
    let variants = variants.split("\n}\n").next().unwrap();
    let known: BTreeSet<String> = variants
        .lines()
        .filter_map(|l| l.strip_prefix("    "))
        .filter(|l| l.starts_with(char::is_uppercase))
        .map(|l| kebab(l.trim_end_matches([' ', '{', ','])))
        .collect();
    let drawn: BTreeSet<String> = WALKS
        .iter()
        .flat_map(|(_, bounds, prepare)| events(*bounds, *prepare))
        .map(|e| name(&e))
        .collect();
    assert_eq!(drawn, known);
    let page = fs::read_to_string(PAGE).unwrap();
    let told: BTreeSet<String> = page
        .split("| event | meaning |")
        .nth(1)
        .unwrap()
        .lines()
        .skip(1)
        .take_while(|l| l.starts_with('|'))
        .filter_map(|l| l.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(told, known);
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
