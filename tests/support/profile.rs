//! The cost of each spec: with `RSGEN_TEST_PROFILE=FILE`, a run writes a line for each spec to that file.
//!
//! CPU time is that of cgroups and threads, so other work of the host is not part of it; see [`COLUMNS`].
//! Without the variable, no cgroup is created and no file is written.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// The columns, in seconds but for the last two. `wall` is the time on the clock, and `up` the part of it
/// that boots took. The others are processor time: `boot` of the boots, `machine` of everything that systemd
/// in the machine started, boots included, `commands` of the commands that the spec ran with `Machine::run`,
/// `own` of the spec itself and its clients. `long` lists the commands and waits that took a second or more.
const COLUMNS: &str = "wall\tup\tboot\tmachine\tcommands\town\tspec\tlong";
/// A step of this length is listed.
const LONG: Duration = Duration::from_secs(1);

/// The processor time of a spec so far, and its long steps.
#[derive(Default)]
struct Cost {
    up: Duration,
    boot: Duration,
    machine: Duration,
    commands: Duration,
    clients: Duration,
    long: String,
}

thread_local! {
    static COST: RefCell<Cost> = RefCell::default();
}

fn file() -> Option<PathBuf> {
    std::env::var_os("RSGEN_TEST_PROFILE").map(PathBuf::from)
}

/// Whether this run measures.
pub(crate) fn is_on() -> bool {
    file().is_some()
}

/// Begins the file of a run.
pub(crate) fn begin() {
    if let Some(file) = file() {
        fs::write(file, format!("{COLUMNS}\n")).expect("the file of the profile");
    }
}

/// The processor time that a cgroup has used.
pub(crate) fn used_by(cgroup: &Path) -> Duration {
    let stat = fs::read_to_string(cgroup.join("cpu.stat")).unwrap_or_default();
    let usage = stat.lines().find_map(|l| l.strip_prefix("usage_usec "));
    let microseconds = usage.and_then(|u| u.parse().ok());
    Duration::from_micros(microseconds.unwrap_or_default())
}

/// The processor time that this thread has used.
pub(crate) fn of_this_thread() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Adds a boot that began at `start`.
pub(crate) fn booted(start: Instant, used: Duration) {
    COST.with_borrow_mut(|cost| {
        cost.up += start.elapsed();
        cost.boot += used;
    });
}

/// Adds the time of a machine that is now switched off.
pub(crate) fn add_machine(used: Duration) {
    COST.with_borrow_mut(|cost| cost.machine += used);
}

/// Adds the time of the commands in a machine.
pub(crate) fn add_commands(used: Duration) {
    COST.with_borrow_mut(|cost| cost.commands += used);
}

/// Adds the time of clients, which are threads of their own.
pub(crate) fn add_clients(used: Duration) {
    COST.with_borrow_mut(|cost| cost.clients += used);
}

/// Notes a command or a wait.
pub(crate) fn step(what: &str, took: Duration) {
    if took >= LONG && is_on() {
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        let what: String = what.chars().take(80).collect();
        COST.with_borrow_mut(|cost| {
            let _ = write!(cost.long, "{:.1} {what}; ", took.as_secs_f64());
        });
    }
}

/// The clocks at the start of a spec.
pub(crate) struct Meter {
    start: Instant,
    own: Duration,
}

impl Meter {
    pub(crate) fn start() -> Self {
        COST.take();
        Self {
            start: Instant::now(),
            own: of_this_thread(),
        }
    }

    /// Writes the line of a spec that has ended.
    pub(crate) fn end(&self, name: &str) {
        let Some(mut file) = file().and_then(|f| OpenOptions::new().append(true).open(f).ok())
        else {
            return;
        };
        let cost = COST.take();
        let own = of_this_thread().saturating_sub(self.own) + cost.clients;
        let times = [
            self.start.elapsed(),
            cost.up,
            cost.boot,
            cost.machine,
            cost.commands,
            own,
        ];
        let mut line = String::new();
        for time in times {
            let _ = write!(line, "{:.2}\t", time.as_secs_f64());
        }
        let _ = writeln!(line, "{name}\t{}", cost.long);
        file.write_all(line.as_bytes())
            .expect("the file of the profile");
    }
}
