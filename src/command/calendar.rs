//! Checks calendar expressions with the systemd of this host.

use std::process::{Command, Stdio};

use crate::ecosystem::{App, Diagnostic};

const SYSTEMD_ANALYZE: &str = "/usr/bin/systemd-analyze";

/// Returns the times of an app that systemd does not accept. The reader of the ecosystem file has checked only their
/// form. Where systemd-analyze(1) is missing, there are no faults.
pub(super) fn faults(app: &App) -> Vec<Diagnostic> {
    let times = app.schedule().iter();
    let refused = times.filter_map(|time| Some((time, refusal(time)?)));
    refused
        .map(|(time, why)| {
            let fault = format!("systemd does not accept `{time}` as a calendar expression: {why}");
            Diagnostic::error(app.schedule_span.clone(), fault)
                .help("see systemd.time(7), and try it with `systemd-analyze calendar`")
        })
        .collect()
}

fn refusal(time: &str) -> Option<String> {
    let asked = Command::new(SYSTEMD_ANALYZE)
        .env_clear()
        .args(["calendar", "--", time])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .ok()?;
    if asked.status.success() {
        return None;
    }
    let words = String::from_utf8_lossy(&asked.stderr);
    let last = words.lines().last().unwrap_or_default();
    Some(last.rsplit(": ").next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every host that runs the tests has systemd's programs, even where another init runs.
    #[test]
    fn systemd_itself_reads_what_cron_was_translated_to() {
        for time in [
            "*-*-* *:00/5:00",
            "*-01,07-01 00:00:00",
            "Sun,Fri,Sat *-*-* 04:00:00",
            "*-*-* *:*:00/10",
            "*-*-01/2 08..18/2:30:00",
        ] {
            assert_eq!(refusal(time), None, "{time}");
        }
        assert!(refusal("*-*-32 04:00").is_some());
    }

    #[test]
    fn a_time_that_systemd_does_not_know_is_told_in_its_place() {
        let text = "[[apps]]\nscript = \"x\"\nschedule = [\"daily\", \"*-*-32 04:00\"]\n";
        let (apps, _) = crate::ecosystem::parse("ecosystem.toml", text);
        let faults = faults(&apps[0]);
        let told: Vec<&str> = faults.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        let begin = "systemd does not accept `*-*-32 04:00` as a calendar expression: ";
        assert!(
            told[0].starts_with(begin) && told[0].len() > begin.len(),
            "{told:?}"
        );
        assert!(text[faults[0].span.clone()].starts_with("[\"daily\""));
    }
}
