//! What a program, a stranger and another program of root's can do to a group of listeners.

use testbed::{Load, Machine, Traffic, wait_until};

use crate::balance::{EVEN, MAPS};
use crate::cluster::{ECOSYSTEM, SOON};

/// How many of twenty requests that choose instance 1 it answers: all of them only where the group has rsgen's selector.
fn steered(machine: &Machine, port: u16) -> usize {
    // The program closes each connection after its answer.
    let url = format!("http://127.0.0.1:{port}/?[1-20]");
    let asked = machine.run(&["curl", "-s", "--interface", "127.114.0.1", &url]);
    asked.ok().stdout.matches("instance 1").count()
}

fn as_user(user: &str, command: &str) -> String {
    format!("setpriv --reuid={user} --regid={user} --clear-groups {command}")
}

/// The unit that adds the listener has three capabilities and no variable of the app, and nobody but root enters the folder of the maps.
fn has_rights_of_its_own_alone(machine: &Machine) {
    let rights = machine.property("web:join@1.service", "CapabilityBoundingSet");
    let mut rights: Vec<&str> = rights.split_whitespace().collect();
    rights.sort_unstable();
    assert_eq!(rights, ["cap_bpf", "cap_perfmon", "cap_sys_admin"]);
    assert_eq!(machine.property("web:join@1.service", "Environment"), "");
    for folder in [MAPS, "/run/rsgen/:balance"] {
        let look = as_user("www-data", &format!("ls {folder}"));
        machine.sh(&look).exits(2).says("Permission denied");
    }
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

    has_rights_of_its_own_alone(machine);
    let join = machine.write_app("joins.py", "/srv/web");
    for other in ["www-data", "daemon"] {
        let join = as_user(other, &format!("python3 {join}"));
        machine.sh(&join).exits(1).says("Address already in use");
    }

    // Root's is not refused.
    let stranger = machine.spawn(&["python3", &join]);
    wait_until(SOON, "a stranger in the group", || {
        machine.run(&["test", "-e", "/tmp/joined"]).status == 0
    });
    let load = Load::start(machine, &Traffic::on_port(3000, 8));
    load.wait_answered(200);
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
