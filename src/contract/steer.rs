//! The source addresses that lead to one instance.

use std::net::Ipv4Addr;

/// The first two numbers of such an address, as the selector has them. Nothing else uses them by default, and a packet from
/// 127.0.0.0/8 comes from this host alone, see `route_localnet` in the kernel's ip-sysctl.
const BLOCK: [u8; 2] = [127, 114];

/// The local address from which a connection goes to this instance, if each has a listener of its own.
#[must_use]
pub fn source(instance: u32) -> Ipv4Addr {
    let [.., high, low] = instance.to_be_bytes();
    let [first, second] = BLOCK;
    Ipv4Addr::new(first, second, high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_the_instance_is_the_end_of_the_address() {
        assert_eq!(source(0).to_string(), "127.114.0.0");
        assert_eq!(source(2).to_string(), "127.114.0.2");
        assert_eq!(source(1023).to_string(), "127.114.3.255");
    }
}
