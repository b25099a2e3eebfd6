//! Finds the version of the host's systemd without the bus, since systemd does not answer while generators run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Returns the version that `systemctl --version` prints, for which systemctl(1) does not ask systemd. Each systemctl
/// is run once, no matter how many apps have unknown directives.
pub(super) fn of(systemctl: &Path) -> Option<u32> {
    static KNOWN: Mutex<BTreeMap<PathBuf, Option<u32>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known
        .entry(systemctl.to_owned())
        .or_insert_with(|| ask(systemctl))
}

fn ask(systemctl: &Path) -> Option<u32> {
    let answer = Command::new(systemctl)
        .env_clear()
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    parse(&String::from_utf8_lossy(&answer.stdout))
}

/// Parses the number in `systemd 257 (257.9-1~deb13u1)`; `systemd 258~rc1` counts as 258.
fn parse(text: &str) -> Option<u32> {
    let version = text.strip_prefix("systemd ")?;
    let end = version.find(|c: char| !c.is_ascii_digit())?;
    version.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_version_is_the_second_word() {
        assert_eq!(parse("systemd 252 (252.38-1~deb12u1)\n+PAM\n"), Some(252));
        assert_eq!(parse("systemd 263~rc1-1 (263~rc1-1)\n"), Some(263));
        for text in ["", "systemd", "systemd \n", "systemd x\n", "upstart 263\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn where_there_is_no_systemctl_there_is_no_version() {
        assert_eq!(of(Path::new("/nonexistent/systemctl")), None);
    }
    #[test]
    fn systemctl_is_asked_once() {
        let folder = tempfile::tempdir().unwrap();
        let systemctl = folder.path().join("systemctl");
        assert_eq!(of(&systemctl), None);
        std::fs::write(&systemctl, "#!/bin/sh\necho 'systemd 257 (257)'\n").unwrap();
        std::fs::set_permissions(&systemctl, Permissions::from_mode(0o755)).unwrap();
        // Until the child of another test has called exec, it may hold the script open for writing.
        testbed::wait_until(Duration::from_secs(10), "the script answers", || {
            ask(&systemctl) == Some(257)
        });
        assert_eq!(of(&systemctl), None);
    }
}
