//! The keys that define when an instance is healthy.

use std::time::Duration;

use toml::de::DeValue;

use super::App;
use super::diagnostic::Diagnostic;
use super::key::{Form, Taken, Wanted, keys, number, of, positive_time, time, words};
use super::read::Fields;

keys! {
    /// When an instance is healthy.
    pub struct Probe {
        in Life {
            /// A path that an instance has to answer with a status from 200 to 299 before it gets connections.
            ///
            /// The instance itself is checked over HTTP once it is READY. If it does not answer like this within `health_timeout`, its start
            /// has failed, and a reload stops there. Needs `balance = "even"`. See [health](health.md).
            health: Option<String> = of(Form::Text, "\"/healthz\"", read_path).or_none();

            /// A command that has to exit with 0 before an instance gets connections.
            ///
            /// It runs as the app's user in the app's sandbox, without a shell. `{address}`, `{source}` and `{instance}` stand for
            /// the address of the app, the local address that leads to the instance, and its number. Needs `balance = "even"`. See
            /// [health](health.md#a-command).
            health_command: Vec<String> = words()
                .read_by(read_command)
                .or_none();

            /// The time that an instance has from READY until it is healthy, not 0.
            health_timeout: Duration = positive_time().read_by(read_timeout).or(|| Duration::from_secs(10));

            /// The pause after an answer of `health` or `health_command` before the next question.
            health_interval: Duration = time().or(|| Duration::from_millis(500));

            /// How many good answers in a row make an instance healthy.
            healthy_after: u32 = number(1, 100).or(|| 1);
        }
    }
}

impl Probe {
    /// Returns whether an instance is checked for more than accepting.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.health.is_some() || !self.health_command.is_empty()
    }
}

impl App {
    /// Returns the longest time from READY until an instance gets connections.
    #[must_use]
    pub fn asking(&self) -> Duration {
        let accepts = self.is_even().then_some(self.lifecycle.listen_timeout);
        let health = self.probe.is_asked().then_some(self.probe.health_timeout);
        accepts.unwrap_or_default() + health.unwrap_or_default()
    }
}

fn read_path(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<String>> {
    let path = f.string(wanted)?;
    let is_plain = path.value.bytes().all(|b| b.is_ascii_graphic());
    if !path.value.starts_with('/') || !is_plain {
        f.faults.push(
            Diagnostic::error(path.span, format!("`{}` is not a path of HTTP", path.value)).help(
                "begin it with `/`, and write other characters than those of ASCII as `%20`; a command is `health_command`",
            ),
        );
        return None;
    }
    needs_own_listeners(f, wanted);
    if f.peek("health_command").is_some() {
        let fault = "`health` and `health_command` are alternatives";
        f.faults.push(
            Diagnostic::error(f.place(wanted.key), fault)
                .help("leave one of them out; the command may ask for the path"),
        );
    }
    Some(Some(path.value))
}

fn read_command(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Vec<String>> {
    let words = f.words(wanted)?;
    needs_own_listeners(f, wanted);
    if words.is_empty() {
        f.faults.push(
            Diagnostic::error(f.place(wanted.key), "`health_command` is empty")
                .help("write a program and its arguments, or leave it out"),
        );
        return None;
    }
    Some(words)
}

fn read_timeout(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Duration> {
    let time = f.positive_time(wanted)?;
    if f.peek("health").is_none() && f.peek("health_command").is_none() {
        f.faults.push(
            Diagnostic::warning(
                f.place(wanted.key),
                "`health_timeout` has no effect without `health` or `health_command`",
            )
            .help("the time until an instance accepts is `listen_timeout`"),
        );
    }
    Some(time)
}

/// Adds a fault if an instance cannot be checked before it has connections, because it shares its listener with the others.
fn needs_own_listeners(f: &mut Fields<'_, '_>, wanted: Wanted) {
    let balance = f.peek("balance").and_then(DeValue::as_str);
    if matches!(balance, None | Some("auto" | "shared")) {
        let fault = format!(
            "`{}` needs a listener for each instance: with a shared one, any instance may answer, and a bad one already has connections",
            wanted.key
        );
        f.faults
            .push(Diagnostic::error(f.place(wanted.key), fault).help(
            "write `balance = \"even\"`, or leave it out: an instance then counts once it is READY",
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn the_questions_before_the_first_connection_have_their_time() {
        let seconds = |lines: &str| {
            let text = format!("[[apps]]\nscript = \"x\"\nlisten = 3000\n{lines}");
            let (apps, _) = crate::ecosystem::parse("eco.toml", &text);
            apps[0].asking()
        };
        let even = "balance = \"even\"\nlisten_timeout = \"4s\"\nhealth_timeout = \"3s\"\n";
        assert_eq!(seconds("listen_timeout = \"4s\"\n"), Duration::ZERO);
        assert_eq!(seconds(even), Duration::from_secs(4));
        for question in ["health = \"/\"", "health_command = \"check\""] {
            let asked = seconds(&format!("{even}{question}\n"));
            assert_eq!(asked, Duration::from_secs(4 + 3), "{question}");
        }
    }

    fn faults(lines: &str) -> Vec<String> {
        let text = format!("[[apps]]\nscript = \"x\"\nuser = \"www\"\nlisten = 3000\n{lines}\n");
        let report = crate::ecosystem::parse("eco.toml", &text).1;
        let faults = report.diagnostics.into_iter();
        faults.map(|fault| fault.message).collect()
    }

    #[test]
    fn health_is_asked_of_an_instance_that_can_be_reached_before_the_clients_reach_it() {
        let even = "balance = \"even\"\n";
        for good in [
            "health = \"/healthz?deep=1\"",
            "health_command = \"check {address}\"\nhealth_timeout = \"5s\"",
        ] {
            assert_eq!(faults(&format!("{even}{good}")), Vec::<String>::new());
            for shared in ["", "balance = \"shared\"", "balance = \"auto\""] {
                let found = faults(&format!("{shared}\n{good}"));
                assert!(
                    found[0].contains("needs a listener for each instance"),
                    "{found:?}"
                );
            }
        }
        for (lines, fault) in [
            ("health = \"healthz\"", "is not a path of HTTP"),
            ("health = \"/a b\"", "is not a path of HTTP"),
            ("health = \"/\"\nhealth_command = \"x\"", "are alternatives"),
            ("health_command = \"\"", "is empty"),
            ("health_timeout = \"1s\"", "has no effect"),
        ] {
            let found = faults(&format!("{even}{lines}"));
            assert!(
                found.len() == 1 && found[0].contains(fault),
                "{lines}: {found:?}"
            );
        }
    }
}
