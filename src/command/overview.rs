//! The units of several apps, read at once.

use std::collections::BTreeMap;

use crate::systemd::{Error, Manager, Unit};
use crate::unit::name::{Member, Units, parse};

/// Whether the list shows the process of a unit.
fn is_instance(unit: &str) -> bool {
    matches!(parse(unit), Some((_, Member::Instance(_))))
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
        let pattern = match apps {
            [(app, _)] => Units::of(app).instances(),
            _ => "*.service".to_owned(),
        };
        let mut instances = BTreeMap::<String, Vec<u32>>::new();
        for brief in manager.units(&pattern)? {
            if let Some((app, Member::Instance(number))) = parse(&brief.name) {
                instances.entry(app.to_owned()).or_default().push(number);
            }
        }
        let mut names = Vec::new();
        for (app, is_balanced) in apps {
            let units = Units::of(app);
            names.extend([units.cluster(), units.socket(), units.watch()]);
            names.extend([units.timer(), units.reloader()]);
            let numbers = instances.get(*app).into_iter().flatten();
            for number in numbers {
                names.push(units.instance(*number));
                if *is_balanced {
                    names.extend([units.join(*number), units.listener(*number)]);
                }
            }
        }
        for numbers in instances.values_mut() {
            numbers.sort_unstable();
        }
        let read = manager.glances(&names, is_instance)?;
        let units = read.into_iter().map(|unit| (unit.name.clone(), unit));
        Ok(Self {
            units: units.collect(),
            instances,
        })
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
}
