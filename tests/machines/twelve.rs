//! Twelve PM2 files of the kinds that people have, with the programs of npm and pip: each is imported and installed by one command,
//! without a line by hand, serves while it is reloaded, and serves afterwards. The files are in `tests/twelve`.

#![expect(
    clippy::unwrap_used,
    reason = "a number that cannot be read is a failure"
)]

use std::path::Path;
use std::time::Duration;

use testbed::runner::Spec;
use testbed::{Machine, Output, specs, target_dir, wait_until};

use crate::cluster::SOON;
use crate::{from_pm2, twelve};

pub(crate) const SPECS: &[Spec] = specs!["recipes/srv":
    twelve::next_started_by_npm,
    twelve::next_on_every_processor,
    twelve::what_nuxt_has_built,
    twelve::nest_that_says_when_it_is_ready_in_an_environment,
    twelve::typescript_by_four_loaders,
    twelve::uvicorn_on_three_addresses,
    twelve::celery_and_a_worker_in_node,
    twelve::socket_io_by_websocket_and_as_told_by_polling,
    twelve::a_port_for_each_instance,
    twelve::fastify_on_localhost_and_on_a_file,
    from_pm2::an_api_a_mailer_and_a_job,
    from_pm2::gunicorn_on_a_port_and_on_a_file,
    from_pm2::an_app_that_is_watched_and_kept_small_and_fresh,
];

/// Puts the folder of a PM2 file on the machine, as the owner of the app has it: with `node_modules`, with what was built, and with npm.
fn bring(machine: &Machine, folder: &str) {
    let made = target_dir().join("recipes/.srv");
    assert!(made.exists(), "the programs are missing: run `make twelve`");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twelve");
    machine.copy_in(&tests.join(folder), &format!("/srv/{folder}"));
    let script = "cd \"/srv/$1\"; ln -s ../node_modules .; ln -sf /srv/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm\n\
                  for built in .next .output; do [ ! -e \"../built/$1/$built\" ] || cp -a \"../built/$1/$built\" .; done\n\
                  chown -hR www-data: . $(realpath node_modules/.bin/next node_modules/.bin/tsx)";
    machine.run(&["sh", "-ec", script, "bring", folder]).ok();
}

/// Does what somebody does who has a PM2 file: one command.
pub(crate) fn install(machine: &Machine, folder: &str, options: &[&str]) -> Output {
    bring(machine, folder);
    let file = format!("/srv/{folder}/ecosystem.config.js");
    let install = ["rsgen", "install", &file, "--import"];
    machine.run(&[&install[..], options].concat()).ok()
}

/// Reloads an app that is asked again and again by curl(1) meanwhile, each time with an answer that has these words.
pub(crate) fn serves_while_reloaded(machine: &Machine, app: &str, asked: &str, words: &str) {
    let first = format!("{app}@0.service");
    let before = machine.main_pid(&first);
    let script = "ask() { curl -fsS -m 30 $2 | grep -q \"$3\"; }\n\
                  ask \"$@\"; rsgen reload \"$1\" & while kill -0 $! 2>/dev/null; do ask \"$@\"; done; wait $!; ask \"$@\"";
    machine
        .run(&["bash", "-ec", script, "reload", app, asked, words])
        .ok();
    assert_ne!(machine.main_pid(&first), before, "{app}");
}

pub(crate) fn next_started_by_npm(machine: &mut Machine) {
    install(machine, "next", &[]);
    serves_while_reloaded(
        machine,
        "shop",
        "http://localhost:3000",
        "next <!-- -->[0-9]\\|next [0-9]",
    );
}

pub(crate) fn next_on_every_processor(machine: &mut Machine) {
    bring(machine, "next");
    install(machine, "next-bin", &[]);
    let processors: u32 = machine.run(&["nproc"]).ok().text().parse().unwrap();
    let last = format!("shop@{}.service", processors - 1);
    assert_eq!(machine.state(&last), "active");
    serves_while_reloaded(machine, "shop", "http://localhost:3001", "next [0-9]");
}

pub(crate) fn what_nuxt_has_built(machine: &mut Machine) {
    install(machine, "nuxt", &[]);
    serves_while_reloaded(machine, "site", "http://localhost:3000", "nuxt");
}

pub(crate) fn nest_that_says_when_it_is_ready_in_an_environment(machine: &mut Machine) {
    install(machine, "nest", &["--env", "production"]);
    serves_while_reloaded(machine, "nest", "http://localhost:3000", "nest live");
}

pub(crate) fn typescript_by_four_loaders(machine: &mut Machine) {
    install(machine, "typescript", &[]);
    for (app, port) in [
        ("loader", 3000),
        ("tsnode", 3001),
        ("tsx", 3002),
        ("npm", 3003),
    ] {
        serves_while_reloaded(
            machine,
            app,
            &format!("http://localhost:{port}"),
            "ts [0-9]",
        );
        let stop = machine.run(&["rsgen", "stop", app]).ok();
        assert!(stop.took < Duration::from_secs(9), "{app}: {:?}", stop.took);
        let journal = machine.journal(&format!("{app}@*"));
        assert!(!journal.contains("busy"), "{journal}");
    }
}

pub(crate) fn uvicorn_on_three_addresses(machine: &mut Machine) {
    install(machine, "uvicorn", &[]);
    for (app, port) in [("loopback", 3000), ("every", 3001), ("workers", 3002)] {
        serves_while_reloaded(machine, app, &format!("http://127.0.0.1:{port}"), "uvicorn");
    }
}

/// A client of the queue, which the user of the app starts.
const SEND: &str = "cd /srv/celery && PYTHONPATH=/srv/python setpriv --reuid=www-data --regid=www-data --clear-groups \
                    python3 -c 'from tasks import add; add.delay(2, 3)'";

pub(crate) fn celery_and_a_worker_in_node(machine: &mut Machine) {
    install(machine, "celery", &[]);
    let results = |count: usize| {
        machine.sh(SEND).ok();
        wait_until(SOON, "the task to be done", || {
            let results = machine.sh("cat /srv/celery/results");
            results.stdout == "5\n".repeat(count)
        });
    };
    results(1);
    for app in ["celery", "worker"] {
        let first = format!("{app}@0.service");
        let before = machine.main_pid(&first);
        machine.run(&["rsgen", "reload", app]).ok();
        assert_ne!(machine.main_pid(&first), before, "{app}");
    }
    results(2);
}

/// Opens a session as a client does that begins with polling: three requests, each on a connection of its own.
const POLL: &str = "url='http://127.0.0.1:3000/socket.io/?EIO=4&transport=polling'\n\
                    sid=$(curl -fsS -m 30 \"$url\" | sed 's/.*\"sid\":\"\\([^\"]*\\)\".*/\\1/')\n\
                    curl -fsS -m 30 -d 40 \"$url&sid=$sid\" | grep -qx ok\n\
                    curl -fsS -m 30 \"$url&sid=$sid\" | grep -q '^40{'";

/// With PM2 as well, sessions that poll need something that keeps them at their instance. The file of PM2 does not tell of it, but the
/// package does, and so does the command.
pub(crate) fn socket_io_by_websocket_and_as_told_by_polling(machine: &mut Machine) {
    // Within a container the kernel takes no program that selects listeners.
    machine.power_on_unfiltered();
    install(machine, "socketio", &[])
        .says("`chat` uses socket.io")
        .says("write `balance = \"source\"`");
    let clients = || {
        let clients = machine.run(&["node", "/srv/socketio/client.js"]);
        clients.ok().says("all greeted");
    };
    clients();
    let file = "/srv/socketio/ecosystem.toml";
    let lines = machine
        .read(file)
        .replace("\nlisten =", "\nbalance = \"source\"\nlisten =");
    machine.write(file, &lines);
    let install = ["rsgen", "install", file, "--replace-listener"];
    machine.run(&install).ok();
    let asked = "http://127.0.0.1:3000/socket.io/?EIO=4&transport=polling";
    serves_while_reloaded(machine, "chat", asked, "sid");
    for _ in 0..10 {
        machine.run(&["bash", "-ec", POLL]).ok();
    }
    clients();
}

pub(crate) fn a_port_for_each_instance(machine: &mut Machine) {
    install(machine, "increment", &[]);
    let answers = || {
        for port in 3000..3003 {
            let pid = machine.main_pid(&format!("shard@{}.service", port - 3000));
            let answer = machine.get(port).unwrap_or_default();
            assert!(answer.ends_with(&format!("api {pid}")), "{answer}");
        }
    };
    answers();
    machine.run(&["rsgen", "reload", "shard"]).ok();
    answers();
}

pub(crate) fn fastify_on_localhost_and_on_a_file(machine: &mut Machine) {
    install(machine, "fastify", &[]);
    serves_while_reloaded(machine, "local", "http://localhost:3000", "fastify");
    let file = "--unix-socket /srv/fastify/app.sock http://web";
    serves_while_reloaded(machine, "file", file, "fastify");
}
