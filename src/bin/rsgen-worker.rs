//! `rsgen-worker`: `run` starts one instance and becomes its program, `drain` is what the instance does before it is
//! stopped, `balance` says which instances get connections where each has a listener of its own, `health` asks an instance whether it
//! serves, `env-files` looks at the files of variables that systemd reads for an instance, and `release` notes which release an
//! instance is started with.

#[cfg(not(target_feature = "crt-static"))]
compile_error!(
    "rsgen has to be linked statically: build with `-C target-feature=+crt-static`, as .cargo/config.toml does"
);

use std::process::ExitCode;

use rsgen::{balance, drain, health, worker};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    ExitCode::from(match arguments.peek().and_then(|a| a.to_str()) {
        Some("balance") => balance::main(arguments),
        Some("drain") => drain::main(arguments),
        Some("health") => health::main(arguments),
        Some("env-files") => worker::look_at_env_files(arguments),
        Some("release") => worker::note_release(arguments),
        _ => worker::main(arguments, drain::on_request),
    })
}
