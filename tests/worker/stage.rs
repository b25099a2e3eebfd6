//! The environment of one instance: everything that systemd would give the worker, and what the test observes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::instance::Instance;

const WORKER: &str = env!("CARGO_BIN_EXE_rsgen-worker");
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The arguments of the worker, unless a test changes them.
const ARGUMENTS: [&str; 6] = [
    "--handover=bind",
    "--ready=listen",
    "--listen-timeout=30s",
    "--min-uptime=1s",
    "--max-restarts=16",
    "--preload=false",
];

/// Closes the descriptors that the test itself has inherited, which a program started by systemd would not have.
const CLOSE: &str = "\
for fd in /proc/$$/fd/*; do
    fd=${fd##*/}
    [ $fd -le 5 ] || eval \"exec $fd>&-\"
done
";

/// The beginning of every Python program of a test: imports, and a server that answers with one word.
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

/// Everything that an instance is started with.
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
    /// A stage without a socket.
    pub(crate) fn bare() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            app: format!("stage-{}-{number}", std::process::id()),
            sockets: Vec::new(),
            arguments: ARGUMENTS.map(String::from).to_vec(),
            before: String::new(),
            environment: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            address: None,
        }
    }

    /// A stage with a listener on a free port of this address. The port is in the variable `PORT`.
    pub(crate) fn on(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        Self::over(&listener)
    }

    /// A stage with a copy of this listener.
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

    /// Adds a socket, at most three in all. It is made non-blocking, as by the units.
    pub(crate) fn socket(mut self, socket: &impl std::os::fd::AsFd) -> Self {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        fcntl(socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        self.sockets
            .push(socket.as_fd().try_clone_to_owned().unwrap());
        self
    }

    /// Makes the sockets blocking, as with `NonBlocking=no`.
    pub(crate) fn blocking(self) -> Self {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        for socket in &self.sockets {
            fcntl(socket, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        }
        self
    }

    /// Adds an argument of the worker, or changes the value of one.
    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        let argument = argument.into();
        let name = |text: &str| text.split('=').next().map(str::to_owned);
        self.arguments.retain(|old| name(old) != name(&argument));
        self.arguments.push(argument);
        self
    }

    pub(crate) fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((key.into(), value.into()));
        self
    }

    /// Adds shell commands that run in the process before the worker.
    pub(crate) fn before(mut self, script: &str) -> Self {
        self.before.push_str(script);
        self.before.push('\n');
        self
    }

    /// A folder that lives as long as the instance.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of the app's state folder, which does not exist yet.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("rsgen").join(&self.app)
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
        // The shell gets the sockets as its standard streams, moves them to the numbers that systemd would use, and executes
        // the worker, so that LISTEN_PID is its own PID.
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
        let state = format!("--state={}", self.state().display());
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

/// Compiles one of `tests/apps` with these flags, under a name of its own, because tests run at the same time.
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
