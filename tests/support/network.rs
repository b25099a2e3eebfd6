//! A network of machines: a switch in a network namespace of its own, and cables to it.
//!
//! Only this process holds the namespace, and everything in it ends with this process, so neither the switch nor a cable can
//! be left on the host, however the test ends. The network has no connection to any other.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::machine::Machine;

const SWITCH: &str = "switch";

/// A switch, with the machines that are plugged into it.
pub struct Network {
    namespace: File,
}

impl Network {
    /// A switch with only this process on it, as `10.77.0.1`.
    pub fn new() -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
            ip("link set lo up");
            ip(&format!("link add name {SWITCH} type bridge"));
            ip(&format!("address add {}/24 dev {SWITCH}", address(1)));
            ip(&format!("link set {SWITCH} up"));
            File::open("/proc/thread-self/ns/net").expect("a thread has a network")
        });
        Self {
            namespace: made.join().expect("a switch"),
        }
    }

    /// Plugs a running machine into the switch, as `10.77.0.number`. A machine that was switched off has to be plugged in again.
    pub fn plug(&self, machine: &Machine, number: u8) -> Ipv4Addr {
        let port = format!("port{number}");
        let init = machine.init();
        self.within(|| {
            ip(&format!(
                "link add name {port} type veth peer name eth0 netns {init}"
            ));
            ip(&format!("link set {port} master {SWITCH} up"));
        });
        let own = address(number);
        let inside = format!("ip address add {own}/24 dev eth0 && ip link set eth0 up");
        machine.sh(&inside).ok();
        own
    }

    /// Does `work` as a client on the switch, including the commands that it starts.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = self.namespace();
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("the network's namespace");
                work()
            });
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn namespace(&self) -> File {
        self.namespace.try_clone().expect("another descriptor")
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

/// Runs ip(8) in the network namespace of the calling thread.
fn ip(arguments: &str) {
    let done = Command::new("ip")
        .args(arguments.split(' '))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .expect("`ip` starts; it is in the package iproute2");
    assert!(done.status.success(), "`ip {arguments}` failed: {done:?}");
}
