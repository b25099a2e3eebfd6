//! The parts that command lines are made of.

use std::ffi::OsString;
use std::time::Duration;

use super::*;
use crate::contract::flags::Words;

fn words(line: &str) -> impl Iterator<Item = OsString> {
    line.split(' ').map(OsString::from)
}

#[test]
fn the_manager_of_a_drain_is_the_one_whose_state_it_has() {
    for (state, manager) in [
        ("--state=/run/rsgen/web ", "--system"),
        ("--state=/run/user/1000/rsgen/web ", "--user"),
        // Units of 0.1.0 had no `--state`, and only those of the system had a drain.
        ("", "--system"),
    ] {
        let line = format!("drain --app=web --instance=0 {state}--timeout=1s --way=auto");
        let drain = Drain::parse(words(&line)).unwrap();
        assert_eq!(drain.scope(), manager, "{line}");
    }
}

/// Reads a line that lacks one flag of version 2 and one of version 3, and has another one of version 2.
fn lost(order: [u8; 2]) -> Result<(), Usage> {
    let mut line = Words::of("x", words("x --here=1"))?;
    for version in order {
        let name = if version == 2 { "--two" } else { "--three" };
        assert_eq!(line.since::<u32>(version, name)?, None);
    }
    assert_eq!(line.since(2, "--here")?, Some(1_u32));
    line.end()
}

#[test]
fn the_oldest_flag_that_is_missing_counts_in_whatever_order_they_are_read() {
    for order in [[2, 3], [3, 2]] {
        let refused = lost(order).unwrap_err().to_string();
        assert!(refused.starts_with("`x` lacks `--two=`"), "{refused}");
    }
    assert_eq!(lost([3, 3]), Ok(()));
}

#[test]
fn a_text_is_read_as_it_stands() {
    assert_eq!(Text::read("a %i"), Some(Text::plain("a %i")));
}

#[test]
fn a_time_is_written_in_the_largest_unit_up_to_minutes_that_makes_it_whole() {
    for (time, shown) in [
        (Duration::ZERO, "0"),
        (Duration::from_micros(1), "1us"),
        (Duration::from_millis(1500), "1500ms"),
        (Duration::from_secs(90), "90s"),
        (Duration::from_mins(2), "2min"),
        (Duration::from_hours(2), "120min"),
    ] {
        assert_eq!(time::show(time), shown);
    }
}
