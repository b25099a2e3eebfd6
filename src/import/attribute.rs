//! PM2's attributes, and the line or the comment that each of them becomes.

use super::answer as by;
use super::draft::{Draft, Given};
use super::value::Table;
use crate::ecosystem::pm2::{MONITORING, snake_case};

/// How an attribute is imported.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// The attribute becomes a key that takes a string.
    Text(&'static str),
    /// A key that takes a time.
    Time(&'static str),
    /// A key that takes true or false.
    Switch(&'static str),
    /// A key that takes an integer within these bounds.
    Number(&'static str, i64, i64),
    /// A key that takes a list of arguments, or one string of them.
    Words(&'static str),
    /// Left out, with this comment.
    Left(&'static str),
    /// A function writes the result.
    By(fn(&mut Draft<'_>, Given<'_>)),
}

use Answer::{By, Left, Number, Switch, Text, Time, Words};

/// The names that PM2 has for an attribute, with underscores; PM2 accepts camel case too.
pub(super) type Attribute = (&'static [&'static str], Answer);

const PM2_ALONE: &str = "it concerns PM2 itself";

/// Every attribute of PM2. Their order matters: an answer may look at the results of earlier attributes.
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
        Left("every app is a cluster, whatever its language"),
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
        Left("the kernel tells systemd when a process ends; systemd does not poll"),
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
    (&["cron_restart", "cron"], By(by::cron_restart)),
    // After the key that makes an app a job.
    (&["max_memory_restart"], By(by::max_memory_restart)),
    (&["watch"], By(by::watch)),
    (&["ignore_watch"], By(by::ignore_watch)),
    (&["watch_delay"], By(by::watch_delay)),
    (
        &["watch_options"],
        Left("these are options of the library that PM2 watches files with"),
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
        Left("the journal records the time of each line"),
    ),
    (
        &["pid_file", "pid"],
        Left("systemd keeps track of the processes: `systemctl show -P MainPID APP@0`"),
    ),
    (
        &["namespace"],
        Left("name several apps in one command instead: `rsgen reload web api`"),
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
        Left("rsgen does not need it"),
    ),
    (MONITORING, Left("it belongs to PM2's monitoring")),
];

/// Imports the attributes of an app. [`super::shape`] has removed those without a value.
pub(super) fn take(draft: &mut Draft<'_>, given: &Table) {
    for (name, value) in given.iter().filter(|(name, _)| is_environment(name)) {
        by::environment(draft, Given { name, value });
    }
    for (names, answer) in ATTRIBUTES {
        let named = given.iter().filter(|(name, _)| is_one_of(names, name));
        // If several names of one attribute are present, PM2 uses one of them without documenting which.
        for (number, (name, value)) in named.enumerate() {
            let given = Given { name, value };
            if number == 0 {
                answered(draft, given, *answer);
            } else {
                draft.leave(given, "it is given twice");
            }
        }
    }
    let unknown = given
        .iter()
        .filter(|(name, _)| !is_environment(name) && !is_known(name));
    for (name, value) in unknown {
        draft.leave(
            Given { name, value },
            "PM2 has no such attribute and ignores it",
        );
    }
}

fn is_known(name: &str) -> bool {
    ATTRIBUTES.iter().any(|(names, _)| is_one_of(names, name))
}

/// Returns whether a name is one of these, also in camel case.
fn is_one_of(names: &[&str], name: &str) -> bool {
    names.contains(&snake_case(name).as_str())
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

/// Returns the note of a key that has another name in PM2; empty if the name is the same.
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
    use crate::ecosystem::pm2::names;

    #[test]
    fn every_attribute_of_pm2s_has_an_answer_and_no_other_name_has() {
        for name in names() {
            assert!(is_known(name), "{name}");
        }
        let all: Vec<&str> = ATTRIBUTES
            .iter()
            .flat_map(|(names, _)| *names)
            .copied()
            .collect();
        for (number, name) in all.iter().enumerate() {
            assert!(!all[..number].contains(name), "{name} is answered twice");
            let is_pm2s = names().any(|of_pm2| snake_case(of_pm2) == *name);
            assert!(is_pm2s, "{name}");
        }
    }
}
