//! Traffic for any HTTP server, told request by request: `cargo run --example load -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    testbed::load::main()
}
