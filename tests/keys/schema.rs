//! Writes the JSON schema, which editors use.

use rsgen::ecosystem::key::{Fallback, Form, Row};
use rsgen::ecosystem::rows;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::markdown::plain;

/// An object whose members stay in their order.
struct Object(Vec<(&'static str, Json)>);

enum Json {
    Object(Object),
    Value(Value),
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, member) in &self.0 {
            match member {
                Json::Object(object) => map.serialize_entry(name, object)?,
                Json::Value(value) => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

pub(crate) fn whole() -> String {
    let required: Vec<&str> = rows()
        .iter()
        // A job needs no `listen`.
        .filter(|row| row.default() == Fallback::Required && row.name != "listen")
        .map(|row| row.name)
        .collect();
    let properties = rows()
        .into_iter()
        .map(|row| (row.name, Json::Object(property(row))));
    let app = Object(vec![
        ("type", Json::Value("object".into())),
        ("required", Json::Value(required.into())),
        ("additionalProperties", Json::Value(false.into())),
        ("properties", Json::Object(Object(properties.collect()))),
        (
            "patternProperties",
            Json::Object(Object(vec![(ENVIRONMENT, Json::Object(environment()))])),
        ),
    ]);
    let apps = Object(vec![
        ("type", Json::Value("array".into())),
        ("minItems", Json::Value(1.into())),
        ("items", Json::Object(app)),
    ]);
    let about = "See rsgen.toml(5). Editors read it by the first line `#:schema /usr/share/rsgen/ecosystem.schema.json`.";
    let schema = Object(vec![
        (
            "$schema",
            Json::Value("http://json-schema.org/draft-07/schema#".into()),
        ),
        ("title", Json::Value("Ecosystem file of rsgen".into())),
        ("description", Json::Value(about.into())),
        ("type", Json::Value("object".into())),
        ("required", Json::Value(json!(["apps"]))),
        ("additionalProperties", Json::Value(false.into())),
        (
            "properties",
            Json::Object(Object(vec![("apps", Json::Object(apps))])),
        ),
    ]);
    let text = serde_json::to_string_pretty(&schema).unwrap();
    format!("{text}\n")
}

/// The names of the tables of environments, which are no rows.
const ENVIRONMENT: &str = "^env_(?!file$).+$";

fn environment() -> Object {
    let about = "Environment variables that go over those of env with --env NAME.";
    let mut table = vec![("description", Json::Value(about.into()))];
    table.extend(form(Form::Variables));
    Object(table)
}

fn property(row: &Row) -> Object {
    let description = match row.default() {
        Fallback::Said(said) if said != "none" => format!("{} Default: {said}.", row.brief()),
        _ => row.brief(),
    };
    let mut property = vec![("description", Json::Value(plain(&description).into()))];
    property.extend(form(row.form));
    match row.default() {
        Fallback::Required if row.form == Form::Text => {
            property.push(("minLength", Json::Value(1.into())));
        }
        Fallback::Value(value) => {
            // Such a value has the same text in TOML and in JSON.
            let value = serde_json::from_str(&value).unwrap();
            property.push(("default", Json::Value(value)));
        }
        Fallback::Required | Fallback::Said(_) => {}
    }
    Object(property)
}

fn form(form: Form) -> Vec<(&'static str, Json)> {
    let scalar = json!({ "type": ["string", "integer", "number", "boolean"] });
    let list_of = |item: &Value| json!({ "type": "array", "items": item });
    let text = json!({ "type": "string" });
    let one = |name: &'static str, value: Value| vec![(name, Json::Value(value))];
    let any = |values: [Value; 2]| one("anyOf", json!(values));
    let table = |values: Value| {
        let mut table = one("type", "object".into());
        table.push(("additionalProperties", Json::Value(values)));
        table
    };
    match form {
        Form::Switch => one("type", "boolean".into()),
        Form::Number(low, high) => vec![
            ("type", Json::Value("integer".into())),
            ("minimum", Json::Value(low.into())),
            ("maximum", Json::Value(high.into())),
        ],
        Form::Amount(low, high) => any([
            json!({ "type": "integer", "minimum": low, "maximum": high }),
            json!({ "type": "string", "pattern": "^[1-9][0-9]?%$|^100%$" }),
        ]),
        Form::Time => any([json!({ "type": "integer", "minimum": 0 }), text]),
        Form::Memory => any([
            json!({ "type": "integer", "minimum": 0 }),
            json!({ "type": "string", "pattern": "^[0-9]+[KMGT]?$" }),
        ]),
        Form::Text => one("type", "string".into()),
        Form::OneOf(words) => one("enum", json!(words)),
        Form::Instances => any([json!({ "type": "integer" }), text]),
        Form::Statuses => {
            let status = json!({ "type": "integer", "minimum": 0, "maximum": 255 });
            any([status.clone(), list_of(&status)])
        }
        Form::Account => one("type", json!(["string", "integer"])),
        Form::Words => any([text, list_of(&scalar)]),
        Form::Texts => any([text.clone(), list_of(&text)]),
        Form::Watch => one(
            "anyOf",
            json!([{ "type": "boolean" }, text, list_of(&text)]),
        ),
        Form::Addresses => {
            let address = json!({ "type": ["integer", "string"] });
            any([
                address.clone(),
                json!({ "type": "array", "items": address }),
            ])
        }
        Form::Variables => table(scalar),
        Form::Directives => table(json!({ "anyOf": [scalar, list_of(&scalar)] })),
    }
}
