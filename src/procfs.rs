//! Parsers for the files of /proc, see proc(5). Pure.
//!
//! A program chooses some parts of these texts: its own name, the names of its files and mappings, and how many there are.
//! So a field is found by its position, never by searching for text, and a line that is not exactly as the kernel writes it
//! is ignored.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::str::FromStr;

/// A value in a file of `key value` lines, such as `/proc/PID/status`. The kernel escapes names that a program chooses, so
/// a program cannot add a line.
#[must_use]
pub fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    Some(lines(text).find_map(|l| l.strip_prefix(key))?.trim())
}

/// The lines of a text, split at newlines alone: `str::lines` would remove a carriage return, which may end a name.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
}

/// A decimal number as the kernel writes it: only digits, whereas Rust would accept a sign.
fn decimal<N: FromStr>(text: &str) -> Option<N> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// A hexadecimal number as the kernel writes it.
fn hex(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|b| b.is_ascii_hexdigit());
    is_number.then(|| u64::from_str_radix(text, 16).ok())?
}

/// The inode in the link of a descriptor that leads to a socket: `socket:[61]`.
#[must_use]
pub fn socket(link: &str) -> Option<u64> {
    decimal(link.strip_prefix("socket:[")?.strip_suffix(']')?)
}

/// The flags of open(2) in the `fdinfo` of a descriptor.
#[must_use]
pub fn flags(info: &str) -> Option<i32> {
    let flags = field(info, "flags:")?;
    let is_number = flags.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| i32::from_str_radix(flags, 8).ok())?
}

/// The events and the data of a registration in the `fdinfo` of an epoll set, if it is one of this descriptor and this
/// socket: `tfd: 5 events: 19 data: 5 pos:0 ino:61 sdev:8`, where all numbers but the first are hexadecimal.
#[must_use]
pub fn registration(line: &str, fd: RawFd, inode: u64) -> Option<(u32, u64)> {
    let (number, rest) = line.strip_prefix("tfd:")?.split_once(" events:")?;
    let (events, rest) = rest.split_once(" data:")?;
    let (data, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    let (_, rest) = rest.split_once(" ino:")?;
    let (ino, _) = rest.split_once(' ')?;
    let is_it = decimal::<RawFd>(number.trim_start_matches(' '))? == fd && hex(ino)? == inode;
    is_it.then_some(())?;
    let events = hex(events.trim_start_matches(' '))?;
    Some((u32::try_from(events).ok()?, hex(data)?))
}

/// The state of a thread in its `stat`, and its start time in ticks since boot. The second field is the name of the program,
/// which may contain anything, even parentheses.
#[must_use]
pub fn stat(text: &str) -> Option<(char, u64)> {
    /// The index of `starttime` among the fields behind the name.
    const STARTED: usize = 19;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
    let state = fields.first()?.parse().ok()?;
    Some((state, decimal(fields.get(STARTED)?)?))
}

/// The PID of the parent in a `stat`.
#[must_use]
pub fn parent(text: &str) -> Option<i32> {
    decimal(text.rsplit_once(") ")?.1.split_whitespace().nth(1)?)
}

/// The system call that a thread waits in, and its arguments: `202 0x7f… 0x80 0x0 0x0 0x0 0x0 0x7ffd… 0x7f…`, see
/// `proc_pid_syscall(5)`.
#[must_use]
pub fn waiting(text: &str) -> Option<(i64, [u64; 6])> {
    let mut words = text.split_whitespace();
    // A thread in no system call has -1 here.
    let number = decimal(words.next()?)?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = hex(words.next()?.strip_prefix("0x")?)?;
    }
    // Two words follow: the stack pointer and the instruction pointer.
    (words.count() == 2).then_some((number, arguments))
}

/// The start and the end of the vDSO in the `maps` of a process. A file can have the same name, and even inode 0, but only a
/// mapping of the kernel has neither an inode nor a device nor a folder.
#[must_use]
pub fn vdso(maps: &str) -> Option<(u64, u64)> {
    lines(maps).find_map(|line| {
        let mut words = line.splitn(6, ' ');
        let (place, rights, offset) = (words.next()?, words.next()?, words.next()?);
        let (device, inode, name) = (words.next()?, words.next()?, words.next()?);
        let is_kernels = offset == "00000000" && device == "00:00" && inode == "0";
        let is_it = is_kernels && rights == "r-xp" && name.trim_start_matches(' ') == "[vdso]";
        is_it.then_some(())?;
        let (start, end) = place.split_once('-')?;
        Some((hex(start)?, hex(end)?)).filter(|(start, end)| start < end)
    })
}

/// The sockets of `/proc/net/tcp`, `tcp6`, `udp` and `udp6` that listen, or that receive from anybody, with their inodes.
#[must_use]
pub fn listeners(text: &str) -> Vec<(SocketAddr, u64)> {
    text.lines().filter_map(listener).collect()
}

/// `0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 …`
fn listener(line: &str) -> Option<(SocketAddr, u64)> {
    // TCP_LISTEN; a datagram socket without a peer is in TCP_CLOSE.
    const STATES: [&str; 2] = ["0A", "07"];
    let mut words = line.split_whitespace();
    let (local, remote, state) = (words.nth(1)?, words.next()?, words.next()?);
    if !STATES.contains(&state) || !remote.ends_with(":0000") {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let inode = decimal(words.nth(5)?)?;
    // Each group of eight digits is a number as the processor has it.
    let digits = Some(address.as_bytes()).filter(|digits| digits.len() % 8 == 0)?;
    let numbers = digits.chunks(8).map(|digits| {
        let digits = std::str::from_utf8(digits).ok()?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    });
    let bytes: Vec<u8> = numbers.collect::<Option<Vec<_>>>()?.concat();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::from(bytes),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?),
    };
    Some((SocketAddr::new(ip, port), inode))
}

/// The file that says how much the Yama module restricts ptrace(2). Without the module there is no such file.
pub const YAMA_SCOPE: &str = "/proc/sys/kernel/yama/ptrace_scope";

/// The value of [`YAMA_SCOPE`], from 0 (unrestricted) to 3.
#[must_use]
pub fn yama_scope(text: &str) -> u32 {
    decimal(text.trim()).unwrap_or(0)
}

/// A hierarchy of control groups, see cgroups(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// Control groups of version 2.
    Unified,
    /// The hierarchy `name=systemd` of version 1.
    Systemd,
}

/// A control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The hierarchy of the group.
    pub tree: Tree,
    /// The path of the group in the hierarchy, from `/`.
    pub path: String,
}

impl Group {
    /// The control group of a unit, if the process with this `/proc/PID/cgroup` is in it. A unit with `Delegate=` runs its
    /// commands in the group `.control` below its own.
    #[must_use]
    pub fn of_unit(text: &str, unit: &str) -> Option<Self> {
        places(text).find_map(|(tree, path)| {
            let path = path.strip_suffix("/.control").unwrap_or(path);
            let is_it = path.rsplit('/').next()? == unit;
            is_it.then(|| Self {
                tree,
                path: path.to_owned(),
            })
        })
    }

    /// Whether the process with this `/proc/PID/cgroup` is in the group or below it.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        places(text).any(|(tree, path)| {
            let below = path.strip_prefix(self.path.as_str());
            tree == self.tree && below.is_some_and(|b| b.is_empty() || b.starts_with('/'))
        })
    }
}

/// The path of a unit's control group, of a path that leads to it or below it.
#[must_use]
pub fn up_to<'a>(path: &'a str, unit: &str) -> Option<&'a str> {
    let mut end = 0;
    for name in path.split_inclusive('/') {
        end += name.len();
        let name = name.strip_suffix('/');
        if name == Some(unit) {
            return path.get(..end.saturating_sub(1));
        }
    }
    path.rsplit('/')
        .next()
        .filter(|last| *last == unit)
        .map(|_| path)
}

fn places(text: &str) -> impl Iterator<Item = (Tree, &str)> {
    lines(text).filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, tree, path) = (fields.next()?, fields.next()?, fields.next()?);
        match tree {
            "" => Some((Tree::Unified, path)),
            "name=systemd" => Some((Tree::Systemd, path)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_read_as_proc_writes_it() {
        let line = "tfd:       18 events:       19 data:               12  pos:0 ino:1f3a sdev:8";
        assert_eq!(registration(line, 18, 0x1f3a), Some((0x19, 0x12)));
        assert_eq!(registration(line, 19, 0x1f3a), None);
        assert_eq!(registration(line, 18, 1), None);
        assert_eq!(registration(&format!("x {line}"), 18, 0x1f3a), None);
    }

    #[test]
    fn a_path_leads_to_a_units_group_or_below_it() {
        let up_to = |path| up_to(path, "web@0.service");
        let group = Some("/system.slice/web@0.service");
        assert_eq!(up_to("/system.slice/web@0.service"), group);
        assert_eq!(up_to("/system.slice/web@0.service/below/it"), group);
        assert_eq!(up_to("/system.slice/web@0.service.d/x"), None);
        assert_eq!(up_to("/system.slice/my-web@0.service"), None);
        assert_eq!(up_to("/"), None);
    }

    #[test]
    fn a_number_has_no_sign() {
        assert_eq!(socket("socket:[61]"), Some(61));
        assert_eq!(socket("socket:[+61]"), None);
        assert_eq!(flags("pos:\t0\nflags:\t02000002\n"), Some(0o2_000_002));
        assert_eq!(flags("flags:\t-02\n"), None);
        assert_eq!(waiting("+3 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n"), None);
        assert_eq!(waiting("3 0x0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n"), None);
    }

    #[test]
    fn a_waiting_thread_names_its_call() {
        assert_eq!(
            waiting("288 0x3 0x7ffc 0x10 0x80000 0x0 0x0 0x7ffd 0x7f00\n"),
            Some((288, [3, 0x7ffc, 16, 0x80000, 0, 0]))
        );
        assert_eq!(waiting("running\n"), None);
        assert_eq!(waiting("-1 0x7ffd 0x7f00\n"), None);
    }

    #[test]
    fn parentheses_in_a_name_do_not_end_it() {
        let text = "7 (a) R 1 (b) S 3 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9";
        assert_eq!((stat(text), parent(text)), (Some(('S', 4711)), Some(3)));
        assert_eq!(stat("7 (a"), None);
    }

    #[test]
    fn only_the_kernels_own_mapping_is_the_vdso() {
        let kernels = "7ffd1000-7ffd3000 r-xp 00000000 00:00 0                          [vdso]";
        let others = [
            "7f01-7f02 r-xp 00000000 00:2f 61                         /srv/[vdso]",
            "7f01-7f02 r-xp 00000000 00:2f 0                          /srv/x [vdso]",
            "7f01-7f02 r-xp 00000000 00:00 0                          /srv/x [vdso]",
            "7f01-7f02 r-xp 00000000 00:00 0                          [anon:[vdso]",
            "7f01-7f02 r-xp 00000000 00:01 0                          [vdso]",
            "7f01-7f02 rwxp 00000000 00:00 0                          [vdso]",
            "7f01-7f02 r--p 00000000 00:00 0                          [vvar]",
            "7f03-7f02 r-xp 00000000 00:00 0                          [vdso]",
            "+7f01-7f02 r-xp 00000000 00:00 0                         [vdso]",
            "7f01-7f02 r-xp 00000000 00:00 0                          [vdso]\r",
        ];
        for other in others {
            assert_eq!(vdso(other), None, "{other}");
            let found = vdso(&format!("{other}\n{kernels}\n"));
            assert_eq!(found, Some((0x7ffd_1000, 0x7ffd_3000)), "{other}");
        }
    }

    #[test]
    fn the_group_of_an_instance_is_found() {
        let own = "1:name=systemd:/system.slice/x.service\n0::/system.slice/system-web.slice/web@3.service\n";
        let path = "/system.slice/system-web.slice/web@3.service";
        let group = Group {
            tree: Tree::Unified,
            path: path.into(),
        };
        assert_eq!(Group::of_unit(own, "web@3.service").as_ref(), Some(&group));
        let delegated = format!("0::{path}/.control\n");
        assert_eq!(Group::of_unit(&delegated, "web@3.service"), Some(group));
    }

    #[test]
    fn no_other_group_is_mistaken_for_that_of_the_instance() {
        for own in [
            "0::/system.slice/xweb@3.service\n",
            "0::/system.slice/web@3.service/child\n",
            "0::/\n",
            "4:memory:/web@3.service\n",
            "0::/system.slice/web@3.service\r\n",
        ] {
            assert_eq!(Group::of_unit(own, "web@3.service"), None, "{own}");
        }
    }

    #[test]
    fn a_group_holds_the_processes_in_it_and_below() {
        let group = Group {
            tree: Tree::Unified,
            path: "/a/web@3.service".into(),
        };
        assert!(group.holds("0::/a/web@3.service\n") && group.holds("0::/a/web@3.service/b\n"));
        for other in [
            "0::/a/web@3.servicex\n",
            "0::/a/web@3.service\r\n",
            "0::/a\n",
            "1:name=systemd:/a/web@3.service\n",
        ] {
            assert!(!group.holds(other), "{other}");
        }
    }

    #[test]
    fn of_the_sockets_those_that_listen_are_found() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        let rest = "00000000:00000000 00:00000000 00000000    33        0 61 1 0 100 0 0 10 0";
        for (words, found) in [
            ("0100007F:0BB8 00000000:0000 0A", Some("127.0.0.1:3000")),
            ("00000000:14E9 00000000:0000 07", Some("0.0.0.0:5353")),
            (
                "00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A",
                Some("[::1]:3000"),
            ),
            ("0100007F:0BB8 0100007F:1234 01", None),
            ("0100007F:0BB8 0100007F:1234 07", None),
            ("0100007:0BB8 00000000:0000 0A", None),
        ] {
            let text = format!("{head}\n   0: {words} {rest}\n");
            let expected: Vec<_> = found.iter().map(|f| (f.parse().unwrap(), 61)).collect();
            assert_eq!(listeners(&text), expected, "{words}");
        }
    }
}
