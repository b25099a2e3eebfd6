//! Queues the walk of an app and follows it: the cluster unit walks, and this command shows the progress. The walk goes
//! on when this command ends early.

use std::time::Instant;

use super::hint;
use super::jobs::{Jobs, LONGEST};
use super::last_words;
use super::picture::Picture;
use super::state;
use super::tail::Tail;
use super::waiting::{TICK, Waiting};
use crate::cluster::asked::{self, Wish};
use crate::contract::Course;
use crate::output::{Block, Exit, Failure, Notice};
use crate::systemd::{self, ATTEMPTS, ActiveState, Job, JobResult, Verb};
use crate::unit::name::Units;
use crate::visible::Visible;
use crate::walk::Record;

/// How many instances on their way are looked at each time.
const SEEN: usize = 16;

/// What has been read of a walk so far.
struct Followed {
    tail: Tail,
    last: Option<Record>,
    /// The lines of the walk that have been shown.
    told: Vec<String>,
    waiting: Waiting,
    /// The picture that takes the place of lines on a terminal.
    drawn: Option<(Block, Picture)>,
}

/// How a walk ended.
enum End {
    /// Every instance was replaced.
    Done,
    /// The walk reported its failure.
    Failed(Failure),
}

impl Jobs<'_> {
    /// Leaves the note that tells the walk what is wished.
    fn wish(&mut self, app: &str, wish: Wish) -> Result<Option<asked::Note>, Failure> {
        if wish.is_none() {
            return Ok(None);
        }
        let state = self.layout.state(app);
        let noted = asked::ask(&state, wish, self.manager.now());
        let noted = noted.map_err(|e| Failure::failed(format!("{}: {e}", state.display())))?;
        Ok(Some(noted))
    }

    /// Reloads an active app as it is wished.
    pub(super) fn reload(&mut self, app: &str, wish: Wish) -> Result<(), Failure> {
        let _alone = match (wish.is_none(), &self.part) {
            (true, _) => None,
            (false, None) => Some(self.alone(app)?),
            (false, Some(_)) => {
                self.refuse_walk(app)?;
                None
            }
        };
        self.reload_by(app, wish)
    }

    /// Does the same, or the part of a reload that is wished, for a command that is [alone](Jobs::alone) where the wish needs that.
    pub(super) fn reload_by(&mut self, app: &str, wish: Wish) -> Result<(), Failure> {
        let course = wish.course;
        let unit = Units::of(app).cluster();
        let _asked = self.ask_for_a_walk(app);
        self.sink.notice(&Notice::Reloading(app));
        // The walk forgets the deaths of an instance when it starts it anew: if the canary fails, why another was given up is still known.
        state::forget_failures(self.layout, app);
        for left in (0..=ATTEMPTS).rev() {
            let mut walk = Followed {
                tail: Tail::new(&self.layout.state(app)),
                last: None,
                told: Vec::new(),
                waiting: Waiting::begin(self.sink),
                drawn: self.sink.block().map(|block| (block, Picture::new(app))),
            };
            let _note = self.wish(app, wish)?;
            let job = self.manager.queue(Verb::Reload, &unit)?;
            let end = match self.follow(&job, &mut walk)? {
                // When the end of a job was missed, an active cluster unit counts as `Done`; the walk's own last record
                // is more reliable.
                JobResult::Done => match end(walk.last.as_ref(), app, course) {
                    Some(End::Failed(failure)) => Some(End::Failed(failure)),
                    // A walk that has begun and has no end was killed.
                    None if walk.last.is_some() => Some(End::Failed(self.failed_after(
                        Verb::Reload,
                        &unit,
                        JobResult::Failed,
                        &walk.told,
                    ))),
                    _ => return Ok(()),
                },
                JobResult::Canceled => self.outlast(app, course, &mut walk)?,
                result => Some(match end(walk.last.as_ref(), app, course) {
                    Some(End::Failed(failure)) => End::Failed(failure),
                    _ => End::Failed(self.failed_after(Verb::Reload, &unit, result, &walk.told)),
                }),
            };
            match end {
                Some(End::Done) => return Ok(()),
                Some(End::Failed(failure)) => {
                    self.repeat(app, walk.last.as_ref());
                    let elsewhere = last_words::elsewhere(self.layout, app, None);
                    return Err(failure.help_first(elsewhere));
                }
                None => {}
            }
            let now = self.manager.unit(&unit)?;
            if now.active != ActiveState::Active || now.job.is_some() || left == 0 {
                break;
            }
            self.sink.notice(&Notice::QueuedAgain(Verb::Reload, &unit));
        }
        Err(self.failed(Verb::Reload, &unit, JobResult::Canceled))
    }

    /// Follows a walk until its job ends.
    fn follow(&mut self, job: &Job, walk: &mut Followed) -> Result<JobResult, Failure> {
        let end = Instant::now() + LONGEST;
        loop {
            let result = self.manager.wait(job, TICK);
            self.tell(walk);
            match result {
                Err(systemd::Error::TimedOut { .. }) if Instant::now() < end => {}
                result => return Ok(result?),
            }
            self.draw(walk, &job.unit);
        }
    }

    /// Follows a walk whose job was cancelled. The walk itself goes on. Returns `None` when it had not begun or was
    /// killed, so that its end is unknown.
    fn outlast(
        &mut self,
        app: &str,
        course: Option<Course>,
        walk: &mut Followed,
    ) -> Result<Option<End>, Failure> {
        if let Some((block, _)) = &mut walk.drawn {
            block.leave();
        }
        self.sink.notice(&Notice::WalkCancelled(app));
        let limit = Instant::now() + LONGEST;
        loop {
            let unit = self.manager.unit(&Units::of(app).cluster())?;
            self.tell(walk);
            self.draw(walk, &unit.name);
            if unit.active != ActiveState::Reloading || Instant::now() > limit {
                return Ok(end(walk.last.as_ref(), app, course));
            }
            self.manager.pause(TICK);
        }
    }

    /// Shows the last output of the instance because of which a walk failed.
    fn repeat(&self, app: &str, last: Option<&Record>) {
        let failed = last.and_then(Record::failure);
        for line in failed
            .map(|failed| last_words::of_a_walk(self.layout, app, failed))
            .unwrap_or_default()
        {
            self.sink.notice(&Notice::LastWord(&line));
        }
    }

    fn tell(&mut self, walk: &mut Followed) {
        for record in walk.tail.read() {
            let event = record.event.as_ref();
            let is_drawn = match (&mut walk.drawn, event) {
                (Some((block, picture)), Some(event)) => {
                    let is_drawn = picture.take(event, self.manager.now());
                    // The picture stays as it was at the end.
                    block.draw(&picture.lines(self.manager.now(), block.room()));
                    if record.is_done() || record.failure().is_some() {
                        block.leave();
                    } else if !is_drawn {
                        block.erase();
                    }
                    is_drawn
                }
                _ => false,
            };
            if !is_drawn {
                self.sink.notice(&Notice::Walked(&record));
            }
            // In the words of the journal.
            walk.told.push(Visible::line(&record.text).to_string());
            walk.last = Some(record);
            walk.waiting.is_interrupted();
        }
    }

    /// Draws what has become of the instances that are on their way, or says what the walk is waiting for.
    fn draw(&mut self, walk: &mut Followed, unit: &str) {
        let is_over = |last: &Record| last.is_done() || last.failure().is_some();
        match &mut walk.drawn {
            Some((block, picture)) if walk.last.is_some() => {
                if walk.last.as_ref().is_some_and(is_over) {
                    return;
                }
                let app = picture.app.clone();
                let units = Units::of(&app);
                for number in picture.moving().into_iter().take(SEEN) {
                    // If systemd does not answer, the wait for the job fails.
                    if let Ok(unit) = self.manager.unit(&units.instance(number)) {
                        picture.see(number, &unit);
                    }
                }
                block.draw(&picture.lines(self.manager.now(), block.room()));
            }
            _ => walk
                .waiting
                .tell(self.manager, self.sink, Some(self.layout), unit),
        }
    }
}

/// Returns the end of a walk by the last record in its file. A walk that was killed has left no such record.
fn end(last: Option<&Record>, app: &str, course: Option<Course>) -> Option<End> {
    let last = last?;
    if last.is_end_of(course) {
        return Some(End::Done);
    }
    if last.is_done() {
        // systemd merges reloads that are queued at the same moment, and of two notes the walk finds the later one.
        let message = format!(
            "{app}: another command requested a different part of a reload at the same time, and that one was carried out: {}",
            last.text
        );
        let failure = Failure::failed(message);
        return Some(End::Failed(failure.help(
            "look at `rsgen list`, and run this command again if it is still wanted",
        )));
    }
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
    let number = failed.number.filter(|_| failed.unmet);
    let unmet = number.map(|number| hint::unmet_by(&Units::of(app).instance(number), app));
    let help = unmet.unwrap_or_else(|| hint::journal(app));
    Some(End::Failed(failure.help(help)))
}
