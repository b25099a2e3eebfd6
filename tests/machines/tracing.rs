//! Programs that try to exploit their own drain: to make a call that their sandbox forbids, or to prevent their stop.

use testbed::{Machine, wait_until};

use crate::cluster::{ECOSYSTEM, SOON};
use crate::drain;
use crate::environment::compile;

const PROGRAM: &str = "/srv/web/escape";
const LOOT: &str = "/srv/loot";

/// Installs one instance of `escape.c`, whose sandbox forbids a harmless call.
fn escape(machine: &mut Machine, how: &str, listen: &str, more: &str) {
    // In a container the drain cannot suspend filters, so that the program could not exploit it.
    machine.power_on_unfiltered();
    compile(
        machine,
        "escape.c",
        &["-O1", "-static", "-pthread", "-w"],
        PROGRAM,
    );
    machine.write(LOOT, "");
    machine.run(&["chmod", "666", LOOT]).ok();
    machine.write(
        ECOSYSTEM,
        &format!(
            "[[apps]]\nname = \"web\"\nscript = \"escape\"\nargs = [\"{how}\"]\nlisten = \"{listen}\"\n\
             user = \"nobody\"\ndrain_timeout = \"2s\"\nkill_timeout = \"2s\"\n\
             [apps.service]\nSystemCallFilter = \"~sysinfo\"\nSystemCallErrorNumber = \"EPERM\"\n{more}\n"
        ),
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
}

fn assert_no_escape(machine: &Machine) {
    assert_eq!(machine.read(LOOT), "");
    let escaped = machine.run(&["systemctl", "is-failed", "web@0.service"]);
    assert_eq!(escaped.exits(1).text(), "active");
}

pub(crate) fn opens_no_sandbox_while_a_datagram_is_awaited(machine: &mut Machine) {
    escape(machine, "datagrams", "udp:0.0.0.0:3000", "");
    for _ in 0..2 {
        machine.run(&["rsgen", "reload", "web"]).ok();
    }
    assert_no_escape(machine);
}

pub(crate) fn opens_no_sandbox_for_a_vdso_that_is_rewritten(machine: &mut Machine) {
    escape(machine, "vdso", "0.0.0.0:3000", "");
    for _ in 0..5 {
        machine.run(&["rsgen", "reload", "web"]).ok();
    }
    assert_no_escape(machine);
}

/// Since the drain has inspected the program, it may have executed another one with more privileges.
pub(crate) fn runs_no_code_of_a_program_that_it_becomes(machine: &mut Machine) {
    machine.power_on_unfiltered();
    let flags = ["-O1", "-static", "-no-pie", "-w"];
    for file in ["/srv/web/becomes", "/srv/web/more"] {
        compile(machine, "becomes.c", &flags, file);
    }
    machine.write(LOOT, "");
    machine
        .sh("chmod 4755 /srv/web/more; chmod 666 /srv/loot")
        .ok();
    let text = "[[apps]]\nname = \"web\"\nscript = \"becomes\"\nlisten = \"udp:0.0.0.0:3000\"\n\
                handover = \"fds\"\nuser = \"nobody\"\nsandbox = \"off\"\ndrain_timeout = \"2s\"\n";
    machine.write(ECOSYSTEM, text);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.systemctl(&["stop", "web.service"]).ok();
    assert_eq!(machine.read(LOOT), "became root\n");
}

/// The program's own filter would kill it for a call of the drain.
pub(crate) fn suspends_filters_for_the_calls_of_a_drain(machine: &mut Machine) {
    machine.power_on_unfiltered();
    drain::loses_nothing(machine, "jail.py", "handover = \"fds\"");
    let journal = machine.journal("web@*");
    for words in [
        "status=31/SYS",
        "stops without a drain",
        "goes on accepting",
    ] {
        assert!(!journal.contains(words), "{words}: {journal}");
    }
}

/// Asserts that the stop ends before systemd's own time-out.
fn assert_ends_in_time(machine: &Machine) {
    machine.systemctl(&["stop", "web.service"]).ok();
    let journal = machine.journal("web@0");
    assert!(!journal.contains("timed out. Terminating"), "{journal}");
}

pub(crate) fn ends_in_time_for_a_vdso_that_cannot_be_executed(machine: &mut Machine) {
    machine.write("/srv/web/[vdso]", &"\u{f}\u{5}".repeat(2048));
    escape(machine, "file", "0.0.0.0:3000", "");
    assert_ends_in_time(machine);
    let journal = machine.journal("web@0");
    assert!(!journal.contains("goes on accepting"), "{journal}");
}

pub(crate) fn ends_in_time_for_more_descriptors_than_it_can_replace(machine: &mut Machine) {
    escape(
        machine,
        "copies",
        "0.0.0.0:3000",
        "LimitNOFILE = \"100000\"",
    );
    assert_ends_in_time(machine);
}

/// The child of the drain is stopped, which has the same effect as a wait in the kernel.
pub(crate) fn ends_in_time_when_the_child_of_the_drain_hangs(machine: &mut Machine) {
    escape(machine, "", "0.0.0.0:3000", "");
    let client = "import signal, socket
held = socket.create_connection(('127.0.0.1', 3000))
open('/run/held', 'w')
signal.pause()";
    let _client = machine.spawn(&["python3", "-c", client]);
    wait_until(SOON, "a connection", || {
        machine.run(&["test", "-e", "/run/held"]).status == 0
    });
    machine
        .systemctl(&["stop", "--no-block", "web.service"])
        .ok();
    wait_until(SOON, "the child of the drain to be stopped", || {
        let hang =
            "pid=$(pgrep -P $(pgrep -f 'rsgen-worker [d]rain' | head -n 1)) && kill -STOP $pid";
        machine.sh(hang).status == 0
    });
    // `failed` as well: if the child hung in the middle of a call, the thread goes on with the registers of that call, and
    // the program dies. Only the tracer could have restored the registers.
    wait_until(SOON, "web@0 to end", || {
        ["inactive", "failed"].contains(&machine.state("web@0.service").as_str())
    });
    assert_ends_in_time(machine);
    let journal = machine.journal("web@0");
    assert!(
        journal.contains("stops without a drain: timed out"),
        "{journal}"
    );
}
