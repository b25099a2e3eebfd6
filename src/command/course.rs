//! Reloads in two parts: a canary that is started and kept, and what becomes of it. See [`Course`].

use clap::Args;

use super::apply::Prepared;
use super::context::Context;
use super::jobs::{Jobs, LONGEST};
use super::kept;
use super::targets::{self, Target};
use super::waiting::{TICK, Waiting};
use crate::cluster::asked::Wish;
use crate::cluster::progress;
use crate::contract::{Amount, Course};
use crate::generate;
use crate::output::{Exit, Failure, Notice};
use crate::state::{self, Lock};
use crate::systemd::ActiveState;
use crate::unit::name::Units;

/// The largest number of the keys `surge` and `parallel`.
const MOST: u32 = 1024;

/// The part of a reload that is wanted; all of it without a flag.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct Part {
    /// Start one canary of the new version, and keep it until `--promote` or `--abort`
    #[arg(long, conflicts_with_all = ["surge", "parallel"])]
    canary_only: bool,
    /// Continue with a canary that `--canary-only` has started: replace the instances
    #[arg(long)]
    promote: bool,
    /// Drain and stop a canary that `--canary-only` has started
    #[arg(long, conflicts_with_all = ["surge", "parallel"])]
    abort: bool,
}

impl Part {
    /// The course that a flag asks for.
    pub(super) fn course(&self) -> Option<Course> {
        let flags = [
            (self.canary_only, Course::CanaryOnly),
            (self.promote, Course::Promote),
            (self.abort, Course::Abort),
        ];
        flags
            .into_iter()
            .find_map(|(is_on, course)| is_on.then_some(course))
    }
}

/// The pace of one walk, where it is to be another than the file says.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Pace {
    /// For this reload: how many canaries start first, a number or a percentage of the instances
    #[arg(long, value_name = "N|PERCENT", value_parser = surge)]
    surge: Option<Amount>,
    /// For this reload: how many instances are replaced at a time, a number or a percentage of them
    #[arg(long, value_name = "N|PERCENT", value_parser = parallel)]
    parallel: Option<Amount>,
}

impl Pace {
    /// Returns whether any of it is on the command line.
    pub(super) fn is_given(&self) -> bool {
        self.surge.is_some() || self.parallel.is_some()
    }

    /// Returns what is wished of a walk that takes this course.
    pub(super) fn on(self, course: Option<Course>) -> Wish {
        Wish {
            course,
            surge: self.surge,
            parallel: self.parallel,
        }
    }
}

fn surge(text: &str) -> Result<Amount, String> {
    amount(text, 0)
}

fn parallel(text: &str) -> Result<Amount, String> {
    amount(text, 1)
}

/// Reads an amount in the bounds of the key of this name.
fn amount(text: &str, least: u32) -> Result<Amount, String> {
    let amount = text.parse::<Amount>();
    match amount.map_err(|fault| format!("{}; {}", fault.message, fault.help))? {
        Amount::Exactly(number) if !(least..=MOST).contains(&number) => {
            Err(format!("write a number from {least} to {MOST}"))
        }
        amount => Ok(amount),
    }
}

/// Has the walk of one app take this course, at this pace.
pub(super) fn take(context: &mut Context<'_>, app: &str, wish: Wish) -> Result<(), Failure> {
    if generate::is_known_job(&context.layout, app) {
        return Err(Failure::new(
            Exit::Usage,
            format!("`{app}` is a job, which has no reload"),
        ));
    }
    let mut jobs = context.jobs()?;
    let _alone = jobs.alone(app)?;
    let active = jobs.manager.unit(&Units::of(app).cluster())?.active;
    let refused = |message: String, help: String| Err(Failure::failed(message).help(help));
    if active != ActiveState::Active {
        return refused(
            format!("`{app}` is not active"),
            format!("run `rsgen start {app}`"),
        );
    }
    if wish.course == Some(Course::CanaryOnly) {
        kept::refuse(&mut jobs, app)?;
    } else if progress::kept(&jobs.layout.state(app)).is_empty() {
        return refused(
            format!("no canary of `{app}` is kept"),
            format!("run `rsgen reload {app} --canary-only`"),
        );
    }
    jobs.reload_by(app, wish)
}

/// The refusal of a command that has asked nothing of the instances.
fn later(message: String) -> Failure {
    Failure {
        untouched: true,
        ..Failure::failed(message).help("try again when it has ended")
    }
}

impl Jobs<'_> {
    /// Takes the lock of commands that have a walk do something of its own, where no walk is under way. systemd runs the job of a second
    /// one after the first, whose walk has by then taken the note of both: without a note, that job would replace all instances.
    pub(super) fn alone(&mut self, app: &str) -> Result<Lock, Failure> {
        let lock = self.part(app)?;
        self.refuse_walk(app)?;
        Ok(lock)
    }

    /// Refuses a wish while a walk is under way: a walk that waits for another may begin too late for its note.
    pub(super) fn refuse_walk(&mut self, app: &str) -> Result<(), Failure> {
        match self.manager.unit(&Units::of(app).cluster())?.active {
            ActiveState::Reloading => Err(later(format!("a reload of `{app}` is under way"))),
            _ => Ok(()),
        }
    }

    /// Takes the lock of commands that have the instances of an app replaced in a way of their own.
    pub(super) fn part(&mut self, app: &str) -> Result<Lock, Failure> {
        let folder = state::part(&self.layout.run, app);
        let taken = Lock::take(&folder);
        let taken = taken.map_err(|e| later(format!("{}: {e}", folder.display())))?;
        taken.ok_or_else(|| {
            later(format!(
                "another command is reloading `{app}` with its own options"
            ))
        })
    }

    /// Waits until `look` returns something, which it does once no reload of the app is under way.
    pub(super) fn outlast_reload<T>(
        &mut self,
        app: &str,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let end = self.manager.now() + LONGEST;
        let mut is_told = false;
        let mut waiting = Waiting::begin(self.sink);
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if self.manager.now() > end {
                return Err(
                    Failure::failed(format!("a reload of `{app}` is still under way"))
                        .help(format!("see `rsgen logs {app}`")),
                );
            }
            if !is_told {
                is_told = true;
                let what = "waiting for a reload that is under way";
                self.sink.notice(&Notice::Waiting(app, what));
            }
            waiting.tell_of(self.sink, app, "a reload that is under way");
            self.manager.pause(TICK);
        }
    }
}

/// Refuses a canary of new units: every other instance would run them from its next start on, and an abort could not take them back.
pub(super) fn refuse_changes(prepared: &Prepared) -> Result<(), Failure> {
    if prepared.all_changes().next().is_none() {
        return Ok(());
    }
    let app = &prepared.app;
    Err(Failure::failed(format!(
        "`--canary-only` is for new code with unchanged units, but the units of `{app}` would change; nothing was changed"
    ))
    .help(format!(
        "run `rsgen reload {app}`, which starts with a canary as well"
    )))
}

/// The apps among targets that name no file.
pub(super) fn apps(words: &[String], targets: Vec<Target>) -> Result<Vec<String>, Failure> {
    if let Some(file) = words.iter().find(|word| targets::is_file(word)) {
        return Err(Failure::new(
            Exit::Usage,
            format!("`{file}` is a file; `--canary-only` needs the name of an installed app"),
        )
        .help("write the name of the app"));
    }
    let apps = targets.into_iter().filter_map(|target| match target {
        Target::App(app) => Some(app),
        Target::Instance(..) => None,
    });
    Ok(apps.collect())
}
