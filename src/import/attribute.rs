//! PM2's attributes, and the line or the comment that each becomes.

use super::answer as by;
use super::draft::{Draft, Given};
use super::value::{Table, Value};
use crate::ecosystem::pm2::snake_case;

/// What becomes of an attribute.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// It becomes this key, which takes a string.
    Text(&'static str),
    /// A time.
    Time(&'static str),
    /// True or false.
    Switch(&'static str),
    /// An integer within bounds.
    Number(&'static str, i64, i64),
    /// A list of arguments, or one string of them.
    Words(&'static str),
    /// Nothing, for this reason.
    Left(&'static str),
    /// It is more than one line.
    By(fn(&mut Draft<'_>, Given<'_>)),
}

use Answer::{By, Left, Number, Switch, Text, Time, Words};

/// PM2's names of an attribute, in the form with underscores; PM2 takes camel case as well.
pub(super) type Attribute = (&'static [&'static str], Answer);

const PM2_ALONE: &str = "it is for PM2 itself";
const MONITORING: &str = "it is for PM2's monitoring";

/// Every attribute of PM2's, in the order in which apps are read: later ones look at what earlier ones have written.
pub(super) const ATTRIBUTES: &[Attribute] = &[
    (&["name"], By(by::name)),
    (&["exec_interpreter", "interpreter"], By(by::interpreter)),
    (&["script", "exec", "cmd", "command"], By(by::script)),
    (&["args"], By(by::args)),
    (&["cwd"], Text("cwd")),
    (
        &["node_args", "interpreter_args"],
        Words("interpreter_args"),
    ),
    (&["source_map_support"], By(by::source_maps)),
    (
        &["disable_source_map_support"],
        Left("Node reads source maps only with `--enable-source-maps`"),
    ),
    (&["instances"], By(by::instances)),
    (
        &["exec_mode"],
        Left("every app is a cluster, in every language"),
    ),
    (&["instance_var"], Text("instance_var")),
    (&["env"], By(by::env)),
    (&["port"], By(by::port)),
    (&["increment_var"], By(by::increment_var)),
    (
        &["filter_env"],
        Left("no variable of the shell reaches an app, so there is nothing to filter"),
    ),
    (
        &["append_env_to_name"],
        Left("write another `name` for a second environment on the same host"),
    ),
    (&["wait_ready"], By(by::wait_ready)),
    (&["listen_timeout"], By(by::listen_timeout)),
    (&["uid", "user"], By(by::user)),
    (&["gid"], By(by::group)),
    (&["kill_timeout"], Time("kill_timeout")),
    (
        &["kill_retry_time"],
        Left("systemd is told when a process ends, it does not poll"),
    ),
    (&["shutdown_with_message"], By(by::shutdown_with_message)),
    (&["treekill"], By(by::treekill)),
    (&["autorestart"], Switch("autorestart")),
    (&["autostart"], By(by::autostart)),
    (&["stop_exit_codes"], By(by::stop_exit_codes)),
    (&["max_restarts"], Number("max_restarts", 1, 9999)),
    (&["min_uptime"], Time("min_uptime")),
    (&["restart_delay"], Time("restart_delay")),
    (
        &["exp_backoff_restart_delay"],
        Time("exp_backoff_restart_delay"),
    ),
    (&["max_memory_restart"], By(by::max_memory_restart)),
    (&["cron_restart", "cron"], By(by::cron_restart)),
    (&["watch"], By(by::watch)),
    (&["ignore_watch"], By(by::ignore_watch)),
    (&["watch_delay"], By(by::watch_delay)),
    (
        &["watch_options"],
        Left("they are the options of the library by which PM2 watches"),
    ),
    (&["merge_logs", "combine_logs"], By(by::merge_logs)),
    (&["out_file", "out", "output", "out_log"], By(by::out_file)),
    (
        &["error_file", "error", "err", "err_file", "err_log"],
        By(by::error_file),
    ),
    (&["log_file", "log"], By(by::log_file)),
    (&["disable_logs"], By(by::disable_logs)),
    (
        &["log_type"],
        Left("`journalctl -o json` shows the journal as JSON"),
    ),
    (
        &["log_date_format", "time"],
        Left("the journal notes the time of each line"),
    ),
    (
        &["pid_file", "pid"],
        Left("systemd knows the processes: `systemctl show -P MainPID APP@0`"),
    ),
    (
        &["namespace"],
        Left("commands take several apps: `rsgen reload web api`"),
    ),
    (
        &[
            "name_prefix",
            "force",
            "install_url",
            "write",
            "username",
            "post_update",
            "vizion",
        ],
        Left(PM2_ALONE),
    ),
    (
        &["execute_command", "windows_hide"],
        Left("nothing here needs it"),
    ),
    (
        &[
            "pmx",
            "automation",
            "trace",
            "disable_trace",
            "v8",
            "event_loop_inspector",
            "deep_monitoring",
            "io",
        ],
        Left(MONITORING),
    ),
];

/// Goes through the attributes of an app.
pub(super) fn take(draft: &mut Draft<'_>, given: &Table) {
    for (name, value) in given.iter().filter(|(name, _)| is_environment(name)) {
        by::environment(draft, Given { name, value });
    }
    for (names, answer) in ATTRIBUTES {
        let named = given
            .iter()
            .filter(|(name, _)| names.contains(&snake_case(name).as_str()));
        // PM2 takes one of them, and does not say which.
        for (number, (name, value)) in named.enumerate() {
            let given = Given { name, value };
            match (value, number) {
                (Value::Null, _) => draft.leave(given, "it has no value"),
                (_, 0) => answered(draft, given, *answer),
                _ => draft.leave(given, "it is written twice"),
            }
        }
    }
    let unknown = given
        .iter()
        .filter(|(name, _)| !is_environment(name) && !is_known(name));
    for (name, value) in unknown {
        draft.leave(
            Given { name, value },
            "PM2 has no such attribute, and ignores it",
        );
    }
}

fn is_known(name: &str) -> bool {
    let name = snake_case(name);
    ATTRIBUTES
        .iter()
        .any(|(names, _)| names.contains(&name.as_str()))
}

fn is_environment(name: &str) -> bool {
    name.strip_prefix("env_")
        .is_some_and(|rest| !rest.is_empty())
}

fn answered(draft: &mut Draft<'_>, given: Given<'_>, answer: Answer) {
    let value = given.value;
    match answer {
        Text(key) => match value.scalar() {
            Some(text) => draft.set(key, text, renamed(given, key)),
            None => draft.refuse(given, "a string"),
        },
        Switch(key) => match value.boolean() {
            Some(is) => draft.set(key, is, renamed(given, key)),
            None => draft.refuse(given, "true or false"),
        },
        Number(key, low, high) => match value.integer() {
            Some(number) if (low..=high).contains(&number) => {
                draft.set(key, number, renamed(given, key));
            }
            Some(number) => {
                let note = format!("{number} in PM2, which is out of range here");
                draft.set(key, number.clamp(low, high), note);
            }
            None => draft.refuse(given, "a number"),
        },
        Time(key) => by::time(draft, given, key),
        Words(key) => by::words(draft, given, key),
        Left(why) => draft.leave(given, why),
        By(take) => take(draft, given),
    }
}

/// The note of a key that PM2 calls by another name.
pub(super) fn renamed(given: Given<'_>, key: &str) -> String {
    if given.name == key {
        String::new()
    } else {
        format!("`{}` in PM2", given.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::pm2::NAMES;

    #[test]
    fn every_attribute_of_pm2s_has_an_answer_and_no_other_name_has() {
        for name in NAMES {
            assert!(is_known(name), "{name}");
        }
        let all: Vec<&str> = ATTRIBUTES
            .iter()
            .flat_map(|(names, _)| *names)
            .copied()
            .collect();
        for (number, name) in all.iter().enumerate() {
            assert!(!all[..number].contains(name), "{name} is answered twice");
            let is_pm2s = NAMES.iter().any(|of_pm2| snake_case(of_pm2) == *name);
            assert!(is_pm2s, "{name}");
        }
    }
}
