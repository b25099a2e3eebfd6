//! The process that keeps a machine, see `keeper.sh` for why it is a process.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::poll::wait_for;

const SCRIPT: &str = include_str!("keeper.sh");
const PATIENCE: Duration = Duration::from_mins(1);

/// A running keeper; dropping it ends the machine and waits until nothing is left of it.
pub(crate) struct Keeper {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    room: PathBuf,
}

impl Keeper {
    /// Mounts the disk of a machine, an overlay of `lower`; `room` is an empty folder to mount on.
    pub(crate) fn start(name: &str, room: &Path, lower: &Path) -> Self {
        // Its own session: a Ctrl-C on the terminal must not reach it before its work is done.
        let mut child = Command::new("setsid")
            .args([
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                SCRIPT,
                "keeper",
            ])
            .arg(name)
            .args([room, lower])
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
        };
        assert_eq!(keeper.answer("mounting its disk"), "ready");
        keeper
    }

    /// Sends one order, waits for the answer.
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

    /// A path below the machine's room, as seen from here: the mounts are the keeper's own.
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
