//! Names the program that listens on a port that an app needs, before anything is changed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind, setsockopt,
    socket, sockopt,
};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use super::host_probe::HostProbe;
use crate::ecosystem::resolve::{Account, Probe};
use crate::ecosystem::values::{Listen, Place, SocketKind};
use crate::ecosystem::{App, Diagnostic};
use crate::generate::sources;
use crate::layout::Layout;
use crate::output::Failure;
use crate::procfs;
use crate::systemd::{ActiveState, Manager};
use crate::unit::directive::Section;
use crate::unit::name::{Units, manager_of, parse};

/// Directives of systemd.socket(5) that make systemd bind a socket in another way than this module tries to.
const OTHERWISE: &[&str] = &[
    "ReusePort",
    "BindToDevice",
    "FreeBind",
    "Transparent",
    "BindIPv6Only",
];

/// How long the command line of another program may take to be read.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same as [`refuse_taken`], as a warning: the address may be free by the time of the install.
pub(super) fn warning(
    app: &App,
    layout: &Layout,
    manager: &mut dyn Manager,
    probe: &dyn Probe,
) -> Option<Diagnostic> {
    let installed = sources::find(layout, app.name());
    let installed = installed.and_then(|source| sources::load(layout, &source).ok());
    let moves = installed.is_some_and(|(_, installed)| installed.listen != app.listen);
    let taken = refuse_taken(app, moves, manager, probe).err()?;
    let warning = Diagnostic::warning(app.listen_span.clone(), taken.message);
    Some(warning.help(taken.help?))
}

/// The failure of an app if an address that it listens on is taken. An app that listens already keeps its socket, unless it
/// `moves` to another address.
pub(super) fn refuse_taken(
    app: &App,
    moves: bool,
    manager: &mut dyn Manager,
    probe: &dyn Probe,
) -> Result<(), Failure> {
    let is_otherwise = app
        .directives(Section::Socket)
        .iter()
        .any(|(directive, _)| OTHERWISE.contains(&directive.as_str()));
    if is_otherwise {
        return Ok(());
    }
    let units = Units::of(app.name());
    let mut own = manager.units(&units.listeners())?;
    own.retain(|socket| socket.active == ActiveState::Active);
    let mut open: Vec<String> = own.into_iter().map(|socket| socket.name).collect();
    for socket in units.sockets() {
        if manager.unit(&socket)?.active == ActiveState::Active {
            open.push(socket);
        }
    }
    let listens = !open.is_empty();
    if listens && !moves {
        return Ok(());
    }
    // The path of a socket file is not the address of a port.
    let addresses = manager.addresses(&open)?.into_iter().flatten();
    let addresses: Vec<SocketAddr> = addresses.filter_map(|text| text.parse().ok()).collect();
    for listen in app.listen.iter().filter(|listen| is_taken(listen)) {
        match owner(listen, app, &addresses) {
            Owners::Own => {}
            Owners::Unknown if listens => {}
            Owners::Unknown => return Err(taken(app.name(), listen, None, probe)),
            Owners::Other(owner) => return Err(taken(app.name(), listen, Some(owner), probe)),
        }
    }
    Ok(())
}

/// The failure of an app whose socket systemd could not open, if another program has one of the addresses.
pub(super) fn of_a_failed_socket(
    app: &str,
    layout: &Layout,
    manager: &mut dyn Manager,
) -> Option<Failure> {
    let source = sources::find(layout, app)?;
    let (_, app) = sources::load(layout, &source).ok()?;
    // Another of its sockets may be open.
    refuse_taken(&app, true, manager, &HostProbe::new(None, layout)).err()
}

/// Returns an address of an app that its instances have bound themselves, since it was not declared when they were started.
pub(super) fn had_by_itself(app: &App) -> Option<&Listen> {
    // The sockets of the app that are open are systemd's as well.
    let is_own = |listen: &&Listen| matches!(owner(listen, app, &[]), Owners::Own);
    app.listen
        .iter()
        .find(|listen| is_taken(listen) && is_own(listen))
}

/// Returns whether systemd would fail to bind a socket to the address. A socket file is not an obstacle, since systemd
/// replaces it.
fn is_taken(listen: &Listen) -> bool {
    let addresses = match listen.place {
        Place::Address(address) => vec![address],
        // systemd binds one socket for both families or, without IPv6, one for IPv4.
        Place::Port(port) => vec![
            SocketAddr::from(([0_u16; 8], port)),
            SocketAddr::from(([0_u8; 4], port)),
        ],
        Place::Path(_) => return false,
    };
    let mut tries = addresses
        .iter()
        .map(|address| try_to_bind(listen.kind, address));
    tries.find(|tried| *tried != Err(Errno::EAFNOSUPPORT)) == Some(Err(Errno::EADDRINUSE))
}

fn try_to_bind(kind: SocketKind, address: &SocketAddr) -> Result<(), Errno> {
    let kind = match kind {
        SocketKind::Stream => SockType::Stream,
        SocketKind::Datagram => SockType::Datagram,
    };
    let open = |family| -> Result<_, Errno> {
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        Ok(socket)
    };
    // The socket never listens, so it takes no connection away from anybody.
    let try_one = |family, address: &dyn SockaddrLike| {
        let socket = open(family)?;
        bind(socket.as_raw_fd(), address)
    };
    match address {
        SocketAddr::V4(address) => try_one(AddressFamily::Inet, &SockaddrIn::from(*address)),
        SocketAddr::V6(address) => try_one(AddressFamily::Inet6, &SockaddrIn6::from(*address)),
    }
}

/// A process that listens.
#[derive(Debug)]
struct Owner {
    pid: u32,
    command: String,
    user: u32,
    /// Whether the process is PM2 or a child of PM2.
    is_of_pm2: bool,
}

/// Who listens at an address, as far as the caller may see it.
enum Owners {
    /// Only processes that give the address up.
    Own,
    /// Of several other processes the oldest.
    Other(Owner),
    /// Processes that the caller may not look at.
    Unknown,
}

/// Returns who has an address. The app has open sockets with the addresses `open`, which are systemd's and its instances', and are closed
/// before the new ones are made.
fn owner(listen: &Listen, app: &App, open: &[SocketAddr]) -> Owners {
    let files: [&str; 2] = match listen.kind {
        SocketKind::Stream => ["/proc/net/tcp6", "/proc/net/tcp"],
        SocketKind::Datagram => ["/proc/net/udp6", "/proc/net/udp"],
    };
    let collides = |address: &SocketAddr| {
        let place = Place::Address(*address);
        listen.collides(&Listen {
            kind: listen.kind,
            place,
        })
    };
    let found: Vec<(SocketAddr, u64)> = files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|text| procfs::listeners(&text))
        .filter(|(address, _)| collides(address))
        .collect();
    let inodes: Vec<u64> = found.iter().map(|(_, inode)| *inode).collect();
    let are_own = |had: &BTreeSet<u64>| {
        let mut had = found.iter().filter(|(_, inode)| had.contains(inode));
        had.all(|(address, _)| open.contains(address))
    };
    let mut pids: Vec<u32> = names(Path::new("/proc"))
        .filter_map(|name| name.parse().ok())
        .collect();
    pids.sort_unstable();
    let has = |pid: u32| -> BTreeSet<u64> {
        let folder = PathBuf::from(format!("/proc/{pid}/fd"));
        let links = names(&folder).filter_map(|fd| std::fs::read_link(folder.join(fd)).ok());
        let had = links.filter_map(|link| procfs::socket(link.to_str()?));
        had.filter(|inode| inodes.contains(inode)).collect()
    };
    let own: Vec<u32> = pids
        .iter()
        .copied()
        .filter(|pid| is_of(app, *pid))
        .collect();
    let holders = pids.into_iter().map(|pid| (pid, has(pid)));
    let mut holders = holders.filter(|(_, had)| !had.is_empty()).peekable();
    if holders.peek().is_none() {
        return Owners::Unknown;
    }
    let root = groups(1);
    let is_own = |pid: u32, had: &BTreeSet<u64>| match pid {
        // systemd has the sockets of every unit.
        1 => are_own(had),
        pid => own.contains(&pid) || is_being_started((parent(pid), &groups(pid)), &root),
    };
    let Some((pid, _)) = holders.find(|(pid, had)| !is_own(*pid, had)) else {
        return Owners::Own;
    };
    let command = command(pid);
    let parent = parent(pid);
    Owners::Other(Owner {
        pid,
        is_of_pm2: is_pm2(&command) || parent.is_some_and(|parent| is_pm2(&self::command(parent))),
        command,
        user: std::fs::metadata(format!("/proc/{pid}")).map_or(0, |found| found.uid()),
    })
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    u32::try_from(procfs::parent(&stat)?).ok()
}

/// The control groups of a process, see cgroups(7); empty where they cannot be read.
fn groups(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// Returns whether a process with this parent and these groups is one that systemd has made to start something in, whatever that is.
/// For a moment, it has the descriptors of systemd itself, and is still in the groups of PID 1, `root`, where nobody else's processes
/// are.
fn is_being_started((parent, groups): (Option<u32>, &str), root: &str) -> bool {
    !root.is_empty() && parent == Some(1) && groups == root
}

/// Returns whether a process belongs to an instance of the app.
fn is_of(app: &App, pid: u32) -> bool {
    let groups = groups(pid);
    let own = manager_of(nix::unistd::geteuid().as_raw());
    groups
        .lines()
        .any(|group| is_group_of(group, app.name(), &own))
}

/// Returns whether a control group is that of an instance of the app. Another user's manager may have a unit of the same name,
/// and so may a service that makes groups of its own. `own` is the manager of this user.
fn is_group_of(group: &str, app: &str, own: &str) -> bool {
    let mut parts = group.rsplit('/');
    let is_instance = parts
        .next()
        .and_then(parse)
        .is_some_and(|(name, _)| name == app);
    is_instance && parts.all(|part| part == own || !part.ends_with(".service"))
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// The command line of a process, or its name if the command line cannot be read in time: the kernel waits for the lock of
/// the program's memory, which a program can hold for as long as it likes, by a file system of its own that does not answer.
fn command(pid: u32) -> String {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let _ = sender.send(std::fs::read(format!("/proc/{pid}/cmdline")));
    });
    let line = receiver.recv_timeout(PATIENCE);
    let line = line.ok().and_then(Result::ok).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let words: Vec<&str> = line.split('\0').filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        return name.unwrap_or_default().trim_end().to_owned();
    }
    words.join(" ")
}

/// Returns whether a command line is that of PM2's daemon, for instance `PM2 v7.0.3: God Daemon (/root/.pm2)`.
fn is_pm2(command: &str) -> bool {
    command.starts_with("PM2 v")
}

fn taken(app: &str, listen: &Listen, owner: Option<Owner>, probe: &dyn Probe) -> Failure {
    let Some(owner) = owner else {
        return Failure::failed(format!(
            "`{app}` cannot listen on {listen}: another program listens there"
        ))
        .help("stop it, or write another address in `listen`; `ss -lntup` run as root names it");
    };
    let Owner {
        pid,
        command,
        user,
        is_of_pm2,
    } = owner;
    let command = crate::visible::cut(&command, 100);
    let failure = Failure::failed(format!(
        "`{app}` cannot listen on {listen}: `{command}` (pid {pid}) listens there"
    ));
    if pid == 1 {
        return failure.help(
            "a socket unit of another service has it; `systemctl list-sockets` names the unit",
        );
    }
    if is_of_pm2 {
        let user = probe.name(Account::User(user));
        return failure.help(format!(
            "it is PM2's: as `{user}`, find the app with `pm2 list` and run `pm2 delete APP`, then this command again, and \
             finally `pm2 save --force` (without `--force` PM2 does not save an empty list)"
        ));
    }
    failure.help("stop it, or write another address in `listen`")
}

#[cfg(test)]
mod tests {
    use super::{groups, is_being_started, is_group_of, parent};

    #[test]
    fn a_unit_of_the_same_name_of_somebody_else_is_not_the_app_s() {
        let is_own = |group: &str| is_group_of(group, "web", "user@1000.service");
        assert!(is_own("0::/system.slice/system-web.slice/web@0.service"));
        assert!(is_own(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-web.slice/web@1.service"
        ));
        for others in [
            "0::/",
            "0::/system.slice/web-2@0.service",
            "0::/user.slice/user-1001.slice/user@1001.service/app.slice/app-web.slice/web@0.service",
            "0::/system.slice/system-shop.slice/shop@0.service/web@0.service",
        ] {
            assert!(!is_own(others), "{others}");
        }
    }

    #[test]
    fn only_a_child_of_systemd_in_its_own_groups_is_being_started() {
        let root = "0::/init.scope\n";
        assert!(is_being_started((Some(1), root), root));
        for other in [
            (Some(7), root),
            (None, root),
            (Some(1), "0::/system.slice/cron.service\n"),
        ] {
            assert!(!is_being_started(other, root), "{other:?}");
        }
        assert!(
            !is_being_started((Some(1), ""), ""),
            "no groups can be read"
        );
    }

    #[test]
    fn the_kernel_tells_the_parent_and_the_groups_of_a_process() {
        let own = std::process::id();
        assert_eq!(parent(own), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent(u32::MAX), None);
        let lines = groups(own);
        let is_group = |line: &str| {
            line.splitn(3, ':')
                .nth(2)
                .is_some_and(|g| g.starts_with('/'))
        };
        assert!(!lines.is_empty() && lines.lines().all(is_group), "{lines}");
        assert_eq!(groups(u32::MAX), "");
    }
}
