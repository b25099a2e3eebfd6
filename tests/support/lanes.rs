//! The number of specs that run at the same time.
//!
//! Some specs keep a processor busy, others mostly wait for a time-out. A fixed number of them would leave processors idle
//! while specs of the second kind run, or slow down those of the first until their deadlines pass.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::poll::nap;

/// The minimum number of specs for each processor that run at the same time.
const LEAST: usize = 2;
/// The maximum number of specs for each processor.
const MOST: usize = 6;
/// How long the processors are watched before another spec begins.
const WATCH: Duration = Duration::from_millis(700);
/// Another spec begins if the processors were idle for more than one part in this many.
const PART: u64 = 5;

static LANES: Mutex<Lanes> = Mutex::new(Lanes {
    running: 0,
    watched: None,
});

struct Lanes {
    running: usize,
    watched: Option<(Instant, Ticks)>,
}

/// The work of the processors since the boot of the host.
#[derive(Clone, Copy)]
struct Ticks {
    idle: u64,
    all: u64,
}

/// The turn of a spec, which ends when this is dropped.
pub(crate) struct Turn(());

fn processors() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

/// The number of threads that wait for a turn, unless the command line says otherwise.
pub(crate) fn most() -> usize {
    MOST * processors()
}

/// Waits until another spec may run.
pub(crate) fn turn() -> Turn {
    loop {
        let mut lanes = LANES.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.running < LEAST * processors() || lanes.have_been_idle() {
            lanes.running += 1;
            return Turn(());
        }
        drop(lanes);
        nap(WATCH / 7);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lanes = LANES.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.running -= 1;
    }
}

impl Lanes {
    /// Whether the processors were idle since the last look. Each look is for one spec, because the processors show only later
    /// what that spec needs.
    fn have_been_idle(&mut self) -> bool {
        if self.watched.is_some_and(|(at, _)| at.elapsed() < WATCH) {
            return false;
        }
        let Some(now) = ticks(&fs::read_to_string("/proc/stat").unwrap_or_default()) else {
            return false;
        };
        let before = self.watched.replace((Instant::now(), now));
        // An old observation means nothing.
        let recent = before.filter(|(at, _)| at.elapsed() < 2 * WATCH);
        recent.is_some_and(|(_, then)| is_idle(then, now))
    }
}

fn is_idle(then: Ticks, now: Ticks) -> bool {
    let idle = now.idle.saturating_sub(then.idle);
    idle * PART > now.all.saturating_sub(then.all)
}

/// Reads /proc/stat, see `proc_stat(5)`.
fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
    // After the first eight come parts of the first two.
    let (idle, wait) = (ticks.get(3)?, ticks.get(4)?);
    Some(Ticks {
        idle: idle + wait,
        all: ticks.iter().take(8).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_idle_when_more_than_a_fifth_of_their_time_was() {
        let at = |user: u64, idle: u64| {
            ticks(&format!(
                "cpu  {user} 0 0 {idle} 1 0 0 0 99 99\ncpu0 1 1 1 1\n"
            ))
        };
        let then = at(100, 100).expect("ticks");
        let later =
            |user: u64, idle: u64| is_idle(then, at(100 + user, 100 + idle).expect("ticks"));
        assert!(later(70, 30));
        assert!(!later(90, 10));
        assert!(!later(0, 0));
        assert!(ticks("").is_none());
    }
}
