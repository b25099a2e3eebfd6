//! Files that were written to be slow: what a file takes grows with its length, not with the square of it.

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
/// How much longer the large file is.
const FACTOR: usize = 8;

/// A text of about this length: a start, and lines that are each their own.
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

/// Each would be slow if something compared all with all, or began from the start of the text again.
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

/// The time that this thread has had a processor: others may be busy as well.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

/// What it takes to tell what is wrong with a file, and to make units of it if nothing is.
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
fn a_file_takes_a_time_that_grows_with_its_length() {
    for (kind, make) in KINDS {
        let [small, large] = [SMALL, SMALL * FACTOR].map(make);
        // The least of three is what nothing else got in the way of.
        let least = |text: &str| (0..3).map(|_| cost(text)).min().unwrap();
        let (small, large) = (least(&small), least(&large));
        // A square would be FACTOR times FACTOR.
        let limit = small * u32::try_from(FACTOR * FACTOR / 2).unwrap();
        assert!(large < limit, "{kind}: {small:?}, then {large:?}");
    }
}
