//! Stops of an instance that is on its way up and has connections by then.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::stage::Stage;
use crate::command::jobs::Jobs;
use crate::output::Failure;
use crate::systemd::{ActiveState, Manager, Unit};

/// How long it takes to do something to an instance in this state, which has a connection or none.
fn took(
    active: ActiveState,
    is_connected: bool,
    act: impl FnOnce(&mut Jobs<'_>) -> Result<(), Failure>,
) -> Duration {
    let group = tempfile::tempdir().unwrap();
    let procs = format!("{}\n", std::process::id());
    std::fs::write(group.path().join("cgroup.procs"), procs).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let connect = || (TcpStream::connect(at).unwrap(), listener.accept().unwrap());
    let _connection = is_connected.then(connect);
    let mut stage = Stage::running(&["web.service"]);
    stage.write_app(&format!("listen = {}\n", at.port()));
    stage.systemd.fake.set(Unit {
        name: "web@0.service".into(),
        active,
        sub: "start".into(),
        main_pid: std::process::id(),
        control_group: format!("/../../..{}", group.path().display()),
        ..Unit::default()
    });
    act(&mut stage.jobs()).map_err(|f| f.message).unwrap();
    stage.systemd.now()
}

#[test]
fn wait_three_seconds_for_it_to_become_ready() {
    let longest = Duration::from_secs(3);
    let up = ActiveState::Activating;
    for (active, is_connected, waited) in [
        (up, true, longest),
        (up, false, Duration::ZERO),
        (ActiveState::Active, true, Duration::ZERO),
    ] {
        let stopped = took(active, is_connected, |jobs| jobs.stop_instance("web", 0));
        assert_eq!(stopped, waited, "{active:?}, {is_connected}");
    }
    let restarted = took(up, true, |jobs| jobs.restart_instance("web", 0));
    assert_eq!(restarted, longest);
    let started = took(up, true, |jobs| jobs.start_instance("web", 0));
    assert_eq!(started, Duration::ZERO);
}
