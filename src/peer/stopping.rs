//! Whether systemd is stopping an instance, which the commands of its start have to know.
//!
//! A stop that comes while a command of `ExecStartPost=` runs sends the stop signal to that command as well. An end by that signal counts
//! as success, so systemd goes on to the next of these commands, although the instance is ending.

use std::process::{Command, Stdio};

use crate::unit::name::Units;

/// How often systemctl(1) is started. An instance's own check ends every child of its process, this one included.
const TRIES: u32 = 3;

/// Whether systemd is stopping the instance; false where systemd cannot be asked.
///
/// systemctl(1) is asked, because it reaches the manager without a bus. It is linked dynamically, and with an empty environment no
/// `LD_PRELOAD` of the app can make it load anything.
pub(crate) fn has_begun(app: &str, instance: u32) -> bool {
    let unit = Units::of(app).instance(instance);
    let asked = || {
        let answer = Command::new("/usr/bin/systemctl")
            .env_clear()
            .args(["show", "--property=SubState", "--value", "--", &unit])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        answer.ok().filter(|a| a.status.success())
    };
    let answer = (0..TRIES).find_map(|_| asked());
    answer.is_some_and(|a| is_end(&String::from_utf8_lossy(&a.stdout)))
}

/// Whether a service in this state is on its way down, see `service_state_table` in src/basic/unit-def.c of systemd.
fn is_end(state: &str) -> bool {
    state.starts_with("stop") || state.starts_with("final-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_on_its_way_down_from_the_stop_signal_on() {
        for state in [
            "stop",
            "stop-sigterm\n",
            "stop-sigkill",
            "stop-post",
            "final-sigterm",
        ] {
            assert!(is_end(state), "{state}");
        }
        for state in [
            "",
            "start-post\n",
            "start",
            "running",
            "reload",
            "auto-restart",
            "dead",
            "failed",
        ] {
            assert!(!is_end(state), "{state}");
        }
    }
}
