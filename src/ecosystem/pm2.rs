//! What to say to people who bring an attribute of PM2's that has another name here, or none.

/// The remedy for a key of PM2's that is no key here.
#[must_use]
pub(super) fn advice(key: &str) -> Option<String> {
    let text = match key {
        "exec_mode" | "execMode" => "leave it out: every app is a cluster, in every language",
        "port" | "increment_var" => "write `listen = 3000`: all instances share one port",
        "exec" | "cmd" | "command" => "write `script`",
        "uid" => "write `user`",
        "gid" => "write `group`",
        "node_args" | "nodeArgs" | "interpreterArgs" => "write `interpreter_args`",
        "exec_interpreter" | "execInterpreter" => "write `interpreter`",
        "wait_ready" | "waitReady" => "write `ready = \"message\"`",
        "watch" | "ignore_watch" | "watch_options" | "watch_delay" => {
            "leave it out: write a systemd.path(5) unit that runs `rsgen reload`"
        }
        "cron_restart" | "cron" => {
            "leave it out: write a systemd.timer(5) unit that runs `rsgen reload`"
        }
        "max_memory_restart" | "maxMemoryRestart" => {
            "write `MemoryMax = \"300M\"` in `[apps.service]`: the kernel keeps the limit"
        }
        "out_file" | "output" | "out" | "error_file" | "error" | "log_file" | "log"
        | "merge_logs" | "combine_logs" | "log_date_format" | "log_type" | "time"
        | "disable_logs" => {
            "leave it out: the journal keeps the logs, `journalctl -t APP` shows them"
        }
        "pid_file" | "pid" => "leave it out: systemd knows every process of an instance",
        "stop_exit_codes" | "treekill" | "kill_retry_time" | "force" | "vizion" | "pmx"
        | "automation" | "namespace" | "source_map_support" | "windowsHide" => {
            "leave it out: nothing here needs it"
        }
        "autostart" => "leave it out: `systemctl disable APP` keeps an app from starting at boot",
        "filter_env" => "leave it out: an instance gets a clean environment, not the caller's",
        _ => return None,
    };
    Some(text.to_owned())
}
