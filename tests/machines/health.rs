//! One instance is reached, and is asked whether it serves before the clients reach it.

use testbed::{Load, Machine, Traffic, wait_until};

use crate::balance::EVEN;
use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, deploy, install, pids, write_ecosystem};

/// A network namespace with an interface to the machine, which sends from an address of the loopback as well.
const FAR: &str = "ip netns add far && ip link add near type veth peer name far netns far
ip addr add 10.9.9.1/24 dev near && ip link set near up
ip -n far link set lo up && ip -n far link set far up
ip -n far addr add 10.9.9.2/24 dev far && ip -n far addr add 127.114.0.2/32 dev far
ip netns exec far sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet'";

const URL: &str = "http://127.0.0.1:3000/";

pub(crate) fn reaches_one_instance_from_this_host_alone(machine: &mut Machine) {
    machine.power_on_unfiltered();
    install(machine, "graceful", "4", EVEN);
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
    let own = ["curl", "-sS", "--interface", "127.114.0.3", URL];
    machine.run(&own).ok().says("instance 3,");
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
    is_listed_when_it_accepts_nothing(machine);
    machine
        .run(&["rsgen", "curl", "web@7"])
        .exits(1)
        .says("refused");
    machine.systemctl(&["stop", "web@3"]).ok();
    machine
        .run(&["rsgen", "curl", "web@3"])
        .exits(1)
        .says("refused");

    cannot_be_chosen_from_elsewhere(machine);
    write_ecosystem(machine, "graceful", "2", "settle = 0");
    machine
        .run(&["rsgen", "install", ECOSYSTEM, "--replace-listener"])
        .ok();
    machine
        .run(&["rsgen", "curl", "web@1"])
        .exits(1)
        .says("no connection can choose `web@1`")
        .says("write `balance = \"even\"`");
}

fn is_listed_when_it_accepts_nothing(machine: &Machine) {
    let stopped = machine.main_pid("web@1.service").to_string();
    machine.run(&["kill", "-STOP", &stopped]).ok();
    let waits = ["curl", "-sS", "-m", "90", "--interface", "127.114.0.1", URL];
    let waits = machine.spawn(&waits);
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups"];
    wait_until(SOON, "the instance to be listed as not accepting", || {
        let list = machine.run(&[&nobody[..], &["rsgen", "list"]].concat());
        let lines: Vec<&str> = list.stdout.lines().collect();
        let with = |part: &str| lines.iter().filter(|l| l.contains(part)).count();
        with("1 connection waits, none accepted for 500 ms") == 1 && with("online") == 3
    });
    machine
        .run(&["rsgen", "list"])
        .ok()
        .says("web: 3 of 4 serving");
    machine.run(&["kill", "-CONT", &stopped]).ok();
    waits.wait().ok().says("instance 1,");
}

fn cannot_be_chosen_from_elsewhere(machine: &Machine) {
    machine.sh(FAR).ok();
    // The address of the app may be another one of this host.
    let own = [
        "curl",
        "-sS",
        "--interface",
        "127.114.0.2",
        "http://10.9.9.1:3000/",
    ];
    machine.run(&own).ok().says("instance 2,");
    let far = ["ip", "netns", "exec", "far", "curl", "-sS"];
    let near = "http://10.9.9.1:3000/";
    machine.run(&[&far[..], &[near]].concat()).ok();
    let pretends = ["-m", "3", "--interface", "127.114.0.2", near];
    let pretends = [&far[..], &pretends].concat();
    machine.run(&pretends).exits(28);
}

/// The canary, which accepts nothing: nobody but root gets a connection to it, and no other instance answers in its place.
fn refuses_others_while_it_is_off(machine: &Machine) {
    let ask = ["rsgen", "curl", "web@3", "--max-time=300ms"];
    wait_until(SOON, "root to reach the canary", || {
        machine.run(&ask).status == 5
    });
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups"];
    let refused = machine.run(&[&nobody[..], &ask].concat()).exits(1);
    refused.says("refused").says("can be reached only by root");
    let own = ["curl", "-sS", "--interface", "127.114.0.3", URL];
    machine.run(&[&nobody[..], &own].concat()).exits(7);
    machine.run(&ask).exits(5);
}

const ANSWERS: &str = "answer version 1, instance $NODE_APP_INSTANCE, pid $PID";
const FAILS: &str = "status 500\nanswer no \\e[31mtable\\n  at db.js";
const READY: &str = "listen 3000";
/// READY, and then nothing is accepted.
const BLOCKS: &str = "listen 3000\nsleep 3600000";

/// READY, and gone with everything that it has not accepted.
const ENDS: &str = "listen 3000\nsleep 500\nexit 7";

/// READY, and gone.
const ENDS_AT_ONCE: &str = "listen 3000\nexit 7";

pub(crate) fn a_bad_release_gets_no_request_of_a_client(machine: &mut Machine) {
    machine.power_on_unfiltered();
    let keys = "health = \"/healthz\"\nhealth_timeout = \"5s\"\nhealth_interval = \"200ms\"";
    // While it lasts, the spec looks at a canary that accepts nothing.
    let keys = format!("{EVEN}\nlisten_timeout = \"15s\"\n{keys}");
    install(machine, "graceful", "3", &keys);
    assert_exactly(machine, 3);
    let traffic = Traffic::on_port(3000, 8).expect("version");
    let load = Load::start(machine, &traffic);
    load.wait_answered(200);
    let before = pids(machine, 3);
    deploy(machine, "graceful", ANSWERS, FAILS);
    let told = machine.run(&["rsgen", "reload", "web"]).exits(1);
    told.says("the canary failed: unhealthy: GET /healthz answered 500 Internal Server Error: `no \u{fffd}[31mtable | at db.js`, the last of ")
        .says("every instance still serves what it served");
    assert_eq!(pids(machine, 3), before);
    // Nor does an instance that systemd itself restarts.
    machine.systemctl(&["restart", "web@1"]).exits(1);
    wait_until(SOON, "the reason in the list", || {
        let list = machine.run(&["rsgen", "list"]).ok();
        list.stdout.contains("unhealthy: GET /healthz answered 500")
    });
    assert!(
        machine
            .journal("web@1.service")
            .contains("web@1 is unhealthy: GET /healthz answered 500")
    );
    machine.run(&["rsgen", "stop", "web@1"]).ok();

    deploy(machine, "graceful", FAILS, ANSWERS);
    deploy(machine, "graceful", READY, BLOCKS);
    let reload = machine.spawn(&["rsgen", "reload", "web"]);
    refuses_others_while_it_is_off(machine);
    reload.wait().exits(1).says(
        "the canary failed: unhealthy: not accepting: a connection to 127.0.0.1:3000 waited for 15s",
    );
    // One that ends meanwhile is not waited for.
    deploy(machine, "graceful", BLOCKS, ENDS);
    machine
        .run(&["rsgen", "reload", "web"])
        .exits(1)
        .says("the canary failed: exited with status 7");
    // Nor one that has ended by the time that it is asked.
    deploy(machine, "graceful", ENDS, ENDS_AT_ONCE);
    let told = machine.run(&["rsgen", "reload", "web"]).exits(1);
    assert!(!told.to_string().contains("not accepting"), "{told}");
    deploy(machine, "graceful", ENDS_AT_ONCE, READY);
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 3);
    load.wait_answered(200);
    load.stop().assert_nothing_lost();

    let command = "health_command = [\"/bin/sh\", \"-c\", \"id -un; curl -fsS --interface $0 http://$1/ || exit 3\", \"{source}\", \"{address}\"]";
    write_ecosystem(
        machine,
        "graceful",
        "3",
        &format!("{EVEN}\nhealth_timeout = \"5s\"\n{command}"),
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_exactly(machine, 3);
    deploy(machine, "graceful", ANSWERS, FAILS);
    machine.run(&["rsgen", "reload", "web"]).exits(1).says(
        "the canary failed: unhealthy: `/bin/sh` ended with exit status: 3: `www-data | curl: (22)",
    );
}
