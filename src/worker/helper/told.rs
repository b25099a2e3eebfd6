//! The moment of READY, and the lines about a start that does not become READY.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::super::refusal;
use super::Helper;
use super::serving::Serving;
use crate::contract::{self, Handover, REFUSED, Ready, SENT_ONLY, UNSENT};
use crate::log::say;

/// How long a program that has sent `ready` and listens on some of its addresses may take for the others. Programs that
/// listen on a port in one instance only are READY after that.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a program that listens elsewhere may take for a declared address before a line is logged for users, who may be waiting for READY.
const DETOUR: Duration = Duration::from_secs(2);

/// An end this soon after the program began to serve is related to its start.
const SOON: Duration = Duration::from_secs(1);

/// How long READY is held back after listen(2), unless the program waits for connections by then. Programs that go to the background do
/// so just after it, nginx for instance, and systemd would call the instance active in between.
const HOLD: Duration = Duration::from_millis(30);

impl Helper<'_> {
    /// Sends READY to systemd a moment after the program began to listen, unless its first process has ended.
    pub(super) fn follow_listen(&mut self) {
        let Some(end) = self.end_of_hold() else {
            return;
        };
        let served = self.replacer.served();
        let waits = self.serving.as_mut().is_some_and(|s| s.waits(&served));
        if waits || Instant::now() >= end {
            // It has descriptors that nobody needs any more.
            self.serving = None;
            self.tell_ready();
        }
    }

    /// Returns when [`Helper::follow_listen`] has something to do.
    pub(super) fn next_of_hold(&self) -> Option<Instant> {
        let end = self.end_of_hold()?;
        let look = self.serving.as_ref().map(Serving::next);
        Some(look.map_or(end, |look| look.min(end)))
    }

    /// Returns when READY is held back no longer.
    fn end_of_hold(&self) -> Option<Instant> {
        let served = self
            .served
            .filter(|_| !self.ready && self.run.ready == Ready::Listen)?;
        (!self.background.is_left()).then(|| served + HOLD)
    }

    /// Sends READY to systemd if the program has sent `ready` and listens. A program that only sends `ready`
    /// would leave its clients waiting, since systemd's socket queues their connections in any case.
    pub(super) fn follow_message(&mut self) {
        let Some(said) = self.said_ready.filter(|_| !self.ready) else {
            return;
        };
        // With `fds` the helper cannot see whether the program listens.
        if self.run.handover != Handover::Bind || self.replacer.all_served() {
            self.tell_ready();
        } else if said.elapsed() >= PATIENCE {
            let missing = self.replacer.missing(self.run.instance);
            let line = format!("{SENT_ONLY}{missing}");
            if self.replacer.any_served() {
                self.tell_ready();
                self.replacer.note(&line);
                refusal::tell(&line);
            } else if !self.is_silence_told {
                self.is_silence_told = true;
                refusal::tell(&line);
            }
        }
    }

    /// Returns when [`Helper::follow_message`] has something to do without an event.
    pub(super) fn end_of_patience(&self) -> Option<Instant> {
        let said = self.said_ready.filter(|_| !self.ready)?;
        (!self.is_silence_told).then(|| said + PATIENCE)
    }

    /// Reports where the program listens instead of the declared address. The start continues, since programs
    /// may listen on several addresses one after the other.
    pub(super) fn follow_detour(&mut self) {
        if self
            .end_of_detour()
            .is_some_and(|end| Instant::now() >= end)
        {
            self.is_silence_told = true;
            refusal::tell(&self.replacer.missing(self.run.instance));
        }
    }

    /// Returns when [`Helper::follow_detour`] has something to do without an event.
    pub(super) fn end_of_detour(&self) -> Option<Instant> {
        let is_open = !self.ready && !self.is_silence_told && self.run.ready == Ready::Listen;
        let since = self.replacer.further().since();
        since
            .filter(|_| is_open && !self.replacer.any_served())
            .map(|since| since + DETOUR)
    }

    /// Reports a refused bind while the program starts, and a port that no second instance can have once the program serves.
    pub(super) fn tell_the_start(&mut self) {
        if self.ready {
            self.tell_further();
        } else {
            self.refusal.follow(self.replacer.refusal());
        }
    }

    fn tell_further(&mut self) {
        if !self.is_further_told
            && let Some(line) = self.replacer.further().advice()
        {
            self.is_further_told = true;
            self.replacer.note(&line);
            refusal::tell(&line);
        }
    }

    /// Sends READY to systemd, once, see `sd_notify(3)`. The helper is not the main process: units have `NotifyAccess=all`.
    pub(super) fn tell_ready(&mut self) {
        if self.ready {
            return;
        }
        self.ready = true;
        // Without the deadline there is nothing more to check, and the status may still say what was missing.
        let is_late = self.deadline.take().is_none();
        if self.is_silence_told || is_late {
            refusal::tell("");
        }
        // A command that waits for READY then reads the status, and systemd handles the messages in order.
        self.tell_further();
        if let Err(e) = sd_notify::notify(&[NotifyState::Ready]) {
            let cure = match e.raw_os_error() {
                Some(libc::EAFNOSUPPORT) => "; add AF_UNIX to `RestrictAddressFamilies=`",
                Some(libc::ENOENT | libc::EACCES) => "; the unit hides /run/systemd/notify",
                _ => "",
            };
            say(3, &format!("READY cannot be sent to systemd: {e}{cure}"));
        }
    }

    /// Returns whether the program does not serve, or has served only for a moment.
    pub(super) fn is_early(&self) -> bool {
        self.served.is_none_or(|served| served.elapsed() < SOON)
    }

    /// Says why the program may have ended. systemd's sockets do not block, so accept(2) returns `EAGAIN` to a program that
    /// expects to sleep there, and most programs end then.
    pub(super) fn explain_end(&mut self) {
        self.replacer.tell_refusal();
        if let Some(line) = self.replacer.further().suspicion().filter(|_| !self.ready) {
            self.replacer.note(&line);
        }
        let soon = |served: Instant| served.elapsed() < SOON;
        if self.replacer.may_not_sleep()
            && !self.background.is_told()
            && self.served.is_some_and(soon)
        {
            say(
                5,
                "the program ended as soon as it listened; if it waits for connections in accept itself, write `service.NonBlocking = \"no\"`",
            );
        }
    }

    /// Says why the program is not ready. systemd's own time-out (`TimeoutStartSec=`) ends the program a
    /// moment later. If READY does not depend on listen(2), reports that the program does not listen.
    pub(super) fn too_late(&mut self) {
        let waited = self.run.listen_timeout.as_secs_f64();
        let missing = self.replacer.missing(self.run.instance);
        if self.ready {
            if !self.replacer.all_served() {
                let line = format!("{waited} s after its start {missing}");
                self.replacer.note(&line);
                refusal::tell(&line);
            }
            return;
        }
        if self.run.ready == Ready::Listen && self.served.is_some() {
            // Otherwise READY follows in a moment.
            if self.background.is_left() {
                say(
                    3,
                    &format!("not ready after {waited} s: the first process has ended"),
                );
            }
            return;
        }
        let why = match (self.run.ready, self.said_ready) {
            (Ready::Message, None) => UNSENT.to_owned(),
            (Ready::Message, Some(_)) => format!("{SENT_ONLY}{missing}"),
            _ => missing,
        };
        let is_elsewhere = !self.replacer.any_served() && self.replacer.further().any_listens();
        if self.said_ready.is_some() && is_elsewhere {
            // According to its own message, the program has completed its start.
            refusal::tell(&format!("{REFUSED}{why}"));
        } else if contract::is_of_a_silent_start(&why) {
            // The program may have begun to listen just now. A first install makes this start the last one.
            refusal::tell(&why);
        }
        say(3, &format!("not ready after {waited} s: {why}"));
        self.replacer.tell_refusal();
    }
}
