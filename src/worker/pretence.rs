//! Answers bind(2) and listen(2) in a rehearsal: the program believes that its sockets are bound, but nobody can reach
//! them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::socket::{UnixAddr, bind};
use nix::sys::stat::{Mode, SFlag, mknod};

use super::exchange::inode;
use super::outcome::Outcome;
use super::replace::read_address;
use super::{result, socket_file};
use crate::contract::report::{Found, Report, Spot, Transport};
use crate::peer::address::Address;
use crate::peer::process::Process;
use crate::sys::seccomp::files::{Act, FileCall, Object};
use crate::sys::seccomp::{self, Call};
use crate::sys::socket::{self, Shape};

/// The largest number of sockets that are remembered. `listen` could not describe a program that makes more.
const MOST: usize = 256;
/// A minimum TTL that no connection can have unless its sender raises the TTL on purpose, because packets begin with
/// 64, see ip(7).
const NEAREST: i32 = 255;

/// An answer to the program, and a line of the report.
type Answer = (Outcome, Option<Report>);

const UNTOUCHED: Answer = (Outcome::Untouched, None);

/// The sockets that the program believes to be bound.
#[derive(Default)]
pub(super) struct Pretence {
    /// The sockets by inode, because a program may duplicate a descriptor.
    sockets: HashMap<u64, Found>,
    /// The files that stand for unix sockets, with their devices and inodes.
    files: Vec<(PathBuf, (u64, u64))>,
}

impl Pretence {
    /// Answers a bind(2).
    pub(super) fn bind(&mut self, filter: BorrowedFd<'_>, call: &Call, caller: &Process) -> Answer {
        // A call that the kernel would refuse is passed on, so that the program gets the kernel's own error.
        let Ok(theirs) = caller.descriptor(call.fd) else {
            return UNTOUCHED;
        };
        let Ok(shape) = socket::shape(theirs.as_fd()) else {
            return UNTOUCHED;
        };
        if !matches!(shape.domain, libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX) {
            return UNTOUCHED;
        }
        let wanted = read_address(call, caller);
        let is_theirs = is_same_user(call);
        let Ok(number) = inode(theirs.as_fd()) else {
            return UNTOUCHED;
        };
        // Everything above was read before the caller was certain, see `replace.rs`, so decisions are made
        // only now.
        if !seccomp::is_waiting(filter, call.id) || self.sockets.contains_key(&number) {
            return UNTOUCHED;
        }
        let Some(wanted) = wanted.filter(|w| w.family() == shape.domain) else {
            // For instance an abstract name. In the internet families only invalid addresses get here.
            let strange = shape.domain == libc::AF_UNIX && call.length > 2;
            return (Outcome::Untouched, strange.then_some(Report::Strange));
        };
        let Some(transport) = transport(shape) else {
            return (Outcome::Refused(libc::EADDRNOTAVAIL), Some(Report::Strange));
        };
        // Read before the socket gets an address, because binding an IPv6 address sets `IPV6_V6ONLY`.
        let options = Options::of(&theirs);
        let (spot, isolated) = match wanted {
            Address::Inet(address) => (Some(Spot::Inet(address)), isolate(&theirs, shape)),
            Address::Path(_) if !is_theirs => return (Outcome::Untouched, Some(Report::Strange)),
            Address::Path(_) => {
                let path = socket_file::path(&wanted).map(|p| caller.resolve(p));
                let path = path.as_deref().and_then(socket_file::absolute);
                let Some(path) = path else {
                    return (Outcome::Refused(libc::ENOENT), Some(unmade(&wanted)));
                };
                if let Err(e) = self.isolate_path(&theirs, &path) {
                    let errno = e.raw_os_error().unwrap_or(libc::EACCES);
                    return (Outcome::Refused(errno), Some(unmade(&wanted)));
                }
                (path.to_str().map(|p| Spot::Path(p.to_owned())), Ok(()))
            }
        };
        if let Err(e) = isolated {
            let errno = e.raw_os_error().unwrap_or(libc::EADDRNOTAVAIL);
            return (Outcome::Refused(errno), Some(Report::Strange));
        }
        let Some(spot) = spot else {
            return (Outcome::Done, Some(Report::Strange));
        };
        let found = options.describe(transport, spot);
        if self.sockets.len() < MOST {
            self.sockets.insert(number, found.clone());
        }
        (Outcome::Done, Some(Report::Found(found)))
    }

    /// Notes a listen(2), which the kernel then carries out on a socket that nobody can reach.
    pub(super) fn listen(
        &mut self,
        filter: BorrowedFd<'_>,
        call: &Call,
        caller: &Process,
    ) -> Answer {
        let Ok(theirs) = caller.descriptor(call.fd) else {
            return UNTOUCHED;
        };
        let (Ok(shape), Ok(number)) = (socket::shape(theirs.as_fd()), inode(theirs.as_fd())) else {
            return UNTOUCHED;
        };
        if !seccomp::is_waiting(filter, call.id) {
            return UNTOUCHED;
        }
        if let Some(found) = self.sockets.get_mut(&number) {
            found.listens = true;
            return (Outcome::Untouched, Some(Report::Found(found.clone())));
        }
        // Without a bind, the kernel chooses a port, see listen(2).
        let any = match shape.domain {
            libc::AF_INET => "0.0.0.0:0",
            libc::AF_INET6 => "[::]:0",
            _ => return UNTOUCHED,
        };
        let options = Options::of(&theirs);
        if let Err(e) = isolate(&theirs, shape) {
            let errno = e.raw_os_error().unwrap_or(libc::EADDRNOTAVAIL);
            return (Outcome::Refused(errno), Some(Report::Strange));
        }
        let found = transport(shape)
            .zip(any.parse().ok())
            .map(|(t, any)| Found {
                listens: true,
                ..options.describe(t, Spot::Inet(any))
            });
        (Outcome::Untouched, found.map(Report::Found))
    }

    /// Answers a getsockname(2) on a socket that the program believes to be bound, with the address that the program
    /// asked for. Node's cluster module considers a bind failed if the port differs.
    pub(super) fn name(&self, filter: BorrowedFd<'_>, call: &Call, caller: &Process) -> Outcome {
        let number = caller
            .descriptor(call.fd)
            .and_then(|theirs| inode(theirs.as_fd()));
        let address = match number.ok().and_then(|n| self.sockets.get(&n)) {
            Some(Found { spot, .. }) => sockaddr(spot),
            None => return Outcome::Untouched,
        };
        // If the program asked for a free port, the kernel knows which one it got.
        let Some(address) = address else {
            return Outcome::Untouched;
        };
        result::write(filter, call, caller, &address, result::Length::Whole)
    }

    /// Answers a call about a file: no socket is removed, since it may belong to a program that serves, and a
    /// file at the path of a socket that the program believes to be bound keeps its mode and owner.
    pub(super) fn file(
        &self,
        filter: BorrowedFd<'_>,
        call: &Call,
        file: FileCall,
        caller: &Process,
    ) -> Outcome {
        let is_known = match file.object {
            Object::Descriptor(fd) => caller
                .descriptor(fd)
                .and_then(|fd| inode(fd.as_fd()))
                .is_ok_and(|inode| self.sockets.contains_key(&inode)),
            Object::Path { folder, address } => {
                let path = socket_file::read_path(caller, address)
                    .and_then(|path| socket_file::resolve(caller, folder, &path))
                    .and_then(|path| socket_file::absolute(&path));
                match (file.act, path) {
                    (_, None) | (Act::RemoveFolder, _) => false,
                    (Act::Remove, Some(path)) => socket_file::identity(&path).is_some(),
                    (Act::Mode(_) | Act::Owner, Some(path)) => self.is_bound(&path),
                }
            }
        };
        if is_known && seccomp::is_waiting(filter, call.id) {
            Outcome::Done
        } else {
            Outcome::Untouched
        }
    }

    /// Whether the program believes that a socket is bound to this path.
    fn is_bound(&self, path: &Path) -> bool {
        let spots = self.sockets.values().map(|found| &found.spot);
        spots
            .into_iter()
            .any(|spot| matches!(spot, Spot::Path(own) if Path::new(own) == path))
    }

    /// Removes the files that stood for sockets, unless the program has removed or replaced them.
    pub(super) fn clean_up(&mut self) {
        for (path, identity) in self.files.drain(..) {
            if socket_file::identity(&path) == Some(identity) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Binds a socket to a file that is removed before anybody can use it. The program may then change the
    /// mode of its socket, so a dangling socket file is put at the path, unless there is a file already.
    fn isolate_path(&mut self, theirs: &OwnedFd, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let held = fs::File::open(folder)?;
        let name = format!(".rsgen-{}", std::process::id());
        // An address is short, however long the path of the folder is.
        let beside = PathBuf::from(format!("/proc/self/fd/{}/{name}", held.as_raw_fd()));
        let _ = fs::remove_file(&beside);
        bind(theirs.as_raw_fd(), &UnixAddr::new(&beside)?)?;
        fs::remove_file(&beside)?;
        if mknod(path, SFlag::S_IFSOCK, Mode::from_bits_truncate(0o777), 0).is_ok()
            && let Ok(made) = path.symlink_metadata()
            && self.files.len() < MOST
        {
            self.files.push((path.to_owned(), (made.dev(), made.ino())));
        }
        Ok(())
    }
}

/// Returns whether the caller has exactly the rights of the helper. A program that began as root may have given up its
/// rights, and then the helper must not create files for it.
fn is_same_user(call: &Call) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", call.thread));
    let own = fs::read_to_string("/proc/self/status");
    let (Ok(status), Ok(own)) = (status, own) else {
        return false;
    };
    let line = |text: &str, field| {
        let mut lines = text.lines();
        lines.find(|l| l.starts_with(field)).map(str::to_owned)
    };
    let is_same = |field| line(&status, field) == line(&own, field);
    is_same("Uid:") && is_same("Gid:")
}

fn transport(shape: Shape) -> Option<Transport> {
    match (shape.domain, shape.kind, shape.protocol) {
        (libc::AF_UNIX, libc::SOCK_STREAM, _) => Some(Transport::UnixStream),
        (libc::AF_UNIX, libc::SOCK_DGRAM, _) => Some(Transport::UnixDatagram),
        (_, libc::SOCK_STREAM, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP) => Some(Transport::Tcp),
        (_, libc::SOCK_DGRAM, libc::IPPROTO_UDP) => Some(Transport::Udp),
        _ => None,
    }
}

/// The options of a socket that matter for other sockets.
struct Options {
    only_ipv6: bool,
    reuses_port: bool,
}

impl Options {
    fn of(theirs: &OwnedFd) -> Self {
        let is_set = |level, name| matches!(socket::number(theirs.as_fd(), level, name), Ok(1));
        Self {
            // Other families do not have this option.
            only_ipv6: is_set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
            reuses_port: is_set(libc::SOL_SOCKET, libc::SO_REUSEPORT),
        }
    }

    fn describe(self, transport: Transport, spot: Spot) -> Found {
        Found {
            transport,
            listens: false,
            only_ipv6: self.only_ipv6,
            reuses_port: self.reuses_port,
            spot,
        }
    }
}

/// Returns the bytes of a `struct sockaddr_in`, `sockaddr_in6` or `sockaddr_un`; `None` for a port that the kernel
/// chooses.
fn sockaddr(spot: &Spot) -> Option<Vec<u8>> {
    let family = |family: i32| u16::try_from(family).unwrap_or(0).to_ne_bytes();
    Some(match spot {
        Spot::Inet(address) if address.port() == 0 => return None,
        Spot::Inet(SocketAddr::V4(address)) => [
            &family(libc::AF_INET)[..],
            &address.port().to_be_bytes(),
            &address.ip().octets(),
            &[0; 8],
        ]
        .concat(),
        Spot::Inet(SocketAddr::V6(address)) => [
            &family(libc::AF_INET6)[..],
            &address.port().to_be_bytes(),
            &address.flowinfo().to_be_bytes(),
            &address.ip().octets(),
            &address.scope_id().to_ne_bytes(),
        ]
        .concat(),
        Spot::Path(path) => [&family(libc::AF_UNIX)[..], path.as_bytes(), &[0]].concat(),
    })
}

/// Makes a socket unreachable, and gives it a free port of the loopback interface.
fn isolate(theirs: &OwnedFd, shape: Shape) -> io::Result<()> {
    let ipv6 = shape.domain == libc::AF_INET6;
    let (level, name) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT)
    } else {
        (libc::IPPROTO_IP, libc::IP_MINTTL)
    };
    // The filter comes before bind, because packets can arrive from then on. Some kernels let only root attach a
    // filter.
    socket::drop_everything(theirs.as_fd())
        .or_else(|_| socket::set_number(theirs.as_fd(), level, name, NEAREST))?;
    // In a network namespace of its own the loopback interface may be down: then listen(2) chooses an address.
    let _ = socket::bind_loopback(theirs.as_fd(), ipv6);
    Ok(())
}

/// The report of a socket that cannot be created where the program wants it.
fn unmade(wanted: &Address) -> Report {
    let path = socket_file::path(wanted).filter(|path| path.is_absolute());
    let path = path.and_then(Path::to_str);
    path.map_or(Report::Strange, |path| Report::Unmade(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_of_the_report_is_told_by_the_numbers_of_the_socket() {
        let of = |domain, kind, protocol| {
            transport(Shape {
                domain,
                kind,
                protocol,
            })
        };
        let (stream, datagram) = (libc::SOCK_STREAM, libc::SOCK_DGRAM);
        let unix = libc::AF_UNIX;
        assert_eq!(of(unix, stream, 0), Some(Transport::UnixStream));
        assert_eq!(of(unix, datagram, 0), Some(Transport::UnixDatagram));
        for domain in [libc::AF_INET, libc::AF_INET6] {
            let tcp = of(domain, stream, libc::IPPROTO_TCP);
            assert_eq!(tcp, Some(Transport::Tcp));
            let udp = of(domain, datagram, libc::IPPROTO_UDP);
            assert_eq!(udp, Some(Transport::Udp));
            assert_eq!(of(domain, stream, libc::IPPROTO_SCTP), None);
            assert_eq!(of(domain, datagram, libc::IPPROTO_ICMP), None);
        }
    }

    #[test]
    fn an_address_is_shown_as_the_kernel_writes_it_unless_the_kernel_chose_the_port() {
        let inet = |text: &str| sockaddr(&Spot::Inet(text.parse().unwrap()));
        assert_eq!(inet("0.0.0.0:0"), None);
        assert_eq!(inet("[::]:0"), None);
        let mut expected = vec![2, 0, 0, 80, 127, 0, 0, 1];
        expected.extend([0; 8]);
        assert_eq!(inet("127.0.0.1:80"), Some(expected));
        assert_eq!(inet("[::1]:80").map(|bytes| bytes.len()), Some(28));
        let path = sockaddr(&Spot::Path("/a".into()));
        assert_eq!(path, Some(vec![1, 0, b'/', b'a', 0]));
    }
}
