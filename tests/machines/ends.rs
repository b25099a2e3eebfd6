//! The ends of instances: whatever the reason, the crash-loop brake works, and the reason is reported in words.

use std::fmt::Write;

use testbed::{Machine, wait_until};

use crate::cluster::{
    ECOSYSTEM, SOON, assert_exactly, deploy, install, listener, wait_until_empty, write_ecosystem,
};

mod silence;

pub(crate) use silence::that_take_their_time_are_not_awaited_in_silence;

/// An end: its name, the lines of the app, and what is reported about it.
struct End(&'static str, &'static str, &'static str);

const ENDS: &[End] = &[
    End("code", "args = ['-c', 'exit 3']", "exited with status 3"),
    End(
        "signal",
        "args = ['-c', 'kill -KILL $$']",
        "killed by SIGKILL",
    ),
    End(
        "core",
        "args = ['-c', 'kill -SEGV $$']",
        "killed by SIGSEGV",
    ),
    End(
        "background",
        "args = ['-c', 'sleep 1000 & exit 0']",
        "exited with status 0 before it was READY; a program that forks into the background",
    ),
    End(
        "daemon",
        "handover = 'bind'\nready = 'listen'\nenv.PORT = 4004\nkill_timeout = '300ms'\n\
         args = ['-c', 'exec python3 /srv/apps/daemon.py']",
        "the program went to the background; run it in the foreground",
    ),
    End(
        "late",
        "args = ['-c', 'exec sleep 1000']\nlisten_timeout = '300ms'",
        "timed out",
    ),
    End(
        "elsewhere",
        "handover = 'bind'\nready = 'message'\nenv.PORT = 4006\nlisten_timeout = '6s'\nmax_restarts = 1\n\
         args = ['-c', 'exec python3 /srv/apps/elsewhere.py']",
        "the program sent 'ready', but the program listens on 0.0.0.0:4906",
    ),
    End(
        "watchdog",
        // With a listener of its own, a program that accepts nothing is told of before.
        "balance = 'shared'\nargs = ['-c', 'exec sleep 1000']\nready = 'exec'\nservice.WatchdogSec = '300ms'",
        "WATCHDOG=1",
    ),
    End(
        "pre",
        "service.ExecStartPre = '/bin/false'",
        "`ExecStartPre=` failed",
    ),
    End(
        "post",
        "args = ['-c', 'exit 4']\nservice.ExecStopPost = '/bin/false'",
        "exited with status 4",
    ),
    End(
        "condition",
        "service.ExecCondition = '/bin/false'",
        "`ExecCondition=`",
    ),
    End(
        "output",
        "service.StandardOutput = 'file:/no/such/file'",
        "209/STDOUT",
    ),
    End(
        "namespace",
        "service.BindPaths = '/no/such/folder'",
        "226/NAMESPACE",
    ),
    End(
        "credential",
        "service.LoadCredential = 'a:/no/such/file'",
        "243/CREDENTIALS",
    ),
    // systemd can run no command of the unit, not even the one that counts deaths.
    End(
        "resources",
        "service.EnvironmentFile = '/no/such/*'",
        "something that the unit needs is missing",
    ),
    // The same, after a first run whose end could be counted.
    End(
        "later",
        "args = ['-c', 'rm -f /srv/later/env; exit 3']\nservice.EnvironmentFile = '/srv/later/*'",
        "something that the unit needs is missing",
    ),
];

pub(crate) fn of_every_kind_are_counted_and_told(machine: &mut Machine) {
    let mut text = String::new();
    for (at, End(name, lines, _)) in ENDS.iter().enumerate() {
        let port = 4000 + at;
        let args = if lines.contains("args") {
            ""
        } else {
            "args = ['-c', 'exec sleep 1000']\n"
        };
        let ready = if lines.contains("ready") {
            ""
        } else {
            "ready = 'notify'\n"
        };
        let handover = if lines.contains("handover") {
            ""
        } else {
            "handover = 'fds'\n"
        };
        let restarts = if lines.contains("max_restarts") {
            ""
        } else {
            "max_restarts = 2\n"
        };
        let _ = writeln!(
            text,
            "[[apps]]\nname = '{name}'\nscript = '/bin/sh'\ncwd = '/'\nlisten = {port}\nuser = 'www-data'\n{handover}\
             min_uptime = '5s'\n{restarts}restart_delay = '10ms'\n{args}{ready}{lines}\n",
        );
    }
    machine.write("/root/ecosystem.toml", &text);
    machine.write_app("daemon.py", "/srv/apps");
    machine.write_app("elsewhere.py", "/srv/apps");
    machine
        .sh("install -d -o www-data /srv/later && touch /srv/later/env")
        .ok();
    for End(name, _, told) in ENDS {
        install_only(machine, name, told);
        let unit = format!("{name}@0.service");
        wait_until_down(machine, &unit);
        let restarts = machine.property(&unit, "NRestarts").parse();
        let restarts = restarts.unwrap_or(u32::MAX);
        // The command that counts cannot be run for want of a resource: others look from time to time, and systemd goes on meanwhile.
        let is_uncounted = ["resources", "later"].contains(name);
        let most = if is_uncounted { 1000 } else { 4 };
        assert!(restarts <= most, "{name}: {restarts}");
        if name != &"condition" {
            machine
                .run(&["rsgen", "list", name])
                .ok()
                .says("errored")
                .says(told);
        }
        // A command that the cluster unit runs when it stops finds this out.
        let cluster = format!("{name}.service");
        wait_until(SOON, "the cluster unit to fail", || {
            machine.state(&cluster) == "failed"
        });
    }
}

fn install_only(machine: &Machine, name: &str, told: &str) {
    let installed = machine.run(&["rsgen", "install", "/root/ecosystem.toml", "--only", name]);
    // This instance serves at first. Where the command sees its first end already, it stops the app.
    if name != "watchdog" {
        installed.exits(1).says(told);
    } else if installed.status != 0 {
        let _ = machine.systemctl(&["start", name]);
    }
}

/// Waits until a unit is down and stays so: between two runs an instance may be inactive, with a job.
fn wait_until_down(machine: &Machine, unit: &str) {
    wait_until(SOON, "the loop to end", || {
        let shown = machine.systemctl(&["show", "-p", "ActiveState", "-p", "Job", unit]);
        let shown = shown.ok().stdout;
        let has = |line: &str| shown.lines().any(|l| l == line);
        let is_down = has("ActiveState=failed") || has("ActiveState=inactive");
        is_down && !shown.lines().any(|l| l.starts_with("Job=") && l != "Job=")
    });
}

/// Kills the program alone: from 257 on, systemd would also kill the command that counts its death.
fn kill(machine: &Machine, unit: &str) {
    machine
        .systemctl(&["kill", "--kill-whom=main", "-s", "KILL", unit])
        .ok();
}

/// Files that systemd reads as root and cannot use, and what is reported about each.
const UNUSABLE: &[(&str, &str)] = &[
    (
        "rm /etc/web.env",
        "`/etc/web.env`, a file of `env_file`, is missing; create it",
    ),
    (
        "rm /etc/web.env; mkdir /etc/web.env",
        "`/etc/web.env`, a file of `env_file`, is missing; create it",
    ),
    (
        "printf 'A=\\377\\n' > /etc/web.env",
        "a command of `ExecStartPre=` failed",
    ),
];

pub(crate) fn without_a_file_of_variables_name_the_file(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    let keys = "env_file = \"/etc/web.env\"\nmax_restarts = 3";
    write_ecosystem(machine, "graceful", "2", keys);
    for command in ["check", "install"] {
        machine
            .run(&["rsgen", command, ECOSYSTEM])
            .exits(3)
            .says("`/etc/web.env`, a file of `env_file`, does not exist")
            .says("env_file = \"/etc/web.env\"")
            .says("create it, or take it out of `env_file`");
    }
    machine.sh("umask 077; echo A=1 > /etc/web.env").ok();
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_exactly(machine, 2);
    for (spoil, told) in UNUSABLE {
        machine.sh(spoil).ok();
        kill(machine, "web@0.service");
        machine.wait_state("web@0.service", "failed", SOON);
        let list = machine.run(&["rsgen", "list"]).ok().says(told);
        assert!(list.stdout.contains("online"), "the other serves: {list:?}");
        assert!(listener(machine).is_some(), "{spoil}");
        let reload = machine.run(&["rsgen", "reload", "web"]).exits(1);
        let reload = reload.says("every instance still serves");
        reload.says(&format!("error: web: the canary failed: {told}"));
        kill(machine, "web@1.service");
        machine.wait_state("web.service", "failed", SOON);
        machine.wait_journal("web.service", &format!("no instance is left: {told}"), SOON);
        let status = machine.property("web.service", "StatusText");
        assert!(status.contains(told), "{status}");
        let start = machine.run(&["rsgen", "start", "web"]).exits(1);
        assert!(start.took < SOON, "{start:?}");
        machine
            .sh("rm -rf /etc/web.env; echo A=1 > /etc/web.env")
            .ok();
        machine.run(&["rsgen", "start", "web"]).ok();
        assert_exactly(machine, 2);
    }
}

/// What keeps systemd from using a unit, and what is reported about it.
const SPOILT: &[(&str, &str)] = &[
    ("systemctl mask web@0.service", "the unit is masked"),
    (
        "mkdir /run/systemd/system/web@0.service.d; \
         printf '[Service]\\nExecStart=\\n' > /run/systemd/system/web@0.service.d/a.conf",
        "systemd cannot use the unit's files",
    ),
];

pub(crate) fn for_want_of_a_usable_unit_are_told_as_that(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    for (spoil, told) in SPOILT {
        machine.sh(spoil).ok();
        machine.systemctl(&["daemon-reload"]).ok();
        kill(machine, "web@0.service");
        machine.wait_state("web@0.service", "failed", SOON);
        machine
            .run(&["rsgen", "list"])
            .ok()
            .says(told)
            .says("online");
        machine.sh("systemctl unmask web@0.service; rm -rf /run/systemd/system/web@0.service.d; systemctl daemon-reload").ok();
        machine.systemctl(&["start", "web@0.service"]).ok();
        assert_exactly(machine, 2);
    }
}

pub(crate) fn are_told_with_the_message_that_stands_above_the_stack(machine: &mut Machine) {
    let message = "Error: Cannot find module 'expresss'";
    let broken = "require('expresss');\nconst http";
    machine.write_app("graceful.js", "/srv/web");
    deploy(machine, "graceful.js", "const http", broken);
    write_ecosystem(machine, "graceful.js", "2", "max_restarts = 2");
    let installed = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    installed.says(message).says("Node.js v");
    let list = machine.run(&["rsgen", "list", "web"]).ok();
    list.says("web@0 wrote:\n").says(message);

    deploy(machine, "graceful.js", broken, "const http");
    machine.run(&["rsgen", "start", "web"]).ok();
    let chatty = "for (let i = 0; i < 100; i++) console.log('line ' + i + '.');\nrequire('expresss');\nconst http";
    deploy(machine, "graceful.js", "const http", chatty);
    let reload = machine.run(&["rsgen", "reload", "web"]).exits(1);
    let reload = reload.says("line 0.").says("\n  …\n").says(message);
    assert!(!reload.stdout.contains("line 50."), "{reload:?}");
    assert_exactly(machine, 2);

    let file = "max_restarts = 2\nservice.StandardError = \"append:/srv/web/err.log\"";
    write_ecosystem(machine, "graceful.js", "2", file);
    machine.sh("chown www-data /srv/web").ok();
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    let tail = "the program writes to `/srv/web/err.log`: run `tail /srv/web/err.log`";
    told.says(&format!("help: {tail}"));
}

pub(crate) fn are_remembered_until_the_app_is_uninstalled(machine: &mut Machine) {
    install(machine, "graceful", "2", "max_restarts = 2");
    kill(machine, "web@0.service");
    wait_until(SOON, "the end in the list", || {
        let list = machine.run(&["rsgen", "list"]).ok();
        list.stdout.matches("online").count() == 2
            && list.stdout.contains(" ago: killed by SIGKILL")
    });
    let json = machine.run(&["rsgen", "list", "--json"]).ok();
    json.says("\"reason\": \"killed by SIGKILL\"")
        .says("\"seconds_ago\"");
    machine.run(&["rsgen", "reload", "web"]).ok();
    let list = machine.run(&["rsgen", "list"]).ok();
    assert!(!list.stdout.contains("killed"), "{list}");

    deploy(machine, "graceful", "answer", "throw a bug\nanswer");
    kill(machine, "web@0.service");
    machine.wait_state("web@0.service", "failed", SOON);
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    let left = ["list-units", "--all", "--plain", "--no-legend", "web*"];
    wait_until_empty(machine, &left);
}

pub(crate) fn of_a_start_whose_port_is_taken_name_the_socket(machine: &mut Machine) {
    machine.write_app("graceful.js", "/srv/web");
    write_ecosystem(machine, "graceful.js", "1", "");
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    machine.run(&["rsgen", "stop", "web"]).ok();
    let other = machine.spawn(&["node", "/srv/web/graceful.js"]);
    wait_until(SOON, "the other program", || machine.get(3000).is_ok());
    machine
        .run(&["rsgen", "start", "web"])
        .exits(1)
        .says("start of web.service failed, because web")
        .says(".socket could not be started")
        .says("Address already in use")
        .says("(pid ")
        .says("listens there");
    drop(other);
}

/// Each restart of an instance that systemd refuses is over before any command of the unit.
pub(crate) fn that_systemd_refuses_once_the_app_is_up_are_bounded(machine: &mut Machine) {
    const TOLD: &str = "something that the unit needs is missing";
    machine.sh("echo A=1 > /etc/extra.env").ok();
    machine
        .sh(
            "mkdir /etc/systemd/system/web@.service.d; printf '[Service]\\nEnvironmentFile=/etc/extra.env\\n' \
             > /etc/systemd/system/web@.service.d/a.conf",
        )
        .ok();
    install(machine, "graceful", "2", "");
    wait_until_braked(machine);
    machine.sh("rm /etc/extra.env").ok();
    kill(machine, "web@0.service");
    wait_until_down(machine, "web@0.service");
    assert_eq!(machine.state("web@0.service"), "inactive");
    // The number of tries that `max_restarts` allows, and those until they are looked at.
    let restarts = machine.property("web@0.service", "NRestarts").parse();
    let restarts = restarts.unwrap_or(u32::MAX);
    assert!((16..=300).contains(&restarts), "{restarts}");
    let failed = machine.run(&["rsgen", "list", "--failed"]).exits(1);
    failed.says("errored").says(TOLD);
    assert!(machine.get(3000).is_ok(), "the other instance serves");

    kill(machine, "web@1.service");
    machine.wait_state("web.service", "failed", SOON);
    machine.wait_journal(
        "web.service",
        &format!("no instance is left: systemd could not run it because {TOLD}"),
        SOON,
    );
    machine.sh("echo A=1 > /etc/extra.env").ok();
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 2);

    // On purpose an app may be restarted as often as somebody likes.
    for _ in 0..20 {
        machine.systemctl(&["restart", "web@0.service"]).ok();
    }
    assert_exactly(machine, 2);
    wait_until_braked(machine);
}

fn wait_until_braked(machine: &Machine) {
    wait_until(SOON, "the brake unit to end", || {
        machine.state("web:brake.service") == "inactive"
    });
}
