//! The first commands of a user who comes from PM2, typed as PM2 takes them: each leads to one that works.

use testbed::runner::Spec;
use testbed::{Machine, Output, specs, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, write_ecosystem};
use crate::newcomer;

pub(crate) const SPECS: &[Spec] = specs![
    newcomer::is_led_from_pm2s_command_lines_to_ones_that_work,
    newcomer::replaces_no_app_by_another_program_unawares,
    newcomer::an_instance_that_has_recovered_is_no_longer_errored,
    newcomer::a_port_that_changes_with_each_start_is_not_installed,
    newcomer::a_start_names_the_program_that_has_the_port,
    newcomer::a_port_for_each_instance_is_told_with_what_to_do,
];

const SERVER: &str = "require('http').createServer((q, r) => r.end(__dirname)).listen(PORT);\n";

/// Runs a command in a folder.
fn inside(machine: &Machine, folder: &str, command: &str) -> Output {
    machine.sh(&format!("cd {folder} && {command}"))
}

fn write(machine: &Machine, folder: &str, port: &str) {
    let server = SERVER.replace("PORT", port);
    machine.write(&format!("{folder}/server.js"), &server);
    machine.write(
        &format!("{folder}/graceful"),
        "#!/usr/bin/env node\nrequire('./server.js')\n",
    );
    let own = format!(
        "chmod 755 {folder}/graceful && cp {folder}/graceful '{folder}/a;reboot' && chown -R www-data: {folder}"
    );
    machine.sh(&own).ok();
}

/// Command lines in a folder with a script and a package.json, and what they are answered with.
const LINES: &[(&str, &str)] = &[
    ("start ./graceful", "run `rsgen install ./graceful`"),
    (
        "restart /srv/web/graceful",
        "run `rsgen install /srv/web/graceful`",
    ),
    ("stop ./graceful", "no installed app runs it"),
    ("start './a;reboot'", "run `rsgen install './a;reboot'`"),
    (
        "start node -- server.js",
        "`rsgen install node --name NAME -- server.js`",
    ),
    (
        "start npm --name shop -- start",
        "`rsgen install npm --name shop -- start`",
    ),
    (
        "start nope.js",
        "there is no file `nope.js` in this folder either",
    ),
    (
        "start .",
        "`rsgen import ./package.json` makes an ecosystem file",
    ),
    ("install /srv/web", "`/srv/web` is a folder"),
    ("install", "`rsgen import package.json`; or name a script"),
    ("import", "`rsgen import package.json` reads what is there"),
    ("install 'npm start'", "run `rsgen install npm -- start`"),
    ("install npm start", "`rsgen install npm -- start`"),
    ("install server.js --watch", "run `rsgen init -- server.js`"),
    ("install server.js --port 3000", "write `--listen PORT`"),
    (
        "install server.js --user www-data",
        "`rsgen init --account www-data",
    ),
    (
        "install server.js --env production",
        "a script alone has none",
    ),
];

/// Ecosystem files, and what is said about them.
const FILES: &[(&str, &str)] = &[
    ("apps:\n  - name: web\n", "this is YAML, not TOML"),
    (
        "[[apps]]\nname = \"web\"\nscript = \"npm start\"\n",
        "`script = \"npm\"` and `args = \"start\"`",
    ),
    (
        "[[apps]]\nname = \"web\"\nscript = \"server.js\"\nPORT = 3000\n",
        "belongs in `env`",
    ),
];

fn is_led_from_pm2s_command_lines_to_ones_that_work(machine: &mut Machine) {
    write(machine, "/srv/web", "3000");
    machine.write(
        "/srv/web/package.json",
        "{ \"scripts\": { \"start\": \"node server.js\" } }",
    );
    for (line, told) in LINES {
        let ended = inside(machine, "/srv/web", &format!("rsgen {line}"));
        assert!(ended.status != 0, "{ended}");
        ended.says(told);
    }
    for (text, told) in FILES {
        machine.write(ECOSYSTEM, text);
        machine
            .run(&["rsgen", "check", ECOSYSTEM])
            .exits(3)
            .says(told);
    }
    machine.run(&["rm", ECOSYSTEM]).ok();
    inside(machine, "/srv/web", "rsgen init -- node server.js").ok();
    let written = machine.read(ECOSYSTEM);
    assert!(
        written.starts_with("[[apps]]\nname = \"server\"\n"),
        "{written}"
    );
    machine.run(&["rm", ECOSYSTEM]).ok();

    let started = inside(
        machine,
        "/srv/web",
        "rsgen start ./graceful -i 2 --name web",
    );
    let same = "rsgen install ./graceful -i 2 --name web";
    started.exits(2).says(&format!("run `{same}`"));
    inside(machine, "/srv/web", same).ok();
    assert_eq!(machine.get(3000).unwrap_or_default(), "/srv/web");
    // A program of that name in the folder at hand takes nothing away from an instance.
    let beside = "cp graceful web@1 && rsgen restart web@1";
    inside(machine, "/srv/web", beside).ok();
    for command in ["start", "reload", "stop"] {
        let told = inside(machine, "/srv/web", &format!("rsgen {command} ./graceful"));
        told.exits(1)
            .says(&format!("`web` runs it: `rsgen {command} web`"));
    }
    machine
        .run(&["rsgen", "restart", "0"])
        .exits(1)
        .says("`web@0`");
}

fn replaces_no_app_by_another_program_unawares(machine: &mut Machine) {
    for (folder, port) in [("/srv/a", "3000"), ("/srv/b", "3001"), ("/srv/c", "3000")] {
        write(machine, folder, port);
    }
    inside(machine, "/srv/a", "rsgen install server.js").ok();
    // Another address: hardly a new version of the same program.
    let refused = inside(machine, "/srv/b", "rsgen install server.js");
    refused
        .exits(1)
        .says("`server` is the name of an installed app, which runs /srv/a/server.js")
        .says("`--name server` to replace it");
    assert_eq!(machine.get(3000).unwrap_or_default(), "/srv/a");
    inside(machine, "/srv/b", "rsgen install server.js --name b").ok();
    assert_eq!(machine.get(3001).unwrap_or_default(), "/srv/b");
    // The same address: that may be a new release in a folder of its own.
    let replaced = inside(machine, "/srv/c", "rsgen install server.js");
    replaced
        .ok()
        .says("server: replaces /srv/a/server.js; `rsgen rollback server` restores it");
    assert_eq!(machine.get(3000).unwrap_or_default(), "/srv/c");
    machine.run(&["rsgen", "rollback", "server"]).ok();
    assert_eq!(machine.get(3000).unwrap_or_default(), "/srv/a");
    let again = inside(machine, "/srv/a", "rsgen install server.js").ok();
    assert!(
        !again.to_string().contains("creates a separate app"),
        "{again}"
    );
}

fn an_instance_that_has_recovered_is_no_longer_errored(machine: &mut Machine) {
    machine.write_app("graceful.js", "/srv/web");
    write_ecosystem(
        machine,
        "graceful.js",
        "2",
        "max_restarts = 1\nmin_uptime = \"200ms\"",
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    // Found by the next start of an instance alone.
    machine.sh("mv /srv/web/graceful.js /srv/web/away.js").ok();
    machine
        .systemctl(&["kill", "--kill-who=main", "-s", "KILL", "web@1.service"])
        .ok();
    wait_until(SOON, "web@1 to be given up", || {
        let is_noted = machine.sh("grep -q errored /run/rsgen/web/*").status == 0;
        is_noted && machine.state("web@1.service") == "failed"
    });
    machine
        .run(&["rsgen", "list", "--failed"])
        .exits(1)
        .says("errored");
    machine.sh("mv /srv/web/away.js /srv/web/graceful.js").ok();
    // The last death was long ago, so the start does not wait.
    machine
        .sh("sed -i '1s/ [0-9]* errored/ 1 errored/' $(grep -l errored /run/rsgen/web/*)")
        .ok();
    machine.systemctl(&["start", "web@1.service"]).ok();
    let is_up = "read up _ </proc/uptime; \
                 test ${up%.*}000000 -gt $(($(systemctl show -P ActiveEnterTimestampMonotonic web@1) + 200000))";
    wait_until(SOON, "an instance that is up for `min_uptime`", || {
        machine.sh(is_up).status == 0
    });
    machine.systemctl(&["stop", "web@1.service"]).ok();
    machine.run(&["rsgen", "list", "--failed"]).ok();
    wait_until(SOON, "the status to say so", || {
        let shown = machine.run(&["systemctl", "show", "-P", "StatusText", "web"]);
        shown.text() == "1 of 2 serving"
    });
}

fn a_port_that_changes_with_each_start_is_not_installed(machine: &mut Machine) {
    let random = "require('http').createServer().listen(40000 + process.pid % 20000);\n";
    machine.write("/srv/web/random.js", random);
    let told = inside(machine, "/srv/web", "rsgen install random.js --name web");
    told.exits(1)
        .says("web: listens on a port from the kernel's range for free ports; rehearsing once more")
        .says("but on another port at the next start; instances cannot share a changing port")
        .says("make the program listen on a fixed address");
    assert_eq!(machine.sh("ls /etc/rsgen/web.toml").status, 2);
    machine.write("/srv/web/random.js", &SERVER.replace("PORT", "50051"));
    let told = inside(machine, "/srv/web", "rsgen install random.js --name web").ok();
    told.says("web: listens on [::]:50051");
    assert_eq!(machine.get(50051).unwrap_or_default(), "/srv/web");
}

fn a_start_names_the_program_that_has_the_port(machine: &mut Machine) {
    write(machine, "/srv/web", "3000");
    inside(machine, "/srv/web", "rsgen install ./graceful --name web").ok();
    machine.run(&["rsgen", "stop", "web"]).ok();
    machine
        .sh("systemd-run --unit=other -p User=www-data /srv/web/graceful")
        .ok();
    wait_until(SOON, "the port is taken", || machine.get(3000).is_ok());
    let pid = machine.property("other.service", "MainPID");
    let told = machine.run(&["rsgen", "start", "web"]).exits(1);
    told.says("start of web.service failed, because web.socket could not be started: `web` cannot listen on [::]:3000: ")
        .says(&format!("(pid {pid}) listens there"))
        .says("stop it, or write another address in `listen`");
    machine.systemctl(&["stop", "other"]).ok();
    machine.run(&["rsgen", "start", "web"]).ok();
}

/// Goes on to the next port where somebody answers at one, as `detect-port` and many development servers do.
const NEXT: &str = "
const net = require('net');
const go = (port) => {
  const client = net.connect(port, '127.0.0.1');
  client.on('connect', () => { client.destroy(); go(port + 1); });
  client.on('error', () => require('http').createServer().listen(port));
};
go(3000);
";

fn a_port_for_each_instance_is_told_with_what_to_do(machine: &mut Machine) {
    let own = SERVER.replace("PORT", "3000 + Number(process.env.NODE_APP_INSTANCE)");
    machine.write("/srv/web/own.js", &own);
    machine.write("/srv/web/next.js", NEXT);
    // A rehearsal has the number of the first instance, whose port is the one that all are to share.
    let text = "[[apps]]\nname = \"web\"\nscript = \"own.js\"\ninstances = 2\nuser = \"www-data\"\nlisten_timeout = \"3s\"\nmax_restarts = 1\n";
    machine.write(ECOSYSTEM, text);
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    let line = "the program listens on [::]:3001, a different port in each instance; make it listen on [::]:3000, which all instances share";
    told.says("web: listens on [::]:3000")
        .says(&format!("error: web: 1 of 2 serving; web@1.service: timed out: not READY within `listen_timeout`: {line}"));
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    // systemd answers at the port, and starts the app for whoever asks there, so that another start has often begun when the first has failed.
    write_ecosystem(
        machine,
        "next.js",
        "1",
        "listen_timeout = \"3s\"\nmax_restarts = 1",
    );
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .exits(1)
        .says("the program listens on [::]:3001, declared is [::]:3000")
        .says("error: none of 1 instances serves: the program listens on [::]:3001")
        .says("if it tries the next port when one is in use, make it use [::]:3000 in any case");
}
