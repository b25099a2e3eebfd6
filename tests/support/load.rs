//! Traffic for a machine. Every request counts: none is repeated silently.
//!
//! Clients are threads of this process that have entered the machine's network namespace, so nothing that the machine stops
//! or kills affects them.

mod cli;
mod http;
mod message;
mod report;

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::machine::Machine;
use crate::network::Network;
use crate::poll::{nap, wait_until};
use crate::profile;

pub use cli::main;
pub use http::{Failure, Loss, Request, Target};
pub use report::{Lost, Report};

use http::Client;
use report::Tally;

/// A deadline for answers that is long enough on a busy host.
const SOON: Duration = Duration::from_secs(90);
/// The default pause of a client: ten clients send about one request each millisecond. Without a pause the
/// traffic would take every processor from the machine that is tested.
const PAUSE: Duration = Duration::from_millis(10);

/// The kind and the amount of traffic.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// The request that each client repeats.
    pub request: Request,
    /// The number of clients.
    pub clients: usize,
    /// How long a client pauses between an answer and its next request.
    pub pause: Duration,
}

impl Traffic {
    /// Clients that request `/` at a port of the machine, each request on a connection of its own.
    pub fn on_port(port: u16, clients: usize) -> Self {
        Self::on_address(([127, 0, 0, 1], port).into(), clients)
    }

    /// Such clients at any address.
    pub fn on_address(address: SocketAddr, clients: usize) -> Self {
        let request = Request::get(Target::Tcp(address));
        Self {
            request,
            clients,
            pause: PAUSE,
        }
    }

    /// Such clients at a unix socket of the machine.
    pub fn on_socket(machine: &Machine, path: &str, clients: usize) -> Self {
        let request = Request::get(Target::Unix(machine.path_from_outside(path)));
        Self {
            request,
            clients,
            pause: PAUSE,
        }
    }

    /// Requests another path.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.request.path);
        self
    }

    /// Lets each client keep its connection as long as the server does.
    #[must_use]
    pub fn keep_alive(self) -> Self {
        self.keep_alive_if(true)
    }

    /// The same for a spec that sends both kinds of traffic.
    #[must_use]
    pub fn keep_alive_if(mut self, keep_alive: bool) -> Self {
        self.request.keep_alive = keep_alive;
        self
    }

    /// Sends a body of this many bytes with each request.
    #[must_use]
    pub fn post(mut self, bytes: usize) -> Self {
        self.request.post = Some(bytes);
        self
    }

    /// Counts an answer as wrong unless its body contains this part.
    #[must_use]
    pub fn expect(mut self, part: &str) -> Self {
        self.request.expect = Some(part.to_owned());
        self
    }

    /// Lets each client pause for this time between requests; zero is no pause.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}

/// Running traffic.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<(Tally, Duration)>>,
    start: Instant,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    /// Starts traffic to a machine.
    pub fn start(machine: &Machine, traffic: &Traffic) -> Self {
        Self::flow(traffic, || Some(machine.network()))
    }

    /// Starts traffic from a client on a network of machines.
    pub fn start_in(network: &Network, traffic: &Traffic) -> Self {
        Self::flow(traffic, || Some(network.namespace()))
    }

    /// Starts traffic from the network namespace of this process.
    pub fn start_here(traffic: &Traffic) -> Self {
        Self::flow(traffic, || None)
    }

    fn flow(traffic: &Traffic, network: impl Fn() -> Option<File>) -> Self {
        let shared = Arc::new(Shared::default());
        let start = Instant::now();
        let clients = (0..traffic.clients)
            .map(|_| {
                let (shared, traffic, network) = (shared.clone(), traffic.clone(), network());
                thread::spawn(move || {
                    let tally = client(&shared, traffic, network, start);
                    (tally, profile::of_this_thread())
                })
            })
            .collect();
        Self {
            shared,
            clients,
            start,
        }
    }

    /// The number of requests that were answered so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// The number of requests that have failed so far.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests have been answered.
    #[track_caller]
    pub fn wait_answered(&self, count: u64) {
        let goal = self.answered() + count;
        wait_until(SOON, &format!("{count} more answers"), || {
            self.answered() >= goal
        });
    }

    /// Stops the traffic after every request that has begun.
    pub fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let tallies = self.clients.into_iter().map(|c| {
            let (tally, used) = c.join().expect("a client ends well");
            profile::add_clients(used);
            tally
        });
        Report::of(tallies.collect(), self.start.elapsed())
    }
}

fn client(shared: &Shared, traffic: Traffic, network: Option<File>, start: Instant) -> Tally {
    if let Some(network) = network {
        setns(network, CloneFlags::CLONE_NEWNET).expect("the machine's network");
    }
    let mut tally = Tally::default();
    let mut client = Client::new(traffic.request);
    while !shared.stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        match client.ask() {
            Ok(body) => {
                tally.answered(body, asked.elapsed());
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => {
                tally.failed(failure, asked - start, asked.elapsed());
                shared.failed.fetch_add(1, Ordering::Relaxed);
                // A refusal takes microseconds. Without a pause, a short outage would count thousands of
                // times, and would take the CPU from the process that ends it.
                nap(Duration::from_millis(5));
            }
        }
        if !traffic.pause.is_zero() {
            nap(traffic.pause);
        }
    }
    tally.reconnected = client.reconnected;
    tally
}
