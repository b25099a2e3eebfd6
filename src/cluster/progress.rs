//! The lock of a walk, and the files in which it tells its progress.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::Cluster;
use crate::visible;
use crate::walk::{Event, Failed, Plan};

/// Held during a walk; it dies with its holder.
pub(super) struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock, or `None` when another walk of this app has it.
    pub(super) fn take(cluster: &Cluster) -> io::Result<Option<Self>> {
        fs::create_dir_all(&cluster.state)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o644)
            .open(cluster.state.join("lock"))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Some(Self { _file: file })),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, e)) => Err(e.into()),
        }
    }
}

/// One JSON object a line: the event's own fields, `text` for people, and what a failure means.
pub(super) struct Progress {
    file: File,
}

impl Progress {
    /// A new file in the place of the last walk's, so that a reader sees which is which.
    pub(super) fn begin(cluster: &Cluster) -> io::Result<Self> {
        let temporary = cluster.state.join("walk.jsonl-new");
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o644)
            .open(&temporary)?;
        fs::rename(&temporary, cluster.state.join("walk.jsonl"))?;
        Ok(Self { file })
    }

    pub(super) fn tell(&mut self, event: &Event, failure: Option<&Failed>) {
        let Ok(mut value) = serde_json::to_value(event) else {
            return;
        };
        if let Some(object) = value.as_object_mut() {
            object.insert("text".into(), event.to_string().into());
            if let Some(failed) = failure {
                object.insert("untouched".into(), failed.untouched.into());
                object.insert("timed_out".into(), failed.timed_out.into());
            }
        }
        let line = visible::json(&value.to_string()) + "\n";
        // A full /run costs the reader the progress, not the walk.
        let _ = self.file.write_all(line.as_bytes());
    }
}

/// Notes a walk that replaced every instance, by when it began.
pub(super) fn done(cluster: &Cluster, began: Duration, plan: &Plan) {
    // Lost, it costs one walk too many.
    let _ = fs::write(
        cluster.state.join("walk.done"),
        format!("{} {plan:?}", began.as_micros()),
    );
}

/// Whether a walk by the same plan began after `asked`, and succeeded: it did all that was asked for.
pub(super) fn is_done_since(cluster: &Cluster, asked: Duration, plan: &Plan) -> bool {
    let note = fs::read_to_string(cluster.state.join("walk.done")).unwrap_or_default();
    note.split_once(' ').is_some_and(|(began, done)| {
        began
            .parse()
            .is_ok_and(|began: u128| asked.as_micros() < began)
            && done == format!("{plan:?}")
    })
}

/// Keeps the number of the canary beyond a killed walk.
pub(super) fn remember_canary(cluster: &Cluster, number: Option<u32>) {
    let path = cluster.state.join("canary");
    // Lost, it costs one instance too many until the end of the next walk.
    let _ = match number {
        Some(number) => fs::write(path, number.to_string()),
        None => fs::remove_file(path),
    };
}

pub(super) fn canary(cluster: &Cluster) -> Option<u32> {
    fs::read_to_string(cluster.state.join("canary"))
        .ok()?
        .parse()
        .ok()
}
