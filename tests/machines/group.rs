//! What a program, a stranger and another program of root's can do to a group of listeners.

use testbed::{Load, Machine, Traffic, wait_until};

use crate::balance::{EVEN, MAPS};
use crate::cluster::{ECOSYSTEM, SOON};

/// How many of twenty requests that choose instance 1 it answers: all of them only where the group has rsgen's selector.
fn steered(machine: &Machine, port: u16) -> usize {
    let ask = format!(
        "for i in $(seq 20); do curl -s --interface 127.114.0.1 http://127.0.0.1:{port}/; done"
    );
    machine.sh(&ask).ok().stdout.matches("instance 1").count()
}

pub(crate) fn is_harmed_by_its_own_app_alone(machine: &mut Machine) {
    machine.power_on_unfiltered();
    machine.write_app("detach.py", "/srv/web");
    let app = |name: &str, port: u16| {
        format!(
            "[[apps]]\nname = \"{name}\"\nscript = \"detach.py\"\nlisten = \"0.0.0.0:{port}\"\ninstances = 2\n\
             user = \"www-data\"\nenv.PORT = \"{port}\"\n{EVEN}\n"
        )
    };
    let apps = [app("web", 3000), app("other", 3001)].concat();
    machine.write(ECOSYSTEM, &apps);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_eq!([3000, 3001].map(|port| steered(machine, port)), [20, 20]);

    for folder in [MAPS, "/run/rsgen/:balance"] {
        machine
            .sh(&format!(
                "setpriv --reuid=www-data --regid=www-data --clear-groups ls {folder}"
            ))
            .exits(2)
            .says("Permission denied");
    }

    // Root's: bind(2) refuses that of any other user.
    let join = machine.write_app("joins.py", "/srv/web");
    let stranger = machine.spawn(&["python3", &join]);
    wait_until(SOON, "a stranger in the group", || {
        machine.run(&["test", "-e", "/tmp/joined"]).status == 0
    });
    let load = Load::start(machine, &Traffic::on_port(3000, 8));
    load.wait_answered(400);
    load.stop().assert_nothing_lost();
    machine.write("/tmp/go", "");
    stranger.wait().ok().says("got none");

    let load = Load::start(machine, &Traffic::on_port(3000, 8));
    machine.sh("curl -s http://127.0.0.1:3000/detach").ok();
    assert!(steered(machine, 3000) < 20, "the selector is still there");
    assert_eq!(steered(machine, 3001), 20, "another app's was detached");
    machine.run(&["rsgen", "restart", "web@0"]).ok();
    assert_eq!(steered(machine, 3000), 20, "no selector was attached");
    load.stop().assert_nothing_lost();
}
