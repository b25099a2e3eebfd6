//! A look at all processes of the instance, including those that could not be inspected.
//!
//! A process that cannot be inspected may keep accepting and answering, so an instance that has one counts as
//! not drained, and the journal says why.

use std::collections::HashMap;
use std::io;

use super::notice::Notice;
use crate::contract::Handover;
use crate::peer::control_group::{ControlGroup, is_gone};
use crate::peer::filters;
use crate::peer::process::{Process, Socket};

/// The processes found in one look.
#[derive(Default)]
pub(super) struct Look {
    /// The processes of the program. The helper, this process and its parent run another program, rsgen-worker, and are left
    /// out.
    pub(super) processes: Vec<Process>,
    /// The processes that could not be inspected, each with the reason.
    pub(super) unseen: Vec<String>,
}

impl Look {
    pub(super) fn at(group: &ControlGroup) -> Self {
        let (numbers, listed) = group.numbers();
        let mut look = Self::of(numbers.into_iter().map(|n| (n, Process::open(n, group))));
        if let Err(e) = listed {
            look.unseen.push(format!("the control group: {e}"));
        }
        look
    }

    fn of(opened: impl Iterator<Item = (i32, io::Result<Process>)>) -> Self {
        let mut look = Self::default();
        for (pid, process) in opened {
            match process {
                Ok(process) if process.is_helper() => {}
                Ok(process) => look.processes.push(process),
                Err(e) if is_gone(&e) => {}
                Err(e) => look.unseen.push(format!("process {pid}: {e}")),
            }
        }
        look
    }

    /// The main process: the oldest one for whose parent `is_manager` holds. `$MAINPID` is not used, because a variable of the
    /// app overrides it.
    pub(super) fn main(self, is_manager: impl Fn(i32) -> bool) -> Option<Process> {
        let began = |p: Process| Some((p.began_for(&is_manager)?, p));
        let found = self.processes.into_iter().filter_map(began);
        found.min_by_key(|(began, _)| *began).map(|(_, main)| main)
    }

    /// Whether the program says that it has connections, by keeping the file of the notice open.
    pub(super) fn holds(&self, notice: &Notice) -> bool {
        self.processes
            .iter()
            .any(|process| process.holds(|link| notice.is(link)))
    }

    /// The sockets that the program has open, by inode, each with the processes that have it.
    pub(super) fn sockets(&self) -> HashMap<u64, Vec<(&Process, Socket)>> {
        let mut sockets: HashMap<u64, Vec<(&Process, Socket)>> = HashMap::new();
        for process in &self.processes {
            for socket in process.sockets() {
                let holders = sockets.entry(socket.inode).or_default();
                holders.push((process, socket));
            }
        }
        sockets
    }
}

/// The number of seccomp filters that apply to a process of the program that has installed none: those of the unit, which
/// apply to the helper as well, and that of the handover. Without a helper, a filter of the unit may be mistaken for one of
/// the program, see [`filters::need_a_comparison`].
pub(super) fn filters_of_unit(group: &ControlGroup, handover: Handover) -> Option<u32> {
    let own = [
        std::process::id(),
        nix::unistd::getppid().as_raw().cast_unsigned(),
    ];
    let helper = group
        .numbers()
        .0
        .into_iter()
        .filter(|pid| !own.contains(&pid.cast_unsigned()))
        .filter_map(|pid| Process::open(pid, group).ok())
        .find(Process::is_helper);
    match helper {
        Some(helper) => helper
            .filters()
            .map(|f| f + u32::from(handover == Handover::Bind)),
        None => filters::own(),
    }
}

/// The line for the journal about processes that could not be inspected; `None` when all could be.
pub(super) fn told(unseen: &[String]) -> Option<String> {
    let (first, others) = unseen.split_first()?;
    let more = match others.len() {
        0 => String::new(),
        more => format!("; {more} more"),
    };
    Some(format!(
        "stops without a drain of the processes that could not be inspected: {first}{more}"
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn error(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn a_process_that_cannot_be_opened_is_reported_unless_it_is_gone() {
        let number = |pid: u32| i32::try_from(pid).unwrap();
        // This process runs the same program as the code under test, and so counts as a helper.
        let own = number(std::process::id());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        // Between fork(2) and execve(2) the child still runs the program of this process.
        let is_sleep = || {
            let name = std::fs::read_to_string(format!("/proc/{}/comm", child.id()));
            name.is_ok_and(|name| name == "sleep\n")
        };
        testbed::wait_until(Duration::from_secs(10), "the child is sleep", is_sleep);
        let other = number(child.id());
        let look = Look::of(
            [
                (own, Process::of_test(own)),
                (other, Process::of_test(other)),
                (11, Err(error(libc::ESRCH))),
                (12, Err(error(libc::EMFILE))),
                (13, Err(error(libc::ENOENT))),
                (14, Err(error(libc::ENOMEM))),
            ]
            .into_iter(),
        );
        child.kill().unwrap();
        child.wait().unwrap();
        let found: Vec<i32> = look.processes.iter().map(|p| p.pid).collect();
        assert_eq!(found, [other]);
        assert_eq!(look.unseen.len(), 2, "{:?}", look.unseen);
        let told = told(&look.unseen).unwrap();
        assert!(told.contains("process 12: Too many open files"), "{told}");
        assert!(told.ends_with("; 1 more"), "{told}");
    }

    #[test]
    fn without_such_a_process_nothing_is_reported() {
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn a_control_group_that_cannot_be_read_does_not_count_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        let look = Look::at(&ControlGroup::of_test(folder.path()));
        assert!(look.processes.is_empty() && look.unseen.is_empty(), "gone");
        std::fs::create_dir_all(folder.path().join("a/cgroup.procs")).unwrap();
        let look = Look::at(&ControlGroup::of_test(folder.path()));
        assert!(look.unseen[0].starts_with("the control group: "));
        let own = std::process::id().to_string();
        std::fs::write(folder.path().join("cgroup.procs"), own).unwrap();
        let (numbers, listed) = ControlGroup::of_test(folder.path()).numbers();
        assert!(numbers.len() == 1 && listed.is_err(), "{numbers:?}");
    }
}
