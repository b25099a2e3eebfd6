//! Variables that have a meaning not only to the program, but to systemd, to the loader of every process of a
//! unit, or to clients of the bus.

use std::ops::Range;

use super::diagnostic::Diagnostic;
use crate::unit::Fault;

/// The code that acts on a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// systemd's protocols, see "Environment Variables Set or Propagated" in systemd.exec(5).
    Protocol,
    /// The protocol of `sd_listen_fds(3)`: the worker passes on only the variables that it sets itself.
    Sockets,
    /// The dynamic loader, see ld.so(8).
    Loader,
    /// Clients of D-Bus.
    Bus,
}

const PROTOCOL: &[&str] = &[
    "EXIT_CODE",
    "EXIT_STATUS",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "MAINPID",
    "MANAGERPID",
    "NOTIFY_SOCKET",
    "SERVICE_RESULT",
    "SYSTEMD_EXEC_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// A list rather than the prefix `LD_`, since other programs have variables that begin so too.
const LOADER: &[&str] = &[
    "BASH_ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "LD_AUDIT",
    "LD_DEBUG_OUTPUT",
    "LD_LIBRARY_PATH",
    "LD_ORIGIN_PATH",
    "LD_PRELOAD",
    "LD_PROFILE",
    "LD_PROFILE_OUTPUT",
    "LOCPATH",
];

fn reader(name: &str) -> Option<Reader> {
    match name {
        _ if name.starts_with("LISTEN_") => Some(Reader::Sockets),
        _ if PROTOCOL.contains(&name) => Some(Reader::Protocol),
        _ if LOADER.contains(&name) => Some(Reader::Loader),
        "DBUS_SYSTEM_BUS_ADDRESS" => Some(Reader::Bus),
        _ => None,
    }
}

/// Returns the warning about a variable that the unit sets. It is not an error, because existing files that set such a
/// variable have worked.
pub(super) fn warning(name: &str, span: &Range<usize>) -> Option<Diagnostic> {
    let (message, help) = match reader(name)? {
        Reader::Protocol => (
            format!("`{name}` overrides a variable that systemd sets"),
            "give it another name: the commands of the unit rely on systemd's value",
        ),
        Reader::Sockets => (
            format!("`{name}` does not reach the program"),
            "give it another name: those with `LISTEN_` belong to sd_listen_fds(3)",
        ),
        Reader::Loader => (
            format!("`{name}` decides which code every process of the unit loads"),
            "name only files that root alone may write to, including the folders above them; or set it in a script \
             that starts the program",
        ),
        Reader::Bus => (
            format!("`{name}` decides which bus every process of the unit connects to"),
            "set it in a script that starts the program",
        ),
    };
    Some(Diagnostic::warning(span.clone(), message).help(help))
}

/// Returns why a variable cannot hold the number of an instance. This may be an error, since no file that does so has
/// ever worked.
pub(super) fn refusal(name: &str) -> Option<Fault> {
    let why = match reader(name)? {
        Reader::Protocol | Reader::Sockets => "systemd's",
        Reader::Loader => "the loader's",
        Reader::Bus => "D-Bus's",
    };
    Some(Fault::new(
        format!("`{name}` is {why} own variable"),
        "choose another name, e.g. `INSTANCE`",
    ))
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::{Report, Severity, parse};

    fn told(keys: &str) -> Report {
        parse(
            "eco.toml",
            &format!("[[apps]]\nscript = \"x\"\nlisten = 1\n{keys}"),
        )
        .1
    }

    #[test]
    fn a_variable_that_others_go_by_is_told_with_its_place() {
        for name in [
            "LD_PRELOAD",
            "EXIT_STATUS",
            "LISTEN_ADDR",
            "DBUS_SYSTEM_BUS_ADDRESS",
        ] {
            for keys in [
                format!("env.{name} = \"1\""),
                format!("service.Environment = ['\"{name}=1 2\"', \"A=b\"]"),
            ] {
                let report = told(&keys);
                let said: Vec<_> = report.located().map(|l| (l.severity, l.line)).collect();
                assert_eq!(said, [(Severity::Warning, 4)], "{keys}");
            }
        }
        for name in [
            "LD_SDK_KEY",
            "MALLOC_ARENA_MAX",
            "NODE_OPTIONS",
            "ENV",
            "PORT",
        ] {
            let report = told(&format!("env.{name} = \"1\""));
            assert!(report.diagnostics.is_empty(), "{}", report.render(false));
        }
    }

    #[test]
    fn an_instance_is_not_told_its_number_by_such_a_variable() {
        for name in ["LD_PRELOAD", "NOTIFY_SOCKET", "LISTEN_FDS"] {
            assert!(
                told(&format!("instance_var = \"{name}\"")).has_errors(),
                "{name}"
            );
        }
        assert!(!told("instance_var = \"WORKER\"").has_errors());
    }
}
