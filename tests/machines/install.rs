//! `rsgen install` and `uninstall`: what they write, what they leave alone, and that a second run changes nothing.

use testbed::{Machine, wait_until};

use crate::cluster::{
    ECOSYSTEM, SOON, assert_exactly, deploy, install, listener, pids, wait_closed, write_ecosystem,
};

pub(crate) fn twice_is_once(machine: &mut Machine) {
    install(machine, "graceful.js", "2", "");
    let before = pids(machine, 2);
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do");
    let json = machine.run(&["rsgen", "install", ECOSYSTEM, "--json"]).ok();
    assert!(
        json.stdout.contains("\"changed\": false") && json.stdout.contains("\"version\": 1"),
        "{}",
        json.stdout
    );
    assert_eq!(pids(machine, 2), before);
    assert_eq!(
        machine
            .run(&["systemctl", "is-enabled", "web.service", "web.socket"])
            .text(),
        "enabled\nenabled"
    );
}

pub(crate) fn a_dry_run_shows_the_difference_and_changes_nothing(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    write_ecosystem(machine, "graceful", "2", "");
    let told = machine
        .run(&["rsgen", "install", ECOSYSTEM, "--dry-run"])
        .ok();
    assert!(
        told.stdout.contains("+++ /etc/systemd/system/web.socket")
            && told.stdout.contains("+ListenStream=3000"),
        "{}",
        told.stdout
    );
    machine.run(&["test", "-e", "/etc/rsgen/web.toml"]).exits(1);
    assert_eq!(machine.state("web.service"), "inactive");
}

pub(crate) fn a_changed_file_is_shown_and_applied_by_a_walk(machine: &mut Machine) {
    install(machine, "echo.js", "2", "");
    let before = pids(machine, 2);
    write_ecosystem(machine, "echo.js", "2", "env = { COLOUR = \"green\" }");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert!(
        told.stdout
            .contains("change /etc/systemd/system/web@.service"),
        "{}",
        told.stdout
    );
    assert!(told.stdout.contains("instance 1: ready"), "{}", told.stdout);
    assert!(
        machine
            .get(3000)
            .unwrap_or_default()
            .contains("\"COLOUR\":\"677265656e\"")
    );
    assert!(pids(machine, 2).iter().all(|p| !before.contains(p)));
}

pub(crate) fn drop_ins_count_from_the_first_install_on(machine: &mut Machine) {
    machine.write("/etc/rsgen/web.toml.d/50-local.toml", "instances = 3\n");
    install(machine, "graceful", "1", "");
    assert_exactly(machine, 3);
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do");
    machine.write("/etc/rsgen/web.toml.d/50-local.toml", "instances = \n");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .exits(3)
        .says("the drop-in for /etc/rsgen/web.toml cannot be used");
    assert_exactly(machine, 3);
}

/// systemd and rsgen agree on which folders of drop-ins count.
pub(crate) fn a_drop_in_that_brings_a_limit_back_is_refused(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    let app = "[[apps]]\nname = \"my-web\"\nscript = \"graceful\"\nlisten = 3000\n";
    machine.write(ECOSYSTEM, app);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    let start = "[Unit]\nStartLimitIntervalSec=33\n";
    let trigger = "[Socket]\nTriggerLimitIntervalSec=33\n";
    let cases = [
        ("service.d", start, true),
        ("my-.service.d", start, true),
        ("my-@.service.d", start, true),
        ("my-web.service.d", start, true),
        ("my-web@.service.d", start, true),
        ("my-web@0.service.d", start, true),
        ("my-web-.service.d", start, false),
        ("web@.service.d", start, false),
        ("socket.d", trigger, true),
        ("my-web.socket.d", trigger, true),
    ];
    for (folder, text, counts) in cases {
        let folder = format!("/etc/systemd/system/{folder}");
        machine.write(&format!("{folder}/50-limit.conf"), text);
        machine.run(&["systemctl", "daemon-reload"]).ok();
        let asked = "systemctl show my-web.service my-web@0.service my-web.socket \
                     --property=StartLimitIntervalUSec --property=TriggerLimitIntervalUSec";
        let systemds = machine.sh(asked).ok().text().contains("=33s");
        assert_eq!(systemds, counts, "{folder}");
        let status = if counts { 3 } else { 0 };
        machine.run(&["rsgen", "check", ECOSYSTEM]).exits(status);
        machine.run(&["rm", "-r", &folder]).ok();
    }
    let all = "/etc/systemd/system/service.d/50-limit.conf";
    machine.write(all, start);
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    let place = format!("{all}:2 sets `StartLimitIntervalSec=33` on `my-web.service`: ");
    assert!(told.stderr.contains(&place), "{}", told.stderr);
    for unit in ["my-web.service", "my-web@.service"] {
        let remedy = format!("/etc/systemd/system/{unit}.d/zz-no-limit.conf");
        machine.write(&remedy, "[Unit]\nStartLimitIntervalSec=0\n");
    }
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
}

pub(crate) fn a_change_whose_canary_fails_is_taken_back(machine: &mut Machine) {
    install(machine, "graceful.js", "2", "");
    let before = pids(machine, 2);
    let unit = machine.read("/etc/systemd/system/web@.service");
    write_ecosystem(
        machine,
        "graceful.js",
        "2",
        "interpreter_args = \"--no-such-option\"",
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert_eq!(machine.read("/etc/systemd/system/web@.service"), unit);
    assert_eq!(pids(machine, 2), before);
    machine.systemctl(&["restart", "web@0.service"]).ok();
    assert_exactly(machine, 2);
}

pub(crate) fn an_address_is_closed_first_only_when_told(machine: &mut Machine) {
    install(machine, "graceful", "2", "");
    let before = (
        pids(machine, 2),
        listener(machine),
        machine.read("/etc/systemd/system/web.socket"),
    );
    let text = machine.read(ECOSYSTEM).replace("3000", "3001");
    machine.write(ECOSYSTEM, &text);
    // The program has its address in its text, so the first of the new instances fails.
    machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert_eq!(
        before,
        (
            pids(machine, 2),
            listener(machine),
            machine.read("/etc/systemd/system/web.socket")
        )
    );
    deploy(machine, "graceful", "3000", "3001");
    let replace = ["rsgen", "install", ECOSYSTEM, "--replace-listener"];
    let foreign = "systemd-run --unit=foreign python3 -m http.server 3001";
    machine.sh(foreign).ok();
    wait_until(SOON, "the port to be taken", || machine.get(3001).is_ok());
    let pid = machine.main_pid("foreign.service");
    machine
        .run(&replace)
        .exits(1)
        .says(&format!("http.server 3001` (pid {pid}) listens there"));
    let now = (pids(machine, 2), listener(machine));
    assert_eq!(now, (before.0, before.1), "nothing was stopped");
    machine.systemctl(&["stop", "foreign"]).ok();
    machine.run(&replace).ok();
    wait_until(SOON, "an answer", || machine.get(3001).is_ok());
    wait_closed(machine);
    assert_exactly(machine, 2);
}

pub(crate) fn without_permission_it_says_so_and_does_nothing(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    write_ecosystem(machine, "graceful", "2", "");
    let told = machine
        .run(&[
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            "rsgen",
            "install",
            ECOSYSTEM,
        ])
        .exits(4);
    assert!(
        told.stderr.contains("only root may install"),
        "{}",
        told.stderr
    );
    machine.run(&["test", "-e", "/etc/rsgen/web.toml"]).exits(1);
    install(machine, "graceful", "2", "");
    let before = pids(machine, 2);
    for line in [
        "reload web",
        "restart web",
        "stop web",
        "uninstall web",
        "rollback web",
        "scale web 3",
    ] {
        let command = line.split(' ').next().unwrap_or_default();
        machine
            .sh(&format!(
                "exec setpriv --reuid=65534 --clear-groups rsgen {line}"
            ))
            .exits(4)
            .says(&format!("only root may {command}"));
    }
    assert_eq!(pids(machine, 2), before);
}

pub(crate) fn a_name_or_an_address_that_is_taken_is_refused(machine: &mut Machine) {
    machine.write(
        "/etc/systemd/system/web.service",
        "[Service]\nExecStart=/bin/true\n",
    );
    machine.write_app("graceful", "/srv/web");
    write_ecosystem(machine, "graceful", "2", "");
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert!(
        told.stderr.contains("exists and was not written by rsgen"),
        "{}",
        told.stderr
    );
    machine.run(&["rm", "/etc/systemd/system/web.service"]).ok();
    install(machine, "graceful", "2", "");
    machine.write(
        "/srv/web/other.toml",
        "[[apps]]\nname = \"other\"\nscript = \"graceful\"\nlisten = \"127.0.0.1:3000\"\n",
    );
    let told = machine
        .run(&["rsgen", "install", "/srv/web/other.toml"])
        .exits(3);
    assert!(
        told.stderr.contains("and so does `web`") && told.stderr.contains("other.toml:4:10"),
        "{}",
        told.stderr
    );
}

pub(crate) fn uninstall_removes_what_install_wrote_and_nothing_else(machine: &mut Machine) {
    let files = |m: &Machine| {
        m.sh("cd /etc && find rsgen systemd/system \\( -type f -o -type l \\) | sort")
            .stdout
    };
    let before = files(machine);
    install(machine, "graceful", "2", "");
    machine
        .run(&["rsgen", "uninstall", "ghost", "web"])
        .exits(1)
        .says("no app `ghost` is installed");
    assert_eq!(files(machine), before);
    wait_closed(machine);
    machine.run(&["rsgen", "uninstall", "web"]).exits(1);

    install(machine, "graceful", "2", "");
    machine.write(
        "/etc/systemd/system/web@.service.d/override.conf",
        "[Service]\nNice=5\n",
    );
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    assert!(
        machine
            .read("/etc/systemd/system/web@.service.d/override.conf")
            .contains("Nice=5")
    );
}

pub(crate) fn several_apps_some_of_them_and_a_script_alone(machine: &mut Machine) {
    machine.write_app("graceful.js", "/srv/web");
    let two = "[[apps]]\nname = \"web\"\nscript = \"graceful.js\"\nlisten = 3000\n\n# the other\n[[apps]]\nname = \"api\"\nscript = \"graceful.js\"\nlisten = 3001\n";
    machine.write(ECOSYSTEM, two);
    machine.sh("cd /srv/web && sed 's/3000/3001/' graceful.js > api.js && sed -i '/api/,$s/graceful/api/' ecosystem.toml").ok();
    machine
        .run(&["rsgen", "install", ECOSYSTEM, "--only", "api"])
        .ok();
    assert_eq!(machine.state("web.service"), "inactive");
    assert!(machine.get(3001).is_ok());
    assert!(machine.read("/etc/rsgen/api.toml").contains("# the other"));
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert!(machine.get(3000).is_ok());
    machine
        .run(&["rsgen", "reload", ECOSYSTEM, "--only", "web"])
        .ok();
    machine.run(&["rsgen", "uninstall", "all"]).ok();
    machine
        .run(&[
            "rsgen",
            "install",
            "/srv/web/graceful.js",
            "--listen",
            "3000",
            "-i",
            "2",
            "--name",
            "web",
        ])
        .ok();
    assert_exactly(machine, 2);
}

pub(crate) fn an_unprivileged_user_serves_port_80(machine: &mut Machine) {
    machine.write_app("echo.js", "/srv/web");
    deploy(machine, "echo.js", "3000", "80");
    let text = "[[apps]]\nname = \"web\"\nscript = \"echo.js\"\nlisten = 80\ninstances = 2\nuser = \"nobody\"\n";
    machine.write(ECOSYSTEM, text);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    wait_until(SOON, "an answer", || machine.get(80).is_ok());
    assert!(
        machine
            .get(80)
            .unwrap_or_default()
            .contains("\"uid\":65534")
    );
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_exactly(machine, 2);
}

pub(crate) fn json_tells_what_becomes_of_files_and_processes(machine: &mut Machine) {
    let json = |arguments: &[&str], status| {
        let argv = [&["rsgen", "install", ECOSYSTEM, "--json"], arguments].concat();
        let told = machine.run(&argv).exits(status);
        told.stdout.split_whitespace().collect::<String>()
    };
    let has = |text: &str, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    };
    machine.write_app("graceful.js", "/srv/web");
    write_ecosystem(machine, "graceful.js", "2", "");
    let starts = [
        "\"changed\":true",
        "\"started\":[\"web\"]",
        "\"reloaded\":[]",
    ];
    has(&json(&["--dry-run"], 0), &starts);
    has(&json(&[], 0), &starts);
    let nothing = ["\"changed\":false", "\"started\":[]", "\"reloaded\":[]"];
    has(&json(&["--dry-run"], 0), &nothing);
    has(&json(&[], 0), &nothing);
    machine.run(&["rsgen", "stop", "web"]).ok();
    has(&json(&["--dry-run"], 0), &starts);
    has(&json(&[], 0), &starts);
    write_ecosystem(machine, "graceful.js", "2", "env = { A = \"1\" }");
    let reloads = [
        "\"changed\":true",
        "\"started\":[]",
        "\"reloaded\":[\"web\"]",
    ];
    has(&json(&["--dry-run"], 0), &reloads);
    has(&json(&[], 0), &reloads);
    write_ecosystem(
        machine,
        "graceful.js",
        "2",
        "interpreter_args = \"--no-such-option\"",
    );
    has(&json(&[], 1), &["\"untouched\":true", "thecanaryfailed"]);
}

pub(crate) fn a_walk_that_ended_half_way_is_finished_by_the_next_install(machine: &mut Machine) {
    install(machine, "graceful", "3", "");
    let before = pids(machine, 3);
    let crash = "in 1 throw only here\nanswer";
    deploy(machine, "graceful", "answer", crash);
    write_ecosystem(machine, "graceful", "3", "env = { A = \"1\" }");
    machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    assert_eq!(pids(machine, 3)[2], before[2]);
    deploy(machine, "graceful", crash, "answer");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("3 of 3 replaced");
    assert_ne!(pids(machine, 3)[2], before[2]);
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do");
}
