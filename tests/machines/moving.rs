//! An app that serves is given other addresses: the new ones are opened first, the old ones are closed last.

use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, listener, pids, wait_closed};

const PROGRAM: &str = "\
const http = require('http');\n\
let servers = [];\n\
process.on('SIGINT', () => servers.forEach((server) => server.close()));\n\
servers = process.env.PORTS.split(',').map((port) =>\n\
  http.createServer((request, response) => response.end(`${process.pid}\\n`)).listen(Number(port)));\n";

/// Has the program wait before it listens, for as long as there is such a file.
const WAITS: &str = "\
const wait = () => require('fs').existsSync('/srv/web/wait') && \
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20) && wait();\n\
wait();\n";

/// Writes the file of an app that listens on these ports.
fn write(machine: &Machine, ports: &str, more: &str) {
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"ports.js\"\nlisten = [{ports}]\ninstances = 2\nuser = \"www-data\"\n\
         settle = 0\nenv = {{ PORTS = \"{ports}\" }}\n{more}\n"
    );
    machine.write(ECOSYSTEM, &text);
}

fn install(machine: &Machine, ports: &str) {
    machine.write("/srv/web/ports.js", PROGRAM);
    write(machine, ports, "");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
}

fn enabled(machine: &Machine, socket: &str) -> String {
    let told = machine.systemctl(&["is-enabled", socket]);
    told.text().to_owned()
}

pub(crate) fn an_address_is_added_and_another_closed_without_a_loss(machine: &mut Machine) {
    install(machine, "3000");
    let (old, load) = (
        listener(machine),
        Load::start(machine, &Traffic::on_port(3000, 4)),
    );
    write(machine, "3000,3001", "");
    let dry = machine.run(&["rsgen", "install", "--dry-run", ECOSYSTEM]);
    dry.ok()
        .says("web: would open 3001 in web:2.socket, then replace the instances");
    assert!(machine.get(3001).is_err(), "nothing was done");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    told.says("web: 3001 is open, in web:2.socket");
    assert_eq!(listener(machine), old, "the old listener was not touched");
    let both = Load::start(machine, &Traffic::on_port(3001, 4));
    both.wait_answered(50);
    load.stop().assert_nothing_lost();

    write(machine, "3001", "");
    machine
        .run(&["rsgen", "reload", ECOSYSTEM])
        .ok()
        .says("web: 3000 is closed");
    both.stop().assert_nothing_lost();
    wait_closed(machine);
    assert_exactly(machine, 2);
    let again = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    again.says("nothing to do");
    assert_eq!(enabled(machine, "web:2.socket"), "enabled");
    machine.systemctl(&["cat", "web.socket"]).exits(1);

    // After a boot, and after a stop, the app is where it was.
    machine.power_cycle(testbed::PowerLoss::Clean);
    wait_until(SOON, "an answer", || machine.get(3001).is_ok());
    machine.run(&["rsgen", "stop", "web"]).ok();
    assert!(machine.get(3001).is_err());
    machine.run(&["rsgen", "start", "web"]).ok();
    assert!(machine.get(3001).is_ok());

    // The way back to the first unit, by the installed file alone.
    let installed = machine.read("/etc/rsgen/web.toml").replace("3001", "3002");
    machine.write("/etc/rsgen/web.toml", &installed);
    let told = machine.run(&["rsgen", "reload", "web"]).ok();
    told.says("web: 3002 is open, in web.socket")
        .says("web: 3001 is closed");
    assert!(machine.get(3002).is_ok() && machine.get(3001).is_err());
    assert_eq!(enabled(machine, "web.socket"), "enabled");
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    let left = "find /etc/systemd /run/systemd/system /etc/rsgen -name '*web*'";
    assert_eq!(machine.sh(left).text(), "");
}

pub(crate) fn what_cannot_be_moved_changes_nothing(machine: &mut Machine) {
    install(machine, "3000");
    let before = (pids(machine, 2), listener(machine));
    let units = "cat /etc/systemd/system/web* /etc/systemd/system/*.wants/web*";
    let files = machine.sh(units).text().to_owned();
    let unchanged = |machine: &Machine, fault: &str| {
        assert_eq!((pids(machine, 2), listener(machine)), before, "{fault}");
        assert_eq!(machine.sh(units).text(), files, "{fault}");
        let open = machine.run(&["ss", "-Hltn", "sport = :3001"]);
        assert_eq!(open.text(), "", "{fault}");
        let left = machine.sh("ls /run/systemd/system | grep web");
        assert_eq!(left.text(), "", "{fault}");
        assert_exactly(machine, 2);
    };
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    // The program does not listen where the file says, so the canary fails.
    write(machine, "3001", "");
    let text = machine.read(ECOSYSTEM);
    machine.write(
        ECOSYSTEM,
        &text.replace("PORTS = \"3001\"", "PORTS = \"3000\""),
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    unchanged(machine, "another port");

    // systemd cannot open the address; for rsgen, which may bind to any, it is free.
    write(machine, "3001", "socket.BindToDevice = \"none-such\"");
    let failed = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    failed.says("nothing was changed");
    unchanged(machine, "no such device");

    let text = machine.read(ECOSYSTEM);
    let wild = text.replace("[3001]", "[\"[::]:3000\"]");
    machine.write(ECOSYSTEM, &wild);
    let refused = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    refused
        .says("[::]:3000 and 3000 cannot be open at the same time")
        .says("--replace-listener");
    unchanged(machine, "another family");
    load.stop().assert_nothing_lost();
}

pub(crate) fn a_move_that_was_killed_is_ended_by_the_same_command(machine: &mut Machine) {
    install(machine, "3000");
    write(machine, "3001", "");
    // Nothing is ready on the new address before the command has been killed.
    machine.write("/srv/web/ports.js", &format!("{WAITS}{PROGRAM}"));
    machine.write("/srv/web/wait", "");
    let moved = machine.spawn(&["rsgen", "install", ECOSYSTEM]);
    wait_until(SOON, "the new address to be open", || {
        machine.state("web:2.socket") == "active"
    });
    machine.sh("pkill -KILL -f 'rsgen [i]nstall'").ok();
    let _ = moved.wait();
    machine.run(&["rm", "/srv/web/wait"]).ok();
    // Whichever instance is started now, it is one that systemd has the sockets of.
    machine.sh("systemctl kill -s KILL web@0.service");
    wait_until(SOON, "both addresses to be served by somebody", || {
        machine.get(3000).is_ok() || machine.get(3001).is_ok()
    });
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("web: 3000 is closed");
    assert!(machine.get(3001).is_ok());
    wait_closed(machine);
    assert_exactly(machine, 2);
    let left = machine.sh("ls /run/systemd/system | grep web");
    assert_eq!(left.text(), "");
    let again = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    again.says("nothing to do");
}
