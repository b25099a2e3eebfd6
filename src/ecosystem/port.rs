//! Readers for the keys that depend on whether the program listens: `listen` itself and its consequences.

use std::time::Duration;

use toml::de::DeValue;

use super::app::Directives;
use super::diagnostic::Diagnostic;
use super::key::{Wanted, read_word};
use super::listen::Owners;
use super::read::Fields;
use super::schedule::is_job;
use super::tables::read_directives;
use super::values::{Handover, Listen, Ready, Way};
use crate::unit::directive::Section;

/// The words of `handover`. The type has another one, for no handover, which `listen = []` expresses.
pub(super) const HANDOVERS: &[&str] = &["bind", "fds"];

pub(super) fn read_addresses(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Vec<Listen>> {
    if f.value(wanted.key).is_none() {
        // A job needs no address.
        return is_job(f).then(Vec::new);
    }
    let mut listen: Vec<Listen> = Vec::new();
    let mut taken = Owners::default();
    for found in f.list(wanted)? {
        let Some(address) = f.note(&found.span, found.value.parse::<Listen>()) else {
            continue;
        };
        if taken.by_family(&address).is_some() {
            f.faults.push(
                Diagnostic::error(
                    found.span,
                    format!("`{address}` is covered by an address before it"),
                )
                .help("leave it out"),
            );
        } else {
            taken.take(&address, 0);
            listen.push(address);
        }
    }
    Some(listen)
}

/// Adds the fault of an app without `listen`, which commands that can find the address remove, see
/// [`super::allow_left_out`].
pub(super) fn missing_addresses(f: &mut Fields<'_, '_>) -> Vec<Listen> {
    if f.peek("listen").is_some() {
        return Vec::new();
    }
    let is_bound = !is_given_its_sockets(f);
    let more = if is_bound {
        "; `rsgen install` can find it"
    } else {
        ": a program that gets its sockets from systemd binds none that a rehearsal could find"
    };
    let help = format!(
        "add `listen = 3000`, the address that all instances share, or `listen = []` if the program does not listen{more}"
    );
    let mut fault = Diagnostic::error(f.place("listen"), "this app has no `listen`").help(help);
    fault.is_of_missing_listen = is_bound;
    f.faults.push(fault);
    Vec::new()
}

/// Returns whether the file says that the program does not listen.
pub(super) fn listens_nowhere(f: &Fields<'_, '_>) -> bool {
    match f.peek("listen") {
        Some(listen) => listen.as_array().is_some_and(|list| list.is_empty()),
        None => is_job(f),
    }
}

/// Adds a fault: the key is for programs that listen.
fn needs_a_port(f: &mut Fields<'_, '_>, key: &'static str, help: &str) {
    f.faults.push(
        Diagnostic::error(
            f.place(key),
            format!("`{key}` is for a program that listens, and this one does not"),
        )
        .help(help),
    );
}

pub(super) fn usual_handover(f: &mut Fields<'_, '_>) -> Handover {
    if listens_nowhere(f) {
        Handover::Nothing
    } else {
        Handover::Bind
    }
}

pub(super) fn read_handover(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Handover> {
    f.peek(wanted.key)?;
    if listens_nowhere(f) {
        needs_a_port(
            f,
            wanted.key,
            "leave it out: there is no socket to hand over",
        );
        return None;
    }
    read_word(f, wanted)
}

/// Returns the default of `ready`, which depends on `handover` and `listen`.
pub(super) fn usual_ready(f: &mut Fields<'_, '_>) -> Ready {
    if is_given_its_sockets(f) || listens_nowhere(f) {
        Ready::Exec
    } else {
        Ready::Listen
    }
}

fn is_given_its_sockets(f: &Fields<'_, '_>) -> bool {
    let word = f.peek("handover").and_then(DeValue::as_str);
    word.and_then(|word| word.parse().ok()) == Some(Handover::Fds)
}

pub(super) fn read_ready(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Ready> {
    let ready = read_word(f, wanted)?;
    if ready != Ready::Listen {
        return Some(ready);
    }
    if listens_nowhere(f) {
        f.faults.push(
            Diagnostic::error(f.place(wanted.key), "`ready = \"listen\"` needs an address, and `listen` is empty")
                .help("write `ready = \"notify\"` if the program calls sd_notify, `\"message\"` if it calls process.send('ready'), otherwise `\"exec\"`"),
        );
    } else if is_given_its_sockets(f) {
        f.faults.push(
            Diagnostic::error(f.place(wanted.key), "`ready = \"listen\"` needs `handover = \"bind\"`")
                .help("a program that gets its sockets from systemd never calls listen; write `ready = \"notify\"` if it calls sd_notify, otherwise `\"exec\"`"),
        );
    }
    Some(ready)
}

/// Returns the default of `drain`: without a port there are no connections to finish.
pub(super) fn usual_drain(f: &mut Fields<'_, '_>) -> Way {
    if listens_nowhere(f) {
        Way::Off
    } else {
        Way::Auto
    }
}

pub(super) fn read_drain(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Way> {
    let way = read_word(f, wanted)?;
    if way != Way::Off && listens_nowhere(f) {
        needs_a_port(
            f,
            wanted.key,
            "leave it out: an instance finishes its work between `kill_signal` and the end of `kill_timeout`",
        );
    }
    Some(way)
}

pub(super) fn read_drain_timeout(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Duration> {
    let time = f.positive_time(wanted)?;
    if listens_nowhere(f) {
        f.faults.push(
            Diagnostic::warning(
                f.place(wanted.key),
                "`drain_timeout` has no effect: a program that listens nowhere has no connections to finish",
            )
            .help("leave it out: an instance finishes its work between `kill_signal` and the end of `kill_timeout`"),
        );
    }
    Some(time)
}

/// `[apps.socket]`.
pub(super) fn read_socket(f: &mut Fields<'_, '_>, wanted: Wanted) -> Directives {
    let directives = read_directives(f, wanted, Section::Socket);
    if !directives.is_empty() && listens_nowhere(f) {
        needs_a_port(f, wanted.key, "leave it out: there is no socket unit");
    }
    directives
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::tests::read;

    #[test]
    fn an_empty_list_is_an_app_without_a_socket_a_handover_or_a_drain() {
        let (app, faults) = read("listen = []");
        assert_eq!(faults, Vec::<String>::new());
        let app = app.unwrap();
        assert_eq!(app.sockets(), Vec::<String>::new());
        assert_eq!(app.handover, Handover::Nothing);
        assert_eq!(app.ready, Ready::Exec);
        assert_eq!(app.lifecycle.drain, Way::Off);
        for ready in ["notify", "message", "exec"] {
            let (app, faults) = read(&format!("listen = []\nready = \"{ready}\""));
            assert_eq!(faults, Vec::<String>::new());
            assert_eq!(app.map(|app| app.ready.to_string()).as_deref(), Some(ready));
        }
    }

    #[test]
    fn what_a_listener_would_need_is_refused_without_one() {
        for (line, fault) in [
            (
                "handover = \"bind\"",
                "`handover` is for a program that listens",
            ),
            (
                "handover = \"fds\"",
                "`handover` is for a program that listens",
            ),
            (
                "ready = \"listen\"",
                "`ready = \"listen\"` needs an address",
            ),
            ("drain = \"auto\"", "`drain` is for a program that listens"),
            (
                "socket.Backlog = 9",
                "`socket` is for a program that listens",
            ),
            ("drain_timeout = 9", "`drain_timeout` has no effect"),
        ] {
            let (_, faults) = read(&format!("listen = []\n{line}"));
            assert!(
                faults.len() == 1 && faults[0].starts_with(fault),
                "{line}: {faults:?}"
            );
        }
        let (_, faults) = read("listen = []\ndrain = \"off\"");
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn nobody_writes_that_there_is_no_handover() {
        let (_, faults) = read("listen = 1\nhandover = \"none\"");
        assert_eq!(faults, ["`none` is not one of `bind`, `fds`"]);
    }

    #[test]
    fn an_app_without_addresses_is_asked_for_them() {
        let (_, faults) = read("");
        assert_eq!(faults, ["this app has no `listen`"]);
    }
}
