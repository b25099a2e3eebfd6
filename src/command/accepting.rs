//! Finds instances that are up and accept no connections: their event loop is blocked, or the program has closed one of its
//! listeners.
//!
//! This needs a listener for each instance. With a shared listener, an instance that accepts nothing looks like one that has
//! nothing to do.

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

/// How long connections may wait without one being accepted.
const LONGEST: Duration = Duration::from_millis(500);
/// The mount points of the control groups, see cgroups(7).
pub(super) const ROOTS: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Returns why some of these instances, by their numbers, do not accept: connections wait at their listeners, and none is
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
    // Without an answer of the kernel, nothing is known.
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
    fn the_number_of_a_group_is_the_inode_of_its_folder_and_the_root_is_no_group_of_an_instance() {
        let folders = ROOTS.iter().filter_map(|root| fs::read_dir(root).ok());
        let mut folders = folders.flatten().flatten().map(|entry| entry.path());
        let folder = folders.find(|path| path.is_dir());
        let folder = folder.expect("a control group");
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap();
        let number = fs::metadata(&folder).unwrap().ino();
        assert_eq!(id(&format!("/{name}")), Some(number));
        assert_eq!(["", "/", "/no such group"].map(id), [None; 3]);
    }

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
