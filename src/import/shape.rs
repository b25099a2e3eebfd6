//! Finds the apps in a file, in each of the shapes that PM2 accepts.

use super::Kind;
use super::value::{Table, Value, member};
use super::{dump, procfile, yaml};
use crate::unit::Fault;

/// The largest number of apps in a file, the same as in an ecosystem file.
const MOST_APPS: usize = 1000;

/// The apps of a file, and the comments at the head of the ecosystem file.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) apps: Vec<Table>,
    pub(super) notes: Vec<String>,
}

pub(super) fn read(kind: Kind, text: &str) -> Result<Found, Fault> {
    let mut found = match kind {
        Kind::Script | Kind::Json => of_ecosystem(json(text)?)?,
        Kind::Yaml => of_ecosystem(yaml::read(text)?)?,
        Kind::Package => of_package(&json(text)?)?,
        Kind::Dump => dump::read(json(text)?)?,
        Kind::Procfile => {
            let (apps, notes) = procfile::read(text);
            Found { apps, notes }
        }
    };
    if found.apps.is_empty() {
        return Err(no_app());
    }
    if found.apps.len() > MOST_APPS {
        return Err(Fault::new(
            format!("the file lists more than {MOST_APPS} apps"),
            "put the others into another file",
        ));
    }
    found.apps.iter_mut().for_each(drop_undefined);
    Ok(found)
}

/// Removes members without a value, which JavaScript treats like missing ones.
fn drop_undefined(app: &mut Table) {
    app.retain(|(_, value)| *value != Value::Null);
}

pub(super) fn json(text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| {
        Fault::new(
            format!("the file is not valid JSON: {error}"),
            "see https://www.json.org for its syntax",
        )
    })
}

/// Reads `{ apps: […] }`, a list of apps, or one app.
fn of_ecosystem(value: Value) -> Result<Found, Fault> {
    let table = match value {
        Value::List(list) => return Ok(of_list(list)),
        Value::Table(table) => table,
        _ => return Err(no_app()),
    };
    let apps = ["apps", "pm2"].iter().find_map(|name| member(&table, name));
    let Some(apps) = apps else {
        let has_script = ["script", "exec", "cmd", "command"];
        if !has_script.iter().any(|name| member(&table, name).is_some()) {
            return Err(no_app());
        }
        return Ok(of_list(vec![Value::Table(table)]));
    };
    let list = match apps {
        Value::List(list) => list.clone(),
        app => vec![app.clone()],
    };
    let mut found = of_list(list);
    for (name, _) in table
        .iter()
        .filter(|(name, _)| name != "apps" && name != "pm2")
    {
        found.notes.push(match name.as_str() {
            "deploy" => {
                "deploy is left out: use any tool to deploy, then run `rsgen install` and `rsgen \
             reload`"
                    .to_owned()
            }
            "static" => "static is left out: use a web server to serve files".to_owned(),
            _ => format!("{name} is left out: it is not a list of apps"),
        });
    }
    Ok(found)
}

fn of_list(list: Vec<Value>) -> Found {
    let mut found = Found::default();
    for value in list {
        match value {
            Value::Table(table) => found.apps.push(table),
            other => found.notes.push(format!(
                "{} is left out: it is not an app",
                super::draft::short(&other)
            )),
        }
    }
    found
}

/// Reads the apps below `pm2` or, if there is no `pm2`, the script `start`.
fn of_package(value: &Value) -> Result<Found, Fault> {
    if let Some(apps) = value.get("pm2") {
        return of_ecosystem(apps.clone());
    }
    let start = value
        .get("scripts")
        .and_then(|scripts| scripts.get("start"));
    if start.and_then(Value::text).is_none() {
        return Err(Fault::new(
            "the package has neither `pm2` nor a script `start`",
            "write an ecosystem.toml by hand, see rsgen.toml(5)",
        ));
    }
    let text = |text: &str| Value::Text(text.to_owned());
    let mut app = vec![
        ("script".to_owned(), text("npm")),
        ("args".to_owned(), text("start")),
    ];
    if let Some(name) = value.get("name").and_then(Value::text) {
        let name = name.rsplit('/').next().unwrap_or(name);
        app.push(("name".to_owned(), text(name)));
    }
    Ok(Found {
        apps: vec![app],
        notes: vec!["the package has no `pm2`; the app runs its script `start`".to_owned()],
    })
}

fn no_app() -> Fault {
    Fault::new(
        "the file lists no apps",
        "name a file with `apps`, of the kind that `pm2 start` takes",
    )
}
