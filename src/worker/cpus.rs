//! Binds each instance to one CPU. The affinity is set before the program is executed, so that a runtime that
//! starts a thread for each CPU sees one.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::log::say;

/// Binds this process to one of the CPUs that it may use. An instance that cannot be bound still serves.
pub(super) fn spread(instance: u32) {
    if let Err(e) = bind(instance) {
        say(
            4,
            &format!("the instance uses all CPUs, since it cannot be bound to one: {e}"),
        );
    }
}

fn bind(instance: u32) -> io::Result<()> {
    let all = sched_getaffinity(None)?;
    if let Some(cpu) = chosen(&all, instance) {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one)?;
    }
    Ok(())
}

/// Returns the CPU of an instance. After the last CPU, the first one is used again.
fn chosen(all: &CpuSet, instance: u32) -> Option<usize> {
    let count = usize::try_from(all.count())
        .ok()
        .filter(|count| *count > 0)?;
    let nth = usize::try_from(instance).ok()? % count;
    (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).nth(nth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_take_the_cpus_in_turn() {
        let mut all = CpuSet::new();
        for cpu in [1, 4, CpuSet::MAX_CPU - 1] {
            all.set(cpu);
        }
        let chosen = |instance| chosen(&all, instance).unwrap();
        assert_eq!([0, 1, 2].map(chosen), [1, 4, CpuSet::MAX_CPU - 1]);
        assert_eq!([3, 7, 1023].map(chosen), [1, 4, 1]);
        assert_eq!(super::chosen(&CpuSet::new(), 0), None);
    }

    #[test]
    fn the_thread_that_asks_gets_one_cpu() {
        let thread = std::thread::spawn(|| {
            bind(0).unwrap();
            sched_getaffinity(None).unwrap().count()
        });
        assert_eq!(thread.join().unwrap(), 1);
    }
}
