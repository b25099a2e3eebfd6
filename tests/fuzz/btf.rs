//! Reads any bytes as the kernel's description of its types.

#![no_main]

#[path = "claims/btf.rs"]
mod claims;

libfuzzer_sys::fuzz_target!(|input: (&[u8], &[u8])| claims::of_any_bytes(input.0, input.1));
