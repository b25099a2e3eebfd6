//! `rsgen`: the command line.

#[cfg(not(target_feature = "crt-static"))]
compile_error!(
    "rsgen has to be linked statically: build with `-C target-feature=+crt-static`, as .cargo/config.toml does"
);

use std::process::ExitCode;

fn main() -> ExitCode {
    rsgen::command::main()
}
