//! Reads any text as a request to drain, and as arguments of the worker.

#![no_main]

#[path = "claims/request.rs"]
mod claims;

libfuzzer_sys::fuzz_target!(|input: (u64, &str)| claims::of_any_text(input.1, input.0));
