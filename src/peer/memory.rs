//! The memory that the processes of a unit use.

use std::fs;
use std::path::Path;

use super::control_group::of_unit;

/// Returns how many bytes the processes in a unit's control group use and cannot do without. `counted` is systemd's figure,
/// if control groups count memory: the page cache that the kernel takes back when memory is short is subtracted. Otherwise
/// the result is the resident memory of all processes together, in which shared pages are counted several times.
pub(crate) fn used(group: &str, counted: Option<u64>) -> Option<u64> {
    let Some(counted) = counted else {
        return resident(group);
    };
    let stat = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    // Without the file, as with cgroups of version 1, all of the memory counts.
    let stat = fs::read_to_string(stat.join("memory.stat")).unwrap_or_default();
    Some(counted.saturating_sub(inactive_file(&stat)))
}

/// Returns the page cache of a group that was not used for a while, see `memory.stat` in the kernel's cgroup-v2 documentation.
fn inactive_file(stat: &str) -> u64 {
    let value = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file "));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

fn resident(group: &str) -> Option<u64> {
    let (numbers, done) = of_unit(group)?;
    // The result would be too small.
    done.ok()?;
    let sizes = numbers.iter().filter_map(|pid| {
        // A process that has ended meanwhile uses none.
        of_process(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    });
    Some(sizes.fold(0_u64, u64::saturating_add))
}

/// Returns the bytes of a process that are in memory, by its `/proc/PID/status`, see proc(5).
fn of_process(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_that_the_kernel_takes_back_does_not_count() {
        let stat = "anon 1000\nfile 500\nactive_file 200\ninactive_file 300\n";
        assert_eq!(inactive_file(stat), 300);
        assert_eq!(inactive_file("anon 1000\n"), 0);
        assert_eq!(
            used("/no.such/group", Some(7)),
            Some(7),
            "no file says more"
        );
    }

    #[test]
    fn the_resident_memory_of_a_process_is_read() {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(of_process(&status).unwrap() > 100_000);
        assert_eq!(of_process("VmRSS:\t    2048 kB\n"), Some(2_097_152));
        assert_eq!(of_process("Name:\tkthreadd\n"), None);
        assert_eq!(used("/no.such/group", None), None);
    }
}
