//! Notes ports that a program binds in addition to the declared ones, because a second instance cannot bind them as well.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use crate::contract::{ELSEWHERE, FURTHER};
use crate::peer::address::Address;
use crate::sys::socket::{self, Shape};

/// The largest number of addresses that are remembered.
const MOST: usize = 16;

/// How many ports a program may try above the declared one.
const NEXT: u16 = 64;

/// An address that the program has asked for.
struct Bound {
    inode: u64,
    address: Address,
    listens: bool,
    /// Whether every instance may bind the address, see `SO_REUSEPORT` in socket(7).
    is_shared: bool,
}

/// The addresses of a program that no socket unit declares.
#[derive(Default)]
pub(super) struct Further {
    bound: Vec<Bound>,
    /// When the program listened on the first of them.
    since: Option<Instant>,
}

impl Further {
    /// Notes a bind(2), whether it succeeds or not.
    pub(super) fn bound(
        &mut self,
        theirs: BorrowedFd<'_>,
        inode: u64,
        address: Address,
        shape: Shape,
    ) {
        // With port 0 the kernel chooses a port. Servers that clients have to find do not use it.
        let is_server = !matches!(&address, Address::Inet(a) if a.port() == 0);
        if is_server && shape.kind == libc::SOCK_STREAM && self.bound.len() < MOST {
            let shared = socket::number(theirs, libc::SOL_SOCKET, libc::SO_REUSEPORT);
            self.bound.push(Bound {
                inode,
                address,
                listens: false,
                is_shared: matches!(shared, Ok(1)),
            });
        }
    }

    /// Notes a listen(2).
    pub(super) fn listens(&mut self, inode: u64) {
        if let Some(bound) = self.bound.iter_mut().find(|b| b.inode == inode) {
            bound.listens = true;
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Returns the address that was bound first.
    pub(super) fn first(&self) -> Option<&Address> {
        self.bound.first().map(|bound| &bound.address)
    }

    /// Returns the first address on which the program listens.
    pub(super) fn heard(&self) -> Option<&Address> {
        let heard = self.bound.iter().find(|bound| bound.listens);
        heard.map(|bound| &bound.address)
    }

    /// Returns whether the program listens on any of them.
    pub(super) fn any_listens(&self) -> bool {
        self.heard().is_some()
    }

    /// Returns when the program listened on the first of them.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Returns the line about a port that every instance will ask for and only one can have.
    pub(super) fn advice(&self) -> Option<String> {
        let port = self.port(true)?;
        Some(format!("{port}{FURTHER}"))
    }

    /// Returns the line about a port that the program asked for and never listened on.
    pub(super) fn suspicion(&self) -> Option<String> {
        let port = self.port(false)?;
        Some(format!(
            "the program asked for {port}, which another instance may have: add it to `listen`, or give each instance its own"
        ))
    }

    fn port(&self, listens: bool) -> Option<String> {
        let is_it = |b: &&Bound| b.listens == listens && !b.is_shared;
        self.bound
            .iter()
            .filter(is_it)
            .find_map(|b| match &b.address {
                Address::Inet(address) if address.ip().is_unspecified() => {
                    Some(address.port().to_string())
                }
                Address::Inet(address) => Some(address.to_string()),
                Address::Path(_) => None,
            })
    }
}

/// Returns the line about a program that listens on such an address and not on the declared one.
pub(super) fn elsewhere(declared: Option<&Address>, bound: &Address, instance: u32) -> String {
    let shown = declared.map(ToString::to_string).unwrap_or_default();
    if declared.is_some_and(|declared| counts(declared, bound, instance)) {
        return format!(
            "{ELSEWHERE}{bound}, a different port in each instance; make it listen on {shown}, which all instances share"
        );
    }
    let write = format!("write `listen = \"{}\"`", bound.as_listen());
    if declared.is_some_and(|declared| is_next(declared, bound)) {
        return format!(
            "{ELSEWHERE}{bound}, declared is {shown}; if it tries the next port when one is in use, make it use {shown} in any \
             case, which systemd holds for all instances; otherwise {write}"
        );
    }
    format!("{ELSEWHERE}{bound}, declared is {shown}; {write}")
}

/// Returns whether a program that found the declared port in use may have moved on to this one.
fn is_next(declared: &Address, bound: &Address) -> bool {
    match (declared, bound) {
        (Address::Inet(declared), Address::Inet(bound)) => {
            let next = declared.port().saturating_add(1)..=declared.port().saturating_add(NEXT);
            next.contains(&bound.port())
        }
        _ => false,
    }
}

/// Returns whether an address is the declared one with the number of the instance added to the port.
pub(super) fn counts(declared: &Address, bound: &Address, instance: u32) -> bool {
    match (declared, bound) {
        (Address::Inet(declared), Address::Inet(bound)) => {
            instance > 0 && u32::from(declared.port()) + instance == u32::from(bound.port())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn so_many_ports_are_noted_and_each_counts_once_the_program_listens() {
        let mut further = Further::default();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let inet = |port: u16| Address::Inet(([0, 0, 0, 0], port).into());
        let bound = |further: &mut Further, port: u16, kind| {
            let shape = Shape {
                domain: libc::AF_INET,
                kind,
                protocol: 0,
            };
            further.bound(socket.as_fd(), port.into(), inet(port), shape);
        };
        bound(&mut further, 0, libc::SOCK_STREAM);
        bound(&mut further, 53, libc::SOCK_DGRAM);
        assert_eq!(further.first(), None);
        for port in (8000..).take(MOST + 1) {
            bound(&mut further, port, libc::SOCK_STREAM);
        }
        assert_eq!(further.bound.len(), MOST);
        assert_eq!(further.first(), Some(&inet(8000)));
        assert!(!further.any_listens() && further.since().is_none());
        further.listens(9000);
        assert!(!further.any_listens());
        further.listens(8001);
        assert_eq!(further.heard(), Some(&inet(8001)));
        assert!(further.since().is_some());
        assert_eq!(further.port(true).as_deref(), Some("8001"));
        assert_eq!(further.port(false).as_deref(), Some("8000"));
    }

    #[test]
    fn a_port_for_each_instance_is_the_declared_one_and_the_number() {
        let inet = |text: &str| Address::Inet(text.parse().unwrap());
        let declared = inet("0.0.0.0:3000");
        assert!(counts(&declared, &inet("0.0.0.0:3002"), 2));
        for (bound, instance) in [
            ("0.0.0.0:3000", 0),
            ("0.0.0.0:3002", 1),
            ("0.0.0.0:9100", 1),
        ] {
            assert!(
                !counts(&declared, &inet(bound), instance),
                "{bound} in {instance}"
            );
        }
    }

    #[test]
    fn a_program_that_listens_elsewhere_is_told_what_to_write_or_to_take() {
        let told = |bound: &str, instance| {
            let inet = |text: &str| Address::Inet(text.parse().unwrap());
            elsewhere(Some(&inet("[::]:3000")), &inet(bound), instance)
        };
        assert!(
            told("[::]:3002", 2)
                .ends_with("make it listen on [::]:3000, which all instances share")
        );
        let next = told("[::]:3002", 0);
        assert!(
            next.contains("make it use [::]:3000 in any case")
                && next.ends_with("`listen = \"[::]:3002\"`")
        );
        let other = "the program listens on [::]:9100, declared is [::]:3000; write `listen = \"[::]:9100\"`";
        assert_eq!(told("[::]:9100", 0), other);
        assert!(!told("[::]:2999", 0).contains("next"));
    }

    #[test]
    fn a_port_of_every_address_is_told_as_a_number() {
        let told = |address: &str, listens| {
            let further = Further {
                bound: vec![Bound {
                    inode: 1,
                    address: Address::Inet(address.parse().unwrap()),
                    listens,
                    is_shared: false,
                }],
                since: None,
            };
            further.port(true)
        };
        assert_eq!(told("0.0.0.0:80", true).as_deref(), Some("80"));
        assert_eq!(told("[::]:80", true).as_deref(), Some("80"));
        let one = told("127.0.0.1:80", true);
        assert_eq!(one.as_deref(), Some("127.0.0.1:80"));
        assert_eq!(told("0.0.0.0:80", false), None);
    }
}
