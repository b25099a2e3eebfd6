//! Reads any values in an otherwise valid ecosystem file.

#![no_main]

mod claims;

libfuzzer_sys::fuzz_target!(|values: Vec<String>| claims::of_any_text(&claims::file(&values)));
