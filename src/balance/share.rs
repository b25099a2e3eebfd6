//! Fair shares of connections, and the instances that get the next ones. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The number of entries in a plan, `PLANNED` in `selector.c`.
const PLANNED: usize = 4096;

/// An instance that is on, and how many connections it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) instance: u16,
    pub(super) connections: usize,
}

impl Share {
    /// The shares of the instances in `groups`, by their numbers and control groups; `connections` has the control
    /// group of each connection. `None` if the kernel or systemd does not distinguish instances by their control group.
    pub(super) fn count(groups: &[(u32, u64)], connections: &[u64]) -> Option<Vec<Self>> {
        let mut sorted: Vec<u64> = groups.iter().map(|(_, group)| *group).collect();
        sorted.sort_unstable();
        let is_told_apart = sorted.first() != Some(&0) && sorted.is_sorted_by(|a, b| a < b);
        let share = |(instance, group): &(u32, u64)| {
            Some(Self {
                instance: u16::try_from(*instance).ok()?,
                connections: connections.iter().filter(|c| *c == group).count(),
            })
        };
        is_told_apart.then(|| groups.iter().map(share).collect())?
    }
}

/// How many connections an instance that is turned on lacks compared with the others.
pub(super) fn behind(own: usize, others: &[Share]) -> usize {
    let all: usize = others.iter().map(|share| share.connections).sum();
    let fair = (all + own) / (others.len() + 1);
    fair.saturating_sub(own)
}

/// The instances that get the next connections, one after the other, before the round continues. See `struct plan` in `selector.c`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// How many connections the plan is for.
    count: u32,
    /// Each entry stands for 2 to the power of this number of connections.
    shift: u32,
    of: Vec<u16>,
}

impl Plan {
    /// The length in bytes.
    pub(super) const LENGTH: usize = 24 + 2 * PLANNED;

    /// The plan by which these instances have the same number of connections, as far as possible, after this many more.
    pub(super) fn level(on: &[Share], expected: usize) -> Self {
        let mut shift = 0;
        while expected.div_ceil(1 << shift) > PLANNED && shift < usize::BITS - 1 {
            shift += 1;
        }
        let in_order = on.iter().enumerate();
        let mut least: BinaryHeap<_> = in_order
            .map(|(place, share)| Reverse((share.connections, place, share.instance)))
            .collect();
        let mut next = || {
            let Reverse((connections, place, instance)) = least.pop()?;
            least.push(Reverse((connections + (1 << shift), place, instance)));
            Some(instance)
        };
        let of: Vec<u16> = (0..expected.div_ceil(1 << shift))
            .map_while(|_| next())
            .collect();
        let expected = if of.is_empty() { 0 } else { expected };
        Self {
            count: u32::try_from(expected).unwrap_or(u32::MAX),
            shift,
            of,
        }
    }

    /// The bytes that the selector reads. The plan ends at a time of the monotonic clock, in nanoseconds, and
    /// was made for an instance that was turned on or off.
    pub(super) fn bytes(&self, until: u64, instance: u32) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let next = 0_u32;
        let numbers = [next, self.count, self.shift, instance].map(u32::to_ne_bytes);
        let fields = until.to_ne_bytes().into_iter().chain(numbers.concat());
        let entries = self.of.iter().flat_map(|instance| instance.to_ne_bytes());
        bytes
            .iter_mut()
            .zip(fields.chain(entries))
            .for_each(|(to, from)| *to = from);
        bytes
    }

    /// The instance that a plan was made for, in what [`Plan::bytes`] makes.
    pub(super) fn made_for(bytes: &[u8; Self::LENGTH]) -> u32 {
        let number = bytes.get(20..24).and_then(|four| four.try_into().ok());
        number.map_or(u32::MAX, u32::from_ne_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(of: &[usize]) -> Vec<Share> {
        let share = |(instance, connections): (usize, &usize)| Share {
            instance: u16::try_from(instance).unwrap(),
            connections: *connections,
        };
        of.iter().enumerate().map(share).collect()
    }

    fn level(of: &[usize], expected: usize) -> Vec<u16> {
        Plan::level(&shares(of), expected).of
    }

    #[test]
    fn connections_are_counted_by_their_control_group() {
        let connections = [[1; 3], [2; 3], [9; 3]].concat();
        let counted = Share::count(&[(0, 2), (1, 1), (2, 3)], &connections).unwrap();
        assert_eq!(counted, shares(&[3, 3, 0]));
        for not_told_apart in [&[(0, 0), (1, 1)][..], &[(0, 1), (1, 2), (2, 1)]] {
            assert_eq!(Share::count(not_told_apart, &connections), None);
        }
    }

    #[test]
    fn a_newcomer_is_behind_by_its_fair_share() {
        assert_eq!(behind(0, &shares(&[60, 60, 60])), 45);
        assert_eq!(behind(20, &shares(&[60, 60, 60])), 30);
        assert_eq!(behind(2, &shares(&[1])), 0, "ahead");
        assert_eq!(behind(0, &shares(&[])), 0);
    }

    #[test]
    fn those_that_have_least_come_first() {
        assert_eq!(level(&[2, 2, 0], 2), [2, 2]);
        assert_eq!(level(&[2, 1, 0], 6), [2, 1, 2, 0, 1, 2]);
        assert_eq!(level(&[5, 5], 3), [0, 1, 0]);
        assert_eq!(Plan::level(&[], 3), Plan::default());
        assert!(level(&[1], 0).is_empty());
    }

    #[test]
    fn a_plan_for_many_connections_has_an_entry_for_several() {
        let plan = Plan::level(&shares(&[10_000, 10_000, 0]), 10_001);
        assert_eq!((plan.count, plan.shift, plan.of.len()), (10_001, 2, 2501));
        assert!(plan.of[..2500].iter().all(|instance| *instance == 2));
        let bytes = plan.bytes(1, 7);
        assert_eq!(Plan::made_for(&bytes), 7);
        assert_eq!(
            bytes[..24],
            [1_u32, 0, 0, 10_001, 2, 7].map(u32::to_ne_bytes).concat()
        );
        assert_eq!(bytes[24..26], 2_u16.to_ne_bytes());
    }

    /// Connections by the number of their instance; each is made again when its instance is turned off.
    struct Model {
        connections: Vec<u16>,
        on: Vec<u16>,
        turn: usize,
    }

    impl Model {
        fn of(instances: u16, connections: usize) -> Self {
            let on: Vec<u16> = (0..instances).collect();
            let connections = on.iter().copied().cycle().take(connections).collect();
            let turn = 3;
            Self {
                connections,
                on,
                turn,
            }
        }

        fn has(&self, instance: u16) -> usize {
            self.connections.iter().filter(|c| **c == instance).count()
        }

        fn leave(&mut self, leaving: u16) {
            self.on.retain(|instance| *instance != leaving);
            let share = |instance: &u16| Share {
                instance: *instance,
                connections: self.has(*instance),
            };
            let on: Vec<Share> = self.on.iter().map(share).collect();
            let mut plan = Plan::level(&on, self.has(leaving)).of.into_iter();
            for connection in self.connections.iter_mut().filter(|c| **c == leaving) {
                self.turn += 1;
                *connection = match plan.next() {
                    Some(planned) => planned,
                    None => self.on[self.turn % self.on.len()],
                };
            }
        }

        /// The canary starts, each instance is replaced, and the canary stops.
        fn reload(&mut self, instances: u16) -> Vec<usize> {
            let canary = instances;
            self.on.push(canary);
            for instance in 0..instances {
                self.leave(instance);
                self.on.push(instance);
            }
            self.leave(canary);
            (0..instances).map(|instance| self.has(instance)).collect()
        }
    }

    #[test]
    fn every_instance_has_its_share_after_a_reload() {
        for (instances, connections) in [(4, 8), (4, 200), (2, 9), (16, 500), (5, 3)] {
            let mut model = Model::of(instances, connections);
            for _ in 0..3 {
                let shares = model.reload(instances);
                assert_eq!(shares.iter().sum::<usize>(), connections);
                let (least, most) = (shares.iter().min(), shares.iter().max());
                assert!(most.unwrap() - least.unwrap() <= 1, "{shares:?}");
            }
        }
    }

    #[test]
    fn a_reload_evens_out_what_was_uneven() {
        let mut model = Model::of(4, 200);
        model.connections.fill(1);
        assert_eq!(model.reload(4), [50; 4]);
    }
}
