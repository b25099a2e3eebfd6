//! Starts, stops, restarts and reloads on another host, as jobs of its systemd.
//!
//! A reload is what `systemctl reload` does there: the walk itself runs in the cluster unit, whether this command goes on or not.

use std::time::Duration;

use super::super::hint;
use super::super::jobs::{GLANCE, LONGEST, Next, after_cancel};
use super::super::options::Targets;
use super::super::resume::Resumed;
use super::super::serving::{PATIENCE, is_on_its_way};
use super::super::targets::{self, Target};
use super::super::waiting::{TICK, Waiting};
use super::{Found, Remote};
use crate::output::{CANCELLED, Exit, Failure, Notice};
use crate::systemd::{self, ATTEMPTS, ActiveState, Brief, Job, JobResult, Verb};
use crate::unit::name::{Member, Units, parse};

/// Carries out a verb on each target in turn, until the first failure; returns what was done.
pub(in crate::command) fn carry_out(
    remote: &mut Remote<'_>,
    words: &Targets,
    verb: Verb,
) -> Result<Vec<String>, Failure> {
    let mut done = Vec::new();
    for (target, found) in resolve(remote, words)? {
        match &target {
            Target::Instance(app, number) => {
                remote.on_instance(verb, (app, *number), &target, found)?;
            }
            Target::App(app) if found.is_job => {
                let is_named = words.name(app);
                remote.on_job(verb, app, is_named)?;
            }
            Target::App(app) => remote.on_app(verb, app, found)?,
        }
        let target = target.to_string();
        remote
            .sink
            .notice(&Notice::Done(&target, &verb.to_string()));
        done.push(target);
    }
    Ok(done)
}

/// The end of a pause; returns what it has started.
pub(in crate::command) fn resume(remote: &mut Remote<'_>, word: &str) -> Result<Resumed, Failure> {
    let (app, found) = remote.app(word)?;
    let units = Units::of(&app);
    let before = remote.ready(units)?;
    let changed = !remote.loaded(&[units.pause()])?.is_empty();
    if changed {
        remote.run(Verb::Stop, &units.pause())?;
        remote.all_serve(&app, found)?;
    }
    let mut instances = remote.ready(units)?;
    instances.retain(|number| changed && !before.contains(number));
    Ok(Resumed {
        app,
        changed,
        instances,
    })
}

/// The targets on the command line; all of them are known before anything is done.
fn resolve(remote: &mut Remote<'_>, words: &Targets) -> Result<Vec<(Target, Found)>, Failure> {
    if !words.only.is_empty() {
        return Err(remote.refuse_option("`--only`"));
    }
    if let Some(file) = words.targets.iter().find(|word| targets::is_file(word)) {
        return Err(remote.refuse_option(&format!("`{file}`")));
    }
    let apps = remote.apps()?;
    let known: Vec<String> = apps.keys().cloned().collect();
    let mut found: Vec<(Target, Found)> = Vec::new();
    for word in &words.targets {
        let targets = if word == "all" {
            known.iter().cloned().map(Target::App).collect()
        } else {
            let target = targets::app_or_instance(word, &known);
            vec![target.map_err(|failure| remote.not_there(failure))?]
        };
        for target in targets {
            let (Target::App(app) | Target::Instance(app, _)) = &target;
            let Some(of) = apps.get(app).copied() else {
                continue;
            };
            if !found.iter().any(|(known, _)| *known == target) {
                found.push((target, of));
            }
        }
    }
    Ok(found)
}

impl Remote<'_> {
    /// The targets on the command line.
    pub(in crate::command) fn targets(&mut self, words: &Targets) -> Result<Vec<Target>, Failure> {
        let found = resolve(self, words)?;
        Ok(found.into_iter().map(|(target, _)| target).collect())
    }

    /// The numbers of the instances that serve, in order.
    fn ready(&mut self, units: Units<'_>) -> Result<Vec<u32>, Failure> {
        let instances = self.ask(|manager| manager.units(&units.instances()))?;
        let ready = instances.iter().filter(|unit| unit.is_ready());
        let mut numbers: Vec<u32> = ready.filter_map(|unit| units.number(&unit.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn on_app(&mut self, verb: Verb, app: &str, found: Found) -> Result<(), Failure> {
        let units = Units::of(app);
        let cluster = units.cluster();
        match verb {
            Verb::Stop | Verb::StopAlone => {
                // The socket first: while its stop waits for the cluster, no connection starts anything.
                for socket in self.loaded(&[units.socket(), units.second_socket()])? {
                    self.run(verb, &socket)?;
                }
                self.run(verb, &cluster)?;
                for listener in self.loaded(&[units.listeners()])? {
                    self.run(verb, &listener)?;
                }
                Ok(())
            }
            Verb::Reload | Verb::ReloadIfFree => {
                if self.ask(|manager| manager.unit(&cluster))?.active != ActiveState::Active {
                    let host = &self.host;
                    return Err(Failure::failed(format!("{host}: `{app}` is not running"))
                        .help(format!("run `rsgen --host {host} start {app}`")));
                }
                self.sink.notice(&Notice::Reloading(app));
                self.run(verb, &cluster)
            }
            Verb::Start | Verb::Restart => {
                let notice = match verb {
                    Verb::Start => Notice::Starting(app),
                    _ => Notice::Restarting(app),
                };
                self.sink.notice(&notice);
                // The cluster unit of a paused app is active, so its start alone says nothing about the instances.
                for pause in self.loaded(&[units.pause()])? {
                    self.run(Verb::Stop, &pause)?;
                }
                self.run(verb, &cluster)?;
                self.all_serve(app, found)
            }
        }
    }

    /// A job is run at once where it is named; of `all`, only its timer is started. Its end is waited for, however long it takes.
    fn on_job(&mut self, verb: Verb, app: &str, is_named: bool) -> Result<(), Failure> {
        let units = Units::of(app);
        match verb {
            Verb::Reload | Verb::ReloadIfFree => {
                let fault = format!("{}: `{app}` is a job, which is not reloaded", self.host);
                Err(Failure::failed(fault))
            }
            Verb::Stop | Verb::StopAlone => {
                self.run(verb, &units.timer())?;
                self.run(verb, &units.cluster())?;
                for instance in self.loaded(&[units.instances()])? {
                    self.run(verb, &instance)?;
                }
                Ok(())
            }
            Verb::Start | Verb::Restart => {
                self.run(Verb::Start, &units.timer())?;
                if !is_named {
                    return Ok(());
                }
                self.run_within(verb, &units.cluster(), Duration::MAX)
            }
        }
    }

    fn on_instance(
        &mut self,
        verb: Verb,
        (app, number): (&str, u32),
        target: &Target,
        found: Found,
    ) -> Result<(), Failure> {
        if verb == Verb::Reload {
            let fault = format!("`{target}` is one instance; a reload replaces all instances");
            let host = &self.host;
            return Err(Failure::new(Exit::Usage, fault).help(format!(
                "run `rsgen --host {host} reload {app}`, or for this instance `rsgen --host {host} restart {target}`"
            )));
        }
        let is_beyond = found.wanted.is_some_and(|wanted| number >= wanted);
        if is_beyond && verb != Verb::Stop {
            let fault = format!("{}: `{app}` has no instance `{target}`", self.host);
            return Err(Failure::new(Exit::Usage, fault)
                .help(format!("run `rsgen --host {} list {app}`", self.host)));
        }
        if verb == Verb::Stop && !self.loaded(&[Units::of(app).pause()])?.is_empty() {
            let help = self.host.typed(&format!("rsgen resume {app}"));
            return Err(Failure::failed(format!("{}: `{app}` is paused", self.host))
                .help(format!("run `{help}` first")));
        }
        let unit = Units::of(app).instance(number);
        self.run(verb, &unit)?;
        // To systemd, a start that a condition has prevented is done.
        let state = self.ask(|manager| manager.unit(&unit))?;
        if verb != Verb::Stop && state.is_unmet() {
            let fault = format!("{}: {verb} of {unit} failed: {}", self.host, state.why());
            return Err(Failure::failed(fault).help(self.unmet(&target.to_string())));
        }
        Ok(())
    }

    /// The hint for what a condition has kept down.
    fn unmet(&self, target: &str) -> String {
        let host = &self.host;
        format!("make sure on {host} that it holds, and run `rsgen --host {host} start {target}`")
    }

    /// The units that match one of these globs and are not down.
    fn loaded(&mut self, patterns: &[String]) -> Result<Vec<String>, Failure> {
        let mut all = Vec::new();
        for pattern in patterns {
            let found = self.ask(|manager| manager.units(pattern))?;
            let up = found
                .into_iter()
                .filter(|unit| !unit.is_gone() || unit.job.is_some());
            all.extend(up.map(|unit| unit.name));
        }
        Ok(all)
    }

    fn run(&mut self, verb: Verb, unit: &str) -> Result<(), Failure> {
        self.run_within(verb, unit, LONGEST)
    }

    /// Queues a job and waits until it ends. A unit that is not loaded needs no stop.
    fn run_within(&mut self, verb: Verb, unit: &str, at_most: Duration) -> Result<(), Failure> {
        let before = self.ask(|manager| manager.unit(unit))?.invocation;
        for left in (0..=ATTEMPTS).rev() {
            let queued = self.manager()?.queue(verb, unit);
            let job = match queued {
                Err(systemd::Error::NoSuchUnit { .. }) if verb == Verb::Stop => return Ok(()),
                queued => queued.map_err(|e| self.failure(e))?,
            };
            match self.end(&job, at_most)? {
                JobResult::Done | JobResult::Skipped => return Ok(()),
                JobResult::Canceled => {}
                result => return Err(self.failed(verb, unit, result)),
            }
            let now = self.settled(unit)?;
            match after_cancel(verb, &now, &before) {
                Next::Done => return Ok(()),
                Next::Again if left > 0 => self.sink.notice(&Notice::QueuedAgain(verb, unit)),
                Next::Again | Next::GiveUp => break,
            }
        }
        Err(self.failed(verb, unit, JobResult::Canceled))
    }

    /// Waits until a job ends, and tells meanwhile what the cluster unit says of itself.
    fn end(&mut self, job: &Job, at_most: Duration) -> Result<JobResult, Failure> {
        let begun = self.manager()?.now();
        let app = match parse(&job.unit) {
            Some((app, Member::Cluster)) => Some(app.to_owned()),
            _ => None,
        };
        let mut told = None;
        let mut waiting = Waiting::begin(self.sink);
        loop {
            let nap = waiting.nap(self.sink, GLANCE);
            let waited = self.manager()?.wait(job, nap);
            let time = self.manager()?.now().saturating_sub(begun);
            match waited {
                Err(systemd::Error::TimedOut { .. }) if time < at_most => {}
                result => return result.map_err(|e| self.failure(e)),
            }
            if let Some(app) = &app {
                let text = self.ask(|manager| manager.unit(&job.unit))?.status_text;
                // The first text may be one of before.
                let is_new = told.replace(text.clone()).is_some_and(|told| told != text);
                if is_new && !text.is_empty() {
                    self.sink.notice(&Notice::Waiting(app, &text));
                    waiting.is_interrupted();
                }
            }
            self.tell(&mut waiting, &job.unit)?;
        }
    }

    /// Says what is waited for, if nothing has been shown for a while.
    fn tell(&mut self, waiting: &mut Waiting, unit: &str) -> Result<(), Failure> {
        let sink = self.sink;
        waiting.tell(self.manager()?, sink, None, unit);
        Ok(())
    }

    /// The state of a unit once it has settled after its job was cancelled.
    fn settled(&mut self, unit: &str) -> Result<systemd::Unit, Failure> {
        let end = self.manager()?.now() + LONGEST;
        let mut waiting = Waiting::begin(self.sink);
        loop {
            let now = self.ask(|manager| manager.unit(unit))?;
            if now.job.is_some() || !now.is_moving() || self.manager()?.now() > end {
                return Ok(now);
            }
            self.tell(&mut waiting, unit)?;
            self.manager()?.pause(TICK);
        }
    }

    /// Waits for the instances of an app that has just been started.
    fn all_serve(&mut self, app: &str, found: Found) -> Result<(), Failure> {
        let units = Units::of(app);
        let end = self.manager()?.now() + PATIENCE;
        let mut waiting = Waiting::begin(self.sink);
        let instances = loop {
            let mut instances = self.ask(|manager| manager.units(&units.instances()))?;
            let mut unmet = Vec::new();
            for unit in instances.iter().filter(|unit| unit.is_gone()) {
                if self.ask(|manager| manager.unit(&unit.name))?.is_unmet() {
                    unmet.push(unit.name.clone());
                }
            }
            instances.retain(|unit| is_wanted(units, unit, found, unmet.contains(&unit.name)));
            if !instances.iter().any(is_on_its_way) || self.manager()?.now() >= end {
                break instances;
            }
            self.tell(&mut waiting, &units.cluster())?;
            self.manager()?.pause(TICK);
        };
        let mut down = instances.iter().filter(|unit| !unit.is_ready());
        let Some(first) = down.next() else {
            return Ok(());
        };
        let unit = self.ask(|manager| manager.unit(&first.name))?;
        let why = unit.why();
        let (all, down) = (instances.len(), down.count() + 1);
        let (serving, name, host) = (all - down, &first.name, &self.host);
        let fault = format!("{host}: {app}: {serving} of {all} serving; {name}: {why}");
        let help = if unit.is_unmet() {
            self.unmet(app)
        } else {
            self.logs(app)
        };
        Err(Failure::failed(fault).help(help))
    }

    fn logs(&self, app: &str) -> String {
        format!("run `{}`", self.host.typed(&format!("rsgen logs {app}")))
    }

    fn failed(&mut self, verb: Verb, unit: &str, result: JobResult) -> Failure {
        let exit = if result == JobResult::Timeout {
            Exit::TimedOut
        } else {
            Exit::Failed
        };
        let how = match result {
            JobResult::Canceled => format!("was {CANCELLED}"),
            result => format!("ended as `{result}`"),
        };
        let host = &self.host;
        let mut fault = format!("{host}: {verb} of {unit} {how}");
        let help = match parse(unit) {
            Some((app, _)) => self.logs(app),
            None => hint::journal_of(unit),
        };
        if let Ok(state) = self.ask(|manager| manager.unit(unit)) {
            // After a failed walk its cluster unit is as active as before, and says what happened.
            let why = match (verb, state.status_text.as_str()) {
                (Verb::Reload, text) if !text.is_empty() => text.to_owned(),
                _ => state.why(),
            };
            fault = format!("{fault} ({why})");
        }
        Failure::new(exit, fault).help(help)
    }
}

/// Whether an instance belongs to an app that has just been started, and has not been stopped on purpose.
fn is_wanted(units: Units<'_>, unit: &Brief, found: Found, is_unmet: bool) -> bool {
    let number = units.number(&unit.name);
    let is_known = number.is_some_and(|number| found.wanted.is_none_or(|wanted| number < wanted));
    is_known && (unit.active != ActiveState::Inactive || unit.job.is_some() || is_unmet)
}
