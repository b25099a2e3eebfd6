use crate::ecosystem::parse;

/// Values that would break an error message that is split as text.
const VALUES: &[&str] = &[
    "http: 3000",
    "a: b: c",
    ": ",
    "a`: `b",
    "`",
    "a\nhelp: do this",
    "x\ty",
    "",
];

#[test]
fn a_fault_shows_the_whole_value_and_a_remedy_whatever_the_value_holds() {
    for key in [
        "name",
        "instances",
        "instance_var",
        "user",
        "listen",
        "handover",
        "kill_signal",
        "kill_timeout",
        "env.\"VALUE\"",
    ] {
        for value in VALUES {
            // Written as a basic string of TOML, whose escapes are among Rust's.
            let line = match key.strip_suffix("\"VALUE\"") {
                Some(table) => format!("{table}{value:?} = 1"),
                None => format!("{key} = {value:?}"),
            };
            let others = "script = \"x\"\nlisten = 1\nname = \"x\"".split('\n');
            let others: Vec<&str> = others.filter(|other| !other.starts_with(key)).collect();
            let (_, report) = parse(
                "eco.toml",
                &format!("[[apps]]\n{}\n{line}", others.join("\n")),
            );
            let is_default = key == "instance_var" && value.is_empty();
            for fault in &report.diagnostics {
                let quoted = fault.message.contains(&format!("`{value}`"));
                assert!(quoted || value.is_empty(), "{line}: {}", fault.message);
                assert!(fault.help.is_some(), "{line}: {}", fault.message);
            }
            assert_eq!(report.has_errors(), !is_default, "{line}");
        }
    }
}
