//! Programs and maps of bpf(2), as far as a selector of `SO_REUSEPORT` needs them, and the file system that keeps them.
//!
//! The attributes of each command are a block of bytes that is filled in at the offsets of `union bpf_attr` in
//! <linux/bpf.h>. The kernel takes a block that is shorter than its own as ending in zeroes, and refuses a longer one only
//! where the rest is not zero.

#![expect(unsafe_code, reason = "bpf(2) and mount(2) have no safe wrapper here")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check;
use super::socket;

const MAP_CREATE: u32 = 0;
const MAP_LOOKUP: u32 = 1;
const MAP_UPDATE: u32 = 2;
const PROG_LOAD: u32 = 5;
const OBJ_PIN: u32 = 6;
const OBJ_GET: u32 = 7;
const OBJ_INFO: u32 = 15;

/// `BPF_PROG_TYPE_SK_REUSEPORT`
const SK_REUSEPORT: u32 = 21;
/// `BPF_SK_REUSEPORT_SELECT_OR_MIGRATE`, since Linux 5.14: the program also chooses where the connections go
/// that wait at a listener that is being closed.
const SELECT_OR_MIGRATE: u32 = 40;
/// `SO_ATTACH_REUSEPORT_EBPF`, see socket(7).
const ATTACH: i32 = 52;
/// `SO_COOKIE`
const COOKIE: i32 = 57;
/// The bytes that the verifier may write about a program that it refuses.
const LOG: usize = 1 << 16;

/// `union bpf_attr`.
struct Attributes([u8; 128]);

impl Attributes {
    const fn new() -> Self {
        Self([0; 128])
    }

    fn bytes(mut self, at: usize, bytes: &[u8]) -> Self {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self
    }

    fn u32(self, at: usize, value: u32) -> Self {
        self.bytes(at, &value.to_ne_bytes())
    }

    fn fd(self, at: usize, fd: RawFd) -> Self {
        self.bytes(at, &fd.to_ne_bytes())
    }

    fn address<T>(self, at: usize, of: *const T) -> Self {
        self.bytes(at, &u64::try_from(of.addr()).unwrap_or(0).to_ne_bytes())
    }

    /// A name of at most 15 letters, which bpftool(8) shows.
    fn name(self, at: usize, name: &str) -> Self {
        let bytes = name.as_bytes();
        self.bytes(at, bytes.get(..15).unwrap_or(bytes))
    }
}

/// Makes one call of bpf(2).
///
/// # Safety
/// Every address in the attributes points to memory that is as long as the command reads or writes there, and that lives
/// through the call.
unsafe fn bpf(command: u32, mut attributes: Attributes) -> io::Result<i64> {
    let block = attributes.0.as_mut_ptr();
    let length = attributes.0.len();
    // SAFETY: the block is `length` bytes long; the caller answers for the addresses in it.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, block, length) })
}

/// As [`bpf`], for a command that creates a descriptor.
///
/// # Safety
/// As for [`bpf`].
unsafe fn descriptor(command: u32, attributes: Attributes) -> io::Result<OwnedFd> {
    // SAFETY: the caller answers for the addresses.
    let fd = unsafe { bpf(command, attributes) }?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, with close-on-exec, and for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A kind of map with 32-bit keys from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `BPF_MAP_TYPE_ARRAY`: plain bytes, all zero at first.
    Array,
    /// `BPF_MAP_TYPE_REUSEPORT_SOCKARRAY`: sockets, which leave the map when they are closed.
    Sockets,
}

/// A map whose values are this many bytes long.
#[derive(Debug)]
pub struct Map<const VALUE: usize>(OwnedFd);

impl<const VALUE: usize> Map<VALUE> {
    /// A new map of so many entries.
    ///
    /// # Errors
    /// `EPERM` without the right to do so, and those of bpf(2).
    pub fn create(kind: Kind, entries: u32, name: &str) -> io::Result<Self> {
        let kind = match kind {
            Kind::Array => 2,
            Kind::Sockets => 20,
        };
        let attributes = Attributes::new()
            .u32(0, kind)
            .u32(4, 4)
            .u32(8, u32::try_from(VALUE).unwrap_or(0))
            .u32(12, entries)
            .name(28, name);
        // SAFETY: the attributes of this command contain no address.
        unsafe { descriptor(MAP_CREATE, attributes) }.map(Self)
    }

    /// The map that is pinned at a path.
    ///
    /// # Errors
    /// The errors of bpf(2), and `InvalidData` for a map of another shape.
    pub fn open(path: &Path, entries: u32) -> io::Result<Self> {
        let map = get(path)?;
        // `struct bpf_map_info`: type, ID, sizes of key and value, entries.
        let mut info = [0_u32; 5];
        let attributes = Attributes::new()
            .fd(0, map.as_raw_fd())
            .u32(4, u32::try_from(size_of_val(&info)).unwrap_or(0))
            .address(8, info.as_mut_ptr());
        // SAFETY: the kernel writes at most as many bytes as are told, the size of `info`.
        unsafe { bpf(OBJ_INFO, attributes) }?;
        let [_, _, key, value, most] = info;
        if key == 4 && usize::try_from(value) == Ok(VALUE) && most == entries {
            return Ok(Self(map));
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    /// The value of a key; for a map of sockets, the cookie of the socket, see `SO_COOKIE` in socket(7).
    ///
    /// # Errors
    /// `ENOENT` where there is none, and those of bpf(2).
    pub fn value(&self, key: u32) -> io::Result<[u8; VALUE]> {
        let mut value = [0; VALUE];
        let attributes = self.entry(&key).address(16, value.as_mut_ptr());
        // SAFETY: the key lives through the call, and the kernel writes one value, which is `VALUE` bytes long.
        unsafe { bpf(MAP_LOOKUP, attributes) }?;
        Ok(value)
    }

    /// Sets the value of a key; for a map of sockets, the number of a descriptor.
    ///
    /// # Errors
    /// `EBUSY` for a socket that is in a map, and those of bpf(2).
    pub fn set(&self, key: u32, value: &[u8; VALUE]) -> io::Result<()> {
        let attributes = self.entry(&key).address(16, value.as_ptr());
        // SAFETY: key and value live through the call, and the kernel reads one value, which is `VALUE` bytes long.
        unsafe { bpf(MAP_UPDATE, attributes) }.map(drop)
    }

    fn entry(&self, key: &u32) -> Attributes {
        let map = self.0.as_raw_fd();
        Attributes::new()
            .fd(0, map)
            .address(8, std::ptr::from_ref(key))
    }
}

impl<const VALUE: usize> AsFd for Map<VALUE> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Loads a selector: instructions of eight bytes each, see `struct bpf_insn` in <linux/bpf.h>.
///
/// # Errors
/// `EPERM` without the right to do so, `EINVAL` on a kernel that is too old; if the verifier refuses the program, the end of
/// its log.
pub fn load(instructions: &[u64], name: &str) -> io::Result<OwnedFd> {
    // The kernel lets a program that is not under the GPL call few functions.
    let licence = c"GPL";
    let attributes = || {
        Attributes::new()
            .u32(0, SK_REUSEPORT)
            .u32(4, u32::try_from(instructions.len()).unwrap_or(u32::MAX))
            .address(8, instructions.as_ptr())
            .address(16, licence.as_ptr())
            .name(48, name)
            .u32(68, SELECT_OR_MIGRATE)
    };
    // SAFETY: instructions and licence live through the call. Without a log, a good program cannot fail for lack of room.
    let refused = match unsafe { descriptor(PROG_LOAD, attributes()) } {
        Ok(program) => return Ok(program),
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => return Err(e),
        Err(e) => e,
    };
    let mut log = vec![0_u8; LOG];
    let with_log = attributes()
        .u32(24, 1)
        .u32(28, u32::try_from(log.len()).unwrap_or(0))
        .address(32, log.as_mut_ptr());
    // SAFETY: as above, and the kernel writes at most as many bytes as are told, the length of `log`.
    let again = unsafe { descriptor(PROG_LOAD, with_log) };
    let text = String::from_utf8_lossy(&log);
    let said = text.trim_matches(['\0', '\n']);
    again.map_err(
        |_| match said.lines().rfind(|l| !l.starts_with("processed")) {
            Some(line) if !line.is_empty() => {
                io::Error::new(refused.kind(), format!("{refused}: {line}"))
            }
            _ => refused,
        },
    )
}

/// Attaches a selector to the group that a listener with `SO_REUSEPORT` belongs to, and replaces the previous one.
///
/// # Errors
/// The errors of setsockopt(2).
pub fn attach(listener: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    socket::set_number(listener, libc::SOL_SOCKET, ATTACH, program.as_raw_fd())
}

/// The cookie of a socket, by which a map of sockets names it.
///
/// # Errors
/// The errors of getsockopt(2).
pub fn cookie(fd: BorrowedFd<'_>) -> io::Result<[u8; 8]> {
    socket::bytes(fd, libc::SOL_SOCKET, COOKIE)
}

/// Keeps a map or a program at a path in a file system of [`mount`].
///
/// # Errors
/// The errors of bpf(2).
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = Attributes::new()
        .address(0, path.as_ptr())
        .fd(8, object.as_raw_fd());
    // SAFETY: the path ends in a zero and lives through the call.
    unsafe { bpf(OBJ_PIN, attributes) }.map(drop)
}

/// The map or the program that is kept at a path.
///
/// # Errors
/// The errors of bpf(2).
pub fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = Attributes::new().address(0, path.as_ptr());
    // SAFETY: the path ends in a zero and lives through the call.
    unsafe { descriptor(OBJ_GET, attributes) }
}

/// Mounts a file system for maps and programs that root alone may enter.
///
/// # Errors
/// The errors of mount(2).
pub fn mount(folder: &Path) -> io::Result<()> {
    let folder = CString::new(folder.as_os_str().as_bytes())?;
    let (kind, options) = (c"bpf", c"mode=0700");
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: all strings end in a zero and live through the call.
    let done = unsafe {
        libc::mount(
            kind.as_ptr(),
            folder.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    check(done).map(drop)
}
