//! `rsgen rollback`, where something is in its way.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::lines;
use super::stage::Stage;
use crate::command::ledger::Ledger;
use crate::command::released;
use crate::contract::StartedWith;
use crate::state::{Entry, Name};
use crate::systemd::{ActiveState, JobResult, Manager, Unit};
use crate::walk::{Event, Failed};

const ONE: &[&str] = &["web.service", "web@0.service"];

/// A host that serves the second release of an app with a link to its releases. The file of each release says something of its own.
struct Deployed {
    stage: Stage,
    link: PathBuf,
    folders: [PathBuf; 2],
    _root: tempfile::TempDir,
}

impl Deployed {
    fn with(own: [&str; 2]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        let (link, folders) = (
            path.join("current"),
            ["first", "second"].map(|n| path.join(n)),
        );
        let mut stage = Stage::running(ONE);
        for (folder, own) in folders.iter().zip(own) {
            fs::create_dir(folder).unwrap();
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(folder, &link).unwrap();
            stage.write_app(&format!("listen = 1\ncwd = {link:?}\n{own}"));
            let changes = stage.prepare().changes;
            stage.write(&changes);
            lines::run(&mut stage, "rsgen reload web").jobs();
        }
        Self {
            stage,
            link,
            folders,
            _root: root,
        }
    }

    /// Which release the link leads to, and which one the file is of.
    fn is_at(&self, own: &str) -> (usize, bool) {
        let leads_to = fs::read_link(&self.link).unwrap();
        let release = self.folders.iter().position(|f| *f == leads_to);
        (release.unwrap() + 1, file(&self.stage).ends_with(own))
    }
}

fn file(stage: &Stage) -> String {
    fs::read_to_string(stage.layout.file("web")).unwrap()
}

/// Has the next walk of the app fail, before an instance was touched or after one was replaced.
fn fail_next(stage: &mut Stage, untouched: bool) {
    let failed = Failed {
        untouched,
        why: "it ended".into(),
        ..Failed::default()
    };
    let walk = (vec![Event::Aborted { failed }], JobResult::Failed);
    stage.systemd.walks.push_back(walk);
}

/// A start, a boot and the tool that deploys go by the link, so it says what the instances run.
#[test]
fn the_link_goes_back_with_the_files_unless_an_instance_was_replaced() {
    let more = "kill_timeout = 7\n";
    for (own, untouched, at) in [
        // Both releases have one file.
        (["", ""], true, (2, true)),
        (["", ""], false, (1, true)),
        (["", more], true, (2, true)),
        (["", more], false, (1, false)),
    ] {
        let mut deployed = Deployed::with(own);
        fail_next(&mut deployed.stage, untouched);
        let ran = lines::run(&mut deployed.stage, "rsgen rollback web");
        assert!(ran.failure.is_some(), "{}", ran.shown);
        assert_eq!(deployed.is_at(own[1]), at, "{own:?} {untouched}");
    }
    // systemd does not read the files, so they are undone, and nothing was replaced.
    let mut deployed = Deployed::with(["", more]);
    deployed.stage.systemd.refuses_files = true;
    let ran = lines::run(&mut deployed.stage, "rsgen rollback web");
    assert!(ran.failure.is_some(), "{}", ran.shown);
    assert_eq!(deployed.is_at(more), (2, true));
}

#[test]
fn a_rollback_has_the_pace_that_its_command_line_says() {
    let mut deployed = Deployed::with(["", "kill_timeout = 7\n"]);
    deployed.stage.systemd.wishes.clear();
    let line = "rsgen rollback web --surge 2 --parallel 50%";
    lines::run(&mut deployed.stage, line).jobs();
    let wishes = &deployed.stage.systemd.wishes;
    assert!(
        wishes[0].starts_with("all surge=2 parallel=50% "),
        "{wishes:?}"
    );
}

/// In the middle of a walk the link leads to another release than some instances run.
#[test]
fn a_reload_that_is_under_way_is_waited_for() {
    let mut deployed = Deployed::with(["", ""]);
    let systemd = &mut deployed.stage.systemd;
    let cluster = |active| Unit {
        name: "web.service".into(),
        load: "loaded".into(),
        active,
        ..Unit::default()
    };
    systemd.fake.set(cluster(ActiveState::Reloading));
    let soon = systemd.now() + Duration::from_secs(5);
    systemd.fake.set_at(soon, cluster(ActiveState::Active));
    let ran = lines::run(&mut deployed.stage, "rsgen rollback web");
    let waits = "web: waiting for a reload that is under way";
    assert!(ran.told.contains(waits), "{}", ran.told);
    assert_eq!(ran.shown, "web: back from second to release first");
    let [first, _] = &deployed.folders;
    let moved = format!(
        "web: link {} to {}",
        deployed.link.display(),
        first.display()
    );
    assert!(ran.told.contains(&moved), "{}", ran.told);
    assert!(deployed.stage.systemd.now() >= soon);
}

/// Somebody has started an instance on purpose since the link moved.
#[test]
fn where_the_link_alone_goes_back_an_instance_of_another_release_does_as_well() {
    for (numbers, note, jobs) in [
        (vec![0, 1], "web@1 serves another release than second", true),
        (vec![0], "serves another release", false),
    ] {
        let mut deployed = Deployed::with(["", ""]);
        let (link, [first, second]) = (deployed.link.clone(), deployed.folders.clone());
        let stage = &mut deployed.stage;
        for (number, folder) in numbers.into_iter().zip([&second, &first]) {
            stage.systemd.fake.set(Unit {
                name: format!("web@{number}.service"),
                load: "loaded".into(),
                active: ActiveState::Active,
                ..Unit::default()
            });
            let (link, folder) = (link.clone(), folder.clone());
            let started = StartedWith { link, folder }.text().unwrap();
            let folder = stage.layout.state("web");
            Entry::new(&folder, Name::Release(number))
                .write(&started)
                .unwrap();
        }
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&first, &link).unwrap();
        stage.systemd.fake.log.clear();
        let ran = lines::run(stage, "rsgen rollback web");
        assert_eq!(ran.told.contains(note), jobs, "{}", ran.told);
        assert_eq!(ran.shown, "web: stays on release second");
        let is_reloaded = ran.jobs().contains(&"reload web.service".to_owned());
        assert!(is_reloaded || !jobs);
        assert_eq!(deployed.is_at("").0, 2);
    }
}

/// The first rollback also brings the file of the release, which is written in its own way, so the second one has nothing else to do.
#[test]
fn where_no_instance_is_of_another_release_the_link_alone_goes_back() {
    let mut deployed = Deployed::with(["", ""]);
    let (link, [first, second]) = (deployed.link.clone(), deployed.folders.clone());
    let note = StartedWith {
        link: link.clone(),
        folder: second,
    };
    let folder = deployed.stage.layout.state("web");
    let file = Entry::new(&folder, Name::Release(0));
    file.write(&note.text().unwrap()).unwrap();
    let mut log = Vec::new();
    for _ in 0..2 {
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&first, &link).unwrap();
        deployed.stage.systemd.fake.log.clear();
        log = lines::run(&mut deployed.stage, "rsgen rollback web").jobs();
        assert_eq!(deployed.is_at("").0, 2);
    }
    assert_eq!(log, [""; 0]);
}

/// A file that was changed by hand and brought there by systemctl is a release like any other.
#[test]
fn what_no_command_has_deployed_is_kept_by_a_rollback_and_not_by_a_dry_run() {
    let mut stage = Stage::running(ONE);
    stage.write_app("listen = 1\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    lines::run(&mut stage, "rsgen reload web").jobs();
    stage.write_app("listen = 1\nkill_timeout = 7\n");
    let kept = Ledger::path(&stage.layout, "web");
    let before = fs::read_to_string(&kept).unwrap();

    let ran = lines::run(&mut stage, "rsgen rollback web --dry-run");
    let told = "web: would go back from 2 to release 1\n";
    assert!(ran.shown.starts_with(told), "{}", ran.shown);
    assert_eq!(fs::read_to_string(&kept).unwrap(), before);

    let ran = lines::run(&mut stage, "rsgen rollback web");
    assert_eq!(ran.shown, "web: back from 2 to release 1");
    let ran = lines::run(&mut stage, "rsgen rollback web 2");
    assert_eq!(ran.shown, "web: back from 1 to release 2");
    assert!(file(&stage).ends_with("kill_timeout = 7\n"));
}

/// systemd would close the address without a word.
#[test]
fn a_release_at_another_address_is_refused_with_the_way_there() {
    let mut stage = Stage::running(ONE);
    for port in [1, 2] {
        stage.write_app(&format!("listen = {port}\n"));
        let changes = stage.prepare().changes;
        stage.write(&changes);
        lines::run(&mut stage, "rsgen reload web").jobs();
    }
    let before = (file(&stage), stage.unit("web.socket"));
    let ran = lines::run(&mut stage, "rsgen rollback web");
    assert_eq!(ran.log, Vec::<String>::new());
    let fault = ran.fault();
    assert!(fault.contains("release 1 listened there; "), "{fault}");
    assert_eq!((file(&stage), stage.unit("web.socket")), before);
}

/// Units of an older version note nothing. The folder in which the program works is then the release, if it is beside the one that the
/// link leads to.
#[test]
fn what_an_instance_of_an_older_version_serves_is_where_its_program_works() {
    let mut deployed = Deployed::with(["", ""]);
    let elsewhere = deployed.link.with_file_name("first").join("data");
    fs::create_dir(&elsewhere).unwrap();
    let (first, below) = (deployed.folders[0].clone(), deployed.link.join("data"));
    let (at_link, text) = (deployed.link.clone(), file(&deployed.stage));
    for (cwd, works_in, serves) in [
        (&at_link, &first, Some(&first)),
        (&at_link, &elsewhere, None),
        // Where the file names a folder below the link, the program works below a release.
        (&below, &first, None),
    ] {
        let mut program = Command::new("/bin/sleep")
            .arg("60")
            .current_dir(works_in)
            .spawn()
            .unwrap();
        let stage = &mut deployed.stage;
        stage.systemd.fake.set(Unit {
            name: "web@0.service".into(),
            load: "loaded".into(),
            active: ActiveState::Active,
            main_pid: program.id(),
            ..Unit::default()
        });
        let text = text.replace(&format!("{at_link:?}"), &format!("{cwd:?}"));
        let served = released::serving(&mut stage.jobs(), "web", &text);
        program.kill().unwrap();
        program.wait().unwrap();
        let folder = served.map_err(|failure| failure.message).unwrap();
        let folder = folder.and_then(|served| served.folder);
        assert_eq!(folder.as_ref(), serves, "{cwd:?} {works_in:?}");
    }
}
