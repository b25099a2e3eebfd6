//! The command line on a systemd of the test.

mod beside;
mod deploy;
mod stage;

use clap::CommandFactory;

use super::{Arguments, MANUALS};
use crate::output::Exit;

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
