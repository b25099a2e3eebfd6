//! The host of `--host`, and the command that reaches its bus.

use std::ffi::OsString;
use std::fmt;
use std::process::Command;

use crate::sys::entry;

/// How long ssh(1) waits for a host that does not answer, in seconds.
const PATIENCE: &str = "ConnectTimeout=10";

/// A host as systemctl(1) takes it, and the user there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::command) struct Host {
    /// `USER@HOST` for ssh(1).
    destination: String,
    port: Option<u16>,
}

impl Host {
    /// Parses `[USER@]HOST[:PORT]`. What ssh(1) could take for an option, or a shell for more than a word, is refused.
    pub(in crate::command) fn parse(text: &str) -> Result<Self, String> {
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        if let Some(user) = user {
            word(user, "user", "._-+@")?;
        }
        if rest.contains('/') {
            let help = "a container is not reached in this way; name the address of its own sshd";
            return Err(help.to_owned());
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest
                    .split_once(']')
                    .ok_or("the address begins with `[` and does not end with `]`")?;
                let port = after.strip_prefix(':');
                if port.is_none() && !after.is_empty() {
                    return Err("only `:PORT` may follow the `]`".to_owned());
                }
                (host, port)
            }
            None if rest.matches(':').count() > 1 => {
                return Err(format!("write an IPv6 address as `[{rest}]`"));
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        word(host, "host", "._-:%")?;
        let port = port.map(|port| match port.parse::<u16>() {
            Ok(number) if number != 0 && port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
            _ => Err(format!("`{port}` is not a port")),
        });
        let destination = match user {
            Some(user) => format!("{user}@{host}"),
            None => host.to_owned(),
        };
        Ok(Self {
            destination,
            port: port.transpose()?,
        })
    }

    /// The options of ssh(1) and the host, then a command there.
    fn words(&self, options: &[&str], command: &str) -> Vec<String> {
        let mut words: Vec<String> = options.iter().map(|&word| word.to_owned()).collect();
        if let Some(port) = self.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        // Behind the dashes nothing is an option.
        if !options.is_empty() {
            words.push("--".to_owned());
        }
        words.extend([self.destination.clone(), command.to_owned()]);
        words
    }

    /// The command that a person types to run a command there.
    pub(in crate::command) fn typed(&self, command: &str) -> String {
        format!("ssh {}", self.words(&[], command).join(" "))
    }

    /// The command that carries the bus of the host over its standard input and output, as systemctl(1) starts it: `$SYSTEMD_SSH` may name
    /// another ssh. That program is the caller's own, with the caller's rights, so it gets the caller's whole environment. Neither a
    /// display nor an agent is of use to the bridge, so none is forwarded.
    pub(super) fn bridge(&self) -> Command {
        let mut command = Command::new(program(entry::value("SYSTEMD_SSH")));
        let options = ["-axT", "-o", PATIENCE];
        command
            .args(self.words(&options, "systemd-stdio-bridge"))
            .env_clear()
            .envs(entry::environment());
        command
    }
}

/// The ssh that a variable names. An empty one names none, as for systemctl(1).
fn program(named: Option<OsString>) -> OsString {
    let named = named.filter(|name| !name.is_empty());
    named.unwrap_or_else(|| "ssh".into())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.destination)
    }
}

/// Refuses a text that is more than one word to a shell, or an option to a program.
fn word(text: &str, what: &str, marks: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if text.starts_with('-') {
        return Err(format!("a {what} does not begin with `-`"));
    }
    let is_fine = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    match text.chars().find(|c| !is_fine(*c)) {
        Some(other) => Err(format!(
            "a {what} has letters, digits and {}, not `{}`",
            marks
                .chars()
                .map(|c| format!("`{c}`"))
                .collect::<Vec<_>>()
                .join(" "),
            other.escape_default()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_written_as_for_systemctl() {
        for (text, words) in [
            ("web1", "-- web1"),
            ("anna@web1.example.org", "-- anna@web1.example.org"),
            ("anna@web1:2222", "-p 2222 -- anna@web1"),
            ("anna@corp@web1", "-- anna@corp@web1"),
            ("10.0.0.1:22", "-p 22 -- 10.0.0.1"),
            ("[fd00::1]", "-- fd00::1"),
            ("anna@[fe80::1%eth0]:22", "-p 22 -- anna@fe80::1%eth0"),
        ] {
            let host = Host::parse(text).unwrap();
            let bridge = host.bridge();
            let given: Vec<_> = bridge.get_args().map(|a| a.to_str().unwrap()).collect();
            let wanted = format!("-axT -o ConnectTimeout=10 {words} systemd-stdio-bridge");
            assert_eq!(given.join(" "), wanted, "{text}");
        }
        let host = Host::parse("anna@web1:2222").unwrap();
        assert_eq!(
            host.typed("rsgen logs web"),
            "ssh -p 2222 anna@web1 rsgen logs web"
        );
        assert_eq!(host.to_string(), "anna@web1");
    }

    #[test]
    fn a_variable_may_name_another_ssh() {
        for (named, wanted) in [
            (None, "ssh"),
            (Some(""), "ssh"),
            (Some("/opt/ssh"), "/opt/ssh"),
        ] {
            assert_eq!(program(named.map(OsString::from)), wanted);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for (text, why) in [
            ("", "the host is empty"),
            ("anna@", "the host is empty"),
            ("@web1", "the user is empty"),
            ("-oProxyCommand=reboot", "a host does not begin with `-`"),
            (
                "anna@-oProxyCommand=reboot",
                "a host does not begin with `-`",
            ),
            ("-l@web1", "a user does not begin with `-`"),
            (
                "web1;reboot",
                "a host has letters, digits and `.` `_` `-` `:` `%`, not `;`",
            ),
            (
                "web1 reboot",
                "a host has letters, digits and `.` `_` `-` `:` `%`, not ` `",
            ),
            (
                "$(reboot)@web1",
                "a user has letters, digits and `.` `_` `-` `+` `@`, not `$`",
            ),
            (
                "we\u{1b}b",
                "a host has letters, digits and `.` `_` `-` `:` `%`, not `\\u{1b}`",
            ),
            ("web1:", "`` is not a port"),
            ("web1:0", "`0` is not a port"),
            ("web1:+22", "`+22` is not a port"),
            ("web1:65536", "`65536` is not a port"),
            ("web1:box", "`box` is not a port"),
            ("fd00::1", "write an IPv6 address as `[fd00::1]`"),
            (
                "[fd00::1",
                "the address begins with `[` and does not end with `]`",
            ),
            ("[fd00::1]22", "only `:PORT` may follow the `]`"),
            (
                "web1/box",
                "a container is not reached in this way; name the address of its own sshd",
            ),
        ] {
            assert_eq!(Host::parse(text).unwrap_err(), why, "{text}");
        }
    }
}
