//! rsgen where the Yama module restricts ptrace(2).
//!
//! The kernel of these machines may not have the module. A file in place of the kernel's own makes rsgen believe that it has.
//! What Yama itself forbids is tested by `make kernel`; where a spec needs a refusal here, a seccomp filter of the unit refuses.

use testbed::runner::Spec;
use testbed::specs;
use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, install, write_ecosystem};
use crate::datagrams::answers_while_reloaded;
use crate::yama;
use crate::{exposure, user};

pub(crate) const SPECS: &[Spec] = specs![
    yama::gives_the_helper_what_the_page_says_and_the_program_nothing,
    yama::programs_of_the_system_lose_nothing,
    yama::threads_below_a_users_systemd_lose_nothing,
    yama::datagrams_are_answered,
    yama::what_may_not_be_looked_into_is_refused_and_the_cure_is_told,
    yama::below_a_users_systemd_lowering_it_is_the_cure,
    yama::a_drain_that_may_not_says_so,
];

const V4: &str = "listen = \"0.0.0.0:3000\"";
const BLOCKS: &str = "service.NonBlocking = \"no\"";

/// Makes rsgen believe that the kernel has Yama, with this `ptrace_scope`.
pub(crate) fn pretend(machine: &Machine, scope: u32) {
    machine
        .sh(&format!(
            "cp -r /proc/sys/kernel /run/kernel 2>/dev/null; mkdir -p /run/kernel/yama
             echo {scope} >/run/kernel/yama/ptrace_scope && mount --bind /run/kernel /proc/sys/kernel"
        ))
        .ok();
}

pub(crate) fn gives_the_helper_what_the_page_says_and_the_program_nothing(machine: &mut Machine) {
    pretend(machine, 1);
    exposure::is_what_the_page_says(machine);
    for (handover, script) in [("bind", "graceful.js"), ("fds", "jail.py")] {
        let lines = format!("user = \"www-data\"\nhandover = {handover:?}");
        install(machine, script, "1", &lines);
        let capabilities = machine.property("web@0.service", "AmbientCapabilities");
        let wanted = if handover == "bind" {
            "cap_sys_ptrace"
        } else {
            ""
        };
        assert_eq!(capabilities, wanted);
        let status = format!("/proc/{}/status", machine.main_pid("web@0.service"));
        let status = machine.read(&status);
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let none = format!("{set}:\t{:016x}\n", 0);
            assert!(status.contains(&none), "{handover}: {status}");
        }
    }
}

/// Installs an app, reloads it under load with rsgen and with systemctl(1), and asserts that nothing is lost.
fn loses_nothing(machine: &Machine, script: &str, lines: &str) {
    machine.write_app(script, "/srv/web");
    let app = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{script}\"\ninstances = 2\nsettle = 0\nuser = \"www-data\"\n{lines}\n"
    );
    machine.write(ECOSYSTEM, &app);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(100);
    machine.run(&["rsgen", "reload", "web"]).ok();
    machine.systemctl(&["reload", "web"]).ok();
    load.wait_answered(50);
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 2);
    drained(&machine.journal("web@*"));
    machine.run(&["rsgen", "uninstall", "web"]).ok();
}

fn drained(journal: &str) {
    for words in ["keeps accepting", "without a drain"] {
        assert!(!journal.contains(words), "{journal}");
    }
}

pub(crate) fn programs_of_the_system_lose_nothing(machine: &mut Machine) {
    pretend(machine, 1);
    loses_nothing(machine, "plain.js", V4);
    loses_nothing(machine, "threads.py", V4);
    loses_nothing(machine, "prefork.py", V4);
    loses_nothing(
        machine,
        "threads.py",
        &format!("{V4}\nhandover = \"fds\"\nargs = [\"3\"]"),
    );
}

pub(crate) fn threads_below_a_users_systemd_lose_nothing(machine: &mut Machine) {
    user::log_in(machine);
    pretend(machine, 1);
    user::loses_nothing(machine, "threads.py", &format!("{V4}\n{BLOCKS}"));
    drained(&of_the_user(machine));
}

fn of_the_user(machine: &Machine) -> String {
    let journal = machine.journalctl(&["-b", "-o", "cat", "-t", "web"]);
    journal.ok().stdout
}

/// The thread of this program waits in recvfrom(2), and has to be stopped in that call.
pub(crate) fn datagrams_are_answered(machine: &mut Machine) {
    user::log_in(machine);
    pretend(machine, 1);
    let program = include_str!("../programs/datagrams.py");
    let app = |lines: &str| {
        format!(
            "[[apps]]\nname = \"web\"\nscript = \"datagrams.py\"\ninstances = 2\nsettle = 0\n\
             listen = \"udp:0.0.0.0:3000\"\n{BLOCKS}\n{lines}\n"
        )
    };
    machine.write("/srv/web/datagrams.py", program);
    machine.write(ECOSYSTEM, &app("user = \"www-data\""));
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    answers_while_reloaded(machine, 1, || {
        machine.run(&["rsgen", "reload", "web"]).ok();
    });
    machine.run(&["rsgen", "uninstall", "web"]).ok();

    machine.write("/home/worker/datagrams.py", program);
    machine.write("/home/worker/ecosystem.toml", &app(""));
    user::run(machine, "rsgen --user install ecosystem.toml").ok();
    answers_while_reloaded(machine, 1, || {
        user::run(machine, "rsgen --user reload web").ok();
    });
    drained(&of_the_user(machine));
}

/// Puts a seccomp filter in the place of Yama, for the units of the system and of the user. It is a drop-in, because units
/// always allow the calls of the handover, whatever an ecosystem file says.
fn refuse(machine: &Machine) {
    let text = "[Service]\nSystemCallFilter=~pidfd_getfd\nSystemCallErrorNumber=EPERM\n";
    for units in ["/etc/systemd/system", "/home/worker/.config/systemd/user"] {
        machine.write(&format!("{units}/web@.service.d/refuse.conf"), text);
    }
    // This fails on machines without such a user.
    machine.sh("chown -R worker: /home/worker || true").ok();
}

pub(crate) fn what_may_not_be_looked_into_is_refused_and_the_cure_is_told(machine: &mut Machine) {
    refuse(machine);
    machine.write_app("plain.js", "/srv/web");
    // In a sandbox the worker has a /proc of its own, in which it would see the kernel's file.
    write_ecosystem(machine, "plain.js", "1", "sandbox = \"off\"");
    let capability = "write `service.AmbientCapabilities = \"CAP_SYS_PTRACE\"`";
    for (scope, cure) in [(1, capability), (2, capability), (3, "lower it")] {
        pretend(machine, scope);
        let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
        told.says(&is_told(scope, cure));
        machine.run(&["rsgen", "uninstall", "web"]).ok();
    }
}

fn is_told(scope: u32, cure: &str) -> String {
    format!("`kernel.yama.ptrace_scope` is {scope}: {cure}, or write `handover = \"fds\"`")
}

/// A user's manager has no capability that it could give to the units.
pub(crate) fn below_a_users_systemd_lowering_it_is_the_cure(machine: &mut Machine) {
    user::log_in(machine);
    refuse(machine);
    pretend(machine, 2);
    machine.write_app("plain.js", "/home/worker");
    let app = "[[apps]]\nname = \"web\"\nscript = \"plain.js\"\nlisten = 3000\n";
    machine.write("/home/worker/ecosystem.toml", app);
    user::run(machine, "rsgen --user install ecosystem.toml").exits(1);
    let told = is_told(2, "lower it");
    wait_until(SOON, &told, || of_the_user(machine).contains(&told));
}

/// The app serves and can be reloaded, and the journal says that it is not drained.
pub(crate) fn a_drain_that_may_not_says_so(machine: &mut Machine) {
    user::log_in(machine);
    refuse(machine);
    pretend(machine, 2);
    user::deploy(machine, "jail.py", &format!("{V4}\nhandover = \"fds\""));
    user::run(machine, "rsgen --user reload web").ok();
    let journal = of_the_user(machine);
    let words = "stops without a drain: ";
    let said = journal.lines().find(|line| line.contains(words));
    let said = said.unwrap_or_else(|| panic!("{journal}"));
    assert!(said.ends_with("`kernel.yama.ptrace_scope` is 2"), "{said}");
}
