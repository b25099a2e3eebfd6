//! The file that `rsgen install` is given: an ecosystem file, a PM2 file or a script.

use super::lines::run;
use super::stage::Stage;

#[test]
fn a_pm2_file_is_installed_where_its_import_is_asked_for_and_nothing_is_written_for_a_dry_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("processes.json");
    let text = r#"{ "apps": [{ "name": "web", "script": "/bin/true", "interpreter": "none" }] }"#;
    std::fs::write(&file, text).unwrap();
    let made = folder.path().join("ecosystem.toml");
    let install = |more: &str| {
        let line = format!("rsgen install {}{more} --dry-run", file.display());
        run(&mut Stage::running(&[]), &line)
    };
    let refused = install("").fault();
    assert!(refused.contains("with --import this command"), "{refused}");
    let ran = install(" --import");
    assert_eq!(ran.jobs(), [""; 0]);
    assert!(!made.exists());
    std::fs::write(&made, "").unwrap();
    let there = install(" --import").fault();
    let wanted = format!("`{}` already exists; ", made.display());
    assert!(there.starts_with(&wanted), "{there}");
}

#[test]
fn what_is_for_a_script_is_refused_beside_an_ecosystem_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eco.toml");
    std::fs::write(&file, "").unwrap();
    for option in [" --listen 3000", " --name web", " -- --verbose"] {
        let line = format!("rsgen install {}{option}", file.display());
        let fault = run(&mut Stage::running(&[]), &line).fault();
        let wanted = "--listen, --name and arguments are for a script; ";
        assert!(fault.starts_with(wanted), "{option}: {fault}");
    }
}
