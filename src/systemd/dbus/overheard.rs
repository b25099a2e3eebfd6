//! The status of a service while it runs. systemd forgets a unit that has ended, and its last words with it, but tells of a change
//! before that: the signal `PropertiesChanged` comes before the `JobRemoved` of the unit's job.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath};

use super::error::explain;
use super::properties::{Properties, text};
use super::{Bus, Error, MANAGER, PATH, PROPERTIES, SERVICE, SERVICE_UNIT};

/// How many signals of one unit are kept until they are read: those of several runs.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The signals of one service.
pub(super) struct Overheard {
    signals: MessageStream,
    /// The last status that is not empty.
    said: Option<String>,
}

impl Overheard {
    fn begin(connection: &Connection, path: OwnedObjectPath) -> zbus::Result<Self> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(SERVICE)
            .interface(PROPERTIES)
            .member("PropertiesChanged")
            .path(path)
            .build()?;
        let signals = MessageStream::for_match_rule(rule, connection, Some(KEPT));
        let signals = zbus::block_on(signals)?;
        Ok(Self {
            signals,
            said: None,
        })
    }

    /// Reads what has come so far. zbus stops reading when a stream is full, so this has to be called now and then.
    pub(super) fn look(&mut self, is_of_systemd: impl Fn(&Message) -> bool) {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(message))) =
            Pin::new(&mut self.signals).poll_next(&mut context)
        {
            let changed: Result<(String, Properties, Vec<String>), _> =
                message.body().deserialize();
            if let Ok((interface, changed, _)) = changed
                && is_of_systemd(&message)
                && interface == SERVICE_UNIT
            {
                // The start of a unit makes its status empty.
                let said = Some(text(&changed, "StatusText")).filter(|said| !said.is_empty());
                self.said = said.or(self.said.take());
            }
        }
    }
}

/// See [`super::Manager::listen_to`].
pub(super) fn listen_to(bus: &mut Bus, unit: &str) -> Result<(), Error> {
    let path: OwnedObjectPath = bus.call(PATH, MANAGER, "LoadUnit", &unit)?;
    let overheard = Overheard::begin(bus.link.connection(), path).map_err(|e| explain(&e))?;
    bus.overheard = Some(overheard);
    Ok(())
}

/// See [`super::Manager::heard`].
pub(super) fn heard(bus: &mut Bus) -> Option<String> {
    let mut overheard = bus.overheard.take()?;
    overheard.look(|message| bus.link.is_of_systemd(message));
    overheard.said
}
