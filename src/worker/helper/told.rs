//! The moment of READY, and the lines about a start that does not get there.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::super::refusal;
use super::Helper;
use crate::contract::{self, Handover, REFUSED, Ready, SENT_ONLY, UNSENT};
use crate::log::say;

/// How long a program that has sent `ready` and listens on some of its addresses may take for the others. Programs that
/// listen on a port in one instance only are READY after that.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a program that listens elsewhere may take for a declared address before people are told, who may be waiting for READY.
const DETOUR: Duration = Duration::from_secs(2);

/// An end so soon after the program began to serve has to do with its start.
const SOON: Duration = Duration::from_secs(1);

/// How long READY is held back after listen(2). Programs that go to the background do so just after it, nginx for instance, and
/// systemd would call the instance active in between.
const HOLD: Duration = Duration::from_millis(30);

impl Helper<'_> {
    /// Tells systemd READY a moment after the program began to listen, unless its first process has ended.
    pub(super) fn follow_listen(&mut self) {
        if self.end_of_hold().is_some_and(|end| Instant::now() >= end) {
            self.tell_ready();
        }
    }

    /// Returns when [`Helper::follow_listen`] has something to do.
    pub(super) fn end_of_hold(&self) -> Option<Instant> {
        let served = self
            .served
            .filter(|_| !self.ready && self.run.ready == Ready::Listen)?;
        (!self.background.is_left()).then(|| served + HOLD)
    }

    /// Tells systemd READY if the program has sent `ready` and listens. A program that only says `ready` would leave its
    /// clients waiting, as systemd's socket takes their connections in any case.
    pub(super) fn follow_message(&mut self) {
        let Some(said) = self.said_ready.filter(|_| !self.ready) else {
            return;
        };
        // With `fds` nobody sees whether the program listens.
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

    /// Tells where the program listens in place of the declared address. It goes on, since programs may listen at several addresses one
    /// after the other.
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

    /// Tells of a refused bind while the program starts, and of a port that no second instance can have once it serves.
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

    /// Tells systemd READY, once, see `sd_notify(3)`. The helper is not the main process: units have `NotifyAccess=all`.
    pub(super) fn tell_ready(&mut self) {
        if self.ready {
            return;
        }
        self.ready = true;
        // Without the deadline it is over, and the status may say what the program had not done by then.
        let is_late = self.deadline.take().is_none();
        if self.is_silence_told || is_late {
            refusal::tell("");
        }
        // Whoever waits for READY reads the status then, and systemd takes the messages in their order.
        self.tell_further();
        if let Err(e) = sd_notify::notify(&[NotifyState::Ready]) {
            let cure = match e.raw_os_error() {
                Some(libc::EAFNOSUPPORT) => "; add AF_UNIX to `RestrictAddressFamilies=`",
                Some(libc::ENOENT | libc::EACCES) => "; the unit hides /run/systemd/notify",
                _ => "",
            };
            say(
                3,
                &format!("systemd cannot be told that the program is ready: {e}{cure}"),
            );
        }
    }

    /// Returns whether the program does not serve, or has for a moment only.
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

    /// Says why the program is not ready. systemd's own time-out (`TimeoutStartSec=`) ends the program a moment later. Where
    /// READY does not depend on it, says that the program does not listen.
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
            // By its own word the program has done all that it is going to do.
            refusal::tell(&format!("{REFUSED}{why}"));
        } else if contract::is_of_a_silent_start(&why) {
            // The program may have begun to listen just now. A first install makes this start the last one.
            refusal::tell(&why);
        }
        say(3, &format!("not ready after {waited} s: {why}"));
        self.replacer.tell_refusal();
    }
}
