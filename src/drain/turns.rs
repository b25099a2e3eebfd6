//! Infers the state of the requests of one connection from its traffic, look after look, and chooses the next step. Pure.
//!
//! A turn is a request and its answer. Traffic alone does not show whether an answer is complete, since a program may pause in the
//! middle of one. The client's traffic does: having sent a request, an HTTP/1 client waits for the whole answer before it sends the
//! next one. So a request that a filter has held back (see [`crate::sys::filter`]) proves that the previous answer was complete, and
//! that the connection carries HTTP/1. Without that proof a connection is left alone until the drain is about to end, when the stop
//! would cut it anyway. Pipelining, in which a client does not wait, is an exception that cannot be detected here.

use std::time::{Duration, Instant};

use super::answers::Traffic;
use crate::sys::filter::Starts;

/// The time without traffic after which an answer is taken for complete, on a connection that carries HTTP/1, of an
/// instance that has not paused in the middle of any answer, if its client has taken as long before a request. A drain
/// whose connections have all been answered for as long is over.
const QUIET: Duration = Duration::from_secs(1);
/// The same time at the end of a drain.
const QUIET_LAST: Duration = Duration::from_millis(50);
/// A program that has paused for longer than this in the middle of an answer is expected to do so again.
const PART: Duration = Duration::from_millis(50);
/// How long an ambiguous request is held back. The client's kernel sends it again after 200 ms or later.
const PATIENCE: Duration = Duration::from_millis(150);

/// The next step on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Leave,
    /// These requests are held back from now on.
    Hold(Starts),
    /// Requests are let through again.
    Release,
    /// The program reads end-of-file, as if the client had closed the connection. Every request was answered.
    End,
    /// The same, although the client has sent a request, which will not arrive.
    Refuse,
    /// The client reads end-of-file, because the program has not closed the connection.
    Shut,
}

/// How far the drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The drain continues.
    Early,
    /// The drain is about to end.
    Last,
    /// The program got its signal, and ends its connections itself.
    Told,
    /// The program got its signal, the drain is about to end, and the program still has connections.
    Overdue,
}

/// A filter that holds back requests.
#[derive(Debug, Clone, Copy)]
struct Held {
    starts: Starts,
    /// When a request was first seen to be held back.
    asked: Option<Instant>,
}

/// The steps that were taken on a connection.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing.
    Watched,
    /// Requests are held back.
    Held(Held),
    /// A request was held back and let through, so the connection carries HTTP/1. The number counts the requests before it.
    Http(u32),
    /// The program was made to read end-of-file, and requests are held back.
    Ended(Held),
    /// All steps, or no step is possible.
    Over,
}

/// The turns of one connection.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    /// The newest traffic, and when it was looked at.
    last: Traffic,
    at: Instant,
    /// The requests that came since the drain began.
    asked: u32,
    /// Whether the program paused in the middle of an answer.
    in_parts: bool,
    /// The client's longest pause between an answer and its next request.
    longest: Duration,
    state: State,
}

impl Turns {
    pub(super) fn begin(traffic: Traffic, now: Instant) -> Self {
        Self {
            last: traffic,
            at: now,
            asked: 0,
            in_parts: false,
            longest: Duration::ZERO,
            state: State::Watched,
        }
    }

    /// Takes in the result of a look.
    pub(super) fn look(&mut self, traffic: Traffic, now: Instant) {
        let before = std::mem::replace(&mut self.last, traffic);
        if traffic.received < before.received || traffic.sent < before.sent {
            // Another connection, whose socket got the same inode.
            *self = Self::begin(traffic, now);
            return;
        }
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.at, now));
        if traffic.received > before.received {
            if self.is_at_leisure() && is_next(before, traffic) {
                let pause = (before.since_sent + elapsed).saturating_sub(traffic.since_received);
                self.longest = self.longest.max(pause);
            }
            self.asked += 1;
        } else if traffic.sent > before.sent && is_answered(before) {
            let pause = (before.since_sent + elapsed).saturating_sub(traffic.since_sent);
            self.in_parts |= pause >= PART;
        }
        if let State::Held(held) | State::Ended(held) = &mut self.state
            && is_held_back(before, traffic)
        {
            held.asked.get_or_insert(now);
        }
    }

    /// Whether the program paused in the middle of an answer.
    pub(super) fn is_in_parts(&self) -> bool {
        self.in_parts
    }

    /// Whether the client has paused for so long that the connection can be ended in a pause, without meeting a request. Any
    /// other connection is left alone until the drain is about to end: its client may stop sending requests by itself.
    fn pauses(&self) -> bool {
        self.longest >= QUIET
    }

    /// Whether the next request arrives when the client sends it. One that was held back arrives later.
    fn is_at_leisure(&self) -> bool {
        match self.state {
            State::Watched => true,
            State::Http(before) => self.asked > before,
            State::Held(_) | State::Ended(_) | State::Over => false,
        }
    }

    /// Chooses the step at this moment. `in_parts` if any connection of the instance had an answer in parts.
    pub(super) fn step(&self, now: Instant, moment: Moment, in_parts: bool) -> Step {
        let waits = |asked| now.saturating_duration_since(asked);
        let is_last = matches!(moment, Moment::Last | Moment::Overdue);
        match self.state {
            _ if moment == Moment::Told => Step::Leave,
            State::Over | State::Ended(Held { asked: None, .. }) => Step::Leave,
            _ if self.last.received == 0 => Step::Leave,
            State::Held(Held { asked: Some(_), .. }) if !is_last => Step::Release,
            State::Held(Held {
                asked: Some(asked), ..
            }) => self.asked_while_held(waits(asked)),
            State::Ended(Held { asked: Some(_), .. }) => Step::Shut,
            _ if self.may_end(moment, in_parts) => Step::End,
            State::Held(held) if held.starts == Starts::Any || !is_last => Step::Leave,
            _ if is_last => Step::Hold(Starts::Any),
            State::Watched if self.pauses() => Step::Hold(Starts::Safe),
            State::Watched | State::Held(_) | State::Http(_) => Step::Leave,
        }
    }

    /// Chooses the step when a request has been held back for this time.
    fn asked_while_held(&self, time: Duration) -> Step {
        let t = self.last;
        // Of a request and an answer in one tick of the kernel's clock, the answer came later: the held request proves it.
        if t.unread == 0 && t.sent > 0 && t.since_sent <= t.since_received {
            Step::Refuse
        } else if time >= PATIENCE {
            Step::Release
        } else {
            Step::Leave
        }
    }

    /// Whether the connection is between two turns, and stays there for long enough.
    fn may_end(&self, moment: Moment, in_parts: bool) -> bool {
        let t = self.last;
        let is_quiet = |time| t.since_sent >= time && t.since_received >= time;
        let is_between = t.unread == 0 && t.unsent == 0 && t.sent > 0 && is_answered(t);
        let is_used = self.asked > 0 && !self.in_parts && is_quiet(QUIET_LAST);
        let is_long = match moment {
            Moment::Last => is_used,
            // Other drains do not wait for a connection that is kept and not used: the stop that follows at once
            // ends it. This stop comes half a second later, and the client may send a request until then.
            Moment::Overdue => is_used || is_quiet(QUIET),
            Moment::Early | Moment::Told => {
                let is_next = matches!(self.state, State::Http(before) if self.asked > before);
                is_next && !in_parts && is_quiet(QUIET)
            }
        };
        is_between && is_long
    }

    /// Notes that a step was taken.
    pub(super) fn took(&mut self, step: Step) {
        let held = |starts| Held {
            starts,
            asked: None,
        };
        self.state = match step {
            Step::Leave => self.state,
            Step::Hold(starts) => State::Held(held(starts)),
            Step::Release if self.pauses() => State::Http(self.asked),
            // Without an answer before it, the segment is part of a body that looks like a request.
            Step::Release | Step::Shut => State::Over,
            Step::End => State::Ended(held(Starts::Any)),
            Step::Refuse => State::Ended(Held {
                asked: Some(self.at),
                ..held(Starts::Any)
            }),
        };
    }

    /// Notes that a step could not be taken: the connection is left alone from now on.
    pub(super) fn give_up(&mut self) {
        self.state = State::Over;
    }

    /// Whether requests are held back.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_) | State::Ended(_))
    }
}

/// Whether the filter has dropped a segment between two looks. The kernel drops segments for other reasons,
/// too, old ones for instance, but counts those as received. So if every counted segment contained new data,
/// none of them was dropped. Otherwise it takes until the client sends its request again.
fn is_held_back(before: Traffic, now: Traffic) -> bool {
    let data = now.data_segments.wrapping_sub(before.data_segments);
    let others = now
        .segments
        .wrapping_sub(before.segments)
        .wrapping_sub(data);
    now.drops != before.drops
        && data <= u32::from(now.received > before.received)
        && others <= u32::from(now.acknowledged > before.acknowledged)
}

/// Whether one request has come between two looks, after an answer.
fn is_next(before: Traffic, now: Traffic) -> bool {
    is_answered(before) && now.data_segments.wrapping_sub(before.data_segments) == 1
}

/// Whether the program has sent something since it last received. The kernel's clock has ticks of up to 10 ms. Of two events in
/// one tick the order is known only by an acknowledgement of its own: a request would have carried the acknowledgement.
fn is_answered(traffic: Traffic) -> bool {
    traffic.since_sent < traffic.since_received
        || traffic.since_sent == traffic.since_received
            && traffic.since_acknowledged < traffic.since_received
}

#[cfg(test)]
mod tests;
