//! Apps below `systemd --user`, without any privileges.

use testbed::{Load, Machine, Output, Traffic, wait_until};

use crate::cluster::SOON;
use crate::drain::ask;
use crate::yama;

/// A command in the session of an ordinary user.
pub(crate) fn command(words: &str) -> [String; 7] {
    let login =
        "XDG_RUNTIME_DIR=/run/user/1500 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1500/bus";
    let script = format!("cd; {login} {words}");
    ["runuser", "-u", "worker", "--", "sh", "-c", &script].map(str::to_owned)
}

/// Runs a command in the session of an ordinary user.
pub(crate) fn run(machine: &Machine, words: &str) -> Output {
    machine.run(&command(words).each_ref().map(String::as_str))
}

pub(crate) fn deploy(machine: &Machine, script: &str, lines: &str) {
    machine.write_app(script, "/home/worker");
    let app = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{script}\"\ninstances = 2\nsettle = 0\n{lines}\n"
    );
    machine.write("/home/worker/ecosystem.toml", &app);
    run(machine, "rsgen --user install ecosystem.toml").ok();
}

/// Reloads an app of an ordinary user under load, and asserts that nothing is lost.
pub(crate) fn loses_nothing(machine: &Machine, script: &str, lines: &str) {
    deploy(machine, script, lines);
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(100);
    for _ in 0..3 {
        run(machine, "rsgen --user reload web").ok();
        run(machine, "systemctl --user reload-or-restart web").ok();
        load.wait_answered(50);
    }
    load.stop().assert_nothing_lost();
}

pub(crate) fn log_in(machine: &Machine) {
    // As at a login: PAM registers the session if systemd-logind runs.
    machine
        .sh("useradd --create-home --uid 1500 worker && systemctl start systemd-logind user@1500")
        .ok();
    wait_until(SOON, "the user's bus", || {
        machine.run(&["test", "-S", "/run/user/1500/bus"]).status == 0
    });
}

pub(crate) fn an_ordinary_user_has_a_cluster(machine: &mut Machine) {
    log_in(machine);
    loses_nothing(machine, "plain.js", "listen = 3000");
    run(machine, "rsgen --user list").ok().says("online");
    let edited = "EDITOR=\"sed -i s/^settle.*/settle=1/\" rsgen --user edit web";
    run(machine, edited).ok().says("web: reloading");
    let scaled = run(machine, "rsgen --user scale web +1").ok();
    scaled.says("start done");
    let status = "systemctl --user show --value -p StatusText web";
    wait_until(SOON, "systemd to show how many serve", || {
        run(machine, status).stdout.contains("3 of 3 serving")
    });
    let releases = run(machine, "rsgen --user releases web").ok();
    releases.says("current");
    let kept = "/home/worker/.local/state/rsgen";
    machine
        .run(&["test", "-f", &format!("{kept}/web.json")])
        .ok();
    run(machine, "rsgen --user uninstall web").ok();
    machine.run(&["test", "!", "-e", kept]).ok();
    let left = "systemctl --user list-units --all --plain --no-legend 'web*'";
    wait_until(SOON, "no unit to be left", || {
        run(machine, left).text().is_empty()
    });
}

/// Here the drain runs in the sandbox of the unit, and has to reach systemd from there.
pub(crate) fn a_sandbox_needs_no_privileges(machine: &mut Machine) {
    log_in(machine);
    machine
        .sh("install -o worker -m 600 /dev/null /home/worker/web.env")
        .ok();
    let lines = "listen = 3000\nsandbox = \"strict\"\nenv_file = \"web.env\"\nmax_restarts = 2";
    loses_nothing(machine, "plain.js", lines);
    let shown =
        "systemctl --user show web@0 --property=RestrictNamespaces --property=LockPersonality";
    let shown = run(machine, shown);
    assert_eq!(shown.text(), "LockPersonality=yes\nRestrictNamespaces=yes");

    machine.sh("rm /home/worker/web.env").ok();
    let kill = "systemctl --user kill --kill-whom=main -s KILL web@0";
    run(machine, kill).ok();
    wait_until(SOON, "the brake to hold", || {
        run(machine, "rsgen --user list").stdout.contains("errored")
    });
    let list = run(machine, "rsgen --user list").ok();
    list.says("`/home/worker/web.env`, a file of `env_file`, is missing");
    machine.run(&["journalctl", "--sync"]).ok();
    let journal = run(machine, "journalctl --user -t web -o cat").ok();
    assert!(!journal.text().contains("drain"), "{}", journal.text());
}

/// The manager and the reader of the report belong to one user, who has no privileges.
pub(crate) fn where_it_listens_is_found(machine: &mut Machine) {
    log_in(machine);
    deploy(machine, "python.py", "sandbox = \"strict\"");
    let file = machine.read("/home/worker/.config/rsgen/web.toml");
    assert!(file.contains("\nlisten = \"0.0.0.0:3000\"\n"), "{file}");
    assert!(machine.get(3000).is_ok());
    let left = "ls /run/user/1500/systemd/user /run/user/1500/rsgen/:rehearsals | grep @";
    assert!(machine.sh(left).stdout.is_empty());
}

/// No epoll set watches this listener: the drain has to interrupt each of the threads.
pub(crate) fn one_whose_threads_wait_in_accept_is_drained_as_well(machine: &mut Machine) {
    log_in(machine);
    let lines = "listen = \"0.0.0.0:3000\"\nservice.NonBlocking = \"no\"";
    loses_nothing(machine, "threads.py", lines);
}

/// The PIDs of the processes of rsgen-worker: those whose parent is another of them, or the others.
fn workers(machine: &Machine, are_children: bool) -> Vec<String> {
    let said = machine.sh("ps -eo pid=,ppid=,comm= | grep rsgen-worker");
    let words = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?))
    };
    let all: Vec<(String, String)> = said.text().lines().filter_map(words).collect();
    let is_child = |parent: &String| all.iter().any(|(pid, _)| pid == parent);
    let found = all.iter().filter(|(_, p)| is_child(p) == are_children);
    found.map(|(pid, _)| pid.clone()).collect()
}

pub(crate) fn under_yama_the_helper_drains(machine: &mut Machine) {
    log_in(machine);
    yama::pretend(machine, 1);
    loses_nothing(machine, "plain.js", "listen = 3000");
    loses_nothing(machine, "jail.py", "listen = 3000\nhandover = \"fds\"");
    run(machine, "rsgen --user uninstall web").ok();
    wait_until(SOON, "no worker to be left", || {
        workers(machine, true).is_empty() && workers(machine, false).is_empty()
    });
}

pub(crate) fn the_helpers_drain_is_cut_short_as_well(machine: &mut Machine) {
    log_in(machine);
    yama::pretend(machine, 1);
    deploy(machine, "pace.js", "listen = 3000\ndrain_timeout = \"50s\"");
    let _slow = ask(machine, "/60000");
    run(machine, "systemctl --user --no-block stop web").ok();
    wait_until(SOON, "a child of a helper", || {
        // The command that asks for the drain has a child too.
        workers(machine, true).len() == 2
    });
    run(machine, "rsgen --user stop web").ok();
    wait_until(SOON, "all instances to end", || {
        workers(machine, false).is_empty()
    });
}

/// Timers of the user's own manager, and an app without a port.
pub(crate) fn schedules_are_kept(machine: &mut Machine) {
    log_in(machine);
    let lasting = "listen = []\nreload_schedule = \"*/3 * * * * *\"";
    deploy(machine, "consume.py", lasting);
    let pid = || {
        let show = "systemctl --user show -P MainPID web@0.service";
        run(machine, show).ok().text().to_owned()
    };
    let before = pid();
    wait_until(SOON, "a reload by the schedule", || {
        let now = pid();
        now != "0" && now != before
    });
    run(machine, "rsgen --user uninstall web").ok();

    machine.write_app("job.sh", "/home/worker");
    let job = "[[apps]]\nname = \"web\"\nscript = \"job.sh\"\nschedule = \"yearly\"\n";
    machine.write("/home/worker/ecosystem.toml", job);
    run(machine, "rsgen --user install ecosystem.toml").ok();
    run(machine, "rsgen --user start web").ok();
    run(machine, "rsgen --user list").ok().says("done");
    run(machine, "rsgen --user uninstall web").ok();
    let left = "systemctl --user list-timers --all --no-legend 'web*'";
    wait_until(SOON, "no timer to be left", || {
        run(machine, left).text().is_empty()
    });
}
