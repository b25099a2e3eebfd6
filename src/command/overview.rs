//! The units of several apps, read at once.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::holders;
use crate::systemd::{Brief, Error, Manager, Unit, Used};
use crate::unit::name::{Member, Units, parse};

/// The kinds of units that a list of apps shows.
const KINDS: [&str; 3] = ["*.service", "*.socket", "*.timer"];

/// Where the tree of control groups is whose controllers are in older trees, see `Tree`.
const HYBRID: &str = "/sys/fs/cgroup/unified";

/// Whether the list shows the process of a unit.
fn is_instance(unit: &str) -> bool {
    matches!(parse(unit), Some((_, Member::Instance(_))))
}

/// Globs for the units of one app: its own, and those of its instances.
fn of_one(units: Units<'_>, is_balanced: bool) -> Vec<String> {
    let mut globs = of_app(units).to_vec();
    globs.push(units.instances());
    if is_balanced {
        globs.extend([units.joins(), units.listeners()]);
    }
    globs
}

fn of_app(units: Units<'_>) -> [String; 5] {
    [
        units.cluster(),
        units.socket(),
        units.watch(),
        units.timer(),
        units.reloader(),
    ]
}

/// The units that a list of these apps shows, which have these instances.
fn shown(apps: &[(&str, bool)], instances: &BTreeMap<String, Vec<u32>>) -> Vec<String> {
    let mut names = Vec::new();
    for (app, is_balanced) in apps {
        let units = Units::of(app);
        names.extend(of_app(units));
        for number in instances.get(*app).into_iter().flatten() {
            names.push(units.instance(*number));
            if *is_balanced {
                names.extend([units.join(*number), units.listener(*number)]);
            }
        }
    }
    names
}

/// Notes what a service uses that is up, as the kernel tells, and what is left in its control group. Returns whether systemd has to be
/// asked, as with the older control groups.
fn take_used(unit: &mut Unit) -> bool {
    let group = holders::group(unit.main_pid, unit);
    let Some(folder) = group.and_then(|group| holders::folder(&group)) else {
        return true;
    };
    // A process that is older than the main one. Where the numbers have begun anew, a younger one may have a lower number as well, and
    // systemd's answer is good for that too.
    unit.has_leftovers = holders::own(&folder).iter().any(|pid| *pid < unit.main_pid);
    // systemd goes on with the control group of the run before, and knows where this run began.
    if unit.n_restarts > 0 || unit.has_leftovers {
        return true;
    }
    let used = used_in(&folder);
    if let Some(used) = used {
        unit.set_used(used);
    }
    used.is_none()
}

/// What the kernel has counted in the control group with this folder.
fn used_in(folder: &Path) -> Option<Used> {
    let memory_current = match fs::read_to_string(folder.join("memory.current")) {
        Ok(memory) => Some(memory.trim().parse().ok()?),
        // Nobody counts it, systemd neither, unless another tree does.
        Err(e) if e.kind() == ErrorKind::NotFound && !folder.starts_with(HYBRID) => None,
        Err(_) => return None,
    };
    Some(Used {
        memory_current,
        cpu_usage_nsec: Some(cpu(folder)?),
    })
}

fn cpu(folder: &Path) -> Option<u64> {
    let stat = fs::read_to_string(folder.join("cpu.stat")).ok()?;
    let mut lines = stat.lines();
    let micros = lines.find_map(|line| line.strip_prefix("usage_usec "))?;
    micros.trim().parse::<u64>().ok()?.checked_mul(1000)
}

/// The state of every unit that `rsgen list` looks at.
pub(super) struct Overview {
    units: BTreeMap<String, Unit>,
    instances: BTreeMap<String, Vec<u32>>,
}

impl Overview {
    /// Reads the units of these apps, each with whether its instances have listeners of their own.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    pub(super) fn read(manager: &mut dyn Manager, apps: &[(&str, bool)]) -> Result<Self, Error> {
        let globs = match apps {
            [(app, is_balanced)] => of_one(Units::of(app), *is_balanced),
            _ => KINDS.map(str::to_owned).to_vec(),
        };
        let mut instances = BTreeMap::<String, Vec<u32>>::new();
        let mut choose = |loaded: &[Brief]| {
            for brief in loaded {
                if let Some((app, Member::Instance(number))) = parse(&brief.name) {
                    instances.entry(app.to_owned()).or_default().push(number);
                }
            }
            for numbers in instances.values_mut() {
                numbers.sort_unstable();
            }
            shown(apps, &instances)
        };
        let read = manager.glances(&globs, &mut choose, is_instance)?;
        let units = read.into_iter().map(|unit| (unit.name.clone(), unit));
        Ok(Self {
            units: units.collect(),
            instances,
        })
    }

    /// Finds out what instances of this host use that are up. systemd would read the same files, and answer over the bus.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    pub(super) fn measure(&mut self, manager: &mut dyn Manager) -> Result<(), Error> {
        // One that was read whole has told its control group, and all else.
        let is_asked = |unit: &Unit| unit.main_pid != 0 && unit.control_group.is_empty();
        let mut unknown = Vec::new();
        for unit in self.units.values_mut().filter(|unit| is_asked(unit)) {
            if take_used(unit) {
                unknown.push(unit.name.clone());
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let used = manager.used(&unknown)?;
        for (name, used) in unknown.iter().zip(used) {
            if let Some(unit) = self.units.get_mut(name) {
                unit.set_used(used);
            }
        }
        Ok(())
    }

    /// A unit; one that was not read, as the listener of an instance that shares one, is inactive and has no file.
    pub(super) fn unit(&self, name: &str) -> Unit {
        self.units.get(name).cloned().unwrap_or_default()
    }

    /// The numbers of the instances of an app that are loaded, in their order.
    pub(super) fn instances(&self, app: &str) -> &[u32] {
        self.instances
            .get(app)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_shows_the_processes_of_instances_alone() {
        assert!(is_instance("web@0.service"));
        for other in [
            "web.service",
            "web@0.socket",
            "web:watch.service",
            "web:join@0.service",
            "getty@tty1.service",
        ] {
            assert!(!is_instance(other), "{other}");
        }
    }

    #[test]
    fn what_a_service_uses_is_what_the_kernel_has_counted() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        let read = || used_in(folder.path());
        assert_eq!(read(), None, "no processor time");
        write("cpu.stat", "user_usec 1\nusage_usec 3\n");
        let of = |memory_current| {
            Some(Used {
                memory_current,
                cpu_usage_nsec: Some(3000),
            })
        };
        assert_eq!(read(), of(None), "no memory controller");
        write("memory.current", "4096\n");
        assert_eq!(read(), of(Some(4096)));
        write("memory.current", "max\n");
        assert_eq!(read(), None);
    }

    /// A run that systemd has begun after a crash has the control group of the one before, and so has one of whose predecessor a process
    /// is left.
    #[test]
    fn of_an_instance_in_an_old_control_group_systemd_is_asked_what_this_run_has_used() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cpu.stat"), "usage_usec 3\n").unwrap();
        let used = |n_restarts, processes: &str| {
            fs::write(folder.path().join("cgroup.procs"), processes).unwrap();
            let mut unit = Unit {
                control_group: format!("/../../..{}", folder.path().display()),
                main_pid: 40,
                n_restarts,
                ..Unit::default()
            };
            let is_asked = take_used(&mut unit);
            assert_eq!(is_asked, unit.cpu_usage_nsec.is_none());
            (unit.cpu_usage_nsec, unit.has_leftovers)
        };
        assert_eq!(used(0, "40\n41\n"), (Some(3000), false));
        assert_eq!(used(1, "40\n41\n"), (None, false));
        assert_eq!(used(0, "41\n39\n40\n"), (None, true));
    }
}
