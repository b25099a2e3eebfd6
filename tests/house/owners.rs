//! Formats that only one file of `src` writes and reads.

use super::{assert_none, sources};

/// The lines of `src` with one of these patterns, except those of the owner and of tests.
fn outside(owner: &str, patterns: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources() {
        let is_code = source.path.starts_with("src/") && source.is_rust();
        // Tests write expected texts literally.
        let is_test = source.path.ends_with("tests.rs") || source.path.contains("/tests/");
        if !is_code || is_test || source.path.starts_with(owner) {
            continue;
        }
        let code = source
            .code()
            .take_while(|(_, l)| !l.contains("mod tests {"));
        let breaches = code.filter(|(_, line)| patterns.iter().any(|p| line.contains(p)));
        found.extend(breaches.map(|(i, l)| format!("{}:{i}: {}", source.path, l.trim())));
    }
    found
}

#[test]
fn names_of_units_are_made_and_split_in_one_place() {
    let made = ["}.service", "}.socket\"", "}.socket ", "@.service", "@*"];
    let split = [
        "_suffix(\".service",
        "_suffix(\".socket",
        "strip_prefix('@')",
    ];
    let found = outside("src/unit/name.rs", &[&made[..], &split].concat());
    assert_none("use `unit::name::Units` or `unit::name::parse`", &found);
}

#[test]
fn files_of_the_state_are_named_in_one_place() {
    let whole = ["walk.jsonl", "walk.done", "good.toml", "join(\"drain\")"];
    let numbered = [
        "}.deaths",
        "}.unhealthy",
        "}.sockets",
        "}.helper",
        "}.dead\"",
        "}.shutdown",
    ];
    let found = outside("src/state/", &[&whole[..], &numbered].concat());
    assert_none("use `state::Name` or `state::Notice`", &found);
}

#[test]
fn command_lines_of_units_are_made_and_read_in_one_place() {
    let flags = [
        "--handover",
        "--listen-timeout",
        "--longest-stop",
        "--min-uptime",
        "--way=",
    ];
    let found = outside("src/contract/", &flags);
    assert_none("use a type of `contract`", &found);
}
