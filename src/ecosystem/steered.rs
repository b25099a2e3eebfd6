//! The IPv4 addresses of an app, at which one instance can be chosen, see [`crate::contract::steer`]. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use super::App;
use super::values::{Listen, Place, SocketKind};

impl App {
    /// The addresses of TCP at which a connection can choose its instance, each once. IPv6 has none: its
    /// loopback is a single address, and anybody could choose a source port.
    #[must_use]
    pub fn steered(&self) -> Vec<SocketAddrV4> {
        let mut found = Vec::new();
        for address in self.listen.iter().filter_map(over_ipv4) {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        found
    }
}

fn over_ipv4(listen: &Listen) -> Option<SocketAddrV4> {
    if listen.kind != SocketKind::Stream {
        return None;
    }
    let local = |port| Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    match &listen.place {
        Place::Port(port) => local(*port),
        Place::Address(address) => match address.ip() {
            // A dual-stack [::] has the port of IPv4 too.
            ip if ip.is_unspecified() => local(address.port()),
            IpAddr::V4(ip) => Some(SocketAddrV4::new(ip, address.port())),
            IpAddr::V6(_) => None,
        },
        Place::Path(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::parse;

    #[test]
    fn an_instance_is_reached_over_ipv4_where_the_app_listens_on_it() {
        for (listen, found) in [
            ("3000", "127.0.0.1:3000"),
            ("\"0.0.0.0:80\"", "127.0.0.1:80"),
            ("\"[::]:80\"", "127.0.0.1:80"),
            ("[\"[::]:80\", \"0.0.0.0:80\"]", "127.0.0.1:80"),
            ("\"10.1.2.3:80\"", "10.1.2.3:80"),
            (
                "[3000, \"127.0.0.1:4000\"]",
                "127.0.0.1:3000 127.0.0.1:4000",
            ),
            ("[\"[::1]:80\", \"udp:53\", \"/run/a.sock\"]", ""),
        ] {
            let text = format!("[[apps]]\nscript = \"x\"\nlisten = {listen}\n");
            let (apps, report) = parse("eco.toml", &text);
            assert!(!report.has_errors(), "{}", report.render(false));
            let steered = apps[0].steered();
            let steered: Vec<String> = steered.iter().map(ToString::to_string).collect();
            assert_eq!(steered.join(" "), found, "{listen}");
        }
    }
}
