//! The two socket units over which the addresses of a shared listener may be spread. Pure.
//!
//! systemd opens no further address in an active socket unit, and does not start a socket with an active service.
//! So an address that an app gets while it serves is opened by a second unit, and a unit that has lost all its
//! addresses is closed after a walk. Only the files of the units record which unit has which address.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::diff::{Content, addresses};
use super::{UnitSet, enable_link};
use crate::ecosystem::values::Listen;
use crate::unit::name::Units;

/// The lines of the addresses, `ListenStream=3000`, in each of the two units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    /// The lines of `NAME.socket`.
    pub first: Vec<String>,
    /// The lines of `NAME:2.socket`.
    pub second: Vec<String>,
}

/// The way in which a serving app gets from its addresses to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The addresses afterwards.
    pub to: Slots,
    /// The unit to open, and the lines of its addresses.
    pub opens: Option<(String, Vec<String>)>,
    /// The unit to close at the end, and the lines of its addresses.
    pub closes: Option<(String, Vec<String>)>,
}

impl Slots {
    /// Reads the files of an app in a folder of units.
    #[must_use]
    pub fn of(app: &str, units: &Path, files: &BTreeMap<PathBuf, Content>) -> Self {
        let names = Units::of(app);
        let lines = |unit: String| match files.get(&units.join(unit)) {
            Some(Content::File(text)) => addresses(text).into_iter().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Self {
            first: lines(names.socket()),
            second: lines(names.second_socket()),
        }
    }

    /// The lines of the addresses that a shared listener of rendered units has.
    #[must_use]
    pub fn wanted(app: &str, set: &UnitSet) -> Vec<String> {
        let socket = set.files.get(Path::new(&Units::of(app).socket()));
        let lines = socket.map(|text| addresses(text)).unwrap_or_default();
        lines.into_iter().map(str::to_owned).collect()
    }

    /// The names of the units that have an address.
    #[must_use]
    pub fn units(&self, app: &str) -> Vec<String> {
        let names = Units::of(app);
        let both = [
            (names.socket(), &self.first),
            (names.second_socket(), &self.second),
        ];
        let used = both.into_iter().filter(|(_, lines)| !lines.is_empty());
        used.map(|(unit, _)| unit).collect()
    }

    /// Whether these are the same addresses, in whichever unit.
    #[must_use]
    pub fn are(&self, wanted: &[String]) -> bool {
        let have: BTreeSet<&String> = self.first.iter().chain(&self.second).collect();
        have == wanted.iter().collect()
    }

    /// Finds the way to the wanted addresses.
    ///
    /// # Errors
    /// The reason why there is none without closing an address first.
    pub fn passage(&self, app: &str, wanted: &[String]) -> Result<Passage, String> {
        let names = [Units::of(app).socket(), Units::of(app).second_socket()];
        let old = [&self.first, &self.second];
        let is_old = |line: &&String| old.iter().any(|lines| lines.contains(line));
        let added: Vec<String> = wanted.iter().filter(|l| !is_old(l)).cloned().collect();
        for new in &added {
            if let Some(other) = old.into_iter().flatten().find(|old| collide(old, new)) {
                let (new, other) = (address(new), address(other));
                return Err(format!("{new} and {other} cannot be open at the same time"));
            }
        }
        let mut to = old.map(|lines| {
            let kept = lines.iter().filter(|line| wanted.contains(line));
            kept.cloned().collect::<Vec<_>>()
        });
        let mut closes = None;
        for ((name, lines), kept) in names.iter().zip(old).zip(&to) {
            match kept.len() {
                same if same == lines.len() => {}
                0 => closes = Some((name.clone(), lines.clone())),
                _ => {
                    return Err(format!(
                        "{name} has {}, and would keep one of them",
                        listed(lines)
                    ));
                }
            }
        }
        let mut opens = None;
        if !added.is_empty() {
            let free = names.iter().zip(old).zip(&mut to);
            let mut free = free.filter(|((_, lines), _)| lines.is_empty());
            let Some(((name, _), slot)) = free.next() else {
                return Err(format!("{} have addresses already", names.join(" and ")));
            };
            slot.clone_from(&added);
            opens = Some((name.clone(), added));
        }
        let [first, second] = to;
        Ok(Passage {
            to: Self { first, second },
            opens,
            closes,
        })
    }

    /// Spreads the addresses of rendered units like this, if the second unit has one.
    pub fn spread_beside(&self, app: &str, set: &mut UnitSet) {
        let names = Units::of(app);
        if self.second.is_empty() {
            return;
        }
        let Some(text) = set.files.remove(Path::new(&names.socket())) else {
            return;
        };
        let both = [
            (names.socket(), &self.first),
            (names.second_socket(), &self.second),
        ];
        for (unit, lines) in both.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            let text = with_addresses(&text, lines).replacen(&names.socket(), &unit, 1);
            set.files.insert(unit.into(), text);
        }
        let used = self.units(app).join(" ");
        for unit in [names.cluster(), names.template()] {
            if let Some(text) = set.files.get_mut(Path::new(&unit)) {
                *text = naming(text, &names.socket(), &used);
            }
        }
    }

    /// The links by which systemd opens these units at boot.
    #[must_use]
    pub fn links(&self, app: &str) -> BTreeMap<PathBuf, PathBuf> {
        let units = self.units(app);
        units.iter().map(|unit| Self::link(unit)).collect()
    }

    /// The link by which systemd opens this unit at boot.
    #[must_use]
    pub fn link(unit: &str) -> (PathBuf, PathBuf) {
        enable_link("sockets.target", unit.to_owned())
    }
}

/// The address of a line.
#[must_use]
pub fn address(line: &str) -> &str {
    line.split_once('=').map_or(line, |(_, address)| address)
}

/// The addresses of lines, for people.
#[must_use]
pub fn listed(lines: &[String]) -> String {
    let addresses: Vec<&str> = lines.iter().map(|line| address(line)).collect();
    addresses.join(", ")
}

fn collide(a: &str, b: &str) -> bool {
    let kind = |line: &str| line.split_once('=').map(|(kind, _)| kind.to_owned());
    let listen = |line: &str| address(line).parse::<Listen>().ok();
    let both = listen(a).zip(listen(b));
    kind(a) == kind(b) && both.is_some_and(|(a, b)| a.collides(&b))
}

/// The text of a socket unit with only these of its addresses.
fn with_addresses(text: &str, lines: &[String]) -> String {
    let is_other = |line: &&str| addresses(line).is_empty() || lines.iter().any(|own| own == line);
    let kept = text.split_inclusive('\n');
    kept.filter(|line| is_other(&line.trim_end_matches('\n')))
        .collect()
}

/// The text of a unit with other names in the lines that name the socket.
fn naming(text: &str, socket: &str, used: &str) -> String {
    const LINES: &[&str] = &["Requires=", "After=", "Sockets="];
    let line = |line: &str| match LINES.iter().find_map(|key| line.strip_prefix(key)) {
        Some(rest) if rest.split_whitespace().any(|word| word == socket) => {
            line.replacen(socket, used, 1)
        }
        _ => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(addresses: &[&str]) -> Vec<String> {
        addresses
            .iter()
            .map(|a| format!("ListenStream={a}"))
            .collect()
    }

    fn slots(first: &[&str], second: &[&str]) -> Slots {
        Slots {
            first: lines(first),
            second: lines(second),
        }
    }

    #[test]
    fn an_address_is_opened_in_the_unit_that_has_none_and_the_unit_that_loses_all_is_closed() {
        let way = |from: &Slots, wanted: &[&str]| {
            let way = from.passage("web", &lines(wanted)).unwrap();
            let shown = |unit: Option<(String, Vec<String>)>| {
                unit.map(|(unit, lines)| format!("{unit} {}", listed(&lines)))
            };
            (way.to, shown(way.opens), shown(way.closes))
        };
        let one = slots(&["3000"], &[]);
        let (first, second) = ("web.socket", "web:2.socket");
        let moved = slots(&[], &["3001"]);
        let opened = Some(format!("{second} 3001"));
        let closed = Some(format!("{first} 3000"));
        assert_eq!(
            way(&one, &["3001"]),
            (moved.clone(), opened.clone(), closed.clone())
        );
        let both = slots(&["3000"], &["3001"]);
        assert_eq!(way(&one, &["3000", "3001"]), (both.clone(), opened, None));
        // The file that a killed command has left.
        assert_eq!(way(&both, &["3001"]), (moved.clone(), None, closed));
        let back = Some(format!("{second} 3001"));
        assert_eq!(way(&both, &["3000"]), (one, None, back));
        let again = way(&moved, &["3002"]);
        assert_eq!(again.0, slots(&["3002"], &[]));
        assert_eq!(again.1, Some(format!("{first} 3002")));
        assert_eq!(again.2, Some(format!("{second} 3001")));
    }

    #[test]
    fn what_cannot_be_done_beside_says_why() {
        let why = |from: &Slots, wanted: &[&str]| from.passage("web", &lines(wanted)).unwrap_err();
        let one = slots(&["0.0.0.0:3000"], &[]);
        let both = "[::]:3000 and 0.0.0.0:3000 cannot be open at the same time";
        assert_eq!(why(&one, &["[::]:3000"]), both);
        let two = slots(&["3000", "3001"], &[]);
        let keeps = "web.socket has 3000, 3001, and would keep one of them";
        assert_eq!(why(&two, &["3000"]), keeps);
        let full = slots(&["3000"], &["3001"]);
        let taken = "web.socket and web:2.socket have addresses already";
        assert_eq!(why(&full, &["3000", "3001", "3002"]), taken);
    }

    #[test]
    fn only_the_lines_that_name_the_socket_are_changed() {
        let text = "# web.socket\nRequires=web.socket\nAfter=web.socket dbus.service\nAfter=my-web.socket\n";
        let named = naming(text, "web.socket", "web.socket web:2.socket");
        let expected = "# web.socket\nRequires=web.socket web:2.socket\nAfter=web.socket web:2.socket dbus.service\nAfter=my-web.socket\n";
        assert_eq!(named, expected);
        let text = "[Socket]\nListenStream=3000\nListenStream=/run/a\nBacklog=9\n";
        let one = with_addresses(text, &["ListenStream=/run/a".to_owned()]);
        assert_eq!(one, "[Socket]\nListenStream=/run/a\nBacklog=9\n");
    }
}
