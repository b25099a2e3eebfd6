//! Reads any text as an ecosystem file.

#![no_main]

mod claims;

libfuzzer_sys::fuzz_target!(|text: &str| claims::of_any_text(text));
