//! `dump.pm2`: one entry per process, with everything that PM2 knew about the process.

use super::shape::Found;
use super::value::{Table, Value, member};
use crate::unit::Fault;

/// Attributes that have another name in an entry than in a PM2 file.
const RENAMED: &[(&str, &str)] = &[
    ("pm_exec_path", "script"),
    ("pm_cwd", "cwd"),
    ("exec_interpreter", "interpreter"),
    ("username", "user"),
];

/// Attributes that are imported unless they have PM2's defaults. The other attributes describe the process that ran.
const KEPT: &[&str] = &[
    "name",
    "args",
    "node_args",
    "instance_var",
    "increment_var",
    "wait_ready",
    "listen_timeout",
    "kill_timeout",
    "shutdown_with_message",
    "treekill",
    "autorestart",
    "stop_exit_codes",
    "max_restarts",
    "min_uptime",
    "restart_delay",
    "exp_backoff_restart_delay",
    "max_memory_restart",
    "cron_restart",
    "watch",
    "ignore_watch",
    "watch_delay",
    "uid",
    "gid",
];

/// Prefixes of the names of variables that come from a shell, a session or PM2 itself.
const OF_THE_SHELL: &[&str] = &[
    "BASH",
    "COLORTERM",
    "DBUS_",
    "DEBIAN_FRONTEND",
    "DISPLAY",
    "EDITOR",
    "FNM_",
    "GPG_",
    "HIST",
    "HOME",
    "HOST",
    "INIT_CWD",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LANG",
    "LC_",
    "LESS",
    "LISTEN_",
    "LOGNAME",
    "LS_COLORS",
    "MAIL",
    "MANAGERPID",
    "MEMORY_PRESSURE_",
    "NODE_APP_INSTANCE",
    "NOTIFY_SOCKET",
    "NVM_",
    "OLDPWD",
    "PAGER",
    "PATH",
    "PM2_",
    "PNPM_HOME",
    "PWD",
    "SHELL",
    "SHLVL",
    "SSH_",
    "STY",
    "SUDO_",
    "SYSTEMD_",
    "TERM",
    "TMUX",
    "USER",
    "VISUAL",
    "VOLTA_",
    "VSCODE_",
    "WINDOWID",
    "XDG_",
    "_",
    "axm_",
    "npm_",
    "pm_",
];

pub(super) fn read(value: Value) -> Result<Found, Fault> {
    let Value::List(entries) = value else {
        return Err(Fault::new(
            "the file is not a list of processes as `pm2 save` writes it",
            "run `pm2 save` and import `~/.pm2/dump.pm2`",
        ));
    };
    let mut found = Found::default();
    let mut counts: Vec<(Value, usize)> = Vec::new();
    for entry in entries {
        let Value::Table(entry) = entry else {
            continue;
        };
        let name = member(&entry, "name").cloned().unwrap_or(Value::Null);
        if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == name) {
            *count += 1;
        } else {
            counts.push((name, 1));
            found.apps.push(app(&entry));
        }
    }
    for (app, (_, count)) in found.apps.iter_mut().zip(counts) {
        app.push(("instances".to_owned(), Value::Number(count.to_string())));
    }
    found.notes = vec![
        "`instances` is the number of processes that ran; write \"max\" for one per CPU".to_owned(),
        "a dump contains the shell's whole environment: variables that look like the shell's own are left out; move \
         secrets \
         among the others to an `env_file`"
            .to_owned(),
    ];
    Ok(found)
}

fn app(entry: &Table) -> Table {
    let mut app = Table::new();
    for (from, to) in RENAMED {
        if let Some(value) = member(entry, from) {
            app.push(((*to).to_owned(), value.clone()));
        }
    }
    // `username` is the user of PM2's daemon, which does not matter for an app that has a `uid`.
    if member(entry, "uid").is_some() {
        app.retain(|(name, _)| name != "user");
    }
    for name in KEPT {
        if let Some(value) = member(entry, name).filter(|value| says_something(name, value)) {
            app.push(((*name).to_owned(), value.clone()));
        }
    }
    if let Some(Value::Table(env)) = member(entry, "env") {
        let own = env
            .iter()
            .filter(|(name, value)| is_own(entry, name, value));
        app.push(("env".to_owned(), Value::Table(own.cloned().collect())));
    }
    app
}

/// Returns whether an attribute differs from PM2's default.
fn says_something(name: &str, value: &Value) -> bool {
    match value {
        Value::Bool(is) => *is != matches!(name, "treekill" | "autorestart"),
        Value::List(list) => !list.is_empty(),
        Value::Text(text) => text != "NODE_APP_INSTANCE",
        _ => true,
    }
}

/// Returns whether a variable is the app's own. PM2 puts its attributes among the variables too.
fn is_own(entry: &Table, name: &str, value: &Value) -> bool {
    let is_shells = OF_THE_SHELL.iter().any(|begin| {
        let rest = name.strip_prefix(begin);
        rest.is_some_and(|rest| {
            rest.is_empty() || begin.ends_with('_') || *begin == "LANG" || *begin == "BASH"
        })
    });
    let is_attribute =
        !name.chars().any(|c| c.is_ascii_uppercase()) && member(entry, name).is_some();
    let is_name = member(entry, "name").and_then(Value::text) == Some(name);
    !is_shells && !is_attribute && !is_name && name != "unique_id" && value.scalar().is_some()
}
