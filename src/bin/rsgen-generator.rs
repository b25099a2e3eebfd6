//! `rsgen-generator`: run by systemd at boot and at every daemon-reload, see systemd.generator(7).

#[cfg(not(target_feature = "crt-static"))]
compile_error!(
    "rsgen has to be linked statically: build with `-C target-feature=+crt-static`, as .cargo/config.toml does"
);

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rsgen::begin;
use rsgen::generate;
use rsgen::layout::Layout;
use rsgen::plan::Host;
use rsgen::sys::entry;
use rsgen::visible::Visible;

fn main() -> ExitCode {
    begin::as_generator();
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    // An initrd has no apps; its generators run again on the host.
    if entry::value("SYSTEMD_IN_INITRD").is_some_and(|v| v == "1") {
        return ExitCode::SUCCESS;
    }
    let Some(out) = arguments.next().map(PathBuf::from) else {
        say("it is run by systemd, with the folder to write to");
        return ExitCode::from(2);
    };
    let Some(layout) = layout(Path::new(&program)) else {
        say("neither $XDG_CONFIG_HOME nor $HOME says where the apps are");
        return ExitCode::FAILURE;
    };
    let problems = generate::run(&layout, &out, Host::of_a_generator());
    for problem in &problems {
        say(problem);
    }
    if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Returns the layout for the manager that runs this program, which serves both. The folder of the program shows which
/// one it is.
fn layout(program: &Path) -> Option<Layout> {
    let user = program
        .parent()
        .is_some_and(|d| d.ends_with("user-generators"));
    if !user {
        let root = entry::value("RSGEN_GENERATOR_ROOT").unwrap_or_else(|| "/".into());
        return Some(Layout::system(Path::new(&root)));
    }
    Layout::of_caller()
}

/// Writes a line to the kernel's ring buffer, which keeps it until the journal runs.
fn say(line: &str) {
    let line = Visible::line(line);
    let line = format!("<3>rsgen-generator[{}]: {line}\n", std::process::id());
    let kmsg = std::fs::OpenOptions::new().write(true).open("/dev/kmsg");
    let written = kmsg.and_then(|mut k| k.write_all(line.as_bytes()));
    if written.is_err() {
        // Nobody else can be told.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
