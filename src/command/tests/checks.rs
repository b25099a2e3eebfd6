//! `rsgen check`, and what is said of addresses and failures.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::lines::{run, run_for_system};
use super::stage::{Recorder, Stage};
use crate::command::apply::Move;
use crate::command::balance;
use crate::command::deployment::{Goal, each};
use crate::ecosystem::{self, pin};
use crate::generate::files;
use crate::output::Failure;

#[test]
fn the_errors_of_a_file_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eco.toml");
    let app = "[[apps]]\nname = \"web\"\nscript = \"/bin/true\"\ninterpreter = \"none\"\nlisten = \"/run/web\"\n";
    let fault = |lines: &str, option: &str| {
        std::fs::write(&file, format!("{app}{lines}")).unwrap();
        let line = format!("rsgen check {}{option}", file.display());
        run(&mut Stage::running(&[]), &line).fault()
    };
    assert_eq!(fault("instances = \"x\"\n", ""), "1 error; ");
    assert_eq!(
        fault("instances = \"x\"\nautorestart = 7\n", ""),
        "2 errors; "
    );
    let environment = fault("", " --env red");
    assert!(
        environment.contains("has no environment `red`"),
        "{environment}"
    );
}

#[test]
fn an_address_that_stays_is_closed_for_another_balance() {
    let stays = Move {
        from: "3000".into(),
        to: "3000".into(),
        why: None,
    };
    assert_eq!(
        stays.cost("web"),
        "`web` listens on 3000; another `balance` closes 3000 first"
    );
    assert_eq!(
        stays.refusal("web"),
        "`web` listens on 3000; a reload cannot change its `balance`"
    );
}

#[test]
fn a_failure_before_or_after_a_deployment_is_one_of_the_deployment() {
    let mut stage = Stage::running(&[]);
    stage.write_app("listen = 1\n");
    let prepared = [stage.prepare()];
    let mut done = || each(&mut stage.jobs(), &prepared, Goal::CURRENT).unwrap();
    let (mut before, mut after) = (done(), done());
    assert!(!before.is_any_failed() && !after.is_any_failed());
    before.add(vec![Failure::failed("no address")]);
    after.fail(0, Failure::failed("no address"));
    assert!(before.is_any_failed() && after.is_any_failed());
}

#[test]
fn what_does_not_fit_the_program_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let program = at("server");
    std::os::unix::fs::symlink("/bin/true", &program).unwrap();
    std::fs::create_dir(at("lib")).unwrap();
    let package = r#"{ "dependencies": { "socket.io": "4" } }"#;
    std::fs::write(at("package.json"), package).unwrap();
    let told = |lines: &str| {
        let text = format!(
            "[[apps]]\nname = \"web\"\nscript = {program:?}\ninterpreter = \"none\"\nlisten = \"/run/web\"\n{lines}"
        );
        std::fs::write(at("eco.toml"), text).unwrap();
        let line = format!("rsgen check {}", at("eco.toml").display());
        let ran = run(&mut Stage::running(&[]), &line);
        assert!(ran.failure.is_none(), "{}", ran.told);
        ran.told
    };
    let several = told("instances = 2\nwatch = [\"lib\", \"package.json\", \"src\"]\n");
    assert!(several.contains("uses socket.io"), "{several}");
    assert!(several.contains("src`, which does not exist"), "{several}");
    for there in ["lib", "package.json"] {
        assert!(!several.contains(&format!("{there}`, which")), "{several}");
    }
    assert!(!told("").contains("socket.io"));
}

#[test]
fn one_address_that_was_found_is_written_as_people_write_it() {
    let text = "[[apps]]\nname = \"web\"\nscript = \"x\"\n";
    let with = |all: &[&str]| {
        let listen: Vec<_> = all.iter().map(|one| one.parse().unwrap()).collect();
        pin::with_listen(text, &listen).unwrap()
    };
    assert!(with(&["3000"]).contains("listen = \"3000\""));
    assert!(with(&["3000", "3001"]).contains("listen = [\"3000\", \"3001\"]"));
    assert!(pin::is_found(&with(&["3000"])) && !pin::is_found(text));
}

#[test]
fn the_link_of_a_timer_that_is_not_ours_is_left_alone() {
    let stage = Stage::running(&[]);
    let links = || files::enablement(&stage.layout, "web");
    let has_timer = |links: &[PathBuf]| links.iter().any(|link| link.ends_with("web.timer"));
    let timer = stage.layout.units.join("web.timer");
    std::fs::write(&timer, "[Timer]\nOnCalendar=daily\n").unwrap();
    assert!(!has_timer(&links()) && !links().is_empty());
    std::fs::write(
        &timer,
        "# Written by rsgen for web\n[Timer]\n\n[X-rsgen]\nApp=web\n",
    )
    .unwrap();
    assert!(has_timer(&links()));
}

#[test]
fn the_units_of_a_package_need_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eco.toml");
    let app = "[[apps]]\nname = \"web\"\nscript = \"/bin/true\"\ninterpreter = \"none\"\n";
    let is_made = |lines: &str| {
        std::fs::write(&file, format!("{app}{lines}")).unwrap();
        let (file, folder) = (file.display(), folder.path().display());
        let line = format!("rsgen generate -o {folder}/units {file}");
        run(&mut Stage::running(&[]), &line).failure.is_none()
    };
    assert!(!is_made("") && is_made("listen = 3000\n"));
}

#[test]
fn what_the_script_of_a_package_says_is_not_held_to_the_host_that_builds_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("web"), "#!/usr/bin/env no-such-interpreter\n").unwrap();
    std::fs::set_permissions(at("web"), PermissionsExt::from_mode(0o755)).unwrap();
    let app = format!(
        "[[apps]]\nname = \"web\"\nscript = {:?}\nlisten = 3000\n",
        at("web")
    );
    std::fs::write(at("eco.toml"), app).unwrap();
    let checked = run(
        &mut Stage::running(&[]),
        &format!("rsgen check {}", at("eco.toml")),
    );
    assert_eq!(checked.fault(), "1 error; ");
    let line = format!("rsgen generate -o {} {}", at("units"), at("eco.toml"));
    run(&mut Stage::running(&[]), &line).jobs();
}

#[test]
fn below_the_root_of_another_host_the_worker_reads_what_a_deployment_brings() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name).display().to_string();
    std::fs::create_dir_all(at("usr/lib/web")).unwrap();
    let app = "[[apps]]\nname = \"web\"\nscript = \"/bin/true\"\ninterpreter = \"none\"\nuser = \"root\"\nlisten = 3000\n\
        env_file = [\"/usr/lib/web/env\", \"/srv/web/.env\"]\n";
    std::fs::write(at("usr/lib/web/eco.toml"), app).unwrap();
    let (file, units) = (at("usr/lib/web/eco.toml"), at("units"));
    let line = format!("rsgen generate --root {} -o {units} {file}", at(""));
    run_for_system(&mut Stage::running(&[]), &line).jobs();
    let unit = std::fs::read_to_string(at("units/web@.service")).unwrap();
    let by_systemd: Vec<&str> = unit
        .lines()
        .filter(|line| line.starts_with("EnvironmentFile="))
        .collect();
    assert_eq!(by_systemd, ["EnvironmentFile=-/usr/lib/web/env"]);
}

#[test]
fn an_even_balance_is_told() {
    let app = |balance: &str| {
        let text = format!(
            "[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = 3000\nbalance = \"{balance}\"\n"
        );
        let sink = Recorder::default();
        let stage = Stage::running(&[]);
        balance::tell(&sink, &stage.layout, &ecosystem::parse("", &text).0[0]);
        sink.told().join("\n")
    };
    assert!(app("even").contains("connections go to the instances in turn"));
    assert_eq!(app("shared"), "");
}

#[test]
fn an_environment_has_a_name() {
    let text = "[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = 1\nenv_ = { A = 1 }\n";
    let (_, report) = ecosystem::parse("", text);
    let said = report.render(false).to_string();
    assert!(said.contains("unknown key `env_`"), "{said}");
}
