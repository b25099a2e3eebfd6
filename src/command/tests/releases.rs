//! What a deployment keeps of an app for a rollback.

use super::lines;
use super::stage::{HOST, Stage};
use crate::command::apply::{self, Prepared};
use crate::command::asks;
use crate::command::deployment::{Goal, deploy};
use crate::command::ledger::Ledger;
use crate::command::selection::Selected;
use crate::contract::StartedWith;
use crate::generate::{files, sources};
use crate::state::{Entry, Name};

/// A host with an installed app, of which these units run, and of which nothing is kept yet.
fn installed(units: &[&str]) -> Stage {
    let mut stage = Stage::running(units);
    stage.write_app("listen = 1\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage
}

const ONE: &[&str] = &["web.service", "web@0.service"];

/// The changes to a file that says something more.
fn prepared(stage: &Stage, more: &str) -> Prepared {
    let source = sources::find(&stage.layout, "web").unwrap();
    let (pinned, app) = sources::load(&stage.layout, &source).unwrap();
    let selected = Selected {
        app,
        pinned: format!("{pinned}{more}"),
        installed: files::content(&source.path),
    };
    let prepared = apply::prepare(&stage.layout, HOST, selected, false);
    prepared.map_err(|failure| failure.message).unwrap()
}

/// Deploys the app with a file that says something more.
fn run(stage: &mut Stage, command: &'static str, more: &str) {
    let prepared = [prepared(stage, more)];
    let mut jobs = stage.jobs();
    jobs.command = command;
    deploy(&mut jobs, &prepared, Goal::CURRENT).unwrap();
}

/// The names of the releases that are kept, each with who deployed it, and the name of the present one.
fn kept(stage: &Stage) -> (Vec<(String, Option<String>)>, String) {
    let ledger = Ledger::read(&stage.layout, "web");
    let ledger = ledger.map_err(|failure| failure.message).unwrap();
    let releases = ledger.releases.into_iter();
    (releases.map(|r| (r.name, r.by)).collect(), ledger.current)
}

#[test]
fn what_an_app_served_before_its_first_deployment_is_kept_as_well() {
    let mut stage = installed(ONE);
    let before = std::fs::read_to_string(stage.layout.file("web")).unwrap();
    run(&mut stage, "deploy", "# new\n");
    let (first, second) = (("1".into(), None), ("2".into(), Some(asks::who())));
    assert_eq!(kept(&stage), (vec![first, second], "2".into()));
    let ledger = Ledger::read(&stage.layout, "web").ok().unwrap();
    let is_of_now = |seconds: u64| seconds > 1_700_000_000;
    assert!(ledger.releases.iter().all(|r| is_of_now(r.deployed)));
    let texts = ledger.releases.iter().map(|r| r.served.file.as_str());
    let after = format!("{before}# new\n");
    assert_eq!(texts.collect::<Vec<_>>(), [before, after]);
    assert_eq!(stage.sink.told().join("").matches("not kept").count(), 0);
}

#[test]
fn of_an_app_that_serves_nothing_there_is_nothing_to_go_back_to() {
    let mut stage = installed(&[]);
    run(&mut stage, "deploy", "# new\n");
    let first = ("1".to_owned(), Some(asks::who()));
    assert_eq!(kept(&stage), (vec![first], "1".into()));
}

#[test]
fn a_rollback_is_no_deployment_of_another_release() {
    let mut stage = installed(ONE);
    run(&mut stage, "rollback", "# new\n");
    assert_eq!(kept(&stage), (vec![("1".into(), None)], "1".into()));
}

#[test]
fn what_cannot_be_kept_is_told_and_keeps_nothing_from_being_deployed() {
    let mut stage = installed(ONE);
    std::fs::create_dir_all(Ledger::path(&stage.layout, "web")).unwrap();
    run(&mut stage, "deploy", "# new\n");
    let told = stage.sink.told();
    let is_said = |line: &String| line.contains("not kept for a rollback: ");
    assert!(told.iter().any(is_said), "{told:?}");
    let text = std::fs::read_to_string(stage.layout.file("web")).unwrap();
    assert!(text.ends_with("# new\n"), "{text}");
}

/// What a command line of a user shows, and what it asks of systemd.
fn shown(stage: &mut Stage, line: &str) -> (String, Vec<String>) {
    let ran = lines::run(stage, line);
    (ran.shown.clone(), ran.jobs())
}

fn file(stage: &Stage) -> String {
    std::fs::read_to_string(stage.layout.file("web")).unwrap()
}

/// The row of a release in the list.
fn row(stage: &mut Stage, name: &str) -> String {
    let (list, _) = shown(stage, "rsgen releases web");
    let is_row = |line: &&str| line.split_whitespace().any(|word| word == name);
    let row = list.lines().skip(1).find(is_row);
    row.unwrap_or_else(|| panic!("{list}")).to_owned()
}

#[test]
fn an_app_goes_back_to_the_release_before_and_no_further_by_the_same_name() {
    let mut stage = installed(ONE);
    for more in ["listen = 1\n", "listen = 1\nkill_timeout = 7\n"] {
        stage.write_app(more);
        lines::run(&mut stage, "rsgen reload web").jobs();
    }
    let new = file(&stage);
    let is_current = |row: String| row.contains("current");
    assert!(is_current(row(&mut stage, "2")) && !is_current(row(&mut stage, "1")));

    let (told, jobs) = shown(&mut stage, "rsgen rollback web --dry-run");
    assert!(
        told.starts_with("web: would go back from 2 to release 1\n"),
        "{told}"
    );
    assert_eq!((jobs, file(&stage)), (Vec::new(), new));

    let (told, jobs) = shown(&mut stage, "rsgen rollback web");
    assert_eq!(told, "web: back from 2 to release 1");
    assert_eq!(jobs, ["daemon-reload", "reload web.service"]);
    assert!(file(&stage).ends_with("listen = 1\n"), "{}", file(&stage));
    let cluster = stage.unit("web@.service");
    assert!(!cluster.contains("TimeoutStopSec=7"), "{cluster}");
    assert!(is_current(row(&mut stage, "1")) && !is_current(row(&mut stage, "2")));
    assert!(row(&mut stage, "2").ends_with("left by a rollback"));
    let (described, _) = shown(&mut stage, "rsgen describe web");
    let back = "release   1, rolled back from 2; the next install";
    assert!(described.contains(back), "{described}");

    let (told, _) = shown(&mut stage, "rsgen rollback web 1 --dry-run");
    assert!(told.starts_with("web: would stay on release 1"), "{told}");
    let (told, jobs) = shown(&mut stage, "rsgen rollback web 1");
    assert_eq!(told, "web: stays on release 1");
    assert!(!jobs.contains(&"reload web.service".into()), "{jobs:?}");
}

#[test]
fn an_instance_runs_the_release_that_it_was_started_with_wherever_the_link_leads_by_now() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let [old, new, link] = ["old", "new", "current"].map(|name| root.join(name));
    for folder in [&old, &new] {
        std::fs::create_dir(folder).unwrap();
    }
    std::os::unix::fs::symlink(&new, &link).unwrap();
    let mut stage = Stage::running(ONE);
    stage.write_app(&format!("listen = 1\ncwd = {link:?}\n"));
    let changes = stage.prepare().changes;
    stage.write(&changes);
    // Nothing is known of it yet.
    let (list, _) = shown(&mut stage, "rsgen releases web");
    assert!(!list.contains("current"), "{list}");
    for (link, is_known) in [(root.join("other"), false), (link, true)] {
        let folder = old.clone();
        let text = StartedWith { link, folder }.text().unwrap();
        let note = Entry::new(&stage.layout.state("web"), Name::Release(0));
        note.write(&text).unwrap();
        let (list, _) = shown(&mut stage, "rsgen releases web");
        let row = list.lines().find(|line| line.starts_with("old "));
        assert_eq!(row.is_some(), is_known, "{list}");
        if let Some(row) = row {
            let words: Vec<&str> = row.split_whitespace().collect();
            assert!(row.ends_with(" current") && words.contains(&"0"), "{row}");
        }
    }
}

#[test]
fn an_app_that_was_not_installed_has_no_release_to_go_back_to() {
    let mut stage = Stage::running(ONE);
    stage.write_app("listen = 1\n");
    let fault = lines::run(&mut stage, "rsgen rollback web").fault();
    let told = "`web` was not installed by `rsgen install`, and no releases of it are kept";
    assert!(fault.starts_with(told), "{fault}");
    assert_eq!(stage.systemd.fake.log, Vec::<String>::new());
}

#[test]
fn a_rollback_moves_the_link_and_names_the_apps_that_follow_it() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let [first, second, link] = ["first", "second", "current"].map(|name| root.join(name));
    let mut stage = Stage::running(ONE);
    stage.write_app(&format!("listen = 1\ncwd = {link:?}\n"));
    for folder in [&first, &second] {
        std::fs::create_dir(folder).unwrap();
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(folder, &link).unwrap();
        let changes = stage.prepare().changes;
        stage.write(&changes);
        lines::run(&mut stage, "rsgen reload web").jobs();
    }
    let web = file(&stage);
    let other = |name: &str, cwd: &std::path::Path| {
        let text = web.replace("\"web\"", &format!("{name:?}"));
        let text = text.replace("listen = 1", "listen = 2");
        let text = text.replace(&format!("{link:?}"), &format!("{cwd:?}"));
        std::fs::write(stage.layout.file(name), text).unwrap();
    };
    other("api", &link);
    other("shop", &first);
    let ran = lines::run(&mut stage, "rsgen rollback web --dry-run");
    let link_moves = format!("{} would point to {}", link.display(), first.display());
    assert!(ran.shown.contains(&link_moves), "{}", ran.shown);
    assert_eq!(std::fs::read_link(&link).unwrap(), second);

    let ran = lines::run(&mut stage, "rsgen rollback web");
    assert_eq!(ran.shown, "web: back from second to release first");
    assert_eq!(std::fs::read_link(&link).unwrap(), first);
    let follows = |app: &str| format!("{app}: follows the same link");
    let told = ["api", "shop", "web"].map(|app| ran.told.contains(&follows(app)));
    assert_eq!(told, [true, false, false], "{}", ran.told);

    std::fs::remove_dir(&second).unwrap();
    let fault = lines::run(&mut stage, "rsgen rollback web second").fault();
    let gone = "the folder of release second is gone: ";
    assert!(fault.starts_with(gone), "{fault}");
    assert_eq!(std::fs::read_link(&link).unwrap(), first);
}

#[test]
fn the_list_tells_the_release_of_an_instance_that_runs_and_has_a_note_of_its_folder() {
    let release = |cwd: &str, noted: bool, is_up: bool| {
        let units = if is_up { ONE } else { &ONE[..1] };
        let mut stage = Stage::running(units);
        stage.write_app(&format!("listen = 1\ncwd = \"{cwd}\"\n"));
        let note = StartedWith {
            link: "/srv/web/current".into(),
            folder: "/srv/web/releases/7".into(),
        };
        if noted {
            let entry = Entry::new(&stage.layout.state("web"), Name::Release(0));
            entry.write(&note.text().unwrap()).unwrap();
        }
        let json = lines::run(&mut stage, "rsgen list web").json;
        json["apps"][0]["instances"][0]["release"].clone()
    };
    assert_eq!(release("/srv/web/current/app", true, true), "7");
    for (cwd, noted, is_up) in [
        ("/srv/web/current/app", false, true),
        ("/srv/web/current/app", true, false),
        ("/srv/other", true, true),
    ] {
        assert!(release(cwd, noted, is_up).is_null(), "{cwd}");
    }
}
