//! `--prune`: the apps that a file has brought and no longer has.

use std::path::PathBuf;

use tempfile::TempDir;

use super::lines::{Ran, run};
use super::stage::{Stage, unit};
use crate::command::gone::Gone;
use crate::command::input::Input;
use crate::command::ledger::Ledger;
use crate::command::prune;
use crate::ecosystem;
use crate::systemd::ActiveState;
use crate::systemd::fake::Start;

/// A host, and a folder with ecosystem files.
struct Host {
    stage: Stage,
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        Self {
            stage: Stage::running(&[]),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes an ecosystem file with these apps, each with the name of its socket.
    fn write(&self, file: &str, apps: &[(&str, &str)]) {
        let app = |(name, socket): &(&str, &str)| {
            let socket = self.path(socket);
            format!(
                "[[apps]]\nname = \"{name}\"\nscript = \"/bin/true\"\ninterpreter = \"none\"\nlisten = {socket:?}\n"
            )
        };
        let text: String = apps.iter().map(app).collect();
        std::fs::write(self.path(file), text).unwrap();
    }

    /// Runs a subcommand with a file and these arguments.
    fn run(&mut self, subcommand: &str, file: &str, more: &str) -> Ran {
        let line = format!("rsgen {subcommand} {} {more}", self.path(file).display());
        run(&mut self.stage, line.trim_end())
    }

    fn installed(&self) -> Vec<&'static str> {
        let mut apps = vec!["api", "shop", "web"];
        apps.retain(|app| self.stage.layout.file(app).exists());
        apps
    }
}

#[test]
fn an_app_that_the_file_no_longer_has_is_told_and_removed_only_with_prune() {
    let mut host = Host::new();
    host.write("eco.toml", &[("web", "web"), ("api", "api")]);
    host.run("install", "eco.toml", "").jobs();
    host.write("eco.toml", &[("web", "web")]);
    let file = host.path("eco.toml").display().to_string();
    for subcommand in ["install", "deploy", "reload"] {
        let ran = host.run(subcommand, "eco.toml", "");
        let verb = if subcommand == "install" {
            "install"
        } else {
            "deploy"
        };
        let told = format!(
            "api: `{file}` no longer has this app, which keeps running; `rsgen --user {verb} {file} --prune` removes it"
        );
        assert!(ran.told.contains(&told), "{}", ran.told);
        ran.jobs();
    }
    let only = host.run("install", "eco.toml", "--only web");
    assert!(!only.told.contains("no longer has"), "{}", only.told);

    let dry = host.run("install", "eco.toml", "--prune --dry-run");
    assert!(dry.shown.contains("api: would uninstall"), "{}", dry.shown);
    let removed = format!("remove {}", host.stage.layout.file("api").display());
    assert!(dry.told.contains(&removed), "{}", dry.told);
    assert_eq!(dry.jobs(), Vec::<String>::new());
    assert_eq!(host.installed(), ["api", "web"]);

    let ran = host.run("install", "eco.toml", "--prune");
    assert!(!ran.shown.contains("nothing to do"), "{}", ran.shown);
    let log = ran.jobs();
    assert!(log.contains(&"stop api.service".to_owned()), "{log:?}");
    assert!(!log.iter().any(|job| job.contains("web")), "{log:?}");
    assert_eq!(host.installed(), ["web"]);
    let again = host.run("install", "eco.toml", "--prune").jobs();
    assert_eq!(again, Vec::<String>::new());
}

#[test]
fn nothing_is_done_while_connections_wait_for_an_app_that_would_be_removed() {
    let mut host = Host::new();
    host.write("eco.toml", &[("web", "web"), ("api", "api")]);
    host.run("install", "eco.toml", "").jobs();
    let pause = unit("api:pause.service", ActiveState::Active, "");
    host.stage.systemd.fake.set(pause);
    host.write("eco.toml", &[("web", "moved")]);
    let ran = host.run("install", "eco.toml", "--prune");
    assert_eq!(ran.log, [""; 0]);
    let fault = ran.fault();
    assert!(fault.starts_with("`api` is paused; "), "{fault}");
    assert_eq!(host.installed(), ["api", "web"]);
}

#[test]
fn what_the_file_has_not_brought_stays() {
    let mut host = Host::new();
    host.write(
        "eco.toml",
        &[("web", "web"), ("api", "api"), ("shop", "shop")],
    );
    host.run("install", "eco.toml", "").jobs();
    // Another file has the one by now, and of the other it is not known, as after an install by an older version.
    host.write("other.toml", &[("api", "api")]);
    host.run("install", "other.toml", "").jobs();
    let layout = host.stage.layout.clone();
    let older = Ledger {
        origin: None,
        ..Ledger::read(&layout, "shop").ok().unwrap()
    };
    assert!(older.write(&layout, "shop").is_ok());
    host.write("eco.toml", &[("web", "web")]);
    let ran = host.run("install", "eco.toml", "--prune");
    assert_eq!(ran.told, "");
    assert_eq!(ran.jobs(), Vec::<String>::new());
    assert_eq!(host.installed(), ["api", "shop", "web"]);
}

#[test]
fn an_app_with_another_name_takes_over_the_address_only_with_prune() {
    let mut host = Host::new();
    host.write("eco.toml", &[("web", "web"), ("api", "api")]);
    host.run("install", "eco.toml", "").jobs();
    host.write("eco.toml", &[("api", "api"), ("shop", "web")]);
    let refused = host.run("install", "eco.toml", "");
    let report = refused.failure.unwrap().report.unwrap();
    let report = report.render(false).to_string();
    let help = format!(
        "install {} --prune` to remove it",
        host.path("eco.toml").display()
    );
    assert!(report.contains(&help), "{report}");
    assert_eq!(host.installed(), ["api", "web"]);

    let told = "shop: needs an address of `web`, which is uninstalled just before the start";
    let dry = host.run("install", "eco.toml", "--prune --dry-run");
    assert!(dry.told.contains(told), "{}", dry.told);
    assert_eq!(dry.jobs(), Vec::<String>::new());
    let ran = host.run("install", "eco.toml", "--prune");
    assert!(ran.told.contains(told), "{}", ran.told);
    let log = ran.jobs();
    let at = |job: &str| log.iter().position(|l| l == job).unwrap();
    assert!(at("stop web.service") < at("start shop.service"), "{log:?}");
    assert_eq!(host.installed(), ["api", "shop"]);
}

#[test]
fn an_app_that_serves_elsewhere_takes_nothing_over() {
    let mut host = Host::new();
    host.write("eco.toml", &[("web", "web"), ("api", "api")]);
    host.run("install", "eco.toml", "").jobs();
    host.write("eco.toml", &[("api", "web")]);
    let fault = host.run("install", "eco.toml", "--prune").fault();
    assert!(
        fault.ends_with("run `rsgen uninstall web` first"),
        "{fault}"
    );
    assert_eq!(host.installed(), ["api", "web"]);
}

#[test]
fn a_file_that_has_lost_all_its_apps_removes_none() {
    let mut host = Host::new();
    host.write("eco.toml", &[("web", "web"), ("api", "api")]);
    host.run("install", "eco.toml", "").jobs();
    std::fs::write(host.path("eco.toml"), "apps = []\n").unwrap();
    let fault = host.run("install", "eco.toml", "--prune").fault();
    let told = "has no app, so `--prune` would remove all of its apps";
    assert!(fault.contains(told), "{fault}");
    assert_eq!(host.installed(), ["api", "web"]);
}

#[test]
fn nothing_is_removed_after_a_failure() {
    let mut host = Host::new();
    host.write("eco.toml", &[("web", "web"), ("api", "api")]);
    host.run("install", "eco.toml", "").jobs();
    host.write("eco.toml", &[("shop", "shop")]);
    host.stage
        .systemd
        .fake
        .script("shop.service", &[Start::Fails]);
    let fault = host.run("install", "eco.toml", "--prune").fault();
    assert!(
        fault.contains("not removed, since that is the last step: `api`, `web`"),
        "{fault}"
    );
    assert_eq!(host.installed(), ["api", "shop", "web"]);
    host.run("install", "eco.toml", "--prune").jobs();
    assert_eq!(host.installed(), ["shop"]);
}

#[test]
fn an_app_that_took_over_and_failed_is_started_by_the_same_command() {
    let mut host = Host::new();
    host.write("eco.toml", &[("web", "web")]);
    host.run("install", "eco.toml", "").jobs();
    host.write("eco.toml", &[("shop", "web")]);
    host.stage
        .systemd
        .fake
        .script("shop.service", &[Start::Fails]);
    assert!(host.run("install", "eco.toml", "--prune").failure.is_some());
    assert_eq!(host.installed(), ["shop"]);
    let log = host.run("install", "eco.toml", "--prune").jobs();
    assert!(log.contains(&"start shop.service".to_owned()), "{log:?}");
}

#[test]
fn a_file_is_known_by_the_path_as_it_was_written() {
    let mut host = Host::new();
    let link = |host: &Host, release: &str| {
        let current = host.path("current");
        let _ = std::fs::remove_file(&current);
        std::fs::create_dir_all(host.path(release)).unwrap();
        std::os::unix::fs::symlink(release, &current).unwrap();
    };
    link(&host, "1");
    host.write("current/eco.toml", &[("web", "web"), ("api", "api")]);
    host.run("install", "current/eco.toml", "").jobs();
    link(&host, "2");
    host.write("current/eco.toml", &[("web", "web")]);
    host.run("install", "2/eco.toml", "--prune").jobs();
    assert_eq!(host.installed(), ["api", "web"], "another file");
    host.run("install", "current/eco.toml", "--prune").jobs();
    assert_eq!(host.installed(), ["web"]);
}

#[test]
fn an_app_whose_units_are_nobodys_pinned_ones_is_not_counted() {
    let mut host = Host::new();
    host.write("eco.toml", &[("web", "web"), ("api", "api")]);
    host.run("install", "eco.toml", "").jobs();
    // The generator makes the units of an installed file that has none.
    for unit in std::fs::read_dir(&host.stage.layout.units).unwrap() {
        let unit = unit.unwrap();
        if unit.file_name().to_str().unwrap().starts_with("api") {
            let _ = std::fs::remove_file(unit.path());
        }
    }
    host.write("eco.toml", &[("web", "web")]);
    let ran = host.run("install", "eco.toml", "--prune");
    assert_eq!(ran.told, "");
    assert_eq!(host.installed(), ["api", "web"]);
}

#[test]
fn an_app_of_which_nobody_can_read_where_it_comes_from_stops_only_a_removal() {
    let mut host = Host::new();
    host.write("eco.toml", &[("web", "web"), ("api", "api")]);
    host.run("install", "eco.toml", "").jobs();
    std::fs::write(Ledger::path(&host.stage.layout, "api"), "{").unwrap();
    host.write("eco.toml", &[("web", "web")]);
    let ran = host.run("install", "eco.toml", "");
    assert_eq!(ran.told, "");
    assert_eq!(ran.jobs(), Vec::<String>::new());
    let fault = host.run("install", "eco.toml", "--prune").fault();
    assert!(fault.contains("api.json"), "{fault}");
    assert_eq!(host.installed(), ["api", "web"]);
}

/// The addresses of an app that is going to be removed are its own until then, and no other program's.
#[test]
fn the_addresses_of_an_app_that_is_replaced_count_as_taken_only_where_it_does_not_listen() {
    let active = ActiveState::Active;
    let inactive = ActiveState::Inactive;
    for (socket, listener, left) in [
        (inactive, inactive, 2),
        (active, inactive, 1),
        (inactive, active, 1),
        (active, active, 1),
    ] {
        let mut host = Host::new();
        host.write("eco.toml", &[("web", "web")]);
        host.run("install", "eco.toml", "").jobs();
        host.write("eco.toml", &[("shop", "web")]);
        let (shared, new) = (host.path("web"), host.path("new"));
        let text = std::fs::read_to_string(host.path("eco.toml")).unwrap();
        let both = text.replace(&format!("{shared:?}"), &format!("[{shared:?}, {new:?}]"));
        std::fs::write(host.path("eco.toml"), both).unwrap();
        for (name, active) in [("web.socket", socket), ("web@0.socket", listener)] {
            host.stage.systemd.fake.set(unit(name, active, ""));
        }
        let input = Input::read(&host.path("eco.toml")).unwrap();
        let layout = host.stage.layout.clone();
        let gone = Gone::find(&layout, &input, &[], true).ok().unwrap();
        assert_eq!(gone.apps, ["web"]);
        let (apps, _) = ecosystem::parse("eco.toml", &input.text);
        let rest = prune::without_replaced(&mut host.stage.jobs(), &gone, &apps[0]);
        let rest = rest.ok().unwrap();
        assert_eq!(rest.listen.len(), left, "{socket:?} {listener:?}");
        assert_eq!(rest.listen.last(), apps[0].listen.last());
    }
}

#[test]
fn apps_are_removed_for_a_file_alone() {
    let mut stage = Stage::running(&["web.service"]);
    stage.write_app("listen = 1\n");
    let fault = run(&mut stage, "rsgen reload web --prune").fault();
    let wanted = "`--prune` needs an ecosystem file; run `rsgen reload ecosystem.toml --prune`";
    assert!(fault.starts_with(wanted), "{fault}");
}
