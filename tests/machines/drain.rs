//! Before an instance is stopped it takes no new connection and finishes those it has, whatever the
//! program is and however it waits.

use testbed::load::Report;
use testbed::{Load, Machine, Traffic};

use crate::cluster::ECOSYSTEM;

/// Installs a program that binds an IPv4 address, if it is Python.
fn deploy(machine: &Machine, script: &str, more: &str) {
    let listen = if script.ends_with(".py") {
        "0.0.0.0:3000"
    } else {
        "3000"
    };
    machine.write_app(script, "/srv/web");
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{script}\"\nlisten = \"{listen}\"\n\
         instances = 2\nsettle = 0\n{more}\n"
    );
    machine.write(ECOSYSTEM, &text);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
}

/// Reloads four times under twenty clients, each request on a connection of its own.
fn reload_under_load(machine: &Machine, script: &str, drain: &str) -> Report {
    deploy(machine, script, &format!("drain = \"{drain}\""));
    let load = Load::start(machine, &Traffic::on_port(3000, 20));
    load.wait_answered(200);
    for _ in 0..4 {
        machine.systemctl(&["reload", "web"]).ok();
        load.wait_answered(50);
    }
    let report = load.stop();
    eprintln!(
        "{script} {drain}: lost {} of {}, {:?}",
        report.lost, report.sent, report.losses
    );
    for l in machine
        .journal("web@*")
        .lines()
        .filter(|l| l.contains("rsgen:"))
    {
        eprintln!("   {l}");
    }
    report
}

pub(crate) fn a_program_with_an_event_loop_loses_nothing(machine: &mut Machine) {
    reload_under_load(machine, "plain.js", "off");
    reload_under_load(machine, "plain.js", "auto").assert_nothing_lost();
}

pub(crate) fn a_program_that_polls_loses_nothing(machine: &mut Machine) {
    reload_under_load(machine, "python.py", "off");
    reload_under_load(machine, "python.py", "auto").assert_nothing_lost();
}

pub(crate) fn a_program_with_threads_in_accept_loses_nothing(machine: &mut Machine) {
    reload_under_load(machine, "threads.py", "off");
    reload_under_load(machine, "threads.py", "auto").assert_nothing_lost();
}

pub(crate) fn a_program_of_many_processes_loses_nothing(machine: &mut Machine) {
    reload_under_load(machine, "prefork.py", "off");
    reload_under_load(machine, "prefork.py", "auto").assert_nothing_lost();
}
