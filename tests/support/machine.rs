//! A whole machine: PID 1 is a real systemd, the disk an overlay, the network its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::keeper::{Keeper, is_gone};
use crate::load::{Failure, Traffic};
use crate::output::{Output, Running};
use crate::poll::{wait_for, wait_until};
use crate::release::{Release, build_dir, machines_dir};

const BOOT: Duration = Duration::from_mins(1);
/// No command runs for longer, in seconds; see timeout(1).
const COMMAND: &str = "150";
static COUNT: AtomicU32 = AtomicU32::new(0);

/// How a machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerLoss {
    /// `systemctl poweroff`.
    Clean,
    /// The plug is pulled.
    Cut,
}

/// A machine of its own. It ends with its owner, however that comes about.
pub struct Machine {
    release: Release,
    keeper: Keeper,
    console: Console,
}

/// How commands reach the machine, shared with those that run in the background.
#[derive(Clone)]
struct Console {
    init: u32,
    transcript: Arc<Mutex<Vec<Output>>>,
}

impl Machine {
    /// Mounts a new disk; the machine is off. Panics where real machines cannot be had.
    pub fn new(release: Release) -> Self {
        means().unwrap_or_else(|why| panic!("{why}"));
        let lower = release.root();
        let room = machines_dir().join("room");
        fs::create_dir_all(&room).expect("an empty folder to mount on");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rsgen-{}-{number}", std::process::id());
        let console = Console {
            init: 0,
            transcript: Arc::default(),
        };
        Self {
            release,
            keeper: Keeper::start(&name, &room, &lower),
            console,
        }
    }

    /// A machine that is up, without rsgen.
    pub fn boot(release: Release) -> Self {
        let mut machine = Self::new(release);
        machine.power_on(None);
        machine
    }

    /// A machine that is up and has rsgen installed as `make install` does it.
    pub fn with_rsgen(release: Release) -> Self {
        let mut machine = Self::new(release);
        machine.install_rsgen();
        machine.power_on(None);
        machine
    }

    /// What it runs.
    pub fn release(&self) -> Release {
        self.release
    }

    /// Boots, and waits until everything that belongs to the boot has been started. With `cpus`
    /// (as for taskset(1): `0`, `0-1`) the machine sees only those.
    pub fn power_on(&mut self, cpus: Option<&str>) {
        self.boot_as("boot", cpus);
    }

    /// Off, and on again as a machine that is no container: its processes are under no seccomp filter of systemd-nspawn,
    /// see `SYSTEMD_SECCOMP` in docs/ENVIRONMENT.md of systemd.
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
        self.keeper.order(&order);
        let booted = wait_for(BOOT, "PID 1 of the machine", || {
            let init = self.keeper.init();
            (init.is_some() || self.keeper.nspawn().is_none()).then_some(init)
        });
        let Some(init) = booted else {
            panic!("systemd-nspawn gave up: {}", self.boot_messages());
        };
        self.console.init = init;
        wait_until(BOOT, "the machine to be up", || {
            let state = self.console.run(&["systemctl", "is-system-running"], None);
            matches!(state.text(), "running" | "degraded")
        });
        self.console.transcript.lock().expect("transcript").clear();
    }

    /// Switches off.
    pub fn power_off(&mut self, how: PowerLoss) {
        if how == PowerLoss::Clean {
            self.run(&["systemctl", "poweroff"]);
            wait_until(BOOT, "the machine to power off", || {
                is_gone(self.console.init)
            });
        }
        self.keeper.order("cut");
    }

    /// Off and on again, on the same disk.
    pub fn power_cycle(&mut self, how: PowerLoss) {
        self.power_off(how);
        self.power_on(None);
    }

    /// Installs what cargo has built, by `make install`; before [`Machine::power_on`] or after.
    pub fn install_rsgen(&self) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .expect("the source");
        let installed = Command::new("make")
            .args(["--silent", "install", "PREFIX=/usr"])
            .arg(format!("BUILD={}", build_dir().display()))
            .arg(format!("DESTDIR={}", self.keeper.path("merged").display()))
            .current_dir(source)
            .output()
            .expect("`make` starts");
        assert!(
            installed.status.success(),
            "`make install` failed: {installed:?}"
        );
    }

    /// Runs a command as root and waits for its end. A process that it leaves behind must not
    /// hold its output: use `systemd-run` for those.
    pub fn run(&self, argv: &[&str]) -> Output {
        self.console.run(argv, None)
    }

    /// Runs a shell script, see [`Machine::run`].
    pub fn sh(&self, script: &str) -> Output {
        self.run(&["sh", "-c", script])
    }

    /// Starts a command and goes on.
    pub fn spawn(&self, argv: &[&str]) -> Running {
        let console = self.console.clone();
        let argv: Vec<String> = argv.iter().map(|&a| a.to_owned()).collect();
        Running(thread::spawn(move || {
            console.run(&argv.iter().map(String::as_str).collect::<Vec<_>>(), None)
        }))
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, path: &str, text: &str) {
        let script = "mkdir -p \"$(dirname \"$1\")\" && cat >\"$1\"";
        self.console
            .run(&["sh", "-c", script, "write", path], Some(text))
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

    /// Does `work` in the machine's network, but as a process of the host: what the machine stops
    /// or kills, this goes on.
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

    /// Asks once for `/` at a port, from outside; the answer's body or what went wrong.
    pub fn get(&self, port: u16) -> Result<String, Failure> {
        self.in_network(|| Traffic::on_port(port, 1).request.ask())
    }

    /// A path in the machine as the host sees it. Absolute links on its way would lead back to the
    /// host: for sockets below /run, not for reading files.
    pub(crate) fn path_from_outside(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.console.init)).join(path.trim_start_matches('/'))
    }

    /// PID 1 of the machine as it is numbered here.
    pub(crate) fn init(&self) -> u32 {
        self.console.init
    }

    /// The machine's network namespace, for setns(2).
    pub(crate) fn network(&self) -> File {
        File::open(format!("/proc/{}/ns/net", self.console.init)).expect("the machine is up")
    }

    /// What went on: the last commands and the journal. Made for a spec that has failed.
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
    fn run(&self, argv: &[&str], stdin: Option<&str>) -> Output {
        let start = Instant::now();
        let mut child = Command::new("nsenter")
            .args([
                "--target",
                &self.init.to_string(),
                "--all",
                "--",
                "env",
                "-i",
            ])
            .args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(["HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "SYSTEMD_PAGER="])
            .args(["timeout", "--kill-after=5", COMMAND])
            .args(argv)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`nsenter` starts");
        // A command that ends without reading all of it is no error here.
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
        self.transcript
            .lock()
            .expect("transcript")
            .push(output.clone());
        output
    }
}

/// Whether real machines can be had here; if not, what to do about it.
pub(crate) fn means() -> Result<(), String> {
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
