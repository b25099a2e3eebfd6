//! The same below `systemd --user`, without any privilege.

use testbed::{Load, Machine, Output, Traffic, wait_until};

use crate::cluster::SOON;

/// Runs a command in a login of an ordinary user.
fn run(machine: &Machine, command: &str) -> Output {
    let login =
        "XDG_RUNTIME_DIR=/run/user/1500 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1500/bus";
    machine.run(&[
        "runuser",
        "-u",
        "worker",
        "--",
        "sh",
        "-c",
        &format!("cd; {login} {command}"),
    ])
}

/// An app of an ordinary user, reloaded under load.
fn loses_nothing(machine: &Machine, script: &str, lines: &str) {
    machine.write_app(script, "/home/worker");
    let app = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{script}\"\ninstances = 2\nsettle = 0\n{lines}\n"
    );
    machine.write("/home/worker/ecosystem.toml", &app);
    run(machine, "rsgen --user install ecosystem.toml").ok();
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(100);
    for _ in 0..3 {
        run(machine, "rsgen --user reload web").ok();
        run(machine, "systemctl --user reload-or-restart web").ok();
        load.wait_answered(50);
    }
    load.stop().assert_nothing_lost();
}

fn log_in(machine: &Machine) {
    machine
        .sh("useradd --create-home --uid 1500 worker && systemctl start user@1500")
        .ok();
    wait_until(SOON, "the user's bus", || {
        machine.run(&["test", "-S", "/run/user/1500/bus"]).status == 0
    });
}

pub(crate) fn an_ordinary_user_has_a_cluster(machine: &mut Machine) {
    log_in(machine);
    loses_nothing(machine, "plain.js", "listen = 3000");
    run(machine, "rsgen --user list").ok().says("online");
    run(machine, "rsgen --user uninstall web").ok();
    let left = run(
        machine,
        "systemctl --user list-units --all --plain --no-legend 'web*'",
    );
    assert_eq!(left.text(), "");
}

/// No epoll set forgets these: the drain has to have each of the threads look again.
pub(crate) fn one_whose_threads_wait_in_accept_is_drained_as_well(machine: &mut Machine) {
    log_in(machine);
    let lines = "listen = \"0.0.0.0:3000\"\nservice.NonBlocking = \"no\"";
    loses_nothing(machine, "threads.py", lines);
}
