//! The calls that remove a file or change its mode or owner. Programs make them around bind(2) of a unix socket.

use std::os::fd::RawFd;

use libc::c_long;

/// A call about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileCall {
    /// The effect of the call on the file.
    pub act: Act,
    /// The file.
    pub object: Object,
}

/// The effect of a call on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// unlink(2)
    Remove,
    /// chmod(2), to this mode.
    Mode(u32),
    /// chown(2)
    Owner,
    /// unlinkat(2) of a folder, which a socket is not.
    RemoveFolder,
}

/// How a call names its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// By its path, which is at this address of the caller's memory.
    Path {
        /// The descriptor of the folder that a relative path begins at, or `AT_FDCWD`.
        folder: RawFd,
        /// The address.
        address: u64,
    },
    /// By a descriptor.
    Descriptor(RawFd),
}

/// fchmodat2(2), since Linux 6.6; libc does not name it for every architecture.
const FCHMODAT2: c_long = 452;

/// `AT_REMOVEDIR`
const REMOVE_FOLDER: u64 = 0x200;

/// The calls without a folder, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const WITHOUT_FOLDER: &[c_long] = &[
    libc::SYS_unlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
];
#[cfg(target_arch = "aarch64")]
const WITHOUT_FOLDER: &[c_long] = &[];

/// The calls that [`decode`] knows.
pub(super) fn calls() -> Vec<c_long> {
    let everywhere = [
        libc::SYS_unlinkat,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        FCHMODAT2,
        libc::SYS_fchown,
        libc::SYS_fchownat,
    ];
    [WITHOUT_FOLDER, &everywhere].concat()
}

/// The call about a file that has this number and these arguments, if it is one.
pub(super) fn decode(call: c_long, arguments: [u64; 6]) -> Option<FileCall> {
    let [first, second, third, ..] = arguments;
    let here = Object::Path {
        folder: libc::AT_FDCWD,
        address: first,
    };
    let below = Object::Path {
        folder: super::descriptor(first),
        address: second,
    };
    let open = Object::Descriptor(super::descriptor(first));
    #[cfg(target_arch = "x86_64")]
    let without_folder = match call {
        libc::SYS_unlink => Some((Act::Remove, here)),
        libc::SYS_chmod => Some((mode(second), here)),
        libc::SYS_chown | libc::SYS_lchown => Some((Act::Owner, here)),
        _ => None,
    };
    #[cfg(target_arch = "aarch64")]
    let without_folder = {
        let _ = here;
        None
    };
    let (act, object) = match call {
        libc::SYS_unlinkat if third & REMOVE_FOLDER != 0 => (Act::RemoveFolder, below),
        libc::SYS_unlinkat => (Act::Remove, below),
        libc::SYS_fchmod => (mode(second), open),
        libc::SYS_fchmodat | FCHMODAT2 => (mode(third), below),
        libc::SYS_fchown => (Act::Owner, open),
        libc::SYS_fchownat => (Act::Owner, below),
        _ => without_folder?,
    };
    Some(FileCall { act, object })
}

/// Only the permissions: programs pass the type of the file as well.
fn mode(argument: u64) -> Act {
    Act::Mode(u32::try_from(argument & 0o7777).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_that_is_reported_is_understood() {
        for call in calls() {
            assert!(decode(call, [0; 6]).is_some(), "{call}");
        }
        for other in [libc::SYS_bind, libc::SYS_listen, libc::SYS_getsockname] {
            assert_eq!(decode(other, [0; 6]), None);
        }
    }

    #[test]
    fn a_relative_path_begins_at_the_folder_of_the_call() {
        let call = decode(libc::SYS_fchmodat, [9, 4096, 0o140_660, 0, 0, 0]);
        let object = Object::Path {
            folder: 9,
            address: 4096,
        };
        let act = Act::Mode(0o660);
        assert_eq!(call, Some(FileCall { act, object }));
        let call = decode(libc::SYS_unlinkat, [0xffff_ff9c, 4096, 0, 0, 0, 0]);
        let object = Object::Path {
            folder: libc::AT_FDCWD,
            address: 4096,
        };
        let act = Act::Remove;
        assert_eq!(call, Some(FileCall { act, object }));
    }
}
