//! Several units at once: all that rsgen knows of a unit, or what a table of units that are up shows.
//!
//! All properties of a service are more than three hundred, for some of which systemd reads files, and the bus copies each answer twice.
//! A table has hundreds of rows. So of a unit that is up a glance takes a few properties alone.

use zbus::OwnedVariant;

use super::link::Question;
use super::listed;
use super::properties::{Properties, invocation_id, read_unit};
use super::{
    ActiveState, Brief, Bus, Error, MANAGER, OwnedObjectPath, PATH, PROPERTIES, Pulse, Row,
    SERVICE_UNIT, SOCKET_UNIT, UNIT, Unit, Used, brief, interface, job_of,
};

/// What a glance takes of a service that is up.
const OF_SERVICE: [(&str, &str); 3] = [
    (UNIT, "ActiveEnterTimestampMonotonic"),
    (SERVICE_UNIT, "MainPID"),
    (SERVICE_UNIT, "NRestarts"),
];

/// The properties of a service about its resource usage. systemd reads a file for each.
const OF_USE: [(&str, &str); 2] = [
    (SERVICE_UNIT, "MemoryCurrent"),
    (SERVICE_UNIT, "CPUUsageNSec"),
];

/// What a glance takes of a socket.
const OF_SOCKET: [(&str, &str); 1] = [(SOCKET_UNIT, "ControlGroup")];

/// What a pulse takes.
const OF_PULSE: [(&str, &str); 2] = [(UNIT, "InvocationID"), (SERVICE_UNIT, "MainPID")];

/// A property of the unit in a row.
fn get(
    row: &Row,
    argument: (&'static str, &'static str),
) -> Question<(&'static str, &'static str)> {
    Question {
        path: row.6.to_string(),
        interface: PROPERTIES,
        method: "Get",
        argument,
    }
}

/// The questions for the properties of a unit, and for those that it has because of its kind.
pub(super) fn all_of(name: &str, path: &OwnedObjectPath) -> Vec<Question<&'static str>> {
    let interfaces = [Some(UNIT), interface(name)].into_iter().flatten();
    let ask = |argument| Question {
        path: path.to_string(),
        interface: PROPERTIES,
        method: "GetAll",
        argument,
    };
    interfaces.map(ask).collect()
}

/// The object paths of units, in the order of their names.
pub(super) fn paths(bus: &mut Bus, names: &[String]) -> Result<Vec<OwnedObjectPath>, Error> {
    let loads = names.iter().map(|name| Question {
        path: PATH.to_owned(),
        interface: MANAGER,
        method: "LoadUnit",
        argument: name,
    });
    bus.ask(&loads.collect::<Vec<_>>())
}

/// See [`super::Manager::each`].
pub(super) fn each(bus: &mut Bus, names: &[String]) -> Result<Vec<Unit>, Error> {
    let paths = paths(bus, names)?;
    let both = names.iter().zip(&paths);
    let gets = both.flat_map(|(name, path)| all_of(name, path));
    let mut answers = bus.ask(&gets.collect::<Vec<_>>())?.into_iter();
    let mut next = || answers.next().unwrap_or_default();
    let mut units = Vec::with_capacity(names.len());
    for name in names {
        let unit: Properties = next();
        let own = interface(name).map(|_| next()).unwrap_or_default();
        let job = bus.queued(&unit);
        units.push(bus.read(name, &unit, &own, job));
    }
    Ok(units)
}

/// See [`super::Manager::glances`].
pub(super) fn glances(
    bus: &mut Bus,
    globs: &[String],
    choose: &mut dyn FnMut(&[Brief]) -> Vec<String>,
    has_process: fn(&str) -> bool,
) -> Result<Vec<Unit>, Error> {
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    let loaded = listed::matching(bus, &globs)?;
    let names = choose(&loaded.iter().map(brief).collect::<Vec<_>>());
    if bus.carrier.is_some() {
        return each(bus, &names);
    }
    let rows = listed::rows(bus, loaded, &names)?;
    let asked = rows.iter().map(|row| few(row, has_process));
    let asked: Vec<&[(&str, &str)]> = asked.collect();
    let gets = rows.iter().zip(&asked);
    let gets = gets.flat_map(|(row, few)| few.iter().map(|argument| get(row, *argument)));
    let values: Vec<OwnedVariant> = bus.ask(&gets.collect::<Vec<_>>())?;
    let mut values = values.into_iter();
    let whole = rows.iter().filter(|row| is_read_whole(row));
    let whole: Vec<String> = whole.map(|row| row.0.clone()).collect();
    let mut whole = each(bus, &whole)?.into_iter();
    let mut units = Vec::with_capacity(rows.len());
    for (row, few) in rows.iter().zip(&asked) {
        let next = if is_read_whole(row) {
            whole.next()
        } else {
            None
        };
        units.push(next.unwrap_or_else(|| {
            let keys = few.iter().map(|(_, key)| (*key).to_owned());
            let known: Properties = keys.zip(values.by_ref()).collect();
            Unit {
                load: row.2.clone(),
                active: ActiveState::from_word(&row.3),
                sub: row.4.clone(),
                job: job_of(row),
                ..read_unit(&row.0, &known, &known, None)
            }
        }));
    }
    Ok(units)
}

/// See [`super::Manager::used`].
pub(super) fn used(bus: &mut Bus, services: &[String]) -> Result<Vec<Used>, Error> {
    let paths = paths(bus, services)?;
    let gets = paths.iter().flat_map(|path| {
        OF_USE.map(|argument| Question {
            path: path.to_string(),
            interface: PROPERTIES,
            method: "Get",
            argument,
        })
    });
    let values: Vec<OwnedVariant> = bus.ask(&gets.collect::<Vec<_>>())?;
    let keys = OF_USE.iter().map(|(_, key)| (*key).to_owned());
    let mut known = keys.cycle().zip(values);
    let one = |name: &String| {
        let known: Properties = known.by_ref().take(OF_USE.len()).collect();
        Used::from(&read_unit(name, &known, &known, None))
    };
    Ok(services.iter().map(one).collect())
}

/// See [`super::Manager::pulses`].
pub(super) fn pulses(bus: &mut Bus, services: &[String]) -> Result<Vec<Pulse>, Error> {
    let rows: Vec<Row> = bus.call(PATH, MANAGER, "ListUnitsByNames", &services)?;
    let gets = rows
        .iter()
        .flat_map(|row| OF_PULSE.map(|argument| get(row, argument)));
    let values: Vec<OwnedVariant> = bus.ask(&gets.collect::<Vec<_>>())?;
    let mut values = values.into_iter();
    let mut pulses = Vec::with_capacity(rows.len());
    for row in &rows {
        let (invocation, main_pid) = (values.next(), values.next());
        let invocation = invocation.and_then(|value| Vec::try_from(value).ok());
        let main_pid = main_pid.and_then(|value| u32::try_from(value).ok());
        pulses.push(Pulse {
            state: brief(row),
            main_pid: main_pid.unwrap_or_default(),
            invocation: invocation_id(invocation.unwrap_or_default()),
        });
    }
    Ok(pulses)
}

/// Whether a service has to explain itself: it is on its way, has ended or has failed. One that systemd has no file for has not run.
fn is_read_whole(row: &Row) -> bool {
    let is_known = row.2 == "loaded" || row.3 != "inactive";
    row.0.ends_with(".service") && is_known && !is_up(row)
}

fn is_up(row: &Row) -> bool {
    row.3 == "active" && row.7 == 0
}

fn few(row: &Row, has_process: fn(&str) -> bool) -> &'static [(&'static str, &'static str)] {
    match interface(&row.0) {
        Some(SERVICE_UNIT) if is_up(row) && has_process(&row.0) => &OF_SERVICE,
        Some(SOCKET_UNIT) if row.3 != "inactive" => &OF_SOCKET,
        _ => &[],
    }
}
