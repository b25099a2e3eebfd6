//! An instance as a test observes and controls it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testbed::{wait_for, wait_until};

pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A running instance, which ends with the test.
pub(crate) struct Instance {
    pub(crate) child: Child,
    pub(crate) app: String,
    pub(crate) notify: UnixDatagram,
    pub(crate) output: PathBuf,
    pub(crate) folder: TempDir,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) ended: Option<ExitStatus>,
}

impl Instance {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends one request to the listener.
    pub(crate) fn ask(&self) -> std::io::Result<String> {
        ask(self.address.unwrap())
    }

    /// The output of the worker and of the program.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }

    /// The next message to systemd, if one comes soon.
    pub(crate) fn notified(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.notify.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Waits for READY.
    #[track_caller]
    pub(crate) fn ready(mut self) -> Self {
        wait_until(SOON, &format!("READY of {}", self.app), || {
            assert!(
                self.try_wait().is_none(),
                "ended instead: {}",
                self.output()
            );
            self.notified().is_some_and(|m| m.contains("READY=1"))
        });
        self
    }

    /// Waits for READY or for the end of the program, whichever comes first.
    #[track_caller]
    pub(crate) fn ready_or_ended(mut self) -> Self {
        wait_until(SOON, "READY or the end", || {
            self.notified().is_some_and(|m| m.contains("READY=1")) || self.try_wait().is_some()
        });
        self
    }

    /// Waits until the output contains this text.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> &mut Self {
        let output = self.output.clone();
        let read = || String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
        let ended = wait_for(SOON, &format!("{text:?} in\n{}", read()), || {
            if read().contains(text) {
                return Some(false);
            }
            // The program may have written its last line between the two looks.
            (self.try_wait().is_some() && !read().contains(text)).then_some(true)
        });
        assert!(!ended, "ended without {text:?}:\n{}", read());
        self
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        self.ended = self.ended.or_else(|| self.child.try_wait().unwrap());
        self.ended
    }

    /// Waits for the end of the program; returns its status, or 128 and the signal.
    #[track_caller]
    pub(crate) fn status(&mut self) -> i32 {
        let what = format!("the end of {}", self.app);
        let status = wait_for(SOON, &what, || self.try_wait());
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// The PIDs of the running helpers.
    pub(crate) fn helpers(&self) -> Vec<Pid> {
        let wanted = format!("--app={}", self.app);
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|p| p.file_name().to_str()?.parse::<i32>().ok());
        let is_helper = |pid: &i32| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            comm.trim() == "rsgen-worker" && line.split(|b| *b == 0).any(|w| w == wanted.as_bytes())
        };
        pids.filter(is_helper).map(Pid::from_raw).collect()
    }

    /// Kills the program and all its children, as systemd does through the control group.
    pub(crate) fn kill_all(&self) {
        let wanted = format!(
            "NOTIFY_SOCKET={}",
            self.folder.path().join("notify").display()
        );
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|p| p.parse::<i32>().ok()) else {
                continue;
            };
            let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_ours = environ.split(|b| *b == 0).any(|v| v == wanted.as_bytes());
            if comm.trim() != "rsgen-worker" && is_ours {
                // The process may have ended by itself.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }

    /// The processor time that the helper has used, in ticks.
    pub(crate) fn helper_ticks(&self) -> u64 {
        cpu_ticks(self.helpers()[0])
    }

    /// Waits until no helper is left. A zombie has no command line, and does not count.
    #[track_caller]
    pub(crate) fn no_helper(&self) {
        wait_until(SOON, "the helper to end", || self.helpers().is_empty());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.kill_all();
        if std::thread::panicking() {
            eprintln!("--- output of {}:\n{}", self.app, self.output());
        }
    }
}

/// User and system time in hundredths of a second, see `proc_pid_stat(5)`.
pub(crate) fn cpu_ticks(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Sends one request to this address; returns the body of the answer.
pub(crate) fn ask(address: impl Into<SocketAddr>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.into(), SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    exchange(&mut stream)
}

/// Sends one request on a stream; returns the body of the answer.
pub(crate) fn exchange(stream: &mut (impl Read + Write)) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok(body.to_owned())
}
