//! Runs the everyday specs with a listener for each instance: with `RSGEN_TEST_BALANCE=even`, each app of an ecosystem file
//! that could have `balance = "even"` gets it, and every machine boots without the filter that forbids bpf(2).

use std::borrow::Cow;

/// Whether this run is with `balance = "even"`.
pub(crate) fn is_even() -> bool {
    std::env::var_os("RSGEN_TEST_BALANCE").is_some_and(|balance| balance == "even")
}

/// The text of a file as this run has it. Below a home are the apps of a user's own manager, which may not use bpf(2).
pub(crate) fn of_this_run<'a>(path: &str, text: &'a str) -> Cow<'a, str> {
    if is_even() && text.contains(TABLE) && !path.starts_with("/home/") {
        Cow::Owned(evened(text))
    } else {
        Cow::Borrowed(text)
    }
}

fn evened(text: &str) -> String {
    let mut apps = text.split(TABLE);
    let mut evened = apps.next().unwrap_or_default().to_owned();
    for app in apps {
        evened.push_str(TABLE);
        if can_be_even(app) {
            evened.push_str("\nbalance = \"even\"");
        }
        evened.push_str(app);
    }
    evened
}

const TABLE: &str = "[[apps]]";

/// Whether an app listens only on TCP and does not set its balance.
fn can_be_even(app: &str) -> bool {
    let listen = app.lines().find_map(|line| line.strip_prefix("listen = "));
    let is_tcp = |listen: &str| {
        let others = ["[]", "udp:", "\"/", "[\"/", "@", "seqpacket:", "fifo:"];
        !others.iter().any(|other| listen.contains(other))
    };
    listen.is_some_and(is_tcp) && !app.contains("balance = ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_apps_that_listen_on_tcp_alone_are_changed() {
        let text = "# A comment.\n[[apps]]\nlisten = 3000\n[[apps]]\nlisten = \"udp:53\"\n";
        let wanted = text.replacen(TABLE, "[[apps]]\nbalance = \"even\"", 1);
        assert_eq!(evened(text), wanted);
        for app in [
            "listen = []",
            "listen = [3000, \"/run/web.sock\"]",
            "listen = 3000\nbalance = \"shared\"",
            "script = \"x\"",
        ] {
            let text = format!("[[apps]]\n{app}\n");
            assert_eq!(evened(&text), text);
        }
    }
}
