//! A stop that comes while an instance is asked whether it serves. systemd ends the command that asks, and runs those after it.

use testbed::runner::Spec;
use testbed::{Machine, specs, wait_until};

use crate::asked;
use crate::balance::EVEN;
use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, deploy, install, write_ecosystem};

pub(crate) const SPECS: &[Spec] = specs![
    asked::about_its_health_an_instance_is_stopped_in_good_order_and_gets_no_connections,
    asked::with_commands_of_its_own_an_instance_is_stopped_and_runs_none_of_them_then,
    asked::is_no_reason_to_go_on_after_a_command_that_somebody_ended,
    asked::in_vain_of_a_bus_that_hangs_an_instance_starts_all_the_same,
];

const SERVES: &str = "listen 3000\nfinish SIGINT";
/// READY, but accepts nothing, and ends at once when it is told to.
const ENDS: &str = "listen 3000\nawaits /srv/web/end\nfinish SIGINT";
/// READY, but accepts nothing, and does not end before there is a file.
const LINGERS: &str = "finish SIGINT\nlisten 3000\nawaits /srv/web/end";
const UNIT: &str = "web@1.service";

pub(crate) fn about_its_health_an_instance_is_stopped_in_good_order_and_gets_no_connections(
    machine: &mut Machine,
) {
    machine.power_on_unfiltered();
    install(
        machine,
        "graceful",
        "2",
        &format!("{EVEN}\nhealth = \"/\"\nkill_timeout = \"100s\""),
    );
    let mut runs = SERVES;
    for (program, lingers) in [(ENDS, false), (LINGERS, true)] {
        machine.systemctl(&["stop", UNIT]).ok();
        deploy(machine, "graceful", runs, program);
        machine.systemctl(&["start", "--no-block", UNIT]).ok();
        wait_for_state(machine, "start-post");
        let stop = machine.spawn(&["systemctl", "stop", UNIT]);
        if lingers {
            wait_for_state(machine, "stop-sigterm");
            wait_until(SOON, "no command of the start to be left", || {
                machine.property(UNIT, "ControlPID") == "0"
            });
            // One that is on is reached by anybody.
            let ask = "setpriv --reuid=65534 --clear-groups curl -sS --interface 127.114.0.1 http://127.0.0.1:3000/";
            machine.sh(ask).exits(7);
            machine.write("/srv/web/end", "");
        }
        stop.wait().ok();
        assert_ended_well(machine);
        runs = program;
    }
    deploy(machine, "graceful", runs, SERVES);
    machine.systemctl(&["start", UNIT]).ok();
    assert_exactly(machine, 2);
    is_stopped_while_its_own_command_runs(machine);
}

/// The command, which has the rights of the app, lasts as long as there is a file.
fn is_stopped_while_its_own_command_runs(machine: &Machine) {
    let check = "touch /srv/asked/now; while test -e /srv/asked/slow; do sleep 0.05; done";
    let lines = format!("{EVEN}\nhealth_command = [\"/bin/sh\", \"-c\", \"{check}\"]");
    write_ecosystem(machine, "graceful", "2", &lines);
    machine.sh("install -d -o www-data /srv/asked").ok();
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.systemctl(&["stop", UNIT]).ok();
    machine.sh("rm /srv/asked/now; touch /srv/asked/slow").ok();
    machine.systemctl(&["start", "--no-block", UNIT]).ok();
    wait_until(SOON, "the command to run", || {
        machine.run(&["test", "-e", "/srv/asked/now"]).status == 0
    });
    machine.systemctl(&["stop", UNIT]).ok();
    assert_ended_well(machine);
    machine.run(&["rm", "/srv/asked/slow"]).ok();
    machine.systemctl(&["start", UNIT]).ok();
    assert_exactly(machine, 2);
}

/// Made by a command that must not run in a stop.
const FOLLOWED: &str = "/srv/followed";

/// Lines of an app, those of a drop-in, and how a stop ends while an instance is asked.
const OWN: &[(&str, &str, [&str; 2])] = &[
    ("service.ExecStartPre = \"/bin/true\"", "", WELL),
    ("service.ExecCondition = \"/bin/true\"", "", WELL),
    (
        "service.ExecStartPost = \"+/bin/touch /srv/followed\"",
        "",
        ["failed", "exit-code"],
    ),
    (
        "",
        "ExecStartPost=+/bin/touch /srv/followed",
        ["failed", "exit-code"],
    ),
    // In another root directory systemd is asked by its own socket, or over the bus.
    (
        "service.RootDirectory = \"/srv/root\"\n\
         service.BindPaths = \"/usr /bin /lib /lib64 /etc /srv/web /run/rsgen /run/dbus /run/systemd\"",
        "",
        WELL,
    ),
    (
        "service.RootDirectory = \"/srv/root\"\n\
         service.BindPaths = \"/usr /bin /lib /lib64 /etc /srv/web /run/rsgen /run/dbus\"",
        "",
        WELL,
    ),
    // No command survives this signal.
    ("kill_signal = \"SIGKILL\"", "", ["failed", "signal"]),
];

/// systemd goes on to the next command after one that has succeeded, in a stop as well.
pub(crate) fn with_commands_of_its_own_an_instance_is_stopped_and_runs_none_of_them_then(
    machine: &mut Machine,
) {
    machine.power_on_unfiltered();
    machine.run(&["mkdir", "/srv/root"]).ok();
    for (lines, added, ended) in OWN {
        machine.write_app("graceful", "/srv/web");
        write_ecosystem(machine, "graceful", "2", &format!("{EVEN}\n{lines}"));
        machine.write(
            "/etc/systemd/system/web@.service.d/own.conf",
            &format!("[Service]\n{added}\n"),
        );
        machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
        machine.systemctl(&["daemon-reload"]).ok();
        machine.systemctl(&["stop", UNIT]).ok();
        deploy(machine, "graceful", SERVES, ENDS);
        machine.run(&["rm", "-f", FOLLOWED]).ok();
        machine.systemctl(&["start", "--no-block", UNIT]).ok();
        wait_for_state(machine, "start-post");
        wait_until(SOON, "the command to take signals", || {
            takes_signals(machine)
        });
        machine.systemctl(&["stop", UNIT]).ok();
        let state = ["ActiveState", "Result"].map(|name| machine.property(UNIT, name));
        assert_eq!(&state, ended, "{lines}{added}");
        assert_ne!(
            machine.run(&["test", "-e", FOLLOWED]).status,
            0,
            "{lines}{added}"
        );
        deploy(machine, "graceful", ENDS, SERVES);
        machine.systemctl(&["start", UNIT]).ok();
        assert_exactly(machine, 2);
    }
}

/// Whether the command that runs blocks SIGINT, the second signal.
fn takes_signals(machine: &Machine) -> bool {
    let pid = machine.property(UNIT, "ControlPID");
    let status = machine.run(&["cat", &format!("/proc/{pid}/status")]);
    let blocked = status
        .stdout
        .lines()
        .find_map(|l| l.strip_prefix("SigBlk:"));
    let blocked = blocked.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    blocked.is_some_and(|mask| mask & 1 << 1 != 0)
}

const WELL: [&str; 2] = ["inactive", "success"];

fn assert_ended_well(machine: &Machine) {
    let ended = ["ActiveState", "Result"].map(|name| machine.property(UNIT, name));
    assert_eq!(ended, WELL);
    let journal = machine.journal(UNIT);
    assert!(!journal.contains("was asked"), "{journal}");
    assert!(!journal.contains("unhealthy"), "{journal}");
}

fn wait_for_state(machine: &Machine, state: &str) {
    wait_until(SOON, state, || machine.property(UNIT, "SubState") == state);
}

/// What ends it is no stop, and its work is not done.
pub(crate) fn is_no_reason_to_go_on_after_a_command_that_somebody_ended(machine: &mut Machine) {
    machine.power_on_unfiltered();
    machine.write_app("graceful", "/srv/web");
    for directive in ["ExecStartPre", "ExecCondition"] {
        // The command is the first of its process group.
        let command = "/bin/sh -c 'if test -e /srv/web/ends; then kill 0; fi'";
        let lines = format!(
            "{EVEN}\nhealth = \"/\"\nkill_signal = \"SIGTERM\"\nservice.{directive} = \"{command}\""
        );
        write_ecosystem(machine, "graceful", "2", &lines);
        machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
        machine.systemctl(&["stop", UNIT]).ok();
        machine.write("/srv/web/ends", "");
        machine.systemctl(&["start", UNIT]).exits(1);
        machine.run(&["rm", "/srv/web/ends"]).ok();
        assert_exactly(machine, 2);
    }
}

/// Where root's commands reach systemd without the bus, one with the rights of the app does not.
pub(crate) fn in_vain_of_a_bus_that_hangs_an_instance_starts_all_the_same(machine: &mut Machine) {
    machine.power_on_unfiltered();
    let lines = format!("{EVEN}\nhealth_command = \"/bin/true\"");
    install(machine, "graceful", "2", &lines);
    machine.systemctl(&["stop", UNIT]).ok();
    let signal = |signal: &str| {
        let signal = format!("--signal={signal}");
        machine.systemctl(&["kill", &signal, "dbus.service"]).ok();
    };
    signal("STOP");
    let started = machine.systemctl(&["start", UNIT]);
    signal("CONT");
    started.ok();
    assert_exactly(machine, 2);
}
