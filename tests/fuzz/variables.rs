//! Reads any bytes as an environment file.

#![no_main]

#[path = "claims/variables.rs"]
mod claims;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| claims::of_any_bytes(bytes));
