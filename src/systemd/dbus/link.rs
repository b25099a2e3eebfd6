//! A connection to a systemd, which is made anew when the bus closes it.
//!
//! Every call blocks its thread; no other task runs between calls, and nothing may call [`zbus::block_on`] inside a call.

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
use super::{MANAGER, PATH, SERVICE, batch};
use crate::layout::Scope;

/// How long an answer of systemd may take. systemd answers at once, except during a daemon-reload, which runs every
/// generator: all other calls wait until it is done.
pub(super) const ANSWER: Duration = Duration::from_secs(90);
/// How long opening a connection may take. At a shutdown the bus may have ended while systemd still holds its socket: then
/// connections are taken, but nothing ever answers.
pub(in super::super) const HELLO: Duration = Duration::from_secs(10);
/// How long a bus or a systemd that went away may take to come back.
const ABSENCE: Duration = Duration::from_secs(15);
/// Where the system's bus listens, see "Well-known Message Bus Instances" in the D-Bus specification.
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";
/// The pause between two attempts to reach a bus or a systemd that went away.
const PAUSE: Duration = Duration::from_millis(100);

/// A call with its arguments.
pub(super) struct Question<A> {
    pub(super) path: String,
    pub(super) interface: &'static str,
    pub(super) method: &'static str,
    pub(super) argument: A,
}

impl<A: serde::Serialize + zbus::wire::DynamicType> Question<A> {
    fn message(&self) -> zbus::Result<Message> {
        Message::method_call(self.path.as_str(), self.method)
            .destination(SERVICE)
            .interface(self.interface)
            .build(&self.argument)
    }
}

/// Begins a connection: to a bus, and in tests to the other end of a socket pair.
pub(super) type Dial = Box<dyn Fn() -> zbus::connection::Builder<'static>>;

/// The way to the bus of a scope. The address of the system bus is fixed: one from the environment could lead to a bus of
/// somebody who is not root.
pub(super) fn bus(scope: Scope) -> Dial {
    match scope {
        Scope::System => Box::new(|| zbus::connection::Builder::address(SYSTEM_BUS)),
        Scope::User => Box::new(zbus::connection::Builder::session),
    }
}

/// A connection that receives `JobRemoved`.
pub(super) struct Link {
    /// The way to a new connection; `None` where there is only this one.
    dial: Option<Dial>,
    /// How long opening a connection may take.
    hello: Duration,
    opened: Opened,
}

/// The unique name of systemd on the bus, such as `:1.3`. Signals are compared with it: the bus delivers a signal that is
/// addressed to this connection whoever sent it, and zbus does not compare the sender when a match rule names a service. So
/// any user could make rsgen believe that a job has ended. The answer to a call can come only from systemd, and tells its
/// unique name.
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
    /// Connects. On a machine that runs systemd, a bus without systemd is one that has just been restarted, so this waits.
    /// `hello` is how long opening a connection may take.
    pub(super) fn connect(dial: Dial, hello: Duration) -> Result<Self, Error> {
        let patience = if Path::new("/run/systemd/system").exists() {
            hello
        } else {
            Duration::ZERO
        };
        let start = Instant::now();
        loop {
            match open(dial(), hello) {
                Err(Absent::Passing(_)) if start.elapsed() < patience => std::thread::sleep(PAUSE),
                Err(Absent::Passing(e) | Absent::Lasting(e)) => return Err(e),
                Ok(opened) => {
                    let dial = Some(dial);
                    return Ok(Self {
                        dial,
                        hello,
                        opened,
                    });
                }
            }
        }
    }

    /// Connects once, within this time.
    pub(super) fn once(
        builder: zbus::connection::Builder<'static>,
        at_most: Duration,
    ) -> Result<Self, Error> {
        match open(builder, at_most) {
            Err(Absent::Passing(e) | Absent::Lasting(e)) => Err(e),
            Ok(opened) => Ok(Self {
                dial: None,
                hello: at_most,
                opened,
            }),
        }
    }

    /// Whether a call that failed may succeed a moment later.
    fn is_passing(&self, error: &zbus::Error) -> bool {
        match self.dial {
            Some(_) => is_passing(error),
            None => is_without_systemd(error),
        }
    }

    /// Calls a method of systemd, and repeats the call for a while when systemd is away. A repeated call does no harm: a job
    /// that is queued twice is one job.
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
            let answer = self.opened.connection.call_method(
                Some(SERVICE),
                path,
                Some(interface),
                method,
                body,
            );
            let heard = |message: Message| {
                if self.opened.systemd.sent(&message) {
                    self.opened.heard.push_back(message);
                }
            };
            match zbus::block_on(hearing(&mut self.opened.removed, heard, answer)) {
                Err(e) if self.is_passing(&e) && Instant::now() < end => self.recover(),
                Err(e) => return Err(explain(&e)),
                Ok(reply) => {
                    // After a daemon-reexec systemd has another unique name.
                    self.opened.systemd = Answerer::of(&reply);
                    return Ok(reply);
                }
            }
        }
    }

    /// Calls methods of systemd, without waiting for one answer before the next call, and returns the answers in the order of
    /// the calls. A call that finds systemd away is repeated as by [`Link::call`].
    pub(super) fn calls<A>(&mut self, questions: &[Question<A>]) -> Result<Vec<Message>, Error>
    where
        A: serde::Serialize + zbus::wire::DynamicType,
    {
        let calls = questions.iter().map(Question::message);
        let calls: Vec<Message> = calls
            .collect::<zbus::Result<_>>()
            .map_err(|e| explain(&e))?;
        let systemd = &self.opened.systemd;
        let heard = |message: Message| {
            if systemd.sent(&message) {
                self.opened.heard.push_back(message);
            }
        };
        let answers = batch::answers(&self.opened.connection, &calls);
        let answers = zbus::block_on(hearing(&mut self.opened.removed, heard, answers));
        let mut replies = Vec::with_capacity(questions.len());
        for (question, answer) in questions.iter().zip(answers) {
            replies.push(match answer {
                Ok(reply) => reply,
                Err(e) if self.is_passing(&e) => self.call(
                    &question.path,
                    question.interface,
                    question.method,
                    &question.argument,
                )?,
                Err(e) => return Err(explain(&e)),
            });
        }
        if let Some(last) = replies.last() {
            self.opened.systemd = Answerer::of(last);
        }
        Ok(replies)
    }

    /// Replaces a broken connection by a new one. If that fails, the next call tries again.
    fn recover(&mut self) {
        let hello = self.hello;
        if let Some(Ok(mut opened)) = self.dial.as_ref().map(|dial| open(dial(), hello)) {
            // What the old connection has heard is still to be told.
            std::mem::swap(&mut opened.heard, &mut self.opened.heard);
            opened.heard.append(&mut self.opened.heard);
            self.opened = opened;
        }
        std::thread::sleep(PAUSE);
    }

    /// The connection as it is now.
    pub(super) fn connection(&self) -> &Connection {
        &self.opened.connection
    }

    /// Whether a signal was sent by the systemd that answers calls.
    pub(super) fn is_of_systemd(&self, message: &Message) -> bool {
        self.opened.systemd.sent(message)
    }

    /// The next `JobRemoved`, or `None` after `at_most`. `None` also when the connection is broken, which the next call
    /// notices.
    pub(super) fn signal(&mut self, at_most: Duration) -> Option<Message> {
        if let Some(message) = self.opened.heard.pop_front() {
            return Some(message);
        }
        let stream = &mut self.opened.removed;
        let next = poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx));
        match zbus::block_on(race(next, at_most)) {
            Some(Some(Ok(message))) => Some(message).filter(|m| self.opened.systemd.sent(m)),
            Some(_) => {
                std::thread::sleep(PAUSE.min(at_most));
                None
            }
            None => None,
        }
    }
}

/// A connection on which systemd has answered.
struct Opened {
    connection: Connection,
    removed: MessageStream,
    /// Signals that came while a call waited for its answer.
    heard: VecDeque<Message>,
    /// The sender of the last answer.
    systemd: Answerer,
}

/// Why there is no connection.
enum Absent {
    /// The bus answers, but systemd is not on it yet.
    Passing(Error),
    /// Any other error.
    Lasting(Error),
}

fn open(builder: zbus::connection::Builder<'static>, at_most: Duration) -> Result<Opened, Absent> {
    let Some(greeted) = zbus::block_on(race(greet(builder), at_most)) else {
        return Err(Absent::Lasting(Error::NoBus {
            reason: "the bus accepts connections but does not answer".into(),
        }));
    };
    let (connection, mut removed) = greeted.map_err(|e| absent(&e))?;
    let mut heard = VecDeque::new();
    let subscribed = zbus::block_on(hearing(
        &mut removed,
        |message| heard.push_back(message),
        subscribe(&connection),
    ));
    let systemd = subscribed.map_err(|e| absent(&e))?;
    heard.retain(|message| systemd.sent(message));
    Ok(Opened {
        connection,
        removed,
        heard,
        systemd,
    })
}

fn absent(error: &zbus::Error) -> Absent {
    if is_without_systemd(error) {
        Absent::Passing(no_bus(error))
    } else {
        Absent::Lasting(no_bus(error))
    }
}

/// Connects to the bus, and asks it for the signals `JobRemoved`. systemd has no part in that.
async fn greet(
    builder: zbus::connection::Builder<'static>,
) -> zbus::Result<(Connection, MessageStream)> {
    let connection = builder.method_timeout(ANSWER).build().await?;
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender(SERVICE)
        .interface(MANAGER)
        .member("JobRemoved")
        .build()?;
    let stream = MessageStream::for_match_rule(rule, &connection, None).await?;
    Ok((connection, stream))
}

/// Makes systemd send signals. In this order no signal can be missed: first the stream, then `Subscribe`, and only then the
/// first job.
async fn subscribe(connection: &Connection) -> zbus::Result<Answerer> {
    let answer = connection
        .call_method(Some(SERVICE), PATH, Some(MANAGER), "Subscribe", &())
        .await?;
    Ok(Answerer::of(&answer))
}

/// The output of a future, during which the stream is emptied: when a stream is full, zbus stops reading the connection, and
/// the answer would never come.
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

/// The output of a future, or `None` when it takes longer than `at_most`.
pub(super) async fn race<F: Future>(future: F, at_most: Duration) -> Option<F::Output> {
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
