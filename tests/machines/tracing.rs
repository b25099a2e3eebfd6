//! Programs that try to exploit their own drain: to make a call that their sandbox forbids, or to prevent their stop.

use testbed::runner::Spec;
use testbed::specs;
use testbed::{Machine, wait_until};

use crate::cluster::{ECOSYSTEM, SOON};
use crate::drain;
use crate::environment::compile;
use crate::tracing;

pub(crate) const SPECS: &[Spec] = specs![
    tracing::opens_no_sandbox_while_a_datagram_is_awaited,
    tracing::opens_no_sandbox_for_a_vdso_that_is_rewritten,
    tracing::runs_no_code_of_a_program_that_it_becomes,
    tracing::suspends_filters_for_the_calls_of_a_drain,
    tracing::ends_in_time_for_a_vdso_that_cannot_be_executed,
    tracing::ends_in_time_for_more_descriptors_than_it_can_replace,
    tracing::ends_in_time_when_the_kernel_waits_for_the_program,
];

const PROGRAM: &str = "/srv/web/escape";
const LOOT: &str = "/srv/loot";
const HANGS: &str = "/srv/hangs";

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
    for words in ["status=31/SYS", "stops without a drain", "keeps accepting"] {
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
    assert!(!journal.contains("keeps accepting"), "{journal}");
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

/// Waits until a program of `fuse.c` has brought the kernel to wait for it.
fn wait_for_hang(machine: &Machine, how: &str) {
    let asked = format!("{HANGS}/{how}");
    wait_until(SOON, "the file system to be asked in vain", || {
        machine.run(&["test", "-e", &asked]).status == 0
    });
    machine.run(&["rm", &asked]).ok();
}

/// The file system of a program does not answer, so the kernel makes whoever inspects the program wait, and some of these waits
/// no signal ends.
pub(crate) fn ends_in_time_when_the_kernel_waits_for_the_program(machine: &mut Machine) {
    machine.power_on_unfiltered();
    let flags = ["-O1", "-static", "-pthread", "-w"];
    compile(machine, "fuse.c", &flags, "/srv/web/fuse");
    let prepare = format!(
        "mkdir -p {HANGS}/on && chown nobody {HANGS} {HANGS}/on
         test -e /dev/fuse || mknod /dev/fuse c 10 229; chmod 666 /dev/fuse"
    );
    machine.sh(&prepare).ok();
    let text = |how: &str| {
        format!(
            "[[apps]]\nname = \"web\"\nscript = \"fuse\"\nargs = [\"{how}\"]\nlisten = \"0.0.0.0:3000\"\nuser = \"nobody\"\n\
             drain_timeout = \"1s\"\nkill_timeout = \"1s\"\nservice.NonBlocking = \"no\"\n"
        )
    };
    for how in ["poll", "memory"] {
        machine.write(ECOSYSTEM, &text(how));
        machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
        wait_for_hang(machine, how);
        assert_ends_in_time(machine);
    }
    let journal = machine.journal("web@0");
    let is_bounded = "stops without a drain: timed out";
    assert!(journal.contains(is_bounded), "{journal}");
    machine.run(&["rsgen", "uninstall", "web"]).ok();

    // Who has the port is told to an install, whatever that program does.
    let stranger = ["--unit=stranger", "--uid=nobody", "/srv/web/fuse", "memory"];
    machine
        .run(&[&["systemd-run", "--quiet"], &stranger[..]].concat())
        .ok();
    wait_for_hang(machine, "memory");
    let pid = machine.main_pid("stranger.service");
    let read = format!("timeout -k 1 1 cat /proc/{pid}/cmdline");
    assert_ne!(machine.sh(&read).status, 0, "nothing hangs");
    let install = machine.run(&["timeout", "60", "rsgen", "install", ECOSYSTEM]);
    let _ = install
        .exits(1)
        .says(&format!("`fuse` (pid {pid}) listens there"));
}
