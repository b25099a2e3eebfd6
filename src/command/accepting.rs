//! Finds instances that are up and accept no connections: their event loop is blocked, or the program has closed one of its
//! listeners.
//!
//! This needs a listener for each instance. With a shared listener, an instance that accepts nothing looks like one that has
//! nothing to do.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::balance::queue::Queues;
use crate::ecosystem::App;
use crate::ecosystem::values::{Place, SocketKind};
use crate::systemd::{Manager, Unit};

/// How long connections may wait without one being accepted.
const LONGEST: Duration = Duration::from_millis(500);
/// The mount points of the control groups, see cgroups(7).
pub(super) const ROOTS: &[&str] = &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Two looks at what waits at the listeners of all apps.
#[derive(Default)]
pub(super) struct Looks {
    before: Queues,
    now: Queues,
}

impl Looks {
    /// Looks twice where connections wait at a listener of these apps. Without an answer of the kernel, nothing is known.
    pub(super) fn at(manager: &mut dyn Manager, apps: &[Option<App>]) -> Self {
        let even = apps.iter().flatten().filter(|app| app.is_even());
        let ports = even.flat_map(ports).collect();
        let before = Queues::at(&ports).unwrap_or_default();
        if before.is_empty() {
            return Self::default();
        }
        manager.pause(LONGEST);
        let now = Queues::at(&ports).unwrap_or_default();
        Self { before, now }
    }

    /// Returns why an instance, which has this listener, does not accept, if that is so: connections wait at the listener, and none is
    /// accepted.
    pub(super) fn refusal(&self, listener: &Unit) -> Option<String> {
        let group = id(&listener.control_group)?;
        self.now.untouched_since(&self.before, group).map(reason)
    }
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
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::ecosystem::parse;
    use crate::systemd::fake::Fake;

    #[test]
    fn however_many_apps_have_something_waiting_there_is_one_pause() {
        let listeners = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.each_ref().map(|l| l.local_addr().unwrap().port());
        let app = |port: u16| {
            let text = format!("[[apps]]\nscript = \"x\"\nlisten = {port}\nbalance = \"even\"\n");
            parse("eco.toml", &text).0.pop()
        };
        let apps = [app(ports[0]), None, app(ports[1])];
        let mut systemd = Fake::default();
        Looks::at(&mut systemd, &apps);
        assert_eq!(systemd.now(), Duration::ZERO, "nothing waits");
        let _clients = ports.map(|port| TcpStream::connect(("127.0.0.1", port)).unwrap());
        let looks = Looks::at(&mut systemd, &apps);
        // If the kernel does not report a control group, nothing is known.
        let paused = if looks.before.is_empty() {
            Duration::ZERO
        } else {
            LONGEST
        };
        assert_eq!(systemd.now(), paused);
        assert_eq!(looks.before, looks.now);
    }

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
