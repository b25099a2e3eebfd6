//! A port that an app cannot have, because another program listens there: told with the program, before anything changes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind, setsockopt,
    socket, sockopt,
};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use crate::ecosystem::App;
use crate::ecosystem::resolve::{Account, Probe};
use crate::ecosystem::values::{Listen, Place, SocketKind};
use crate::output::Failure;
use crate::procfs;
use crate::systemd::{ActiveState, Manager};
use crate::unit::directive::Section;
use crate::unit::name::{Units, parse};

/// Directives of systemd.socket(5) by which a socket is bound in another way than here.
const OTHERWISE: &[&str] = &[
    "ReusePort",
    "BindToDevice",
    "FreeBind",
    "Transparent",
    "BindIPv6Only",
];

/// The failure of an app that is not installed yet, if an address that it listens on is taken.
pub(super) fn refuse_taken(
    app: &App,
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
    for socket in Units::of(app.name()).sockets() {
        // An app that listens already keeps its socket.
        if manager.unit(&socket)?.active == ActiveState::Active {
            return Ok(());
        }
    }
    let own = manager.units(&Units::of(app.name()).listeners())?;
    if own
        .iter()
        .any(|socket| socket.active == ActiveState::Active)
    {
        return Ok(());
    }
    match app.listen.iter().find(|listen| is_taken(listen)) {
        Some(listen) => match owner(listen) {
            // An instance of an app without a socket, which ends before the socket is made.
            Some(owner) if is_of(app, owner.pid) => Ok(()),
            owner => Err(taken(app.name(), listen, owner, probe)),
        },
        None => Ok(()),
    }
}

/// Whether systemd could not bind a socket to the address. systemd replaces a socket file, whoever listens there.
fn is_taken(listen: &Listen) -> bool {
    let addresses = match listen.place {
        Place::Address(address) => vec![address],
        // All of both families where there are both, else all of IPv4.
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
    // Never listened on, the socket takes no connection.
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
    /// Whether PM2 or a child of PM2 listens.
    is_of_pm2: bool,
}

/// The process that listens at an address, as far as the caller may see it. Of several that share a socket, the oldest.
fn owner(listen: &Listen) -> Option<Owner> {
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
    let inodes: Vec<u64> = files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|text| procfs::listeners(&text))
        .filter(|(address, _)| collides(address))
        .map(|(_, inode)| inode)
        .collect();
    let mut pids: Vec<u32> = names(Path::new("/proc"))
        .filter_map(|name| name.parse().ok())
        .collect();
    pids.sort_unstable();
    let holds = |pid: &u32| {
        let folder = PathBuf::from(format!("/proc/{pid}/fd"));
        names(&folder).any(|fd| {
            let link = std::fs::read_link(folder.join(fd));
            let inode = link.ok().and_then(|link| procfs::socket(link.to_str()?));
            inode.is_some_and(|inode| inodes.contains(&inode))
        })
    };
    let pid = pids.into_iter().find(holds)?;
    let command = command(pid);
    let parent = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let parent = parent.and_then(|stat| u32::try_from(procfs::parent(&stat)?).ok());
    Some(Owner {
        pid,
        is_of_pm2: is_pm2(&command) || parent.is_some_and(|parent| is_pm2(&self::command(parent))),
        command,
        user: std::fs::metadata(format!("/proc/{pid}")).map_or(0, |found| found.uid()),
    })
}

/// Whether a process belongs to an instance of the app.
fn is_of(app: &App, pid: u32) -> bool {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    groups.lines().any(|line| {
        let unit = line.rsplit('/').next().and_then(parse);
        unit.is_some_and(|(name, _)| name == app.name())
    })
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn command(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    line.split('\0')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The daemon calls itself `PM2 v7.0.3: God Daemon (/root/.pm2)`.
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
            "it is PM2's: as `{user}`, find the app with `pm2 list`, run `pm2 delete APP` and `pm2 save`, then this command again"
        ));
    }
    failure.help("stop it, or write another address in `listen`")
}
