//! The other end of a peer-to-peer connection, which answers as systemd does on a bus, with systemd's name as the sender.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_core::Stream;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Guid, Message, MessageStream, ObjectPath, Variant};

use super::super::{Bus, HELLO, JOB, MANAGER, PATH, UNIT};
use crate::systemd::Error;

/// The unique names of systemd and of another client of the bus.
pub(super) const SYSTEMD: &str = ":1.3";
pub(super) const STRANGER: &str = ":1.66";

/// What happens to a call in place of a successful answer.
#[derive(Clone)]
pub(super) enum Instead {
    /// The bus or systemd answers with an error of this name.
    Error(&'static str),
    /// The connection ends.
    End,
}

/// A `JobRemoved`, see org.freedesktop.systemd1(5).
#[derive(Clone)]
pub(super) struct Removed {
    pub(super) sender: &'static str,
    pub(super) job: &'static str,
    pub(super) result: &'static str,
}

/// A systemd that knows one unit, `web@0.service`, and answers as the test says.
pub(super) struct Systemd {
    /// The properties of the unit's interface `Unit`, and of `Service`.
    pub(super) unit: HashMap<&'static str, Variant<'static>>,
    pub(super) service: HashMap<&'static str, Variant<'static>>,
    /// The jobs that have not ended.
    pub(super) jobs: Vec<&'static str>,
    /// The manager's property `Version`.
    pub(super) version: &'static str,
    /// The results of the next calls of each method, in place of answers.
    pub(super) instead: HashMap<&'static str, VecDeque<Instead>>,
    /// The signals that are sent before the answer to a method.
    pub(super) signals: HashMap<&'static str, Vec<Removed>>,
    /// The loaded units in a list of all.
    pub(super) listed: Vec<&'static str>,
    /// Every call that changes something, and each list of units that it names: `StartUnit web@0.service replace`.
    pub(super) log: Vec<String>,
    /// The number of connections so far.
    pub(super) connections: u32,
}

/// The path of every job that this systemd queues.
pub(super) const THE_JOB: &str = "/org/freedesktop/systemd1/job/7";

impl Default for Systemd {
    fn default() -> Self {
        Self {
            unit: HashMap::from([
                ("LoadState", "loaded".into()),
                ("ActiveState", "active".into()),
            ]),
            service: HashMap::new(),
            jobs: Vec::new(),
            version: "252.39-1~deb12u2",
            instead: HashMap::new(),
            signals: HashMap::new(),
            listed: Vec::new(),
            log: Vec::new(),
            connections: 0,
        }
    }
}

/// A [`Systemd`] that the test shares with the threads that answer calls.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Systemd>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Systemd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client whose connections all lead here.
    pub(super) fn connect(&self) -> Result<Bus, Error> {
        let shared = self.clone();
        Bus::dial(
            Box::new(move || {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let shared = shared.clone();
                shared.lock().connections += 1;
                thread::spawn(move || zbus::block_on(serve(theirs, &shared)));
                Builder::unix_stream(ours).p2p()
            }),
            HELLO,
        )
    }
}

async fn serve(stream: UnixStream, shared: &Shared) {
    let server = Builder::unix_stream(stream).server(Guid::generate()).p2p();
    let mut calls = server.build_message_stream().await.unwrap();
    let connection: zbus::Connection = (&calls).into();
    while let Some(call) = next(&mut calls).await {
        if call.message_type() != Type::MethodCall {
            continue;
        }
        let answers = shared.lock().answer(&call);
        let Some(answers) = answers else {
            drop(connection.close().await);
            return;
        };
        for message in answers {
            if connection.send(&message).await.is_err() {
                return;
            }
        }
    }
}

async fn next(calls: &mut MessageStream) -> Option<Message> {
    poll_fn(|cx| Pin::new(&mut *calls).poll_next(cx))
        .await?
        .ok()
}

impl Systemd {
    /// The messages that answer a call: signals, then the answer; `None` to end the connection.
    fn answer(&mut self, call: &Message) -> Option<Vec<Message>> {
        let header = call.header();
        let method = header.member().unwrap().to_string();
        let instead = self.instead.get_mut(method.as_str());
        match instead.and_then(VecDeque::pop_front) {
            Some(Instead::End) => return None,
            Some(Instead::Error(name)) => return Some(vec![refuse(call, name)]),
            None => {}
        }
        let signals = self.signals.remove(method.as_str()).unwrap_or_default();
        let mut messages: Vec<Message> = signals.iter().map(signal).collect();
        messages.push(self.reply(call, &method));
        Some(messages)
    }

    fn reply(&mut self, call: &Message, method: &str) -> Message {
        let reply = Message::method_return(&call.header()).sender(SYSTEMD);
        match method {
            "GetAll" => return self.properties(call),
            "Get" => {
                let (interface, key): (String, String) = call.body().deserialize().unwrap();
                let of_unit = interface == UNIT;
                let properties = if of_unit { &self.unit } else { &self.service };
                return reply.build(&properties[key.as_str()]).unwrap();
            }
            "ListUnitsByNames" => {
                let names: Vec<String> = call.body().deserialize().unwrap();
                self.log.push(format!("{method} {}", names.len()));
                let rows = names.iter().map(|name| self.row(name));
                return reply.build(&rows.collect::<Vec<_>>()).unwrap();
            }
            "ListUnitsByPatterns" => {
                let rows = self.listed.iter().map(|name| self.row(name));
                return reply.build(&rows.collect::<Vec<_>>()).unwrap();
            }
            "LoadUnit" => {
                return reply
                    .build(&ObjectPath::try_from("/unit").unwrap())
                    .unwrap();
            }
            "StartUnit" | "StopUnit" | "RestartUnit" | "ReloadUnit" => {
                let (unit, mode): (String, String) = call.body().deserialize().unwrap();
                self.log.push(format!("{method} {unit} {mode}"));
                return reply
                    .build(&ObjectPath::try_from(THE_JOB).unwrap())
                    .unwrap();
            }
            "KillUnit" => {
                let (unit, whom, signal): (String, String, i32) =
                    call.body().deserialize().unwrap();
                self.log.push(format!("{method} {unit} {whom} {signal}"));
            }
            "RefUnit" | "UnrefUnit" => {
                let unit: String = call.body().deserialize().unwrap();
                self.log.push(format!("{method} {unit}"));
            }
            _ => self.log.push(method.to_owned()),
        }
        reply.build(&()).unwrap()
    }

    /// A row of a list: of these names, `gone.service` and what is not a service are not there.
    fn row(&self, name: &str) -> super::super::Row {
        let is_there = name.ends_with(".service") && name != "gone.service";
        let state = |key: &str| String::try_from(self.unit[key].try_clone().unwrap()).unwrap();
        let (load, active) = if is_there {
            (state("LoadState"), state("ActiveState"))
        } else {
            ("not-found".into(), "inactive".into())
        };
        let path = |path: &'static str| ObjectPath::try_from(path).unwrap().into();
        let none = String::new;
        let (unit, job) = (path("/unit"), path("/"));
        let state = (load, active, "running".into());
        (
            name.into(),
            none(),
            state.0,
            state.1,
            state.2,
            none(),
            unit,
            0,
            none(),
            job,
        )
    }

    fn properties(&self, call: &Message) -> Message {
        let header = call.header();
        let path = header.path().unwrap().to_string();
        let interface: String = call.body().deserialize().unwrap();
        let manager = HashMap::from([("Version", Variant::from(self.version))]);
        let job = HashMap::from([("JobType", Variant::from("start"))]);
        let properties = match interface.as_str() {
            MANAGER if path == PATH => &manager,
            JOB if self.jobs.contains(&path.as_str()) => &job,
            JOB => return refuse(call, "org.freedesktop.DBus.Error.UnknownObject"),
            UNIT => &self.unit,
            _ => &self.service,
        };
        let reply = Message::method_return(&header).sender(SYSTEMD);
        reply.build(properties).unwrap()
    }
}

fn refuse(call: &Message, name: &str) -> Message {
    let error = Message::error(&call.header(), name).sender(SYSTEMD);
    error.build(&"as the test says").unwrap()
}

fn signal(removed: &Removed) -> Message {
    let signal = Message::signal(PATH, MANAGER, "JobRemoved").sender(removed.sender);
    let path = ObjectPath::try_from(removed.job).unwrap();
    let body = (7_u32, path, "web@0.service", removed.result);
    signal.build(&body).unwrap()
}
