//! `rsgen-worker`: starts one instance and becomes its program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(rsgen::worker::main(std::env::args_os().skip(1)))
}
