//! No value of an ecosystem file becomes syntax of a unit. Here values are random; `tests/fuzz` searches for hours.

#![expect(clippy::expect_used, reason = "a claim that does not hold")]

#[path = "fuzz/claims.rs"]
mod claims;

use proptest::prelude::*;

/// A value that often contains characters with a meaning to systemd or a shell.
fn value() -> impl Strategy<Value = String> {
    let sharp = prop::sample::select(vec![
        "%",
        "%i",
        "%%",
        "$",
        "$$",
        "${A}",
        "\"",
        "'",
        "\\",
        "\\n",
        "\n",
        "\r",
        "\t",
        "\0",
        ";",
        " ",
        "=",
        "#",
        "[Service]",
        "\nUser=root",
        "\u{85}",
        "\u{2028}",
        "\u{7f}",
        "@",
        "-",
        "+",
        "!",
        ":",
        "|",
        "é",
    ]);
    let piece =
        prop_oneof![3 => sharp.prop_map(str::to_owned), 1 => "[a-z/]{1,4}", 1 => any::<String>()];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_value_becomes_syntax(values in prop::collection::vec(value(), 13)) {
        claims::of_any_text(&claims::file(&values));
    }

    #[test]
    fn no_time_becomes_syntax(value in value(), cron in "[0-9*/, \\-a-z%@#L]{1,20}") {
        claims::of_any_text(&claims::job(&value));
        claims::of_any_text(&claims::job(&cron));
    }

    /// With all of them hostile most files are refused; one at a time gets further.
    #[test]
    fn no_single_value_becomes_syntax(value in value(), place in 0..13_usize) {
        let mut values = vec!["a".to_owned(); 13];
        values[place] = value;
        claims::of_any_text(&claims::file(&values));
    }

    #[test]
    fn any_text_gives_units_or_faults(text in any::<String>()) {
        claims::of_any_text(&text);
    }
}

#[test]
fn harmless_values_are_accepted() {
    let (apps, report) =
        rsgen::ecosystem::parse("ecosystem.toml", &claims::file(&["a".to_owned()]));
    assert!(!report.has_errors(), "{}", report.render(false));
    claims::of_an_app(&apps[0]);
}
