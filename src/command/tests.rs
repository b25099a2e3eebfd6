//! The command line, with a systemd made for the tests.

mod addresses;
mod asked;
mod beside;
mod by_unit;
mod checks;
mod closes;
mod courses;
mod deploy;
mod deployed;
mod described;
mod elsewhere;
mod failed;
mod far;
mod far_jobs;
mod given;
mod hints;
mod installs;
mod jobs;
mod json;
mod lines;
mod metrics;
mod namesakes;
mod of_user;
mod order;
mod outlast;
mod passage;
mod paused;
mod power;
mod prepared;
mod pruned;
mod rehearsed;
mod releases;
mod remote;
mod rollback;
mod scale;
mod scaled;
mod serving;
mod silence;
pub(super) mod stage;
mod status;
mod steps;
mod surplus;
mod table;
mod targets;
mod together;
mod told;

use std::ffi::OsString;

use clap::CommandFactory;

use super::context::Context;
use super::{Arguments, MANUALS, Starter, parse};
use crate::layout::Layout;
use crate::output::Exit;
use crate::systemd::Manager;
use crate::systemd::fake::Fake;

#[test]
fn every_example_is_a_command_line_of_its_subcommand() {
    for (name, manual) in MANUALS {
        for (example, _) in manual.examples {
            let words = shlex::split(example).unwrap();
            let parsed = Arguments::command().try_get_matches_from(&words);
            let matches = parsed.unwrap_or_else(|e| panic!("{example}: {e}"));
            assert_eq!(matches.subcommand_name(), Some(*name), "{example}");
        }
    }
}

#[test]
fn a_subcommand_has_a_manual_unless_it_is_hidden() {
    let command = Arguments::command();
    for (name, manual) in MANUALS {
        let subcommand = command.find_subcommand(name).unwrap();
        let is_described = !manual.examples.is_empty() && manual.exits.contains(&Exit::Usage);
        assert_eq!(is_described, !subcommand.is_hide_set(), "{name}");
    }
}

#[test]
fn help_tells_every_exit_status() {
    let help = Arguments::command().render_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for exit in Exit::ALL {
        let status = format!("{} {}", exit as u8, exit.meaning());
        assert!(help.contains(&status), "{status} is not in {help}");
    }
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

/// The environment that a command may use depends on who starts it.
#[test]
fn a_command_of_a_unit_is_known_by_its_arguments() {
    for (line, starter) in [
        ("rsgen", Starter::Person),
        ("rsgen --user", Starter::Person),
        ("rsgen list", Starter::Person),
        ("rsgen --user list", Starter::Person),
        ("rsgen list unit", Starter::Person),
        ("rsgen unit reload web", Starter::Unit),
        ("rsgen unit reload web --user", Starter::Unit),
        ("rsgen -v unit reload web", Starter::Unit),
        ("rsgen --user unit reload web", Starter::UnitOfUser),
    ] {
        assert_eq!(Starter::of(&words(line)), starter, "{line}");
    }
}

#[test]
fn a_wrong_argument_is_repeated_only_as_it_may_be_shown() {
    let said = |line: &str| parse(words(line)).unwrap_err().to_string();
    for line in ["rsgen li\u{1b}[2Jst", "rsgen list --\u{1b}[2Jall"] {
        let said = said(line);
        assert!(
            said.contains(r"\x1b[2J") && !said.contains('\u{1b}'),
            "{said}"
        );
    }
    assert!(said("rsgen lst").contains("'lst'"));
}

/// The version decides which directives are refused.
#[test]
fn the_version_of_systemd_is_that_of_the_manager() {
    let sink = stage::Recorder::default();
    let layout = Layout::system("/nonexistent".as_ref());
    let systemd = Box::new(Fake::default());
    let mut context = Context::of_a_test(layout, stage::HOST, &sink, systemd);
    let version = Fake::default().version().ok();
    assert!(version.is_some());
    assert_eq!(context.systemd_version(), version);
}
