//! Reads any text as files of /proc.

#![no_main]

#[path = "claims/proc.rs"]
mod claims;

libfuzzer_sys::fuzz_target!(|input: ([u64; 4], &str)| claims::of_any_text(input.1, input.0));
