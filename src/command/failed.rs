//! The failure of a job of systemd's: what could not be done, why, and what to look at.

use std::collections::BTreeSet;

use super::jobs::Jobs;
use super::{hint, last_words, port_owner, status};
use crate::output::{CANCELLED, Exit, Failure, Notice};
use crate::systemd::{ActiveState, JobResult, Unit, Verb};
use crate::unit::name::{Member, Units, owner, parse};
use crate::visible::Visible;

/// The largest number of reasons in a failure: each of many instances may have one of its own, such as a port.
const NAMED: usize = 3;

impl Jobs<'_> {
    /// Returns the failure for a job that ended badly, after showing the unit's last output.
    pub(super) fn failed(&mut self, verb: Verb, unit: &str, result: JobResult) -> Failure {
        self.failed_after(verb, unit, result, &[])
    }

    /// Does the same where these lines of the output have been shown.
    pub(super) fn failed_after(
        &mut self,
        verb: Verb,
        unit: &str,
        result: JobResult,
        told: &[String],
    ) -> Failure {
        let needed = match result {
            JobResult::Dependency => self.failed_socket(unit),
            JobResult::Failed if unit.ends_with(".socket") => Some(unit.to_owned()),
            JobResult::Failed => self.failed_listener(unit),
            _ => None,
        };
        let state = match &needed {
            Some(socket) => self.manager.unit(socket),
            None => self.manager.unit(unit),
        };
        let state = state.ok();
        if let Some(state) = &state {
            let mut words = self.words(verb, unit, needed.is_some(), state);
            words.retain(|line| !told.iter().any(|told| told == line.as_str()));
            for line in words {
                self.sink.notice(&Notice::LastWord(&line));
            }
        }
        let exit = if result == JobResult::Timeout {
            Exit::TimedOut
        } else {
            Exit::Failed
        };
        if let Some(socket) = needed {
            let message = if socket == unit {
                format!("{verb} of {unit} failed")
            } else {
                format!("{verb} of {unit} failed, because {socket} could not be started")
            };
            return self.unopened(exit, message, &socket);
        }
        if let Some((why, help)) = self.unmet(verb, unit, state.as_ref()) {
            let message = format!("{verb} of {unit} failed: {why}");
            return Failure::new(exit, message).help(help);
        }
        let why = match self.last_death(unit, state.as_ref()) {
            Some(death) => format!(" ({death})"),
            None => state.map(|u| format!(" ({})", u.why())).unwrap_or_default(),
        };
        let how = match result {
            JobResult::Canceled => format!("was {CANCELLED}"),
            JobResult::Dependency => {
                "failed, because a unit that it needs could not be started".into()
            }
            result => format!("ended as `{result}`"),
        };
        let help = match parse(unit) {
            Some((app, Member::Cluster)) => hint::journal(app),
            _ => hint::journal_of(unit),
        };
        Failure::new(exit, format!("{verb} of {unit} {how}{why}"))
            .help(help)
            .help_first(self.elsewhere(unit))
    }

    /// Returns the conditions that have kept a unit down, or all instances of an app, and what to do: the journal has nothing to say of them.
    fn unmet(&mut self, verb: Verb, unit: &str, state: Option<&Unit>) -> Option<(String, String)> {
        let app = parse(unit).map_or(unit, |(app, _)| app);
        let down = match state? {
            state if state.is_unmet() => vec![state.clone()],
            _ if verb == Verb::Stop => return None,
            _ => self.kept_down(unit)?,
        };
        let mut reasons: Vec<String> = Vec::new();
        for why in down.iter().map(Unit::why) {
            if !reasons.contains(&why) {
                reasons.push(why);
            }
        }
        reasons.truncate(NAMED);
        let help = hint::unmet(down.first()?, app)?;
        Some((reasons.join("; "), help))
    }

    /// Returns the instances of the cluster unit, if each of them was kept down by a condition.
    fn kept_down(&mut self, unit: &str) -> Option<Vec<Unit>> {
        let Some((app, Member::Cluster)) = parse(unit) else {
            return None;
        };
        let units = Units::of(app);
        let mut briefs = self.manager.units(&units.instances()).ok()?;
        briefs.sort_by_key(|brief| units.number(&brief.name));
        let mut down = Vec::new();
        for brief in briefs {
            let instance = self.manager.unit(&brief.name).ok()?;
            if !instance.is_unmet() {
                return None;
            }
            down.push(instance);
        }
        Some(down)
    }

    /// Returns the last output of a unit, or of the socket that it needs, in this state.
    fn words(&self, verb: Verb, unit: &str, is_socket: bool, state: &Unit) -> Vec<Visible> {
        match (parse(unit), verb) {
            (Some((app, _)), _) if is_socket => last_words::of_a_socket(self.layout, app, state),
            (Some((app, Member::Cluster)), _) if is_next(state) => {
                last_words::of_any_run_since(self.layout, app, self.begun)
            }
            (_, Verb::Reload) => last_words::of_unit_since(self.layout, state, self.begun),
            _ => last_words::of_unit(self.layout, state),
        }
    }

    /// Returns how the instances died, where the cluster unit is being started again by now. A reason that several have is told of the first,
    /// so that the cause is not left out because an instance with a lower number died of what the cause led to.
    fn last_death(&mut self, unit: &str, state: Option<&Unit>) -> Option<String> {
        let (app, member) = parse(unit)?;
        if !matches!(member, Member::Cluster) || !state.is_some_and(is_next) {
            return None;
        }
        let briefs = self.manager.units(&Units::of(app).instances()).ok()?;
        let numbers = briefs
            .iter()
            .filter_map(|brief| Units::of(app).number(&brief.name));
        let mut told: Vec<(String, String)> = Vec::new();
        for number in numbers.collect::<BTreeSet<u32>>() {
            let name = Units::of(app).instance(number);
            let instance = self.manager.unit(&name).ok();
            let why = instance.and_then(|instance| status::reason(self.layout, app, &instance));
            told.extend(
                why.filter(|why| told.iter().all(|(_, other)| other != why))
                    .map(|why| (name, why)),
            );
        }
        let more = told.len().saturating_sub(NAMED);
        let mut told: Vec<String> = told
            .into_iter()
            .take(NAMED)
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        told.extend((more > 0).then(|| format!("and {more} more")));
        Some(told.join("; ")).filter(|told| !told.is_empty())
    }

    /// Names the file that the program of a unit writes to.
    fn elsewhere(&self, unit: &str) -> Option<String> {
        let (app, member) = parse(unit)?;
        let number = match member {
            Member::Instance(number) => Some(number),
            _ => None,
        };
        last_words::elsewhere(self.layout, app, number)
    }

    /// The failure because of a socket that could not be opened, with the program that has the address if that is still so.
    fn unopened(&mut self, exit: Exit, message: String, socket: &str) -> Failure {
        let layout = self.layout;
        let taken = owner(socket)
            .and_then(|(app, _)| port_owner::of_a_failed_socket(app, layout, self.manager));
        let see = format!("see `systemctl status {socket}`");
        match taken {
            Some(taken) => {
                let why = format!("{message}: {}", taken.message);
                Failure::new(exit, why).help(taken.help.unwrap_or(see))
            }
            None => Failure::new(exit, message)
                .help(format!("{see}; `ss -lntup` shows who uses an address")),
        }
    }

    /// Returns a listener of an app whose instances have one each, if a listener has failed.
    fn failed_listener(&mut self, unit: &str) -> Option<String> {
        let (app, _) = parse(unit)?;
        let listeners = self.manager.units(&Units::of(app).listeners()).ok()?;
        let failed = listeners
            .into_iter()
            .filter(|l| l.active == ActiveState::Failed);
        failed.map(|listener| listener.name).min()
    }

    /// Returns the socket of an app, if the socket has failed.
    fn failed_socket(&mut self, unit: &str) -> Option<String> {
        let (app, _) = parse(unit)?;
        self.sockets(app).ok()?.into_iter().find(|socket| {
            let socket = self.manager.unit(socket);
            socket.is_ok_and(|socket| socket.active == ActiveState::Failed)
        })
    }
}

/// Whether the cluster unit is being started again by now: a connection to the port does that, and systemd then tells nothing of the start
/// that has failed.
fn is_next(cluster: &Unit) -> bool {
    cluster.active == ActiveState::Activating
}
