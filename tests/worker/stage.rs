//! A stage for one instance: what systemd gives a worker, and what the test sees of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testbed::{wait_for, wait_until};

pub(crate) const SOON: Duration = Duration::from_secs(20);
const WORKER: &str = env!("CARGO_BIN_EXE_rsgen-worker");
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Closes what the test itself inherited: systemd's programs start with a clean table.
const CLOSE: &str = "\
for fd in /proc/$$/fd/*; do
    fd=${fd##*/}
    [ $fd -le 5 ] || eval \"exec $fd>&-\"
done
";

/// What goes before every Python program of a test: names, and a server of one word.
const PRELUDE: &str = "\
import os, socket, sys, errno, time, threading, select, signal, struct
PORT = int(os.environ.get('PORT', 0))
def tcp(family=socket.AF_INET):
    return socket.socket(family, socket.SOCK_STREAM)
def says(word, act):
    try:
        act()
        print(word, 'ok', flush=True)
    except OSError as e:
        print(word, errno.errorcode[e.errno], flush=True)
def serve(s, word='hello'):
    while True:
        select.select([s], [], [])
        try:
            c, _ = s.accept()
        except BlockingIOError:
            continue
        c.setblocking(True)
        c.recv(1000)
        c.sendall(('HTTP/1.0 200 OK\\r\\n\\r\\n' + word).encode())
        c.close()
";

/// What an instance is started with.
pub(crate) struct Stage {
    app: String,
    sockets: Vec<OwnedFd>,
    arguments: Vec<String>,
    before: String,
    environment: Vec<(OsString, OsString)>,
    folder: TempDir,
    address: Option<SocketAddr>,
}

impl Stage {
    /// Without a socket.
    pub(crate) fn bare() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            app: format!("stage-{}-{number}", std::process::id()),
            sockets: Vec::new(),
            arguments: vec!["--listen-timeout=30s".to_owned()],
            before: String::new(),
            environment: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            address: None,
        }
    }

    /// With a listener on a free port of this address, which the program finds in `PORT`.
    pub(crate) fn on(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        Self::over(&listener)
    }

    /// With a listener that others may have, too.
    pub(crate) fn over(listener: &TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let mut stage = Self::bare()
            .socket(listener)
            .env("PORT", address.port().to_string());
        stage.address = Some(address);
        stage
    }

    /// The port of the listener.
    pub(crate) fn port(&self) -> u16 {
        self.address.unwrap().port()
    }

    /// One more socket, at most three; non-blocking, as the units have it.
    pub(crate) fn socket(mut self, socket: &impl std::os::fd::AsFd) -> Self {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        fcntl(socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        self.sockets
            .push(socket.as_fd().try_clone_to_owned().unwrap());
        self
    }

    /// As with `NonBlocking=no`.
    pub(crate) fn blocking(self) -> Self {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        for socket in &self.sockets {
            fcntl(socket, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        }
        self
    }

    /// One more argument of the worker.
    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((key.into(), value.into()));
        self
    }

    /// Shell commands that run in the process before the worker does.
    pub(crate) fn before(mut self, script: &str) -> Self {
        self.before.push_str(script);
        self.before.push('\n');
        self
    }

    /// A folder that lives as long as the instance.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn python(self, program: &str) -> Instance {
        let text = format!("{PRELUDE}{program}");
        self.start(&["/usr/bin/python3", "-c", &text])
    }

    pub(crate) fn node(self, program: &str) -> Instance {
        self.start(&["node", "-e", program])
    }

    /// Compiles one of `tests/apps` and starts it.
    pub(crate) fn c(self, source: &str, arguments: &[&str]) -> Instance {
        let program = compiled(source, &[]);
        let words: Vec<&str> = std::iter::once(program.to_str().unwrap())
            .chain(arguments.iter().copied())
            .collect();
        self.start(&words)
    }

    pub(crate) fn start<W: AsRef<OsStr>>(self, program: &[W]) -> Instance {
        let notify_path = self.folder.path().join("notify");
        let notify = UnixDatagram::bind(&notify_path).unwrap();
        notify
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let output = self.folder.path().join("output");
        fs::write(&output, "").unwrap();
        // The shell has the sockets as its standard streams, moves them up as systemd numbers them,
        // and becomes the worker, so that LISTEN_PID is right.
        let moves: String = (0..self.sockets.len())
            .map(|i| format!("exec {}<&{i}\n", i + 3))
            .chain((self.sockets.len()..3).map(|i| format!("exec {}<&-\n", i + 3)))
            .collect();
        let listen = match self.sockets.len() {
            0 => String::new(),
            n => format!("export LISTEN_PID=$$ LISTEN_FDS={n} LISTEN_FDNAMES=a\n"),
        };
        let script = format!(
            "{moves}{CLOSE}{listen}exec </dev/null >>\"$OUTPUT\" 2>&1\nunset OUTPUT\n{}exec \"$@\"",
            self.before
        );
        let state = format!("--state={}", self.folder.path().display());
        let mut command = Command::new("bash");
        command
            .args(["-c", &script, "bash", WORKER, "run", "--instance=0", &state])
            .arg(format!("--app={}", self.app))
            .args(&self.arguments)
            .arg("--")
            .args(program)
            .envs(self.environment)
            .env("NOTIFY_SOCKET", &notify_path)
            .env("OUTPUT", &output)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        let mut sockets = self.sockets.into_iter();
        if let Some(socket) = sockets.next() {
            command.stdin(socket);
        }
        if let Some(socket) = sockets.next() {
            command.stdout(socket);
        }
        if let Some(socket) = sockets.next() {
            command.stderr(socket);
        }
        Instance {
            child: command.spawn().unwrap(),
            app: self.app,
            notify,
            output,
            folder: self.folder,
            address: self.address,
            ended: None,
        }
    }
}

/// Compiles one of `tests/apps` with these flags, anew for each test: they run at the same time.
pub(crate) fn compiled(source: &str, flags: &[&str]) -> PathBuf {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{source}.{number}"));
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/apps")
        .join(source);
    let compiled = Command::new("cc")
        .args(["-O1", "-Wall", "-Werror", "-pthread", "-o"])
        .args([&program, &from])
        .args(flags)
        .status();
    assert!(compiled.unwrap().success(), "{source} does not compile");
    program
}

/// A running instance; it ends with the test.
pub(crate) struct Instance {
    child: Child,
    app: String,
    notify: UnixDatagram,
    output: PathBuf,
    folder: TempDir,
    address: Option<SocketAddr>,
    ended: Option<ExitStatus>,
}

impl Instance {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks once at its listener.
    pub(crate) fn ask(&self) -> std::io::Result<String> {
        ask(self.address.unwrap())
    }

    /// What the worker and the program wrote.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned()
    }

    /// The next message for systemd that is there, or comes in a moment.
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

    /// Waits for READY or the end, whichever comes first.
    #[track_caller]
    pub(crate) fn ready_or_ended(mut self) -> Self {
        wait_until(SOON, "READY or the end", || {
            self.notified().is_some_and(|m| m.contains("READY=1")) || self.try_wait().is_some()
        });
        self
    }

    /// Waits until the output has this text.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> &mut Self {
        let output = self.output.clone();
        let read = || String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
        let ended = wait_for(SOON, &format!("{text:?} in\n{}", read()), || {
            if read().contains(text) {
                return Some(false);
            }
            // Its last words may have come between the two looks.
            (self.try_wait().is_some() && !read().contains(text)).then_some(true)
        });
        assert!(!ended, "ended without {text:?}:\n{}", read());
        self
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        self.ended = self.ended.or_else(|| self.child.try_wait().unwrap());
        self.ended
    }

    /// Waits for the end of the program; its status, or 128 and the signal.
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

    /// The helpers that live, by PID.
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

    /// What the helper has used of a CPU.
    pub(crate) fn helper_ticks(&self) -> u64 {
        cpu_ticks(self.helpers()[0])
    }

    /// Waits until no helper is left: one that has ended has no command line any more.
    #[track_caller]
    pub(crate) fn no_helper(&self) {
        wait_until(SOON, "the helper to end", || self.helpers().is_empty());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- output of {}:\n{}", self.app, self.output());
        }
    }
}

/// User and system time in hundredths of a second, see `proc_pid_stat(5)`.
fn cpu_ticks(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Asks once at a port of this address; the answer's body.
pub(crate) fn ask(address: impl Into<SocketAddr>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.into(), SOON)?;
    stream.set_read_timeout(Some(SOON))?;
    exchange(&mut stream)
}

/// Asks once on a stream.
pub(crate) fn exchange(stream: &mut (impl Read + Write)) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok(body.to_owned())
}
