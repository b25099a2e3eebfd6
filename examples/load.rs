//! Traffic for any HTTP server, with a report of every lost request: `cargo run --example load -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    testbed::load::main()
}
