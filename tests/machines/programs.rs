//! Unmodified servers of many kinds: four instances of each are reloaded under load, in both sandboxes, and no request is lost.

use std::path::Path;
use std::time::Duration;

use testbed::runner::Spec;
use testbed::specs;
use testbed::{Load, Machine, Traffic, target_dir, wait_until};

use crate::cluster::{SOON, assert_exactly, reloads};
use crate::datagrams::answers_while_reloaded;
use crate::programs;

pub(crate) const SPECS: &[Spec] = specs![
    programs::node_http,
    programs::node_express,
    programs::node_fastify_as_a_module,
    programs::node_with_typescript_by_tsx,
    programs::node_net,
    programs::node_https,
    programs::node_dgram,
    programs::python_with_datagrams,
    programs::python_asyncio,
    programs::python_uvicorn,
    programs::python_gunicorn_with_workers,
    programs::go_static,
    programs::rust_axum,
    programs::c_with_a_blocking_accept,
    programs::ruby_webrick,
    programs::where_they_listen_is_found,
    programs::on_unix_sockets_from_a_pm2_file,
    programs::nothing_is_left_of_a_hundred_starts,
];

/// The number of reloads of each server in each sandbox; `RELOADS=20` runs more.
const RELOADS: u32 = 1;

const CLIENTS: usize = 20;
/// How long a client pauses between requests: all of them send one every two milliseconds. Some of these servers need a
/// processor of their own for twice as many.
const PAUSE: Duration = Duration::from_millis(40);

/// The two sandboxes. docs/sandboxing.md says that all of these servers run in both.
const SANDBOXES: [&str; 2] = ["default", "strict"];

fn copy_programs(machine: &Machine) {
    let made = target_dir().join("programs");
    assert!(
        made.join(".made").exists(),
        "the programs are not built: run `make programs`"
    );
    if machine.run(&["test", "-e", "/srv/programs"]).status != 0 {
        machine.copy_in(Path::new(&made), "/srv/programs");
    }
}

/// Installs four instances of a program, from the lines of its table.
fn install(machine: &Machine, sandbox: &str, lines: &str) {
    copy_programs(machine);
    // On a busy host requests may last longer than the ten seconds that are usual.
    let drain = if lines.contains("drain_timeout") {
        ""
    } else {
        "drain_timeout = \"40s\"\n"
    };
    let text = format!(
        "[[apps]]\nname = \"web\"\ninstances = 4\nsettle = 0\ncwd = \"/srv/programs\"\n\
         user = \"www-data\"\nsandbox = {sandbox:?}\n{drain}{lines}\n"
    );
    machine.write("/srv/programs/ecosystem.toml", &text);
    machine
        .run(&["rsgen", "install", "/srv/programs/ecosystem.toml"])
        .ok();
    assert_exactly(machine, 4);
}

/// Reloads while all clients send requests, each on a connection of its own.
fn loses_nothing(machine: &Machine, lines: &str) {
    let traffic = Traffic::on_port(3000, CLIENTS).pause(PAUSE);
    loses_nothing_of(machine, &[traffic], &SANDBOXES, lines);
}

/// Reloads in each sandbox, and while the app moves from one to the other.
fn loses_nothing_of(machine: &Machine, traffics: &[Traffic], sandboxes: &[&str], lines: &str) {
    let mut loads: Vec<Load> = Vec::new();
    for sandbox in sandboxes {
        install(machine, sandbox, lines);
        if loads.is_empty() {
            loads.extend(traffics.iter().map(|t| Load::start(machine, t)));
            for load in &loads {
                load.wait_answered(100);
            }
        }
        for _ in 0..reloads(RELOADS) {
            machine.run(&["rsgen", "reload", "web"]).ok();
            for load in &loads {
                load.wait_answered(20);
            }
        }
    }
    for load in loads {
        load.stop().assert_nothing_lost();
    }
}

/// Half of the clients keep their connections.
fn node(machine: &Machine, script: &str) {
    let lines = format!("script = \"{script}\"\nlisten = 3000");
    let half = Traffic::on_port(3000, CLIENTS / 2).pause(PAUSE);
    let traffics = [half.clone(), half.keep_alive()];
    loses_nothing_of(machine, &traffics, &SANDBOXES, &lines);
}

pub(crate) fn node_http(machine: &mut Machine) {
    node(machine, "http.js");
}

pub(crate) fn node_express(machine: &mut Machine) {
    node(machine, "express.js");
}

pub(crate) fn node_fastify_as_a_module(machine: &mut Machine) {
    node(machine, "fastify.mjs");
}

/// tsx keeps a pipe to the Node that it starts, which is no connection of the app.
pub(crate) fn node_with_typescript_by_tsx(machine: &mut Machine) {
    let lines = "script = \"node_modules/.bin/tsx\"\nargs = \"server.ts\"\nlisten = 3000\ndrain_timeout = \"100s\"";
    let kept = Traffic::on_port(3000, CLIENTS).pause(PAUSE).keep_alive();
    loses_nothing_of(machine, &[kept], &SANDBOXES[..1], lines);
    let stop = machine.run(&["rsgen", "stop", "web"]).ok();
    assert!(stop.took < Duration::from_mins(1), "{:?}", stop.took);
    let journal = machine.journal("web@*");
    assert!(!journal.contains("busy"), "{journal}");
}

pub(crate) fn node_net(machine: &mut Machine) {
    loses_nothing(machine, "script = \"net.js\"\nlisten = 3000");
}

pub(crate) fn node_https(machine: &mut Machine) {
    for (connections, sandbox) in ["each", "keep-alive"].into_iter().zip(SANDBOXES) {
        install(machine, sandbox, "script = \"https.js\"\nlisten = 3000");
        machine.sh("rm -f /tmp/end /tmp/answered").ok();
        let client = machine.spawn(&["node", "/srv/programs/https-client.js", connections]);
        wait_until(SOON, "the first answers", || {
            let answered = machine.run(&["cat", "/tmp/answered"]);
            answered.text().parse().is_ok_and(|n: u32| n > 100)
        });
        for _ in 0..reloads(RELOADS) {
            machine.run(&["rsgen", "reload", "web"]).ok();
        }
        machine.write("/tmp/end", "");
        let said = client.wait().ok();
        let is_clean = said.text().starts_with("{\"answered\":") && !said.text().contains(',');
        assert!(is_clean, "{connections}: {}", said.text());
    }
}

/// Reloads while twenty clients each send the next datagram when the last one was answered.
fn answers_every_datagram(machine: &Machine, lines: &str) {
    for sandbox in SANDBOXES {
        install(machine, sandbox, lines);
        answers_while_reloaded(machine, RELOADS, || {
            machine.run(&["rsgen", "reload", "web"]).ok();
        });
    }
}

const DATAGRAMS: &str = "listen = \"udp:0.0.0.0:3000\"";

pub(crate) fn node_dgram(machine: &mut Machine) {
    answers_every_datagram(machine, &format!("script = \"dgram.js\"\n{DATAGRAMS}"));
}

/// This server waits in recvfrom(2), and answers one datagram after the other.
pub(crate) fn python_with_datagrams(machine: &mut Machine) {
    let lines = "script = \"datagrams.py\"\nservice.NonBlocking = \"no\"";
    answers_every_datagram(machine, &format!("{lines}\n{DATAGRAMS}"));
}

pub(crate) fn python_asyncio(machine: &mut Machine) {
    let lines = "script = \"asyncio_server.py\"\nlisten = \"0.0.0.0:3000\"";
    loses_nothing(machine, lines);
}

/// Tests a server that is a Python package.
fn python(machine: &Machine, module: &str, args: &str) {
    let lines = format!(
        "script = \"/usr/bin/python3\"\nargs = \"-m {module} {args}\"\nlisten = \"0.0.0.0:3000\"\n\
         env = {{ PYTHONPATH = \"/srv/programs/python\" }}"
    );
    loses_nothing(machine, &lines);
}

pub(crate) fn python_uvicorn(machine: &mut Machine) {
    let args = "web:asgi --host 0.0.0.0 --port 3000 --no-access-log";
    python(machine, "uvicorn", args);
}

pub(crate) fn python_gunicorn_with_workers(machine: &mut Machine) {
    python(
        machine,
        "gunicorn",
        "web:wsgi --bind 0.0.0.0:3000 --workers 2 --threads 4",
    );
}

pub(crate) fn go_static(machine: &mut Machine) {
    loses_nothing(machine, "script = \"go\"\nlisten = 3000");
}

pub(crate) fn rust_axum(machine: &mut Machine) {
    loses_nothing(machine, "script = \"tokio\"\nlisten = \"0.0.0.0:3000\"");
}

/// This server waits in accept(2), so it needs the last line, as the worker says in the journal.
const C: &str = "script = \"c\"\nlisten = \"0.0.0.0:3000\"\nenv = { PORT = \"3000\" }\n\
                 service = { NonBlocking = \"no\" }";

pub(crate) fn c_with_a_blocking_accept(machine: &mut Machine) {
    loses_nothing(machine, C);
}

pub(crate) fn ruby_webrick(machine: &mut Machine) {
    loses_nothing(machine, "script = \"server.rb\"\nlisten = \"0.0.0.0:3000\"");
}

/// None of these has a `listen`, and none of them is changed for that.
pub(crate) fn where_they_listen_is_found(machine: &mut Machine) {
    let python = "script = \"/usr/bin/python3\"\nenv = { PYTHONPATH = \"/srv/programs/python\" }";
    let module = |args: &str| format!("{python}\nargs = \"-m {args}\"");
    for (lines, listen) in [
        ("script = \"go\"".to_owned(), "[::]:3000"),
        (module("uvicorn web:asgi --port 3000"), "127.0.0.1:3000"),
        (
            module("gunicorn web:wsgi --bind 0.0.0.0:3000 --workers 2"),
            "0.0.0.0:3000",
        ),
        ("script = \"dgram.js\"".to_owned(), "udp:0.0.0.0:3000"),
    ] {
        install(machine, "strict", &lines);
        let file = machine.read("/etc/rsgen/web.toml");
        assert!(file.contains(&format!("\nlisten = {listen:?}\n")), "{file}");
        machine.run(&["rsgen", "uninstall", "web"]).ok();
    }
}

/// Both remove the file of their socket or change it. Neither is told anything of systemd.
pub(crate) fn on_unix_sockets_from_a_pm2_file(machine: &mut Machine) {
    copy_programs(machine);
    machine
        .sh("install -d -o www-data /srv/sockets /srv/pm2")
        .ok();
    let app = |name: &str, args: &str| {
        format!(
            "{{ name: '{name}', cwd: '/srv/programs', script: '/usr/bin/python3', interpreter: 'none', instances: 2, \
             uid: 'www-data', args: '-m {name} {args}', env: {{ PYTHONPATH: '/srv/programs/python' }} }}"
        )
    };
    let apps = [
        app(
            "gunicorn",
            "web:wsgi --workers 2 --bind unix:/run/shop/web.sock",
        ),
        app("uvicorn", "web:asgi --uds /srv/sockets/web.sock"),
    ];
    let file = "/srv/pm2/ecosystem.config.js";
    machine.write(
        file,
        &format!("module.exports = {{ apps: [{}] }};\n", apps.join(", ")),
    );
    machine.run(&["chown", "-R", "www-data:", "/srv/pm2"]).ok();
    machine.run(&["rsgen", "install", file, "--import"]).ok();
    for (app, path) in [
        ("gunicorn", "/run/shop/web.sock"),
        ("uvicorn", "/srv/sockets/web.sock"),
    ] {
        let ask = format!("curl -sS -m 60 --unix-socket {path} http://web/ | grep pid");
        let inode = || {
            let stat = machine.run(&["stat", "-c", "%i", path]).ok();
            stat.text().to_owned()
        };
        let before = inode();
        // The walk ends instances in their own way, too: they remove the file at their end.
        let asked = machine.sh(&format!(
            "set -e; rsgen reload {app} & while kill -0 $! 2>/dev/null; do {ask}; done; wait $!; {ask}"
        ));
        asked.ok();
        machine.run(&["rsgen", "restart", app]).ok();
        machine.sh(&ask).ok();
        assert_eq!(inode(), before, "{app}");
        let journal = machine.journal(&format!("{app}@*"));
        for trace in ["Traceback", "Unable to", "was removed"] {
            assert!(!journal.contains(trace), "{app}: {journal}");
        }
        machine.run(&["rsgen", "uninstall", app]).ok();
    }
}

/// What is kept of a program that was started and killed again and again. One thing that each start leaves would be 100.
pub(crate) fn nothing_is_left_of_a_hundred_starts(machine: &mut Machine) {
    let lines = format!("{C}\nmax_restarts = 9999\ndrain = \"off\"");
    install(machine, "strict", &lines);
    // A command that has just ended may still be there, or its connection to PID 1.
    let at_rest = "8\n4\n";
    wait_until(SOON, "the four programs and their helpers alone", || {
        traces(machine).starts_with(at_rest)
    });
    let mut before = traces(machine);
    wait_until(SOON, "two looks that show the same", || {
        let last = std::mem::replace(&mut before, traces(machine));
        last == before && before.starts_with(at_rest)
    });
    let mut starts = 0;
    while starts < 100 {
        machine.sh("systemctl kill -s KILL 'web@*.service'").ok();
        wait_until(SOON, "all instances to be up again", || {
            machine
                .systemctl(&["is-active", "web@0", "web@1", "web@2", "web@3"])
                .status
                == 0
        });
        starts += 4;
    }
    machine.run(&["rsgen", "reset", "web"]).ok();
    assert_exactly(machine, 4);
    let what = format!("no more than {before:?} to be left of {starts} starts");
    wait_until(SOON, &what, || traces(machine) == before);
}

/// Processes, control groups, files in /run/rsgen but for the last death of each instance, and the descriptors that PID 1 has open for the app.
fn traces(machine: &Machine) -> String {
    let count = "ps -e -o comm= | grep -c -E '^(c|rsgen.*)$'; \
                 find /sys/fs/cgroup/system.slice -name 'web@*' | wc -l; \
                 find /run/rsgen -type f | grep -v -E '[.](deaths|forgotten)$' | sort; \
                 find /proc/1/fd -lname 'socket:*' | wc -l";
    machine.sh(count).text().to_owned()
}
