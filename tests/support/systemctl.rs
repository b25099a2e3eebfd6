//! Queries to systemd about units, for specs.

use std::time::Duration;

use crate::machine::Machine;
use crate::output::Output;
use crate::poll::{wait_for, wait_until};

impl Machine {
    /// Runs `systemctl …`.
    pub fn systemctl(&self, arguments: &[&str]) -> Output {
        let mut argv = vec!["systemctl"];
        argv.extend(arguments);
        self.run(&argv)
    }

    /// A property of a unit, or of the manager when `unit` is empty, as `systemctl show` prints it.
    pub fn property(&self, unit: &str, name: &str) -> String {
        let mut argv = vec!["show", "--value", "-p", name];
        argv.extend((!unit.is_empty()).then_some(unit));
        self.systemctl(&argv).ok().text().to_owned()
    }

    /// The `ActiveState` of a unit: `active`, `failed`, `activating` …
    pub fn state(&self, unit: &str) -> String {
        self.property(unit, "ActiveState")
    }

    /// The PID of the unit's main process in the machine; 0 when there is none.
    pub fn main_pid(&self, unit: &str) -> u32 {
        self.property(unit, "MainPID").parse().expect("a pid")
    }

    /// Waits until the unit is in this state.
    #[track_caller]
    pub fn wait_state(&self, unit: &str, state: &str, limit: Duration) {
        wait_until(limit, &format!("`{unit}` to be {state}"), || {
            self.state(unit) == state
        });
    }

    /// Runs `journalctl …`, after journald has stored everything that was sent to it, even if it is behind on a busy host.
    pub fn journalctl(&self, arguments: &[&str]) -> Output {
        let script = "journalctl --sync; exec journalctl \"$@\"";
        let mut argv = vec!["sh", "-c", script, "journalctl"];
        argv.extend(arguments);
        self.run(&argv)
    }

    /// Removes the present content of the journal.
    pub fn clear_journal(&self) {
        self.journalctl(&["-q", "--rotate", "--vacuum-time=1us"])
            .ok();
    }

    /// The messages of a unit since the boot, without time and name.
    pub fn journal(&self, unit: &str) -> String {
        self.journalctl(&["-b", "-o", "cat", "-u", unit])
            .ok()
            .stdout
    }

    /// Waits until a unit has logged this text since the boot; returns its messages.
    #[track_caller]
    pub fn wait_journal(&self, unit: &str, words: &str, limit: Duration) -> String {
        wait_for(limit, &format!("`{unit}` to write `{words}`"), || {
            let journal = self.journal(unit);
            journal.contains(words).then_some(journal)
        })
    }

    /// The major version of the running systemd.
    pub fn systemd_version(&self) -> u32 {
        let text = self.property("", "Version");
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse()
            .expect("systemd's version starts with a number")
    }
}
