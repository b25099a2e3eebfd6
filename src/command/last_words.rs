//! The last output of a run that failed, which commands show again, and the file that has the output if it does not go
//! to the journal.

use std::borrow::Cow;
use std::time::SystemTime;

use super::status::AppStatus;
use crate::brake::Deaths;
use crate::cluster::Cluster;
use crate::ecosystem::App;
use crate::generate::sources;
use crate::layout::Layout;
use crate::output::Failure;
use crate::record::Journal;
use crate::systemd::{Manager, Unit};
use crate::unit::assigned;
use crate::unit::name::{Member, parse};
use crate::visible::Visible;
use crate::walk::Failed;

fn cluster(layout: &Layout, app: &str) -> Cluster {
    Cluster {
        app: app.to_owned(),
        state: layout.state(app),
        scope: layout.scope,
        journal: Journal::default(),
    }
}

/// Returns the lines of the last run of a unit.
pub(super) fn of_unit(layout: &Layout, unit: &Unit) -> Vec<Visible> {
    let Some((app, member)) = parse(&unit.name) else {
        return Vec::new();
    };
    show(member, &cluster(layout, app).words(unit))
}

/// Returns the lines that a unit has written since this time. The reloads of a cluster unit belong to the run that its start began.
pub(super) fn of_unit_since(layout: &Layout, unit: &Unit, since: SystemTime) -> Vec<Visible> {
    let Some((app, member)) = parse(&unit.name) else {
        return Vec::new();
    };
    show(member, &cluster(layout, app).words_since(unit, since))
}

/// Returns the lines that the cluster unit of an app has written since this time in all its runs.
pub(super) fn of_any_run_since(layout: &Layout, app: &str, since: SystemTime) -> Vec<Visible> {
    show(
        Member::Cluster,
        &cluster(layout, app).words_of_any_run_since(since),
    )
}

fn show(member: Member, words: &[String]) -> Vec<Visible> {
    // The lines of the cluster unit are rsgen's own, and were escaped before they reached the journal.
    let show = match member {
        Member::Cluster => Visible::again,
        _ => Visible::line,
    };
    words.iter().map(|line| show(line)).collect()
}

/// Returns the lines of the last try to open a socket of an app.
pub(super) fn of_a_socket(layout: &Layout, app: &str, socket: &Unit) -> Vec<Visible> {
    let words = cluster(layout, app).words(socket);
    words.iter().map(|line| Visible::line(line)).collect()
}

/// Returns the lines of the instance because of which a walk failed.
pub(super) fn of_a_walk(layout: &Layout, app: &str, failed: &Failed) -> Vec<Visible> {
    let words = cluster(layout, app).words_of(failed);
    let lines = words.iter().map(|line| Visible::line(&format!("  {line}")));
    lines.collect()
}

/// Returns the line that says most of what the run of an instance has written that died last: the first that names an error, or the last.
pub(super) fn of_a_death(
    layout: &Layout,
    app: &str,
    number: u32,
    deaths: &Deaths,
) -> Option<String> {
    let died = Failed {
        number: Some(number),
        invocation: deaths.invocation.clone(),
        ..Failed::default()
    };
    let words = cluster(layout, app).words_of(&died);
    telling(&words).map(|line| line.trim().to_owned())
}

/// Lines that are not the program's own: those of rsgen in the run of the program, since the reason of the death says the same, and those
/// with which Node ends each stack, and so the output about a thrown value that is not an error.
const NOT_ITS_OWN: [&str; 3] = ["rsgen: ", "Node.js v", "(Use `node --trace-uncaught"];

fn telling(words: &[String]) -> Option<&String> {
    const ERRORS: [&str; 3] = ["rror:", "xception:", "rror "];
    let named = |line: &&String| ERRORS.iter().any(|error| line.contains(error));
    let is_its_own = |line: &&String| {
        !NOT_ITS_OWN.iter().any(|begin| line.starts_with(begin)) && !line.trim().is_empty()
    };
    let mut own = words.iter().filter(is_its_own);
    own.clone().find(named).or_else(|| own.next_back())
}

/// Returns what the first errored instance of each app has written: usually the others have written the same.
pub(super) fn of_errored(
    manager: &mut dyn Manager,
    layout: &Layout,
    apps: &[AppStatus],
) -> Result<Vec<Visible>, Failure> {
    let mut shown = Vec::new();
    for app in apps {
        let errored = app.instances.iter().find(|i| i.status == "errored");
        let Some(instance) = errored else {
            continue;
        };
        let lines = of_unit(layout, &manager.unit(&instance.unit)?);
        if !lines.is_empty() {
            let title = format!("{}@{} wrote:", app.name, instance.number);
            shown.push(Visible::from(title));
            let indented = |line: Visible| Visible::composed(format!("  {line}"));
            shown.extend(lines.into_iter().map(indented));
        }
        shown.extend(elsewhere(layout, &app.name, Some(instance.number)).map(Visible::from));
    }
    Ok(shown)
}

/// Returns the file that an app's output goes to, if there is one, as its file has it.
pub(super) fn output(layout: &Layout, app: &str) -> Option<String> {
    let source = sources::find(layout, app)?;
    let (_, app) = sources::load(layout, &source).ok()?;
    file(&app.service).map(str::to_owned)
}

/// Names the file that the output of an app goes to, or of one of its instances, and the command that shows its end. The file is not
/// read, since anybody who may write to its folder could have put a link in its place.
pub(super) fn elsewhere(layout: &Layout, app: &str, number: Option<u32>) -> Option<String> {
    output(layout, app).map(|file| told(&file, number))
}

/// Does the same for an app that may not be installed.
pub(super) fn elsewhere_of(app: &App) -> Option<String> {
    file(&app.service).map(|file| told(file, None))
}

/// The sentence that names such a file.
pub(super) fn told(file: &str, number: Option<u32>) -> String {
    let told = format!("the program writes to `{file}`");
    match typed(file, number) {
        Some(path) => format!("{told}: run `tail {path}`"),
        None => told,
    }
}

/// Returns a path of a unit as it is typed for a shell, with `*` for a number that is not known; `None` for one with specifiers that only
/// systemd knows.
fn typed(file: &str, number: Option<u32>) -> Option<String> {
    let number = number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut characters = file.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => match characters.next()? {
                '%' => piece.push('%'),
                'i' => pieces.push(std::mem::take(&mut piece)),
                _ => return None,
            },
            character => piece.push(character),
        }
    }
    pieces.push(piece);
    let quoted = pieces.iter().map(|piece| match piece.as_str() {
        "" => Some(Cow::Borrowed("")),
        piece => shlex::try_quote(piece).ok(),
    });
    Some(quoted.collect::<Option<Vec<_>>>()?.join(&number))
}

/// Returns the file that gets the error messages of a program. By default, standard error goes where standard output
/// goes.
fn file(service: &[(String, String)]) -> Option<&str> {
    let stream = |directive| assigned(service, directive).one();
    let stream = stream("StandardError").filter(|to| *to != "inherit");
    let stream = stream.or_else(|| assigned(service, "StandardOutput").one())?;
    let (kind, path) = stream.split_once(':')?;
    ["file", "append", "truncate"]
        .contains(&kind)
        .then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_shows_the_end_of_a_file_can_be_typed() {
        let said = |file: &str, number| told(file, number);
        let whole = "the program writes to `/l/web.log`: run `tail /l/web.log`";
        assert_eq!(said("/l/web.log", None), whole);
        let tail = |file: &str, number| typed(file, number);
        assert_eq!(tail("/l/web-%i.log", Some(2)).unwrap(), "/l/web-2.log");
        assert_eq!(tail("/l/web-%i.log", None).unwrap(), "/l/web-*.log");
        assert_eq!(tail("/l/my log%%", None).unwrap(), "'/l/my log%'");
        assert_eq!(tail("/l/my log-%i", None).unwrap(), "'/l/my log-'*");
        assert_eq!(tail("%h/web.log", None), None);
        assert!(!said("%h/web.log", None).contains("tail"));
    }

    #[test]
    fn the_line_that_names_the_error_says_most() {
        let said = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            telling(&lines).cloned()
        };
        let node = [
            "node:internal/modules/cjs/loader:1",
            "  throw err;",
            "Error: Cannot find module 'x'",
            "    at load",
            "Node.js v20",
        ];
        assert_eq!(said(&node).as_deref(), Some(node[2]));
        assert_eq!(said(&["no route", "bye", ""]).as_deref(), Some("bye"));
        let thrown = [
            "throw 'no database'",
            "^",
            "no database",
            "(Use `node --trace-uncaught ...` to show where the exception was thrown)",
            "",
            "Node.js v20",
        ];
        assert_eq!(said(&thrown).as_deref(), Some("no database"));
        assert_eq!(said(&[]), None);
        let asked = "rsgen: the program ended before it was checked";
        assert_eq!(said(&["bye", asked]).as_deref(), Some("bye"));
        assert_eq!(said(&[asked]), None);
    }

    #[test]
    fn the_file_that_gets_the_messages_is_found() {
        let found = |lines: &[(&str, &str)]| {
            let own = |(d, v): &(&str, &str)| ((*d).to_owned(), (*v).to_owned());
            let service: Vec<_> = lines.iter().map(own).collect();
            file(&service).map(str::to_owned)
        };
        let (out, err) = ("StandardOutput", "StandardError");
        assert_eq!(found(&[(err, "append:/a:b")]).unwrap(), "/a:b");
        assert_eq!(
            found(&[(out, "file:/a"), (err, "truncate:/b")]).unwrap(),
            "/b"
        );
        assert_eq!(found(&[(out, "file:/a"), (err, "inherit")]).unwrap(), "/a");
        assert_eq!(found(&[(out, "file:/a")]).unwrap(), "/a");
        assert_eq!(found(&[(out, "file:/a"), (err, "journal")]), None);
        assert_eq!(found(&[(err, "fd:stderr")]), None);
        let text = "[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = 1\n[apps.service]\nStandardOutput = \"append:/l\"\n";
        let (apps, _) = crate::ecosystem::parse("", text);
        let told = elsewhere_of(&apps[0]);
        assert_eq!(
            told,
            Some("the program writes to `/l`: run `tail /l`".into())
        );
    }
}
