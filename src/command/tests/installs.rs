//! `rsgen install` and `rsgen reload` of an ecosystem file, and the choices of a command line that are kept.

use std::net::TcpListener;
use std::path::PathBuf;

use tempfile::TempDir;

use super::lines::{Ran, run};
use super::stage::Stage;
use crate::contract::FURTHER;
use crate::systemd::fake::Fake;
use crate::systemd::{ActiveState, Unit};

/// A host, and a folder with an ecosystem file.
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

    fn file(&self) -> PathBuf {
        self.folder.path().join("eco.toml")
    }

    /// Writes the ecosystem file of an app with these lines.
    fn write(&self, lines: &str) {
        let socket = self.folder.path().join("web.sock");
        let app = "name = \"web\"\nscript = \"/bin/true\"\ninterpreter = \"none\"\n";
        let text = format!("[[apps]]\n{app}listen = {socket:?}\n{lines}");
        std::fs::write(self.file(), text).unwrap();
    }

    /// Runs a subcommand with the file and these arguments.
    fn run(&mut self, subcommand: &str, more: &str) -> Ran {
        let line = format!("rsgen {subcommand} {} {more}", self.file().display());
        run(&mut self.stage, line.trim_end())
    }

    fn unit(&self, name: &str) -> String {
        self.stage.unit(name)
    }
}

#[test]
fn a_file_is_installed_and_a_file_that_has_changed_is_deployed() {
    let mut host = Host::new();
    host.write("");
    let dry = host.run("install", "--dry-run");
    assert!(dry.told.contains("web.service"), "{}", dry.told);
    assert_eq!(dry.jobs(), Vec::<String>::new());
    assert_eq!(host.unit("web.service"), "");
    let installed = host.run("install", "");
    assert!(installed.shown.contains("STATUS"), "{}", installed.shown);
    let log = installed.jobs();
    assert_eq!(log, ["daemon-reload", "start web.service"]);
    assert_eq!(host.run("install", "").jobs(), Vec::<String>::new());

    host.write("env = { COLOUR = \"green\" }\n");
    let log = host.run("reload", "").jobs();
    assert_eq!(log, ["daemon-reload", "reload web.service"]);
    assert!(host.unit("web@.service").contains("green"));
    host.write("env_red = { COLOUR = \"red\" }\n");
    host.run("reload", "--env red").jobs();
    assert!(host.unit("web@.service").contains("COLOUR=red"));
}

#[test]
fn a_start_says_that_the_file_differs_from_the_installed_copy() {
    let mut host = Host::new();
    let differs = |host: &mut Host, env: &str| {
        let told = host.run("start", "").told;
        let file = host.file().display().to_string();
        let said = format!("{file} differs from the installed copy, which this command uses");
        let next = format!("run `rsgen --user deploy {file}{env}`");
        assert_eq!(told.contains(&said), told.contains(&next), "{told}");
        told.contains(&said)
    };
    host.write("");
    host.run("install", "").jobs();
    assert!(!differs(&mut host, ""));
    host.write("env = { COLOUR = \"green\" }\n");
    assert!(differs(&mut host, ""));
    // The environment of the last install is none that the file no longer says.
    let red = "env_red = { COLOUR = \"red\" }\n";
    host.write(red);
    host.run("install", "--env red").jobs();
    assert!(!differs(&mut host, ""));
    host.write(&format!("{red}kill_timeout = 3000\n"));
    assert!(differs(&mut host, " --env NAME"));
    assert!(!host.run("stop", "").told.contains("differs"));
}

#[test]
fn the_number_of_instances_and_the_environment_of_a_command_line_are_kept() {
    let mut host = Host::new();
    let file = "env_red = { COLOUR = \"red\" }\nenv_blue = { COLOUR = \"blue\" }\n";
    host.write(file);
    host.run("install", "--instances 3 --env red").jobs();
    let is_red = |host: &Host| host.unit("web@.service").contains("COLOUR=red");
    let wants = |host: &Host| {
        let links = host.stage.layout.units.join("web.service.wants");
        std::fs::read_dir(links).unwrap().count()
    };
    assert_eq!((is_red(&host), wants(&host)), (true, 3));
    for line in ["--dry-run", ""] {
        let ran = host.run("install", line);
        let told = ran.told.to_lowercase();
        assert!(told.contains('3') && told.contains("red"), "{told}");
        ran.jobs();
        assert_eq!((is_red(&host), wants(&host)), (true, 3), "{line}");
    }
    // A number that the file itself changes counts, and so does the wish for no environment.
    host.write(&format!("{file}instances = 2\n"));
    host.run("install", "--env=").jobs();
    assert_eq!((is_red(&host), wants(&host)), (false, 2));
}

#[test]
fn an_install_of_the_installed_file_keeps_the_name_of_the_environment() {
    let mut host = Host::new();
    host.write("env_red = { COLOUR = \"red\" }\n");
    host.run("install", "--env red").jobs();
    let file = host.stage.layout.file("web");
    let last = || {
        let text = std::fs::read_to_string(&file).unwrap();
        text.lines().last().unwrap().to_owned()
    };
    let mark = last();
    assert!(mark.starts_with('#') && mark.contains("red"), "{mark}");
    run(
        &mut host.stage,
        &format!("rsgen install {}", file.display()),
    )
    .jobs();
    assert_eq!(last(), mark);
}

#[test]
fn an_environment_that_the_file_does_not_have_is_answered_with_those_that_it_has() {
    let mut host = Host::new();
    host.write("");
    let fault = |host: &mut Host, name: &str| host.run("install", &format!("--env {name}")).fault();
    let none = fault(&mut host, "red");
    assert!(
        none.ends_with("; add a table `[apps.env_red]` to an app"),
        "{none}"
    );
    host.write("env_production = { A = 1 }\n");
    let near = fault(&mut host, "producton");
    assert!(
        near.ends_with("has no environment `producton`; did you mean `production`?"),
        "{near}"
    );
    let far = fault(&mut host, "blue");
    assert!(far.ends_with("; the environments are production"), "{far}");
}

#[test]
fn the_files_that_a_program_reads_have_to_be_there_when_it_is_started() {
    let mut host = Host::new();
    host.write("env_file = \"/nonexistent/env\"\n");
    host.run("install", "--dry-run").jobs();
    assert!(host.run("install", "").failure.is_some());
}

#[test]
fn an_install_says_which_program_comes_first_in_the_path() {
    let mut host = Host::new();
    let interpreter = host.folder.path().join("runtime");
    std::os::unix::fs::symlink("/bin/true", &interpreter).unwrap();
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"/bin/true\"\ninterpreter = {interpreter:?}\nlisten = \"/run/web\"\n"
    );
    std::fs::write(host.file(), text).unwrap();
    let told = host.run("install", "--dry-run").told;
    let said = format!("web: uses `{}`, whose folder", interpreter.display());
    assert!(told.contains(&said), "{told}");
}

#[test]
fn a_further_port_of_the_first_instance_is_told() {
    let mut host = Host::new();
    host.write("");
    let first = Unit {
        name: "web@0.service".into(),
        active: ActiveState::Active,
        status_text: format!("127.0.0.1:9100{FURTHER}"),
        ..Unit::default()
    };
    host.stage.systemd.fake.set(first);
    let told = host.run("install", "").told;
    assert!(told.contains(FURTHER), "{told}");
}

#[test]
fn an_address_is_left_by_an_app_that_serves_after_the_next_is_open_or_first_if_that_is_asked_for() {
    for (is_served, option, socket) in [
        (true, "", "web:2.socket"),
        (true, "--replace-listener", "web.socket"),
        (false, "", "web.socket"),
    ] {
        let mut host = Host::new();
        host.write("");
        host.run("install", "").jobs();
        if is_served {
            host.stage.systemd.fake = Fake::running(&["web.service", "web@0.service"]);
        }
        let text = std::fs::read_to_string(host.file()).unwrap();
        std::fs::write(host.file(), text.replace("web.sock", "new.sock")).unwrap();
        for dry in ["--dry-run ", ""] {
            let ran = host.run("install", &format!("{dry}{option}"));
            assert!(ran.failure.is_none(), "{is_served} {option}{dry}");
        }
        assert!(host.unit(socket).contains("new.sock"), "{socket}");
        let other = host.stage.layout.units.join("web.socket");
        assert_eq!(other.exists(), socket == "web.socket");
    }
}

#[test]
fn a_port_of_another_program_is_refused_before_anything_is_done() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut host = Host::new();
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"/bin/true\"\ninterpreter = \"none\"\nlisten = \"{address}\"\n"
    );
    std::fs::write(host.file(), text).unwrap();
    for dry in ["--dry-run", ""] {
        let ran = host.run("install", dry);
        assert_eq!(ran.log, Vec::<String>::new());
        let fault = ran.fault();
        assert!(fault.contains("listens there"), "{fault}");
    }
    // Until the install the program may have gone, so `check` warns only.
    let checked = host.run("check", "");
    assert!(checked.told.contains("listens there"), "{}", checked.told);
    checked.jobs();
    host.stage.systemd.fake = Fake::running(&["web.socket"]);
    let is_told = |host: &mut Host| host.run("check", "").told.contains("listens there");
    assert!(!is_told(&mut host), "the app listens");
    host.stage.write_app("listen = 1\n");
    assert!(is_told(&mut host), "it listens elsewhere");
    // It is going to listen here as well, and nothing has to be closed for that.
    let changes = host.stage.prepare().changes;
    host.stage.write(&changes);
    host.stage.systemd.fake = Fake::running(&["web.service", "web.socket", "web@0.service"]);
    let fault = host.run("install", "").fault();
    assert!(fault.contains("listens there"), "{fault}");
}

/// A part of an address is no other address that could be opened first.
#[test]
fn an_app_that_serves_is_not_taken_off_its_address_unless_that_is_asked_for() {
    let mut host = Host::new();
    host.write("");
    let text = std::fs::read_to_string(host.file()).unwrap();
    let socket = format!("{:?}", host.folder.path().join("web.sock"));
    let listens = |listen: &str| text.replace(&socket, &format!("{listen:?}"));
    std::fs::write(host.file(), listens("127.0.0.1:1")).unwrap();
    host.run("install", "").jobs();
    std::fs::write(host.file(), listens("0.0.0.0:1")).unwrap();
    host.stage.systemd.fake = Fake::running(&["web.service", "web.socket", "web@0.service"]);
    let before = host.unit("web.socket");
    let fault = host.run("install", "").fault();
    assert!(fault.contains("add --replace-listener"), "{fault}");
    assert_eq!(host.unit("web.socket"), before);
    host.stage.systemd.fake = Fake::default();
    host.run("install", "").jobs();
    assert_ne!(host.unit("web.socket"), before, "nobody is served");
}

#[test]
fn a_script_is_installed_with_its_arguments_and_its_address() {
    let mut host = Host::new();
    let line = "install --dry-run --name web --listen /run/web /bin/true -- --fast";
    let told = run(&mut host.stage, &format!("rsgen {line}")).told;
    let said = ["-- /bin/true --fast", "ListenStream=/run/web"];
    assert!(said.iter().all(|said| told.contains(said)), "{told}");
}

#[test]
fn a_start_of_a_file_starts_no_rehearsal() {
    let mut host = Host::new();
    host.write("");
    host.run("install", "").jobs();
    let text = "[[apps]]\nname = \"web\"\nscript = \"/bin/true\"\ninterpreter = \"none\"\nenv = { A = 1 }\n";
    std::fs::write(host.file(), text).unwrap();
    assert_eq!(host.run("start", "").jobs(), ["start web.service"]);
}

/// For the number alone no instance has to be replaced.
#[test]
fn a_number_on_a_command_line_that_led_to_a_reload_is_answered_with_the_command_for_it() {
    let mut host = Host::new();
    host.write("");
    let told = host.run("install", "--instances 3").told;
    assert!(!told.contains(" scale web N"), "{told}");
    host.stage.systemd.fake = Fake::running(&["web.service", "web@0.service"]);
    let told = host.run("install", "--instances 2").told;
    let said =
        "to change only the number, run `rsgen --user scale web N`, which replaces no instance";
    assert!(told.contains(said), "{told}");
}

/// The units of a package are those of its file, whatever was chosen for an app of this name on the host that builds it.
#[test]
fn what_an_install_chose_does_not_count_for_a_package() {
    let mut host = Host::new();
    host.write("");
    host.run("install", "--instances 3").jobs();
    let out = host.folder.path().join("out");
    host.run("generate", &format!("-o {}", out.display()))
        .jobs();
    let wants = std::fs::read_dir(out.join("web.service.wants")).unwrap();
    assert_eq!(wants.count(), 1);
}

/// Within such a limit systemd would close the shared socket, or start an instance no more.
#[test]
fn a_drop_in_with_a_limit_keeps_an_app_from_being_installed() {
    let mut host = Host::new();
    host.write("");
    let folder = host.stage.layout.units.join("web@.service.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("ours.conf"),
        "[Unit]\nStartLimitBurst=5\nStartLimitIntervalSec=9\n",
    )
    .unwrap();
    let ran = host.run("install", "");
    assert_eq!(ran.log, Vec::<String>::new());
    let fault = ran.fault();
    assert!(
        fault.contains("ours.conf:3 sets `StartLimitIntervalSec=9`"),
        "{fault}"
    );
    assert!(!host.stage.layout.file("web").exists());
}

/// New code in the same place needs new processes, though no file has changed.
#[test]
fn a_deploy_replaces_the_instances_of_an_app_that_serves_and_starts_one_that_does_not() {
    let mut host = Host::new();
    host.write("");
    let jobs = host.run("deploy", "").jobs();
    assert!(jobs.contains(&"start web.service".to_owned()), "{jobs:?}");
    host.stage.systemd.fake = Fake::running(&["web.service", "web@0.service"]);
    let jobs = host.run("deploy", "").jobs();
    assert!(jobs.contains(&"reload web.service".to_owned()), "{jobs:?}");
}

#[test]
fn a_module_of_pm2s_is_no_script() {
    let mut stage = Stage::running(&[]);
    for (name, help) in [
        ("pm2-logrotate", "the journal rotates the output of apps"),
        ("@pm2/io", "`rsgen metrics`"),
    ] {
        let fault = run(&mut stage, &format!("rsgen install {name}")).fault();
        assert!(
            fault.contains("is a PM2 module") && fault.contains(help),
            "{fault}"
        );
    }
    let fault = run(&mut stage, "rsgen install /nonexistent/server.js").fault();
    assert!(!fault.contains("PM2"), "{fault}");
}

#[test]
fn a_file_that_is_there_is_not_replaced_by_a_new_one() {
    let mut host = Host::new();
    host.write("");
    let before = std::fs::read_to_string(host.file()).unwrap();
    let line = format!("rsgen init -o {} -- /bin/true", host.file().display());
    let fault = run(&mut host.stage, &line).fault();
    assert!(fault.contains("already exists"), "{fault}");
    assert_eq!(std::fs::read_to_string(host.file()).unwrap(), before);
}
