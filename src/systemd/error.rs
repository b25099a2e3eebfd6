//! Why systemd did not do what it was asked to do.

use std::time::Duration;

/// Why systemd did not do what it was asked to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no bus, or systemd is not on it.
    #[error("systemd cannot be reached: {reason}")]
    NoBus {
        /// The error of the connection.
        reason: String,
    },
    /// systemd, or polkit(8) on its behalf, refused.
    #[error("permission is missing: {reason}")]
    AccessDenied {
        /// The text of systemd's answer.
        reason: String,
    },
    /// The unit does not exist.
    #[error("there is no unit `{unit}`")]
    NoSuchUnit {
        /// The name of the unit.
        unit: String,
    },
    /// The deadline passed first.
    #[error("{what} was not done within {after:?}")]
    TimedOut {
        /// The job that was waited for.
        what: String,
        /// The time after which the wait ended.
        after: Duration,
    },
    /// Another job replaced the one that was queued, or all jobs were cancelled (mode `flush` of systemctl(1)).
    #[error("{what} was cancelled by another job of systemd")]
    Canceled {
        /// The job that was cancelled.
        what: String,
    },
    /// systemd answered with any other error.
    #[error("systemd refused: {}", .reason.trim_end_matches('.'))]
    Refused {
        /// The text of systemd's answer.
        reason: String,
    },
}

impl Error {
    /// The next step for the user, if there is one.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::NoBus { .. } => Some(
                "see that systemd is PID 1 and `systemctl status dbus` is active; for --user, that \
                 DBUS_SESSION_BUS_ADDRESS is set, as in a login",
            ),
            Self::AccessDenied { .. } => Some("run it as root, or allow it in polkit(8)"),
            Self::NoSuchUnit { .. } => Some("see `systemctl list-units --all`"),
            Self::TimedOut { .. } => Some("see `systemctl list-jobs` for what it waits for"),
            Self::Canceled { .. } => {
                Some("run it again; `systemctl list-jobs` shows what is queued")
            }
            // Text of systemd's bus_unit_check_load_state(): `Unit web@1.service is masked.`
            Self::Refused { reason } => reason
                .trim_end_matches('.')
                .ends_with(" is masked")
                .then_some("run `systemctl unmask` for that unit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_a_command_and_a_refusal_has_one_only_for_a_masked_unit() {
        let text = || "web@1.service".to_owned();
        let step = |error: &Error| error.help().map(|help| help.matches('`').count());
        for error in [
            Error::NoBus { reason: text() },
            Error::NoSuchUnit { unit: text() },
            Error::Canceled { what: text() },
            Error::TimedOut {
                what: text(),
                after: Duration::from_secs(1),
            },
        ] {
            assert_eq!(step(&error), Some(2), "{error}");
        }
        let denied = Error::AccessDenied { reason: text() };
        assert!(denied.help().is_some_and(|help| help.contains("as root")));
        for (reason, help) in [
            (
                "Unit web@1.service is masked.",
                Some("run `systemctl unmask` for that unit"),
            ),
            ("Unit web@1.service has a bad unit file setting.", None),
        ] {
            let reason = reason.to_owned();
            assert_eq!(Error::Refused { reason }.help(), help);
        }
    }
}
