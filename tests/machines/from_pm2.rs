//! What is taken over from a PM2 file: environments, variables that count, exit statuses.

use testbed::runner::Spec;
use testbed::{Machine, specs, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, instances, listener, write_ecosystem};
use crate::{from_pm2, twelve};

pub(crate) const SPECS: &[Spec] = specs![
    from_pm2::an_imported_app_has_its_environment_and_a_port_for_each_instance,
    from_pm2::an_exit_status_that_ends_the_work_is_no_failure,
    from_pm2::who_has_the_port_is_told_before_anything_changes,
];

const CONFIG: &str = "module.exports = { apps: [{
  name: 'web', script: 'server.js', exec_mode: 'cluster', instances: 2, uid: 'www-data', port: 3000, stop_exit_codes: [3],
  increment_var: 'METRICS', env: { MODE: 'test', METRICS: 9100 }, env_live: { MODE: 'live' },
}] };
";

/// Each instance has a port of its own in addition to the shared one.
const SERVER: &str = "const http = require('http');
const answer = (request, response) => response.end(`${process.env.NODE_APP_INSTANCE} ${process.env.MODE}`);
http.createServer(answer).listen(process.env.METRICS, () => http.createServer(answer).listen(process.env.PORT));
process.on('SIGUSR2', () => process.exit(3));
";

fn import_and_install(machine: &Machine) {
    machine.write("/srv/web/ecosystem.config.js", CONFIG);
    machine.write("/srv/web/server.js", SERVER);
    machine.run(&["chown", "-R", "www-data:", "/srv/web"]).ok();
    let install = [
        "rsgen",
        "install",
        "/srv/web/ecosystem.config.js",
        "--import",
        "--env",
        "live",
    ];
    machine.run(&install).ok().says("/srv/web/ecosystem.toml");
}

pub(crate) fn an_imported_app_has_its_environment_and_a_port_for_each_instance(
    machine: &mut Machine,
) {
    // The canary has a port of its own for its metrics too.
    import_and_install(machine);
    let serve = |machine: &Machine| {
        for (port, answer) in [(9100, "0 live"), (9101, "1 live")] {
            let told = machine.get(port).unwrap_or_default();
            assert!(told.ends_with(answer), "{port}: {told}");
        }
    };
    serve(machine);
    machine.run(&["rsgen", "reload", "web"]).ok();
    serve(machine);
    let installed = machine.read("/etc/rsgen/web.toml");
    assert!(!installed.contains("env_live"), "{installed}");
    machine
        .run(&["rsgen", "install", "/srv/web/ecosystem.toml"])
        .ok()
        .says("web: environment live, as `--env live` chose")
        .says("nothing to do");
    machine
        .run(&["rsgen", "check", "/srv/web/ecosystem.toml"])
        .ok()
        .says("`env_live` is not used");
    // A start uses the installed copy, and knows which environment the copy has.
    let started = machine.run(&["rsgen", "start", "/srv/web/ecosystem.toml"]);
    assert!(!started.ok().to_string().contains("differs"));
    for command in ["reload", "deploy"] {
        machine
            .run(&["rsgen", command, "/srv/web/ecosystem.toml", "--env", "live"])
            .ok()
            .says("2 of 2 replaced");
        serve(machine);
    }
    machine
        .run(&["rsgen", "reload", "web", "--env", "live"])
        .exits(2);
}

pub(crate) fn an_exit_status_that_ends_the_work_is_no_failure(machine: &mut Machine) {
    import_and_install(machine);
    let end = |number: u32| {
        let unit = format!("web@{number}.service");
        machine
            .run(&["systemctl", "kill", "-s", "USR2", &unit])
            .ok();
        wait_until(SOON, "the instance to end", || {
            machine.state(&unit) == "inactive"
        });
    };
    end(1);
    assert_eq!(instances(machine), ["web@0.service active"]);
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 2);
    end(0);
    end(1);
    wait_until(SOON, "the cluster to end", || {
        machine.state("web.service") == "inactive"
    });
    assert_exactly(machine, 0);
    // The port is still open: the next connection starts the app.
    wait_until(SOON, "an answer", || machine.get(3000).is_ok());
}

/// Holds a port as PM2's daemon does, which can be recognised only by the name that it gives itself.
const DAEMON: &str = "const net = require('net');
process.title = process.argv[2];
net.createServer().listen(3000, '127.0.0.1', () => console.log('listens'));
";

pub(crate) fn who_has_the_port_is_told_before_anything_changes(machine: &mut Machine) {
    machine.write("/srv/daemon.js", DAEMON);
    for (title, help) in [
        (
            "PM2 v7.0.3: God Daemon (/var/www/.pm2)",
            "as `www-data`, find the app with `pm2 list`",
        ),
        ("other", "stop it, or write another address in `listen`"),
    ] {
        let unit = format!("holder-{}", title.len());
        machine
            .run(&[
                "systemd-run",
                "--unit",
                &unit,
                "--uid=www-data",
                "node",
                "/srv/daemon.js",
                title,
            ])
            .ok();
        wait_until(SOON, "the port to be taken", || listener(machine).is_some());
        machine.write_app("graceful.js", "/srv/web");
        write_ecosystem(machine, "graceful.js", "1", "");
        let pid = machine.main_pid(&format!("{unit}.service"));
        let line = format!("`web` cannot listen on 3000: `{title}` (pid {pid}) listens there");
        // By the time of the install it may be gone.
        let checked = machine.run(&["rsgen", "check", ECOSYSTEM]).ok();
        checked.says(&format!("warning: {line}")).says(help);
        let install = ["rsgen", "install", ECOSYSTEM, "--dry-run"];
        for command in [&install[..], &install[..3]] {
            machine.run(command).exits(1).says(&line).says(help);
        }
        machine.run(&["test", "-e", "/etc/rsgen/web.toml"]).exits(1);
        machine.run(&["systemctl", "stop", &unit]).ok();
    }
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do");
}

pub(crate) fn an_api_a_mailer_and_a_job(machine: &mut Machine) {
    twelve::install(machine, "three", &[]);
    twelve::serves_while_reloaded(machine, "api", "http://localhost:3000", "api [0-9]");
    let mails = || {
        let pid = machine.main_pid("mailer@0.service");
        machine.wait_journal("mailer@0.service", &format!("mails of {pid}"), SOON);
        pid
    };
    let before = mails();
    machine.run(&["rsgen", "reload", "mailer"]).ok();
    assert_ne!(mails(), before);
    machine.run(&["test", "-e", "/srv/three/cleaned"]).exits(1);
    let next = machine.property("cleanup.timer", "NextElapseUSecRealtime");
    assert!(next.contains(" 03:00:00 "), "{next}");
    machine.run(&["rsgen", "start", "cleanup"]).ok();
    assert_eq!(machine.read("/srv/three/cleaned"), "once\n");
}

pub(crate) fn gunicorn_on_a_port_and_on_a_file(machine: &mut Machine) {
    twelve::install(machine, "gunicorn", &[]);
    twelve::serves_while_reloaded(machine, "tcp", "http://localhost:3000", "gunicorn");
    let file = "--unix-socket /run/shop/web.sock http://web";
    twelve::serves_while_reloaded(machine, "file", file, "gunicorn");
}

pub(crate) fn an_app_that_is_watched_and_kept_small_and_fresh(machine: &mut Machine) {
    twelve::install(machine, "watch", &[]);
    twelve::serves_while_reloaded(machine, "watched", "http://localhost:3000", "api [0-9]");
    let next = machine.property("watched:recycle.timer", "ActiveState");
    assert_eq!(next, "active");
    machine.sh("sed -i 's/api /new /' /srv/watch/api.js").ok();
    wait_until(SOON, "the new code", || {
        machine
            .get(3000)
            .is_ok_and(|answer| answer.contains("new "))
    });
}
