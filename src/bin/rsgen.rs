//! `rsgen`: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    rsgen::command::main()
}
