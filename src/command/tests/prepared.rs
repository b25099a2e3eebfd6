//! The changes that an install is going to make: which links are made, which stay, and which go.

use super::stage::{HOST, Stage};
use crate::command::apply::{leaves_instances, prepare};
use crate::command::selection::Selected;
use crate::ecosystem::parse;
use crate::generate::files;
use crate::plan::diff::Change;

const LASTS: &str = "listen = 3000\n";
const JOB: &str = "schedule = \"daily\"\n";
const TIMER_LINK: &str = "timers.target.wants/web.timer";

/// What an install of the app with these lines changes.
fn changes(stage: &Stage, lines: &str) -> Vec<Change> {
    let pinned = format!(
        "[[apps]]\nname = \"web\"\nscript = \"/srv/web/server\"\ninterpreter = \"none\"\n{lines}"
    );
    let (mut apps, report) = parse("eco.toml", &pinned);
    assert!(!report.has_errors(), "{}", report.render(false));
    let app = apps.remove(0);
    let installed = files::content(&stage.layout.file("web"));
    let selected = Selected {
        app,
        pinned,
        installed,
    };
    let prepared = prepare(&stage.layout, HOST, selected, false);
    prepared.map_err(|failure| failure.message).unwrap().changes
}

/// How each link that starts a unit at boot is changed.
fn links(stage: &Stage, changes: &[Change]) -> Vec<String> {
    let boot = |change: &&Change| change.path.to_string_lossy().contains(".target.wants/");
    let line = |change: &Change| {
        let link = change.path.strip_prefix(&stage.layout.units).unwrap();
        format!("{} {}", change.verb(), link.display())
    };
    let mut links: Vec<String> = changes.iter().filter(boot).map(line).collect();
    links.sort();
    links
}

#[test]
fn an_install_makes_each_link_once_and_a_second_changes_nothing() {
    for (lines, made) in [
        (
            LASTS,
            &[
                "create multi-user.target.wants/web.service",
                "create sockets.target.wants/web.socket",
            ][..],
        ),
        (JOB, &["create timers.target.wants/web.timer"]),
    ] {
        let stage = Stage::running(&[]);
        let first = changes(&stage, lines);
        assert_eq!(links(&stage, &first), made, "{lines}");
        files::apply(&first).unwrap();
        let again = changes(&stage, lines);
        let paths: Vec<_> = again.iter().map(|change| &change.path).collect();
        assert!(paths.is_empty(), "{lines}: {paths:?}");
    }
}

#[test]
fn a_reload_enables_a_new_timer_and_disables_one_that_goes() {
    let stage = Stage::running(&[]);
    let of = |lines: &str| {
        stage.write_app(lines);
        let changes = stage.prepare().changes;
        files::apply(&changes).unwrap();
        links(&stage, &changes)
    };
    assert_eq!(of(JOB), [format!("create {TIMER_LINK}")]);
    assert_eq!(of(LASTS), [format!("remove {TIMER_LINK}")]);
    assert_eq!(of(JOB), [format!("create {TIMER_LINK}")]);
    // As after `systemctl disable`: what was disabled stays so.
    std::fs::remove_file(stage.layout.units.join(TIMER_LINK)).unwrap();
    assert_eq!(of("schedule = \"weekly\"\n"), [""; 0]);
}

#[test]
fn instances_stay_when_only_what_is_beside_them_changes() {
    let stage = Stage::running(&[]);
    let units = &stage.layout.units;
    let file = stage.layout.file("web");
    for (paths, stays) in [
        (vec![units.join("web.timer")], true),
        (vec![units.join("web.timer"), file.clone()], true),
        (
            vec![units.join("web.timer"), units.join("web.service")],
            false,
        ),
        (vec![file], false),
        (vec![], false),
    ] {
        let change = |path| Change {
            path,
            old: None,
            new: None,
        };
        let changes: Vec<Change> = paths.into_iter().map(change).collect();
        let paths: Vec<_> = changes.iter().map(|change| &change.path).collect();
        let found = leaves_instances(&stage.layout, "web", &changes);
        assert_eq!(found, stays, "{paths:?}");
    }
}

#[test]
fn the_socket_files_of_an_app_are_the_paths_at_which_it_listens() {
    let stage = Stage::running(&[]);
    stage.write_app("listen = [3000, \"/run/web.sock\"]\n");
    let paths = stage.prepare().socket_files;
    assert_eq!(paths, [std::path::Path::new("/run/web.sock")]);
}
