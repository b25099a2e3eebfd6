//! What a command tells in the journal, and the note of who has asked.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;

use super::lines;
use super::stage::{Stage, unit};
use crate::command::deployment::{Goal, deploy, each};
use crate::command::kept;
use crate::command::trial::Trials;
use crate::contract::canaries;
use crate::generate::sources;
use crate::journal::Happening;
use crate::record::{Asked, Record};
use crate::state::{Entry, Name};
use crate::systemd::fake::Start;
use crate::systemd::{ActiveState, Unit};

const ON_3000: &str = "listen = 3000\ninstances = 2\n";

/// A journal of the test.
fn journal(stage: &Stage) -> UnixDatagram {
    std::fs::create_dir_all(stage.layout.journal.parent().unwrap()).unwrap();
    let socket = UnixDatagram::bind(&stage.layout.journal).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// The entries that have come since the last look.
fn entries(journal: &UnixDatagram) -> Vec<String> {
    let mut datagram = vec![0; 1 << 16];
    let next = || {
        let length = journal.recv(&mut datagram).ok()?;
        Some(String::from_utf8_lossy(&datagram[..length]).into_owned())
    };
    std::iter::from_fn(next).collect()
}

fn run(stage: &mut Stage, command: &'static str) {
    let prepared = [stage.prepare()];
    let mut jobs = stage.jobs();
    jobs.command = command;
    deploy(&mut jobs, &prepared, Goal::CURRENT).unwrap();
}

#[test]
fn an_install_and_a_deploy_tell_which_files_they_changed() {
    let mut stage = Stage::running(&[]);
    let journal = journal(&stage);
    stage.write_app(ON_3000);
    run(&mut stage, "install");
    let told = entries(&journal);
    let [told] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(told.contains("install: "), "{told}");
    assert!(told.contains("web.socket") && told.contains(" changed, "));
    // The link that starts the app at boot has the name of the unit.
    assert_eq!(told.matches(" web.service").count(), 1, "{told}");
    run(&mut stage, "install");
    let again = entries(&journal).concat();
    assert!(!again.contains("changed"), "{again}");
    stage.write_app(&format!("{ON_3000}env = {{ COLOUR = \"green\" }}\n"));
    run(&mut stage, "deploy");
    let told = entries(&journal).concat();
    assert!(
        told.contains("deploy: ") && told.contains("web@.service"),
        "{told}"
    );
    // The addresses are those of the file.
    assert!(!told.contains("listens on"), "{told}");
    let is_done = told.contains("\0done\n");
    assert!(is_done && told.contains("RSGEN_DURATION_MS\n"), "{told}");
    // The cluster unit tells of a reload.
    stage.write_app(ON_3000);
    run(&mut stage, "reload");
    assert_eq!(entries(&journal), [""; 0]);
}

#[test]
fn a_deployment_that_fails_is_told_unless_its_address_may_yet_be_corrected() {
    let told = |is_trial: bool| {
        let mut stage = Stage::running(&[]);
        let journal = journal(&stage);
        stage.write_app(ON_3000);
        let now = stage.jobs().manager.now();
        if is_trial {
            let note = Entry::new(&stage.layout.state("web"), Name::Trial);
            note.write(&format!("{} 1", now.as_micros())).unwrap();
        }
        let starts = [Start::GivesUp];
        stage.systemd.fake.script("web.service", &starts);
        let prepared = [stage.prepare()];
        let mut jobs = stage.jobs();
        jobs.command = "install";
        deploy(&mut jobs, &prepared, Goal::CURRENT).unwrap_err();
        entries(&journal).concat()
    };
    let failed = told(false);
    assert!(failed.contains(", failed: "), "{failed}");
    assert!(failed.contains("\0failed\n"), "{failed}");
    assert_eq!(told(true), "");
}

/// The note that a walk would find; `cwd` is that of the app's file.
fn note(stage: &mut Stage, cwd: &std::path::Path) -> Asked {
    stage.write_app(&format!("{ON_3000}cwd = {cwd:?}\n"));
    let entry = Entry::new(&stage.layout.state("web"), Name::AskedBy);
    let note = stage.jobs().ask_for_a_walk("web");
    let asked = Asked::parse(&entry.read().unwrap()).unwrap();
    drop(note);
    // Otherwise the next job of the cluster unit would be said to be this command's.
    assert!(entry.read().is_err());
    asked
}

#[test]
fn the_note_for_a_walk_names_both_releases_where_the_link_has_moved() {
    let mut stage = Stage::running(&[]);
    // This process is the instance.
    stage.systemd.fake.set(Unit {
        name: "web@0.service".into(),
        load: "loaded".into(),
        active: ActiveState::Active,
        main_pid: std::process::id(),
        ..Unit::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().canonicalize().unwrap().join("new");
    std::fs::create_dir(&new).unwrap();
    let [moved, same] = ["moved", "same"].map(|name| folder.path().join(name));
    let own = std::env::current_dir().unwrap().canonicalize().unwrap();
    symlink(&new, &moved).unwrap();
    symlink(&own, &same).unwrap();
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let asked = note(&mut stage, &moved);
    assert_eq!(asked.command, "reload");
    assert_eq!(asked.change, Some((text(&own), text(&new))));
    assert_eq!(note(&mut stage, &same).change, None);
    // Without a link a program may have changed to another folder itself.
    assert_eq!(note(&mut stage, &new).change, None);
}

#[test]
fn a_kept_canary_is_an_obstacle_as_long_as_systemd_has_it_or_a_job_for_it() {
    let mut stage = Stage::running(&["web.service", "web@0.service"]);
    let note = Entry::new(&stage.layout.state("web"), Name::Canary);
    note.write(&canaries::note_of_kept(&[1])).unwrap();
    let canary = |active| Unit {
        name: "web@1.service".into(),
        load: "loaded".into(),
        active,
        ..Unit::default()
    };
    for (active, is_refused) in [
        (ActiveState::Active, true),
        (ActiveState::Activating, true),
        (ActiveState::Inactive, false),
        (ActiveState::Failed, false),
    ] {
        stage.systemd.fake.set(canary(active));
        let refused = kept::refuse(&mut stage.jobs(), "web").err();
        let why = "web@1.service is kept as a canary";
        let expected = is_refused.then_some(why);
        assert_eq!(refused.as_ref().map(|f| f.message.as_str()), expected);
    }
    stage.systemd.fake.busy("web@1.service", "start");
    assert!(kept::refuse(&mut stage.jobs(), "web").is_err());
    // Nobody types in an editor what cannot be applied.
    stage.write_app(ON_3000);
    let edit = lines::run(&mut stage, "rsgen edit web").fault();
    assert!(
        edit.starts_with("web@1.service is kept as a canary"),
        "{edit}"
    );
}

/// A field of an entry as it is sent, see `sd_journal_sendv(3)`.
fn field(name: &str, value: &str) -> String {
    let length = char::from(u8::try_from(value.len()).unwrap());
    format!("{name}\n{length}\0\0\0\0\0\0\0{value}\n")
}

#[test]
fn a_scale_tells_both_numbers_how_long_it_took_and_whether_it_failed() {
    let mut stage = Stage::running(&["web.service", "web@0.service", "web@1.service"]);
    let journal = journal(&stage);
    stage.write_app(ON_3000);
    let changes = stage.prepare().changes;
    stage.write(&changes);
    let mut told = |number: u32| {
        lines::run(&mut stage, &format!("rsgen scale web {number}"));
        entries(&journal).concat()
    };
    let up = told(3);
    for said in [
        field("RSGEN_FROM", "2"),
        field("RSGEN_TO", "3"),
        field("RSGEN_OUTCOME", "done"),
        "scale from 2 to 3 instances\n".into(),
        "RSGEN_DURATION_MS\n".into(),
    ] {
        assert!(up.contains(&said), "{said}: {up}");
    }
    assert_eq!(told(3), "", "nothing was done");
    let starts = [Start::GivesUp];
    stage.systemd.fake.script("web@3.service", &starts);
    lines::run(&mut stage, "rsgen scale web 4");
    let failed = entries(&journal).concat();
    for said in [
        field("RSGEN_OUTCOME", "failed"),
        "to 4 instances failed: web: ".into(),
    ] {
        assert!(failed.contains(&said), "{said}: {failed}");
    }
    // Of an app that is not active only the files change.
    let down = [
        "web.service",
        "web@0.service",
        "web@1.service",
        "web@2.service",
        "web@3.service",
    ];
    for name in down {
        stage
            .systemd
            .fake
            .set(unit(name, ActiveState::Inactive, "dead"));
    }
    lines::run(&mut stage, "rsgen scale web 1");
    let told = entries(&journal).concat();
    assert!(told.contains("scale from 4 to 1 instance"), "{told}");
}

/// What is refused while the address is found out is told once, at the end.
#[test]
fn a_trial_that_comes_to_nothing_is_told_by_the_command_when_it_is_over() {
    let mut stage = Stage::running(&[]);
    let journal = journal(&stage);
    stage.write_app(ON_3000);
    let source = sources::find(&stage.layout, "web").unwrap();
    let (_, app) = sources::load(&stage.layout, &source).unwrap();
    let starts = [Start::GivesUp];
    stage.systemd.fake.script("web.service", &starts);
    let prepared = [stage.prepare()];
    let layout = stage.layout.clone();
    let mut jobs = stage.jobs();
    jobs.command = "install";
    let trials = Trials::begin(jobs.manager, &layout, &[app]);
    let deployed = each(&mut jobs, &prepared, Goal::CURRENT).unwrap();
    assert_eq!(entries(&journal).concat(), "");
    trials.end(&mut jobs, &prepared, &deployed);
    let told = entries(&journal).concat();
    assert!(
        told.contains("install: ") && told.contains(", failed: "),
        "{told}"
    );
}

#[test]
fn what_happens_to_a_single_instance_is_told_unless_nothing_does() {
    let mut stage = Stage::running(&["web.service", "web@0.service", "web@1.service"]);
    let journal = journal(&stage);
    stage.write_app(ON_3000);
    let changes = stage.prepare().changes;
    stage.write(&changes);
    for (starts, line, outcome, text) in [
        (&[][..], "restart", "done", "was restarted\n"),
        (&[], "start", "", ""),
        (&[], "stop", "done", "was stopped\n"),
        (&[], "stop", "", ""),
        (
            &[Start::GivesUp],
            "start",
            "failed",
            "failed: start of web@1.service",
        ),
        (
            &[Start::GivesUp],
            "restart",
            "failed",
            "failed: restart of web@1.service",
        ),
        (&[], "start", "done", "was started\n"),
    ] {
        stage.systemd.fake.script("web@1.service", starts);
        lines::run(&mut stage, &format!("rsgen {line} web@1"));
        let told = entries(&journal).concat();
        assert!(
            !told.is_empty() || text.is_empty(),
            "{line}: nothing is told"
        );
        if text.is_empty() {
            assert_eq!(told, "", "{line}");
            continue;
        }
        let happening = match line {
            "stop" => Happening::InstanceStopped,
            _ => Happening::InstanceStarted,
        };
        for said in [
            field("MESSAGE_ID", happening.id()),
            field("RSGEN_INSTANCE", "1"),
            field("RSGEN_OUTCOME", outcome),
            field("RSGEN_COMMAND", line),
            "RSGEN_DURATION_MS\n".into(),
            format!("web@1 {text}"),
        ] {
            assert!(told.contains(&said), "{line}: {said}: {told}");
        }
    }
}

/// systemd does not tell for whom it starts a command of a unit.
#[test]
fn a_command_of_a_unit_was_asked_for_by_nobody_who_is_known() {
    let mut stage = Stage::running(&[]);
    let journal = journal(&stage);
    for command in ["unit", "scale"] {
        let mut jobs = stage.jobs();
        jobs.command = command;
        jobs.record("web", &Record::new(Happening::Scaled, "x"));
        let told = entries(&journal).concat();
        assert_eq!(told.contains("RSGEN_BY\n"), command != "unit", "{told}");
    }
}
