//! The note of a command that starts an app and looks at what the start comes to: what it may do about a refusal, and whether the app has
//! ever served.

use std::time::Duration;

use super::Cluster;
use crate::contract::{self, REFUSED, UNHEALTHY};
use crate::state::Name;
use crate::systemd::{Error, Manager, Unit};

/// The words of the note behind the times.
const FIRST: &str = "first";
const GIVEN: &str = "given";
const NOTIFIES: &str = "notifies";

/// A start that a command looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// When the trial began, since the boot.
    pub begun: Duration,
    /// How long the trial lasts if its command was killed.
    pub valid: Duration,
    /// Whether the app has never served.
    pub is_first: bool,
    /// Whether the file gives the addresses in full. Otherwise the command corrects one that is refused.
    pub is_given: bool,
    /// Whether the program itself tells systemd that it is READY, so that no worker can say what it has not done.
    pub notifies: bool,
}

impl Trial {
    /// Parses a note; `None` for one of a trial that is over by now.
    #[must_use]
    pub fn parse(text: &str, now: Duration) -> Option<Self> {
        let mut words = text.split(' ');
        let mut time = || Some(Duration::from_micros(words.next()?.parse().ok()?));
        let (begun, valid) = (time()?, time()?);
        let words: Vec<&str> = words.collect();
        let trial = Self {
            begun,
            valid,
            is_first: words.contains(&FIRST),
            is_given: words.contains(&GIVEN),
            notifies: words.contains(&NOTIFIES),
        };
        now.checked_sub(begun)
            .is_some_and(|age| age <= valid)
            .then_some(trial)
    }

    /// Returns the text of the note.
    #[must_use]
    pub fn text(self) -> String {
        let words = [
            (self.is_first, FIRST),
            (self.is_given, GIVEN),
            (self.notifies, NOTIFIES),
        ];
        let mut text = format!("{} {}", self.begun.as_micros(), self.valid.as_micros());
        for (_, word) in words.iter().filter(|(is_true, _)| *is_true) {
            text.push(' ');
            text.push_str(word);
        }
        text
    }
}

/// The reason for which an instance is not started again, if its program has not listened on the declared port, or not said that it is
/// READY, for the whole time that it had, while somebody waits for the first start of the app.
///
/// Programs may listen on a port of their own first and reach the declared one later, once a database is there. So nothing is
/// concluded before the time is over, nothing of an instance that has ever served, since the note of a command that was killed stays
/// for a while, and nothing while another instance serves: this one may have waited for what that one does first, such as a migration.
/// Nor is anything concluded from an end, with status 0 either, since the next start may find the database.
///
/// # Errors
/// When systemd cannot be asked.
pub(super) fn refusal(
    manager: &mut dyn Manager,
    cluster: &Cluster,
    (number, unit): (u32, &Unit),
    now: Duration,
) -> Result<Option<String>, Error> {
    if unit.result != "timeout" || !unit.active_enter.is_zero() {
        return Ok(None);
    }
    let note = cluster.file(Name::Trial).read().ok();
    let trial = note.and_then(|text| Trial::parse(&text, now));
    let trial = trial.filter(|trial| trial.is_first);
    let Some(why) = trial.and_then(|trial| why(unit, trial)) else {
        return Ok(None);
    };
    let mut others = cluster.instances(manager)?.into_iter();
    let is_reached = others.any(|(other, brief)| other != number && brief.is_ready());
    Ok((!is_reached).then(|| format!("{REFUSED}{why}")))
}

/// The words for a start that has timed out and would do so once more.
fn why(unit: &Unit, trial: Trial) -> Option<String> {
    let text = unit.status_text.as_str();
    if text.starts_with(contract::ELSEWHERE) {
        return Some(text.to_owned());
    }
    let how = unit.why();
    if contract::is_of_a_silent_start(text) {
        return Some(format!(
            "{how}: {text}; a longer `listen_timeout` is for a program that needs more time"
        ));
    }
    // Otherwise a command before or after the program may have taken the time.
    let is_silent = trial.notifies && !unit.never_ran() && !text.starts_with(UNHEALTHY);
    let status = match text {
        "" => String::new(),
        text => format!("; its status is `{text}`"),
    };
    is_silent.then(|| format!("{how}: {UNNOTIFIED}{status}; {CURE}"))
}

/// The words about a program that is to tell systemd itself, and has not.
const UNNOTIFIED: &str = "the program did not send `READY=1`, see sd_notify(3)";

/// The remedy.
const CURE: &str = "a longer `listen_timeout` is for a program that needs more time, `ready = \"listen\"` or `\"exec\"` for one that sends \
                    nothing";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_as_long_as_its_trial_lasts() {
        let seconds = Duration::from_secs;
        for bits in 0..8 {
            let trial = Trial {
                begun: seconds(1),
                valid: seconds(300),
                is_first: bits & 1 != 0,
                is_given: bits & 2 != 0,
                notifies: bits & 4 != 0,
            };
            assert_eq!(Trial::parse(&trial.text(), seconds(301)), Some(trial));
            assert_eq!(Trial::parse(&trial.text(), seconds(302)), None);
            assert_eq!(Trial::parse(&trial.text(), seconds(0)), None);
        }
        for text in ["soon", "1", "1 first"] {
            assert_eq!(Trial::parse(text, seconds(1)), None, "{text}");
        }
    }
}
