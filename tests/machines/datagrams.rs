//! Clients that send datagrams to an app while it is reloaded.

#![expect(clippy::unwrap_used, reason = "a client that cannot ask has failed")]

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testbed::{Machine, nap, wait_until};

use crate::cluster::{SOON, reloads};

/// Ends the clients, also where a reload has failed.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reloads as often as an everyday run needs, while twenty clients each send the next datagram when the last one was answered.
pub(crate) fn answers_while_reloaded(machine: &Machine, everyday: u32, reload: impl Fn()) {
    let sockets = machine.in_network(|| {
        let socket = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect("127.0.0.1:3000")?;
            socket.set_read_timeout(Some(Duration::from_mins(1)))?;
            Ok(socket)
        };
        (0..20).map(socket).collect::<std::io::Result<Vec<_>>>()
    });
    let is_over = &AtomicBool::new(false);
    let instances = &Mutex::new(BTreeSet::new());
    let wait_for = |count: usize| {
        let what = format!("answers of {count} instances");
        wait_until(SOON, &what, || instances.lock().unwrap().len() >= count);
    };
    std::thread::scope(|scope| {
        let ends = Ends(is_over);
        let clients: Vec<_> = sockets
            .unwrap()
            .into_iter()
            .map(|socket| scope.spawn(move || ask_until(&socket, is_over, instances)))
            .collect();
        wait_for(1);
        for _ in 0..reloads(everyday) {
            reload();
        }
        wait_for(4);
        drop(ends);
        for client in clients {
            client.join().unwrap();
        }
    });
    let journal = machine.journal("web@*");
    assert!(!journal.contains("keeps accepting"), "{journal}");
}

/// Adds the instances that answer. A datagram without an answer is a failure.
fn ask_until(socket: &UdpSocket, is_over: &AtomicBool, instances: &Mutex<BTreeSet<String>>) {
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        let asked = number.to_string();
        socket.send(asked.as_bytes()).unwrap();
        let mut answer = [0; 64];
        let length = socket.recv(&mut answer);
        let length = length.unwrap_or_else(|e| panic!("datagram {number} has no answer: {e}"));
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        let (pid, echo) = answer.split_once(' ').unwrap();
        assert_eq!(echo, asked);
        instances.lock().unwrap().insert(pid.to_owned());
        number += 1;
        nap(Duration::from_millis(10));
    }
}
