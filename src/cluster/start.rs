//! `ExecStart=` of the cluster unit: waits until the instances serve, and brings their number to N.

use std::time::Duration;

use super::{Cluster, LOOK, notify, verdict};
use crate::systemd::{Error, Manager, Unit, Verb};

/// The instances came to nothing, or systemd could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// None serves.
    #[error("none of {wanted} instances serves: {reasons}")]
    NoneServes {
        /// How many there should be.
        wanted: u32,
        /// Why, each reason once.
        reasons: String,
    },
    /// systemd could not be asked.
    #[error(transparent)]
    Systemd(#[from] Error),
}

/// How one instance is doing on its way up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// It failed at least once and may yet come up.
    Retrying,
    Failed,
    Pending,
}

/// systemd gives this much more time with each look; a hung start ends by itself.
const EXTENSION: Duration = Duration::from_secs(30);

/// Waits for the first verdict on every instance; returns how many serve.
///
/// As long as none serves it waits for those that still try: a database may come up later than the
/// app. The worker's brake ends that.
///
/// # Errors
/// [`StartError::NoneServes`] when all have failed for good.
pub fn start(manager: &mut dyn Manager, cluster: &Cluster, wanted: u32) -> Result<u32, StartError> {
    verdict::take(cluster);
    stop_surplus(manager, cluster, wanted)?;
    let mut asked = vec![false; usize::try_from(wanted).unwrap_or(0)];
    loop {
        let mut states = Vec::new();
        let mut units = Vec::new();
        for (number, asked) in (0..wanted).zip(&mut asked) {
            let unit = manager.unit(&cluster.instance(number))?;
            // More than the links ask for: this machine's number was another when they were made.
            if unit.is_gone() && unit.job.is_none() && unit.result != "exit-code" && !*asked {
                *asked = true;
                manager.queue(Verb::Start, &unit.name)?;
                states.push(State::Pending);
            } else {
                states.push(state(&unit));
            }
            units.push(unit);
        }
        let count = |s: State| states.iter().filter(|x| **x == s).count();
        let ready = u32::try_from(count(State::Ready)).unwrap_or(u32::MAX);
        notify(&format!("{ready} of {wanted} serving"), EXTENSION);
        if count(State::Pending) == 0 {
            if ready > 0 || wanted == 0 {
                return Ok(ready);
            }
            if count(State::Retrying) == 0 {
                return Err(StartError::NoneServes {
                    wanted,
                    reasons: reasons(&units),
                });
            }
        }
        manager.pause(LOOK);
    }
}

fn state(unit: &Unit) -> State {
    // An active instance with a job is about to be restarted.
    if unit.is_ready() && unit.job.is_none() {
        State::Ready
    } else if unit.job.is_some() {
        State::Pending
    } else if unit.is_gone() {
        State::Failed
    } else {
        State::Retrying
    }
}

fn reasons(units: &[Unit]) -> String {
    let mut reasons: Vec<String> = units.iter().map(Unit::why).collect();
    reasons.sort();
    reasons.dedup();
    reasons.join("; ")
}

/// Stops instances beyond the wanted number: a smaller machine, a canary of a killed walk.
fn stop_surplus(manager: &mut dyn Manager, cluster: &Cluster, wanted: u32) -> Result<(), Error> {
    for number in cluster.numbers(manager)? {
        let name = cluster.instance(number);
        if number >= wanted && !manager.unit(&name)?.is_gone() {
            manager.queue(Verb::Stop, &name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::fake::Fake;

    fn cluster() -> Cluster {
        Cluster {
            app: "web".into(),
            state: "/nowhere".into(),
        }
    }

    #[test]
    fn it_starts_what_the_links_did_not_and_stops_what_is_too_much() {
        let mut fake = Fake::running(&["web@0.service", "web@2.service"]);
        assert_eq!(start(&mut fake, &cluster(), 2).unwrap(), 2);
        assert_eq!(fake.ready(), ["web@0.service", "web@1.service"]);
    }
}
