//! With `PrivatePIDs=` a program is the init of a PID namespace. Handover and drain work for it as for any other program.

#![expect(clippy::expect_used, reason = "a spec without an answer has failed")]

use testbed::{Machine, wait_until};

use crate::cluster::{ECOSYSTEM, SOON};
use crate::drain;

/// The version of systemd that introduced `PrivatePIDs=`.
const SINCE: u32 = 257;
const LINE: &str = "service.PrivatePIDs = true";

pub(crate) fn meets_no_child_but_its_own(machine: &mut Machine) {
    machine.write_app("init.py", "/srv/web");
    let app = format!(
        "[[apps]]\nname = \"web\"\nscript = \"init.py\"\nlisten = \"0.0.0.0:3000\"\nuser = \"www-data\"\n{LINE}\n"
    );
    machine.write(ECOSYSTEM, &app);
    let checked = machine.run(&["rsgen", "check", ECOSYSTEM]).ok();
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let is_init = machine.systemd_version() >= SINCE;
    assert_eq!(
        checked.stderr.contains("`PrivatePIDs` is ignored by"),
        !is_init,
        "{checked}"
    );
    // The second request would notice a child that is left of the first.
    for _ in 0..2 {
        let answer = machine.get(3000).expect("an answer");
        assert_eq!(answer.starts_with("pid 1,"), is_init, "{answer}");
        assert!(
            answer.ends_with("ended [3, 4], 0 signals too many"),
            "{answer}"
        );
    }
    let group = "/sys/fs/cgroup/system.slice/system-web.slice/web@0.service";
    let pid = machine.main_pid("web@0.service");
    machine.systemctl(&["stop", "web@0"]).ok();
    wait_until(SOON, "every process of the instance to end", || {
        machine
            .sh(&format!("cat {group}/cgroup.procs"))
            .text()
            .is_empty()
    });
    let journal = machine.journal("web@0.service");
    let is_killed = journal.contains("SIGKILL");
    assert!(!is_killed || journal.contains(&stranger(pid)), "{journal}");
}

/// The line of systemd about an init whose parent was there still when systemd learnt of it. Such an init gets no time at its stop: SIGKILL
/// follows at once.
fn stranger(pid: u32) -> String {
    format!("Supervising process {pid} which is not our child")
}

/// The kernel does not deliver a signal to an init without a handler for it.
pub(crate) fn is_stopped_while_it_is_paused_after_a_crash(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    let app = format!(
        "[[apps]]\nname = \"web\"\nscript = \"graceful\"\nlisten = 3000\nuser = \"www-data\"\n\
         kill_timeout = \"1m\"\nexp_backoff_restart_delay = \"1m\"\n{LINE}\n"
    );
    machine.write(ECOSYSTEM, &app);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.write("/srv/web/graceful", "#!/bin/sh\nexit 1\n");
    machine
        .systemctl(&["kill", "--signal=KILL", "web@0.service"])
        .ok();
    wait_until(SOON, "the pause to begin", || {
        machine
            .property("web@0.service", "StatusText")
            .contains("waiting")
    });
    let pid = machine.main_pid("web@0.service");
    machine.systemctl(&["stop", "web@0.service"]).ok();
    // The worker ends by SIGINT, or as an init with status 143. A program that was started would have exited with 1. SIGKILL at a stop
    // is a failure to systemd.
    let wanted = match machine.journal("web@0.service") {
        _ if machine.systemd_version() < SINCE => ("2", "inactive"),
        journal if journal.contains(&stranger(pid)) => ("9", "failed"),
        _ => ("143", "inactive"),
    };
    let status = machine.property("web@0.service", "ExecMainStatus");
    let state = machine.state("web@0.service");
    assert_eq!((status.as_str(), state.as_str()), wanted);
}

pub(crate) fn with_an_event_loop_loses_nothing(machine: &mut Machine) {
    drain::loses_nothing(machine, "graceful.js", LINE);
}

pub(crate) fn with_threads_in_accept_loses_nothing(machine: &mut Machine) {
    let lines = format!("{LINE}\n{}", drain::SLEEPS);
    drain::loses_nothing(machine, "threads.py", &lines);
}

/// The machine is a container, in which the drain has to tell the seccomp filters of the unit from those of the program.
pub(crate) fn that_was_passed_the_socket_loses_nothing(machine: &mut Machine) {
    let lines = format!(
        "handover = \"fds\"\nargs = [\"3\"]\n{LINE}\n{}",
        drain::SLEEPS
    );
    drain::loses_nothing(machine, "threads.py", &lines);
}

pub(crate) fn of_many_processes_loses_nothing(machine: &mut Machine) {
    drain::loses_nothing(machine, "prefork.py", LINE);
}
