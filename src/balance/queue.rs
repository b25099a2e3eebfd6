//! The connections that wait to be accepted. No rights are needed to list them, see `sock_diag(7)`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddrV4;

use super::connections;

/// The place of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// In the queue of a listener.
    Waiting,
    /// The program has it.
    Accepted,
    /// Nowhere: it is not established yet, or has ended.
    Gone,
}

/// Returns the place of a connection that comes from this address, to that port of this host.
///
/// # Errors
/// The errors of `sock_diag(7)`.
pub fn spot(from: SocketAddrV4, to: u16) -> io::Result<Spot> {
    let (_, connections) = connections::at(to)?;
    let own = connections.iter().filter(|found| found.from == from);
    let is_waiting = own.clone().any(|found| found.inode == 0);
    Ok(match own.count() {
        0 => Spot::Gone,
        _ if is_waiting => Spot::Waiting,
        _ => Spot::Accepted,
    })
}

/// The connections that wait, by the control group of their listener.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Queues(BTreeMap<u64, BTreeSet<u64>>);

impl Queues {
    /// Lists the connections that wait at these ports.
    ///
    /// # Errors
    /// The errors of `sock_diag(7)`.
    pub fn at(ports: &BTreeSet<u16>) -> io::Result<Self> {
        let mut queues = Self::default();
        for port in ports {
            let (_, connections) = connections::at(*port)?;
            // Without control groups from the kernel, instances cannot be distinguished.
            for found in connections.iter().filter(|f| f.inode == 0 && f.group != 0) {
                queues
                    .0
                    .entry(found.group)
                    .or_default()
                    .insert(found.cookie);
            }
        }
        Ok(queues)
    }

    /// Whether no connection waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of connections that wait at the listeners of this control group.
    #[must_use]
    pub fn waiting(&self, group: u64) -> usize {
        self.0.get(&group).map_or(0, BTreeSet::len)
    }

    /// Returns the number of connections that wait at the listener of this control group, if some waited at an earlier look and
    /// all of them still do: then the program has accepted none in between.
    #[must_use]
    pub fn untouched_since(&self, earlier: &Self, group: u64) -> Option<usize> {
        let (before, now) = (earlier.0.get(&group)?, self.0.get(&group)?);
        before.is_subset(now).then_some(now.len())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_connection_waits_until_it_is_accepted() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            waits_and_is_accepted(&TcpListener::bind(address).unwrap());
        }
    }

    fn waits_and_is_accepted(listener: &TcpListener) {
        let to = listener.local_addr().unwrap();
        let client = TcpStream::connect(("127.0.0.1", to.port())).unwrap();
        let std::net::SocketAddr::V4(from) = client.local_addr().unwrap() else {
            unreachable!()
        };
        let other = SocketAddrV4::new([127, 9, 9, 9].into(), from.port());
        assert_eq!(spot(other, to.port()).unwrap(), Spot::Gone);
        assert_eq!(spot(from, to.port()).unwrap(), Spot::Waiting);
        let accepted = listener.accept().unwrap();
        assert_eq!(spot(from, to.port()).unwrap(), Spot::Accepted);
        drop((client, accepted));
        // On busy processors, the kernel may take a moment to end a connection.
        let end = Instant::now() + Duration::from_secs(10);
        while spot(from, to.port()).unwrap() != Spot::Gone {
            assert!(Instant::now() < end, "it is still there");
        }
    }

    #[test]
    fn what_waits_is_listed_where_the_kernel_tells_the_control_group() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ports = BTreeSet::from([port]);
        assert!(Queues::at(&ports).unwrap().is_empty());
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (listeners, _) = connections::at(port).unwrap();
        let is_told = listeners.iter().any(|listener| listener.group != 0);
        assert_eq!(Queues::at(&ports).unwrap().is_empty(), !is_told);
        let accepted = listener.accept().unwrap();
        assert!(Queues::at(&ports).unwrap().is_empty());
        drop((client, accepted));
    }

    #[test]
    fn a_queue_is_untouched_as_long_as_all_that_waited_wait() {
        let queues = |all: &[(u64, &[u64])]| {
            let all = all
                .iter()
                .map(|(group, own)| (*group, own.iter().copied().collect()));
            Queues(all.collect())
        };
        let before = queues(&[(1, &[10, 11]), (2, &[20])]);
        let now = queues(&[(1, &[10, 11, 12]), (2, &[21]), (3, &[30])]);
        let untouched = |group| now.untouched_since(&before, group);
        assert_eq!([1, 2, 3, 4].map(untouched), [Some(3), None, None, None]);
    }
}
