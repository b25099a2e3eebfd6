//! Values of an ecosystem file arrive byte for byte, or are refused.

use std::fmt::Write;

use testbed::Machine;

use crate::cluster::ECOSYSTEM;

/// Values that are hard to quote, as TOML strings.
fn hostile() -> Vec<String> {
    let plain = [
        "",
        " ",
        "  two  ",
        "a b",
        "'",
        "\"",
        "''",
        "\"\"",
        "it's \"me\"",
        "`id`",
        "$(id)",
        "$HOME",
        "${HOME}",
        "$$",
        "$",
        "%",
        "%%",
        "%n",
        "%i %h",
        "100%",
        ";",
        "; rm -rf /",
        "a;b",
        "&& id",
        "| id",
        "> /tmp/x",
        "\\",
        "\\\\",
        "\\n",
        "\\x41",
        "trailing\\",
        "\t",
        "a\tb",
        "a\nb",
        "\n[Service]\nUser=root",
        "ExecStart=/bin/evil",
        "[Install]",
        "#comment",
        "-",
        "--",
        "--help",
        "@",
        "+-/bin/x",
        "ü→🦀",
        "\u{feff}bom",
        "~",
        "*",
        "{a,b}",
        "=",
        "A=B",
    ];
    let mut all: Vec<String> = plain.iter().map(|s| (*s).to_owned()).collect();
    all.push("x".repeat(10_000));
    all.push("%\"$\\ ".repeat(2_000));
    all
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "{byte:02x}");
        all
    })
}

/// The text as a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut all = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                all.push('\\');
                all.push(c);
            }
            c if c.is_control() => {
                let _ = write!(all, "\\u{:04x}", u32::from(c));
            }
            c => all.push(c),
        }
    }
    all + "\""
}

pub(crate) fn arrive_byte_for_byte(machine: &mut Machine) {
    let values = hostile();
    assert!(values.len() >= 40);
    machine.write_app("echo.js", "/srv/it's 100% \"mine\"; $HOME");
    let args: Vec<String> = values
        .iter()
        .map(|v| quoted(v))
        .chain([quoted("\u{1}\u{7f}")])
        .collect();
    let mut text = format!(
        "[[apps]]\nname = \"web\"\nlisten = 3000\nscript = {}\nargs = [{}]\n[apps.env]\n",
        quoted("./it's 100% \"mine\"; $HOME/echo.js"),
        args.join(", ")
    );
    for (i, value) in values.iter().enumerate() {
        let _ = writeln!(text, "V{i} = {}", quoted(value));
    }
    machine.write("/srv/ecosystem.toml", &text);
    machine
        .run(&["rsgen", "install", "/srv/ecosystem.toml"])
        .ok();
    let told = machine.get(3000).unwrap_or_else(|e| panic!("{e:?}"));
    for (i, value) in values.iter().enumerate() {
        assert!(
            told.contains(&format!("\"V{i}\":\"{}\"", hex(value))),
            "V{i} {value:?} is not in {told:.2000}"
        );
    }
    let words: Vec<String> = values
        .iter()
        .map(String::as_str)
        .chain(["\u{1}\u{7f}"])
        .map(|v| format!("\"{}\"", hex(v)))
        .collect();
    assert!(
        told.contains(&format!("\"argv\":[{}]", words.join(","))),
        "{told:.2000}"
    );
}

pub(crate) fn that_no_unit_can_hold_are_refused(machine: &mut Machine) {
    machine.write_app("echo.js", "/srv/web");
    for line in [
        "args = [\"a\\u0000b\"]",
        "env = { A = \"\\u0001\" }",
        "env = { \"A B\" = \"x\" }",
        "env = { \"A=B\" = \"x\" }",
        "cwd = \"/srv/web\\nUser=root\"",
        "user = \"a b\"",
        "user = \"%i\"",
        "group = \"x\\ny\"",
        "instance_var = \"A\\nB\"",
        "env_file = \"/etc/*\"",
        "kill_signal = \"TERM\\nUser=root\"",
        "[apps.service]\nMemoryMax = \"1G\\nUser=root\"",
        "[apps.service]\n\"X-a\\nUser\" = \"root\"",
        "[apps.unit]\nAfter = \"a\\\\\"",
    ] {
        machine.write(
            ECOSYSTEM,
            &format!("[[apps]]\nname = \"web\"\nscript = \"echo.js\"\nlisten = 3000\n{line}\n"),
        );
        let told = machine.run(&["rsgen", "check", ECOSYSTEM]).exits(3);
        assert!(
            told.stderr.contains("ecosystem.toml:"),
            "{line}: {}",
            told.stderr
        );
    }
    let told = machine.sh("d=$(printf '/srv/\\377'); mkdir \"$d\" && cp /srv/web/* \"$d\" && cd \"$d\" && rsgen install ecosystem.toml").exits(3);
    assert!(told.stderr.contains("is not UTF-8"), "{}", told.stderr);
}

pub(crate) fn make_units_without_fault(machine: &mut Machine) {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for case in std::fs::read_dir(golden).into_iter().flatten().flatten() {
        let expected = case.path().join("expected");
        for file in std::fs::read_dir(&expected)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|f| f.path().is_file())
        {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            // Files that a unit names have to exist, or systemd-analyze(1) would report them.
            for line in text.lines() {
                if let Some(path) = line.strip_prefix("SourcePath=") {
                    machine.write(path, "");
                }
            }
            machine.write(
                &format!("/etc/systemd/system/{}", file.file_name().to_string_lossy()),
                &text,
            );
            seen += 1;
        }
    }
    assert!(seen >= 18, "{seen} units");
    machine.sh("useradd -r shop; groupadd -f www-data").ok();
    machine.systemctl(&["daemon-reload"]).ok();
    let told = machine.sh("cd /etc/systemd/system && for u in *.socket *.service; do case $u in *@.service) u=${u%@*}@0.service;; esac; systemd-analyze verify --man=no $u 2>&1; done | grep -E 'web|shop|api|site|native|hostile|dual'");
    assert_eq!(told.stdout, "");
}

/// Whether this machine has the controller depends on what the host of the tests gives to it.
pub(crate) fn of_limits_that_nothing_enforces_are_told(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    let text = "[[apps]]\nname = \"web\"\nscript = \"graceful\"\nlisten = 3000\nuser = \"www-data\"\n\
                service.MemoryMax = \"300M\"\n";
    machine.write(ECOSYSTEM, text);
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let checked = machine.run(&["rsgen", "check", ECOSYSTEM]).ok();
    // systemd reads this number from the controller.
    let is_enforced = machine.property("web@0.service", "MemoryCurrent") != "[not set]";
    let line = "warning: `MemoryMax` has no effect here";
    for told in [told, checked] {
        let lines = told.stderr.matches(line).count();
        assert_eq!(lines, usize::from(!is_enforced), "{told}");
    }
    let listed = "web: MemoryMax without effect, as systemd has no `memory` controller here";
    let described = "\nlimits    MemoryMax without effect, as ";
    let json = "\"controller\": \"memory\"";
    for (command, shown) in [
        ("list", listed),
        ("describe web", described),
        ("list --json", json),
    ] {
        let told = machine.sh(&format!("rsgen {command}")).ok();
        assert_eq!(
            told.stdout.matches(shown).count(),
            usize::from(!is_enforced),
            "{told}"
        );
    }
}
