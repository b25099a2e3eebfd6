//! The addresses of apps whose file leaves them out, ports that others have, and installed files that were changed since.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use super::stage::{HOST, Recorder, Stage};
use crate::brake::Deaths;
use crate::command::context::Context;
use crate::command::host_probe::HostProbe;
use crate::command::input::Input;
use crate::command::locate::{locate, locate_again};
use crate::command::port_owner::refuse_taken;
use crate::command::selection::{Purpose, Selected, Wanted, select};
use crate::command::unapplied;
use crate::contract::{BACKGROUND, REFUSED};
use crate::ecosystem::pin;
use crate::output::Failure;
use crate::state::{Entry, Name};
use crate::systemd::fake::Fake;

const PROGRAM: &str =
    "name = \"web\"\nscript = \"/bin/true\"\ninterpreter = \"none\"\nuser = \"root\"\n";

/// What is going to be installed, from a file with these lines.
fn selected(stage: &Stage, lines: &str) -> Vec<Selected> {
    let input = Input {
        shown: "eco.toml".into(),
        text: format!("[[apps]]\n{PROGRAM}{lines}"),
        folder: "/".into(),
        root: None,
        origin: None,
    };
    let wanted = Wanted {
        input: &input,
        only: &[],
        instances: None,
        purpose: Purpose::Install,
        env: None,
        gone: None,
    };
    let chosen = select(&wanted, &stage.layout, None, &Recorder::default());
    chosen.map_err(|failure| failure.message).unwrap()
}

/// Has an app installed with these lines, as what `selected` would write for it.
fn install(stage: &Stage, lines: &str) {
    let pinned = &selected(stage, lines)[0].pinned;
    std::fs::write(stage.layout.file("web"), pinned).unwrap();
}

/// The addresses of the app after a dry run has looked for them.
fn located(stage: &Stage, lines: &str) -> Result<Vec<String>, String> {
    located_to(stage, lines, false)
}

/// The same where another address may be asked for, as with `--replace-listener`.
fn located_to(stage: &Stage, lines: &str, moves: bool) -> Result<Vec<String>, String> {
    let sink = Recorder::default();
    let mut apps = selected(stage, lines);
    let systemd = Box::new(Fake::default());
    let mut context = Context::of_a_test(stage.layout.clone(), HOST, &sink, systemd);
    let missed = locate(&mut context, &mut apps, true, moves).map_err(|e| e.message)?;
    if let Some(failure) = missed.failures.first() {
        return Err(failure.message.clone());
    }
    let [app] = apps.as_slice() else {
        return Err(format!("not located: {}", missed.later.join(" ")));
    };
    let (again, _) = crate::ecosystem::parse("", &app.pinned);
    assert_eq!(again[0].listen, app.app.listen, "as it will be installed");
    Ok(app.app.listen.iter().map(ToString::to_string).collect())
}

#[test]
fn an_app_that_is_started_as_before_keeps_its_addresses() {
    let stage = Stage::running(&[]);
    let fault = |lines: &str| located(&stage, lines).unwrap_err();
    assert_eq!(fault(""), "not located: web");
    let common = "cwd = \"/usr\"\nenv_file = \"/etc/passwd\"\nenv = { A = 1 }\n";
    install(&stage, &format!("listen = 3000\n{common}"));
    assert_eq!(located(&stage, common).unwrap(), ["3000"]);
    for changed in [
        "cwd = \"/etc\"\nenv_file = \"/etc/passwd\"\nenv = { A = 1 }\n",
        "cwd = \"/usr\"\nenv_file = \"/etc/group\"\nenv = { A = 1 }\n",
        "cwd = \"/usr\"\nenv_file = \"/etc/passwd\"\nenv = { A = 2 }\n",
        "cwd = \"/usr\"\nenv_file = \"/etc/passwd\"\nenv = { A = 1 }\nargs = [\"x\"]\n",
        "cwd = \"/usr\"\nenv_file = \"/etc/passwd\"\nenv = { A = 1 }\ngroup = \"daemon\"\n",
    ] {
        assert_eq!(fault(changed), "not located: web", "{changed}");
    }
    std::fs::write(stage.layout.file("web"), "[[apps]]\nlisten = 3000\n").unwrap();
    assert_eq!(fault(common), "not located: web");
}

#[test]
fn an_address_that_was_found_for_a_port_stays_until_the_file_says_otherwise() {
    let stage = Stage::running(&[]);
    let given = &selected(&stage, "listen = [3000, 9100]\n")[0];
    let found: Vec<_> = ["127.0.0.1:3000", "9100"]
        .map(|l| l.parse().unwrap())
        .into();
    let pinned = pin::with_listen(&given.pinned, &found).unwrap();
    std::fs::write(stage.layout.file("web"), pinned).unwrap();
    let stays = ["127.0.0.1:3000", "9100"];
    assert_eq!(located(&stage, "listen = [3000, 9100]\n").unwrap(), stays);
    assert_eq!(located(&stage, "listen = 3000\n").unwrap(), ["3000"]);
    assert_eq!(
        located(&stage, "listen = [\"0.0.0.0:3000\", 9100]\n").unwrap()[0],
        "0.0.0.0:3000"
    );
    // Without the comment of the rehearsal the address stays as well, unless another one is asked for.
    install(&stage, "listen = \"127.0.0.1:3000\"\n");
    let alone = "listen = 3000\n";
    assert_eq!(located(&stage, alone).unwrap(), ["127.0.0.1:3000"]);
    assert_eq!(located_to(&stage, alone, true).unwrap(), ["3000"]);
}

#[test]
fn the_address_of_another_app_is_refused() {
    let stage = Stage::running(&[]);
    install(&stage, "listen = 3000\n");
    let other =
        "[[apps]]\nname = \"api\"\nscript = \"/bin/true\"\nuser = \"root\"\nlisten = 3000\n";
    std::fs::write(stage.layout.file("api"), other).unwrap();
    let failure = located(&stage, "").unwrap_err();
    assert!(failure.contains("api"), "{failure}");
}

#[test]
fn a_drop_in_with_addresses_goes_over_the_file() {
    let stage = Stage::running(&[]);
    let folder = stage.layout.file("web").with_extension("toml.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("port.toml"), "listen = 4000\n").unwrap();
    // Nothing is looked for, so a dry run has no reason to end.
    assert_eq!(located(&stage, "").unwrap(), Vec::<String>::new());
    assert_eq!(located(&stage, "listen = 3000\n").unwrap(), ["3000"]);
    std::fs::write(folder.join("port.toml"), "max_restarts = 3\n").unwrap();
    assert!(located(&stage, "").is_err());
}

#[test]
fn a_drop_in_with_addresses_goes_over_what_was_found_for_a_port() {
    let stage = Stage::running(&[]);
    install(&stage, "listen = \"127.0.0.1:3000\"\n");
    let alone = "listen = 3000\n";
    assert_eq!(located(&stage, alone).unwrap(), ["127.0.0.1:3000"]);
    let folder = stage.layout.file("web").with_extension("toml.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("port.toml"), "listen = 4000\n").unwrap();
    assert_eq!(located(&stage, alone).unwrap(), ["3000"]);
}

#[test]
fn only_an_app_that_is_down_since_it_binds_another_address_is_looked_at_again() {
    let again = |stage: &Stage, lines: &str, running: &[&str]| {
        let sink = Recorder::default();
        let mut apps = selected(stage, lines);
        let systemd = Box::new(Fake::running(running));
        let mut context = Context::of_a_test(stage.layout.clone(), HOST, &sink, systemd);
        let ends = locate_again(&mut context, &mut apps).into_iter();
        let failures = ends.map(|(index, end)| (index, end.err().map(|failure| failure.message)));
        (failures.collect::<Vec<_>>(), sink.told())
    };
    let stage = Stage::running(&[]);
    let nothing = (Vec::new(), Vec::new());
    assert_eq!(again(&stage, "listen = 3000\n", &[]), nothing);
    let deaths = |reason: &str| {
        let deaths = Deaths {
            reason: reason.to_owned(),
            ..Deaths::default()
        };
        let file = Entry::new(&stage.layout.state("web"), Name::Deaths(0));
        deaths.store(&file).unwrap();
    };
    deaths("killed by SIGBUS");
    assert_eq!(again(&stage, "listen = 3000\n", &[]), nothing);
    deaths(&format!("{REFUSED}web@0.socket could not be started"));
    assert_eq!(again(&stage, "listen = 3000\n", &[]), nothing);
    deaths(&format!("{REFUSED}{BACKGROUND}"));
    assert_eq!(again(&stage, "listen = 3000\n", &[]), nothing);
    deaths(&format!("{REFUSED}the program binds 127.0.0.1:3000"));
    assert_eq!(
        again(&stage, "listen = 3000\n", &["web@0.service"]),
        nothing
    );
    assert_eq!(again(&stage, "listen = \"0.0.0.0:3000\"\n", &[]), nothing);
    // Root starts the program once more. Others may not.
    let (failures, told) = again(&stage, "listen = 3000\nlisten_timeout = 1\n", &[]);
    assert!(
        failures.iter().any(|(_, failure)| failure.is_some()) || !told.is_empty(),
        "{failures:?}, {told:?}"
    );
}

/// The failure because of a port that this listener has.
fn taken(listener: &TcpListener, running: &[&str]) -> Option<Failure> {
    let stage = Stage::running(running);
    let address = listener.local_addr().unwrap();
    let app = &selected(&stage, &format!("listen = \"{address}\"\n"))[0].app;
    let probe = HostProbe::new(None, &stage.layout);
    refuse_taken(app, false, &mut Fake::running(running), &probe).err()
}

#[test]
fn a_port_that_another_program_has_is_told_with_the_program() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let failure = taken(&listener, &[]).unwrap();
    let own = format!("(pid {}) listens there", std::process::id());
    assert!(failure.message.ends_with(&own), "{}", failure.message);
    let name = std::env::args().next().unwrap();
    let end = &name[name.len().saturating_sub(20)..];
    let is_named = failure.message.contains(end) || failure.message.contains('…');
    assert!(is_named, "{}", failure.message);
    assert_eq!(
        failure.help.unwrap(),
        "stop it, or write another address in `listen`"
    );
    for own in ["web.socket", "web@0.socket"] {
        assert!(taken(&listener, &[own]).is_none(), "the app has it");
    }
}

/// A listener that no process has a descriptor of: it is in a message that nobody has read yet.
fn in_flight() -> (std::net::SocketAddr, [std::os::unix::net::UnixStream; 2]) {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use std::os::fd::AsRawFd;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (sender, receiver) = std::os::unix::net::UnixStream::pair().unwrap();
    let descriptors = [listener.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let text = [std::io::IoSlice::new(b"x")];
    let (to, flags) = (sender.as_raw_fd(), MsgFlags::empty());
    sendmsg::<()>(to, &text, &rights, flags, None).unwrap();
    (listener.local_addr().unwrap(), [sender, receiver])
}

#[test]
fn a_port_of_nobody_that_can_be_seen_is_taken_unless_it_may_be_the_apps_own() {
    let (address, _kept) = in_flight();
    let stage = Stage::running(&[]);
    let app = &selected(&stage, &format!("listen = \"{address}\"\n"))[0].app;
    let probe = HostProbe::new(None, &stage.layout);
    let refused = |running| refuse_taken(app, true, &mut Fake::running(running), &probe);
    let fault = refused(&[]).unwrap_err().message;
    assert!(fault.ends_with("another program listens there"), "{fault}");
    assert!(refused(&["web.socket"]).is_ok());
}

#[test]
fn a_port_is_free_when_nobody_listens_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stage = Stage::running(&[]);
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let probe = HostProbe::new(None, &stage.layout);
    for listen in [
        format!("\"127.0.0.1:{port}\""),
        port.to_string(),
        "\"/run/x.sock\"".into(),
    ] {
        let app = &selected(&stage, &format!("listen = {listen}\n"))[0].app;
        let refused = refuse_taken(app, false, &mut Fake::default(), &probe);
        assert!(refused.is_ok(), "{listen}");
    }
}

#[test]
fn a_port_of_pm2s_is_told_with_what_to_do_in_pm2() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut pm2 = Command::new("/bin/sleep")
        .arg0("PM2 v7.0.3: God Daemon (/root/.pm2)")
        .arg("60")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(
            listener.try_clone().unwrap(),
        )))
        .spawn()
        .unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let stage = Stage::running(&[]);
    let app = &selected(&stage, &format!("listen = \"{address}\"\n"))[0].app;
    let probe = HostProbe::new(None, &stage.layout);
    let failure = refuse_taken(app, false, &mut Fake::default(), &probe).err();
    pm2.kill().unwrap();
    pm2.wait().unwrap();
    let help = failure.and_then(|failure| failure.help).unwrap();
    assert!(help.starts_with("it is PM2's: as `"), "{help}");
    // After the last app `pm2 save` saves nothing, and the next boot would start the app in PM2 again.
    assert!(help.contains("`pm2 save --force`"), "{help}");
}

#[test]
fn a_file_that_was_changed_since_its_units_were_written_is_found() {
    let stage = Stage::running(&[]);
    let file = stage.layout.file("web");
    let mut stage = stage;
    let unapplied = |stage: &Stage| unapplied::file(&stage.layout, HOST, "web");
    let at = |path: &std::path::Path, time: SystemTime| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    };
    stage.write_app("listen = 3000\n");
    assert_eq!(unapplied(&stage), None, "no units");
    let changes = stage.prepare().changes;
    stage.write(&changes);
    let now = SystemTime::now();
    let later = now + Duration::from_mins(1);
    at(&file, later);
    assert_eq!(unapplied(&stage), None, "the same text");
    stage.write_app("listen = 3000\nenv = { A = 1 }\n");
    at(&file, later);
    assert_eq!(unapplied(&stage), Some(file.clone()));
    at(&file, now - Duration::from_mins(1));
    assert_eq!(unapplied(&stage), None, "older than the units");
    for unit in std::fs::read_dir(&stage.layout.units).unwrap().flatten() {
        if unit.file_type().unwrap().is_file() {
            at(&unit.path(), now);
        }
    }
    at(&file, now);
    assert_eq!(unapplied(&stage), None, "as old as the units");
    stage.write_app("listen = \n");
    at(&file, later);
    assert_eq!(unapplied(&stage), Some(file), "a reload would refuse it");
}
