//! Tells the instances that are up and accept nothing, where each has a listener of its own: an event loop is blocked, or the
//! program has given up one of its addresses.
//!
//! A shared listener cannot tell: an instance that accepts nothing looks like one that has nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::balance::queue::Queues;
use crate::ecosystem::App;
use crate::ecosystem::values::{Place, SocketKind};
use crate::systemd::{Error, Manager};
use crate::unit::name::Units;

/// How long nothing may be accepted while something waits.
const LONGEST: Duration = Duration::from_millis(500);
/// Where the control groups are, see cgroups(7).
pub(super) const ROOTS: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The reasons for which some of these instances do not accept, by their numbers: connections wait at their listeners, and none is
/// accepted.
///
/// # Errors
/// When systemd cannot be asked.
pub(super) fn refusals(
    manager: &mut dyn Manager,
    app: &App,
    up: &[u32],
) -> Result<BTreeMap<u32, String>, Error> {
    let mut found = BTreeMap::new();
    if !app.is_even() || up.is_empty() {
        return Ok(found);
    }
    let ports = ports(app);
    // Where the kernel does not tell what waits, nothing is known.
    let before = Queues::at(&ports).unwrap_or_default();
    if before.is_empty() {
        return Ok(found);
    }
    manager.pause(LONGEST);
    let now = Queues::at(&ports).unwrap_or_default();
    for number in up {
        let listener = Units::of(app.name()).listener(*number);
        let group = id(&manager.unit(&listener)?.control_group);
        if let Some(waiting) = group.and_then(|group| now.untouched_since(&before, group)) {
            found.insert(*number, reason(waiting));
        }
    }
    Ok(found)
}

fn reason(waiting: usize) -> String {
    let waiting = match waiting {
        1 => "1 connection waits".to_owned(),
        many => format!("{many} connections wait"),
    };
    format!("{waiting}, none accepted for {} ms", LONGEST.as_millis())
}

pub(super) fn ports(app: &App) -> BTreeSet<u16> {
    let listen = app.listen.iter().filter(|l| l.kind == SocketKind::Stream);
    let ports = listen.filter_map(|listen| match &listen.place {
        Place::Port(port) => Some(*port),
        Place::Address(address) => Some(address.port()),
        Place::Path(_) => None,
    });
    ports.collect()
}

/// The number of a control group, which is the inode of its folder.
pub(super) fn id(path: &str) -> Option<u64> {
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return None;
    }
    let folders = ROOTS.iter().map(|root| Path::new(root).join(path));
    folders
        .filter_map(|folder| fs::metadata(folder).ok())
        .map(|found| found.ino())
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::parse;

    #[test]
    fn every_port_of_tcp_is_looked_at_once() {
        let text = "[[apps]]\nscript = \"x\"\nlisten = [3000, \"[::1]:80\", \"127.0.0.1:80\", \"udp:53\", \"/run/a.sock\"]\n";
        let (apps, report) = parse("eco.toml", text);
        assert!(!report.has_errors(), "{}", report.render(false));
        assert_eq!(ports(&apps[0]), BTreeSet::from([80, 3000]));
        assert_eq!(reason(1), "1 connection waits, none accepted for 500 ms");
        assert_eq!(reason(2), "2 connections wait, none accepted for 500 ms");
    }
}
