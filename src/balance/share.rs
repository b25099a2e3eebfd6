//! The fair share of connections. Pure.

/// The number of connections that an instance which is turned on has fewer than the others. The instance gets that many before
/// the others have their turn again.
///
/// `connections` names the control group of each connection, `groups` that of each instance that is on, and `own` that of the
/// newcomer. Where the kernel or systemd does not tell instances apart by their control group, nobody is behind.
pub(super) fn behind(own: u64, groups: &[u64], connections: &[u64]) -> u32 {
    let is_told_apart = own != 0 && !groups.contains(&own);
    if !is_told_apart || groups.is_empty() {
        return 0;
    }
    let count = |of: &dyn Fn(u64) -> bool| connections.iter().filter(|c| of(**c)).count();
    let has = count(&|group| group == own);
    let all = has + count(&|group| groups.contains(&group));
    let fair = all / (groups.len() + 1);
    u32::try_from(fair.saturating_sub(has)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_is_behind_by_its_fair_share() {
        let connections = [[1; 60], [2; 60], [3; 60]].concat();
        assert_eq!(behind(4, &[1, 2, 3], &connections), 45);
        let with_own = [&connections[..], &[4; 20]].concat();
        assert_eq!(behind(4, &[1, 2, 3], &with_own), 30);
        assert_eq!(behind(4, &[1], &[1, 1, 9, 9]), 1, "9 is off");
    }

    #[test]
    fn nobody_is_behind_where_there_is_nothing_to_share_or_nobody_is_told_apart() {
        assert_eq!(behind(1, &[], &[2, 2]), 0);
        assert_eq!(behind(1, &[2], &[]), 0);
        assert_eq!(behind(1, &[2], &[1, 1, 2]), 0, "ahead");
        assert_eq!(behind(0, &[0, 0], &[0; 9]), 0);
        assert_eq!(behind(1, &[1, 1], &[1; 9]), 0);
        assert_eq!(behind(0, &[2, 3], &[2; 9]), 0);
        assert_eq!(behind(1, &[1, 2], &[2; 9]), 0);
    }
}
