//! Writes the tables of README.md and docs/.

use std::fmt::Write;

use rsgen::ecosystem::key::{Fallback, Form, Row, Subject};
use rsgen::ecosystem::pm2::FOREIGN;
use rsgen::ecosystem::rows;

use crate::markdown::from_above;

/// The table with the full text of the keys of a subject.
pub(crate) fn of_subject(subject: Subject) -> String {
    let mut table = "| key | default | what it is |\n| --- | --- | --- |\n".to_owned();
    for row in rows().into_iter().filter(|row| row.subject == subject) {
        let text = text(row);
        writeln!(table, "| `{}` | {} | {text} |", row.name, default(row)).unwrap();
    }
    table
}

/// The text of a row, with the bounds of a number.
pub(crate) fn text(row: &Row) -> String {
    let mut text = row.brief();
    if !row.more().is_empty() {
        text = format!("{text} {}", row.more());
    }
    match row.form {
        Form::Amount(low, high) => {
            format!("{text} From {low} to {high}, or from `\"1%\"` to `\"100%\"`.")
        }
        Form::Number(low, high) if high - low > 1 => format!("{text} From {low} to {high}."),
        _ => text,
    }
}

fn default(row: &Row) -> String {
    match row.default() {
        Fallback::Required => "required".to_owned(),
        Fallback::Value(value) => format!("`{value}`"),
        Fallback::Said(said) => said.to_owned(),
    }
}

/// The table with one sentence for each key. Tables of directives have a paragraph of their own.
pub(crate) fn short() -> String {
    let mut table = "| key | default | meaning |\n| --- | --- | --- |\n".to_owned();
    let keys = rows().into_iter();
    for row in keys.filter(|row| row.subject != Subject::Directives) {
        let brief = from_above(row.brief().trim_end_matches('.'));
        writeln!(table, "| `{}` | {} | {brief} |", row.name, default(row)).unwrap();
    }
    table
}

const SAME: &str = "the same";

/// The table of PM2's attributes and what replaces them.
pub(crate) fn of_pm2() -> String {
    let mut lines: Vec<(Vec<&str>, String, &str)> = Vec::new();
    for row in rows() {
        if let Some(differs) = row.pm2.same {
            match lines.last_mut() {
                Some((names, here, more)) if here == SAME && *more == differs => {
                    names.push(row.name);
                }
                _ => lines.push((vec![row.name], SAME.to_owned(), differs)),
            }
        }
        if !row.pm2.names.is_empty() {
            let write = format!("`{}`", row.pm2.write);
            lines.push((row.pm2.names.to_vec(), write, row.pm2.note));
        }
    }
    for foreign in FOREIGN {
        lines.push((
            foreign.names.to_vec(),
            foreign.advice.to_owned(),
            foreign.more,
        ));
    }
    let mut table = "| PM2 | rsgen | |\n| --- | --- | --- |\n".to_owned();
    for (names, here, more) in lines {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let line = format!("| {} | {here} | {more} |", names.join(", "));
        writeln!(table, "{}", line.replace("|  |", "| |")).unwrap();
    }
    table
}
