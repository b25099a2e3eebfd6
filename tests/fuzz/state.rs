//! Reads any text as files below `/run/rsgen`.

#![no_main]

#[path = "claims/state.rs"]
mod claims;

libfuzzer_sys::fuzz_target!(|input: ([u64; 4], &str)| claims::of_any_text(input.1, input.0));
