//! What a program makes of its own drain: nothing that its sandbox forbids, and no stop without end.

use testbed::{Machine, wait_until};

use crate::cluster::{ECOSYSTEM, SOON};
use crate::drain;
use crate::environment::compile;

const PROGRAM: &str = "/srv/web/escape";
const LOOT: &str = "/srv/loot";

/// One instance of `escape.c`, whose sandbox forbids a call that does no harm.
fn escape(machine: &mut Machine, how: &str, listen: &str, more: &str) {
    // Under a filter of the container's nobody may put filters aside, and what that allows would not be seen.
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

pub(crate) fn opens_no_sandbox_for_a_gate_that_is_rewritten(machine: &mut Machine) {
    escape(machine, "gate", "0.0.0.0:3000", "");
    for _ in 0..5 {
        machine.run(&["rsgen", "reload", "web"]).ok();
    }
    assert_no_escape(machine);
}

/// A drain leaves alone what a program has become since it was looked at: that may have more rights.
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

/// Of a program whose own filter would kill it for a call of the drain's.
pub(crate) fn puts_filters_aside_for_the_calls_of_a_drain(machine: &mut Machine) {
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

/// A stop that takes no longer than the drain may, or systemd would have ended it.
fn assert_ends_in_time(machine: &Machine) {
    machine.systemctl(&["stop", "web.service"]).ok();
    let journal = machine.journal("web@0");
    assert!(!journal.contains("timed out. Terminating"), "{journal}");
}

pub(crate) fn ends_in_time_for_a_gate_that_cannot_be_executed(machine: &mut Machine) {
    machine.write("/srv/web/[vdso]", &"\u{f}\u{5}".repeat(2048));
    escape(machine, "file", "0.0.0.0:3000", "");
    assert_ends_in_time(machine);
    let journal = machine.journal("web@0");
    assert!(!journal.contains("goes on accepting"), "{journal}");
}

pub(crate) fn ends_in_time_for_more_descriptors_than_it_can_see_to(machine: &mut Machine) {
    escape(
        machine,
        "copies",
        "0.0.0.0:3000",
        "LimitNOFILE = \"100000\"",
    );
    assert_ends_in_time(machine);
}

/// A child of the drain that does not move any more, as one is that waits in the kernel.
pub(crate) fn ends_in_time_when_what_drains_hangs(machine: &mut Machine) {
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
    wait_until(SOON, "a drain that hangs", || {
        let hang =
            "pid=$(pgrep -P $(pgrep -f 'rsgen-worker [d]rain' | head -n 1)) && kill -STOP $pid";
        machine.sh(hang).status == 0
    });
    // `failed` as well: where the child hung in the middle of a call, the thread goes on with the registers of that
    // call, and the program dies. Only the tracer could give the registers back.
    wait_until(SOON, "an end of web@0", || {
        ["inactive", "failed"].contains(&machine.state("web@0.service").as_str())
    });
    assert_ends_in_time(machine);
    let journal = machine.journal("web@0");
    assert!(
        journal.contains("stops without a drain: timed out"),
        "{journal}"
    );
}
