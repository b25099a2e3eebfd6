//! Runs specs: every spec on every release, each on a fresh machine with rsgen installed.
//!
//! Prints what cargo's own harness prints. A machine takes about a second to boot, which is less
//! than it would take to clean up a used one, and nothing one spec does can reach another.
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     testbed::runner::main(testbed::specs![serves_on_one_port, reload::loses_nothing])
//! }
//! fn serves_on_one_port(machine: &mut testbed::Machine) { … }
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Write, stdout};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{self, Machine};
use crate::release::Release;

/// A behaviour and the code that sees to it.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Says what must hold: `reload::loses_nothing`.
    pub name: &'static str,
    /// Panics when it does not hold.
    pub check: fn(&mut Machine),
}

/// A list of [`Spec`]s from the paths of functions.
#[macro_export]
macro_rules! specs {
    ($($check:path),* $(,)?) => {
        &[$($crate::runner::Spec { name: stringify!($check), check: $check }),*]
    };
}

struct Job {
    spec: Spec,
    release: Release,
}

impl Job {
    fn name(&self) -> String {
        format!("{}::{}", self.release, self.spec.name)
    }
}

struct Done {
    name: String,
    release: Release,
    systemd: u32,
    took: Duration,
    failure: Option<String>,
}

thread_local! {
    /// The message of a panic on this thread, kept for the report.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The whole of a test program: reads its arguments, runs, reports.
pub fn main(specs: &[Spec]) -> ExitCode {
    let options = Options::read(std::env::args().skip(1));
    let all = Release::ALL
        .iter()
        .flat_map(|&release| specs.iter().map(move |&spec| Job { spec, release }));
    let (jobs, others): (Vec<_>, Vec<_>) = all.partition(|job| options.wants(&job.name()));
    if options.list {
        for job in &jobs {
            println!("{}: test", job.name());
        }
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    println!(
        "\nrunning {} tests on machines with a real systemd",
        jobs.len()
    );
    // A run that tests nothing must not look like one that does: no means, no success.
    if let Err(why) = machine::means() {
        println!(
            "\nerror: {why}\n\ntest result: FAILED. 0 passed; {} failed\n",
            jobs.len()
        );
        return ExitCode::from(101);
    }
    keep_messages();
    let done = run(jobs, options.lanes);
    report(&done, others.len(), start.elapsed())
}

struct Options {
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
    lanes: usize,
}

impl Options {
    /// As cargo's own harness understands them; what it knows and we have no use for is ignored.
    fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        // Most of a spec is waiting, and two machines leave two processors half idle.
        let lanes = thread::available_parallelism().map_or(2, usize::from) + 1;
        let mut options = Self {
            filters: vec![],
            skip: vec![],
            exact: false,
            list: false,
            lanes,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => options.exact = true,
                "--list" => options.list = true,
                "--skip" => options.skip.extend(arguments.next()),
                "--test-threads" => {
                    let given = arguments.next().and_then(|n| n.parse().ok());
                    options.lanes = given.unwrap_or(lanes).max(1);
                }
                flag if flag.starts_with('-') => {}
                filter => options.filters.push(filter.to_owned()),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        let hit = |f: &String| {
            if self.exact {
                name == f
            } else {
                name.contains(f.as_str())
            }
        };
        (self.filters.is_empty() || self.filters.iter().any(hit)) && !self.skip.iter().any(hit)
    }
}

/// Panics of specs are told in the report, in one piece; those of other threads at once.
fn keep_messages() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().name() == Some("lane") {
            MESSAGE.with_borrow_mut(|kept| *kept = Some(info.to_string()));
        } else {
            usual(info);
        }
    }));
}

fn run(jobs: Vec<Job>, lanes: usize) -> Vec<Done> {
    let queue = Mutex::new(VecDeque::from(jobs));
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..lanes {
            let lane = thread::Builder::new().name("lane".to_owned());
            let work = || {
                while let Some(job) = take(&queue) {
                    let one = run_one(&job);
                    tell(&one);
                    done.lock().expect("results").push(one);
                }
            };
            lane.spawn_scoped(scope, work).expect("a thread starts");
        }
    });
    done.into_inner().expect("results")
}

fn take(queue: &Mutex<VecDeque<Job>>) -> Option<Job> {
    queue.lock().expect("queue").pop_front()
}

fn run_one(job: &Job) -> Done {
    let start = Instant::now();
    let mut machine = None;
    let mut systemd = 0;
    let ended = panic::catch_unwind(AssertUnwindSafe(|| {
        let machine = machine.insert(Machine::with_rsgen(job.release));
        systemd = machine.systemd_version();
        (job.spec.check)(machine);
    }));
    let failure = ended.is_err().then(|| {
        let message = MESSAGE.take().unwrap_or_default();
        // The machine itself may be what is broken: a diagnosis must not hide the message.
        let look = || machine.as_ref().map(Machine::diagnosis);
        let diagnosis = panic::catch_unwind(AssertUnwindSafe(look)).ok().flatten();
        format!("{message}\n\n{}", diagnosis.unwrap_or_default())
    });
    let gone = panic::catch_unwind(AssertUnwindSafe(|| drop(machine)));
    let failure = failure.or_else(|| gone.is_err().then(|| MESSAGE.take().unwrap_or_default()));
    Done {
        name: job.name(),
        release: job.release,
        systemd,
        took: start.elapsed(),
        failure,
    }
}

fn tell(done: &Done) {
    let verdict = if done.failure.is_none() {
        "ok"
    } else {
        "FAILED"
    };
    // One write, for other lanes print as well. Nobody may be reading any more.
    let _ = writeln!(stdout(), "test {} ... {verdict}", done.name);
}

fn report(done: &[Done], filtered: usize, took: Duration) -> ExitCode {
    let failed: Vec<&Done> = done.iter().filter(|d| d.failure.is_some()).collect();
    if !failed.is_empty() {
        println!("\nfailures:\n");
        for one in &failed {
            println!(
                "---- {} ----\n{}\n",
                one.name,
                one.failure.as_deref().unwrap_or_default()
            );
        }
        println!("failures:");
        for one in &failed {
            println!("    {}", one.name);
        }
    }
    println!();
    for release in Release::ALL {
        tell_release(release, done);
    }
    let slowest = done.iter().max_by_key(|d| d.took);
    if let Some(one) = slowest {
        println!("slowest: {} with {:.1} s", one.name, one.took.as_secs_f64());
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out; \
         finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        done.len() - failed.len(),
        failed.len(),
        took.as_secs_f64(),
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

/// The line that says in which systemd the specs were really seen to hold.
fn tell_release(release: Release, done: &[Done]) {
    let passed: Vec<&Done> = done
        .iter()
        .filter(|d| d.release == release && d.failure.is_none())
        .collect();
    if let Some(one) = passed.first() {
        println!(
            "real systemd {}: {} passed on {release}",
            one.systemd,
            passed.len()
        );
    }
}
