//! What `rsgen scale` shows, and what happens to an app while it is scaled.

use std::time::Duration;

use super::lines::run;
use super::stage::{Stage, unit};
use crate::systemd::{ActiveState, Manager, Unit};

/// A host with an installed app of two instances, of which these units run.
fn installed(units: &[&str]) -> Stage {
    let mut stage = Stage::running(units);
    stage.write_app("listen = 1\ninstances = 2\n");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    stage.systemd.fake.log.clear();
    stage
}

const TWO: &[&str] = &["web.service", "web@0.service", "web@1.service"];

#[test]
fn each_instance_that_was_started_or_stopped_is_named() {
    let mut stage = installed(TWO);
    let up = run(&mut stage, "rsgen scale web 4").told;
    for said in ["web@2: start done", "web@3: start done"] {
        assert!(up.contains(said), "{said}: {up}");
    }
    let down = run(&mut stage, "rsgen scale web 1");
    assert_eq!(down.shown, "web: 1 instance");
    for said in ["web@1: stop done", "web@2: stop done", "web@3: stop done"] {
        assert!(down.told.contains(said), "{said}: {}", down.told);
    }
}

/// Instances are told of only where there are any to be started or stopped.
#[test]
fn an_app_that_is_not_active_is_not_said_to_be_scaled() {
    let told = run(&mut installed(&[]), "rsgen scale web 4").told;
    assert!(!told.contains("scaling"), "{told}");
    // A killed command has written the files, and no instance has come to run.
    let mut stage = installed(&["web.service", "web@0.service"]);
    let never_ran = unit("web@1.service", ActiveState::Inactive, "dead");
    stage.systemd.fake.set(Unit {
        result: "success".into(),
        ..never_ran
    });
    let ran = run(&mut stage, "rsgen scale web 2");
    assert!(!ran.told.contains("scaling"), "{}", ran.told);
    assert!(ran.jobs().contains(&"start web@1.service".into()));
}

#[test]
fn a_script_gets_the_files_that_are_changed_and_with_a_dry_run_their_diffs() {
    let mut stage = installed(TWO);
    for (option, has_diff) in [(" --dry-run", true), ("", false)] {
        let json = run(&mut stage, &format!("rsgen scale web 3{option}")).json;
        let changes = json["changes"].as_array().unwrap();
        let cluster = stage.layout.units.join("web.service");
        let of_cluster = changes
            .iter()
            .find(|change| change["path"] == cluster.to_str().unwrap());
        let change = of_cluster.unwrap();
        assert_eq!(change["action"], "change", "{json}");
        assert_eq!(change["diff"].is_string(), has_diff, "{json}");
    }
}

/// A stop of the app takes its instances along, and one that was started afterwards would run without the app.
#[test]
fn a_new_instance_is_not_started_again_for_an_app_that_was_stopped_meanwhile() {
    let mut stage = installed(TWO);
    let fake = &mut stage.systemd.fake;
    fake.cancel("web@2.service", 1);
    let now = fake.now();
    fake.set_at(now, unit("web.service", ActiveState::Inactive, "dead"));
    let ran = run(&mut stage, "rsgen scale web 3");
    let starts = ran.log.iter().filter(|job| *job == "start web@2.service");
    assert_eq!(starts.count(), 1, "{:?}", ran.log);
    let fault = ran.fault();
    let said = "web was stopped before its new instances were up";
    assert!(fault.starts_with(said), "{fault}");
}

#[test]
fn a_reload_that_was_asked_for_before_is_waited_for_no_longer_than_it_takes() {
    let mut stage = installed(TWO);
    let cluster = |active| unit("web.service", active, "");
    let fake = &mut stage.systemd.fake;
    fake.set(cluster(ActiveState::Reloading));
    let soon = fake.now() + Duration::from_secs(5);
    fake.set_at(soon, cluster(ActiveState::Active));
    run(&mut stage, "rsgen scale web 3").jobs();
    let now = stage.systemd.now();
    assert!(
        now >= soon && now < soon + Duration::from_secs(5),
        "{now:?}"
    );
}

/// Only the package changes what it has brought, its number of instances included.
#[test]
fn the_units_of_a_package_are_neither_scaled_nor_edited() {
    let mut stage = installed(TWO);
    let vendor = &stage.layout.vendor_units[1];
    std::fs::create_dir_all(vendor).unwrap();
    for unit in ["web.service", "web@.service"] {
        std::fs::rename(stage.layout.units.join(unit), vendor.join(unit)).unwrap();
    }
    std::fs::remove_file(stage.layout.file("web")).unwrap();
    for command in ["scale web 3", "edit web"] {
        let fault = run(&mut stage, &format!("rsgen {command}")).fault();
        let said = "the units of `web` belong to a package, and only the package changes them; ";
        assert!(fault.starts_with(said), "{command}: {fault}");
    }
}
