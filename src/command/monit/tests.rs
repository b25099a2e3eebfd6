//! What is on the screen, and what keys do to it.

mod keys;

use std::fs;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier};

use super::super::status::{AppStatus, InstanceStatus};
use super::super::targets::Target;
use super::action::Action;
use super::draw;
use super::log::LogLine;
use super::state::{Effect, Page, State};
use crate::output::{Failure, Key};
use crate::visible::Visible;

fn instance(app: &str, number: u32, status: &'static str) -> InstanceStatus {
    let is_online = status == "online";
    InstanceStatus {
        number,
        unit: format!("{app}@{number}.service"),
        status,
        pid: is_online.then_some(4210 + number),
        uptime_seconds: is_online.then_some(260),
        restarts: if is_online { 0 } else { 16 },
        memory_bytes: is_online.then_some((40 + u64::from(number)) << 20),
        cpu_seconds: None,
        has_leftovers: false,
        cpu_percent: is_online.then_some(12.5 * f64::from(number + 1)),
        connections: is_online.then_some(3),
        waiting: None,
        dropped: None,
        reason: (!is_online).then(|| "exited with status 1".to_owned()),
        canary: false,
        release: None,
        balance_fault: None,
        last_end: None,
    }
}

fn app(name: &str, statuses: &[&'static str]) -> AppStatus {
    let instances = (0..).zip(statuses);
    let instances: Vec<InstanceStatus> = instances
        .map(|(number, status)| instance(name, number, status))
        .collect();
    let ready = statuses
        .iter()
        .filter(|status| **status == "online")
        .count();
    AppStatus {
        name: name.to_owned(),
        active_state: "active".to_owned(),
        listen: vec!["3000".to_owned()],
        balance: Some("shared"),
        watch: None,
        ready,
        wanted: u32::try_from(statuses.len()).ok(),
        connections: Some(3 * ready),
        waiting: Some(1),
        dropped: Some(0),
        without_effect: Vec::new(),
        instances,
        status: None,
        schedule: None,
    }
}

/// Two apps, which were looked at several times.
fn state() -> State {
    let mut state = State::default();
    for look in 0..48_u32 {
        let mut apps = vec![
            app("api", &["online", "errored"]),
            app("web", &["online", "online", "online", "online"]),
        ];
        for app in &mut apps {
            app.waiting = Some(look % 16 / 4);
            for instance in &mut app.instances {
                let percent = |percent: f64| (percent * f64::from(look % 12)).round() / 10.0;
                instance.cpu_percent = instance.cpu_percent.map(percent);
            }
        }
        state.see(apps);
    }
    let lines = [
        ("16:20:58 web@0 | GET / 200 12ms", false),
        ("16:20:58 web@3 | GET /news 200 8ms", false),
        (
            "16:20:59 web@1 | no answer of the database, trying again",
            true,
        ),
        ("16:21:00 web   # reloaded: 4 of 4 replaced", false),
        ("16:21:02 web@2 | GET / 200 9ms", false),
    ];
    let lines = lines.map(|(text, is_error)| LogLine {
        text: Visible::line(text),
        is_error,
    });
    state.log.add(lines.to_vec());
    state
}

fn drawn(state: &mut State, width: u16, height: u16) -> Buffer {
    let mut page = Buffer::empty(Rect::new(0, 0, width, height));
    draw::page(&mut page, state);
    page
}

/// The lines of a screen, without the blanks at their ends.
fn lines(page: &Buffer) -> Vec<String> {
    let rows = 0..page.area.height;
    let cell = |x, y| page.cell((x, y)).map_or("", |cell| cell.symbol());
    let line = |y| (0..page.area.width).map(|x| cell(x, y)).collect::<String>();
    rows.map(|y| line(y).trim_end().to_owned()).collect()
}

fn text(state: &mut State) -> String {
    lines(&drawn(state, 80, 24)).join("\n")
}

fn type_in(state: &mut State, keys: &str) -> Vec<Effect> {
    let keys = keys.chars().map(Key::Char);
    let effects = keys.map(|key| state.press(key));
    effects.filter(|effect| *effect != Effect::None).collect()
}

#[test]
fn the_picture_in_the_documents_is_what_is_drawn() {
    let mut state = state();
    type_in(&mut state, "jjj");
    let text = text(&mut state);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshooting.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(&format!("```text\n{text}\n```")), "\n{text}");
}

#[test]
fn every_size_of_a_terminal_is_drawn_on_with_the_chosen_row_in_sight() {
    let mut state = state();
    for key in "kGgj".chars() {
        state.press(Key::Char(key));
        for (width, height) in (1..100)
            .step_by(9)
            .flat_map(|w| (1..40).map(move |h| (w, h)))
        {
            let lines = lines(&drawn(&mut state, width, height));
            let is_chosen = lines.iter().any(|line| line.starts_with('>'));
            assert_eq!(is_chosen, height > 3, "{width}x{height}: {lines:#?}");
        }
    }
    // The list becomes shorter than what was shown of it.
    let mut state = self::state();
    type_in(&mut state, "G");
    for height in (4..40).rev() {
        let lines = lines(&drawn(&mut state, 80, height));
        assert!(lines.iter().any(|line| line.starts_with('>')), "{height}");
    }
    for page in ["l", "?"] {
        type_in(&mut state, page);
        for height in 1..40 {
            drawn(&mut state, 30, height);
        }
        state.press(Key::Escape);
    }
}

#[test]
fn a_row_that_is_chosen_is_marked_without_colours_as_well() {
    let mut state = state();
    type_in(&mut state, "j");
    let page = drawn(&mut state, 80, 24);
    let is_reversed = |y| page[(0, y)].modifier.contains(Modifier::REVERSED);
    assert_eq!([2, 3, 4].map(is_reversed), [false, true, false]);
    assert_eq!(page[(0, 3)].symbol(), ">");
}

#[test]
fn the_chosen_row_stays_what_it_is_about_and_the_last_one_is_the_last() {
    let mut state = state();
    type_in(&mut state, "jjjj");
    let chosen = Target::Instance("web".to_owned(), 0);
    assert_eq!(state.target(), Some(chosen.clone()));
    state.see(vec![app("web", &["online", "online"])]);
    assert_eq!(state.target(), Some(chosen), "another app is gone");
    type_in(&mut state, "jjjj");
    let last = Target::Instance("web".to_owned(), 1);
    assert_eq!(state.target(), Some(last));
    state.see(vec![app("web", &["online"])]);
    let last = Target::Instance("web".to_owned(), 0);
    assert_eq!(state.target(), Some(last));
    state.see(Vec::new());
    assert_eq!(state.target(), None);
    assert!(type_in(&mut state, "r+-Ry").is_empty());
    assert!(text(&mut state).contains("no app is installed"));
}

#[test]
fn nothing_is_changed_before_somebody_agrees() {
    let web = || Target::App("web".to_owned());
    for (keys, question, action) in [
        ("r", "rsgen reload web? y/N", Action::Reload(web())),
        ("+", "rsgen scale web +1? y/N", Action::More(web())),
        ("-", "rsgen scale web -1? y/N", Action::Fewer(web())),
        (
            "R",
            "rsgen restart web@0 (at once: connections end)? y/N",
            Action::Restart(Target::Instance("web".to_owned(), 0)),
        ),
    ] {
        let mut state = state();
        type_in(&mut state, "Gkkk");
        assert!(type_in(&mut state, keys).is_empty());
        assert!(text(&mut state).ends_with(question), "{}", text(&mut state));
        for no in [Key::Char('n'), Key::Enter, Key::Escape, Key::Char(' ')] {
            assert_eq!(state.press(no), Effect::None);
            assert!(!text(&mut state).contains(question), "{no:?}");
            assert!(type_in(&mut state, keys).is_empty());
        }
        assert_eq!(state.press(Key::Char('y')), Effect::Run(action));
    }
}

#[test]
fn a_change_shows_its_progress_and_how_it_ended() {
    let mut state = state();
    let reload = || Action::Reload(Target::App("web".to_owned()));
    state.begin(reload());
    state.said(Visible::line("  instance 0: ready"));
    let foot = "rsgen reload web: … instance 0: ready";
    assert!(text(&mut state).ends_with(foot));
    assert!(type_in(&mut state, "ry").is_empty(), "one at a time");
    state.said(Visible::line("  done: 4 of 4 replaced"));
    state.over(Ok(()));
    assert!(text(&mut state).ends_with("rsgen reload web: done: 4 of 4 replaced"));

    state.begin(reload());
    for line in 0..200 {
        state.said(Visible::line(&format!("line {line}")));
    }
    state.over(Err("exit status 1".to_owned()));
    let told = text(&mut state);
    assert!(told.contains("── rsgen reload web: exit status 1 (press any key)"));
    assert!(
        told.contains("line 199") && !told.contains("line 99\n"),
        "{told}"
    );
    assert!(type_in(&mut state, "q").is_empty(), "it goes on");
    let told = text(&mut state);
    assert!(
        told.contains("log of") && told.ends_with("exit status 1"),
        "{told}"
    );
    assert_eq!(type_in(&mut state, "q"), [Effect::End]);
}

#[test]
fn pages_are_left_by_their_keys_and_ctrl_c_ends_on_each() {
    let mut state = state();
    for (key, shown) in [('?', "keys (any key: back)"), ('l', "log of api (l or Esc")] {
        type_in(&mut state, &key.to_string());
        assert!(text(&mut state).contains(shown), "{}", text(&mut state));
        assert_eq!(state.press(Key::Interrupt), Effect::End);
        assert_eq!(state.press(Key::Suspend), Effect::Suspend);
        assert_eq!(state.press(Key::Escape), Effect::None);
        assert_eq!(state.page, Page::Apps);
    }
    state.press(Key::Char('l'));
    state.press(Key::PageUp);
    let told = lines(&drawn(&mut state, 40, 5)).join("\n");
    assert!(told.contains(", 3 lines below"), "{told}");
}

#[test]
fn why_systemd_does_not_answer_stands_above_what_was_seen() {
    let failure = || Failure::failed("no bus");
    assert!(State::default().unseen(failure()).is_err());
    let mut state = state();
    assert!(state.unseen(failure()).is_ok());
    let told = text(&mut state);
    assert!(told.contains("systemd does not answer: no bus"), "{told}");
    assert!(
        told.contains("web@") || told.contains("log of api"),
        "{told}"
    );
    state.see(Vec::new());
    assert!(!text(&mut state).contains("no bus"));
}

/// The place of a text on a screen.
fn place(page: &Buffer, line: &str, text: &str) -> (u16, u16) {
    let lines = lines(page);
    let y = lines.iter().position(|l| l.contains(line)).unwrap();
    let before = lines[y].split(text).next().unwrap();
    (
        u16::try_from(before.chars().count()).unwrap(),
        u16::try_from(y).unwrap(),
    )
}

#[test]
fn a_state_has_the_colour_that_it_has_in_the_list() {
    let mut state = state();
    let mut down = app("zoo", &["starting", "online"]);
    down.ready = 2;
    let mut apps = state.apps.clone();
    apps.push(down);
    state.see(apps);
    // The chosen row has another look.
    let page = drawn(&mut state, 100, 40);
    for (line, text, colour) in [
        ("4/4", "4/4", Color::Green),
        ("online", "online", Color::Green),
        ("errored", "errored", Color::Red),
        ("starting", "starting", Color::Yellow),
        ("2/2", "2/2", Color::Green),
    ] {
        let (x, y) = place(&page, line, text);
        let end = x + u16::try_from(text.len()).unwrap();
        let colours = (x - 1..=end).map(|x| page[(x, y)].fg);
        let mut expected = vec![colour; text.len() + 2];
        (expected[0], expected[text.len() + 1]) = (Color::Reset, Color::Reset);
        assert_eq!(colours.collect::<Vec<_>>(), expected, "{text}");
    }
    let mut state = State::default();
    state.see(vec![
        app("web", &["online"]),
        app("api", &["online", "errored"]),
    ]);
    let page = drawn(&mut state, 100, 40);
    let (x, y) = place(&page, "1/2", "1/2");
    assert_eq!(page[(x, y)].fg, Color::Yellow, "not all serve");
    // A job has instances during a run, and none of them serves.
    let mut job = app("a-job-with-a-long-name", &["running"]);
    job.status = Some("running");
    state.see(vec![app("web", &["online"]), job]);
    let page = drawn(&mut state, 100, 40);
    let (x, y) = place(&page, "a-job-with-a-long-name", "running");
    let colours = [x - 1, x, x + 6, x + 7].map(|x| page[(x, y)].fg);
    let green = [Color::Reset, Color::Green, Color::Green, Color::Reset];
    assert_eq!(colours, green);
}

/// The list has three rows and the log three lines, or the log is left out; so is the past, which comes last.
#[test]
fn what_a_small_terminal_has_no_room_for_is_left_out() {
    let mut state = state();
    for height in 2..40 {
        let lines = lines(&drawn(&mut state, 80, height));
        assert!(lines.last().unwrap().starts_with("r reload"), "{lines:#?}");
        let of = |head: &str| lines.iter().position(|line| line.starts_with(head));
        let (log, past) = (of("── log of "), of("── api "));
        assert_eq!(
            (log.is_some(), past.is_some()),
            (height >= 10, height >= 15)
        );
        let list_ends = past.or(log).unwrap_or(usize::from(height) - 1);
        assert!(height < 6 || list_ends - 2 >= 3, "{lines:#?}");
        if let Some(log) = log {
            let below = &lines[log + 1..lines.len() - 1];
            assert!(
                below.iter().filter(|line| !line.is_empty()).count() >= 3,
                "{lines:#?}"
            );
        }
    }
    drawn(&mut state, 80, 0);
}

#[test]
fn before_the_first_look_nothing_is_said_of_apps() {
    let told = text(&mut State::default());
    assert!(told.starts_with("monit  …\n"), "{told}");
}
