//! One connection to one systemd, made anew when the bus goes away under it.
//!
//! Every call blocks its thread; nothing runs in between, and nothing else may call
//! [`zbus::block_on`] from within.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_core::Stream;
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::super::Error;
use super::error::{explain, is_passing, is_without_systemd, no_bus};
use super::{MANAGER, PATH, SERVICE};
use crate::layout::Scope;

/// systemd answers at once, but for a daemon-reload, which runs every generator; all others wait
/// for it to end.
const ANSWER: Duration = Duration::from_secs(90);
/// A bus that nobody serves any more still takes connections, systemd holds its socket: at a
/// shutdown nothing would ever answer.
const HELLO: Duration = Duration::from_secs(10);
/// How long a bus or a systemd that went away may take to come back.
const ABSENCE: Duration = Duration::from_secs(15);
/// Where the system's bus listens, see "Well-known Message Bus Instances" in the D-Bus specification.
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";
/// Between two attempts to reach a bus or a systemd that went away.
const PAUSE: Duration = Duration::from_millis(100);

/// How a connection is made: to a bus, and in tests to the other end of a socket pair.
pub(super) type Dial = Box<dyn Fn() -> zbus::connection::Builder<'static>>;

/// Dials the bus of a scope. That of the system has its fixed address: one in the environment would be somebody's who
/// is not root.
pub(super) fn bus(scope: Scope) -> Dial {
    match scope {
        Scope::System => Box::new(|| zbus::connection::Builder::address(SYSTEM_BUS)),
        Scope::User => Box::new(zbus::connection::Builder::session),
    }
}

/// A connection that listens to the ends of jobs.
pub(super) struct Link {
    dial: Dial,
    connection: Connection,
    removed: MessageStream,
    /// Came while an answer was awaited.
    heard: VecDeque<Message>,
    /// Who gave the last answer.
    systemd: Answerer,
}

/// systemd's own name on the bus, such as `:1.3`. The bus sends a signal that is addressed to us whoever it is from, and
/// zbus compares no sender that is asked for by the name of a service: any user could end a job for us. An answer comes
/// from nobody but who was asked.
struct Answerer(Option<String>);

impl Answerer {
    fn of(answer: &Message) -> Self {
        Self(answer.header().sender().map(ToString::to_string))
    }

    fn sent(&self, message: &Message) -> bool {
        self.0.is_some() && Self::of(message).0 == self.0
    }
}

impl Link {
    /// Where systemd runs, a bus without it is one that has just been restarted.
    pub(super) fn connect(dial: Dial) -> Result<Self, Error> {
        let patience = if Path::new("/run/systemd/system").exists() {
            HELLO
        } else {
            Duration::ZERO
        };
        let start = Instant::now();
        loop {
            match open(&dial) {
                Err(Absent::Passing(_)) if start.elapsed() < patience => std::thread::sleep(PAUSE),
                Err(Absent::Passing(e) | Absent::Lasting(e)) => return Err(e),
                Ok((connection, removed, systemd)) => {
                    return Ok(Self {
                        dial,
                        connection,
                        removed,
                        heard: VecDeque::new(),
                        systemd,
                    });
                }
            }
        }
    }

    /// Calls a method of systemd, again for a while when it is away. A job queued twice is one job.
    pub(super) fn call<B>(
        &mut self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<Message, Error>
    where
        B: serde::Serialize + zbus::wire::DynamicType,
    {
        let end = Instant::now() + ABSENCE;
        loop {
            let answer =
                self.connection
                    .call_method(Some(SERVICE), path, Some(interface), method, body);
            let heard = |message: Message| {
                if self.systemd.sent(&message) {
                    self.heard.push_back(message);
                }
            };
            match zbus::block_on(hearing(&mut self.removed, heard, answer)) {
                Err(e) if is_passing(&e) && Instant::now() < end => self.recover(),
                Err(e) => return Err(explain(&e)),
                Ok(reply) => {
                    // After a daemon-reexec it has another name.
                    self.systemd = Answerer::of(&reply);
                    return Ok(reply);
                }
            }
        }
    }

    /// A new connection in the place of one that broke; if there is none yet, the next call tries.
    fn recover(&mut self) {
        if let Ok((connection, removed, systemd)) = open(&self.dial) {
            self.connection = connection;
            self.removed = removed;
            self.systemd = systemd;
        }
        std::thread::sleep(PAUSE);
    }

    /// The next `JobRemoved`, or `None` after so long. A broken connection says nothing either: the
    /// next call mends it.
    pub(super) fn signal(&mut self, at_most: Duration) -> Option<Message> {
        if let Some(message) = self.heard.pop_front() {
            return Some(message);
        }
        let stream = &mut self.removed;
        let next = poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx));
        match zbus::block_on(race(next, at_most)) {
            Some(Some(Ok(message))) => Some(message).filter(|m| self.systemd.sent(m)),
            Some(_) => {
                std::thread::sleep(PAUSE.min(at_most));
                None
            }
            None => None,
        }
    }
}

type Opened = (Connection, MessageStream, Answerer);

/// Why there is no connection.
enum Absent {
    /// The bus is there, systemd not yet.
    Passing(Error),
    /// Anything else.
    Lasting(Error),
}

fn open(dial: &Dial) -> Result<Opened, Absent> {
    match zbus::block_on(race(subscribe(dial()), HELLO)) {
        Some(Ok(opened)) => Ok(opened),
        Some(Err(e)) if is_without_systemd(&e) => Err(Absent::Passing(no_bus(&e))),
        Some(Err(e)) => Err(Absent::Lasting(no_bus(&e))),
        None => Err(Absent::Lasting(Error::NoBus {
            reason: "the bus takes connections and does not answer".into(),
        })),
    }
}

/// The stream is there before systemd is told to send signals, and that before the first job: none
/// can be missed.
async fn subscribe(builder: zbus::connection::Builder<'static>) -> zbus::Result<Opened> {
    let connection = builder.method_timeout(ANSWER).build().await?;
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender(SERVICE)
        .interface(MANAGER)
        .member("JobRemoved")
        .build()?;
    let stream = MessageStream::for_match_rule(rule, &connection, None).await?;
    let answer = connection
        .call_method(Some(SERVICE), PATH, Some(MANAGER), "Subscribe", &())
        .await?;
    Ok((connection, stream, Answerer::of(&answer)))
}

/// What a future comes to, with the stream emptied meanwhile: zbus reads nothing more, answers included,
/// when a stream is full.
async fn hearing<F: Future>(
    stream: &mut MessageStream,
    mut heard: impl FnMut(Message),
    future: F,
) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(message))) = Pin::new(&mut *stream).poll_next(cx) {
            heard(message);
        }
        future.as_mut().poll(cx)
    })
    .await
}

/// What a future comes to, or `None` when it takes longer.
async fn race<F: Future>(future: F, at_most: Duration) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer = pin!(sleep(at_most));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}

async fn sleep(time: Duration) {
    if let Ok(runtime) = zruntime::SharedRuntime::current() {
        runtime.sleep(time).await;
    }
}
