//! The answer of a rehearsal: the addresses that were found, or the reason for which there are none.

use super::super::findings::{self, Findings, Unclear};
use super::super::jobs::Jobs;
use super::super::last_words;
use super::seen::{ASLEEP, Over, Seen};
use crate::cluster::Cluster;
use crate::ecosystem::App;
use crate::output::{Exit, Failure, Notice};
use crate::record::Journal;
use crate::visible::Visible;

/// `how` is what the unit reports about its own end.
pub(super) fn answer(
    jobs: &Jobs<'_>,
    app: &App,
    unit: &str,
    seen: &Seen,
    over: Over,
    how: Option<String>,
) -> Result<Findings, Failure> {
    let judged = findings::judge(&seen.found, seen.has_ended);
    if seen.has_ended && judged.is_err() {
        return Err(ended(jobs, app, unit, seen, how));
    }
    match judged {
        // A program that is up and binds nothing, not one that is not up.
        Err(Unclear::Nothing)
            if !seen.is_strange && seen.unmade.is_none() && !seen.is_unready(app) =>
        {
            Ok(Findings {
                notes: vec![without_a_port(app, over)],
                ..Findings::default()
            })
        }
        judged => judged.map_err(|unclear| refusal(app, seen, &unclear)),
    }
}

fn without_a_port(app: &App, over: Over) -> String {
    let when = match over {
        Over::Clear | Over::Ended => "before it was READY".to_owned(),
        Over::Asleep => format!("and slept for {} s", ASLEEP.as_secs()),
        Over::Late => format!("within {} s", app.lifecycle.listen_timeout.as_secs_f64()),
    };
    format!(
        "bound no address {when}: installed as a program that does not listen; write `listen` if it binds a port later"
    )
}

/// The failure of a program that systemd has not started, if a condition may be why. systemd has forgotten the unit by now, and with it
/// which one did not hold.
fn unmet(app: &App, seen: &Seen, how: Option<&str>) -> Option<Failure> {
    let is_condition = |directive: &str| {
        ["Condition", "Assert"]
            .iter()
            .any(|kind| directive.starts_with(kind))
    };
    let all = app
        .unit
        .iter()
        .filter(|(directive, _)| is_condition(directive));
    let all: Vec<String> = all
        .map(|(directive, value)| format!("`{directive}={value}`"))
        .collect();
    if all.is_empty() || how.is_some() || !seen.run.invocation.is_empty() {
        return None;
    }
    let one_of = if all.len() > 1 { "one of " } else { "" };
    let message = format!(
        "`{}` was not started for its rehearsal, because {one_of}{} did not hold",
        app.name,
        all.join(", ")
    );
    Some(Failure::failed(message).help("make sure that it holds, or remove it from `[apps.unit]`"))
}

/// The failure of a program that has ended by itself, after what it has written.
fn ended(jobs: &Jobs<'_>, app: &App, unit: &str, seen: &Seen, how: Option<String>) -> Failure {
    if let Some(failure) = unmet(app, seen, how.as_deref()) {
        return failure;
    }
    let cluster = Cluster {
        app: app.name.clone(),
        state: jobs.layout.state(&app.name),
        scope: jobs.layout.scope,
        journal: Journal::default(),
    };
    for line in cluster.words(&seen.run) {
        jobs.sink.notice(&Notice::LastWord(&Visible::line(&line)));
    }
    let how = how.map(|how| format!(" ({how})")).unwrap_or_default();
    Failure::failed(format!(
        "`{}` ended in its rehearsal{how} before it listened",
        app.name
    ))
    .help(match &seen.unmade {
        Some(path) => make(path),
        None => format!("see `journalctl -u {unit}`; or write `listen` to skip the rehearsal"),
    })
    .help_first(last_words::elsewhere_of(app))
}

/// The failure of a program of which another rehearsal has not found the same.
pub(super) fn changing(app: &App, unclear: &Unclear) -> Failure {
    Failure::failed(format!("`{}` {unclear}", app.name)).help(FIXED)
}

/// The help for a program that has no address of which every start can say that it is the app's.
const FIXED: &str =
    "make the program listen on a fixed address, for instance by a variable in `env`";

/// The help for a program whose socket only root can make. Whether systemd is to make the socket is for a person to decide.
fn make(path: &str) -> String {
    format!(
        "if clients are to reach it at `{path}`, write `listen = \"{path}\"`: systemd then makes the socket, and its folder"
    )
}

fn refusal(app: &App, seen: &Seen, unclear: &Unclear) -> Failure {
    let what = match unclear {
        Unclear::Nothing if seen.unmade.is_some() => {
            "binds a unix socket that its user may not make".to_owned()
        }
        Unclear::Nothing if seen.is_strange => {
            "binds an address that cannot be shared, for instance an abstract one".to_owned()
        }
        Unclear::Nothing => format!(
            "was not READY within {} s of its rehearsal, and bound no address",
            app.lifecycle.listen_timeout.as_secs_f64()
        ),
        unclear => unclear.to_string(),
    };
    let help = match unclear {
        Unclear::Nothing if let Some(path) = &seen.unmade => &make(path),
        Unclear::Nothing => {
            "write the address as `listen`, and raise `listen_timeout` if the program needs longer"
        }
        Unclear::NoneToShare(_) => FIXED,
        Unclear::TooMany => "write those that the instances are to share as `listen`",
    };
    Failure::new(Exit::Failed, format!("`{}` {what}", app.name)).help(help)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::ecosystem::parse;

    #[test]
    fn what_systemd_has_not_started_is_told_with_the_conditions_that_it_has() {
        let told = |conditions: &str, how: Option<&str>, invocation: &str| {
            let text =
                format!("[[apps]]\nname = \"web\"\nscript = \"x\"\n[apps.unit]\n{conditions}");
            let app = parse("", &text).0.remove(0);
            let mut seen = Seen::begin(Instant::now());
            seen.run.invocation = invocation.into();
            unmet(&app, &seen, how).map(|failure| failure.message)
        };
        let one = "ConditionHost = \"a\"\n";
        let said = "`web` was not started for its rehearsal, because";
        let wanted = format!("{said} `ConditionHost=a` did not hold");
        assert_eq!(told(one, None, ""), Some(wanted));
        let two = format!("{one}AssertHost = \"b\"\nDescription = \"c\"\n");
        let both = "one of `AssertHost=b`, `ConditionHost=a` did not hold";
        let wanted = format!("{said} {both}");
        assert_eq!(told(&two, None, ""), Some(wanted));
        // It has run, or systemd says how it has ended.
        for (conditions, how, invocation) in [
            (one, None, "ab"),
            (one, Some("killed by SIGBUS"), ""),
            ("Description = \"c\"\n", None, ""),
        ] {
            assert_eq!(told(conditions, how, invocation), None);
        }
    }
}
