//! Computes which instance a client's address chooses. Pure.
//!
//! The selector sorts the addresses into buckets; each instance that is on has a rank in each bucket, and the
//! highest wins. So the clients of an instance that is turned off are spread over the others, which keep their own
//! clients, and all of them return when it is on again. This is rendezvous hashing. The selector reads a table of
//! the winners, because a loop over all instances would be too long for the kernel's verifier.

/// The number of buckets, as in `selector.c`.
const BUCKETS: u32 = 4096;
/// The length of a table in bytes: a number of an instance in two bytes for each bucket.
pub(super) const LENGTH: usize = 8192;

/// An instance that is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) instance: u32,
    /// Whether it exists only during a reload. No address chooses it while others are on.
    pub(super) is_extra: bool,
}

/// The table for these instances.
pub(super) fn table(on: &[Candidate]) -> [u8; LENGTH] {
    let mut table = [0; LENGTH];
    let regular = || on.iter().filter(|one| !one.is_extra);
    let extra = || on.iter().filter(|_| regular().next().is_none());
    let numbers: Vec<u32> = regular().chain(extra()).map(|one| one.instance).collect();
    for (bucket, place) in (0..BUCKETS).zip(table.chunks_exact_mut(2)) {
        let rank = |instance: &&u32| (mix(mix(bucket).wrapping_add(mix(**instance))), **instance);
        let home = numbers.iter().max_by_key(rank);
        let home = home.and_then(|home| u16::try_from(*home).ok());
        place.copy_from_slice(&home.unwrap_or(u16::MAX).to_ne_bytes());
    }
    table
}

/// The last step of the hash function murmur3, by which each bit of a number changes about half of the result's.
fn mix(number: u32) -> u32 {
    let number = (number ^ number >> 16).wrapping_mul(0x85eb_ca6b);
    let number = (number ^ number >> 13).wrapping_mul(0xc2b2_ae35);
    number ^ number >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes(instances: &[u32]) -> Vec<u16> {
        let on: Vec<Candidate> = instances.iter().map(|i| candidate(*i, false)).collect();
        numbers(&table(&on))
    }

    fn candidate(instance: u32, is_extra: bool) -> Candidate {
        Candidate { instance, is_extra }
    }

    fn numbers(table: &[u8; LENGTH]) -> Vec<u16> {
        let pairs = table.chunks_exact(2);
        pairs
            .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
            .collect()
    }

    #[test]
    fn every_instance_has_its_share() {
        for count in [1, 2, 4, 16, 100] {
            let instances: Vec<u32> = (0..count).collect();
            let found = homes(&instances);
            let fair = found.len() / instances.len();
            for instance in instances {
                let share = found.iter().filter(|h| u32::from(**h) == instance).count();
                assert!(share >= fair / 2 && share <= fair * 2, "{share} of {fair}");
            }
        }
    }

    #[test]
    fn only_the_clients_of_one_that_goes_off_move_and_to_more_than_one() {
        let (all, some) = (homes(&[0, 1, 2, 3]), homes(&[3, 0, 2]));
        let mut heirs = std::collections::BTreeSet::new();
        for (before, after) in all.iter().zip(&some) {
            assert!(before == after || *before == 1);
            if *before == 1 {
                heirs.insert(after);
            }
        }
        assert_eq!(heirs.len(), 3);
        assert_eq!(homes(&[2, 3, 1, 0]), all, "whatever the order");
    }

    #[test]
    fn one_that_is_extra_is_chosen_only_where_there_is_no_other() {
        let with = [candidate(0, false), candidate(2, true), candidate(1, false)];
        assert_eq!(numbers(&table(&with)), homes(&[0, 1]));
        assert_eq!(numbers(&table(&with[1..2])), homes(&[2]));
        assert!(numbers(&table(&[])).iter().all(|home| *home == u16::MAX));
    }
}
