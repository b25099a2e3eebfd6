//! Hostile programs, which try to make their drain or their helper waste time or memory, or harm other processes.

use std::time::Duration;

use testbed::{Machine, wait_until};

use crate::cluster::{self, ECOSYSTEM, SOON, reloads};
use crate::environment::compile;

const FLAGS: &[&str] = &["-O1", "-static", "-pthread", "-w"];
const NOTICED: &str = "/srv/noticed";
/// The number of PIDs, of which the kernel does not use the first 300 again. The app and the stranger use nearly all others,
/// so that a free PID is used again at once.
const NUMBERS: u32 = 800;
/// A stop that takes less than this has not waited for the time-out of the drain, which is 40 s.
const SHORT: Duration = Duration::from_secs(30);

fn write_ecosystem(machine: &Machine, lines: &str) {
    let user = "user = \"nobody\"\ninstances = 1\nsettle = 0\n";
    machine.write(ECOSYSTEM, &format!("[[apps]]\n{user}{lines}\n"));
}

/// Whether each PID namespace has a `pid_max` of its own, as since Linux 6.14. Before, it would be that of the host.
fn has_own_numbers() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse().ok());
    (numbers.next(), numbers.next()) >= (Some(6u32), Some(14))
}

/// Limits the PIDs of the machine, so that they are soon used again.
fn shrink_numbers(machine: &Machine) {
    let of_host = || std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    let before = of_host();
    // The /proc of a container is read-only there, so another one is mounted.
    let script = format!(
        "mkdir /run/own && mount -t proc proc /run/own && echo {NUMBERS} >/run/own/sys/kernel/pid_max"
    );
    machine.sh(&script).ok();
    assert_eq!(of_host(), before, "`pid_max` of the host must not change");
}

/// Starts one of `tests/apps` as a service that has nothing to do with rsgen.
fn start_service(machine: &Machine, command: &[&str]) {
    let run = ["systemd-run", "--quiet"];
    machine.run(&[&run[..], command].concat()).ok();
}

/// The number of children that the stranger has had.
fn children(machine: &Machine) -> u32 {
    let said = machine.run(&["cat", "/srv/children"]);
    said.text().parse().unwrap_or(0)
}

/// By the time that the drain stops a thread which it has inspected, the thread's number may be that of a process of a service
/// that runs as root.
pub(crate) fn a_stranger_with_the_number_of_a_thread_is_left_alone(machine: &mut Machine) {
    compile(machine, "churn.c", FLAGS, "/srv/web/churn");
    compile(machine, "stranger.c", FLAGS, "/srv/stranger");
    write_ecosystem(
        machine,
        "name = \"web\"\nscript = \"churn\"\nargs = [\"300\"]\nlisten = \"0.0.0.0:3000\"",
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    if has_own_numbers() {
        shrink_numbers(machine);
    }
    machine.write(NOTICED, "");
    start_service(machine, &["/srv/stranger", "100"]);
    for _ in 0..reloads(4) {
        let before = children(machine);
        wait_until(SOON, "every PID to be used again", || {
            children(machine) >= before + NUMBERS
        });
        machine.systemctl(&["restart", "web@0.service"]).ok();
        assert_eq!(machine.read(NOTICED), "");
    }
}

/// The states into which a program brings itself, each with its port and with the message of its drain.
const STATES: &[(&str, u32, &str)] = &[
    ("stopped", 3001, ""),
    ("vfork", 3002, "none of its threads can be stopped"),
    ("no-vdso", 3003, "it has no vDSO"),
    ("forks", 3004, ""),
    ("accept", 3005, ""),
];

pub(crate) fn whatever_a_program_makes_of_itself_its_stop_is_short(machine: &mut Machine) {
    compile(machine, "hold.c", FLAGS, "/srv/web/hold");
    let app = |(how, port, _): &(&str, u32, &str)| {
        format!(
            "[[apps]]\nname = \"{how}\"\nscript = \"hold\"\nargs = [\"{how}\", \"{port}\"]\nlisten = \"0.0.0.0:{port}\"\n\
             user = \"nobody\"\ninstances = 1\nsettle = 0\ndrain_timeout = \"40s\"\nkill_timeout = \"20s\"\n\
             service.NonBlocking = \"no\"\n"
        )
    };
    machine.write(ECOSYSTEM, &STATES.iter().map(app).collect::<String>());
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    for (how, _, said) in STATES {
        let took = machine.systemctl(&["stop", how]).ok().took;
        assert!(took < SHORT, "{how}: {took:?}");
        let journal = machine.journal(&format!("{how}@0"));
        assert!(!journal.contains("SIGKILL"), "{how}: {journal}");
        assert!(!journal.contains("timed out"), "{how}: {journal}");
        assert!(journal.contains(said), "{how}: {journal}");
    }
}

/// The drain turns a fresh socket of the program into an unreachable one. Meanwhile the program puts a socket that it shares
/// with another service under the same number.
pub(crate) fn a_socket_that_others_share_is_never_made_unreachable(machine: &mut Machine) {
    compile(machine, "hold.c", FLAGS, "/srv/web/hold");
    let share = machine.write_app("share.py", "/srv");
    start_service(machine, &["python3", &share]);
    wait_until(SOON, "the other service", || machine.get(4000).is_ok());
    let install = |how| {
        let lines = "name = \"web\"\nscript = \"hold\"\nlisten = \"0.0.0.0:3000\"";
        let more = format!("args = [\"{how}\", \"3000\"]\ndrain_timeout = \"40s\"");
        write_ecosystem(machine, &format!("{lines}\n{more}"));
        machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    };
    let restart = |how| {
        let took = machine.systemctl(&["restart", "web@0.service"]).ok().took;
        assert!(took < SHORT, "{how}: {took:?}");
        let answer = machine.get(4000).map_err(|e| e.detail);
        assert_eq!(answer.as_deref(), Ok("alive"), "{how}");
    };
    install("shuffle");
    for _ in 0..5 {
        restart("shuffle");
    }
    install("swap");
    // This takes luck, so several restarts, each of which lasts for seconds on a busy host.
    let long = Duration::from_mins(5);
    wait_until(long, "three sockets swapped at the right moment", || {
        restart("swap");
        let journal = machine.journal("web@0");
        journal.matches("keeps accepting").count() >= 3
    });
}

fn helper(machine: &Machine) -> String {
    let found = machine.run(&["pgrep", "-f", "rsgen-worke[r] run"]).ok();
    found.text().to_owned()
}

pub(crate) fn a_helper_is_out_of_reach_of_its_programs_user(machine: &mut Machine) {
    machine.power_on_unfiltered();
    cluster::install(machine, "plain.js", "1", "user = \"nobody\"");
    let neighbour = machine.write_app("neighbour.py", "/srv");
    let tries = |whom: &str| {
        let user = ["runuser", "-u", "nobody", "--", "python3", &neighbour, whom];
        machine.run(&user).ok().stdout
    };
    let own = tries("0");
    assert!(own.lines().all(|way| way.ends_with(" works")), "{own}");
    let helpers = tries(&helper(machine));
    let refused = |way: &str| way.ends_with(" EACCES") || way.ends_with(" EPERM");
    assert!(helpers.lines().all(refused), "{helpers}");
    assert_eq!(helpers.lines().count(), own.lines().count(), "{helpers}");
}

pub(crate) fn a_helper_stays_small_whatever_is_sent_to_it(machine: &mut Machine) {
    machine.write_app("flood.py", "/srv/web");
    machine.sh("chmod 777 /srv/web").ok();
    let ready =
        "name = \"web\"\nscript = \"flood.py\"\nlisten = \"0.0.0.0:3000\"\nready = \"message\"";
    write_ecosystem(machine, ready);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    wait_until(SOON, "the whole line to be sent", || {
        machine.run(&["test", "-e", "/srv/web/sent"]).status == 0
    });
    let status = machine.read(&format!("/proc/{}/status", helper(machine)));
    let most = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = most.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u32>().ok());
    assert!(kib.is_some_and(|kib| kib < 8192), "{status}");
}

/// A client that opens 800 connections at once, and prints how many of them were answered.
const CROWD: &str = "
import asyncio, socket
async def ask():
    reader, writer = await asyncio.open_connection('127.0.0.1', 3000)
    writer.write(b'GET / HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n')
    return b'200 OK' in await asyncio.wait_for(reader.read(), 100)
async def crowd():
    asked = [asyncio.create_task(ask()) for _ in range(800)]
    answered = await asyncio.gather(*asked, return_exceptions=True)
    print(sum(a is True for a in answered), {str(a) for a in answered if a is not True})
asyncio.run(crowd())
";

pub(crate) fn a_full_queue_loses_nothing(machine: &mut Machine) {
    machine.write_app("threads.py", "/srv/web");
    cluster::deploy(machine, "threads.py", "0.02", "0.05");
    let lines = "name = \"web\"\nscript = \"threads.py\"\nlisten = \"0.0.0.0:3000\"\n\
                 [apps.socket]\nBacklog = \"200\"";
    write_ecosystem(machine, lines);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    // Until the queue is full nobody is answered: the clients may be slower than the program.
    let signal = |signal| {
        let kill = ["kill", "--kill-whom=main", "-s", signal, "web@0.service"];
        machine.systemctl(&kill).ok();
    };
    signal("STOP");
    let crowd = machine.spawn(&["python3", "-c", CROWD]);
    wait_until(SOON, "a full queue", || {
        let sockets = machine.run(&["ss", "-Hltn", "sport = :3000"]).ok();
        let waiting = sockets.text().split_whitespace().nth(1);
        waiting.is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 200))
    });
    signal("CONT");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_eq!(crowd.wait().ok().text(), "800 set()");
}
