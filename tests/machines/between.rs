//! A kept connection ends between two requests, never in one: whatever a program has received, it has answered.

#![expect(clippy::unwrap_used, reason = "a client that cannot ask has failed")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use testbed::{Load, Machine, Traffic, nap, target_dir, wait_for, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, reloads};
use crate::drain;

/// The number of reloads in an everyday run.
const RELOADS: u32 = 1;

/// Clients that keep their connections and note what was answered. A client sends a request again, on a new connection, if a
/// kept one ended before the first byte of the answer, as HTTP clients do.
#[derive(Default)]
struct Clients {
    answered: AtomicU64,
    is_over: AtomicBool,
}

/// What one client has seen.
#[derive(Default)]
struct Seen {
    answered: Vec<String>,
    lost: Vec<String>,
}

impl Clients {
    fn client(&self, number: usize, pause: Duration) -> Seen {
        let mut seen = Seen::default();
        let mut kept = None;
        for turn in 0.. {
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            let path = format!("/{number}-{turn}");
            match turn_on(&mut kept, &path) {
                Ok(()) => seen.answered.push(path),
                Err(why) => seen.lost.push(format!("{path}: {why}")),
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
            nap(pause);
        }
        seen
    }
}

/// Asks on the kept connection, or on a new one.
fn turn_on(kept: &mut Option<TcpStream>, path: &str) -> Result<(), String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: web\r\n\r\n");
    if let Some(mut stream) = kept.take_if(|stream| is_open(stream)) {
        match ask(&mut stream, &request) {
            Ok(stays) => {
                *kept = stays.then_some(stream);
                return Ok(());
            }
            Err(None) => {}
            Err(Some(why)) => return Err(why),
        }
    }
    let mut stream = TcpStream::connect("127.0.0.1:3000").map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_nodelay(true).unwrap();
    let answer = ask(&mut stream, &request);
    let stays = answer.map_err(|why| why.unwrap_or_else(|| "no answer".into()))?;
    *kept = stays.then_some(stream);
    Ok(())
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
}

/// Asks once; whether the connection stays. The error is `None` if the connection ended before the answer began.
fn ask(stream: &mut TcpStream, request: &str) -> Result<bool, Option<String>> {
    stream.write_all(request.as_bytes()).map_err(|_| None)?;
    let (mut answer, mut bytes) = (Vec::new(), [0; 1024]);
    loop {
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("content-length: "));
            let is_whole = match length {
                Some(length) => body.len() >= length.trim().parse::<usize>().unwrap(),
                None => body.ends_with("0\r\n\r\n"),
            };
            if is_whole && head.starts_with("http/1.1 200") {
                return Ok(!head.contains("connection: close"));
            }
        }
        match stream.read(&mut bytes) {
            Ok(0) if answer.is_empty() => return Err(None),
            Ok(0) => return Err(Some(format!("cut in {text:?}"))),
            Ok(length) => answer.extend(&bytes[..length]),
            Err(e) if answer.is_empty() && e.kind() == ErrorKind::ConnectionReset => {
                return Err(None);
            }
            Err(e) => return Err(Some(format!("{e} after {text:?}"))),
        }
    }
}

/// Reloads while the clients ask, and compares what was received with what was answered.
fn answers_what_it_receives(machine: &Machine, pause: Duration) {
    machine.sh("truncate -s 0 /tmp/received/*").ok();
    let clients = Arc::new(Clients::default());
    let start = |number| {
        let clients = Arc::clone(&clients);
        thread::spawn(move || clients.client(number, pause))
    };
    // Threads are in the network of the thread that starts them.
    let running: Vec<_> = machine.in_network(|| (0..12).map(start).collect());
    for _ in 0..reloads(RELOADS) {
        let goal = clients.answered.load(Ordering::Relaxed) + 100;
        wait_until(SOON, "answers", || {
            clients.answered.load(Ordering::Relaxed) >= goal
        });
        machine.systemctl(&["reload", "web"]).ok();
    }
    clients.is_over.store(true, Ordering::Relaxed);
    let seen: Vec<Seen> = running.into_iter().map(|c| c.join().unwrap()).collect();
    let lost: Vec<_> = seen.iter().flat_map(|s| &s.lost).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let mut balance: BTreeMap<String, i32> = BTreeMap::new();
    for path in seen.iter().flat_map(|s| &s.answered) {
        *balance.entry(path.clone()).or_default() -= 1;
    }
    for path in machine.sh("cat /tmp/received/*").ok().text().lines() {
        *balance.entry(path.to_owned()).or_default() += 1;
    }
    balance.retain(|_, difference| *difference != 0);
    assert!(
        balance.is_empty(),
        "received and not answered, or the other way round: {balance:?}"
    );
}

/// Installs two instances, in whose place others come while clients ask without a pause, and with one.
fn never_ends_in_a_request(machine: &Machine, lines: &str) {
    let app = format!(
        "[[apps]]\nname = \"web\"\n{lines}\ncwd = \"/srv/programs\"\nuser = \"www-data\"\ninstances = 2\n\
         settle = 0\ndrain_timeout = \"3s\"\nenv.RECORD = \"/tmp/received\"\n"
    );
    machine.write("/srv/programs/ecosystem.toml", &app);
    machine
        .sh("install -d -o www-data /tmp/received; rm -f /tmp/received/*")
        .ok();
    machine
        .run(&["rsgen", "install", "/srv/programs/ecosystem.toml"])
        .ok();
    for pause in [0, 300] {
        answers_what_it_receives(machine, Duration::from_millis(pause));
    }
}

/// Twenty reloads of programs in four languages with `EVERY=1 RELOADS=20`.
pub(crate) fn what_was_received_was_answered(machine: &mut Machine) {
    machine.write_app("turns.py", "/srv/programs");
    let python = "script = \"turns.py\"\nlisten = \"0.0.0.0:3000\"";
    never_ends_in_a_request(machine, python);
    let journal = machine.journal("web@*");
    assert!(
        journal.contains("kept connections between requests"),
        "{journal}"
    );
    if std::env::var_os("EVERY").is_none() {
        return;
    }
    machine.copy_in(&target_dir().join("programs"), "/srv/made");
    machine.sh("cp -a /srv/made/. /srv/programs/").ok();
    for lines in [
        "script = \"server.rb\"\nlisten = \"0.0.0.0:3000\"",
        "script = \"go\"\nlisten = 3000",
        "script = \"http.js\"\nlisten = 3000",
    ] {
        machine.run(&["rsgen", "uninstall", "web"]).ok();
        never_ends_in_a_request(machine, lines);
    }
}

/// Twenty reloads with `RELOADS=20`.
pub(crate) fn what_many_threads_in_accept_received_they_answered(machine: &mut Machine) {
    machine.write_app("pool.py", "/srv/programs");
    for threads in [64, 256] {
        let lines = format!(
            "script = \"pool.py\"\nlisten = \"0.0.0.0:3000\"\nenv.THREADS = \"{threads}\"\n{}",
            drain::SLEEPS
        );
        never_ends_in_a_request(machine, &lines);
    }
}

/// However many threads wait in accept(2) when the drain begins, none of them accepts another connection.
pub(crate) fn of_many_threads_in_accept_none_accepts_any_more(machine: &mut Machine) {
    machine.sh("install -d -o www-data /tmp/received").ok();
    for threads in [64, 256] {
        let more = format!(
            "{}\ndrain_timeout = \"50s\"\nenv.THREADS = \"{threads}\"",
            drain::SLEEPS
        );
        machine.sh("rm -f /tmp/go /tmp/received/*").ok();
        drain::deploy(machine, "pool.py", &more);
        let mut slow = drain::ask(machine, "/slow");
        let victim = wait_for(SOON, "the request to arrive", || {
            let told = machine.sh("cd /tmp/received; grep -lx /slow *").stdout;
            let pid: u32 = told.trim().parse().ok()?;
            let is_its = |unit: &&str| machine.main_pid(unit) == pid;
            ["web@0.service", "web@1.service"].into_iter().find(is_its)
        });
        let pid = machine.main_pid(victim);
        let stop = machine.spawn(&["systemctl", "stop", victim]);
        wait_until(SOON, "every thread to be kept from accepting", || {
            machine
                .property(victim, "StatusText")
                .starts_with("draining")
        });
        let load = Load::start(machine, &Traffic::on_port(3000, 20));
        load.wait_answered(3 * threads);
        let report = load.stop();
        report.assert_nothing_lost();
        let own = report
            .bodies
            .keys()
            .filter(|body| body.contains(&format!("pid {pid}")));
        assert_eq!(own.count(), 0, "{victim} has accepted: {report}");
        machine.write("/tmp/go", "");
        assert!(drain::answer(&mut slow).contains("200 OK"));
        let _ = stop.wait().ok();
        machine.systemctl(&["start", victim]).ok();
    }
}

/// The drain sends `drain_signal` to a program that ends by itself, and waits for its end; `kill_signal` is for one that does
/// not.
pub(crate) fn a_program_that_ends_by_itself_is_told_by_a_signal(machine: &mut Machine) {
    machine.write_app("quits.js", "/srv/web");
    let stop = |more: &str| {
        let app = format!(
            "[[apps]]\nname = \"web\"\nscript = \"quits.js\"\nlisten = 3000\nuser = \"www-data\"\n\
             kill_signal = \"SIGTERM\"\ndrain_signal = \"SIGQUIT\"\npreload = false\n{more}\n"
        );
        machine.write(ECOSYSTEM, &app);
        machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
        machine.systemctl(&["start", "web"]).ok();
        machine.sh("rm -f /tmp/said").ok();
        let mut slow = drain::ask(machine, "/1500");
        drain::wait_accepted(machine);
        let stop = machine.spawn(&["systemctl", "stop", "web"]);
        let mut answer = String::new();
        // Node ends the connection after the answer, or the stop does.
        let _ = slow.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
        let took = stop.wait().ok().took;
        (machine.read("/tmp/said"), took)
    };
    let (said, took) = stop("drain_timeout = \"60s\"");
    assert_eq!(said, "quit\n", "it ended without the stop signal");
    assert!(took < Duration::from_secs(50), "{took:?}");
    let (said, _) = stop("drain_timeout = \"5s\"\nenv.IGNORE = \"1\"");
    assert_eq!(said, "quit\nterm\n");
    let journal = machine.journal("web@*");
    assert!(journal.contains("did not end on `SIGQUIT`"), "{journal}");
    // Answered after 1.5 s, and kept for the second that follows.
    assert!(
        journal.contains("ended 1 kept connection between two requests"),
        "{journal}"
    );
}
