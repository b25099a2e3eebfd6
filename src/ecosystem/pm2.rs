//! Advice about PM2's attributes that have another name in an ecosystem file, or none.

use super::rows;

/// Returns every name of an attribute in PM2's schema, except `env_NAME`.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().chain(MONITORING).copied()
}

/// The names in PM2's schema outside [`MONITORING`].
#[cfg(test)]
const NAMES: &[&str] = &[
    "script",
    "exec",
    "cmd",
    "command",
    "name",
    "name_prefix",
    "namespace",
    "cwd",
    "args",
    "exec_interpreter",
    "interpreter",
    "node_args",
    "interpreter_args",
    "exec_mode",
    "execute_command",
    "force",
    "port",
    "install_url",
    "write",
    "username",
    "post_update",
    "instances",
    "instance_var",
    "increment_var",
    "wait_ready",
    "listen_timeout",
    "kill_timeout",
    "kill_retry_time",
    "shutdown_with_message",
    "treekill",
    "merge_logs",
    "combine_logs",
    "autorestart",
    "autostart",
    "stop_exit_codes",
    "max_restarts",
    "min_uptime",
    "restart_delay",
    "exp_backoff_restart_delay",
    "max_memory_restart",
    "cron_restart",
    "cron",
    "watch",
    "ignore_watch",
    "watch_options",
    "watch_delay",
    "env",
    "filter_env",
    "append_env_to_name",
    "out_file",
    "out",
    "output",
    "out_log",
    "error_file",
    "error",
    "err",
    "err_file",
    "err_log",
    "log_file",
    "log",
    "pid_file",
    "pid",
    "disable_logs",
    "log_type",
    "log_date_format",
    "time",
    "uid",
    "user",
    "gid",
    "source_map_support",
    "disable_source_map_support",
    "vizion",
    "windowsHide",
];

/// The attributes of PM2's monitoring.
pub const MONITORING: &[&str] = &[
    "pmx",
    "automation",
    "trace",
    "disable_trace",
    "v8",
    "event_loop_inspector",
    "deep_monitoring",
    "io",
];

/// Attributes of PM2 that are not keys of an ecosystem file.
#[derive(Debug)]
pub struct Foreign {
    /// The names of the attributes.
    pub names: &'static [&'static str],
    /// The remedy.
    pub advice: &'static str,
    /// A note for the documents, in Markdown; may be empty.
    pub more: &'static str,
}

const fn foreign(
    names: &'static [&'static str],
    advice: &'static str,
    more: &'static str,
) -> Foreign {
    Foreign {
        names,
        advice,
        more,
    }
}

/// All such attributes. Those that have another name here are in the row of that key.
pub const FOREIGN: &[Foreign] = &[
    foreign(
        &["exec_mode"],
        "leave it out: every app is a cluster, whatever its language",
        "",
    ),
    foreign(
        &["watch_options"],
        "leave it out: write `ignore_watch` and `watch_delay`",
        "",
    ),
    foreign(
        &["autostart"],
        "leave it out: `systemctl disable APP.service APP.socket` keeps an app from starting at boot",
        "",
    ),
    foreign(
        &["filter_env"],
        "leave it out: an instance gets a clean environment, not the caller's",
        "",
    ),
    foreign(
        &["out_file", "output", "out", "out_log"],
        "write `StandardOutput = \"append:/var/log/web.log\"` in `[apps.service]`, or leave it out: the output goes to \
         the journal",
        "`web-%i.log` is a file for each instance; only from the journal can rsgen show the last lines of a program \
         that fails",
    ),
    foreign(
        &["error_file", "error", "err", "err_file", "err_log"],
        "write `StandardError = \"append:/var/log/web.log\"` in `[apps.service]`, or leave it out: the output goes to \
         the journal",
        "",
    ),
    foreign(
        &["log_file", "log"],
        "write `StandardOutput` and `StandardError` in `[apps.service]`, or leave it out: the output goes to the journal",
        "",
    ),
    foreign(
        &["disable_logs"],
        "write `StandardOutput = \"null\"` in `[apps.service]`",
        "`StandardError` for the other stream",
    ),
    foreign(
        &["merge_logs", "combine_logs"],
        "leave it out: `rsgen logs APP` shows the lines of all instances",
        "`journalctl -u web@0` those of one",
    ),
    foreign(
        &["log_date_format", "time"],
        "leave it out: the journal records the time of each line",
        "",
    ),
    foreign(
        &["log_type"],
        "leave it out: `rsgen logs APP --json` shows each line as JSON",
        "`journalctl -o json`",
    ),
    foreign(
        &["pid_file", "pid"],
        "leave it out: systemd keeps track of every process of an instance",
        "`systemctl show -P MainPID web@0`",
    ),
    foreign(
        &["treekill"],
        "write `KillMode = \"mixed\"` in `[apps.service]` for `treekill: false`: otherwise all processes of an \
         instance get the signal",
        "processes that are left when the main process has ended are killed",
    ),
    foreign(
        &["kill_retry_time"],
        "leave it out: the kernel tells systemd when a process ends",
        "",
    ),
    foreign(
        &["namespace"],
        "leave it out: name several apps in one command, as in `rsgen reload web api`",
        "`Slice = \"shop.slice\"` in `[apps.service]` for limits of a group",
    ),
    foreign(
        &["deploy"],
        "leave it out: use any tool to copy the code to the host, then run `rsgen deploy`",
        "",
    ),
    foreign(
        &["source_map_support"],
        "write `interpreter_args = \"--enable-source-maps\"`",
        "",
    ),
    foreign(
        &["disable_source_map_support"],
        "leave it out: Node reads source maps only with `--enable-source-maps`",
        "",
    ),
    foreign(
        &["name_prefix", "append_env_to_name"],
        "leave it out: write the whole `name`",
        "",
    ),
    foreign(
        &["execute_command"],
        "leave it out: `interpreter = \"none\"` executes the script itself",
        "",
    ),
    foreign(
        &[
            "force",
            "install_url",
            "write",
            "username",
            "post_update",
            "vizion",
            "windowsHide",
        ],
        "leave it out: it belongs to PM2 itself",
        "",
    ),
    foreign(
        MONITORING,
        "leave it out: it belongs to PM2's monitoring",
        "",
    ),
];

/// Returns the remedy for an attribute of PM2 that is not a key of an ecosystem file.
#[must_use]
pub(super) fn advice(key: &str) -> Option<String> {
    known_as(key).or_else(|| known_as(&snake_case(key)))
}

fn known_as(name: &str) -> Option<String> {
    if let Some(foreign) = FOREIGN.iter().find(|f| f.names.contains(&name)) {
        return Some(foreign.advice.to_owned());
    }
    let rows = rows();
    let row = rows
        .iter()
        .find(|row| row.name == name || row.pm2.names.contains(&name))?;
    let write = if row.name == name {
        name
    } else {
        row.pm2.write
    };
    let why = Some(row.pm2.note).filter(|note| !note.is_empty() && row.name != name);
    Some(why.map_or_else(
        || format!("write `{write}`"),
        |why| format!("write `{write}`: {why}"),
    ))
}

/// Converts a name from camel case, which PM2 accepts for many attributes too.
#[must_use]
pub fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_of_pm2s_is_answered_with_what_to_write() {
        for (attribute, told) in [
            ("exec_mode", Some("leave it out: every app is a cluster")),
            ("execMode", Some("leave it out: every app is a cluster")),
            ("cmd", Some("write `script`")),
            ("uid", Some("write `user`: ")),
            ("wait_ready", Some("write `ready = \"message\"`")),
            ("interpreterArgs", Some("write `interpreter_args`")),
            ("killTimeout", Some("write `kill_timeout`")),
            ("windowsHide", Some("leave it out")),
            ("instnces", None),
        ] {
            let said = advice(attribute);
            let is_told = said
                .as_deref()
                .map(|text| text.starts_with(told.unwrap_or("-")));
            assert_eq!(is_told, told.map(|_| true), "{attribute}: {said:?}");
        }
    }

    #[test]
    fn every_attribute_of_pm2s_is_a_key_or_is_answered() {
        let rows = rows();
        for name in names() {
            let is_key = rows.iter().any(|row| row.name == name);
            assert!(is_key || advice(name).is_some(), "{name}");
            let mut camel = String::new();
            for part in name.split('_') {
                let (head, tail) = part.split_at(usize::from(!camel.is_empty()));
                camel += &(head.to_uppercase() + tail);
            }
            assert!(camel == name || advice(&camel).is_some(), "{camel}");
        }
    }

    #[test]
    fn no_attribute_is_answered_twice() {
        let rows = rows();
        let renamed = rows.iter().flat_map(|row| row.pm2.names);
        let mut names: Vec<&str> = FOREIGN
            .iter()
            .flat_map(|f| f.names)
            .chain(renamed)
            .copied()
            .collect();
        names.extend(rows.iter().map(|row| row.name));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
