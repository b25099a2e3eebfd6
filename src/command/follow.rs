//! Queues jobs and tells what becomes of them while they run.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use super::apply::{self, Prepared};
use super::context::Context;
use super::state;
use crate::cluster::Cluster;
use crate::output::{Exit, Failure};
use crate::state::{Entry, Name};
use crate::systemd::{self, ActiveState, Job, JobResult, Unit, Verb};
use crate::unit::name::{Member, Units, parse};
use crate::visible::Visible;
use crate::walk::{Overdue, Record};

/// How often it is looked whether an instance does not end.
const GLANCE: Duration = Duration::from_secs(1);
/// How often the progress of a walk is looked at.
const TICK: Duration = Duration::from_millis(100);
/// A job that waits this long is not going to end; systemd's own time-outs are far below.
const LONGEST: Duration = Duration::from_hours(1);
/// What `canceled`, systemd's word for the end of a job, says.
const CANCELLED: &str = "cancelled by another job of systemd";

/// So often a job is asked for again that somebody else's cancelled.
const AGAIN: usize = 3;

/// One job from start to end, in silence. A unit that is not loaded has nothing to stop.
pub(super) fn job(context: &mut Context, verb: Verb, unit: &str) -> Result<(), Failure> {
    let before = context.manager()?.unit(unit)?.invocation;
    let mut overdue = watch_over(context, unit)?;
    for left in (0..=AGAIN).rev() {
        let job = match context.manager()?.queue(verb, unit) {
            Err(systemd::Error::NoSuchUnit { .. }) if verb == Verb::Stop => return Ok(()),
            job => job?,
        };
        let result = end(context, &job, &mut overdue)?;
        match result {
            JobResult::Done | JobResult::Skipped => return Ok(()),
            JobResult::Canceled => {}
            result => return Err(failed(context, verb, unit, result)),
        }
        let now = settled(context, unit, &mut overdue)?;
        let is_done = match verb {
            Verb::Stop | Verb::StopAlone => now.is_gone(),
            Verb::Restart => now.is_ready() && now.invocation != before,
            Verb::Start | Verb::Reload => now.is_ready(),
        };
        if is_done && now.job.is_none() {
            return Ok(());
        }
        // With a job in its place somebody wants something else.
        if now.job.is_some() || left == 0 {
            break;
        }
        tell_again(context, verb, unit);
    }
    Err(failed(context, verb, unit, JobResult::Canceled))
}

/// Nobody but this command waits for the end of a single instance, which may not come by itself.
fn watch_over(context: &mut Context, unit: &str) -> Result<Option<Overdue>, Failure> {
    let Some((app, _)) = unit.split_once('@') else {
        return Ok(None);
    };
    let cluster = context.manager()?.unit(&Units::of(app).cluster())?;
    Ok(Some(Overdue::new(app, cluster.stop_timeout)))
}

fn end_overdue(context: &mut Context, overdue: &mut Option<Overdue>) -> Result<(), Failure> {
    let printer = context.printer;
    if let Some(overdue) = overdue {
        for killed in overdue.look(context.manager()?)? {
            printer.progress(killed.to_string());
        }
    }
    Ok(())
}

/// How a job ends.
fn end(
    context: &mut Context,
    job: &Job,
    overdue: &mut Option<Overdue>,
) -> Result<JobResult, Failure> {
    let end = Instant::now() + LONGEST;
    loop {
        match context.manager()?.wait(job, GLANCE) {
            Err(systemd::Error::TimedOut { .. }) if Instant::now() < end => {}
            result => return Ok(result?),
        }
        end_overdue(context, overdue)?;
    }
}

/// Where a unit comes to without its job, which was cancelled, or the job that took its place.
fn settled(
    context: &mut Context,
    unit: &str,
    overdue: &mut Option<Overdue>,
) -> Result<systemd::Unit, Failure> {
    let end = Instant::now() + LONGEST;
    loop {
        let now = context.manager()?.unit(unit)?;
        if now.job.is_some() || !now.is_moving() || Instant::now() > end {
            return Ok(now);
        }
        end_overdue(context, overdue)?;
        context.manager()?.pause(TICK);
    }
}

fn tell_again(context: &Context, verb: Verb, unit: &str) {
    let line = format!("{verb} of {unit} was {CANCELLED}; asked for again");
    context.printer.progress(line);
}

/// Starts an app and waits until it serves.
pub(super) fn start(context: &mut Context, app: &str) -> Result<(), Failure> {
    context.printer.progress(format!("{app}: starting"));
    state::forget_deaths(&context.layout, app, None);
    job(context, Verb::Start, &Units::of(app).cluster())
}

/// Stops an app, its port last. It is the socket's job that takes the cluster along: as long as it
/// waits, systemd starts nothing for a connection that comes when the first instances are gone.
pub(super) fn stop(context: &mut Context, app: &str) -> Result<(), Failure> {
    let units = Units::of(app);
    cut_short(context, &units.instances())?;
    for socket in units.sockets() {
        job(context, Verb::Stop, &socket)?;
    }
    job(context, Verb::Stop, &units.cluster())
}

/// Stops one instance.
pub(super) fn stop_instance(context: &mut Context, app: &str, number: u32) -> Result<(), Failure> {
    let unit = Units::of(app).instance(number);
    cut_short(context, &unit)?;
    job(context, Verb::Stop, &unit)
}

/// Who asks a second time does not want to wait for the drains that the first time has begun. A walk
/// drains by restarts, and those are let be.
fn cut_short(context: &mut Context, pattern: &str) -> Result<(), Failure> {
    let manager = context.manager()?;
    for unit in manager.units(pattern)? {
        let is_stopping = unit.job.as_ref().is_some_and(systemd::QueuedJob::is_stop);
        if is_stopping && unit.sub == "stop" {
            manager.cut_short(&unit.name)?;
        }
    }
    Ok(())
}

/// Restarts an app, all instances at once; its port stays open.
pub(super) fn restart(context: &mut Context, app: &str) -> Result<(), Failure> {
    context.printer.progress(format!("{app}: restarting"));
    state::forget_deaths(&context.layout, app, None);
    job(context, Verb::Restart, &Units::of(app).cluster())
}

/// Walks: the cluster unit does it, this tells its progress. Ending this leaves the walk alone.
pub(super) fn reload(context: &mut Context, app: &str) -> Result<(), Failure> {
    let unit = Units::of(app).cluster();
    let active = context.manager()?.unit(&unit)?.active;
    if !matches!(active, ActiveState::Active | ActiveState::Reloading) {
        return start(context, app);
    }
    context.printer.progress(format!("{app}: reloading"));
    state::forget_deaths(&context.layout, app, None);
    for left in (0..=AGAIN).rev() {
        let mut progress = Progress::open(context, app);
        let job = context.manager()?.queue(Verb::Reload, &unit)?;
        match watch(context, &job, &mut progress)? {
            JobResult::Done => return Ok(()),
            JobResult::Canceled => {
                if let Some(end) = outlast(context, app, &mut progress)? {
                    return end;
                }
            }
            result => {
                let failure = progress.failure(app);
                return Err(failure.unwrap_or_else(|| failed(context, Verb::Reload, &unit, result)));
            }
        }
        let now = context.manager()?.unit(&unit)?;
        if now.active != ActiveState::Active || now.job.is_some() || left == 0 {
            break;
        }
        tell_again(context, Verb::Reload, &unit);
    }
    Err(failed(context, Verb::Reload, &unit, JobResult::Canceled))
}

/// The job of a walk was cancelled. The walk itself goes on, unless it had not begun or was ended: then
/// nothing is known of its end.
fn outlast(
    context: &mut Context,
    app: &str,
    progress: &mut Progress,
) -> Result<Option<Result<(), Failure>>, Failure> {
    let line = format!("{app}: the job of the reload was {CANCELLED}");
    context.printer.progress(line);
    let end = Instant::now() + LONGEST;
    loop {
        let unit = context.manager()?.unit(&Units::of(app).cluster())?;
        progress.tell(context);
        if unit.active != ActiveState::Reloading || Instant::now() > end {
            return Ok(progress.end(app));
        }
        context.manager()?.pause(TICK);
    }
}

fn watch(context: &mut Context, job: &Job, progress: &mut Progress) -> Result<JobResult, Failure> {
    let end = Instant::now() + LONGEST;
    loop {
        let result = context.manager()?.wait(job, TICK);
        progress.tell(context);
        match result {
            Err(systemd::Error::TimedOut { .. }) if Instant::now() < end => {}
            result => return Ok(result?),
        }
    }
}

/// The walk's progress file, read as it grows.
struct Progress {
    walk: Entry,
    /// The walk before this one: its lines are old news.
    before: Option<u64>,
    reader: Option<BufReader<File>>,
    last: Option<Record>,
}

impl Progress {
    fn open(context: &Context, app: &str) -> Self {
        let walk = Entry::new(&context.layout.state(app), Name::Walk);
        let before = walk.open().ok().and_then(|file| inode(&file));
        Self {
            walk,
            before,
            reader: None,
            last: None,
        }
    }

    fn tell(&mut self, context: &Context) {
        if self.reader.is_none() {
            let file = self.walk.open().ok();
            let newer = file.filter(|file| inode(file) != self.before);
            self.reader = newer.map(BufReader::new);
        }
        let Some(reader) = &mut self.reader else {
            return;
        };
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            if !line.ends_with('\n') {
                // Half a line: it is read whole the next time.
                let back = i64::try_from(line.len()).unwrap_or(0);
                let _ = reader.seek_relative(-back);
                break;
            }
            if let Some(record) = Record::parse(&line) {
                context.printer.progress(format!("  {}", record.text));
                self.last = Some(record);
            }
            line.clear();
        }
    }

    /// How the walk ended, if it did.
    fn end(&self, app: &str) -> Option<Result<(), Failure>> {
        if self.last.as_ref().is_some_and(Record::is_done) {
            return Some(Ok(()));
        }
        self.failure(app).map(Err)
    }

    /// The failure that ended the walk. A walk that was killed has not told one.
    fn failure(&self, app: &str) -> Option<Failure> {
        let last = self.last.as_ref()?;
        let failed = last.failure()?;
        let exit = if failed.timed_out {
            Exit::TimedOut
        } else {
            Exit::Failed
        };
        let failure = Failure {
            untouched: failed.untouched,
            ..Failure::new(exit, format!("{app}: {}", last.text))
        };
        Some(failure.help(format!("see `journalctl -t {app} -n 50`")))
    }
}

fn inode(file: &File) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().ok().map(|m| m.ino())
}

/// After a walk that touched no instance: puts the old units back, so that a restart runs the old.
pub(super) fn keep_old(context: &mut Context, prepared: &Prepared, failure: Failure) -> Failure {
    if prepared.changes.is_empty() || !failure.untouched {
        return failure;
    }
    match apply::roll_back(context, prepared) {
        Ok(()) => {
            context.printer.progress(format!(
                "{}: the units are again those that run",
                prepared.app.name
            ));
            failure
        }
        Err(e) => failure.help(format!(
            "the old units could not be put back: {}",
            e.message
        )),
    }
}

fn failed(context: &mut Context, verb: Verb, unit: &str, result: JobResult) -> Failure {
    let state = context.manager().ok().and_then(|m| m.unit(unit).ok());
    for line in state
        .as_ref()
        .map(|u| last_words(context, u))
        .unwrap_or_default()
    {
        context.printer.progress(line);
    }
    let why = state.map(|u| format!(" ({})", u.why())).unwrap_or_default();
    let exit = if result == JobResult::Timeout {
        Exit::TimedOut
    } else {
        Exit::Failed
    };
    let how = match result {
        JobResult::Canceled => format!("was {CANCELLED}"),
        result => format!("ended as `{result}`"),
    };
    Failure::new(exit, format!("{verb} of {unit} {how}{why}")).help(format!(
        "see `systemctl status {unit}` and `journalctl -u {unit} -n 50`"
    ))
}

fn last_words(context: &Context, unit: &Unit) -> Vec<Visible> {
    let Some((app, member)) = parse(&unit.name) else {
        return Vec::new();
    };
    let is_instance = matches!(member, Member::Instance(_));
    let cluster = Cluster {
        app: app.to_owned(),
        state: context.layout.state(app),
        scope: context.layout.scope,
    };
    let words = cluster.last_words(unit);
    // The cluster unit's lines are our own: they have been made visible on their way to the journal.
    let show = if is_instance {
        Visible::line
    } else {
        Visible::again
    };
    words.iter().map(|line| show(line)).collect()
}
