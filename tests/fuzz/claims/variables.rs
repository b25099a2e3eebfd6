//! Claims about environment files, whoever wrote them: only what is assigned becomes a variable, and a quoted value is read
//! unchanged.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rsgen::worker::assignments::{Fault, Found, read};

/// The bytes as a whole file, and as a value and a comment in a file.
pub(crate) fn of_any_bytes(bytes: &[u8]) {
    nothing_is_made_up(bytes);
    let without_null: Vec<u8> = bytes.iter().copied().filter(|b| *b != 0).collect();
    if without_null.len() < bytes.len() {
        assert_eq!(read(bytes), Err(Fault::Null));
        nothing_is_made_up(&without_null);
    }
    a_comment_hides_its_line(&without_null);
    if let Ok(text) = std::str::from_utf8(&without_null) {
        a_quoted_value_arrives(text);
    }
}

fn nothing_is_made_up(bytes: &[u8]) {
    let Ok(Found {
        variables,
        ignored,
        exports,
    }) = read(bytes)
    else {
        return;
    };
    let lines = bytes.split(|b| *b == b'\n').count();
    assert!(ignored.iter().all(|line| (1..=lines).contains(line)));
    assert!(ignored.is_sorted());
    assert!(exports.iter().all(|line| ignored.contains(line)));
    for (name, value) in &variables {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        assert!(!name.is_empty() && !name[0].is_ascii_digit());
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        assert!(name.iter().all(is_part), "{name:?}");
        let mut places = bytes.windows(name.len()).enumerate();
        assert!(
            places
                .any(|(at, word)| word == name && is_drawn_from(value, &bytes[at + name.len()..])),
            "{value:?} is not behind {name:?}"
        );
    }
}

/// Whether removing bytes from `text` can leave `bytes`.
fn is_drawn_from(bytes: &[u8], text: &[u8]) -> bool {
    let mut text = text.iter();
    bytes.iter().all(|byte| text.any(|t| t == byte))
}

fn a_comment_hides_its_line(text: &[u8]) {
    let is_end = |b: &u8| matches!(b, b'\n' | b'\r');
    let line = text.split(is_end).next().unwrap_or_default();
    // A backslash at the end escapes only the end of the line.
    for mark in [&b"#"[..], b" ;"] {
        let file = [mark, line, b"\nA=1\n"].concat();
        let found = read(&file).expect("a file of text");
        assert!(found.ignored.is_empty() && found.variables.len() == 1);
    }
}

fn a_quoted_value_arrives(text: &str) {
    let is_noncharacter =
        |c: char| matches!(u32::from(c), 0xfdd0..=0xfdef) || u32::from(c) & 0xfffe == 0xfffe;
    let mut quoted = String::new();
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '`' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    let file = format!("A=\"{quoted}\"\nB=1");
    let found = read(file.as_bytes());
    if text.contains(is_noncharacter) {
        assert_eq!(found, Err(Fault::NotUtf8(1)));
        return;
    }
    let found = found.expect("a file of text");
    let of = |name: &str| found.variables.get(OsStr::new(name)).map(|v| v.as_bytes());
    assert_eq!(of("A"), Some(text.as_bytes()));
    assert_eq!((of("B"), found.variables.len()), (Some(&b"1"[..]), 2));
}
