//! Deaths that no command of the instance's unit could count.
//!
//! `systemctl kill --signal=KILL` without `--kill-whom=` has the kernel kill the control group (`cgroup.kill`, see cgroups(7)), and newer
//! kernels kill each process as well that systemd starts in that group afterwards, such as `ExecStopPost=`. systemd itself restarts the
//! instance in a group of its own, and each start of an instance starts the brake unit, which compares the runs that it sees.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use nix::unistd::geteuid;

use super::{Cluster, journal};
use crate::brake::Deaths;
use crate::journal::Happening;
use crate::layout::Scope;
use crate::record::Record;
use crate::state::Name;
use crate::systemd::{Brief, Error, Manager, Unit};

/// The runs of the instances, as they were last seen by any brake unit.
#[derive(Debug, Default)]
pub(super) struct Uncounted {
    seen: BTreeMap<u32, Seen>,
}

/// The entry of systemd about a process of a unit that has ended, see sd-messages(3).
const PROCESS_EXIT: &str = "98e322203f7a4ed290d09fe03c09fe15";

/// A run, as a brake unit saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Empty before the first run.
    invocation: String,
    /// How often systemd had restarted the instance by then.
    restarts: u32,
    was_ready: bool,
    /// The run whose death had been counted last by then; empty where none had.
    counted: String,
}

impl Seen {
    fn of(unit: &Unit, counted: &Deaths) -> Self {
        Self {
            invocation: unit.invocation.clone(),
            restarts: unit.n_restarts,
            was_ready: unit.is_ready(),
            counted: counted.invocation.clone(),
        }
    }

    /// Whether this is a look at this run, and found it READY.
    fn is_ready_in(&self, run: &str) -> bool {
        self.was_ready && self.invocation == run
    }

    fn parse(line: &str) -> Option<(u32, Self)> {
        let words: Vec<&str> = line.split(' ').collect();
        let [number, invocation, restarts, state, counted] = words.as_slice() else {
            return None;
        };
        let seen = Self {
            invocation: (*invocation).to_owned(),
            restarts: restarts.parse().ok()?,
            was_ready: *state == "ready",
            counted: (*counted).to_owned(),
        };
        Some((number.parse().ok()?, seen))
    }
}

impl Uncounted {
    /// Reads the runs that the brake unit before this one has seen.
    pub(super) fn load(cluster: &Cluster) -> Self {
        // Without the file, the runs before this one are not known.
        let text = cluster.file(Name::Runs).read().unwrap_or_default();
        Self {
            seen: text.lines().filter_map(Seen::parse).collect(),
        }
    }

    /// Compares the runs with those that were seen before, and counts and tells each death in between that was not counted.
    pub(super) fn look(
        &mut self,
        manager: &mut dyn Manager,
        cluster: &Cluster,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let before = self.seen.clone();
        let mut instances = cluster.instances(manager)?;
        self.seen
            .retain(|number, _| instances.iter().any(|(loaded, _)| loaded == number));
        let names = |instances: &[(u32, Brief)]| -> Vec<String> {
            let names = instances.iter().map(|(_, brief)| brief.name.clone());
            names.collect()
        };
        // Of a run that was seen READY nothing new can be learned. During a walk these are most, and a look at a whole unit takes long.
        let runs = manager.pulses(&names(&instances))?;
        let mut runs = runs.into_iter().map(|pulse| pulse.invocation);
        instances.retain(|(number, _)| {
            let is_of_run = |run: &String| {
                self.seen
                    .get(number)
                    .is_some_and(|seen| seen.is_ready_in(run))
            };
            !runs.next().is_some_and(|run| is_of_run(&run))
        });
        let names = names(&instances);
        let counted = |number: u32| counted(cluster, number);
        let earlier: Vec<Deaths> = instances.iter().map(|(n, _)| counted(*n)).collect();
        let units = manager.each(&names)?;
        let now = manager.now();
        for (((number, _), unit), earlier) in instances.iter().zip(&units).zip(earlier) {
            let mut run = Seen::of(unit, &earlier);
            match self.seen.get_mut(number) {
                // The first run of an instance may begin and end before the next look, where something else has to start before it.
                None if run.invocation.is_empty() => {
                    self.seen.insert(*number, run);
                }
                _ if run.invocation.is_empty() => {}
                // The number of restarts is raised a moment before the next run begins.
                Some(seen) if seen.invocation == run.invocation => seen.was_ready |= run.was_ready,
                // A death was counted during this look, which may be that of the one run or of the other.
                Some(_) if counted(*number) != earlier => {}
                seen => {
                    // Of several deaths since, the last was counted.
                    let last = seen.filter(|seen| run.restarts == seen.restarts.saturating_add(1));
                    // Where another death was counted, somebody has started a run in between that nobody has seen. A run that was
                    // seen while it ended may have been counted already by then.
                    let last = last.filter(|last| {
                        let is_new = earlier.invocation == last.counted;
                        let is_counted =
                            !last.invocation.is_empty() && earlier.invocation == last.invocation;
                        (earlier.invocation.is_empty() || is_new) && !is_counted
                    });
                    if let Some(last) = last {
                        count(cluster, *number, &unit.name, last, (earlier, now), say);
                        run.counted.clone_from(&last.invocation);
                    }
                    self.seen.insert(*number, run);
                }
            }
        }
        if self.seen != before {
            // Without the file, the next death is not compared with these runs.
            let _ = cluster.file(Name::Runs).write(&self.text());
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (number, seen) in &self.seen {
            let state = if seen.was_ready { "ready" } else { "starting" };
            let Seen {
                invocation,
                restarts,
                counted,
                ..
            } = seen;
            let _ = writeln!(text, "{number} {invocation} {restarts} {state} {counted}");
        }
        text
    }
}

/// Returns the deaths of an instance. Where they were forgotten since, as by a start, the run whose death was counted last is still known.
fn counted(cluster: &Cluster, number: u32) -> Deaths {
    let known = Deaths::load(&cluster.deaths(number));
    known.unwrap_or_else(|| Deaths {
        invocation: Deaths::load(&cluster.file(Name::Forgotten(number)))
            .map(|forgotten| forgotten.invocation)
            .unwrap_or_default(),
        ..Deaths::default()
    })
}

/// Counts the death that ended a run, after those that were counted earlier, and tells it.
fn count(
    cluster: &Cluster,
    number: u32,
    unit: &str,
    last: &Seen,
    (deaths, now): (Deaths, Duration),
    say: &mut dyn FnMut(&str),
) {
    let reason = exit(cluster.scope, unit, &last.invocation).unwrap_or_else(|| {
        "ended, and the commands that systemd ran at its end were killed".to_owned()
    });
    let text = format!("{unit} ended: {reason}");
    let counted = Deaths {
        // How long the program was up is not known.
        count: if last.was_ready {
            0
        } else {
            deaths.count.saturating_add(1)
        },
        last: now,
        errored: deaths.errored,
        reason,
        invocation: last.invocation.clone(),
        process: None,
    };
    // A count that is lost costs a few more restarts, nothing else.
    let _ = counted.store(&cluster.deaths(number));
    let is_told = cluster.journal.tell_instead(&Record {
        instance: Some(number),
        ..Record::new(Happening::Crashed, &text)
    });
    if !is_told {
        say(&text);
    }
}

/// Returns how the main process of a run, or of the last one for an empty `invocation`, ended, as systemd has written it: `…,
/// code=killed, status=9/KILL`.
fn exit(scope: Scope, unit: &str, invocation: &str) -> Option<String> {
    let entry = format!("MESSAGE_ID={PROCESS_EXIT}");
    // That of the main process: the command of another one is that of another directive.
    let main = "COMMAND=ExecStart".to_owned();
    // Nobody else can write with that PID, nor with a user's own number.
    let (sender, run) = match scope {
        Scope::System => (
            ["_PID=1".to_owned(), format!("UNIT={unit}")],
            "INVOCATION_ID",
        ),
        Scope::User => (
            [format!("_UID={}", geteuid()), format!("USER_UNIT={unit}")],
            "USER_INVOCATION_ID",
        ),
    };
    let run = (!invocation.is_empty()).then(|| format!("{run}={invocation}"));
    let matches: Vec<String> = [entry, main].into_iter().chain(sender).chain(run).collect();
    ended_by(&journal::last_line(&matches)?)
}

/// The end of a main process by such a line, in the words for people.
fn ended_by(line: &str) -> Option<String> {
    let (_, code) = line.split_once(", code=")?;
    let (code, status) = code.split_once(", status=")?;
    let status: String = status.chars().take_while(char::is_ascii_digit).collect();
    let exit_code = match code {
        "exited" => libc::CLD_EXITED,
        "killed" => libc::CLD_KILLED,
        "dumped" => libc::CLD_DUMPED,
        _ => return None,
    };
    let unit = Unit {
        exit_code,
        exit_status: status.parse().ok()?,
        ..Unit::default()
    };
    Some(unit.why())
}

#[cfg(test)]
mod tests;
