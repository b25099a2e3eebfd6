//! systemd supervises the program itself: its PID, exit status, signals, core dumps and watchdog, with nothing in between.

use testbed::{Machine, wait_for, wait_until};

use crate::cluster::{ECOSYSTEM, SOON};

const UNIT: &str = "web@0.service";

fn install(machine: &Machine) {
    machine.write_app("pings.py", "/srv/web");
    let app = "[[apps]]\nname = \"web\"\nscript = \"pings.py\"\nlisten = \"0.0.0.0:3000\"\ndrain = \"off\"\n\
               service = { WatchdogSec = \"1min\", LimitCORE = \"infinity\" }\n";
    machine.write(ECOSYSTEM, app);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
}

/// Ends the program by a signal, waits until it runs again, and returns what systemd has logged about the end.
fn ends(machine: &Machine, signal: &str) -> String {
    let before = machine.main_pid(UNIT);
    machine.clear_journal();
    machine
        .systemctl(&["kill", "--signal", signal, "--kill-whom=main", UNIT])
        .ok();
    let said = wait_for(SOON, "systemd to log the end of the program", || {
        let journal = machine.journal(UNIT);
        let line = journal.lines().find(|l| l.contains("Failed with result"));
        line.map(str::to_owned)
    });
    wait_until(SOON, "the program to run again", || {
        machine.state(UNIT) == "active" && machine.main_pid(UNIT) != before
    });
    said + &machine.journal(UNIT)
}

pub(crate) fn main_pid_status_signals_core_and_watchdog(machine: &mut Machine) {
    install(machine);
    let main = machine.main_pid(UNIT).to_string();
    let command = machine.read(&format!("/proc/{main}/cmdline"));
    assert_eq!(command.trim_end_matches('\0'), "python3\0/srv/web/pings.py");

    let status = ends(machine, "SIGUSR2");
    assert!(status.contains("status=7"), "{status}");
    let core = ends(machine, "SIGSEGV");
    assert!(core.contains("result 'core-dump'"), "{core}");
    let watchdog = ends(machine, "SIGUSR1");
    assert!(watchdog.contains("result 'watchdog'"), "{watchdog}");
}
