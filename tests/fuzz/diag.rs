//! Reads any bytes as answers of `sock_diag(7)`.

#![no_main]

#[path = "claims/diag.rs"]
mod claims;

libfuzzer_sys::fuzz_target!(|input: (u32, &[u8], &[u8])| claims::of_any_bytes(
    input.2, input.1, input.0
));
