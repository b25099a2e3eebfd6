//! Advice on PM2's attributes that have another name here, or none.

use super::rows;

/// Attributes of PM2's that are no key here.
#[derive(Debug)]
pub struct Foreign {
    /// Their names.
    pub names: &'static [&'static str],
    /// The alternative.
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

/// All of them; those that have another name here stand in the row of that key.
pub const FOREIGN: &[Foreign] = &[
    foreign(
        &["exec_mode"],
        "leave it out: every app is a cluster, in every language",
        "",
    ),
    foreign(
        &["max_memory_restart"],
        "write `MemoryMax = \"300M\"` in `[apps.service]`: the kernel enforces the limit",
        "immediately; PM2 checks every 30 s",
    ),
    foreign(
        &["cron_restart", "cron"],
        "leave it out: write a systemd.timer(5) unit that runs `rsgen reload`",
        "[a reload each night](#a-reload-each-night)",
    ),
    foreign(
        &["watch_options"],
        "leave it out: write `ignore_watch` and `watch_delay`",
        "",
    ),
    foreign(
        &["autostart"],
        "leave it out: `systemctl disable APP` keeps an app from starting at boot",
        "`systemctl disable web.service web.socket`",
    ),
    foreign(
        &["env_production"],
        "leave it out: write one ecosystem file for each environment",
        "`rsgen install production.toml`; or `env_file`",
    ),
    foreign(
        &["filter_env"],
        "leave it out: an instance gets a clean environment, not the caller's",
        "",
    ),
    foreign(
        &[
            "out_file",
            "output",
            "out",
            "error_file",
            "error",
            "log_file",
            "log",
            "merge_logs",
            "combine_logs",
            "log_date_format",
            "log_type",
            "time",
            "disable_logs",
        ],
        "leave it out: the journal keeps the logs, `journalctl -t APP` shows them",
        "`StandardOutput = \"append:/var/log/web.log\"` in `[apps.service]` for files",
    ),
    foreign(
        &["pid_file", "pid"],
        "leave it out: systemd knows every process of an instance",
        "`systemctl show -P MainPID web@0`",
    ),
    foreign(
        &["kill_retry_time", "treekill"],
        "leave it out: systemd stops all processes of an instance",
        "they are in one control group; `KillMode` in `[apps.service]`",
    ),
    foreign(
        &["deploy"],
        "leave it out: deploy as you like, then run `rsgen reload`",
        "",
    ),
    foreign(
        &["source_map_support"],
        "leave it out: nothing here needs it",
        "`interpreter_args = \"--enable-source-maps\"`",
    ),
    foreign(
        &[
            "stop_exit_codes",
            "force",
            "vizion",
            "pmx",
            "automation",
            "namespace",
            "windowsHide",
            "execute_command",
            "name_prefix",
            "append_env_to_name",
            "trace",
            "v8",
            "io",
            "deep_monitoring",
            "event_loop_inspector",
        ],
        "leave it out: nothing here needs it",
        "",
    ),
];

/// The remedy for a key of PM2's that is no key here.
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

/// PM2 takes many names in camel case as well.
fn snake_case(name: &str) -> String {
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
