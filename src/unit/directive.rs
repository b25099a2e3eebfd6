//! The directives that a user may pass through, and the reasons why some are refused.
//!
//! `directives.txt` lists the directives of each section and the versions of systemd that have them, so that a misspelt
//! name is an error here: systemd itself only logs a warning about a name that it does not know.

use super::Fault;

/// A section of a unit file for which the user may write directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `[Unit]` of the instances.
    Unit,
    /// `[Service]` of the instances.
    Service,
    /// `[Socket]` of the socket.
    Socket,
    /// `[Timer]` of the timer.
    Timer,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Unit => "Unit",
            Self::Service => "Service",
            Self::Socket => "Socket",
            Self::Timer => "Timer",
        }
    }
}

/// The oldest supported systemd. The list gives this version for every directive that is as old or older.
pub const BASELINE: u32 = 249;

/// The newest systemd whose directives are all in the list.
pub const NEWEST: u32 = 262;

/// A directive of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The name, as written before the `=`.
    pub name: &'static str,
    /// The version of systemd that introduced the directive.
    pub since: u32,
    /// The last version of systemd that has the directive, if it was removed; later ones ignore it.
    pub until: Option<u32>,
}

/// Returns every directive of a section.
pub fn known(section: Section) -> impl Iterator<Item = Known> {
    include_str!("directives.txt")
        .lines()
        .filter_map(move |line| {
            let mut words = line.split(' ');
            let (place, name, since) = (words.next()?, words.next()?, words.next()?);
            (place == section.name()).then_some(Known {
                name,
                since: since.parse().ok()?,
                until: words.next().and_then(|version| version.parse().ok()),
            })
        })
}

/// Looks a directive up in the list.
#[must_use]
pub fn find(section: Section, name: &str) -> Option<Known> {
    known(section).find(|directive| directive.name == name)
}

/// Returns whether a name begins with `X-`, which systemd leaves to other programs, see systemd.unit(5).
#[must_use]
pub fn is_extension(directive: &str) -> bool {
    directive.strip_prefix("X-").is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

/// Returns the reason why a directive cannot be passed through, if there is one.
#[must_use]
pub fn refusal(section: Section, directive: &str) -> Option<Fault> {
    let help = match (section, directive) {
        (
            Section::Service,
            "ExecStart" | "ExecStop" | "ExecReload" | "Type" | "NotifyAccess" | "Sockets",
        ) => "the handover of the socket and the reload depend on it",
        (Section::Service, "RestartPreventExitStatus") => "the crash-loop brake depends on it",
        (Section::Service, "RestartMode") => "`direct` would hide a failed start from the reload",
        (Section::Service, "WorkingDirectory") => "write `cwd`",
        (Section::Service, "User") => "write `user`",
        (Section::Service, "Group") => "write `group`",
        (Section::Service, "KillSignal") => "write `kill_signal`",
        (Section::Service, "TimeoutStopSec" | "TimeoutSec") => "write `kill_timeout`",
        (Section::Service, "TimeoutStartSec") => {
            "write `listen_timeout`, or `run_timeout` for a job"
        }
        (Section::Service, "RestartSec") => "write `restart_delay`",
        (Section::Service, "Restart") => "write `autorestart`",
        (
            Section::Unit | Section::Service,
            "StartLimitIntervalSec" | "StartLimitInterval" | "StartLimitBurst",
        ) => {
            "systemd closes the shared socket when one instance hits a start limit; write `max_restarts`"
        }
        (Section::Socket, "TriggerLimitIntervalSec" | "TriggerLimitBurst") => {
            "systemd closes the socket at a trigger limit while instances crash"
        }
        (Section::Socket, "Service" | "Accept" | "FileDescriptorName" | "FlushPending") => {
            "the instances could not share the socket otherwise"
        }
        (Section::Socket, d) if d.starts_with("Listen") => "write `listen`",
        (Section::Timer, "OnCalendar") => "write `schedule` or `reload_schedule`",
        (Section::Timer, "Unit") => "the timer always starts a unit of this app",
        (Section::Unit, "SourcePath" | "PartOf") => "rsgen connects the units of the app with it",
        _ => return None,
    };
    Some(Fault::new(
        format!("`{directive}` cannot be set here"),
        help,
    ))
}

/// Returns the reason why a directive cannot be assigned an empty value, if there is one: an empty value removes what
/// the unit itself assigns.
#[must_use]
pub fn reset_refusal(section: Section, directive: &str) -> Option<Fault> {
    (section == Section::Service && directive == "ExecStopPost").then(|| {
        Fault::new(
            "`ExecStopPost` cannot be emptied here",
            "leave the empty value out: the crash-loop brake is a command of this directive",
        )
    })
}

/// Checks that a value stays on its line of the unit.
///
/// # Errors
/// When the value contains a control character or ends in a backslash.
pub fn check_value(value: &str) -> Result<(), Fault> {
    if let Some(c) = value.chars().find(|c| c.is_control()) {
        return Err(Fault::new(
            format!(
                "the value contains the control character `{}`",
                c.escape_debug()
            ),
            "a directive is one line; write a list for several lines",
        ));
    }
    // Whether spaces after the backslash count depends on the reader of the line.
    if value.trim_end().ends_with('\\') {
        return Err(Fault::new(
            "the value ends in a backslash",
            "remove the backslash: it would join the next line to this one",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_knows_each_section() {
        let since = |section, name: &str| find(section, name).map(|known| known.since);
        assert_eq!(since(Section::Service, "MemoryMax"), Some(BASELINE));
        assert_eq!(since(Section::Unit, "Description"), Some(BASELINE));
        assert_eq!(since(Section::Socket, "Backlog"), Some(BASELINE));
        assert_eq!(since(Section::Unit, "MemoryMax"), None);
        assert_eq!(since(Section::Socket, "PassPIDFD"), Some(258));
        assert_eq!(
            find(Section::Service, "MemoryLimit").and_then(|known| known.until),
            Some(257)
        );
    }

    #[test]
    fn no_line_of_the_list_is_lost_or_there_twice() {
        let lines = include_str!("directives.txt").lines();
        let lines = lines.filter(|line| !line.starts_with('#')).count();
        let sections = [
            Section::Unit,
            Section::Service,
            Section::Socket,
            Section::Timer,
        ];
        let mut names: Vec<(&str, &str)> = sections
            .iter()
            .flat_map(|section| known(*section).map(|known| (section.name(), known.name)))
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), lines);
    }

    #[test]
    fn the_list_ends_with_its_newest_systemd() {
        let newest = known(Section::Service).map(|known| known.since).max();
        assert_eq!(newest, Some(NEWEST));
    }

    #[test]
    fn what_the_cluster_is_built_on_is_refused_in_its_section_and_nothing_else_is() {
        for (section, refused) in [
            (
                Section::Unit,
                "SourcePath PartOf StartLimitIntervalSec StartLimitInterval StartLimitBurst",
            ),
            (
                Section::Service,
                "ExecStart ExecStop ExecReload Type NotifyAccess Sockets RestartPreventExitStatus RestartMode \
                 WorkingDirectory User Group KillSignal TimeoutStopSec TimeoutSec TimeoutStartSec RestartSec Restart \
                 StartLimitIntervalSec StartLimitInterval StartLimitBurst",
            ),
            (
                Section::Socket,
                "TriggerLimitIntervalSec TriggerLimitBurst Service Accept FileDescriptorName FlushPending \
                 ListenStream ListenDatagram ListenFIFO",
            ),
            (Section::Timer, "OnCalendar Unit"),
        ] {
            for name in refused.split_whitespace() {
                let fault = refusal(section, name);
                assert!(fault.is_some_and(|f| f.message.contains(name)), "{name}");
            }
            for free in ["MemoryMax", "After", "Backlog", "ExecStopPost"] {
                assert_eq!(refusal(section, free), None, "{free}");
            }
        }
        assert_eq!(refusal(Section::Service, "PartOf"), None);
        assert_eq!(refusal(Section::Socket, "User"), None);
    }

    #[test]
    fn the_key_to_write_instead_is_named() {
        assert!(
            refusal(Section::Service, "User")
                .unwrap()
                .help
                .contains("write `user`")
        );
        assert!(
            refusal(Section::Socket, "ListenStream")
                .unwrap()
                .help
                .contains("write `listen`")
        );
        assert!(refusal(Section::Unit, "StartLimitBurst").is_some());
        assert_eq!(refusal(Section::Service, "MemoryMax"), None);
    }

    #[test]
    fn a_key_of_others_begins_with_an_x_and_has_a_name() {
        for key in ["X-Team", "X-on-call-2"] {
            assert!(is_extension(key), "{key}");
        }
        for key in ["Team", "X", "X-", "X-on call", "X-a=b", "x-team"] {
            assert!(!is_extension(key), "{key}");
        }
    }

    #[test]
    fn a_value_stays_on_its_line() {
        assert!(check_value("1G").is_ok());
        assert!(check_value("1G\nExecStart=/bin/evil").is_err());
        assert!(check_value("1G\\").is_err());
        assert!(check_value("1G\\ ").is_err());
    }
}
