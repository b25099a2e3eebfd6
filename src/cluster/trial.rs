//! The note of a command that starts an app and looks at what the start comes to: what it may do about a refusal, and whether the app has
//! ever served.

use std::time::Duration;

use super::Cluster;
use crate::contract::{self, REFUSED};
use crate::state::Name;
use crate::systemd::{Error, Manager, Unit};

/// How long a trial lasts if its command was killed.
const VALID: Duration = Duration::from_mins(5);
/// The words of the note behind the time.
const FIRST: &str = "first";
const GIVEN: &str = "given";

/// A start that a command looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// When the trial began, since the boot.
    pub begun: Duration,
    /// Whether the app has never served.
    pub is_first: bool,
    /// Whether the file gives the addresses in full. Otherwise the command corrects one that is refused.
    pub is_given: bool,
}

impl Trial {
    /// Parses a note; `None` for one of a trial that is over by now.
    #[must_use]
    pub fn parse(text: &str, now: Duration) -> Option<Self> {
        let mut words = text.split(' ');
        let begun = Duration::from_micros(words.next()?.parse().ok()?);
        let words: Vec<&str> = words.collect();
        let trial = Self {
            begun,
            is_first: words.contains(&FIRST),
            is_given: words.contains(&GIVEN),
        };
        now.checked_sub(begun)
            .is_some_and(|age| age <= VALID)
            .then_some(trial)
    }

    /// Returns the text of the note.
    #[must_use]
    pub fn text(self) -> String {
        let mut text = self.begun.as_micros().to_string();
        for word in [(self.is_first, FIRST), (self.is_given, GIVEN)] {
            if word.0 {
                text.push(' ');
                text.push_str(word.1);
            }
        }
        text
    }
}

/// The reason for which an instance is not started again, if its program has not listened on the declared port for the whole time that
/// it had, while somebody waits for the first start of the app.
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
    let why = why(unit).filter(|_| unit.active_enter.is_zero());
    let trial = || Trial::parse(&cluster.file(Name::Trial).read().ok()?, now);
    let Some(why) = why.filter(|_| trial().is_some_and(|trial| trial.is_first)) else {
        return Ok(None);
    };
    let mut others = cluster.instances(manager)?.into_iter();
    let is_reached = others.any(|(other, brief)| other != number && brief.is_ready());
    Ok((!is_reached).then(|| format!("{REFUSED}{why}")))
}

/// The words for a start that would end in the same way once more.
fn why(unit: &Unit) -> Option<String> {
    let text = &unit.status_text;
    if unit.result != "timeout" || !contract::is_of_a_silent_start(text) {
        return None;
    }
    if text.starts_with(contract::ELSEWHERE) {
        return Some(text.clone());
    }
    Some(format!(
        "{}: {text}; a longer `listen_timeout` is for a program that needs more time",
        unit.why()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_as_long_as_its_trial_lasts() {
        let seconds = Duration::from_secs;
        for (is_first, is_given) in [(false, false), (true, false), (true, true)] {
            let trial = Trial {
                begun: seconds(1),
                is_first,
                is_given,
            };
            assert_eq!(Trial::parse(&trial.text(), seconds(301)), Some(trial));
            assert_eq!(Trial::parse(&trial.text(), seconds(302)), None);
            assert_eq!(Trial::parse(&trial.text(), seconds(0)), None);
        }
        assert_eq!(Trial::parse("soon", seconds(1)), None);
    }
}
