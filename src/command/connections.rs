//! Counts the connections of apps and of their instances.

use std::collections::{BTreeSet, HashSet};

use super::accepting;
use super::holders::{Look, folder, group};
use super::overview::Overview;
use super::status::AppStatus;
use crate::balance::census::{self, Accepted, Census, Listener};
use crate::ecosystem::App;
use crate::unit::name::Units;

/// Fills in the counts of these apps; `files` are their ecosystem files. Where the kernel does not tell, nothing is known.
pub(super) fn count(apps: &mut [AppStatus], files: &[Option<App>], overview: &Overview) {
    let ports = |file: &Option<App>| file.as_ref().map(accepting::ports).unwrap_or_default();
    let ports: Vec<BTreeSet<u16>> = files.iter().map(ports).collect();
    let Ok(census) = census::at(&ports.iter().flatten().copied().collect()) else {
        return;
    };
    for ((app, file), ports) in apps.iter_mut().zip(files).zip(&ports) {
        match file.as_ref().and_then(App::balance_word) {
            _ if ports.is_empty() => {}
            Some("shared") => share(app, &census, ports, overview),
            Some(_) => divide(app, &census, ports, overview),
            None => {}
        }
    }
}

/// The instances share a listener: what waits, waits for all of them.
fn share(app: &mut AppStatus, census: &Census, ports: &BTreeSet<u16>, overview: &Overview) {
    let units = Units::of(&app.name);
    let at_ports = census.listeners.iter().filter(|l| ports.contains(&l.port));
    // Another app may listen at another address of the same port. Where systemd opens listeners in its own group, all are counted.
    let socket = overview.unit(&units.socket()).control_group;
    // The second unit, where there is one, is beside the first.
    let second = socket.replace(&units.socket(), &units.second_socket());
    let groups = [socket, second].map(|path| accepting::id(&path));
    let groups = groups.into_iter().flatten();
    let groups: Vec<u64> = groups
        .filter(|group| at_ports.clone().any(|l| l.group == *group))
        .collect();
    let is_own =
        |port: &u16, of: u64| ports.contains(port) && (groups.is_empty() || groups.contains(&of));
    (app.waiting, app.dropped) = sum(at_ports.filter(|l| is_own(&l.port, l.group)));
    if app.waiting.is_none() {
        return;
    }
    let accepted = census.accepted.iter();
    let accepted: HashSet<u64> = accepted
        .filter(|a| is_own(&a.port, a.group))
        .map(|a| a.inode)
        .collect();
    app.connections = Some(accepted.len());
    let mut look = Look::for_some(accepted.len());
    for instance in &mut app.instances {
        let unit = overview.unit(&instance.unit);
        instance.connections = match unit.main_pid {
            0 => None,
            _ if accepted.is_empty() => Some(0),
            pid => group(pid, &unit).and_then(|group| look.held(&folder(&group)?, &accepted)),
        };
    }
}

/// Each instance has a listener in a control group of its own, which its connections inherit.
fn divide(app: &mut AppStatus, census: &Census, ports: &BTreeSet<u16>, overview: &Overview) {
    let units = Units::of(&app.name);
    for instance in &mut app.instances {
        let listener = overview.unit(&units.listener(instance.number));
        let Some(group) = accepting::id(&listener.control_group) else {
            continue;
        };
        let is_own = |of: &Listener| of.group == group && ports.contains(&of.port);
        (instance.waiting, instance.dropped) = sum(census.listeners.iter().filter(|l| is_own(l)));
        let is_own = |of: &&Accepted| of.group == group && ports.contains(&of.port);
        instance.connections = Some(census.accepted.iter().filter(is_own).count());
    }
    let instances = &app.instances;
    app.connections = instances.iter().map(|i| i.connections).sum();
    app.waiting = instances.iter().map(|i| i.waiting).sum();
    app.dropped = instances.iter().map(|i| i.dropped).sum();
}

/// What waits at listeners, and what they have dropped.
fn sum<'a>(listeners: impl Iterator<Item = &'a Listener>) -> (Option<u32>, Option<u32>) {
    let (mut all, mut dropped) = (None::<u32>, Some(0_u32));
    for Listener {
        waiting,
        dropped: more,
        ..
    } in listeners
    {
        all = Some(all.unwrap_or(0).saturating_add(*waiting));
        dropped = dropped
            .zip(*more)
            .map(|(sum, more)| sum.saturating_add(more));
    }
    (all, all.and(dropped))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::process;

    use nix::sys::stat::fstat;

    use super::*;
    use crate::command::status::InstanceStatus;
    use crate::systemd::Unit;
    use crate::systemd::fake::Fake;

    /// The control groups of a test: folders that stand for those of the kernel.
    struct Groups(tempfile::TempDir);

    impl Groups {
        fn new(names: &[&str]) -> Self {
            let groups = Self(tempfile::tempdir().unwrap());
            for name in names {
                fs::create_dir_all(groups.0.path().join(name)).unwrap();
            }
            groups
        }

        /// The path of a group, as systemd tells it.
        fn path(&self, name: &str) -> String {
            format!("/../../..{}", self.0.path().join(name).display())
        }

        fn id(&self, name: &str) -> u64 {
            accepting::id(&self.path(name)).unwrap()
        }

        fn unit(&self, name: &str, main_pid: u32) -> Unit {
            Unit {
                name: name.into(),
                control_group: self.path(name),
                main_pid,
                ..Unit::default()
            }
        }
    }

    fn listener(group: u64, port: u16, waiting: u32, dropped: Option<u32>) -> Listener {
        Listener {
            group,
            port,
            waiting,
            dropped,
        }
    }

    fn accepted(group: u64, port: u16, inode: u64) -> Accepted {
        Accepted { group, port, inode }
    }

    fn app(overview: &Overview) -> AppStatus {
        let instance = |number: &u32| InstanceStatus {
            number: *number,
            unit: Units::of("web").instance(*number),
            status: "online",
            pid: None,
            uptime_seconds: None,
            restarts: 0,
            memory_bytes: None,
            cpu_seconds: None,
            has_leftovers: false,
            cpu_percent: None,
            connections: None,
            waiting: None,
            dropped: None,
            release: None,
            reason: None,
            canary: false,
            balance_fault: None,
            last_end: None,
        };
        AppStatus {
            name: "web".into(),
            active_state: "active".into(),
            listen: Vec::new(),
            balance: None,
            watch: None,
            ready: 0,
            wanted: None,
            connections: None,
            waiting: None,
            dropped: None,
            instances: overview.instances("web").iter().map(instance).collect(),
            without_effect: Vec::new(),
            status: None,
            schedule: None,
        }
    }

    /// What is counted of the instances.
    fn counted(app: &AppStatus) -> Vec<Option<usize>> {
        app.instances.iter().map(|i| i.connections).collect()
    }

    #[test]
    fn what_waits_at_a_shared_listener_is_the_apps_and_who_has_a_connection_is_its_instance() {
        let groups = Groups::new(&["web.socket", "web:2.socket", "web@0.service/below"]);
        let procs = groups.0.path().join("web@0.service/below/cgroup.procs");
        // A process of another PID namespace is 0, and one of them has ended meanwhile.
        fs::write(procs, format!("0\n{}\n{}\n", u32::MAX, process::id())).unwrap();
        let mut fake = Fake::default();
        fake.set(groups.unit("web.socket", 0));
        fake.set(groups.unit("web@0.service", process::id()));
        fake.set(groups.unit("web@1.service", 0));
        fake.set(groups.unit("web@2.service", 1));
        let overview = Overview::read(&mut fake, &[("web", false)]).unwrap();
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let own_inode = fstat(&own).unwrap().st_ino;
        let (first, second) = (groups.id("web.socket"), groups.id("web:2.socket"));
        let other = groups.id("");
        let mut census = Census {
            listeners: vec![
                listener(first, 3000, 2, Some(1)),
                listener(second, 3001, 1, Some(4)),
                listener(other, 3000, 100, Some(100)),
                listener(first, 4000, 50, Some(50)),
            ],
            accepted: vec![
                accepted(first, 3000, own_inode),
                accepted(second, 3001, u64::MAX),
                accepted(other, 3000, 2),
                accepted(first, 4000, 3),
            ],
        };
        let ports = BTreeSet::from([3000, 3001]);
        let mut web = app(&overview);
        share(&mut web, &census, &ports, &overview);
        let all = (web.connections, web.waiting, web.dropped);
        assert_eq!(all, (Some(2), Some(3), Some(5)));
        // Of an instance whose group cannot be found nothing is known.
        assert_eq!(counted(&web), [Some(1), None, None]);

        // Of a unit that is up the group is that of its main process.
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = own
            .lines()
            .next()
            .and_then(|line| line.splitn(3, ':').nth(2));
        let (path, name) = path
            .and_then(|path| Some((path, path.rsplit('/').next()?)))
            .unwrap();
        let unit = |name: &str| Unit {
            name: name.into(),
            ..Unit::default()
        };
        let found = group(process::id(), &unit(name)).filter(|_| !name.is_empty());
        assert_eq!(found.as_deref(), Some(path).filter(|_| !name.is_empty()));
        assert_eq!(group(process::id(), &unit("web@0.service")), None);

        // Where systemd opens listeners in its own group, whatever listens at the port is the app's.
        census.listeners = vec![listener(other, 3000, 7, None)];
        census.accepted.clear();
        let mut web = app(&overview);
        share(&mut web, &census, &ports, &overview);
        let all = (web.connections, web.waiting, web.dropped);
        assert_eq!(all, (Some(0), Some(7), None));
        assert_eq!(counted(&web), [Some(0), None, Some(0)]);

        // Where nobody listens, nothing is counted.
        census.listeners.clear();
        let mut web = app(&overview);
        share(&mut web, &census, &ports, &overview);
        assert_eq!((web.connections, web.waiting), (None, None));
    }

    #[test]
    fn an_instance_with_a_listener_of_its_own_has_what_came_to_that_one() {
        let groups = Groups::new(&["web@0.socket", "web@1.socket"]);
        let mut fake = Fake::default();
        for number in 0..3 {
            fake.set(groups.unit(&format!("web@{number}.service"), 1));
            fake.set(groups.unit(&format!("web@{number}.socket"), 0));
        }
        let overview = Overview::read(&mut fake, &[("web", true)]).unwrap();
        let [zero, one] = ["web@0.socket", "web@1.socket"].map(|name| groups.id(name));
        let census = Census {
            listeners: vec![
                listener(zero, 3000, 1, Some(1)),
                listener(one, 3000, 4, Some(2)),
                listener(zero, 4000, 50, Some(50)),
            ],
            accepted: vec![
                accepted(zero, 3000, 1),
                accepted(one, 3000, 2),
                accepted(one, 3000, 3),
                accepted(one, 4000, 4),
            ],
        };
        let mut web = app(&overview);
        divide(&mut web, &census, &BTreeSet::from([3000]), &overview);
        assert_eq!(counted(&web), [Some(1), Some(2), None]);
        let waiting: Vec<_> = web.instances.iter().map(|i| i.waiting).collect();
        assert_eq!(waiting, [Some(1), Some(4), None]);
        // The sum would be too small without the one that is not known.
        assert_eq!((web.connections, web.dropped), (None, None));
        web.instances.pop();
        divide(&mut web, &census, &BTreeSet::from([3000]), &overview);
        let all = (web.connections, web.waiting, web.dropped);
        assert_eq!(all, (Some(3), Some(5), Some(3)));
    }
}
