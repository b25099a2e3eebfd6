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

pub(crate) fn an_ordinary_user_has_a_cluster(machine: &mut Machine) {
    machine
        .sh("useradd --create-home --uid 1500 worker && systemctl start user@1500")
        .ok();
    wait_until(SOON, "the user's bus", || {
        machine.run(&["test", "-S", "/run/user/1500/bus"]).status == 0
    });
    machine.write_app("plain.js", "/home/worker");
    let app = "[[apps]]\nname = \"web\"\nscript = \"plain.js\"\nlisten = 3000\ninstances = 2\nsettle = 0\n";
    machine.write("/home/worker/ecosystem.toml", app);
    run(machine, "rsgen --user install ecosystem.toml").ok();
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(100);
    for _ in 0..3 {
        run(machine, "rsgen --user reload web").ok();
        run(machine, "systemctl --user reload-or-restart web").ok();
        load.wait_answered(50);
    }
    load.stop().assert_nothing_lost();
    run(machine, "rsgen --user list").ok().says("online");
    run(machine, "rsgen --user uninstall web").ok();
    let left = run(
        machine,
        "systemctl --user list-units --all --plain --no-legend 'web*'",
    );
    assert_eq!(left.text(), "");
}
