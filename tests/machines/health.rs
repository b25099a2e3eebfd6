//! One instance is reached, whichever the others are.

use testbed::Machine;

use crate::balance::EVEN;
use crate::cluster::{ECOSYSTEM, assert_exactly, install, write_ecosystem};

/// A network namespace with an interface to the machine, which sends from an address of the loopback as well.
const FAR: &str = "ip netns add far && ip link add near type veth peer name far netns far
ip addr add 10.9.9.1/24 dev near && ip link set near up
ip -n far link set lo up && ip -n far link set far up
ip -n far addr add 10.9.9.2/24 dev far && ip -n far addr add 127.114.0.2/32 dev far
ip netns exec far sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet'";

pub(crate) fn reaches_one_instance_from_this_host_alone(machine: &mut Machine) {
    machine.power_on_unfiltered();
    install(machine, "graceful.js", "4", EVEN);
    assert_exactly(machine, 4);
    for number in 0..4 {
        let instance = format!("web@{number}");
        for _ in 0..3 {
            let answer = machine.run(&["rsgen", "curl", &instance, "/x"]).ok();
            assert!(
                answer.stdout.contains(&format!("instance {number},")),
                "{answer}"
            );
        }
    }
    machine
        .run(&["rsgen", "curl", "web@2", "-i"])
        .ok()
        .says("HTTP/1.1 200 OK");
    let own = ["curl", "-sS", "-m", "5", "--interface", "127.114.0.3"];
    let url = "http://127.0.0.1:3000/";
    machine
        .run(&[&own[..], &[url]].concat())
        .ok()
        .says("instance 3,");
    // Not an ordinary user's privilege either.
    machine
        .run(&[
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            "rsgen",
            "curl",
            "web@1",
            "--json",
        ])
        .ok()
        .says("instance 1,");
    machine
        .run(&["rsgen", "curl", "web@7"])
        .exits(1)
        .says("refused");
    machine.systemctl(&["stop", "web@3"]).ok();
    machine
        .run(&["rsgen", "curl", "web@3"])
        .exits(1)
        .says("refused");

    machine.sh(FAR).ok();
    let far = ["ip", "netns", "exec", "far", "curl", "-sS", "-m", "3"];
    let near = "http://10.9.9.1:3000/";
    machine.run(&[&far[..], &[near]].concat()).ok();
    let pretends = [&far[..], &["--interface", "127.114.0.2", near]].concat();
    machine.run(&pretends).exits(28);

    write_ecosystem(machine, "graceful.js", "2", "settle = 0");
    machine
        .run(&["rsgen", "install", ECOSYSTEM, "--replace-listener"])
        .ok();
    machine
        .run(&["rsgen", "curl", "web@1"])
        .exits(1)
        .says("no connection can choose `web@1`")
        .says("write `balance = \"even\"`");
}
