//! The keys that define when an instance starts, stops, and is given up.

use std::time::Duration;

use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::key::{Form, Taken, Wanted, keys, number, of, positive_time, switch, text, time, word};
use super::port::{read_drain, read_drain_timeout, usual_drain};
use super::read::{Fields, Value, integer};
use super::values::Way;
use crate::contract::{self, Statuses};

keys! {
    /// When instances start, stop and are given up; all times as systemd.service(5) means them.
    pub struct Lifecycle {
        in Life {
            /// The signal that asks an instance to stop.
            ///
            /// SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGKILL or SIGABRT; `SIG` may be left out.
            kill_signal: String = text("\"SIGTERM\"").read_by(read_signal).or(|| "SIGINT".to_owned());

            /// The time from the stop signal to SIGKILL, not 0.
            kill_timeout: Duration = positive_time().or(|| Duration::from_secs(5))
                .pm2("5 s instead of 1.6 s, after the [drain](reload.md#the-drain)");

            /// How an instance drains before the stop signal: `"auto"` for every kind of program, `"epoll"` without
            /// stopping a thread of the program, `"off"` not at all.
            ///
            /// A draining instance accepts no new connections and finishes those that it has. See [the
            /// drain](handover.md#the-drain).
            drain: Way = word().read_by(read_drain)
                .or_as("`\"auto\"`, with `listen = []` `\"off\"`", usual_drain);

            /// The time that a draining instance has to finish its connections, not 0.
            drain_timeout: Duration = positive_time()
                .read_by(read_drain_timeout)
                .or(|| Duration::from_secs(10));

            /// A signal on which the program finishes its connections and ends by itself, sent when it drains.
            ///
            /// The main process gets the signal once it accepts no new connections, and has `drain_timeout` to end; `kill_signal`
            /// follows if it has not. For example SIGQUIT for nginx, SIGTERM for gunicorn. Without this key the
            /// [drain](handover.md#kept-connections) waits for the connections alone.
            drain_signal: Option<String> = of(Form::Text, "\"SIGQUIT\"", read_drain_signal).or_none();

            /// Whether a Node program lets its keep-alive connections end when it drains.
            ///
            /// The script `/usr/lib/rsgen/drain.js`, which `NODE_OPTIONS` loads, adds `Connection: close` to responses
            /// and asks HTTP/2 sessions to end. See [Node](handover.md#node).
            preload: bool = switch().or(|| true);

            /// Whether a Node program gets the message `shutdown` after the drain, and `kill_timeout` to act on it before
            /// the stop signal.
            ///
            /// The program listens for it with `process.on('message')`. Needs `preload`.
            shutdown_with_message: bool = switch().read_by(read_message).or(|| false)
                .pm2("in a reload as well; the signal follows after `kill_timeout`");

            /// The time that an instance has from its start to READY, not 0.
            ///
            /// After this time the start has failed.
            listen_timeout: Duration = positive_time().or(|| Duration::from_secs(30))
                .pm2("30 s instead of 3 s; after that the start has failed");

            /// The pause between a death and the next start.
            ///
            /// Less than 100 ms counts as 100 ms.
            restart_delay: Duration = time().read_by(read_delay).or(|| SHORTEST_DELAY).pm2("at least 100 ms");

            /// Whether an instance that has exited is started again, whatever its exit status.
            ///
            /// With `false`, a program that exits with status 0 once it is READY has done its work; every other end is a failure. See
            /// [a program that ends](troubleshooting.md#a-program-that-ends).
            autorestart: bool = switch().or(|| true).pm2("");

            /// Exit statuses, from 0 to 255, after which an instance is not started again, because the program has done
            /// its work.
            ///
            /// Such an end is not a death. A reload and `rsgen start` start the instance again. Statuses of systemd and of
            /// rsgen itself (190, 200 to 243) are refused.
            stop_exit_codes: Statuses = of(Form::Statuses, "[0, 3]", read_statuses).or_none().pm2("");

            /// A death sooner than this after READY is a quick death.
            min_uptime: Duration = time().or(|| Duration::from_secs(1)).pm2("only deaths in a row count");

            /// The number of quick deaths in a row after which an instance is
            /// [errored](troubleshooting.md#errored-after-16-quick-deaths-in-a-row), and not started again.
            max_restarts: u32 = number(1, 9999).or(|| 16).pm2("only deaths in a row count");

            /// The first pause after a quick death; each further pause is half as long again as the one before, up to
            /// 15 s.
            ///
            /// 0 for none.
            exp_backoff_restart_delay: Option<Duration> = of(Form::Time, "\"100ms\"", read_backoff).or_none()
                .pm2("reset when an instance stays up for `min_uptime`");
        }
    }
}

impl Lifecycle {
    /// Returns the longest time that a stop takes: the drain, the time after the stop signal, and the margin for
    /// SIGKILL.
    #[must_use]
    pub fn longest_stop(&self) -> Duration {
        let drain = match self.drain {
            Way::Off => Duration::ZERO,
            Way::Auto | Way::Epoll => self.drain_timeout,
        };
        let message = if self.shutdown_with_message {
            self.kill_timeout
        } else {
            Duration::ZERO
        };
        drain + message + self.kill_timeout * 2
    }
}

/// The shortest delay. With 0, systemd would restart a crashing program without any pause.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);

fn read_delay(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Duration> {
    Some(f.time(wanted)?.max(SHORTEST_DELAY))
}

fn read_statuses(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Statuses> {
    let value = f.value(wanted.key)?;
    let list = value.get_ref().as_array();
    let values: Vec<Value<'_>> = list.map_or_else(|| vec![value], |list| list.iter().collect());
    let mut statuses = Vec::new();
    for value in values {
        let status = integer(value).and_then(|number| u8::try_from(number).ok());
        let Some(status) = status.filter(|status| !contract::is_final(*status)) else {
            let fault = format!(
                "`{}` contains something that is not an exit status of a program",
                wanted.key
            );
            f.faults.push(
                Diagnostic::error(value.span(), fault)
                    .help("write numbers from 0 to 255; 190 and 200 to 243 are reserved"),
            );
            continue;
        };
        statuses.push(status);
    }
    Some(statuses.into())
}

// PM2 writes 0 for no backoff.
fn read_backoff(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<Duration>> {
    let delay = f.time(wanted)?;
    Some(Some(delay).filter(|delay| !delay.is_zero()))
}

// Keep in step with the row of `kill_signal`, which lists these too.
const SIGNALS: &[&str] = &[
    "SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGKILL",
    "SIGABRT",
];

fn read_signal(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<String> {
    let given = f.string(wanted)?;
    let upper = given.value.to_uppercase();
    let name = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    if !SIGNALS.contains(&name.as_str()) {
        f.faults.push(
            Diagnostic::error(
                given.span,
                format!("`{}` is not a signal that stops a program", given.value),
            )
            .help(format!("write one of {}", SIGNALS.join(", "))),
        );
        return None;
    }
    Some(name)
}

fn read_drain_signal(f: &mut Fields<'_, '_>, wanted: Wanted) -> Taken<Option<String>> {
    let signal = read_signal(f, wanted)?;
    let is_off = f.peek("drain").and_then(DeValue::as_str) == Some("off");
    if is_off || usual_drain(f) == Way::Off {
        f.faults.push(
            Diagnostic::error(f.place(wanted.key), "`drain_signal` needs a drain")
                .help("write it as `kill_signal`, with the time to end as `kill_timeout`"),
        );
    }
    if signal == "SIGKILL" {
        f.faults.push(
            Diagnostic::error(
                f.place(wanted.key),
                "no program can finish anything on `SIGKILL`",
            )
            .help("write the signal on which the program ends gracefully"),
        );
    }
    Some(Some(signal))
}

fn read_message(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<bool> {
    let is_wanted = f.boolean(wanted)?;
    if is_wanted && f.peek("preload").and_then(DeValue::as_bool) == Some(false) {
        f.faults.push(
            Diagnostic::error(
                f.place(wanted.key),
                "`shutdown_with_message` needs `preload`",
            )
            .help("the preload delivers the message to the program; remove `preload = false`"),
        );
    }
    Some(is_wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_signal_needs_a_drain_and_a_chance_to_act_on_it() {
        for (lines, fault) in [
            ("listen = 3000\ndrain_signal = \"quit\"", None),
            (
                "listen = 3000\ndrain = \"off\"\ndrain_signal = \"SIGQUIT\"",
                Some("`drain_signal` needs a drain"),
            ),
            (
                "listen = []\ndrain_signal = \"SIGQUIT\"",
                Some("`drain_signal` needs a drain"),
            ),
            (
                "listen = 3000\ndrain_signal = \"SIGKILL\"",
                Some("no program can finish anything on `SIGKILL`"),
            ),
        ] {
            let text = format!("[[apps]]\nscript = \"x\"\nuser = \"root\"\n{lines}\n");
            let faults = crate::ecosystem::parse("eco.toml", &text).1.diagnostics;
            assert_eq!(faults.first().map(|f| f.message.as_str()), fault, "{lines}");
        }
    }

    #[test]
    fn documents_list_the_signals_that_are_taken() {
        let row = Lifecycle::ROWS.iter().find(|row| row.name == "kill_signal");
        let text = row
            .map(crate::ecosystem::key::Row::more)
            .unwrap_or_default();
        for signal in SIGNALS {
            assert!(text.contains(signal), "{signal}: {text}");
        }
    }
}
