//! `rsgen monit` on a terminal, below a shell with job control.

use testbed::{Machine, wait_until};

use crate::cluster::{SOON, assert_exactly, deploy, install, pids};
use crate::user;

const ROWS: usize = 24;
const ENTER: &str = "\u{1b}[?1049h";
/// What stty(1) says of a terminal for a shell.
const MODES: &str = "isig icanon iexten echo ";
const LEAVE: &str = "\u{1b}[?1049l";
/// A shell on a terminal: what is written to the pipe is typed, and what the terminal shows goes to the file.
const SHELL: &str = "mkfifo /run/keys && \
    systemd-run -q --unit=terminal --setenv=TERM=xterm sh -c 'exec 3<>/run/keys; \
    script -qfc \"stty rows 24 cols 80; bash --norc -i\" /run/shown <&3 >/dev/null'";

struct Terminal<'a>(&'a Machine);

impl Terminal<'_> {
    /// Types, with escapes as printf(1) has them.
    fn types(&self, keys: &str) {
        self.0.sh(&format!("printf '{keys}' >/run/keys")).ok();
    }

    /// Everything that was ever shown.
    fn log(&self) -> String {
        self.0.sh("cat /run/shown").ok().stdout
    }

    /// The screen as it is now.
    fn screen(&self) -> String {
        screen(self.log().rsplit(ENTER).next().unwrap_or_default())
    }

    /// Waits until the screen shows this, and the program that draws it has not left it.
    fn shows(&self, text: &str) {
        wait_until(SOON, &format!("{text:?} on the screen"), || {
            let log = self.log();
            let last = log.rsplit(ENTER).next().unwrap_or_default();
            !last.contains(LEAVE) && screen(last).contains(text)
        });
    }

    /// Waits until the shell shows this below the last page of another program.
    fn says(&self, text: &str) {
        wait_until(SOON, &format!("{text:?} of the shell"), || {
            let log = self.log();
            log.rsplit(ENTER)
                .next()
                .and_then(|last| last.split_once(LEAVE))
                .is_some_and(|(_, shell)| shell.contains(text))
        });
    }
}

/// What a terminal shows after these codes.
fn screen(codes: &str) -> String {
    let mut rows = vec![vec![' '; 80]; ROWS];
    let (mut row, mut column) = (0, 0);
    let mut rest = codes.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            if let Some(cell) = rows.get_mut(row).and_then(|r| r.get_mut(column)) {
                *cell = c;
            }
            column += 1;
            continue;
        }
        // A code ends with a letter.
        let mut code = String::new();
        while !code.ends_with(|c: char| c.is_ascii_alphabetic()) && !rest.as_str().is_empty() {
            code.extend(rest.next().filter(|c| *c != '['));
        }
        match code.strip_suffix('H') {
            Some(place) => {
                let mut numbers = place.split(';').filter_map(|n| n.parse::<usize>().ok());
                row = numbers.next().unwrap_or(1) - 1;
                column = numbers.next().unwrap_or(1) - 1;
            }
            None if code == "2J" => rows = vec![vec![' '; 80]; ROWS],
            None => {}
        }
    }
    let lines = rows.iter().map(|row| row.iter().collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

pub(crate) fn watches_reloads_and_scales_by_keys_and_gives_the_terminal_back(
    machine: &mut Machine,
) {
    install(machine, "graceful", "2", "settle = 0");
    assert_exactly(machine, 2);
    let told = machine.run(&["rsgen", "monit"]).exits(2);
    assert!(
        told.stdout.is_empty() && told.stderr.contains("`rsgen metrics`"),
        "{told}"
    );
    machine.sh(SHELL).ok();
    wait_until(SOON, "a terminal", || {
        machine.sh("test -s /run/shown").status == 0
    });
    let terminal = Terminal(machine);
    terminal.types("rsgen monit --interval 0.2\\n");
    terminal.shows("1 app, 2 of 2 serving");
    for text in ["> web  ", "2/2", "── log of web ", "MEMORY", "online", "# "] {
        terminal.shows(text);
    }
    assert_one_log_is_read(machine, &terminal);
    assert_changes_are_asked_for_and_shown(machine, &terminal);
    assert_the_terminal_is_given_back(machine, &terminal);
    machine.sh("systemctl stop terminal; rm /run/keys").ok();
}

fn assert_one_log_is_read(machine: &Machine, terminal: &Terminal<'_>) {
    terminal.types("j");
    terminal.shows("── log of web@0 ");
    wait_until(SOON, "the log of the row before to be left", || {
        let reads = machine.sh("ps -C journalctl -o args=").stdout;
        !reads.trim().is_empty() && !reads.contains("=web.service")
    });
    terminal.types("k");
    terminal.shows("── log of web ");
}

fn assert_changes_are_asked_for_and_shown(machine: &Machine, terminal: &Terminal<'_>) {
    let before = pids(machine, 2);
    terminal.types("r");
    terminal.shows("rsgen reload web? y/N");
    assert_eq!(pids(machine, 2), before, "nobody has agreed");
    terminal.types("y");
    terminal.shows("rsgen reload web: done: 2 of 2 replaced");
    let after = pids(machine, 2);
    assert!(before.iter().all(|pid| !after.contains(pid)));
    terminal.types("+y");
    terminal.shows("rsgen scale web +1: web: 3 instances");
    terminal.shows("3 of 3 serving");
    assert_exactly(machine, 3);

    // A failure shows what the command has said, until a key is pressed.
    deploy(machine, "graceful", "answer", "throw a bug\nanswer");
    terminal.types("ry");
    terminal.shows("rsgen reload web: exit status 1 (press any key)");
    terminal.shows("every instance still serves");
    terminal.types(" l");
    terminal.shows("log of web (l or Esc: back)");
    terminal.shows("a bug");
    terminal.types("\\033?");
    terminal.shows("keys (any key: back)");
    terminal.types("jk");
    terminal.shows("r reload  + - scale");
}

fn assert_the_terminal_is_given_back(machine: &Machine, terminal: &Terminal<'_>) {
    // A new size: the last line is another one.
    machine
        .sh("stty -F \"/dev/$(ps -o tty= -C rsgen | grep pts)\" rows 12 cols 50")
        .ok();
    wait_until(SOON, "another size", || {
        let screen = terminal.screen();
        screen
            .lines()
            .nth(11)
            .is_some_and(|last| !last.trim().is_empty())
            && screen.lines().skip(12).all(|below| below.trim().is_empty())
    });
    terminal.types("\\032");
    terminal.says("Stopped");
    terminal.types("stty -a; fg\\n");
    terminal.shows("monit  1 app");
    let stopped = terminal.log();
    let stopped = stopped.rsplit(LEAVE).next().unwrap_or_default();
    assert!(stopped.contains(MODES), "{stopped:?}");
    terminal.types("q");
    terminal.says("# ");
    terminal.types("echo status=$?; stty -a\\n");
    terminal.says("status=0");
    terminal.says(MODES);
    for signal in ["TERM", "HUP"] {
        terminal.types("rsgen monit --interval 0.2\\n");
        terminal.shows("monit  1 app");
        machine
            .sh(&format!(
                "kill -{signal} $(ps -o tty=,pid= -C rsgen | awk '/pts/ {{ print $2 }}')"
            ))
            .ok();
        // Keys that are typed before are still its own.
        terminal.says("# ");
        terminal.types("echo ended=$?; stty -a\\n");
        terminal.says("ended=0");
        terminal.says(MODES);
    }
    wait_until(SOON, "what read the journal to be over", || {
        machine.sh("pidof journalctl").status != 0
    });
}

pub(crate) fn apps_of_an_ordinary_user_are_watched_and_reloaded_below_the_users_manager(
    machine: &mut Machine,
) {
    user::log_in(machine);
    user::deploy(machine, "graceful", "listen = 3000");
    let shell = SHELL.replace(
        "--setenv=TERM=xterm",
        "--setenv=TERM=xterm --uid=1500 --setenv=XDG_RUNTIME_DIR=/run/user/1500 \
         --setenv=DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1500/bus --setenv=HOME=/home/worker",
    );
    machine
        .sh(&format!(
            "touch /run/shown && chown worker /run/shown && {}",
            shell.replacen("&& ", "&& chown worker /run/keys && ", 1)
        ))
        .ok();
    wait_until(SOON, "a terminal", || {
        machine.sh("test -s /run/shown").status == 0
    });
    let terminal = Terminal(machine);
    for _ in 0..3 {
        terminal.types("rsgen --user monit --interval 0.2\\n");
        terminal.shows("1 app, 2 of 2 serving");
        for text in ["> web  ", "── log of web ", "online"] {
            terminal.shows(text);
        }
        terminal.types("ry");
        terminal.shows("rsgen reload web: done: 2 of 2 replaced");
        terminal.types("q");
        terminal.says("$ ");
    }
    wait_until(SOON, "what read the journal to be over", || {
        machine.sh("pidof journalctl").status != 0
    });
    machine.sh("systemctl stop terminal; rm /run/keys").ok();
}
