//! Checks imports between rooms against the table of rooms in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{ROOT, Source, assert_none, sources, words};

/// The row of one room.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    /// The rooms that the room may import; `None` for any.
    may: Option<BTreeSet<String>>,
    /// The crates that neither the room nor any room that it reaches may name.
    never: BTreeSet<String>,
}

type Law = BTreeMap<String, Room>;

/// Reads the rows of four columns that begin with a path below `src`. Only the first column may name several rooms.
fn law(text: &str) -> Law {
    let mut law = Law::new();
    for line in text.lines().filter(|l| l.starts_with("| `src/")) {
        let columns: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [rooms, what, may, never] = columns[..] else {
            panic!("a row needs four columns: {line}");
        };
        assert!(
            !what.trim().is_empty(),
            "the second column is empty: {line}"
        );
        for path in quoted(rooms) {
            let name = path.strip_prefix("src/").unwrap();
            let name = name.trim_end_matches('/').trim_end_matches(".rs");
            assert!(
                Path::new(ROOT).join(&path).exists(),
                "{path} does not exist"
            );
            let room = Room {
                may: (may.trim() != "anything").then(|| quoted(may)),
                never: quoted(never),
            };
            assert!(
                law.insert(name.to_owned(), room).is_none(),
                "{name} has two rows"
            );
        }
    }
    law
}

fn map() -> Law {
    law(&fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).unwrap())
}

/// The parts of a text between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    let parts = text.split('`').skip(1).step_by(2);
    parts.map(ToOwned::to_owned).collect()
}

/// The rooms that a room may reach by way of others, including itself.
fn reach<'a>(law: &'a Law, room: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([room]);
    let mut open = vec![room];
    while let Some(room) = open.pop() {
        let may = law.get(room).and_then(|r| r.may.as_ref());
        let next = may.into_iter().flatten().map(String::as_str);
        open.extend(next.filter(|n| found.insert(n)));
    }
    found
}

/// The files of `src` that are in rooms. `lib.rs` only lists the rooms, and the programs may use any of them.
fn in_rooms() -> Vec<Source> {
    let is_in_room = |s: &Source| s.room().is_some_and(|r| !["bin", "lib"].contains(&r));
    let files = sources().into_iter().filter(Source::is_rust);
    files.filter(is_in_room).collect()
}

#[test]
fn rooms_import_only_what_they_may() {
    let law = map();
    let mut found = Vec::new();
    for source in in_rooms() {
        let name = source.room().unwrap();
        let Some(room) = law.get(name) else {
            found.push(format!("{}: `{name}` is not in the table", source.path));
            continue;
        };
        let Some(may) = &room.may else { continue };
        for import in imports(&source, &law) {
            if import != name && !may.contains(&import) {
                found.push(format!("{}: imports `{import}`", source.path));
            }
        }
    }
    assert_none("see the rooms in ARCHITECTURE.md", &found);
}

#[test]
fn rooms_import_what_they_may() {
    let law = map();
    let mut unused: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, room) in &law {
        unused.insert(name, room.may.clone().unwrap_or_default());
    }
    for source in in_rooms() {
        let left = unused.get_mut(source.room().unwrap());
        if let Some(left) = left {
            let used = imports(&source, &law);
            left.retain(|room| !used.contains(room));
        }
    }
    let unused = unused.into_iter().flat_map(|(name, left)| {
        let left = left.into_iter();
        left.map(move |room| format!("`{name}` does not import `{room}`"))
    });
    let unused: Vec<String> = unused.collect();
    assert_none("remove it from the table in ARCHITECTURE.md", &unused);
}

#[test]
fn rooms_do_without_the_crates_that_they_must_not_need() {
    let law = map();
    let files = in_rooms();
    let mut found = Vec::new();
    for (name, room) in law.iter().filter(|(_, room)| !room.never.is_empty()) {
        let reach = reach(&law, name);
        for source in files.iter().filter(|s| reach.contains(s.room().unwrap())) {
            for (number, line) in source.code() {
                if words(line).any(|w| room.never.contains(w)) {
                    let place = format!("{}:{number}", source.path);
                    found.push(format!("{place}: {}, in reach of `{name}`", line.trim()));
                }
            }
        }
    }
    assert_none("see the rooms in ARCHITECTURE.md", &found);
    assert!(law.values().any(|room| !room.never.is_empty()));
}

/// The rooms that a file names: in `crate::room`, in `crate::{room, room}`, and behind as many `super::` as lead out of its own
/// room.
fn imports(source: &Source, law: &Law) -> BTreeSet<String> {
    let code: String = source.code().flat_map(|(_, line)| [line, "\n"]).collect();
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        rooms.extend(heads(&code[at + "crate::".len()..]));
    }
    for (at, rest, supers) in ascents(&code) {
        if supers == source.depth() + inner_modules(&code[..at]) {
            rooms.extend(heads(rest));
        }
    }
    // Other names are macros and items of the crate itself.
    rooms.retain(|r| law.contains_key(r));
    rooms
}

/// The paths that begin with `super::`, each with its position, its rest, and the number of `super`.
fn ascents(code: &str) -> impl Iterator<Item = (usize, &str, usize)> {
    const SUPER: &str = "super::";
    let is_first = |at: &usize| !code[..*at].ends_with(SUPER);
    let firsts = code.match_indices(SUPER).map(|(at, _)| at);
    firsts.filter(is_first).map(|at| {
        let rest = code[at..].trim_start_matches(SUPER);
        (at, rest, (code.len() - at - rest.len()) / SUPER.len())
    })
}

/// The number of inline modules around a position, in a file that rustfmt has formatted: `}` is below `mod`.
fn inner_modules(before: &str) -> usize {
    let mut open: Vec<&str> = Vec::new();
    for line in before.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim() == "}" {
            open.pop_if(|last| *last == indent);
        } else if line.ends_with('{') && words(line).take(3).any(|w| w == "mod") {
            open.push(indent);
        }
    }
    open.len()
}

/// The first word behind a path, or of each member of the group behind it.
fn heads(rest: &str) -> Vec<String> {
    let mut depth = 1;
    let group = rest.strip_prefix('{').and_then(|inner| {
        let end = inner.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        inner.get(..end?)
    });
    let Some(group) = group else {
        return words(rest)
            .next()
            .map(ToOwned::to_owned)
            .into_iter()
            .collect();
    };
    let mut depth = 0;
    let members = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    members
        .filter_map(|m| words(m.trim()).next().map(ToOwned::to_owned))
        .collect()
}

impl Source {
    /// The number of `super` that lead from the file to the crate.
    fn depth(&self) -> usize {
        let below = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        below.trim_end_matches("/mod").split('/').count()
    }
}

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

const TABLE: &str = "
| `src/walk/` | walks | `unit` | `clap` |
| `src/cluster/`, `src/output/` | does | anything | |
| `src/unit/` | reads | – | |
";

#[test]
fn reads_the_table() {
    let law = law(TABLE);
    let names: Vec<&str> = law.keys().map(String::as_str).collect();
    assert_eq!(names, ["cluster", "output", "unit", "walk"]);
    assert_eq!((&law["cluster"].may, &law["output"].may), (&None, &None));
    assert_eq!(law["unit"].may, Some(BTreeSet::new()));
    assert_eq!(law["walk"].never, BTreeSet::from(["clap".to_owned()]));
    assert_eq!(reach(&law, "walk"), BTreeSet::from(["unit", "walk"]));
}

#[test]
fn reads_imports_in_every_form() {
    let law = law(TABLE);
    let of = |path: &str, text: &str| imports(&source(path, text), &law);
    let rooms = |names: &[&str]| {
        names
            .iter()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>()
    };
    let text = "use crate::{walk::{self, Step}, unit};\nuse crate::other::x; // crate::cluster";
    assert_eq!(of("src/output/mod.rs", text), rooms(&["unit", "walk"]));
    assert_eq!(source("src/output/a/b.rs", "").room(), Some("output"));
    assert_eq!(source("src/output.rs", "").room(), Some("output"));
}

#[test]
fn notices_an_import_through_super() {
    let law = law(TABLE);
    let of = |path: &str, text: &str| imports(&source(path, text), &law);
    let walk = BTreeSet::from(["walk".to_owned()]);
    assert_eq!(of("src/unit/mod.rs", "use super::walk;"), walk);
    assert_eq!(of("src/unit/a.rs", "use super::super::{walk::Step};"), walk);
    assert_eq!(
        of("src/unit/a/b.rs", "x(super::super::super::walk::y)"),
        walk
    );
    for (path, text) in [
        ("src/unit/a.rs", "use super::walk;"),
        ("src/unit/a/mod.rs", "use super::walk;"),
        ("src/unit/a/b.rs", "use super::super::walk;"),
        ("src/unit.rs", "mod tests {\n    use super::walk;\n}\n"),
    ] {
        assert_eq!(of(path, text), BTreeSet::new(), "{path}: {text}");
    }
    let inner = "mod tests {\n    mod a {\n    }\n    use super::super::walk;\n}\n";
    assert_eq!(of("src/unit.rs", inner), walk);
}
