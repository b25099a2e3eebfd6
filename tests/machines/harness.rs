//! The harness itself: a spec would prove nothing on a harness that does not work.

use testbed::runner::Spec;
use testbed::specs;
use testbed::{Load, Machine, PowerLoss, Traffic, wait_until};

use crate::cluster::SOON;
use crate::harness;

pub(crate) const SPECS: &[Spec] = specs![
    harness::boots_a_whole_system,
    harness::leaves_nothing_on_the_host,
    harness::keeps_its_disk_through_a_power_cycle,
    harness::sees_as_many_cpus_as_it_is_given,
    harness::serves_traffic_from_outside,
    harness::serves_traffic_on_a_socket_file,
    harness::has_rsgen_where_make_installs_it,
    harness::are_joined_by_a_network_of_their_own,
];

pub(crate) fn boots_a_whole_system(machine: &mut Machine) {
    assert_eq!(
        machine.run(&["systemctl", "is-system-running"]).text(),
        "running"
    );
    let (version, least) = (machine.systemd_version(), machine.release().systemd());
    assert!(version == least || version > least && !machine.release().is_released());
    assert_eq!(
        machine
            .sh("cat; echo out; echo err >&2; exit 3")
            .exits(3)
            .stdout,
        "out\n"
    );
    assert_eq!(machine.state("dbus.socket"), "active");
}

pub(crate) fn leaves_nothing_on_the_host(machine: &mut Machine) {
    let here = format!("/srv/testbed-{}", std::process::id());
    machine.write(&here, "written in the machine");
    assert_eq!(machine.read(&here), "written in the machine");
    assert!(!std::path::Path::new(&here).exists());

    let second = Machine::boot(machine.release());
    second.run(&["test", "-e", &here]).exits(1);
    assert_ne!(second.in_network(network), network());
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let before = mounts();
    drop(second);
    assert_eq!(mounts(), before, "a machine's mounts are its own");
}

/// The identity of the present network namespace.
fn network() -> Option<std::path::PathBuf> {
    std::fs::read_link("/proc/thread-self/ns/net").ok()
}

pub(crate) fn keeps_its_disk_through_a_power_cycle(machine: &mut Machine) {
    machine.write(
        "/etc/systemd/system/hello.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=touch /run/hello\n\
         [Install]\nWantedBy=multi-user.target\n",
    );
    machine.systemctl(&["enable", "hello.service"]).ok();
    for how in [PowerLoss::Clean, PowerLoss::Cut] {
        machine.run(&["test", "-e", "/run/hello"]).exits(1);
        machine.power_cycle(how);
        machine.wait_state("hello.service", "active", SOON);
        machine.run(&["rm", "/run/hello"]).ok();
    }
}

pub(crate) fn sees_as_many_cpus_as_it_is_given(machine: &mut Machine) {
    machine.power_off(PowerLoss::Cut);
    machine.power_on(Some("0"));
    let seen = machine
        .run(&["systemd-run", "--quiet", "--wait", "--pipe", "nproc"])
        .ok();
    assert_eq!(seen.text(), "1");
}

pub(crate) fn serves_traffic_from_outside(machine: &mut Machine) {
    let script = machine.write_app("node4.js", "/srv/app");
    machine
        .sh(&format!(
            "systemd-run --quiet --unit app -E NODE_APP_INSTANCE=7 node {script}"
        ))
        .ok();
    wait_until(SOON, "the server to answer", || machine.get(3000).is_ok());

    let load = Load::start(machine, &Traffic::on_port(3000, 4).expect("7 "));
    load.wait_answered(200);
    let report = load.stop();
    report.assert_nothing_lost();
    assert_eq!(
        report.with(&format!("7 {}", machine.main_pid("app"))),
        report.ok
    );

    let load = Load::start(machine, &Traffic::on_port(3000, 2).keep_alive().post(1000));
    load.wait_answered(200);
    machine.systemctl(&["kill", "-s", "KILL", "app"]).ok();
    wait_until(SOON, "the traffic to notice", || load.failed() > 0);
    let report = load.stop();
    assert!(report.lost > 0 && report.lost < report.sent, "{report}");
}

pub(crate) fn has_rsgen_where_make_installs_it(machine: &mut Machine) {
    for path in [
        "/usr/bin/rsgen",
        "/usr/lib/rsgen/bin/rsgen-worker",
        "/usr/lib/rsgen/rsgen-worker",
        "/usr/lib/systemd/system-generators/rsgen-generator",
        "/usr/lib/systemd/user-generators/rsgen-generator",
    ] {
        machine.run(&["test", "-x", path]).ok();
    }
}

pub(crate) fn serves_traffic_on_a_socket_file(machine: &mut Machine) {
    let server = "require('http').createServer((q, a) => a.end('hi')).listen('/run/app.sock')";
    machine
        .run(&[
            "systemd-run",
            "--quiet",
            "--unit",
            "app",
            "node",
            "-e",
            server,
        ])
        .ok();
    wait_until(SOON, "the socket", || {
        machine.run(&["test", "-S", "/run/app.sock"]).status == 0
    });
    let load = Load::start(
        machine,
        &Traffic::on_socket(machine, "/run/app.sock", 2).expect("hi"),
    );
    load.wait_answered(100);
    load.stop().assert_nothing_lost();
}

pub(crate) fn are_joined_by_a_network_of_their_own(machine: &mut Machine) {
    let interfaces = || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let count = interfaces().lines().count();
    let network = testbed::Network::new();
    let second = Machine::boot(machine.release());
    network.plug(machine, 11);
    let address = network.plug(&second, 12);
    let server = ["systemd-run", "python3", "-m", "http.server", "8000"];
    second.run(&server).ok();
    let ask = format!("import urllib.request as u; u.urlopen('http://{address}:8000/')");
    wait_until(SOON, "an answer of the other machine", || {
        machine.run(&["python3", "-c", &ask]).status == 0
    });
    assert!(network.within(|| std::net::TcpStream::connect((address, 8000)).is_ok()));
    assert_eq!(interfaces().lines().count(), count, "on the host");
}
