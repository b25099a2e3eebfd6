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

/// The faults of an app with this line, each with its remedy.
fn told(line: &str) -> Vec<String> {
    let text = format!("[[apps]]\nscript = \"x\"\nlisten = 1\n{line}\n");
    let faults = parse("eco.toml", &text).1.diagnostics;
    let shown = faults.into_iter();
    let shown = shown.map(|fault| format!("{}: {}", fault.message, fault.help.unwrap()));
    shown.collect()
}

#[test]
fn an_amount_has_the_bounds_of_its_key_unless_it_is_a_percentage() {
    for line in [
        "surge = 0",
        "surge = 1024",
        "parallel = 1",
        "parallel = \"1%\"",
    ] {
        assert_eq!(told(line), [""; 0], "{line}");
    }
    for (key, number, low) in [("surge", 1025, 0), ("surge", -1, 0), ("parallel", 0, 1)] {
        let fault =
            format!("`{key}` is `{number}`, out of range: write a number from {low} to 1024");
        assert_eq!(told(&format!("{key} = {number}")), [fault]);
    }
}

#[test]
fn the_name_of_an_account_is_one_that_systemd_takes() {
    for name in ["www", "www-data", "_apt", "33", &"x".repeat(31)] {
        let faults = told(&format!("user = {name:?}"));
        assert_eq!(faults, [""; 0], "{name}");
    }
    for name in ["-www", "www data", "www.data", "wéb", &"x".repeat(32)] {
        let fault = format!("`{name}` cannot be the name of a user: ");
        let faults = told(&format!("user = {name:?}"));
        assert!(
            faults.len() == 1 && faults[0].starts_with(&fault),
            "{faults:?}"
        );
    }
}
