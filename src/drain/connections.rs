//! The connections that an instance still has, and whether a stop would lose a request on them.
//!
//! This is judged by traffic alone. A request that is sent in parts and an open stream without traffic look
//! idle as well: only the program knows better.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use super::answers::{Connection, Traffic};
use super::kinds::Listener;

/// A connection whose last request was answered is idle after this time without traffic.
const QUIET: Duration = Duration::from_secs(1);
/// A connection that has never carried anything is idle after this time: browsers open connections in advance.
const UNUSED: Duration = Duration::from_secs(3);

/// The pause before the second look if there is no connection.
const SOON: Duration = Duration::from_millis(2);

/// The connections of an instance, by the way the drain treats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    /// The connections that may have an unfinished request.
    pub(super) busy: usize,
    /// The connections that wait for a next request.
    pub(super) idle: usize,
}

impl Count {
    /// Returns the pause until the next look, after this number of looks that have found nothing to wait for: `usual`, or less where there is
    /// no connection at all. On a busy machine a look takes longer, and so does a call of accept(2) that the second look is there to find.
    pub(super) fn pause(self, usual: Duration, empty: u32, took: Duration) -> Duration {
        if empty == 1 && self == Self::default() {
            usual.min(SOON.max(took * 3))
        } else {
            usual
        }
    }
}

/// A connection of the instance, and the listener that accepted it.
#[derive(Clone)]
pub(super) struct Found<'a> {
    pub(super) connection: Connection,
    pub(super) listener: &'a Listener,
}

/// The connections of these listeners that belong to the instance: those for whose inode `is_own` holds.
///
/// # Errors
/// The errors of `sock_diag(7)`.
pub(super) fn find(
    listeners: &[Listener],
    is_own: impl Fn(u64) -> bool,
) -> io::Result<Vec<Found<'_>>> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for listener in listeners {
        for connection in listener.kind().connections(listener)? {
            if is_own(connection.inode) && seen.insert(connection.inode) {
                found.push(Found {
                    connection,
                    listener,
                });
            }
        }
    }
    Ok(found)
}

/// Counts connections by the way the drain treats them.
pub(super) fn count(found: &[Found<'_>]) -> Count {
    let is_idle = |f: &&Found<'_>| f.connection.traffic.is_some_and(is_idle);
    let idle = found.iter().filter(is_idle).count();
    Count {
        busy: found.len() - idle,
        idle,
    }
}

fn is_idle(traffic: Traffic) -> bool {
    let quiet = traffic.since_sent.min(traffic.since_received);
    if traffic.unread != 0 || traffic.unsent != 0 {
        return false;
    }
    match (traffic.received, traffic.sent) {
        (0, 0) => traffic.since_sent >= UNUSED,
        (_, 0) => false,
        // The program sent the last bytes, so they are taken for the end of its answer.
        _ => quiet >= QUIET && traffic.since_sent <= traffic.since_received,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(received: u64, sent: u64, since_received: u64, since_sent: u64) -> Traffic {
        Traffic {
            received,
            sent,
            since_received: Duration::from_millis(since_received),
            since_sent: Duration::from_millis(since_sent),
            ..Traffic::default()
        }
    }

    #[test]
    fn only_where_there_is_no_connection_the_second_look_comes_soon() {
        let usual = Duration::from_millis(20);
        let none = Count::default();
        let quick = Duration::from_micros(300);
        assert_eq!(none.pause(usual, 1, quick), SOON);
        let slow = Duration::from_millis(5);
        assert_eq!(none.pause(usual, 1, slow), Duration::from_millis(15));
        assert_eq!(none.pause(usual, 1, usual), usual);
        // Datagrams may still be answered, or a process could not be inspected.
        assert_eq!(none.pause(usual, 0, quick), usual);
        for (busy, idle) in [(1, 0), (0, 1)] {
            assert_eq!(Count { busy, idle }.pause(usual, 1, quick), usual);
        }
    }

    #[test]
    fn answered_and_quiet_is_idle() {
        assert!(is_idle(traffic(70, 200, 1300, 1200)));
        assert!(!is_idle(traffic(70, 200, 800, 700)), "it was used just now");
    }

    #[test]
    fn a_connection_whose_request_waits_for_its_answer_is_busy() {
        assert!(!is_idle(traffic(70, 0, 9000, 9000)), "the first one");
        assert!(!is_idle(traffic(140, 200, 2000, 4000)), "a later one");
        let unread = Traffic {
            unread: 1,
            ..traffic(70, 200, 5000, 4000)
        };
        let unsent = Traffic {
            unsent: 1,
            ..traffic(70, 200, 5000, 4000)
        };
        assert!(!is_idle(unread) && !is_idle(unsent));
    }

    #[test]
    fn a_connection_opened_in_advance_is_idle_after_a_while() {
        assert!(!is_idle(traffic(0, 0, 1500, 1500)));
        assert!(is_idle(traffic(0, 0, 4000, 4000)));
    }
}
