//! Runs specs on the releases, each on a fresh machine with rsgen installed.
//!
//! libtest-mimic reads the arguments and prints the results, so that cargo, nextest and editors list, filter and run specs
//! like the tests of any other crate. Booting a machine takes about a second, which is less than cleaning up a used one would
//! take, and no spec can affect another.
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     testbed::runner::main(testbed::specs![serves_on_one_port, reload::loses_nothing])
//! }
//! fn serves_on_one_port(machine: &mut testbed::Machine) { … }
//! ```

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::lanes;
use crate::machine::{self, Machine};
use crate::profile::{self, Meter};
use crate::release::{Release, target_dir};

/// A behaviour, and the function that checks it.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The behaviour in words: `reload::loses_nothing`.
    pub name: &'static str,
    /// The function, which panics if the behaviour is not as it should be.
    pub check: fn(&mut Machine),
    /// A folder below cargo's target folder that is mounted as /srv: programs that are too many to be copied.
    /// Such specs run alone, with `PROGRAMS=1`.
    pub programs: Option<&'static str>,
}

/// A list of [`Spec`]s from the paths of functions; with `specs!["FOLDER": …]` the machines have the programs of a folder.
#[macro_export]
macro_rules! specs {
    ($folder:literal: $($check:path),* $(,)?) => {
        &[$($crate::runner::Spec {
            name: stringify!($check),
            check: $check,
            programs: Some($folder),
        }),*]
    };
    ($($check:path),* $(,)?) => {
        &[$($crate::runner::Spec {
            name: stringify!($check),
            check: $check,
            programs: None,
        }),*]
    };
}

/// Rooms in which the outcome depends on the kernel, on rsgen and on the program more than on the version of systemd. Each of their specs
/// runs on one release, so that all releases are taken in turn.
const ROOMS_IN_TURN: &[&str] = &[
    "balance",
    "between",
    "by_source",
    "deploy",
    "docs",
    "drain",
    "edit",
    "env_files",
    "environment",
    "faults",
    "group",
    "health",
    "hostile",
    "init",
    "interrupted",
    "logs",
    "monit",
    "moving",
    "newcomer",
    "first",
    "own",
    "owner",
    "packaged",
    "packages",
    "pause",
    "portless",
    "power",
    "programs",
    "prometheus",
    "prune",
    "recycle",
    "rehearsal",
    "release",
    "remote",
    "see",
    "shown",
    "sizing",
    "state",
    "tracing",
    "trouble",
    "twelve",
    "values",
    "versions",
    "watch",
    "yama",
];

/// A spec on a release.
#[derive(Clone, Copy)]
struct Job {
    spec: Spec,
    release: Release,
}

impl Job {
    /// Whether an everyday run includes the spec: on every release if systemd takes part in it, on one if it does not.
    fn is_in_turn(&self) -> bool {
        let room = self.spec.name.split("::").next().unwrap_or_default();
        !ROOMS_IN_TURN.contains(&room) || self.release == turn(self.spec.name)
    }

    fn name(&self) -> String {
        format!("{}::{}", self.release, self.spec.name)
    }
}

/// The release of a spec that runs on one. The release depends only on the name of the spec, so that no other spec moves when one is added.
fn turn(name: &str) -> Release {
    let sum: usize = name.bytes().map(usize::from).sum();
    Release::ALL[sum % Release::ALL.len()]
}

/// A spec that succeeded, and the systemd on which it did.
struct Passed {
    name: String,
    release: Release,
    systemd: u32,
    took: Duration,
}

/// The specs that have succeeded so far, which the threads that run specs add.
type Record = Arc<Mutex<Vec<Passed>>>;

/// The systemd of each release, queried on the first machine of the release.
static SYSTEMD: [OnceLock<u32>; Release::ALL.len()] = [const { OnceLock::new() }; _];

thread_local! {
    /// The message of the panic that ended the spec of this thread; `None` while the thread runs no spec.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The main function of a test program: reads the arguments, runs the specs, and reports.
pub fn main(specs: &[Spec]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(lanes::most);
    // A run on a host that cannot run machines tests nothing, and must not look like a success.
    if let (false, Err(why)) = (arguments.list, machine::check_host()) {
        eprintln!("error: {why}");
        return ExitCode::from(101);
    }
    keep_messages();
    if !arguments.list {
        profile::begin();
    }
    let record = Record::default();
    let trials = trials(specs, is_every(arguments.filter.as_deref()), &record);
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        report(&record.lock().expect("the record"));
    }
    conclusion.exit_code()
}

/// Whether every spec is to run on every release: with `EVERY=1`, or if the filter names a release.
fn is_every(filter: Option<&str>) -> bool {
    let names = |release: Release| filter.is_some_and(|f| f.starts_with(&format!("{release}::")));
    std::env::var_os("EVERY").is_some() || Release::ALL.into_iter().any(names)
}

fn trials(specs: &[Spec], is_every: bool, record: &Record) -> Vec<Trial> {
    // Programs that are too many to be copied are also too many to be downloaded for an everyday run.
    let with_programs = std::env::var_os("PROGRAMS").is_some();
    let all = Release::ALL
        .into_iter()
        .flat_map(|release| specs.iter().map(move |&spec| Job { spec, release }))
        .filter(|job| job.spec.programs.is_some() == with_programs)
        .filter(|job| is_every || job.is_in_turn());
    let trial = |job: Job| {
        let record = Arc::clone(record);
        Trial::test(job.name(), move || run(&job, &record))
    };
    all.map(trial).collect()
}

/// Keeps the panic messages of specs for the report, where each appears in one piece. Panics of other threads are printed at
/// once.
fn keep_messages() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let in_a_spec = MESSAGE.with_borrow_mut(|kept| {
            kept.as_mut()
                .map(|message| *message = info.to_string())
                .is_some()
        });
        if !in_a_spec {
            usual(info);
        }
    }));
}

fn run(job: &Job, record: &Record) -> Result<(), Failed> {
    let _turn = lanes::turn();
    MESSAGE.set(Some(String::new()));
    let start = Instant::now();
    let meter = Meter::start();
    let mut machine = None;
    let mut systemd = 0;
    let ended = panic::catch_unwind(AssertUnwindSafe(|| {
        let machine = machine.insert(match job.spec.programs {
            Some(folder) => Machine::with_programs(job.release, &target_dir().join(folder)),
            None => Machine::with_rsgen(job.release),
        });
        let known = &SYSTEMD[job.release as usize];
        systemd = *known.get_or_init(|| machine.systemd_version());
        (job.spec.check)(machine);
    }));
    let failure = ended.is_err().then(|| {
        let message = MESSAGE.with_borrow(Clone::clone).unwrap_or_default();
        // If the machine itself is broken, the diagnosis may panic. That must not hide the message.
        let look = || machine.as_ref().map(Machine::diagnosis);
        let diagnosis = panic::catch_unwind(AssertUnwindSafe(look)).ok().flatten();
        format!("{message}\n\n{}", diagnosis.unwrap_or_default())
    });
    let gone = panic::catch_unwind(AssertUnwindSafe(|| drop(machine)));
    meter.end(&job.name());
    let message = MESSAGE.take().unwrap_or_default();
    if let Some(failure) = failure.or_else(|| gone.is_err().then_some(message)) {
        // The report comes at the end, which a run that is interrupted does not reach.
        let first: Vec<&str> = failure.lines().take(3).collect();
        eprintln!("{}: {}", job.name(), first.join("\n    "));
        return Err(failure.into());
    }
    record.lock().expect("the record").push(Passed {
        name: job.name(),
        release: job.release,
        systemd,
        took: start.elapsed(),
    });
    Ok(())
}

/// Prints the versions of systemd on which the specs succeeded, and the slowest specs.
#[expect(
    clippy::print_stdout,
    reason = "the report of a test program, read by `.ci/run`"
)]
fn report(passed: &[Passed]) {
    for release in Release::ALL {
        let here = || passed.iter().filter(|p| p.release == release);
        if let Some(one) = here().next() {
            let number = here().count();
            println!("real systemd {}: {number} passed on {release}", one.systemd);
        }
    }
    let mut slowest: Vec<&Passed> = passed.iter().collect();
    slowest.sort_by_key(|p| std::cmp::Reverse(p.took));
    for one in slowest.iter().take(SLOWEST) {
        println!("{:6.1} s {}", one.took.as_secs_f64(), one.name);
    }
}

/// The number of slow specs that are shown.
const SLOWEST: usize = 5;
