//! The unit of a rehearsal.

use std::path::Path;
use std::time::Duration;

use askama::Template;

use super::super::{Host, commands};
use super::{Header, env_files, finished, instance};
use crate::contract::time;
use crate::ecosystem::App;
use crate::layout::{Layout, Scope};

/// The values that the unit of a rehearsal has in addition to that of an instance.
#[derive(Debug, Clone, Copy)]
pub struct Rehearsal<'a> {
    /// The number of the rehearsal.
    pub number: u32,
    /// The socket to which the worker reports.
    pub report: &'a Path,
    /// The longest time that the program runs if it is not ended sooner.
    pub longest: Duration,
}

/// The same values, in the form that the template needs.
pub(super) struct Staged {
    pub(super) longest: Duration,
    pub(super) slice: &'static str,
}

impl Staged {
    /// Returns whether a rehearsal omits a directive of `[apps.unit]`, because a failed rehearsal must not trigger
    /// anything.
    pub(super) fn leaves_out(directive: &str) -> bool {
        matches!(directive, "OnFailure" | "OnSuccess")
    }
}

/// Renders the unit of a rehearsal, which is similar to that of an instance.
pub(in crate::plan) fn rehearsal(
    app: &App,
    layout: &Layout,
    host: Host,
    rehearsal: Rehearsal<'_>,
) -> askama::Result<String> {
    let mut instance = instance(app, Header::none(), layout, host);
    let files = env_files(app, layout, host);
    // The report needs a unix socket, whatever `ready` the app has.
    let families = ("RestrictAddressFamilies", "AF_UNIX");
    if app.assigned(families.0).is_named() && !instance.needed.contains(&families) {
        instance.needed.push(families);
    }
    instance.sockets = String::new();
    instance.commands = commands::of_rehearsal(app, layout, &files, rehearsal);
    instance.start_timeout = time::show(rehearsal.longest);
    instance.rehearsal = Some(Staged {
        longest: rehearsal.longest,
        slice: match layout.scope {
            Scope::System => "system.slice",
            Scope::User => "app.slice",
        },
    });
    Ok(finished(instance.render()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host {
        cpus: 4,
        yama: false,
        status: |_| None,
    };

    /// The unit of a rehearsal of an app with these lines.
    fn rendered(lines: &str) -> String {
        let text = format!("[[apps]]\nscript = \"/x\"\nlisten = 1\n{lines}\n");
        let (apps, _) = crate::ecosystem::parse("", &text);
        let staged = Rehearsal {
            number: 7,
            report: Path::new("/run/rsgen/7.report"),
            longest: Duration::from_secs(30),
        };
        let layout = Layout::system(Path::new("/"));
        rehearsal(&apps[0], &layout, HOST, staged).unwrap()
    }

    #[test]
    fn a_unit_that_restricts_sockets_lets_those_of_the_report_through() {
        for (lines, expected) in [
            ("", 0),
            ("service.RestrictAddressFamilies = \"AF_INET\"", 1),
            (
                "service.RestrictAddressFamilies = \"AF_INET\"\nready = \"notify\"",
                1,
            ),
        ] {
            let text = rendered(lines);
            let added = text.matches("RestrictAddressFamilies=AF_UNIX").count();
            assert_eq!(added, expected, "{lines}: {text}");
        }
    }

    #[test]
    fn nobody_is_told_of_a_rehearsal_that_fails() {
        let text = rendered("unit = { OnFailure = \"mail.service\", After = \"db.service\" }");
        assert!(
            !text.contains("mail.service") && text.contains("After=db.service"),
            "{text}"
        );
    }
}
