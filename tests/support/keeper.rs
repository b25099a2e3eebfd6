//! The keeper of a machine. `keeper.sh` explains why it is a process.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::layers::Lower;
use crate::poll::wait_for;
use crate::profile;

const SCRIPT: &str = include_str!("keeper.sh");
/// The folders in which `keeper.sh` creates the cgroups of machines.
const HIERARCHIES: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup/systemd",
];
const PATIENCE: Duration = Duration::from_mins(1);

/// A running keeper. Dropping it ends the machine and waits until nothing of the machine is left.
pub(crate) struct Keeper {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    room: PathBuf,
    /// The cgroup of the machine, which exists while the machine is switched on.
    cgroup: PathBuf,
}

impl Keeper {
    /// Mounts the disk of a machine, an overlay of `lower`, and one of `programs` on its /srv; `room` is an empty folder to mount it on.
    pub(crate) fn start(name: &str, room: &Path, lower: &Lower, programs: Option<&Path>) -> Self {
        sweep();
        // In a session of its own, so that a Ctrl-C on the terminal does not end the keeper before it has cleaned up.
        let mut child = Command::new("setsid")
            .arg("nsenter")
            .arg(format!("--mount={}", lower.namespace.display()))
            .args(["unshare", "--mount", "--propagation", "private"])
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", SCRIPT, "keeper"])
            .arg(name)
            .arg(room)
            .arg(&lower.folders)
            .args(programs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`setsid unshare` starts");
        let orders = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output is piped");
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let keeper = Self {
            child,
            orders,
            answers,
            room: room.to_owned(),
            cgroup: hierarchy().join(name),
        };
        if profile::is_on() {
            fs::create_dir(keeper.commands()).expect("a cgroup for commands");
        }
        assert_eq!(keeper.answer("mounting the disk"), "ready");
        keeper
    }

    /// The processor time that the machine has used since it was switched on.
    pub(crate) fn used(&self) -> Duration {
        profile::used_by(&self.cgroup)
    }

    /// The cgroup of the commands that a spec runs in the machine, for a run that measures. It is not that of the machine.
    pub(crate) fn commands(&self) -> PathBuf {
        let mut path = self.cgroup.clone().into_os_string();
        path.push("-commands");
        path.into()
    }

    /// Sends one order and waits for the answer.
    pub(crate) fn order(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("orders end with the keeper");
        writeln!(orders, "{order}").expect("the keeper takes orders");
        self.answer(order)
    }

    fn answer(&self, what: &str) -> String {
        self.answers
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|e| panic!("the machine's keeper failed at `{what}`: {e}"))
    }

    /// The PID that PID 1 of the machine has in this process's PID namespace. It is the first process in a namespace two levels
    /// below: the keeper has one, and the machine another.
    pub(crate) fn init(&self) -> Option<u32> {
        let nspawn = self.nspawn()?;
        children(nspawn).into_iter().find(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status
                .lines()
                .find_map(|l| l.strip_prefix("NSpid:"))
                .is_some_and(|numbers| {
                    let numbers: Vec<&str> = numbers.split_whitespace().collect();
                    numbers.len() >= 3 && numbers.last() == Some(&"1")
                })
        })
    }

    /// The running systemd-nspawn: the child of the keeper, which is the child of unshare(1).
    pub(crate) fn nspawn(&self) -> Option<u32> {
        let keeper = children(self.child.id()).into_iter().next()?;
        children(keeper).into_iter().find(|&pid| !is_gone(pid))
    }

    /// A path below the folder of the machine, for this process: the mounts are in the mount namespace of the keeper.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        let room = self
            .room
            .strip_prefix("/")
            .expect("the room's path is absolute");
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join("root")
            .join(room)
            .join(below)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if profile::is_on() {
            profile::add_machine(self.used());
            profile::add_commands(profile::used_by(&self.commands()));
            remove_cgroup(&self.commands());
        }
        drop(self.orders.take());
        if thread::panicking() {
            let _ = self.child.wait();
            return;
        }
        wait_for(PATIENCE, "the machine's keeper to end", || {
            self.child.try_wait().ok().flatten()
        });
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Whether a process has ended, even if it is still a zombie.
pub(crate) fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// The hierarchy that has the processor time of machines.
fn hierarchy() -> &'static Path {
    let unified = Path::new(HIERARCHIES[1]);
    if unified.exists() {
        unified
    } else {
        Path::new(HIERARCHIES[0])
    }
}

/// Removes the empty cgroups of keepers that were killed. The name of a machine contains the PID of its owner.
fn sweep() {
    for hierarchy in HIERARCHIES {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name
                .strip_prefix("rsgen-")
                .and_then(|rest| rest.split_once('-'));
            if owner.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists()) {
                remove_cgroup(&entry.path());
            }
        }
    }
}

/// Removes a cgroup and those below it. The kernel refuses to remove one that still has processes.
fn remove_cgroup(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}
