//! The failure of a job: why the unit is down, and what to look at.

use super::lines::run;
use super::stage::{Stage, unit};
use crate::brake::Deaths;
use crate::state::{Entry, Name};
use crate::systemd::fake::Start;
use crate::systemd::{ActiveState, Unit, Verb};

/// A host with an app of two instances, of which the second has died.
fn dead(more: &str) -> Stage {
    let mut stage = Stage::running(&[]);
    stage.write_app(&format!("listen = 1\ninstances = 2\n{more}"));
    let deaths = Deaths {
        reason: "killed by SIGBUS".into(),
        ..Deaths::default()
    };
    let file = Entry::new(&stage.layout.state("web"), Name::Deaths(1));
    deaths.store(&file).unwrap();
    let down = unit("web@1.service", ActiveState::Failed, "failed");
    stage.systemd.fake.set(down);
    stage
}

#[test]
fn of_an_app_that_is_being_started_again_the_last_death_is_told() {
    for (of, start, why) in [
        ("web", Start::Fails, "web@1.service: killed by SIGBUS"),
        ("web", Start::GivesUp, "exited with status 1"),
        ("web@0", Start::Fails, "exited with status 1"),
    ] {
        let mut stage = dead("");
        let unit = format!("{of}.service");
        stage.systemd.fake.script(&unit, &[start]);
        let failure = stage.jobs().run(Verb::Start, &unit).unwrap_err();
        let message = failure.message;
        let is_told = message.ends_with(&format!(" ({why})"));
        assert!(is_told, "{message}");
    }
}

#[test]
fn where_conditions_keep_all_instances_down_they_are_told_with_what_to_do() {
    let mut stage = Stage::running(&[]);
    stage.write_app("listen = 1\ninstances = 5\n");
    let down = |number: u32, unmet: String| Unit {
        unmet,
        ..unit(
            &format!("web@{number}.service"),
            ActiveState::Inactive,
            "dead",
        )
    };
    for number in 0..5 {
        // Two have the same.
        let path = number.max(1);
        let condition = format!("ConditionPathExists=/srv/{path}");
        stage.systemd.fake.set(down(number, condition));
    }
    let start = |stage: &mut Stage| {
        stage.systemd.fake.script("web.service", &[Start::GivesUp]);
        stage.jobs().run(Verb::Start, "web.service").unwrap_err()
    };
    let failure = start(&mut stage);
    let why = |path| format!("not started, because `ConditionPathExists=/srv/{path}` did not hold");
    let reasons = [1, 2, 3].map(why).join("; ");
    let told = format!("start of web.service failed: {reasons}");
    assert_eq!(failure.message, told);
    let help = failure.help.unwrap_or_default();
    assert!(
        help.contains("`[apps.unit]`") && help.contains("`systemctl cat web@0.service`"),
        "{help}"
    );
    // Where another has died, the journal says why.
    stage.systemd.fake.set(down(3, String::new()));
    let failure = start(&mut stage);
    assert!(failure.help.unwrap_or_default().contains("journalctl"));
}

#[test]
fn of_many_reasons_the_first_are_told() {
    let mut stage = dead("");
    for number in 2..70 {
        let deaths = Deaths {
            reason: format!("its port is 30{number}"),
            ..Deaths::default()
        };
        let file = Entry::new(&stage.layout.state("web"), Name::Deaths(number));
        deaths.store(&file).unwrap();
        let down = format!("web@{number}.service");
        let down = unit(&down, ActiveState::Failed, "failed");
        stage.systemd.fake.set(down);
    }
    stage.systemd.fake.script("web.service", &[Start::Fails]);
    let failure = stage.jobs().run(Verb::Start, "web.service").unwrap_err();
    let why = "(web@1.service: killed by SIGBUS; web@2.service: its port is 302; web@3.service: its port is 303; and 66 more)";
    assert!(failure.message.ends_with(why), "{}", failure.message);
}

#[test]
fn the_file_that_has_the_output_of_the_unit_is_named() {
    for (of, tail) in [("web@1", "/l/1.log"), ("web", "/l/*.log")] {
        let mut stage = dead("[apps.service]\nStandardOutput = \"append:/l/%i.log\"\n");
        let unit = format!("{of}.service");
        stage.systemd.fake.script(&unit, &[Start::GivesUp]);
        let help = stage.jobs().run(Verb::Start, &unit).unwrap_err().help;
        let help = help.unwrap();
        let wanted = format!("the program writes to `/l/%i.log`: run `tail {tail}`");
        assert!(help.starts_with(&wanted), "{help}");
    }
}

/// To systemd, such a job is done.
#[test]
fn an_instance_that_a_condition_keeps_down_was_not_started_and_needs_no_stop() {
    let unmet = || {
        let mut stage = dead("");
        stage.systemd.fake.set(Unit {
            unmet: "ConditionHost=a".into(),
            ..unit("web@1.service", ActiveState::Inactive, "dead")
        });
        stage
    };
    for verb in ["start", "restart"] {
        let fault = run(&mut unmet(), &format!("rsgen {verb} web@1")).fault();
        let why = "not started, because `ConditionHost=a` did not hold";
        let wanted = format!("{verb} of web@1.service failed: {why}; make sure that it holds");
        assert!(fault.starts_with(&wanted), "{fault}");
        for command in ["`rsgen reload web`", "`systemctl cat web@1.service`"] {
            assert!(fault.contains(command), "{fault}");
        }
    }
    assert_eq!(
        run(&mut unmet(), "rsgen stop web@1").jobs(),
        ["stop web@1.service"]
    );
}
