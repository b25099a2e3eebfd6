//! How much the sandboxes of the units protect, what they do not break, and settings of an app that reach too far.

use testbed::{Machine, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, write_ecosystem};
use crate::sandbox::table;

const DEFAULT: &str = "user = \"www-data\"";
const STRICT: &str = "user = \"www-data\"\nsandbox = \"strict\"";
const ROOT: &str = "user = \"root\"\nsandbox = \"strict\"";

fn install(machine: &Machine, app: &str, lines: &str) {
    machine.write_app(app, "/srv/web");
    write_ecosystem(machine, app, "1", lines);
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
}

/// The exposure of a unit by `systemd-analyze security`.
fn exposure(machine: &Machine, unit: &str) -> f64 {
    let said = machine.run(&["systemd-analyze", "security", "--no-pager", unit]);
    let told = said.text().lines().last().unwrap_or_default();
    let figure = told.split(": ").nth(1).and_then(|w| w.split(' ').next());
    let figure = figure.and_then(|w| w.parse().ok());
    figure.unwrap_or_else(|| panic!("no figure in {said:?}"))
}

/// Whether the units have `CAP_SYS_PTRACE` for the helper.
fn has_yama(machine: &Machine) -> bool {
    let scope = machine.run(&["cat", "/proc/sys/kernel/yama/ptrace_scope"]);
    !matches!(scope.stdout.trim(), "" | "0")
}

/// The exposure of each unit that the page lists.
fn figures(machine: &Machine, app: &str, more: &str) -> Vec<f64> {
    let words = [DEFAULT, STRICT, ROOT].map(|lines| {
        install(machine, app, &format!("{lines}\n{more}"));
        exposure(machine, "web@0.service")
    });
    [&words[..], &[exposure(machine, "web.service")]].concat()
}

pub(crate) fn is_what_the_page_says(machine: &mut Machine) {
    let rows = table("| unit | exposure | with Yama |");
    let written = |column: usize| -> Vec<f64> {
        let cells = rows.iter().map(|cells| cells[column].parse());
        cells.map(Result::unwrap_or_default).collect()
    };
    let [default, strict, _, cluster] = written(1)[..] else {
        panic!("{rows:?}")
    };
    assert!(default <= 5.0 && strict <= 2.0 && cluster <= 5.0);
    let column = if has_yama(machine) { 2 } else { 1 };
    assert_eq!(figures(machine, "graceful.js", ""), written(column));
    let fds = figures(machine, "jail.py", "handover = \"fds\"");
    let is_within = fds.iter().zip(written(1)).all(|(fds, most)| *fds <= most);
    assert!(is_within, "{fds:?}");
}

pub(crate) fn a_directive_of_ones_own_takes_the_place_of_the_sandboxs(machine: &mut Machine) {
    let own = "[apps.service]\nRestrictAddressFamilies = \"AF_UNIX AF_INET6 AF_VSOCK\"\nProtectHome = false\n\
               AmbientCapabilities = \"CAP_NET_RAW\"";
    install(machine, "graceful.js", &format!("{STRICT}\n{own}"));
    let shown = |property| machine.property("web@0.service", property);
    let mut families: Vec<String> = shown("RestrictAddressFamilies")
        .split(' ')
        .map(str::to_owned)
        .collect();
    families.sort();
    assert_eq!(families, ["AF_INET6", "AF_UNIX", "AF_VSOCK"]);
    assert_eq!(shown("ProtectHome"), "no");
    let bounds = shown("CapabilityBoundingSet");
    assert_eq!(bounds.replace(" cap_sys_ptrace", ""), "cap_net_raw");
    assert_eq!(shown("ProtectSystem"), "full");
}

/// Where Yama restricts ptrace(2), the helper has a capability that the program must not get.
pub(crate) fn the_program_has_no_capability_of_the_helpers(machine: &mut Machine) {
    let gives = "[apps.service]\nAmbientCapabilities = \"CAP_SYS_PTRACE\"";
    for word in ["default", "strict", "off"] {
        let lines = format!("{DEFAULT}\nsandbox = {word:?}\n{gives}");
        install(machine, "graceful.js", &lines);
        let status = format!("/proc/{}/status", machine.main_pid("web@0.service"));
        let status = machine.read(&status);
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let none = format!("{set}:\t{:016x}\n", 0);
            assert!(status.contains(&none), "{word}: {status}");
        }
    }
}

/// This filter kills a process that calls capset(2). The program must start nevertheless.
pub(crate) fn a_filter_that_forbids_to_drop_it_is_survived(machine: &mut Machine) {
    machine.write_app("python.py", "/srv/web");
    let app = "[[apps]]\nname = \"web\"\nscript = \"python.py\"\nlisten = \"0.0.0.0:3000\"\nsandbox = \"off\"\n\
               [apps.service]\nSystemCallFilter = [\"@system-service\", \"~@privileged\"]\n\
               AmbientCapabilities = \"CAP_SYS_PTRACE\"\n";
    machine.write(
        ECOSYSTEM,
        &app.replace("listen", &format!("{DEFAULT}\nlisten")),
    );
    machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert_exactly(machine, 1);
}

/// The worker can read the file of deaths, which a command of root writes, whatever `UMask=` the unit has.
pub(crate) fn the_worker_sees_the_brake_from_within(machine: &mut Machine) {
    let lines = format!("{STRICT}\nmax_restarts = 3");
    machine.write("/srv/web/crash.js", "throw new Error('a bug');");
    write_ecosystem(machine, "crash.js", "1", &lines);
    machine.run(&["rsgen", "install", ECOSYSTEM]).exits(1);
    let said = machine.journal("web@0.service");
    assert!(
        said.contains("errored after 3 quick deaths in a row"),
        "{said}"
    );
}

/// The cluster unit needs only the bus, the journal and its state folder. The folder need not exist, and stays.
pub(crate) fn the_cluster_unit_gets_by_with_little(machine: &mut Machine) {
    machine.sh("systemctl mask --now polkit.service; rm -rf /run/rsgen");
    machine
        .systemctl(&["set-property", "--runtime", "system.slice", "CPUQuota=100%"])
        .ok();
    machine.write_app("graceful", "/srv/web");
    write_ecosystem(machine, "graceful", "1", DEFAULT);
    machine.run(&["rsgen", "install", ECOSYSTEM, "-q"]).ok();
    machine.systemctl(&["restart", "web"]).ok();
    assert_exactly(machine, 1);
    machine.run(&["rsgen", "reload", "web"]).ok();
    machine.sh("rm -rf /run/rsgen").ok();
    machine.systemctl(&["reload", "web"]).ok();
    machine.systemctl(&["stop", "web"]).ok();
    let left = machine
        .sh("stat -c '%a %U %n' /run/rsgen /run/rsgen/web")
        .ok();
    assert_eq!(left.text(), "755 root /run/rsgen\n755 root /run/rsgen/web");
    wait_until(SOON, "the cluster to be gone", || {
        machine.state("web.service") == "inactive"
    });
}

/// A command that a drop-in adds to the cluster unit runs in the sandbox of the unit.
pub(crate) fn the_cluster_unit_may_not_touch_the_rest(machine: &mut Machine) {
    install(machine, "graceful", DEFAULT);
    let tried = "for file in /etc/x /run/x /usr/x /root/x /tmp/x /run/rsgen/other /run/rsgen/web/own; do echo >$file && echo wrote $file; done; \
                 ls /root /home; \
                 python3 -c 'import socket; socket.socket()' || echo no network";
    machine.write("/srv/try", &format!("#!/bin/sh\n{tried}\nexit 0\n"));
    let drop_in = "[Service]\nExecStartPre=/bin/sh /srv/try\n";
    machine.write("/etc/systemd/system/web.service.d/try.conf", drop_in);
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["restart", "web"]).ok();
    let said = machine.journalctl(&["-u", "web.service", "-o", "cat"]).ok();
    let wrote: Vec<&str> = said
        .text()
        .lines()
        .filter(|l| l.starts_with("wrote "))
        .collect();
    assert_eq!(wrote, ["wrote /run/rsgen/web/own"], "{}", said.text());
    assert!(said.text().contains("no network"), "{}", said.text());
}

/// `systemctl clean` removes only the state folder of the unit's own app.
pub(crate) fn the_state_of_one_app_is_not_that_of_another(machine: &mut Machine) {
    install(machine, "graceful", DEFAULT);
    machine.write("/run/rsgen/other/stop.reason", "idle");
    machine.systemctl(&["stop", "web"]).ok();
    machine.systemctl(&["clean", "web"]).ok();
    let left = machine.sh("cd /run/rsgen && ls -d *").ok();
    assert_eq!(left.text(), ":files\ndrain\nother");
}

pub(crate) fn settings_that_reach_too_far_are_told_by_check_and_install(machine: &mut Machine) {
    machine.write_app("graceful", "/srv/web");
    machine.write("/srv/web/.env", "A=b\n");
    let lines = "user = 0\nenv_file = \".env\"\nenv = { LD_PRELOAD = \"\" }\nservice.StandardError = \"append:/tmp/log\"";
    write_ecosystem(machine, "graceful", "1", lines);
    let told = |command: &str| machine.run(&["rsgen", command, ECOSYSTEM]).ok().stderr;
    let said = told("check");
    for part in [
        "`LD_PRELOAD` decides which code",
        "`/tmp` may be written by everybody",
        "/srv/web/ecosystem.toml:9:9",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(
        !said.contains("is read") && !said.contains("runs as"),
        "{said}"
    );
    machine.sh("chown www-data /srv/web").ok();
    let said = told("check");
    let weak = "`/srv/web/.env` is read with the rights of the app, and `/srv/web` may be written by its owner `www-data`";
    assert!(
        said.contains(weak) && said.contains("ecosystem.toml:7:12"),
        "{said}"
    );
    assert_eq!(told("install"), said);
    machine.sh("chown root /srv/web").ok();
    let good = format!("{DEFAULT}\nenv_file = \".env\"");
    write_ecosystem(machine, "graceful", "1", &good);
    assert_eq!(told("check") + &told("install"), "");
}
