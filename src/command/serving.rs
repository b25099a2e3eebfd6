//! Checks that all instances of an app serve. systemd considers a cluster started as soon as one of them does.

use std::time::Duration;

use super::jobs::Jobs;
use super::last_words;
use super::waiting::{TICK, Waiting};
use super::{hint, status};
use crate::brake::Deaths;
use crate::cluster::pause;
use crate::contract::Ready;
use crate::generate::sources;
use crate::output::{Failure, Notice};
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, Brief, QueuedJob};
use crate::unit::name::Units;

/// How long to wait for instances whose first start failed: systemd starts them again until they serve or until the
/// crash-loop brake stops them.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The longest that instances have to stay up before they count as serving.
const LONGEST: Duration = Duration::from_secs(2);

impl Jobs<'_> {
    /// Waits for the instances of an app that has just been started.
    ///
    /// # Errors
    /// When some of the instances do not serve.
    pub(super) fn all_serve(&mut self, app: &str) -> Result<(), Failure> {
        self.serve(app, None)
    }

    /// Does the same for instances that have been started by their numbers. One of these that is down now has not been stopped on
    /// purpose: the brake stops an instance that it gives up.
    pub(super) fn serve(&mut self, app: &str, numbers: Option<&[u32]>) -> Result<(), Failure> {
        let units = Units::of(app);
        let chosen = |instance: &Brief| {
            let number = units.number(&instance.name);
            numbers.is_none_or(|numbers| number.is_some_and(|n| numbers.contains(&n)))
        };
        let end = self.manager.now() + PATIENCE;
        let started = numbers.unwrap_or_default();
        let settle = self.unproven(app);
        let is_start = numbers.is_none();
        let mut instances = self.wanted(app, started, is_start)?;
        let mut restless = Vec::new();
        let mut waiting = Waiting::begin(self.sink);
        while self.manager.now() < end {
            if instances.iter().any(|i| chosen(i) && is_on_its_way(i)) {
                self.manager.pause(TICK);
                waiting.tell(self.manager, self.sink, Some(self.layout), &units.cluster());
            } else {
                let ready = instances.iter().filter(|i| chosen(i) && i.is_ready());
                restless = self.restless(app, ready, settle, &mut waiting)?;
                if restless.is_empty() {
                    break;
                }
            }
            instances = self.wanted(app, started, is_start)?;
        }
        let is_down = |i: &&Brief| chosen(i) && (!i.is_ready() || restless.contains(&i.name));
        let down: Vec<&Brief> = instances.iter().filter(is_down).collect();
        let Some(first) = down.first() else {
            return if is_start {
                self.tell_finished(app)
            } else {
                Ok(())
            };
        };
        let unit = self.manager.unit(&first.name)?;
        for line in last_words::of_unit(self.layout, &unit) {
            self.sink.notice(&Notice::LastWord(&line));
        }
        let why = status::reason(self.layout, app, &unit).unwrap_or_else(|| unit.why());
        let why = if unit.is_ready() {
            format!("does not stay up: {why}")
        } else {
            why
        };
        let (all, down, name) = (instances.len(), down.len(), &unit.name);
        let serving = all - down;
        let message = format!("{app}: {serving} of {all} serving; {name}: {why}");
        let failure = Failure::failed(message);
        Err(match hint::unmet(&unit, app) {
            Some(help) => failure.help(help),
            None => failure
                .help(hint::journal(app))
                .help_first(last_words::elsewhere(
                    self.layout,
                    app,
                    units.number(&unit.name),
                )),
        })
    }

    /// Returns how long an instance has to stay up after it is READY: the `settle` of a reload, where READY says only that the program
    /// was started. Otherwise nothing.
    fn unproven(&self, app: &str) -> Duration {
        let source = sources::find(self.layout, app);
        let loaded = source.and_then(|source| sources::load(self.layout, &source).ok());
        let unproven = loaded.filter(|(_, app)| app.ready == Ready::Exec);
        unproven.map_or(Duration::ZERO, |(_, app)| app.rollout.settle.min(LONGEST))
    }

    /// Tells which instances of an app that was started just now have ended since, in good order: as `autorestart = false` and
    /// `stop_exit_codes` allow.
    fn tell_finished(&mut self, app: &str) -> Result<(), Failure> {
        let mut finished = Vec::new();
        for brief in self.manager.units(&Units::of(app).instances())? {
            let unit = self.manager.unit(&brief.name)?;
            let has_run = unit.active_enter > unit.inactive_exit && !unit.never_ran();
            if brief.active == ActiveState::Inactive && brief.job.is_none() && has_run {
                let name = unit.name.trim_end_matches(".service");
                finished.push(format!(
                    "{name} has ended by itself, as the app allows: {}",
                    unit.why()
                ));
            }
        }
        for text in finished {
            self.sink.notice(&Notice::Noted(app, &text));
        }
        Ok(())
    }

    /// Waits for so long, and returns the names of the instances that are not the same processes afterwards. Those that have ended for
    /// good by themselves, as `autorestart = false` allows, are none of them.
    fn restless<'a>(
        &mut self,
        app: &str,
        instances: impl Iterator<Item = &'a Brief>,
        settle: Duration,
        waiting: &mut Waiting,
    ) -> Result<Vec<String>, Failure> {
        if settle.is_zero() {
            return Ok(Vec::new());
        }
        let mut before = Vec::new();
        for instance in instances {
            before.push((&instance.name, self.manager.unit(&instance.name)?.main_pid));
        }
        let end = self.manager.now() + settle;
        while self.manager.now() < end {
            let left = end.saturating_sub(self.manager.now());
            self.manager.pause(waiting.nap(self.sink, left));
            waiting.tell_of(self.sink, app, "the instances to have been up for a while");
        }
        let mut restless = Vec::new();
        for (name, pid) in before {
            let now = self.manager.unit(name)?;
            let number = Units::of(app).number(name);
            let has_died = number.is_some_and(|number| self.has_died(app, number));
            let has_ended = now.active == ActiveState::Inactive && now.job.is_none() && !has_died;
            if !has_ended && (!now.is_ready() || now.main_pid != pid) {
                restless.push(name.clone());
            }
        }
        Ok(restless)
    }

    /// Returns whether no instance of an app has failed. While the app is paused there is none to start.
    pub(super) fn is_whole(&mut self, app: &str) -> Result<bool, Failure> {
        if pause::unit(self.manager, app)?.is_some() {
            return Ok(true);
        }
        let instances = self.wanted(app, &[], false)?;
        Ok(!instances.iter().any(Brief::is_gone))
    }

    /// Returns whether an instance has died by itself since its deaths were forgotten.
    fn has_died(&self, app: &str, number: u32) -> bool {
        let file = Entry::new(&self.layout.state(app), Name::Deaths(number));
        Deaths::load(&file).is_some()
    }

    /// Returns the instances that are loaded and were not stopped on purpose, and those with one of these numbers.
    /// An instance that a condition has kept down counts among them. Where the app has been started just now, those as well that have died
    /// since: the end of the cluster unit has a stop job queued for each, and systemd may call them stopped afterwards.
    fn wanted(
        &mut self,
        app: &str,
        started: &[u32],
        since_start: bool,
    ) -> Result<Vec<Brief>, Failure> {
        let names = Units::of(app);
        let mut wanted = Vec::new();
        for i in self.manager.units(&names.instances())? {
            let Some(number) = names.number(&i.name) else {
                continue;
            };
            let is_stopped = i.active == ActiveState::Inactive && i.job.is_none();
            let stops = i.job.as_ref().is_some_and(QueuedJob::is_stop);
            if started.contains(&number)
                || !is_stopped && !stops
                || since_start && self.has_died(app, number)
                || is_stopped && self.manager.unit(&i.name)?.is_unmet()
            {
                wanted.push(i);
            }
        }
        Ok(wanted)
    }
}

/// Returns whether the state of an instance is still going to change by itself.
pub(super) fn is_on_its_way(instance: &Brief) -> bool {
    !instance.is_ready() && (!instance.is_gone() || instance.job.is_some())
}
