//! The keys: which row a command is about, and how far each moves.

use std::time::Duration;

use super::super::action::Action;
use super::super::log::{LogLine, after};
use super::super::state::{Effect, State};
use super::super::{CHOSEN, IDLE, is_due, until_log};
use super::{app, drawn, state, type_in};
use crate::command::targets::Target;
use crate::output::Key;
use crate::visible::Visible;

#[test]
fn the_log_is_that_of_the_chosen_row_in_the_units_that_its_app_should_have() {
    let mut state = state();
    assert_eq!(
        state.followed(),
        Some((Target::App("api".to_owned()), Some(2)))
    );
    type_in(&mut state, "G");
    let last = Target::Instance("web".to_owned(), 3);
    assert_eq!(state.followed(), Some((last, Some(4))));
    assert_eq!(State::default().followed(), None);
}

#[test]
fn of_a_command_that_fails_the_last_hundred_lines_are_kept() {
    for count in [99, 100, 101] {
        let mut state = state();
        state.begin(Action::Reload(Target::App("web".to_owned())));
        for line in 0..count {
            state.said(Visible::line(&line.to_string()));
        }
        state.over(Err("exit status 1".to_owned()));
        let said = state.failed.unwrap().said;
        let expected = (count.max(100) - 100..count).map(|n| Visible::line(&n.to_string()));
        assert_eq!(said, expected.collect::<Vec<_>>());
    }
}

#[test]
fn keys_go_far_among_many_rows_and_no_further_than_the_ends() {
    let mut state = state();
    state.see(vec![app("web", &["online"; 24])]);
    for (key, chosen) in [
        (Key::Down, 1),
        (Key::PageDown, 11),
        (Key::PageDown, 21),
        (Key::PageDown, 24),
        (Key::PageUp, 14),
        (Key::Up, 13),
        (Key::Home, 0),
        (Key::PageUp, 0),
        (Key::End, 24),
        (Key::Char('g'), 0),
        (Key::Char('G'), 24),
    ] {
        assert_eq!(state.press(key), Effect::None);
        assert_eq!(state.chosen, chosen, "{key:?}");
    }
    assert_eq!(state.press(Key::Redraw), Effect::Redraw);
}

#[test]
fn a_log_is_scrolled_by_lines_and_pages_to_its_ends() {
    let mut state = state();
    let lines = (0..50).map(|number| LogLine {
        text: Visible::line(&number.to_string()),
        is_error: false,
    });
    state.log.clear();
    assert!(state.log.lines.is_empty());
    state.log.add(lines.collect());
    type_in(&mut state, "l");
    for (key, up) in [
        (Key::Up, 1),
        (Key::Char('k'), 2),
        (Key::PageUp, 12),
        (Key::PageUp, 22),
        (Key::PageDown, 12),
        (Key::Down, 11),
        (Key::Char('j'), 10),
        // Ten lines are shown.
        (Key::Home, 40),
        (Key::End, 0),
        (Key::Char('g'), 40),
        (Key::Char('G'), 0),
    ] {
        assert_eq!(state.press(key), Effect::None);
        drawn(&mut state, 80, 13);
        assert_eq!(state.log.up, up, "{key:?}");
    }
}

/// Whoever moves over many rows opens no log, and what an old one still sends is not taken for a new one's.
#[test]
fn a_log_is_opened_for_a_row_that_stays_chosen_for_a_moment() {
    let [soon, early, late] = [0, 100, 150].map(Duration::from_millis);
    for (is_followed, has_log, chosen_for, due, wait) in [
        (false, false, soon, true, CHOSEN),
        (false, true, soon, false, CHOSEN),
        (false, true, early, false, Duration::from_millis(50)),
        (false, true, late, true, Duration::ZERO),
        (true, true, late, false, IDLE),
        (true, false, soon, false, IDLE),
    ] {
        let case = (is_followed, has_log, chosen_for);
        assert_eq!(is_due(is_followed, has_log, chosen_for), due, "{case:?}");
        assert_eq!(until_log(is_followed, chosen_for), wait, "{case:?}");
    }
    let numbers = [None, Some(0), Some(1), Some(7)].map(after);
    assert_eq!(numbers, [0, 1, 2, 8]);
}
