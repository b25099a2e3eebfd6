//! Before an instance is stopped it accepts no new connections and finishes those that it has, whatever the program is and
//! however it waits.

#![expect(clippy::unwrap_used, reason = "a spec that cannot connect has failed")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use testbed::{Load, Machine, Traffic, nap, wait_for, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, install, pids, reloads};

/// Installs two instances of a program, with more lines for its table.
pub(crate) fn deploy(machine: &Machine, script: &str, more: &str) {
    let is_python = Path::new(script).extension().is_some_and(|e| e == "py");
    let listen = if is_python { "0.0.0.0:3000" } else { "3000" };
    machine.write_app(script, "/srv/web");
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{script}\"\nlisten = \"{listen}\"\n\
         user = \"www-data\"\ninstances = 2\nsettle = 0\n{more}\n"
    );
    machine.write(ECOSYSTEM, &text);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
}

/// The number of reloads in an everyday run.
const RELOADS: u32 = 2;
/// How long each of twenty clients pauses: together they send one request each millisecond.
const PAUSE: Duration = Duration::from_millis(20);

/// A program that sleeps in accept(2) needs this: the flag is one for all instances, and systemd sets it at each start. A
/// thread that calls accept(2) at that moment gets `EAGAIN`, by which it ends.
pub(crate) const SLEEPS: &str = "service.NonBlocking = \"no\"";

/// Reloads while twenty clients send requests, each on a connection of its own.
pub(crate) fn loses_nothing(machine: &Machine, script: &str, more: &str) {
    deploy(machine, script, more);
    reload_under(machine, &Traffic::on_port(3000, 20).pause(PAUSE));
}

fn reload_under(machine: &Machine, traffic: &Traffic) {
    let load = Load::start(machine, traffic);
    load.wait_answered(200);
    for _ in 0..reloads(RELOADS) {
        machine.systemctl(&["reload", "web"]).ok();
        load.wait_answered(50);
    }
    load.stop().assert_nothing_lost();
    let journal = machine.journal("web@*");
    assert!(!journal.contains("without a drain"), "{journal}");
    assert!(!journal.contains("keeps accepting"), "{journal}");
}

pub(crate) fn a_program_with_an_event_loop_loses_nothing(machine: &mut Machine) {
    loses_nothing(machine, "plain.js", "");
}

pub(crate) fn a_program_that_polls_loses_nothing(machine: &mut Machine) {
    loses_nothing(machine, "python.py", "");
}

pub(crate) fn a_program_with_threads_in_accept_loses_nothing(machine: &mut Machine) {
    loses_nothing(machine, "threads.py", SLEEPS);
}

/// The machine is a container, in which the seccomp filters of the app's sandbox cannot be suspended.
pub(crate) fn one_whose_threads_were_passed_the_socket_loses_nothing(machine: &mut Machine) {
    let lines = format!("handover = \"fds\"\nargs = [\"3\"]\n{SLEEPS}");
    loses_nothing(machine, "threads.py", &lines);
    let journal = machine.journal("web@*");
    assert!(!journal.contains("keeps accepting"), "{journal}");
}

pub(crate) fn one_that_listens_on_a_file_loses_nothing(machine: &mut Machine) {
    let path = "/run/web.sock";
    let app = format!(
        "[[apps]]\nname = \"web\"\nscript = \"threads.py\"\nargs = [\"{path}\"]\nlisten = \"{path}\"\n\
         instances = 2\nsettle = 0\nservice.NonBlocking = \"no\"\n"
    );
    machine.write_app("threads.py", "/srv/web");
    machine.write(ECOSYSTEM, &app);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    reload_under(machine, &Traffic::on_socket(machine, path, 20).pause(PAUSE));
    let left = machine.run(&["find", "/run/rsgen", "-name", "*.dead"]);
    assert_eq!(left.ok().text(), "");
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine.run(&["test", "-S", path]).ok();
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    assert_eq!(machine.run(&["test", "-e", path]).status, 1);
}

pub(crate) fn a_program_of_many_processes_loses_nothing(machine: &mut Machine) {
    loses_nothing(machine, "prefork.py", "");
}

pub(crate) fn a_node_program_loses_nothing_on_connections_that_are_kept(machine: &mut Machine) {
    deploy(machine, "pace.js", "drain_timeout = \"60s\"");
    let traffic = Traffic::on_port(3000, 20).path("/5").pause(PAUSE);
    let load = Load::start(machine, &traffic.keep_alive());
    load.wait_answered(200);
    for _ in 0..reloads(RELOADS) {
        let took = machine.systemctl(&["reload", "web"]).ok().took;
        assert!(
            took < Duration::from_mins(1),
            "{took:?}: kept connections did not end"
        );
        load.wait_answered(50);
    }
    load.stop().assert_nothing_lost();
}

/// An HTTP/2 session gets GOAWAY, and its open stream is answered.
pub(crate) fn a_session_of_http2_is_told_to_end(machine: &mut Machine) {
    deploy(machine, "http2.js", "");
    machine.write_app("http2-client.js", "/srv/web");
    let client = machine.spawn(&["node", "/srv/web/http2-client.js"]);
    wait_until(SOON, "the client to have its first answer", || {
        machine.run(&["test", "-e", "/tmp/asked"]).status == 0
    });
    machine.systemctl(&["restart", "web"]).ok();
    let said = client.wait().ok();
    assert_eq!(
        said.text().trim(),
        "200 goaway 0 200 close",
        "{}",
        said.text()
    );
}

/// From outside, a silent connection looks idle. Only the program knows that it is not.
pub(crate) fn an_upgraded_connection_is_left_until_the_time_is_over(machine: &mut Machine) {
    deploy(machine, "upgrade.js", "drain_timeout = \"12s\"");
    let mut socket = machine.in_network(|| TcpStream::connect("127.0.0.1:3000").unwrap());
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut says = |text: &str, end: &str| {
        socket.write_all(text.as_bytes()).unwrap();
        let (mut heard, mut bytes) = (String::new(), [0; 512]);
        while !heard.ends_with(end) {
            let length = socket.read(&mut bytes).unwrap();
            assert!(length > 0, "the connection was cut after {heard:?}");
            heard.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        heard
    };
    let upgrade = "GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    assert!(says(upgrade, "\r\n\r\n").contains("101 Switching"));
    let restart = machine.spawn(&["systemctl", "restart", "web"]);
    // Longer than a connection has to be quiet before it counts as idle.
    nap(Duration::from_millis(2500));
    assert_eq!(says("still here", "here"), "still here");
    let restarted = restart.wait().ok();
    let took = restarted.took.as_secs();
    assert!(
        (11..60).contains(&took),
        "{took} s: the connection is cut after `drain_timeout`"
    );
}

/// Otherwise the whole machine would wait for one connection. The drain asks systemctl(1) whether the machine shuts down; here
/// a script in its place says yes.
pub(crate) fn a_machine_that_goes_down_is_kept_up_for_no_more_than_three_seconds(
    machine: &mut Machine,
) {
    deploy(machine, "upgrade.js", "drain_timeout = \"60s\"");
    let mut socket = machine.in_network(|| TcpStream::connect("127.0.0.1:3000").unwrap());
    socket.set_read_timeout(Some(SOON)).unwrap();
    let upgrade = "GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).unwrap();
    assert!(socket.read(&mut [0; 512]).unwrap() > 0);
    let says = "#!/bin/sh\ncase \"$*\" in\n*is-system-running*) echo stopping ;;\n*) exec /usr/bin/systemctl-itself \"$@\" ;;\nesac\n";
    machine
        .sh("mv /usr/bin/systemctl /usr/bin/systemctl-itself")
        .ok();
    machine.write("/usr/bin/systemctl", says);
    machine.sh("chmod 755 /usr/bin/systemctl").ok();
    let took = machine.systemctl(&["restart", "web"]).ok().took;
    machine
        .sh("mv /usr/bin/systemctl-itself /usr/bin/systemctl")
        .ok();
    assert!((3..55).contains(&took.as_secs()), "{took:?}");
    let journal = machine.journal("web@*");
    assert!(journal.contains("stopping after 3 s with"), "{journal}");
}

pub(crate) fn a_node_program_keeps_options_of_its_own(machine: &mut Machine) {
    deploy(
        machine,
        "pace.js",
        "env = { NODE_OPTIONS = \"--title=mine\" }\ninterpreter_args = \"--no-warnings\"",
    );
    let options = |pid| {
        machine
            .sh(&format!(
                "tr '\\0' '\\n' </proc/{pid}/environ | grep NODE_OPTIONS"
            ))
            .ok()
    };
    let with = options(pids(machine, 1)[0]);
    assert_eq!(
        with.text().trim(),
        "NODE_OPTIONS=--title=mine --require /usr/lib/rsgen/drain.js"
    );
    let more = "env = { NODE_OPTIONS = \"--title=mine\" }\npreload = false";
    deploy(machine, "pace.js", more);
    let without = options(pids(machine, 1)[0]);
    assert_eq!(without.text().trim(), "NODE_OPTIONS=--title=mine");
}

pub(crate) fn a_node_program_is_sent_the_message_shutdown(machine: &mut Machine) {
    deploy(
        machine,
        "message.js",
        "shutdown_with_message = true\nkill_signal = \"SIGTERM\"\nkill_timeout = \"60s\"",
    );
    let mut slow = ask(machine, "/1500");
    wait_accepted(machine);
    let stop = machine.systemctl(&["stop", "web"]).ok();
    assert!(
        answer(&mut slow).contains("200 OK"),
        "the drain comes before the message"
    );
    assert!(stop.took < Duration::from_secs(50), "{:?}", stop.took);
    let said = machine.read("/tmp/said");
    assert_eq!(
        said, "shutdown\nshutdown\n",
        "one message for each instance, and no signal"
    );
}

pub(crate) fn an_event_loop_is_drained_without_being_stopped(machine: &mut Machine) {
    loses_nothing(machine, "plain.js", "drain = \"epoll\"");
}

/// Sends a request on a new connection that stays open, and does not wait for the answer.
pub(crate) fn ask(machine: &Machine, path: &str) -> TcpStream {
    let mut stream = machine.in_network(|| TcpStream::connect("127.0.0.1:3000").unwrap());
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: web\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Waits until no connection waits to be accepted.
pub(crate) fn wait_accepted(machine: &Machine) {
    wait_until(SOON, "an empty queue", || {
        let sockets = machine.run(&["ss", "-Hltn", "sport = :3000"]).ok();
        let mut waiting = sockets.text().lines().map(|l| l.split_whitespace().nth(1));
        waiting.all(|number| number == Some("0"))
    });
}

/// The next answer, or the part of it that came before the connection ended.
pub(crate) fn answer(stream: &mut TcpStream) -> String {
    let (mut answer, mut byte) = (String::new(), [0]);
    while !(answer.contains("pid ") && answer.ends_with("\r\n0\r\n\r\n")) {
        match stream.read(&mut byte) {
            Ok(1) => answer.push(char::from(byte[0])),
            _ => break,
        }
    }
    answer
}

pub(crate) fn a_program_with_a_filter_of_its_own_is_not_killed_by_it(machine: &mut Machine) {
    loses_nothing(machine, "jail.py", "handover = \"fds\"");
    let journal = machine.journal("web@*");
    assert!(!journal.contains("status=31/SYS"), "{journal}");
}

/// A traced program cannot be stopped, so its epoll sets are changed instead, once.
pub(crate) fn a_program_that_is_traced_loses_nothing(machine: &mut Machine) {
    deploy(machine, "plain.js", "");
    machine.write_app("tracer.py", "/srv");
    let load = Load::start(machine, &Traffic::on_port(3000, 20).pause(PAUSE));
    load.wait_answered(200);
    for pid in pids(machine, 2) {
        let tracer = format!("setsid python3 /srv/tracer.py {pid} </dev/null >/dev/null 2>&1 &");
        machine.sh(&tracer).ok();
        wait_until(SOON, "the tracer", || {
            let status = machine.read(&format!("/proc/{pid}/status"));
            !status.contains("TracerPid:\t0\n")
        });
    }
    machine.systemctl(&["reload", "web"]).ok();
    load.wait_answered(50);
    load.stop().assert_nothing_lost();
    let journal = machine.journal("web@*");
    assert!(!journal.contains("keeps accepting"), "{journal}");
}

pub(crate) fn a_request_that_takes_long_is_finished(machine: &mut Machine) {
    deploy(machine, "pace.js", "drain_timeout = \"60s\"");
    let mut slow = ask(machine, "/3000");
    for command in ["restart", "stop"] {
        wait_accepted(machine);
        machine.systemctl(&[command, "web"]).ok();
        let answer = answer(&mut slow);
        assert!(answer.contains("200 OK"), "{command}: {answer}");
        if command == "restart" {
            slow = ask(machine, "/3000");
        }
    }
}

pub(crate) fn one_that_takes_too_long_is_cut_and_said(machine: &mut Machine) {
    deploy(machine, "pace.js", "drain_timeout = \"2s\"");
    let mut slow = ask(machine, "/600000");
    wait_accepted(machine);
    machine.systemctl(&["stop", "web"]).ok();
    assert_eq!(answer(&mut slow), "");
    let journal = machine.journal("web@*");
    assert!(
        journal.contains("raise `drain_timeout` to wait longer"),
        "{journal}"
    );
    assert!(!journal.contains("SIGKILL"), "{journal}");
}

pub(crate) fn a_connection_that_waits_for_nothing_does_not_hold_it_up(machine: &mut Machine) {
    deploy(machine, "pace.js", "drain_timeout = \"50s\"");
    let mut idle = ask(machine, "/0");
    assert!(answer(&mut idle).contains("200 OK"));
    let stop = machine.spawn(&["systemctl", "stop", "web"]);
    wait_until(Duration::from_secs(40), "the stop", || stop.is_over());
    let _ = stop.wait().ok();
}

pub(crate) fn a_second_request_to_stop_cuts_it_short(machine: &mut Machine) {
    deploy(machine, "pace.js", "drain_timeout = \"50s\"");
    let before = pids(machine, 2);
    let _slow = ask(machine, "/600000");
    wait_accepted(machine);
    let stop = machine.spawn(&["systemctl", "stop", "web"]);
    wait_until(SOON, "the idle instance to be gone", || {
        pids(machine, 2).contains(&0)
    });
    assert!(pids(machine, 2).iter().any(|p| before.contains(p)));
    machine.run(&["rsgen", "stop", "web"]).ok();
    let _ = stop.wait().ok();
}

pub(crate) fn nothing_is_accepted_any_more(machine: &mut Machine) {
    deploy(machine, "pace.js", "drain_timeout = \"50s\"");
    let before: Vec<String> = pids(machine, 2)
        .iter()
        .map(|p| format!("pid {p}"))
        .collect();
    let slow: Vec<TcpStream> = (0..20).map(|_| ask(machine, "/10000")).collect();
    wait_accepted(machine);
    let restart = machine.spawn(&["systemctl", "restart", "web"]);
    // The old instances still serve for seconds. Once they drain, only new instances answer.
    let waited = wait_for(SOON, "a request that is not accepted", || {
        let start = Instant::now();
        let answer = answer(&mut ask(machine, "/0"));
        assert!(answer.contains("200 OK"), "{answer}");
        let is_later = !before.iter().any(|pid| answer.contains(pid));
        is_later.then(|| start.elapsed())
    });
    assert!(
        waited > Duration::from_secs(1),
        "accepted until the end: {waited:?}"
    );
    for mut stream in slow {
        assert!(answer(&mut stream).contains("200 OK"));
    }
    let _ = restart.wait().ok();
}

/// Until it is READY, systemd would stop it without `ExecStop=`, and so without a drain.
pub(crate) fn an_instance_that_is_not_ready_yet_is_left_until_it_is(machine: &mut Machine) {
    machine.write("/tmp/go", "");
    let keys = "ready = \"message\"\nsurge = 0\nsettle = 0";
    install(machine, "late.js", "1", keys);
    // The unit is killed, and the program of the next start has a request before it is READY.
    let ask_too_early = || {
        let kill = "rm -f /tmp/go /tmp/asked; systemctl kill --kill-whom=main -s KILL web@0";
        machine.sh(kill).ok();
        let asked = ask(machine, "/");
        let is_asked = || machine.sh("test -e /tmp/asked").status == 0;
        wait_until(SOON, "the request to arrive", is_asked);
        asked
    };
    let is_answered = |mut asked: TcpStream| answer(&mut asked).contains("200 OK");
    let early = ask_too_early();
    let reload = machine.spawn(&["systemctl", "reload", "web"]);
    machine.wait_journal("web.service", "instance 0: replacing", SOON);
    machine.write("/tmp/go", "");
    assert!(is_answered(early));
    let _ = reload.wait().ok();
    for words in [["restart", "web@0"], ["stop", "web@0"], ["stop", "web"]] {
        let asked = ask_too_early();
        let stop = machine.spawn(&["rsgen", words[0], words[1]]);
        assert!(is_answered(asked), "{words:?}");
        machine.write("/tmp/go", "");
        let _ = stop.wait().ok();
        machine.run(&["rsgen", "start", "web"]).ok();
    }
}
