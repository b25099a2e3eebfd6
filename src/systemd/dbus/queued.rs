//! Jobs that a command asks for.

use zbus::OwnedObjectPath;

use super::{Bus, Error, Job, MANAGER, PATH, Verb};

/// See [`super::Manager::queue`].
pub(super) fn queue(bus: &mut Bus, verb: Verb, unit: &str) -> Result<Job, Error> {
    let method = match verb {
        Verb::Start => "StartUnit",
        Verb::Stop | Verb::StopAlone => "StopUnit",
        Verb::Restart => "RestartUnit",
        Verb::Reload | Verb::ReloadIfFree => "ReloadUnit",
    };
    let mode = match verb {
        Verb::StopAlone => "ignore-dependencies",
        Verb::ReloadIfFree => "fail",
        _ => "replace",
    };
    let path: OwnedObjectPath =
        bus.call(PATH, MANAGER, method, &(unit, mode))
            .map_err(|e| match e {
                Error::NoSuchUnit { .. } => Error::NoSuchUnit {
                    unit: unit.to_owned(),
                },
                e => e,
            })?;
    Ok(Job {
        path: path.to_string(),
        unit: unit.to_owned(),
    })
}
