//! Tests every statement of docs/sandboxing.md about the sandboxes.

use std::fmt::Write;
use std::fs;

use testbed::{Machine, Release};

use crate::cluster::ECOSYSTEM;

/// A row of the page's table.
struct Row {
    directives: Vec<String>,
    /// The words in the journal when the program does not work.
    words: Option<String>,
    since: u32,
}

/// The cells of the table on the page that has this heading.
pub(crate) fn table(heading: &str) -> Vec<Vec<String>> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sandboxing.md");
    let page = fs::read_to_string(page).unwrap_or_else(|e| panic!("{page}: {e}"));
    let rows = page.lines().skip_while(|line| *line != heading).skip(2);
    let rows = rows.take_while(|line| line.starts_with("| "));
    rows.map(|row| {
        row.trim_matches(['|', ' '])
            .split(" | ")
            .map(str::to_owned)
            .collect()
    })
    .collect()
}

fn rows() -> Vec<Row> {
    let cells = table("| directives | what happens |");
    cells
        .iter()
        .map(|cells| row(&cells[0], &cells[1]))
        .collect()
}

/// The parts of a text in backticks.
fn quoted(text: &str) -> Vec<String> {
    let parts = text.split('`').skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}

fn row(directives: &str, outcome: &str) -> Row {
    let since = outcome
        .split_once("(since ")
        .and_then(|(_, v)| v.split_once(')')?.0.parse().ok());
    Row {
        directives: quoted(directives),
        words: (!outcome.starts_with("works")).then(|| quoted(outcome).concat()),
        since: since.unwrap_or(0),
    }
}

/// The table `[apps.service]`, in which a directive that occurs twice has a list.
fn own_table(directives: &[String]) -> String {
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
    assert!(rows.len() > 30, "the table of the page was not found");
    for (_, row) in (0..)
        .zip(&rows)
        .filter(|(at, row)| is_tried(machine, *at, row))
    {
        if let Err(why) = tried(machine, row) {
            let _ = writeln!(wrong, "{}: {why}", row.directives.join(" "));
        }
        machine.run(&["rsgen", "uninstall", "web"]);
        machine.run(&["systemctl", "reset-failed"]);
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Whether the row is tried on this release. The releases take the rows in turn, unless `EVERY=1`; those that not all releases have are tried
/// on each that has them.
fn is_tried(machine: &Machine, at: usize, row: &Row) -> bool {
    let release = machine.release();
    let is_its_turn =
        Release::ALL.iter().position(|r| *r == release) == Some(at % Release::ALL.len());
    let is_for_all = row.since > 0 || std::env::var_os("EVERY").is_some();
    row.since <= release.systemd() && (is_its_turn || is_for_all)
}

/// A filter that makes seccomp(2) fail with `ENOSYS` stands in for a kernel that was built without it.
pub(crate) fn a_kernel_that_cannot_is_told_by_check(machine: &mut Machine) {
    machine.write_app("python.py", "/srv/web");
    let app =
        "[[apps]]\nname = \"web\"\nscript = \"python.py\"\nlisten = 3000\nuser = \"nobody\"\n";
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
               instances = 1\nmax_restarts = 2\nlisten_timeout = \"15s\"\n";
    machine.write(ECOSYSTEM, &format!("{app}{}", own_table(&row.directives)));
    machine.clear_journal();
    let install = machine.run(&["rsgen", "install", ECOSYSTEM]);
    let journal = || {
        let lines = machine.sh(
            "journalctl --sync; journalctl -q -o cat -t web -t python3 | grep -v serving | sort -u",
        );
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

/// The Python code that a program of the page's table runs before it serves.
const DOES: &[(&str, &str)] = &[
    (
        "makes namespaces of its own, as Chromium does for its sandbox",
        "libc = ctypes.CDLL(None, use_errno=True)\n\
         if os.fork() == 0:\n    os._exit(0 if libc.unshare(0x70000000) == 0 and libc.chroot(b'/proc/self/fdinfo') == 0 else 1)\n\
         assert os.wait()[1] == 0",
    ),
    (
        "uses a socket or a file that another program has in /tmp",
        "open('/tmp/shared').read()",
    ),
    (
        "uses a device, as a graphics card",
        "os.open('/dev/fuse', os.O_RDWR)",
    ),
    ("writes below /usr or /etc", "open('/etc/web/note', 'w')"),
    ("writes below /home", "open('/home/web/note', 'w')"),
    (
        "shares files that it makes with others",
        "open(f'/srv/open/{os.getpid()}', 'w')\nassert os.stat(f'/srv/open/{os.getpid()}').st_mode & 4",
    ),
    (
        "sends packets of its own",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    ),
    ("becomes another user", "os.setuid(7)"),
];

/// Runs each program without the setting that it needs according to the page, and with it.
pub(crate) fn the_units_own_leaves_out_what_the_page_says(machine: &mut Machine) {
    let rows = table("| a program that | with | needs in `[apps.service]` |");
    machine
        .sh(
            "mkdir -p /etc/web /home/web /srv/open && chown www-data /etc/web /home/web /srv/open
             echo >/tmp/shared && chmod 644 /tmp/shared
             test -e /dev/fuse || mknod /dev/fuse c 10 229; chmod 666 /dev/fuse",
        )
        .ok();
    let mut wrong = String::new();
    for cells in &rows {
        let does = DOES.iter().find(|(what, _)| *what == cells[0]);
        let (_, does) = does.unwrap_or_else(|| panic!("`{}` is not tried", cells[0]));
        let word = quoted(&cells[1]).concat();
        for (needs, is_well) in [(Vec::new(), false), (quoted(&cells[2]), true)] {
            if starts(machine, does, &word, &needs) != is_well {
                let _ = writeln!(
                    wrong,
                    "{} {needs:?}: {}",
                    cells[0],
                    machine.journal("web@0.service")
                );
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(rows.len(), DOES.len());
}

fn starts(machine: &Machine, does: &str, word: &str, needs: &[String]) -> bool {
    let python = machine.write_app("python.py", "/srv/web");
    let server = machine.read(&python);
    machine.write(
        &python,
        &format!("import ctypes, os, socket\n{does}\n{server}"),
    );
    let app = "[[apps]]\nname = \"web\"\nscript = \"python.py\"\nlisten = \"0.0.0.0:3000\"\ninstances = 1\nmax_restarts = 1\n\
               drain = \"off\"\n";
    // With `User=root` systemd 257 keeps CAP_SETUID for itself.
    let user = if does.contains("setuid") {
        ""
    } else {
        "user = \"www-data\"\n"
    };
    let lines = format!("{user}sandbox = {word:?}\n{}", own_table(needs));
    machine.write(ECOSYSTEM, &format!("{app}{lines}"));
    machine.clear_journal();
    let install = machine.run(&["rsgen", "install", ECOSYSTEM]);
    let is_well = install.status == 0 && machine.get(3000).is_ok();
    machine.run(&["rsgen", "uninstall", "web"]);
    machine.run(&["systemctl", "reset-failed"]);
    is_well
}
