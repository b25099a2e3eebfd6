//! The answers to bind(2) and listen(2) in a rehearsal: the program is told that it is bound, and nobody reaches it.

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
use super::replace::{Outcome, read_address};
use super::socket_file;
use crate::contract::report::{Found, Report, Spot, Transport};
use crate::peer::address::Address;
use crate::peer::process::Process;
use crate::sys::seccomp::{self, Call};
use crate::sys::socket::{self, Shape};

/// The most sockets that are remembered. A program that makes more is no server that a file can describe.
const MOST: usize = 256;
/// No connection comes from so near, unless somebody asks for it: packets begin with 64, see ip(7).
const NEAREST: i32 = 255;

/// An answer, and a line of the report.
type Answer = (Outcome, Option<Report>);

const UNTOUCHED: Answer = (Outcome::Untouched, None);

/// The sockets that the program believes bound.
#[derive(Default)]
pub(super) struct Pretence {
    /// By their inodes, since a program may duplicate a descriptor.
    sockets: HashMap<u64, Found>,
    /// The files that stand for unix sockets, with device and inode.
    files: Vec<(PathBuf, (u64, u64))>,
}

impl Pretence {
    /// Answers a bind(2).
    pub(super) fn bind(&mut self, filter: BorrowedFd<'_>, call: &Call, caller: &Process) -> Answer {
        // Whatever the kernel would refuse goes on to it: the errors are its own.
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
        // See `replace.rs`: nothing is decided before this.
        if !seccomp::is_waiting(filter, call.id) || self.sockets.contains_key(&number) {
            return UNTOUCHED;
        }
        let Some(wanted) = wanted.filter(|w| w.family() == shape.domain) else {
            // An abstract name, for instance. Of the internet families only wrong addresses come here.
            let strange = shape.domain == libc::AF_UNIX && call.length > 2;
            return (Outcome::Untouched, strange.then_some(Report::Strange));
        };
        let Some(transport) = transport(shape) else {
            return (Outcome::Refused(libc::EADDRNOTAVAIL), Some(Report::Strange));
        };
        // Before the socket has an address: a bind to one of IPv6 sets `IPV6_V6ONLY`.
        let options = Options::of(&theirs);
        let (spot, isolated) = match wanted {
            Address::Inet(address) => (Some(Spot::Inet(address)), isolate(&theirs, shape)),
            Address::Path(_) if !is_theirs => return (Outcome::Untouched, Some(Report::Strange)),
            Address::Path(_) => {
                let path = socket_file::path(&wanted).map(|p| caller.resolve(p));
                let path = path.as_deref().and_then(absolute);
                let Some(path) = path else {
                    return (Outcome::Refused(libc::ENOENT), Some(Report::Strange));
                };
                let isolated = self.isolate_path(&theirs, &path);
                (path.to_str().map(|p| Spot::Path(p.to_owned())), isolated)
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

    /// Looks at a listen(2), which the kernel then makes: the socket is one that nobody reaches.
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
        // Without a bind the kernel chooses a port, see listen(2).
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

    /// Answers a getsockname(2) of a socket that the program believes bound: with the address that it asked for. Node's cluster
    /// takes any other port for a bind that has failed.
    pub(super) fn name(&self, filter: BorrowedFd<'_>, call: &Call, caller: &Process) -> Outcome {
        let number = caller
            .descriptor(call.fd)
            .and_then(|theirs| inode(theirs.as_fd()));
        let address = match number.ok().and_then(|n| self.sockets.get(&n)) {
            Some(Found { spot, .. }) => sockaddr(spot),
            None => return Outcome::Untouched,
        };
        // Of a free port the kernel knows which it is.
        let Some(address) = address else {
            return Outcome::Untouched;
        };
        let mut room = [0; 4];
        let read = caller.read_memory(call.length, &mut room);
        // Opened before it is known that the call still waits: another thread may execute a program that is setuid.
        let Ok(memory) = caller.writable_memory() else {
            return Outcome::Untouched;
        };
        if read.is_err() || !seccomp::is_waiting(filter, call.id) {
            return Outcome::Untouched;
        }
        let room = usize::try_from(u32::from_ne_bytes(room)).unwrap_or(0);
        let length = u32::try_from(address.len()).unwrap_or(0).to_ne_bytes();
        let shown = address.get(..room).unwrap_or(&address);
        let written = memory
            .write(call.address, shown)
            .and_then(|()| memory.write(call.length, &length));
        if written.is_ok() {
            Outcome::Done
        } else {
            Outcome::Untouched
        }
    }

    /// Removes the files that stood for sockets, unless the program has removed or replaced them.
    pub(super) fn clean_up(&mut self) {
        for (path, identity) in self.files.drain(..) {
            if socket_file::identity(&path) == Some(identity) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Binds a socket to a file that is gone before anybody can use it. A program may go on to set the mode of its socket, so
    /// a file that leads nowhere stands at the path, unless one is there.
    fn isolate_path(&mut self, theirs: &OwnedFd, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let held = fs::File::open(folder)?;
        let name = format!(".rsgen-{}", std::process::id());
        // However long the path of the folder is, an address is not.
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

/// The path of a file that need not exist, in its folder's own place.
fn absolute(path: &Path) -> Option<PathBuf> {
    Some(
        fs::canonicalize(path.parent()?)
            .ok()?
            .join(path.file_name()?),
    )
}

/// Whether the caller has the rights of the helper and no others. A program that began as root may have given up its rights,
/// and the helper must not make files for it.
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

/// The options of a socket that matter to others.
struct Options {
    only_ipv6: bool,
    reuses_port: bool,
}

impl Options {
    fn of(theirs: &OwnedFd) -> Self {
        let is_set = |level, name| matches!(socket::number(theirs.as_fd(), level, name), Ok(1));
        Self {
            // No option of other families.
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

/// The bytes of a `struct sockaddr_in`, `sockaddr_in6` or `sockaddr_un`; `None` for a port of the kernel's choice.
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

/// Keeps everything from a socket and gives it a free port of the loopback.
fn isolate(theirs: &OwnedFd, shape: Shape) -> io::Result<()> {
    let ipv6 = shape.domain == libc::AF_INET6;
    let (level, name) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT)
    } else {
        (libc::IPPROTO_IP, libc::IP_MINTTL)
    };
    // Before bind: from then on something could come. Some kernels let only root attach a filter.
    socket::drop_everything(theirs.as_fd())
        .or_else(|_| socket::set_number(theirs.as_fd(), level, name, NEAREST))?;
    // In a network of its own the loopback may be down: then listen(2) chooses an address.
    let _ = socket::bind_loopback(theirs.as_fd(), ipv6);
    Ok(())
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
