//! The keys that say when an instance starts, stops, and is given up.

use std::time::Duration;

use super::app::Lifecycle;
use super::diagnostic::Diagnostic;
use super::read::Fields;
use super::values::Drain;

const SIGNALS: &[&str] = &[
    "SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGKILL",
    "SIGABRT",
];

fn read_signal(f: &mut Fields<'_, '_>) -> Option<String> {
    let given = f.string("kill_signal", "\"SIGTERM\"")?;
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
                format!("`{}` is no signal that stops a program", given.value),
            )
            .help(format!("write one of {}", SIGNALS.join(", "))),
        );
        return None;
    }
    Some(name)
}

/// Reads them; what is missing has PM2's value where PM2 has one.
pub(super) fn read(f: &mut Fields<'_, '_>) -> Lifecycle {
    let preload = f.boolean("preload").unwrap_or(true);
    Lifecycle {
        kill_signal: read_signal(f).unwrap_or_else(|| "SIGINT".into()),
        kill_timeout: f
            .positive_time("kill_timeout")
            .unwrap_or(Duration::from_secs(5)),
        drain: f.parsed("drain", "\"auto\"").unwrap_or(Drain::Auto),
        drain_timeout: f
            .positive_time("drain_timeout")
            .unwrap_or(Duration::from_secs(10)),
        preload,
        message: read_message(f, preload),
        listen_timeout: f
            .positive_time("listen_timeout")
            .unwrap_or(Duration::from_secs(30)),
        // Never 0: systemd would restart a crashing program without any pause.
        restart_delay: f
            .time("restart_delay")
            .unwrap_or_default()
            .max(Duration::from_millis(100)),
        autorestart: f.boolean("autorestart").unwrap_or(true),
        min_uptime: f.time("min_uptime").unwrap_or(Duration::from_secs(1)),
        max_restarts: f.number("max_restarts", 1..10_000).unwrap_or(16),
        // PM2 writes 0 for none.
        backoff: f
            .time("exp_backoff_restart_delay")
            .filter(|delay| !delay.is_zero()),
    }
}

fn read_message(f: &mut Fields<'_, '_>, preload: bool) -> bool {
    let span = f.value("shutdown_with_message").map(toml::Spanned::span);
    let wanted = f.boolean("shutdown_with_message").unwrap_or(false);
    if let (true, false, Some(span)) = (wanted, preload, span) {
        f.faults.push(
            Diagnostic::error(span, "`shutdown_with_message` needs `preload`").help(
                "the preload is what brings the message to the program; remove `preload = false`",
            ),
        );
    }
    wanted
}
