//! No file of the command line imports itself by way of others, so that each can be read after the files that it imports.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Imports = BTreeMap<String, BTreeSet<String>>;

/// The modules of a room, each with the sibling modules that it imports.
fn imports(room: &str) -> Imports {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(room);
    let texts: BTreeMap<String, String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    let names: BTreeSet<String> = texts.keys().cloned().collect();
    texts
        .iter()
        .map(|(name, text)| {
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let mut found = if name == "mod" {
                let is_used = |module: &&String| code.contains(&format!("{module}::"));
                names.iter().filter(is_used).cloned().collect()
            } else {
                from_above(code)
            };
            // A name that is no file of the room is an item of its mod.rs.
            if found.iter().any(|head| !names.contains(head)) {
                found.insert("mod".to_owned());
            }
            (name.clone(), &found & &names)
        })
        .collect()
}

/// The names in `use super::name` and `use super::{name, …}`.
fn from_above(code: &str) -> BTreeSet<String> {
    let uses = code.split("super::").skip(1);
    let heads = uses.flat_map(|rest| match rest.strip_prefix('{') {
        Some(group) => group.split('}').next().unwrap().split(',').collect(),
        None => vec![rest],
    });
    heads
        .filter_map(|name| name.trim().split([':', ' ', ';']).next())
        .filter(|head| !head.is_empty())
        .map(str::to_owned)
        .collect()
}

/// All modules that a module imports, directly or by way of others.
fn reachable(imports: &Imports, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![from.to_owned()];
    while let Some(module) = left.pop() {
        for next in &imports[&module] {
            if found.insert(next.clone()) {
                left.push(next.clone());
            }
        }
    }
    found
}

#[test]
fn no_file_of_the_command_line_is_in_a_circle() {
    let imports = imports("src/command");
    assert!(imports["mod"].contains("install") && imports["install"].contains("deployment"));
    let is_in_circle = |module: &&String| reachable(&imports, module).contains(*module);
    let circle: Vec<&String> = imports.keys().filter(is_in_circle).collect();
    assert!(circle.is_empty(), "in a circle: {circle:?}");
}

#[test]
fn a_circle_is_seen() {
    let two = |other: &str| BTreeSet::from([other.to_owned()]);
    let circle = Imports::from([("a".to_owned(), two("b")), ("b".to_owned(), two("a"))]);
    assert!(reachable(&circle, "a").contains("a"));
    let named = |code| from_above(code).into_iter().collect::<Vec<_>>();
    assert_eq!(named("use super::b::C;"), ["b"]);
    assert_eq!(
        named("use super::{\n    a, b::C,\n};\nuse x::D;"),
        ["a", "b"]
    );
}
