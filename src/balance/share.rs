//! What is a fair share of connections. Pure.

/// How many connections an instance that comes on is behind the others: so many it gets before the round goes on.
///
/// `connections` names the control group of each connection, `groups` that of each instance that is on, and `own` that of the
/// newcomer. One of them may be `leaving`, as the canary of a reload is: its connections are soon those of the others, and more
/// than those a newcomer cannot expect. Where the kernel or systemd does not tell instances apart by their control group, nobody
/// is behind.
pub(super) fn behind(own: u64, groups: &[u64], connections: &[u64], leaving: Option<u64>) -> u32 {
    let is_told_apart = own != 0 && !groups.contains(&own);
    if !is_told_apart || groups.is_empty() {
        return 0;
    }
    let count = |of: &dyn Fn(u64) -> bool| connections.iter().filter(|c| of(**c)).count();
    let has = count(&|group| group == own);
    let all = has + count(&|group| groups.contains(&group));
    let fair = all / (groups.len() + usize::from(leaving.is_none()));
    let expected = leaving.filter(|group| *group != own);
    let expected = expected.map_or(usize::MAX, |group| count(&|of| of == group));
    u32::try_from(fair.saturating_sub(has).min(expected)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_is_behind_by_its_fair_share() {
        let connections = [[1; 60], [2; 60], [3; 60]].concat();
        assert_eq!(behind(4, &[1, 2, 3], &connections, None), 45);
        let with_own = [&connections[..], &[4; 20]].concat();
        assert_eq!(behind(4, &[1, 2, 3], &with_own, None), 30);
        assert_eq!(behind(4, &[1], &[1, 1, 9, 9], None), 1, "9 is off");
    }

    #[test]
    fn in_a_reload_the_share_is_that_of_those_that_stay() {
        let connections = [[1; 50], [2; 50], [3; 50], [4; 50]].concat();
        let canary = 5;
        assert_eq!(
            behind(canary, &[1, 2, 3, 4], &connections, Some(canary)),
            50
        );
        let connections = [[canary; 50], [2; 50], [3; 50], [4; 50]].concat();
        let on = [2, 3, 4, canary];
        assert_eq!(behind(1, &on, &connections, Some(canary)), 50);
        let few = [&[canary; 7][..], &[2; 60], &[3; 60], &[4; 60]].concat();
        assert_eq!(behind(1, &on, &few, Some(canary)), 7, "no more will come");
    }

    #[test]
    fn nobody_is_behind_where_there_is_nothing_to_share_or_nobody_is_told_apart() {
        assert_eq!(behind(1, &[], &[2, 2], None), 0);
        assert_eq!(behind(1, &[2], &[], None), 0);
        assert_eq!(behind(1, &[2], &[1, 1, 2], None), 0, "ahead");
        assert_eq!(behind(0, &[0, 0], &[0; 9], None), 0);
        assert_eq!(behind(1, &[1, 1], &[1; 9], None), 0);
    }
}
