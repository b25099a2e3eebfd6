//! Settings of an app that this host does not support.

use std::collections::HashMap;
use std::io;

use crate::ecosystem::values::Handover;
use crate::ecosystem::{self, Diagnostic};
use crate::sys::seccomp;
use crate::unit::directive::{self, Section};

/// Returns the warnings about an app on this host; `version` is systemd's.
pub(super) fn faults(app: &ecosystem::App, version: Option<u32>) -> Vec<Diagnostic> {
    let handover = cannot_hand_over(app, seccomp::probe);
    let mut faults: Vec<Diagnostic> = handover.into_iter().collect();
    let tables = [
        (Section::Unit, &app.unit),
        (Section::Service, &app.service),
        (Section::Socket, &app.socket),
        (Section::Timer, &app.times.timer),
    ];
    for (section, directives) in tables {
        faults.extend(ignored(app, section, directives, version));
    }
    faults
}

/// Asks the kernel itself, because its version does not show whether a distribution left the feature out.
fn cannot_hand_over(app: &ecosystem::App, probe: fn() -> io::Result<()>) -> Option<Diagnostic> {
    let Err(error) = (app.handover == Handover::Bind).then(probe)? else {
        return None;
    };
    let message = format!(
        "`handover = \"bind\"` cannot work here: seccomp(2) has no user notifications ({error})"
    );
    let help =
        "it needs Linux 5.9; a program that uses sd_listen_fds(3) needs only `handover = \"fds\"`";
    Some(Diagnostic::warning(app.span.clone(), message).help(help))
}

/// Returns a warning about each directive that this systemd does not have yet or no longer has. systemd itself only
/// logs a warning.
fn ignored(
    app: &ecosystem::App,
    section: Section,
    directives: &ecosystem::app::Directives,
    version: Option<u32>,
) -> Vec<Diagnostic> {
    let Some(version) = version.filter(|_| !directives.is_empty()) else {
        return Vec::new();
    };
    let why = |directive: directive::Known| {
        if directive.since > version.max(directive::BASELINE) {
            return Some(format!("it needs systemd {}", directive.since));
        }
        let last = directive.until.filter(|until| version > *until)?;
        Some(format!("no systemd after {last} has it; leave it out"))
    };
    let known: HashMap<&str, directive::Known> = directive::known(section)
        .map(|known| (known.name, known))
        .collect();
    directives
        .iter()
        .filter_map(|(name, _)| Some((name, why(*known.get(name.as_str())?)?)))
        .map(|(name, why)| {
            let message = format!("`{name}` is ignored by systemd {version}");
            Diagnostic::warning(app.span.clone(), message).help(why)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_user_notifications_is_told_where_they_are_needed() {
        let is_told = |keys: &str, probe| {
            let text = format!("[[apps]]\nscript = \"x\"\nlisten = 1\n{keys}");
            let (apps, _) = ecosystem::parse("eco.toml", &text);
            let fault = cannot_hand_over(&apps[0], probe);
            fault.is_some_and(|fault| fault.message.contains("no user notifications"))
        };
        let old = || Err(io::ErrorKind::Unsupported.into());
        assert!(is_told("", old));
        assert!(!is_told("", || Ok(())));
        assert!(!is_told("handover = \"fds\"", old));
    }
}
