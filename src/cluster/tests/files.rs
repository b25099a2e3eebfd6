//! What a reload leaves in the state folder, and what it tells systemd.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::state::Lock;

/// Set in the process of its own in which a test runs a walk.
const CHILD: &str = "RSGEN_TEST_CHILD";

impl Bench {
    fn reload(&mut self, plan: &Plan) -> Result<(), ReloadError> {
        let said = &mut self.said;
        let mut say = |line: &str| said.push(line.to_owned());
        super::reload(&mut self.fake, &self.cluster, plan, &mut say)
    }
}

#[test]
fn a_reload_waits_half_an_hour_for_another_and_touches_nothing() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    let _lock = Lock::take(&bench.cluster.state).unwrap().unwrap();
    let error = bench.reload(&plan()).unwrap_err();
    assert_eq!(error.to_string(), "another reload of `web` is under way");
    assert_eq!(bench.fake.now(), Duration::from_mins(30));
    assert_eq!(bench.fake.log, [""; 0]);
}

#[test]
fn the_number_of_the_canary_outlives_a_walk_that_is_killed() {
    let mut bench = Bench::running(&["web.service", "web@0.service", "web@4.service"]);
    progress::remember_canaries(&bench.cluster, &[4]);
    assert_eq!(progress::canaries(&bench.cluster), [4]);
    bench.reload(&plan()).unwrap();
    assert_eq!(bench.fake.log[0], "stop web@4.service");
    assert_eq!(progress::canaries(&bench.cluster), [0; 0]);
}

#[test]
fn an_instance_that_a_reload_replaces_has_no_deaths_any_more() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    bench.ended(0, 1);
    assert_eq!(bench.deaths(0), 1);
    let counted = bench.cluster.deaths(0).read().unwrap();
    bench.reload(&plan()).unwrap();
    assert_eq!(bench.deaths(0), 0);
    // So that whoever finds the end of that run later does not tell of it again.
    let forgotten = bench.cluster.file(Name::Forgotten(0)).read();
    assert_eq!(forgotten.ok(), Some(counted));
}

/// A test that runs again in a process of its own, since the notification socket is a variable of the environment.
struct Again {
    child: Child,
    socket: UnixDatagram,
    _folder: TempDir,
}

impl Again {
    fn of(test: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let soon = Some(Duration::from_mins(1));
        socket.set_read_timeout(soon).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("cluster::tests::files::{test}")])
            .env("NOTIFY_SOCKET", &path)
            .env(CHILD, "1")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            socket,
            _folder: folder,
        }
    }

    /// The next message to systemd.
    fn told(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn succeeds(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn systemd_is_told_of_each_step_and_asked_for_its_time_beforehand() {
    let slow = Plan {
        settle: Duration::from_mins(2),
        ..plan()
    };
    if std::env::var_os(CHILD).is_some() {
        let mut bench = Bench::running(&["web.service", "web@0.service"]);
        return bench.reload(&slow).unwrap();
    }
    let again = Again::of("systemd_is_told_of_each_step_and_asked_for_its_time_beforehand");
    let mut longest = 0;
    loop {
        let message = again.told();
        if message.contains("STATUS=instance 0: ready") {
            break;
        }
        let mut lines = message.lines();
        let asked = lines.find_map(|l| l.strip_prefix("EXTEND_TIMEOUT_USEC="));
        longest = longest.max(asked.map_or(0, |time| time.parse().unwrap()));
    }
    assert!(Duration::from_micros(longest) >= slow.settle, "{longest}");
    while !again.told().contains("STATUS=done: 1 of 1 replaced") {}
    again.succeeds();
}

#[test]
fn the_status_that_stays_after_a_start_tells_how_many_came_up_and_what_shows_the_present() {
    if std::env::var_os(CHILD).is_some() {
        let mut bench = Bench::running(&["web@0.service"]);
        return assert_eq!(bench.start(1), Ok(1));
    }
    let again = Again::of(
        "the_status_that_stays_after_a_start_tells_how_many_came_up_and_what_shows_the_present",
    );
    let last = "STATUS=1 of 1 came up at the start; `rsgen list web` shows which serve now";
    while !again.told().contains(last) {}
    again.succeeds();
}

#[test]
fn every_step_is_a_line_of_json_with_a_text_for_people() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    reload(&mut bench.fake, &bench.cluster, &plan(), &mut |_| {}).unwrap();
    let text = bench.cluster.file(Name::Walk).read().unwrap();
    let names: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .inspect(|event| assert!(event["text"].is_string(), "{event}"))
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["begun", "replacing", "ready", "done"]);
}

#[test]
fn a_reload_that_another_has_done_meanwhile_touches_nothing() {
    let mut bench = Bench::running(&["web.service", "web@0.service"]);
    let later = bench.fake.now() + Duration::from_hours(1);
    progress::done(&bench.cluster, later, &plan());
    let mut told = Vec::new();
    let mut say = |line: &str| told.push(line.to_owned());
    reload(&mut bench.fake, &bench.cluster, &plan(), &mut say).unwrap();
    assert_eq!(bench.fake.log, Vec::<String>::new());
    assert_eq!(told.len(), 1, "{told:?}");
}
