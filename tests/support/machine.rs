//! A machine: PID 1 is a real systemd, the disk is an overlay, and the network is a namespace of its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::balance;
use crate::keeper::{Keeper, is_gone};
use crate::layers;
use crate::load::{Failure, Traffic};
use crate::output::{Output, Running};
use crate::poll::{wait_for, wait_until};
use crate::profile;
use crate::release::{Release, machines_dir};

const BOOT: Duration = Duration::from_mins(1);
/// The longest execution of a script's first line that is waited for.
const BUSY: Duration = Duration::from_mins(1);
/// The time limit of a command in seconds, see timeout(1).
const COMMAND: &str = "150";
/// The environment of commands.
const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("TERM", "dumb"),
    ("SYSTEMD_PAGER", ""),
];
static COUNT: AtomicU32 = AtomicU32::new(0);

/// How a machine is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerLoss {
    /// `systemctl poweroff`.
    Clean,
    /// Power loss: every process is killed.
    Cut,
}

/// A machine, which ends with the process that owns it, however that process ends.
pub struct Machine {
    release: Release,
    keeper: Keeper,
    console: Console,
}

/// The way in which commands reach the machine, shared with commands that run in the background.
#[derive(Clone)]
struct Console {
    init: u32,
    /// The cgroup of commands, for a run that measures.
    cgroup: Option<PathBuf>,
    transcript: Arc<Mutex<Vec<Output>>>,
}

impl Machine {
    /// A machine with a new disk that is switched off. Panics on a host that cannot run machines.
    fn new(release: Release, with_rsgen: bool, programs: Option<&Path>) -> Self {
        check_host().unwrap_or_else(|why| panic!("{why}"));
        let lower = layers::below(release, with_rsgen);
        let room = machines_dir().join("room");
        fs::create_dir_all(&room).expect("an empty folder to mount on");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rsgen-{}-{number}", std::process::id());
        let keeper = Keeper::start(&name, &room, &lower, programs);
        let console = Console {
            init: 0,
            cgroup: profile::is_on().then(|| keeper.commands()),
            transcript: Arc::default(),
        };
        Self {
            release,
            keeper,
            console,
        }
    }

    /// A booted machine without rsgen.
    pub fn boot(release: Release) -> Self {
        let mut machine = Self::new(release, false, None);
        machine.power_on(None);
        machine
    }

    /// A booted machine on which `make install` has installed rsgen.
    pub fn with_rsgen(release: Release) -> Self {
        let mut machine = Self::new(release, true, None);
        machine.power_on(None);
        machine
    }

    /// A booted machine with rsgen, with the content of `programs`, a folder of the host, in its /srv.
    pub fn with_programs(release: Release, programs: &Path) -> Self {
        let mut machine = Self::new(release, true, Some(programs));
        machine.power_on(None);
        machine
    }

    /// The release that the machine runs.
    pub fn release(&self) -> Release {
        self.release
    }

    /// Boots, and waits until everything that belongs to the boot has been started. `cpus` limits the CPUs of the machine, in
    /// the syntax of taskset(1): `0`, `0-1`.
    pub fn power_on(&mut self, cpus: Option<&str>) {
        let order = if balance::is_even() {
            "boot-unfiltered"
        } else {
            "boot"
        };
        self.boot_as(order, cpus);
    }

    /// Switches the machine off, and on again without the seccomp filter of systemd-nspawn, so that it is less like a
    /// container; see `SYSTEMD_SECCOMP` in docs/ENVIRONMENT.md of systemd.
    pub fn power_on_unfiltered(&mut self) {
        self.power_off(PowerLoss::Cut);
        self.boot_as("boot-unfiltered", None);
    }

    fn boot_as(&mut self, order: &str, cpus: Option<&str>) {
        let all = format!(
            "0-{}",
            thread::available_parallelism().map_or(1, usize::from) - 1
        );
        let order = format!("{order} {}", cpus.unwrap_or(&all));
        let start = Instant::now();
        self.keeper.order(&order);
        let booted = wait_for(BOOT, "PID 1 of the machine", || {
            let init = self.keeper.init();
            (init.is_some() || self.keeper.nspawn().is_none()).then_some(init)
        });
        let Some(init) = booted else {
            panic!("systemd-nspawn failed: {}", self.boot_messages());
        };
        self.console.init = init;
        let private = self.path_from_outside("/run/systemd/private");
        wait_until(BOOT, "PID 1 of the machine to answer", || private.exists());
        wait_until(BOOT, "the machine to be up", || {
            let wait = ["systemctl", "is-system-running", "--wait"];
            let state = self.console.run(&wait, None);
            matches!(state.text(), "running" | "degraded")
        });
        self.console.transcript.lock().expect("transcript").clear();
        profile::booted(start, self.keeper.used());
    }

    /// Switches the machine off.
    pub fn power_off(&mut self, how: PowerLoss) {
        if how == PowerLoss::Clean {
            self.run(&["systemctl", "poweroff"]);
            wait_until(BOOT, "the machine to power off", || {
                is_gone(self.console.init)
            });
        }
        profile::add_machine(self.keeper.used());
        self.keeper.order("cut");
    }

    /// Switches the machine off and on again, with the same disk.
    pub fn power_cycle(&mut self, how: PowerLoss) {
        self.power_off(how);
        self.power_on(None);
    }

    /// Runs a command as root and waits for its end. A process that the command leaves behind must not keep its output open:
    /// start such a process with `systemd-run`.
    pub fn run(&self, argv: &[&str]) -> Output {
        self.console.run(argv, None)
    }

    /// Runs a shell script, see [`Machine::run`].
    pub fn sh(&self, script: &str) -> Output {
        self.run(&["sh", "-c", script])
    }

    /// Starts a command, and returns while it runs.
    pub fn spawn(&self, argv: &[&str]) -> Running {
        let console = self.console.clone();
        let argv: Vec<String> = argv.iter().map(|&a| a.to_owned()).collect();
        Running(thread::spawn(move || {
            console.run(&argv.iter().map(String::as_str).collect::<Vec<_>>(), None)
        }))
    }

    /// Writes a file, and creates the folders above it. An ecosystem file gets the balance of this run, see `balance`.
    pub fn write(&self, path: &str, text: &str) {
        let script = "mkdir -p \"$(dirname \"$1\")\" && cat >\"$1\"";
        let text = balance::of_this_run(path, text);
        // While a script is being executed, the kernel does not allow writing to it, see ETXTBSY in open(2).
        let write = || {
            self.console
                .run(&["sh", "-c", script, "write", path], Some(&text))
        };
        wait_for(BUSY, "a file that is not being executed", || {
            Some(write()).filter(|written| !written.stderr.contains("Text file busy"))
        })
        .ok();
    }

    /// Writes one of `tests/apps` below `folder`, executable, and returns its path.
    pub fn write_app(&self, app: &str, folder: &str) -> String {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .with_file_name("apps")
            .join(app);
        let text = fs::read_to_string(&source).unwrap_or_else(|e| panic!("tests/apps/{app}: {e}"));
        let path = format!("{folder}/{app}");
        self.write(&path, &text);
        self.run(&["chmod", "+x", &path]).ok();
        path
    }

    /// Copies a file or folder of the host; `to` must not exist yet.
    pub fn copy_in(&self, from: &Path, to: &str) {
        let to = self.keeper.path("merged").join(to.trim_start_matches('/'));
        let copied = Command::new("cp").arg("-a").args([from, &to]).output();
        let copied = copied.expect("`cp` starts");
        assert!(copied.status.success(), "`cp` failed: {copied:?}");
    }

    /// The text of a file.
    pub fn read(&self, path: &str) -> String {
        self.run(&["cat", path]).ok().stdout
    }

    /// Does `work` in the machine's network namespace, but in a process of the host, which the machine cannot stop or kill.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = self.network();
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                setns(network, CloneFlags::CLONE_NEWNET).expect("the machine's network");
                work()
            });
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Requests `/` once at a port, from outside; returns the body of the answer, or the failure.
    pub fn get(&self, port: u16) -> Result<String, Failure> {
        let request = Traffic::on_port(port, 1).request;
        self.in_network(|| request.ask())
    }

    /// The path on the host of a path in the machine. An absolute link in the path would lead to a file of the host, so this
    /// is only for sockets below /run, not for reading files.
    pub(crate) fn path_from_outside(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.console.init)).join(path.trim_start_matches('/'))
    }

    /// The PID on the host of the machine's PID 1.
    pub(crate) fn init(&self) -> u32 {
        self.console.init
    }

    /// The machine's network namespace, for setns(2).
    pub(crate) fn network(&self) -> File {
        File::open(format!("/proc/{}/ns/net", self.console.init)).expect("the machine is up")
    }

    /// The last commands and the journal, for the report of a spec that has failed.
    pub fn diagnosis(&self) -> String {
        let mut text = String::new();
        let transcript = self.console.transcript.lock().expect("transcript").clone();
        let from = transcript.len().saturating_sub(30);
        for output in transcript.iter().skip(from) {
            text.push_str(&output.to_string());
            text.push('\n');
        }
        let journal = self.run(&["journalctl", "-b", "-n", "80", "-o", "short-precise"]);
        format!("{text}{journal}")
    }

    fn boot_messages(&self) -> String {
        fs::read_to_string(self.keeper.path("console")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- on {}:\n{}", self.release, self.diagnosis());
        }
    }
}

impl Console {
    /// nsenter(1), in the cgroup of commands if there is one.
    fn nsenter(&self) -> Command {
        let Some(cgroup) = &self.cgroup else {
            return Command::new("nsenter");
        };
        let script = "unset PWD && echo 0 >\"$1/cgroup.procs\" && shift && exec nsenter \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "nsenter"]).arg(cgroup);
        command
    }

    fn run(&self, argv: &[&str], stdin: Option<&str>) -> Output {
        let start = Instant::now();
        let mut child = self
            .nsenter()
            .env_clear()
            .envs(ENVIRONMENT.iter().copied())
            .args(["--target", &self.init.to_string(), "--all", "--"])
            .args(["timeout", "--kill-after=5", COMMAND])
            .args(argv)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`nsenter` starts");
        // A command may end without having read all of its input.
        let mut input = child.stdin.take().expect("standard input is piped");
        let _ = input.write_all(stdin.unwrap_or_default().as_bytes());
        drop(input);
        let ended = child.wait_with_output().expect("a command ends");
        let output = Output {
            command: argv.join(" "),
            status: ended.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&ended.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
            took: start.elapsed(),
        };
        profile::step(&output.command, output.took);
        self.transcript
            .lock()
            .expect("transcript")
            .push(output.clone());
        output
    }
}

/// Checks that this host can run machines; the error says what is missing.
pub(crate) fn check_host() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("real machines need root: run `sudo make test`".to_owned());
    }
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/usr/local/bin"];
    for (program, package) in [
        ("systemd-nspawn", "systemd-container"),
        ("mmdebstrap", "mmdebstrap"),
        ("nsenter", "util-linux"),
        ("make", "make"),
    ] {
        if !folders
            .iter()
            .any(|folder| Path::new(folder).join(program).exists())
        {
            return Err(format!(
                "real machines need `{program}`: run `make deps` or install {package}"
            ));
        }
    }
    Ok(())
}
