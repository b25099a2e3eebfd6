//! Which connections an instance still has, and whether anything would be lost with them.
//!
//! From outside a half-sent request and a silent stream look idle, too: only the program knows them.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use super::answers::Traffic;
use super::kinds::Listener;

/// A connection that was answered and has been quiet for so long waits for a next request.
const QUIET: Duration = Duration::from_secs(1);
/// A connection that has carried nothing for so long was opened in advance, as browsers do.
const UNUSED: Duration = Duration::from_secs(3);

/// The connections of an instance, by what is to be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    /// A request may be on its way on these.
    pub(super) busy: usize,
    /// These wait for a next request.
    pub(super) idle: usize,
}

/// Counts the connections of these listeners that descriptors of the instance lead to.
///
/// # Errors
/// When the kernel does not tell.
pub(super) fn count(listeners: &[Listener], sockets: &HashSet<u64>) -> io::Result<Count> {
    let mut count = Count::default();
    let mut seen = HashSet::new();
    for listener in listeners {
        for connection in listener.kind().connections(listener)? {
            if !sockets.contains(&connection.inode) || !seen.insert(connection.inode) {
                continue;
            }
            if connection.traffic.is_some_and(is_idle) {
                count.idle += 1;
            } else {
                count.busy += 1;
            }
        }
    }
    Ok(count)
}

fn is_idle(traffic: Traffic) -> bool {
    let quiet = traffic.since_sent.min(traffic.since_received);
    if traffic.unread != 0 || traffic.unsent != 0 {
        return false;
    }
    match (traffic.received, traffic.sent) {
        (0, 0) => traffic.since_sent >= UNUSED,
        (_, 0) => false,
        // What came last came from the program: nobody waits for it.
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
    fn answered_and_quiet_is_idle() {
        assert!(is_idle(traffic(70, 200, 1300, 1200)));
        assert!(!is_idle(traffic(70, 200, 800, 700)), "it was used just now");
    }

    #[test]
    fn a_request_that_waits_for_its_answer_is_not() {
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
    fn one_opened_in_advance_is_idle_after_a_while() {
        assert!(!is_idle(traffic(0, 0, 1500, 1500)));
        assert!(is_idle(traffic(0, 0, 4000, 4000)));
    }
}
