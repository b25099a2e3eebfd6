//! Shows any bytes as the output of a program.

#![no_main]

#[path = "claims/shown.rs"]
mod claims;

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| claims::of_any_bytes(input.1, input.0));
