//! Any values in an ecosystem file that is in order otherwise.

#![no_main]

mod claims;

libfuzzer_sys::fuzz_target!(|values: Vec<String>| claims::of_any_text(&claims::file(&values)));
