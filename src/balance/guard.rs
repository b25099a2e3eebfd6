//! Whether an instance that is off can be protected from users other than root.
//!
//! The guard accepts only connections from ports below 1024, and `health` has such a port by a capability. systemd starts the command
//! of `health` with its own capabilities, and in a container it may lack that one: then `health` could not reach any instance.

use std::fs;

use crate::procfs;

/// `CAP_NET_BIND_SERVICE`, see linux/capability.h.
const NET_BIND_SERVICE: u32 = 10;

/// Whether the commands of `health` can have a port below 1024.
pub(super) fn is_possible() -> bool {
    let status = fs::read_to_string("/proc/1/status").unwrap_or_default();
    has_ports(&status)
}

/// Whether a process with this `status` can pass on the capability. If that is unknown, the guard stays.
fn has_ports(status: &str) -> bool {
    let bounding =
        procfs::field(status, "CapBnd:").and_then(|set| u64::from_str_radix(set, 16).ok());
    bounding.is_none_or(|set| set >> NET_BIND_SERVICE & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_manager_that_is_known_to_lack_the_capability_makes_it_impossible() {
        for (status, is_possible) in [
            (
                "Name:\tsystemd\nCapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n",
                true,
            ),
            (
                "Name:\tsystemd\nCapEff:\t000001ffffffffff\nCapBnd:\t000001fffffffbff\n",
                false,
            ),
            ("CapBnd:\t0000000000000400\n", true),
            ("CapBnd:\t0000000000000000\n", false),
            ("CapBnd:\tnonsense\n", true),
            ("", true),
        ] {
            assert_eq!(has_ports(status), is_possible, "{status}");
        }
    }
}
