//! `rsgen-worker`: `run` starts one instance and becomes its program, `drain` is what the instance does before it is
//! stopped.

#[cfg(not(target_feature = "crt-static"))]
compile_error!(
    "rsgen has to be linked statically: build with `-C target-feature=+crt-static`, as .cargo/config.toml does"
);

use std::process::ExitCode;

use rsgen::{drain, worker};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    ExitCode::from(if arguments.peek().is_some_and(|a| a == "drain") {
        drain::main(arguments)
    } else {
        worker::main(arguments, drain::on_request)
    })
}
