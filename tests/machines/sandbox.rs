//! What docs/sandboxing.md says of every sandbox, tried.

use std::fmt::Write;
use std::fs;

use testbed::Machine;

use crate::cluster::ECOSYSTEM;

/// A line of the page's table.
struct Row {
    directives: Vec<String>,
    /// What the journal says when it does not work.
    words: Option<String>,
    since: u32,
}

fn rows() -> Vec<Row> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sandboxing.md");
    let page = fs::read_to_string(page).unwrap_or_else(|e| panic!("{page}: {e}"));
    let table = page.lines().skip_while(|l| !l.starts_with("| ---"));
    table.skip(1).filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let (directives, outcome) = line.strip_prefix("| ")?.split_once(" | ")?;
    let quoted = |text: &str| -> Vec<String> {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let since = outcome
        .split_once("(since ")
        .and_then(|(_, v)| v.split_once(')')?.0.parse().ok());
    Some(Row {
        directives: quoted(directives),
        words: (!outcome.starts_with("works")).then(|| quoted(outcome).concat()),
        since: since.unwrap_or(0),
    })
}

/// `[apps.service]`, where a directive that comes twice has a list.
fn table(directives: &[String]) -> String {
    let account = directives.iter().find_map(|d| d.strip_prefix("User="));
    let account = account.map(|user| format!("user = {user:?}\n"));
    let mut lines = account.unwrap_or_default() + "[apps.service]\n";
    let pairs: Vec<(&str, &str)> = directives
        .iter()
        .filter_map(|d| d.split_once('='))
        .filter(|(key, _)| *key != "User")
        .collect();
    for (at, (key, _)) in pairs.iter().enumerate() {
        let values: Vec<&str> = pairs
            .iter()
            .filter(|(k, _)| k == key)
            .map(|(_, v)| *v)
            .collect();
        if pairs.iter().position(|(k, _)| k == key) == Some(at) {
            let _ = writeln!(lines, "{key} = {values:?}");
        }
    }
    lines
}

pub(crate) fn is_what_the_page_says(machine: &mut Machine) {
    machine.write_app("python.py", "/srv/web");
    let mut wrong = String::new();
    let rows = rows();
    assert!(rows.len() > 30, "the page has lost its table");
    for row in rows
        .iter()
        .filter(|r| r.since <= machine.release().systemd())
    {
        if let Err(why) = tried(machine, row) {
            let _ = writeln!(wrong, "{}: {why}", row.directives.join(" "));
        }
        machine.run(&["rsgen", "uninstall", "web"]);
        machine.run(&["systemctl", "reset-failed"]);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// As on a kernel that was built without it.
pub(crate) fn a_kernel_that_cannot_is_told_by_check(machine: &mut Machine) {
    machine.write_app("python.py", "/srv/web");
    let app = "[[apps]]\nname = \"web\"\nscript = \"python.py\"\nlisten = 3000\n";
    machine.write(ECOSYSTEM, app);
    let check = |filter: &str, file: &str| {
        let run = [
            "systemd-run",
            "--quiet",
            "--wait",
            "--pipe",
            "--collect",
            filter,
            "rsgen",
            "check",
            file,
        ];
        machine.run(&run).ok().stderr
    };
    let without = "--property=SystemCallFilter=~seccomp:ENOSYS";
    let told = check(without, ECOSYSTEM);
    assert!(
        told.contains("`handover = \"bind\"` cannot work here"),
        "{told}"
    );
    assert_eq!(check("--property=Nice=0", ECOSYSTEM), "");
    machine.write("/srv/web/fds.toml", &format!("{app}handover = \"fds\"\n"));
    assert_eq!(check(without, "/srv/web/fds.toml"), "");
}

fn tried(machine: &Machine, row: &Row) -> Result<(), String> {
    let app = "[[apps]]\nname = \"web\"\nscript = \"python.py\"\nlisten = \"0.0.0.0:3000\"\n\
               max_restarts = 2\nlisten_timeout = \"5s\"\ndrain_timeout = \"2s\"\n";
    machine.write(ECOSYSTEM, &format!("{app}{}", table(&row.directives)));
    machine.sh("journalctl --rotate -q; journalctl --vacuum-time=1us -q");
    let install = machine.run(&["rsgen", "install", ECOSYSTEM]);
    let journal = || {
        let lines =
            machine.sh("journalctl -q -o cat -t web -t python3 | grep -v serving | sort -u");
        lines.text().to_owned()
    };
    match &row.words {
        None if install.status != 0 => Err(format!("does not start: {}", journal())),
        None => {
            machine
                .get(3000)
                .map_err(|e| format!("does not answer: {e:?}"))?;
            machine.systemctl(&["restart", "web@0"]).ok();
            let journal = journal();
            if journal.contains("drain") {
                return Err(format!("does not drain: {journal}"));
            }
            Ok(())
        }
        Some(_) if install.status == 0 => Err("works".into()),
        Some(words) => {
            let journal = journal();
            let said = !words.is_empty() && journal.contains(words.as_str());
            said.then_some(()).ok_or(format!("says: {journal}"))
        }
    }
}
