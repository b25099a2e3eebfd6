//! Every place that lists the keys of an app is derived from their rows, and every key has an effect.
//!
//! `RSGEN_BLESS=1 cargo test --test keys` writes these places anew. In Markdown a place is between two comments
//! `<!-- derived: … -->`, in rsgen.toml(5) between two comments of roff; the schema is derived as a whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod manual;
mod markdown;
mod schema;
mod tables;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use rsgen::ecosystem::key::{Fallback, Form, Row, Subject};
use rsgen::ecosystem::{self, rows};
use rsgen::layout::Layout;
use rsgen::plan::{self, Host, Origin, UnitSet};

/// A file, a place in it, and the text that belongs there.
type Place = (&'static str, Mark, String);

/// The kind of a place.
enum Mark {
    /// The text between two comments of Markdown with this name.
    Comment(&'static str),
    /// The text between two comments of a manual page.
    Roff,
    /// The whole file.
    File,
}

impl Mark {
    fn lines(&self) -> Option<(String, &'static str)> {
        match self {
            Self::Comment(name) => Some((
                format!("<!-- derived: {name} -->\n"),
                "<!-- derived: end -->",
            )),
            Self::Roff => Some((".\\\" derived\n".to_owned(), ".\\\" end of what is derived")),
            Self::File => None,
        }
    }

    /// The text of the file with `text` in this place.
    fn put(&self, file: &str, text: &str) -> String {
        let Some((begin, end)) = self.lines() else {
            return text.to_owned();
        };
        let (before, rest) = file.split_once(&begin).unwrap();
        let (_, after) = rest.split_once(end).unwrap();
        format!("{before}{begin}{text}{end}{after}")
    }
}

const SUBJECTS: &[(Subject, &str)] = &[
    (Subject::Program, "program"),
    (Subject::Environment, "environment"),
    (Subject::Socket, "socket"),
    (Subject::Life, "life"),
    (Subject::Reload, "reload"),
    (Subject::Schedule, "schedule"),
    (Subject::Directives, "directives"),
];

fn places() -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for (subject, name) in SUBJECTS {
        let table = tables::of_subject(*subject);
        places.push(("docs/ecosystem.md", Mark::Comment(name), table));
    }
    places.push(("docs/from-pm2.md", Mark::Comment("pm2"), tables::of_pm2()));
    places.push(("README.md", Mark::Comment("keys"), tables::short()));
    places.push(("packaging/man/rsgen.toml.5", Mark::Roff, manual::section()));
    let schema = schema::whole();
    places.push(("packaging/ecosystem.schema.json", Mark::File, schema));
    places
}

#[test]
fn documents_list_the_keys_as_their_rows_have_them() {
    let bless = std::env::var_os("RSGEN_BLESS").is_some();
    for (file, mark, text) in places() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let there = fs::read_to_string(&path).unwrap();
        let expected = mark.put(&there, &text);
        if bless {
            fs::write(&path, &expected).unwrap();
        } else {
            assert!(
                there == expected,
                "{file} is not what the keys are: RSGEN_BLESS=1 cargo test --test keys"
            );
        }
    }
}

#[test]
fn every_subject_has_keys_and_every_key_a_subject() {
    let listed = SUBJECTS.iter().map(|(subject, _)| {
        let of_subject = rows().into_iter().filter(|row| row.subject == *subject);
        of_subject.count()
    });
    let counts: Vec<usize> = listed.collect();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), rows().len());
}

#[test]
fn every_row_says_in_a_sentence_what_the_key_is() {
    for row in rows() {
        let brief = row.brief();
        assert!(
            brief.ends_with('.') && brief.len() < 300,
            "{}: {brief}",
            row.name
        );
        assert!(!brief.contains(" | ") && !row.more().contains(" | "));
    }
}

/// The keys of jobs alone.
const OF_JOBS: &[&str] = &["schedule", "run_timeout"];

/// The keys that need a listener for each instance.
const OF_HEALTH: &[&str] = &[
    "health",
    "health_command",
    "health_timeout",
    "health_interval",
    "healthy_after",
];

/// The units of an app with this value of a key, or without the key, beside those that others need to be of use.
fn units(key: &str, value: Option<&str>) -> UnitSet {
    let mut text = "[[apps]]\n".to_owned();
    let is_job = OF_JOBS.contains(&key);
    let mut beside: Vec<(&str, &str)> = if is_job {
        vec![("schedule", "\"05:00\"")]
    } else {
        vec![
            ("listen", "1"),
            ("reload_schedule", "\"05:00\""),
            ("watch", "\"base\""),
        ]
    };
    if OF_HEALTH.contains(&key) {
        beside.push(("balance", "\"even\""));
    }
    // The other keys of health are about these two.
    if OF_HEALTH.iter().skip(2).any(|other| *other == key) {
        beside.push(("health", "\"/base\""));
    }
    let of_all = [
        ("script", "\"base\""),
        ("user", "\"base\""),
        ("interpreter", "\"base\""),
    ];
    for (other, usual) in of_all.iter().chain(&beside) {
        if *other != key || value.is_none() {
            writeln!(text, "{other} = {usual}").unwrap();
        }
    }
    if let Some(value) = value {
        writeln!(text, "{key} = {value}").unwrap();
    }
    let (apps, report) = ecosystem::parse("ecosystem.toml", &text);
    assert!(!report.has_errors(), "{}", report.render(false));
    let host = Host {
        cpus: 2,
        yama: false,
        status: |_| None,
    };
    plan::units(
        apps.first().unwrap(),
        Origin::Packaged,
        &Layout::system(Path::new("/")),
        host,
    )
    .unwrap()
}

/// Different values of a key; `None` for an app without the key.
fn different(row: &Row) -> Vec<Option<String>> {
    let values = match row.form {
        Form::Switch => vec!["true".to_owned(), "false".to_owned()],
        Form::Number(low, high) => vec![low.to_string(), high.to_string()],
        Form::Amount(low, high) => {
            vec![low.to_string(), high.to_string(), "\"25%\"".to_owned()]
        }
        Form::Time => vec!["\"7s\"".to_owned(), "\"8s\"".to_owned()],
        // As long as `"auto"` means the same.
        Form::OneOf(words) if row.name == "balance" => {
            let words = words.iter().filter(|word| **word != "shared");
            words.map(|word| format!("\"{word}\"")).collect()
        }
        Form::OneOf(words) => words.iter().map(|word| format!("\"{word}\"")).collect(),
        _ => return vec![None, Some(row.example.to_owned())],
    };
    values.into_iter().map(Some).collect()
}

/// A key that is read and never rendered would be ignored silently.
#[test]
fn every_value_of_a_key_makes_other_units() {
    for row in rows() {
        let mut seen: Vec<UnitSet> = Vec::new();
        for value in different(row) {
            let made = units(row.name, value.as_deref());
            assert!(!seen.contains(&made), "{} = {value:?}", row.name);
            seen.push(made);
        }
        assert!(seen.len() > 1, "{}", row.name);
    }
}

#[test]
fn the_default_that_documents_show_is_what_counts() {
    for row in rows() {
        if let Fallback::Value(value) = row.default() {
            let with = units(row.name, Some(&value));
            assert_eq!(with, units(row.name, None), "{}", row.name);
        }
    }
}
