//! Threads that still wait in accept(2) for a listener which was replaced in their process.
//!
//! The waiting call still uses the live listener, although the number now leads to the unreachable one. A
//! stop interrupts the call, and when the thread repeats the call, it gets the unreachable listener.

use std::collections::HashSet;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use crate::peer::control_group::ControlGroup;
use crate::peer::process::Process;
use crate::peer::tracee::Tracee;

/// How long such threads are looked for in all processes together, while others run. A thread that does not sleep for as long is busy.
const LONGEST: Duration = Duration::from_millis(50);
/// The pause between two such looks.
const ROUND: Duration = Duration::from_millis(2);

/// A process whose listeners were replaced, and in which a thread may be on its way into the waiting call.
pub(super) struct Accepting {
    process: Process,
    /// The descriptor numbers of the listeners.
    numbers: Vec<RawFd>,
    /// The threads that need no further look.
    done: HashSet<i32>,
}

impl Accepting {
    /// Interrupts the threads of the process that wait in accept(2) now; `None` if no thread needs a further look.
    pub(super) fn of(
        process: Process,
        numbers: Vec<RawFd>,
        group: &ControlGroup,
        end: Instant,
    ) -> Option<Self> {
        let mut accepting = Self {
            process,
            numbers,
            done: HashSet::new(),
        };
        let is_done = accepting.numbers.is_empty() || accepting.look(group, end);
        (!is_done).then_some(accepting)
    }

    /// Interrupts the threads that wait in accept(2). Returns whether no thread needs a further look, or the time for everything is over.
    ///
    /// A thread that is found in any other call needs no further look, since its next accept(2) gets the
    /// unreachable listener. A thread that runs may be on its way into the waiting call, and is looked at again.
    fn look(&mut self, group: &ControlGroup, end: Instant) -> bool {
        let mut is_whole = true;
        for thread in self.process.threads() {
            if self.done.contains(&thread.tid) {
                continue;
            }
            let is_done = match thread.waits {
                None => false,
                Some((number, [fd, ..])) if self.accepts(number, fd) => {
                    // A thread that cannot be stopped has ended, has returned from the call by itself, which
                    // the next look shows, or is not scheduled.
                    let stopped = Tracee::stop(&self.process, group, &thread);
                    stopped.and_then(Tracee::release).is_ok()
                }
                Some(_) => true,
            };
            if is_done {
                self.done.insert(thread.tid);
            }
            is_whole &= is_done;
            if Instant::now() >= end {
                return true;
            }
        }
        is_whole
    }

    fn accepts(&self, number: i64, fd: u64) -> bool {
        let is_one = |own: &RawFd| u64::try_from(*own) == Ok(fd & 0xffff_ffff);
        matches!(number, libc::SYS_accept | libc::SYS_accept4) && self.numbers.iter().any(is_one)
    }
}

/// Looks at these processes again and again, for a time that does not grow with their number.
pub(super) fn interrupt(mut all: Vec<Accepting>, group: &ControlGroup, end: Instant) {
    rounds(&mut all, |one| one.look(group, end));
}

/// Looks at each process in turn until it is done, or [`LONGEST`] is over. Each is looked at at least once.
fn rounds<T>(all: &mut Vec<T>, mut is_done: impl FnMut(&mut T) -> bool) {
    let end = Instant::now() + LONGEST;
    let mut is_over = false;
    while !all.is_empty() && !is_over {
        std::thread::sleep(ROUND);
        all.retain_mut(|one| is_over || !is_done(one));
        is_over = Instant::now() >= end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_all_does_not_grow_with_their_number() {
        // As many processes as a large prefork server has, each with a thread that is always busy.
        let mut all = vec![0_u32; 64];
        let began = Instant::now();
        rounds(&mut all, |looks| {
            *looks += 1;
            false
        });
        assert!(began.elapsed() < LONGEST * 32, "{:?}", began.elapsed());
        assert!(all.len() == 64 && all.iter().all(|looks| *looks > 0));
        rounds(&mut all, |_| true);
        assert!(
            all.is_empty(),
            "those that are done with are not looked at again"
        );
    }
}
