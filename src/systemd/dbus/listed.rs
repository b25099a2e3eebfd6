//! The rows of many units, without looking for those that do not exist: if systemd has no unit of a name, it looks for a file each
//! time, and informs everybody on the bus about a unit that comes and goes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;

use zbus::OwnedVariant;

use super::{Bus, Error, MANAGER, PATH, PROPERTIES, Row};

/// For so many names the question for each of them costs less than a look at all files of units.
const FEW: usize = 64;

/// The loaded units that match one of these globs.
pub(super) fn matching(bus: &mut Bus, globs: &[&str]) -> Result<Vec<Row>, Error> {
    let none: [&str; 0] = [];
    let arguments = (&none[..], globs);
    bus.call(PATH, MANAGER, "ListUnitsByPatterns", &arguments)
}

/// The rows of units, in the order of their names, of which these are known already.
pub(super) fn rows(bus: &mut Bus, known: Vec<Row>, names: &[String]) -> Result<Vec<Row>, Error> {
    let mut known = by_name(known);
    let is_unknown = |name: &&String| !known.contains_key(name.as_str());
    let mut others: Vec<String> = names.iter().filter(is_unknown).cloned().collect();
    if others.len() > FEW {
        let files = files(bus)?;
        others.retain(|name| has_file(files.as_ref(), name));
    }
    if !others.is_empty() {
        known.extend(by_name(by_names(bus, &others)?));
    }
    let row = |name: &String| known.get(name).cloned().unwrap_or_else(|| absent(name));
    Ok(names.iter().map(row).collect())
}

fn by_names(bus: &mut Bus, names: &[String]) -> Result<Vec<Row>, Error> {
    bus.call(PATH, MANAGER, "ListUnitsByNames", &names)
}

fn by_name(rows: Vec<Row>) -> HashMap<String, Row> {
    rows.into_iter().map(|row| (row.0.clone(), row)).collect()
}

/// The names in the folders from which systemd loads units; `None` if they are not known.
fn files(bus: &mut Bus) -> Result<Option<HashSet<String>>, Error> {
    let of_manager = (MANAGER, "UnitPath");
    let value: OwnedVariant = bus.call(PATH, PROPERTIES, "Get", &of_manager)?;
    let Ok(folders) = Vec::<String>::try_from(value) else {
        return Ok(None);
    };
    let mut names = HashSet::new();
    for folder in folders {
        match fs::read_dir(folder) {
            Ok(entries) => {
                let entries = entries.flatten().map(|entry| entry.file_name());
                names.extend(entries.filter_map(|name| name.into_string().ok()));
            }
            // Most of the folders do not exist.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            // A folder that the caller may not read may have any file.
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(names))
}

/// Whether a unit may have a file, its own or that of its template.
fn has_file(files: Option<&HashSet<String>>, name: &str) -> bool {
    let Some(files) = files else {
        return true;
    };
    let template = name.split_once('@').zip(name.rsplit_once('.'));
    let template = template.map(|((prefix, _), (_, kind))| format!("{prefix}@.{kind}"));
    files.contains(name) || template.is_some_and(|template| files.contains(&template))
}

/// The row of a unit that does not exist.
fn absent(name: &str) -> Row {
    let (none, path) = (String::new, || zbus::ObjectPath::default().into());
    let (load, active, sub) = ("not-found".into(), "inactive".into(), "dead".into());
    (
        name.to_owned(),
        none(),
        load,
        active,
        sub,
        none(),
        path(),
        0,
        none(),
        path(),
    )
}
