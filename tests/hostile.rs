//! Ecosystem files that were made to be slow: the time to check a file grows with its length, not with the square of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rsgen::ecosystem::parse;
use rsgen::layout::Layout;
use rsgen::plan::{self, Host, Origin};

const HOST: Host = Host {
    cpus: 2,
    yama: false,
    status: |_| None,
};
const APP: &str = "[[apps]]\nname = \"web\"\nscript = \"/srv/web\"\n";
const SMALL: usize = 16 << 10;
/// How many times longer the large file is.
const FACTOR: usize = 8;

/// A text of about this length: a start, and lines that all differ.
fn text(length: usize, start: &str, line: impl Fn(usize) -> String) -> String {
    let mut text = start.to_owned();
    for number in 0.. {
        text.push_str(&line(number));
        if text.len() >= length {
            break;
        }
    }
    text
}

type Kind = (&'static str, fn(usize) -> String);

/// Kinds of files that would be slow if everything were compared with everything, or the text were read from its start again
/// and again.
const KINDS: &[Kind] = &[
    ("keys that nobody knows", |length| {
        text(length, APP, |i| format!("key{i} = 1\n"))
    }),
    ("directives that nobody knows", |length| {
        let start = format!("{APP}[apps.service]\n");
        text(length, &start, |i| format!("Key{i} = 1\n"))
    }),
    ("faults in one line", |length| {
        let start = format!("{APP}env = {{");
        text(length, &start, |i| format!(" KEY{i} = [],")) + " A = [] }\n"
    }),
    ("what is no TOML", |length| {
        text(length, "", |_| "=\n".to_owned())
    }),
    ("apps", |length| {
        text(length, "", |i| {
            format!(
                "[[apps]]\nname = \"a{i}\"\nscript = \"/x\"\nlisten = {}\n",
                i + 1
            )
        })
    }),
    ("apps of one name and one address", |length| {
        text(length, "", |_| {
            "[[apps]]\nscript = \"x\"\nlisten = 1\n".to_owned()
        })
    }),
    ("addresses of one port", |length| {
        let start = format!("{APP}listen = [");
        text(length, &start, |i| {
            format!("\"127.0.{}.{}:1\", ", i / 250, i % 250)
        }) + "]\n"
    }),
    ("addresses of two families", |length| {
        let start = format!("{APP}listen = [");
        let mut number = 0;
        let mut text = start;
        while text.len() < length {
            number += 1;
            let other = 65_536 - number;
            write!(text, "\"[::1]:{number}\", \"127.0.0.1:{other}\", ").unwrap();
        }
        text + "]\n"
    }),
    ("variables", |length| {
        let start = format!("{APP}listen = 1\n[apps.env]\n");
        text(length, &start, |i| format!("KEY{i} = \"{i}\"\n"))
    }),
];

/// The processor time of this thread, which does not depend on other threads.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

/// The processor time to check a file, and to render its units if it is valid.
fn cost(text: &str) -> Duration {
    let start = processor_time();
    let (apps, report) = parse("ecosystem.toml", text);
    let _shown = report.render(false);
    report.located().last();
    if !report.has_errors() {
        for app in &apps {
            plan::units(app, Origin::Packaged, &Layout::system(Path::new("/")), HOST).unwrap();
        }
    }
    processor_time().saturating_sub(start)
}

#[test]
fn the_time_for_a_file_grows_with_its_length() {
    for (kind, make) in KINDS {
        let [small, large] = [SMALL, SMALL * FACTOR].map(make);
        // The shortest of three measurements is the one that was disturbed least.
        let least = |text: &str| (0..3).map(|_| cost(text)).min().unwrap();
        let (small, large) = (least(&small), least(&large));
        // Quadratic time would be FACTOR × FACTOR times as long.
        let limit = small * u32::try_from(FACTOR * FACTOR / 2).unwrap();
        assert!(large < limit, "{kind}: {small:?}, then {large:?}");
    }
}
