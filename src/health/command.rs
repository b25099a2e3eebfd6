//! `health_command`, the app's own check of an instance. The command runs with the rights of this process, which are those of the program.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{LOOK, MOST, first_lines, orphans};
use crate::contract::{Health, steer, time};
use crate::sys::process;
use crate::worker;

/// The variable of `sd_notify(3)`, which the command must not inherit: it would speak for the unit.
const KEPT_BACK: &str = "NOTIFY_SOCKET";

/// The bound on the wait for the end of the output of a command that has failed.
const BEHIND: Duration = Duration::from_millis(500);

/// Runs the command once, and ends the processes that it leaves behind, even in a session or a process group
/// of their own. Only for a process without other children.
pub(super) fn run_alone(health: &Health, left: Duration) -> Result<(), String> {
    // If a filter of the unit forbids this, only processes in the group of the command are ended.
    let _ = orphans::adopt();
    let judged = run(health, left);
    orphans::end();
    judged
}

/// Runs the command once, within the remaining time.
pub(super) fn run(health: &Health, left: Duration) -> Result<(), String> {
    let words = words(health);
    let name = words.first().cloned().unwrap_or_default();
    let variables = worker::variables(&health.env_files, &health.counted);
    let variables = variables.map_err(|e| format!("`{name}` was not executed: {e}"))?;
    let (mut child, output, reader) =
        start(&words, variables).map_err(|e| format!("`{name}` cannot be executed: {e}"))?;
    let ended = outwait(&mut child, left);
    // The group includes the processes that the command has started; it is gone when all of them have ended.
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let said = || {
        // The reading thread may be late; a process that the command has left behind may block it for ever.
        let end = Instant::now() + BEHIND;
        while !reader.is_finished() && Instant::now() < end {
            thread::sleep(LOOK);
        }
        let output = output.lock().unwrap_or_else(PoisonError::into_inner);
        first_lines(&output)
    };
    match ended {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("`{name}` ended with {status}{}", said())),
        Ok(None) => {
            let _ = child.wait();
            let time = time::show(health.timeout);
            Err(format!("`{name}` did not end within {time}{}", said()))
        }
        Err(e) => Err(format!("`{name}` cannot be waited for: {e}")),
    }
}

fn words(health: &Health) -> Vec<String> {
    let address = health.addresses.first().map(ToString::to_string);
    let address = address.unwrap_or_default();
    let source = steer::source(health.instance).to_string();
    let number = health.instance.to_string();
    let filled = |word: &std::ffi::OsString| {
        let word = word.to_string_lossy();
        word.replace("{address}", &address)
            .replace("{source}", &source)
            .replace("{instance}", &number)
    };
    health.command.iter().map(filled).collect()
}

type Output = Arc<Mutex<Vec<u8>>>;

fn start(
    words: &[String],
    variables: Vec<(OsString, OsString)>,
) -> io::Result<(Child, Output, JoinHandle<()>)> {
    let (reader, writer) = io::pipe()?;
    let program = words.first().map(String::as_str).unwrap_or_default();
    let mut command = Command::new(program);
    let child = process::unblock_signals(&mut command)
        .args(words.iter().skip(1))
        .env_clear()
        .envs(passed_on(variables))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    let output = Output::default();
    let kept = Arc::clone(&output);
    let reader = thread::spawn(move || keep(reader, &kept));
    Ok((child, output, reader))
}

fn passed_on(variables: Vec<(OsString, OsString)>) -> impl Iterator<Item = (OsString, OsString)> {
    variables.into_iter().filter(|(name, _)| name != KEPT_BACK)
}

/// Reads to the end, so that the command never blocks, and keeps the beginning.
fn keep(mut reader: PipeReader, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = reader.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST.saturating_sub(kept.len()).min(length);
        kept.extend(buffer.iter().take(room));
    }
}

fn outwait(child: &mut Child, left: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + left;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_cannot_speak_for_the_unit() {
        let given = ["PATH", "NOTIFY_SOCKET", "MAINPID"];
        let given = given.map(|name| (name.into(), "x".into())).to_vec();
        let names: Vec<_> = passed_on(given).map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "MAINPID"]);
    }
}
