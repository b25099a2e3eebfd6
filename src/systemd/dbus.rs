//! The D-Bus client, on zbus; the one file that knows it.
//!
//! `JobRemoved` is subscribed to before the first job is queued and its signals are kept by path,
//! so that a job that ends before anybody waits for it is not lost. Properties are read anew at
//! each question. Every call blocks its thread; nothing runs in between.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_core::Stream;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant};

use super::unit::{ActiveState, Brief, QueuedJob, Unit};
use super::{Error, Job, JobResult, Manager, Verb};
use crate::layout::Scope;

const SERVICE: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_UNIT: &str = "org.freedesktop.systemd1.Service";

/// A lost signal is noticed by looking at the job itself this often.
const LOOK: Duration = Duration::from_millis(500);
/// systemd answers at once, but for a daemon-reload, which runs every generator.
const ANSWER: Duration = Duration::from_secs(90);

type Properties = HashMap<String, OwnedVariant>;
/// One row of `ListUnitsByPatterns`.
type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

/// A connection to one systemd.
pub(super) struct Bus {
    scope: Scope,
    connection: Connection,
    removed: MessageStream,
    ended: HashMap<String, JobResult>,
}

impl Bus {
    pub(super) fn connect(scope: Scope) -> Result<Self, Error> {
        let (connection, removed) = zbus::block_on(open(scope)).map_err(|e| no_bus(&e))?;
        Ok(Self {
            scope,
            connection,
            removed,
            ended: HashMap::new(),
        })
    }

    fn call<B, R>(
        &mut self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<R, Error>
    where
        B: serde::Serialize + zbus::wire::DynamicType,
        R: serde::de::DeserializeOwned + zbus::Type,
    {
        let reply = self.message(path, interface, method, body)?;
        reply.body().deserialize().map_err(|e| explain(&e))
    }

    /// Calls, and once more over a new connection when the bus went away in between.
    fn message<B>(
        &mut self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<Message, Error>
    where
        B: serde::Serialize + zbus::wire::DynamicType,
    {
        let call = |connection: &Connection| {
            zbus::block_on(connection.call_method(
                Some(SERVICE),
                path,
                Some(interface),
                method,
                body,
            ))
        };
        match call(&self.connection) {
            Err(e) if self.connection.is_closed() || is_broken(&e) => {
                let fresh = Self::connect(self.scope)?;
                self.connection = fresh.connection;
                self.removed = fresh.removed;
                call(&self.connection).map_err(|e| explain(&e))
            }
            reply => reply.map_err(|e| explain(&e)),
        }
    }

    fn properties(&mut self, path: &str, interface: &str) -> Result<Properties, Error> {
        self.call(
            path,
            "org.freedesktop.DBus.Properties",
            "GetAll",
            &interface,
        )
    }

    fn queued(&mut self, properties: &Properties) -> Option<QueuedJob> {
        let (id, path): (u32, OwnedObjectPath) =
            properties.get("Job")?.try_clone().ok()?.try_into().ok()?;
        if id == 0 {
            return None;
        }
        // The job may have ended since: then the unit has none.
        let job = self
            .properties(&path, "org.freedesktop.systemd1.Job")
            .ok()?;
        Some(QueuedJob {
            path: path.to_string(),
            kind: text(&job, "JobType"),
        })
    }

    /// Takes in signals for at most so long, and returns at the first.
    fn listen(&mut self, at_most: Duration) {
        let stream = &mut self.removed;
        let signal = zbus::block_on(async {
            let mut timer = pin!(sleep(at_most));
            poll_fn(|cx| match Pin::new(&mut *stream).poll_next(cx) {
                Poll::Ready(signal) => Poll::Ready(signal),
                Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
            })
            .await
        });
        let Some(Ok(message)) = signal else { return };
        let arguments: Result<(u32, OwnedObjectPath, String, String), _> =
            message.body().deserialize();
        if let Ok((_, path, _, result)) = arguments {
            self.ended
                .insert(path.to_string(), JobResult::from_word(&result));
        }
    }

    /// Whether a job is still there; after a lost signal only this tells.
    fn exists(&mut self, job: &Job) -> bool {
        self.properties(&job.path, "org.freedesktop.systemd1.Job")
            .is_ok()
    }
}

async fn open(scope: Scope) -> zbus::Result<(Connection, MessageStream)> {
    let builder = match scope {
        Scope::System => zbus::connection::Builder::system(),
        Scope::User => zbus::connection::Builder::session(),
    };
    let connection = builder.method_timeout(ANSWER).build().await?;
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender(SERVICE)
        .interface(MANAGER)
        .member("JobRemoved")
        .build()?;
    let stream = MessageStream::for_match_rule(rule, &connection, None).await?;
    connection
        .call_method(Some(SERVICE), PATH, Some(MANAGER), "Subscribe", &())
        .await?;
    Ok((connection, stream))
}

async fn sleep(time: Duration) {
    if let Ok(runtime) = zruntime::SharedRuntime::current() {
        runtime.sleep(time).await;
    }
}

impl Manager for Bus {
    fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        let path: OwnedObjectPath = self.call(PATH, MANAGER, "LoadUnit", &name)?;
        let unit = self.properties(&path, UNIT)?;
        let service = if name.ends_with(".service") {
            self.properties(&path, SERVICE_UNIT)?
        } else {
            Properties::new()
        };
        let job = self.queued(&unit);
        Ok(read_unit(name, &unit, &service, job))
    }

    fn units(&mut self, pattern: &str) -> Result<Vec<Brief>, Error> {
        let none: [&str; 0] = [];
        let rows: Vec<Row> = self.call(
            PATH,
            MANAGER,
            "ListUnitsByPatterns",
            &(&none[..], &[pattern][..]),
        )?;
        let brief = |row: Row| Brief {
            name: row.0,
            active: ActiveState::from_word(&row.3),
            has_job: row.7 != 0,
        };
        Ok(rows.into_iter().map(brief).collect())
    }

    fn queue(&mut self, verb: Verb, unit: &str) -> Result<Job, Error> {
        let method = match verb {
            Verb::Start => "StartUnit",
            Verb::Stop => "StopUnit",
            Verb::Restart => "RestartUnit",
            Verb::Reload => "ReloadUnit",
        };
        let path: OwnedObjectPath = self
            .call(PATH, MANAGER, method, &(unit, "replace"))
            .map_err(|e| match e {
                Error::NoSuchUnit { .. } => Error::NoSuchUnit {
                    unit: unit.to_owned(),
                },
                e => e,
            })?;
        Ok(Job {
            path: path.to_string(),
            unit: unit.to_owned(),
        })
    }

    fn wait(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Error> {
        let start = Instant::now();
        loop {
            if let Some(result) = self.ended.remove(&job.path) {
                return Ok(result);
            }
            let Some(left) = at_most.checked_sub(start.elapsed()) else {
                let what = format!("the job for {}", job.unit);
                return Err(Error::TimedOut {
                    what,
                    after: at_most,
                });
            };
            self.listen(left.min(LOOK));
            let silent = !self.ended.contains_key(&job.path);
            if silent && start.elapsed() >= LOOK && !self.exists(job) {
                // Its signal may be in the socket still; if not, it was lost with a re-executed systemd.
                self.listen(Duration::from_millis(50));
                return match self.ended.remove(&job.path) {
                    Some(result) => Ok(result),
                    None => self.guess(job),
                };
            }
        }
    }

    fn reset_failed(&mut self, unit: &str) -> Result<(), Error> {
        match self.message(PATH, MANAGER, "ResetFailedUnit", &unit) {
            Ok(_) | Err(Error::NoSuchUnit { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn daemon_reload(&mut self) -> Result<(), Error> {
        self.message(PATH, MANAGER, "Reload", &()).map(|_| ())
    }

    fn version(&mut self) -> Result<u32, Error> {
        let properties = self.properties(PATH, MANAGER)?;
        let version = text(&properties, "Version");
        let digits: String = version
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().map_err(|_| Error::Refused {
            reason: format!("its version is `{version}`"),
        })
    }
}

impl Bus {
    /// The verdict without the signal: what the unit itself says.
    fn guess(&mut self, job: &Job) -> Result<JobResult, Error> {
        let unit = self.unit(&job.unit)?;
        let good = unit.is_ready() || unit.active == ActiveState::Inactive;
        Ok(if good {
            JobResult::Done
        } else {
            JobResult::Failed
        })
    }
}

fn read_unit(name: &str, unit: &Properties, service: &Properties, job: Option<QueuedJob>) -> Unit {
    let micros =
        |properties: &Properties, key| Duration::from_micros(number(properties, key).unwrap_or(0));
    // systemd writes "not counted" as the largest number.
    let counted = |key| number(service, key).filter(|n| *n != u64::MAX);
    Unit {
        name: name.to_owned(),
        load: text(unit, "LoadState"),
        active: ActiveState::from_word(&text(unit, "ActiveState")),
        sub: text(unit, "SubState"),
        result: text(service, "Result"),
        main_pid: get(service, "MainPID").unwrap_or(0),
        job,
        exit_code: get(service, "ExecMainCode").unwrap_or(0),
        exit_status: get(service, "ExecMainStatus").unwrap_or(0),
        invocation: invocation(unit),
        n_restarts: get(service, "NRestarts").unwrap_or(0),
        active_enter: micros(unit, "ActiveEnterTimestampMonotonic"),
        inactive_exit: micros(unit, "InactiveExitTimestampMonotonic"),
        main_exit: micros(service, "ExecMainExitTimestampMonotonic"),
        status_text: text(service, "StatusText"),
        need_daemon_reload: get(unit, "NeedDaemonReload").unwrap_or(false),
        memory_current: counted("MemoryCurrent"),
        cpu_usage_nsec: counted("CPUUsageNSec"),
    }
}

fn get<T: TryFrom<OwnedVariant>>(properties: &Properties, key: &str) -> Option<T> {
    T::try_from(properties.get(key)?.try_clone().ok()?).ok()
}

fn text(properties: &Properties, key: &str) -> String {
    get(properties, key).unwrap_or_default()
}

fn number(properties: &Properties, key: &str) -> Option<u64> {
    get(properties, key)
}

fn invocation(properties: &Properties) -> String {
    let bytes: Vec<u8> = get(properties, "InvocationID").unwrap_or_default();
    // A unit that never ran has none.
    <[u8; 16]>::try_from(bytes).map_or_else(
        |_| String::new(),
        |id| format!("{:032x}", u128::from_be_bytes(id)),
    )
}

fn no_bus(error: &zbus::Error) -> Error {
    match explain(error) {
        denied @ Error::AccessDenied { .. } => denied,
        other => Error::NoBus {
            reason: other
                .to_string()
                .trim_start_matches("systemd refused: ")
                .to_owned(),
        },
    }
}

fn is_broken(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::InputOutput(_))
}

fn explain(error: &zbus::Error) -> Error {
    let zbus::Error::MethodError(name, text, _) = error else {
        let reason = error.to_string();
        return if is_broken(error) {
            Error::NoBus { reason }
        } else {
            Error::Refused { reason }
        };
    };
    let reason = text.clone().unwrap_or_else(|| name.to_string());
    match name.as_str() {
        "org.freedesktop.systemd1.NoSuchUnit" | "org.freedesktop.systemd1.LoadFailed" => {
            Error::NoSuchUnit { unit: reason }
        }
        "org.freedesktop.DBus.Error.AccessDenied"
        | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
            Error::AccessDenied { reason }
        }
        "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NameHasNoOwner" => Error::NoBus { reason },
        _ => Error::Refused { reason },
    }
}
