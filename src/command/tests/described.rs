//! `rsgen describe`.

use super::lines::run;
use super::stage::Stage;
use crate::systemd::{ActiveState, Unit};

const ONE: &[&str] = &["web.service", "web@0.service"];

/// A host of a user with an app of one instance, which has run since some time.
fn installed() -> Stage {
    let mut stage = Stage::running(ONE);
    stage.write_app("listen = 3000\ncwd = \"/srv/web\"\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    run(&mut stage, "rsgen reload web").jobs();
    stage
}

/// An instance that began this long after 1970.
fn instance(began: std::time::Duration) -> Unit {
    Unit {
        name: "web@0.service".into(),
        load: "loaded".into(),
        active: ActiveState::Active,
        main_pid: 7,
        began,
        control_group: "/user.slice/app.slice/app-web.slice/web@0.service".into(),
        ..Unit::default()
    }
}

/// What is said after a label, if there is a line with this label.
fn said(text: &str, label: &str) -> Option<String> {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(&format!("{label:9} ")))?;
    Some(line.to_owned())
}

fn describe(stage: &mut Stage) -> String {
    let ran = run(stage, "rsgen describe web");
    let shown = ran.shown.clone();
    ran.jobs();
    shown
}

#[test]
fn what_an_app_is_and_where_it_comes_from_is_told_line_by_line() {
    let mut stage = installed();
    let ages = std::time::Duration::from_secs(1 << 40);
    stage.systemd.fake.set(instance(ages));
    let text = describe(&mut stage);
    assert!(text.starts_with("web\n"), "{text}");
    // Nothing that the app sets has no effect.
    assert!(!text.contains("limits"), "{text}");
    let expected = [
        ("state", "active, 1 of 1 serving".to_owned()),
        ("runs", "/srv/web/server, in /srv/web".to_owned()),
        ("file", stage.layout.file("web").display().to_string()),
        ("slice", "app-web.slice".to_owned()),
        ("logs", "in the journal; `rsgen logs web`".to_owned()),
    ];
    for (label, what) in expected {
        assert_eq!(said(&text, label), Some(what), "{text}");
    }
    let listens = said(&text, "listens").unwrap();
    assert!(
        listens.ends_with("3000, shared, handover by bind"),
        "{listens}"
    );
    let units = said(&text, "units").unwrap();
    assert!(units.contains("/web@.service"), "{units}");
    // A link to one of them is no file of the app.
    assert!(!units.contains(".wants/"), "{units}");
    assert_eq!(said(&text, "differs"), None, "{text}");
    assert_eq!(said(&text, "release"), Some("1".into()), "{text}");
}

#[test]
fn what_is_not_as_the_file_says_is_told_with_what_brings_it_in_line() {
    let mut stage = installed();
    let old = std::time::Duration::from_secs(1);
    stage.systemd.fake.set(Unit {
        need_daemon_reload: true,
        ..instance(old)
    });
    stage.write_app("listen = 3000\nkill_timeout = 7\n");
    let text = describe(&mut stage);
    let differs = said(&text, "differs").unwrap();
    let parts: Vec<&str> = differs.split("; ").collect();
    let [files, systemd, started, _] = parts.as_slice() else {
        panic!("{differs}");
    };
    let reload = "would change: `rsgen reload web` applies the file";
    assert!(
        files.contains("web@.service") && files.ends_with(reload),
        "{files}"
    );
    assert!(systemd.ends_with("`systemctl daemon-reload`"), "{systemd}");
    let outdated = "started before their unit was changed: 0";
    assert_eq!(*started, outdated);
}

/// The units of such an app are made by the generator, at each boot anew.
#[test]
fn an_app_without_pinned_units_differs_from_nothing() {
    let mut stage = Stage::running(&["web.service", "web@0.service"]);
    stage.write_app("listen = 3000\n");
    let text = describe(&mut stage);
    assert_eq!(said(&text, "differs"), None, "{text}");
}
