//! Counts the connections of apps and of their instances.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::accepting;
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
    for instance in &mut app.instances {
        let unit = overview.unit(&instance.unit);
        instance.connections = match unit.main_pid {
            0 => None,
            _ if accepted.is_empty() => Some(0),
            _ => held(&unit.control_group, &accepted),
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

/// How many of these sockets the processes of a control group have; `None` to a caller who may not see that.
fn held(group: &str, sockets: &HashSet<u64>) -> Option<usize> {
    let group = group.trim_start_matches('/');
    let folders = accepting::ROOTS
        .iter()
        .map(|root| Path::new(root).join(group));
    let folder = folders.into_iter().find(|folder| folder.is_dir())?;
    let mut pids = Vec::new();
    processes(&folder, &mut pids);
    let mut found = HashSet::new();
    for pid in pids {
        match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(links) => {
                let targets = links
                    .flatten()
                    .filter_map(|link| fs::read_link(link.path()).ok());
                found.extend(
                    targets
                        .filter_map(|to| inode(&to))
                        .filter(|i| sockets.contains(i)),
                );
            }
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return None,
            Err(_) => {}
        }
    }
    Some(found.len())
}

/// The inode of `socket:[INODE]`.
fn inode(target: &Path) -> Option<u64> {
    let text = target.to_str()?.strip_prefix("socket:[")?;
    text.strip_suffix(']')?.parse().ok()
}

/// The processes in a group and below it.
fn processes(folder: &Path, found: &mut Vec<u32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    found.extend(
        text.lines()
            .filter_map(|line| line.parse::<u32>().ok())
            .filter(|pid| *pid != 0),
    );
    let below = fs::read_dir(folder).into_iter().flatten().flatten();
    let below: Vec<PathBuf> = below
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    for folder in below {
        processes(&folder, found);
    }
}
