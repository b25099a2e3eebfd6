//! Programs that want something of their drain or of their helper, and get nothing: neither time, nor memory, nor
//! what is somebody else's.

use std::time::Duration;

use testbed::{Machine, wait_until};

use crate::cluster::{self, ECOSYSTEM, SOON};
use crate::environment::compile;

const FLAGS: &[&str] = &["-O1", "-static", "-pthread", "-w"];
const NOTICED: &str = "/srv/noticed";
/// Of processes and threads, less 300 that the kernel keeps for itself after the first round. The app and the stranger
/// have nearly all of them, so that one that is free is taken in a moment.
const NUMBERS: u32 = 800;
/// Far less than a drain may take here.
const SHORT: Duration = Duration::from_secs(10);

fn write_ecosystem(machine: &Machine, lines: &str) {
    let user = "user = \"nobody\"\ninstances = 1\nsettle = 0\n";
    machine.write(ECOSYSTEM, &format!("[[apps]]\n{user}{lines}\n"));
}

/// The kernel gives each PID namespace a limit of its own since Linux 6.14; before that this would be the host's.
fn has_own_numbers() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse().ok());
    (numbers.next(), numbers.next()) >= (Some(6u32), Some(14))
}

/// Has numbers come round in no time.
fn shrink_numbers(machine: &Machine) {
    let of_host = || std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    let before = of_host();
    // What a container sees of them by itself cannot be written.
    let script = format!(
        "mkdir /run/own && mount -t proc proc /run/own && echo {NUMBERS} >/run/own/sys/kernel/pid_max"
    );
    machine.sh(&script).ok();
    assert_eq!(of_host(), before, "those of the host");
}

/// Starts one of `tests/apps` as a service that has nothing to do with rsgen.
fn start_service(machine: &Machine, command: &[&str]) {
    let run = ["systemd-run", "--quiet"];
    machine.run(&[&run[..], command].concat()).ok();
}

/// So many children the stranger has had.
fn children(machine: &Machine) -> u32 {
    let said = machine.run(&["cat", "/srv/children"]);
    said.text().parse().unwrap_or(0)
}

/// A thread is looked at, and by the time that it is stopped its number is one of a service of root's.
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
    for _ in 0..10 {
        let before = children(machine);
        wait_until(SOON, "all numbers to come round", || {
            children(machine) >= before + NUMBERS
        });
        machine.systemctl(&["restart", "web@0.service"]).ok();
        assert_eq!(machine.read(NOTICED), "");
    }
}

/// What a program makes of itself, on which port, and what is said of its drain.
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
             user = \"nobody\"\ninstances = 1\nsettle = 0\ndrain_timeout = \"40s\"\n\
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

/// The dead listener is made of a socket of the program, which puts somebody else's in its place meanwhile.
pub(crate) fn a_socket_that_others_share_is_never_made_a_dead_one(machine: &mut Machine) {
    compile(machine, "hold.c", FLAGS, "/srv/web/hold");
    let share = machine.write_app("share.py", "/srv");
    start_service(machine, &["python3", &share]);
    wait_until(SOON, "the other service", || machine.get(4000).is_ok());
    let install = |how| {
        let lines = "name = \"web\"\nscript = \"hold\"\nlisten = \"0.0.0.0:3000\"";
        write_ecosystem(machine, &format!("{lines}\nargs = [\"{how}\", \"3000\"]"));
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
    wait_until(SOON, "swaps that come in time", || {
        restart("swap");
        let journal = machine.journal("web@0");
        journal.matches("goes on accepting").count() >= 3
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
    wait_until(SOON, "all to be sent", || {
        machine.run(&["test", "-e", "/srv/web/sent"]).status == 0
    });
    let status = machine.read(&format!("/proc/{}/status", helper(machine)));
    let most = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = most.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u32>().ok());
    assert!(kib.is_some_and(|kib| kib < 8192), "{status}");
}

/// Connections that begin all at once, and say how many of them were answered.
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
    let crowd = machine.spawn(&["python3", "-c", CROWD]);
    wait_until(SOON, "a queue that is full", || {
        let sockets = machine.run(&["ss", "-Hltn", "sport = :3000"]).ok();
        let waiting = sockets.text().split_whitespace().nth(1);
        waiting.is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 200))
    });
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_eq!(crowd.wait().ok().text(), "800 set()");
}
