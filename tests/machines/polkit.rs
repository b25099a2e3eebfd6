//! The shipped example packaging/polkit/50-rsgen.rules gives the rights that it describes, and no others.

use std::path::Path;

use testbed::{Load, Machine, Output, Traffic};

use crate::cluster::{self, SOON, assert_exactly, pids};

pub(crate) const RULES: &str = "/etc/polkit-1/rules.d/50-rsgen.rules";
/// A member of the group `deploy`.
const MEMBER: &str = "anna";
const STRANGER: &str = "boris";
/// A part of systemd's message when polkit would have to ask for a password: "Interactive authentication required" in systemd
/// 252 and 257, "requires interactive authentication" in 262.
const REFUSED: &str = "nteractive authentication";
/// The verbs that the rules allow for `web.service`.
const ALLOWED: [&str; 3] = ["reload", "reload-or-restart", "restart"];
/// The verbs of systemctl(1) that change a unit or its state in systemd.
const VERBS: [&str; 12] = [
    "start",
    "stop",
    "try-restart",
    "isolate",
    "kill",
    "clean",
    "freeze",
    "mask",
    "enable",
    "disable",
    "reset-failed",
    "revert",
];

/// The unit that brings `web` to three instances.
const SCALER: &str = "rsgen-scale@web:3.service";
/// Units of the same kind that would scale as well, and that the rules do not allow.
const BEYOND: [&str; 4] = [
    "rsgen-scale@web:17.service",
    "rsgen-scale@web:100.service",
    "rsgen-scale@web:max.service",
    "rsgen-scale@other:3.service",
];
/// Units of the same kind that scale nothing, whoever starts them.
const MALFORMED: [&str; 8] = [
    "rsgen-scale@web:0.service",
    "rsgen-scale@web:03.service",
    "rsgen-scale@web:-1.service",
    "rsgen-scale@web:3:3.service",
    "rsgen-scale@--user:3.service",
    "rsgen-scale@web.service:3.service",
    "rsgen-scale@xweb:3.service",
    "rsgen-scale@web\\x3a3.service",
];

/// Installs `web` and `other`, the rules as they are shipped, and two users: a member of the group, and one who is not.
fn prepare(machine: &Machine) {
    cluster::install(machine, "graceful", "2", "");
    let script = machine.write_app("graceful", "/srv/other");
    machine.run(&["sed", "-i", "s/3000/4000/", &script]).ok();
    let web = machine.read(cluster::ECOSYSTEM);
    let other = web.replace("\"web\"", "\"other\"").replace("3000", "4000");
    machine.write("/srv/other/ecosystem.toml", &other);
    machine
        .run(&["rsgen", "install", "/srv/other/ecosystem.toml"])
        .ok();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    machine.copy_in(&root.join("packaging/polkit/50-rsgen.rules"), RULES);
    let users = format!(
        "groupadd deploy && useradd --groups deploy {MEMBER} && useradd {STRANGER} && \
         systemctl start polkit.service"
    );
    machine.sh(&users).ok();
}

/// Runs a command as a user, without a terminal on which polkit could ask for a password.
fn run_as(machine: &Machine, user: &str, command: &[&str]) -> Output {
    let login = ["runuser", "-u", user, "--"];
    machine.run(&[&login[..], command].concat())
}

fn systemctl_as(machine: &Machine, user: &str, arguments: &[&str]) -> Output {
    let systemctl = ["systemctl", "--no-ask-password"];
    run_as(machine, user, &[&systemctl[..], arguments].concat())
}

/// Everything that a refused command could have changed: processes, invocations and unit files.
fn snapshot(machine: &Machine) -> String {
    let script = "
        systemctl show --property=Id,MainPID,InvocationID,ActiveState,UnitFileState,CPUWeight \
            web.service web.socket web@0.service web@1.service \
            other.service other.socket other@0.service other@1.service polkit.service
        systemctl show --property=UnitsReloadStartTimestampMonotonic
        find /etc/systemd/system /run/systemd/system /run/systemd/system.control -printf '%p %l %T@\\n' | sort";
    let shown = machine.sh(script);
    for unit in ["other@1.service", "polkit.service"] {
        assert!(shown.stdout.contains(&format!("Id={unit}\n")), "{shown}");
    }
    shown.stdout
}

fn invocations(machine: &Machine) -> Vec<String> {
    let units = ["web@0.service", "web@1.service"];
    units
        .map(|unit| machine.property(unit, "InvocationID"))
        .to_vec()
}

pub(crate) fn a_member_reloads_and_loses_nothing(machine: &mut Machine) {
    prepare(machine);
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    load.wait_answered(100);
    for verb in ["reload", "reload-or-restart"] {
        let (before, cluster) = (
            pids(machine, 2),
            machine.property("web.service", "InvocationID"),
        );
        systemctl_as(machine, MEMBER, &[verb, "web.service"]).ok();
        assert!(pids(machine, 2).iter().all(|pid| !before.contains(pid)));
        assert_eq!(machine.property("web.service", "InvocationID"), cluster);
        load.wait_answered(100);
    }
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 2);
}

pub(crate) fn a_member_restarts_it_and_starts_it_where_it_is_stopped(machine: &mut Machine) {
    prepare(machine);
    let before = invocations(machine);
    // polkit does not learn the job mode.
    let restart = ["restart", "--job-mode=flush", "web.service"];
    systemctl_as(machine, MEMBER, &restart).ok();
    assert!(invocations(machine).iter().all(|i| !before.contains(i)));
    for verb in ["reload-or-restart", "restart"] {
        machine.systemctl(&["stop", "web.socket"]).ok();
        machine.wait_state("web.service", "inactive", SOON);
        systemctl_as(machine, MEMBER, &[verb, "web.service"]).ok();
        assert!(machine.get(3000).is_ok());
        assert_exactly(machine, 2);
    }
}

/// The commands that the rules do not allow even for a member.
fn beyond_the_rules() -> Vec<Vec<&'static str>> {
    let mut commands = vec![
        vec!["daemon-reload"],
        vec!["set-property", "web.service", "CPUWeight=1"],
        vec!["set-property", "web@0.service", "CPUWeight=1"],
    ];
    let units = [
        "web.socket",
        "web@0.service",
        "other.service",
        "other.socket",
        "polkit.service",
    ];
    for verb in VERBS {
        commands.push(vec![verb, "web.service"]);
    }
    for verb in ["start", "stop", "try-restart", "reload", "mask"] {
        commands.push(vec![verb, SCALER]);
    }
    for scaler in BEYOND.into_iter().chain(MALFORMED) {
        commands.push(vec!["restart", scaler]);
        commands.push(vec!["start", scaler]);
    }
    for unit in units {
        for verb in VERBS.into_iter().chain(ALLOWED) {
            commands.push(vec![verb, unit]);
        }
    }
    commands
}

pub(crate) fn everything_else_is_refused(machine: &mut Machine) {
    prepare(machine);
    let before = snapshot(machine);
    for command in beyond_the_rules() {
        let told = systemctl_as(machine, MEMBER, &command).exits(1);
        let _ = told.says(REFUSED);
    }
    assert_eq!(snapshot(machine), before);
}

pub(crate) fn who_is_no_member_is_refused_everything(machine: &mut Machine) {
    prepare(machine);
    let before = snapshot(machine);
    let allowed = ALLOWED.map(|verb| vec![verb, "web.service"]);
    for command in beyond_the_rules().into_iter().chain(allowed) {
        let told = systemctl_as(machine, STRANGER, &command).exits(1);
        let _ = told.says(REFUSED);
    }
    assert_eq!(snapshot(machine), before);
}

/// `rsgen reload` first writes the units that the app's file asks for.
pub(crate) fn a_reload_by_rsgen_is_for_root(machine: &mut Machine) {
    prepare(machine);
    let before = snapshot(machine);
    for command in ["reload", "restart", "start", "stop", "pause"] {
        let told = run_as(machine, MEMBER, &["rsgen", command, "web"]).exits(4);
        let _ = told.says(&format!("only root may {command} apps of the system"));
    }
    assert_eq!(snapshot(machine), before);
    run_as(machine, MEMBER, &["rsgen", "list", "web"])
        .ok()
        .says("online");
}

/// The rules stay when the app is uninstalled. A transient unit of the app's name would then run any command as root.
pub(crate) fn nothing_runs_in_the_name_of_an_app_that_is_not_there(machine: &mut Machine) {
    prepare(machine);
    machine.run(&["rsgen", "uninstall", "web"]).ok();
    let run = ["systemd-run", "--no-ask-password"];
    let service = ["--unit=web.service", "touch", "/run/done"];
    let socket = [
        "--unit=web",
        "--socket-property=ListenStream=/run/web",
        "touch",
        "/run/done",
    ];
    let scaler = format!("--unit={SCALER}");
    let scaler = [&*scaler, "touch", "/run/done"];
    // The unit of the packages is there; and not where rsgen itself was removed.
    for command in [&service[..], &socket, &scaler] {
        let told = run_as(machine, MEMBER, &[&run[..], command].concat());
        let _ = told.exits(1).says(REFUSED);
    }
    machine
        .sh("rm /usr/lib/systemd/system/rsgen-scale@.service && systemctl daemon-reload")
        .ok();
    let told = run_as(machine, MEMBER, &[&run[..], &scaler].concat());
    let _ = told.exits(1).says(REFUSED);
    machine.sh("[ ! -e /run/done ]").ok();
    for unit in ["web.service", "web.socket"] {
        assert_eq!(machine.state(unit), "inactive");
        assert_eq!(machine.property(unit, "LoadState"), "not-found");
    }
    systemctl_as(machine, MEMBER, &["restart", "web.service"])
        .exits(5)
        .says("not found");
}

fn scale_as(machine: &Machine, user: &str, arguments: &[&str]) -> Output {
    let scale = ["rsgen", "scale"];
    run_as(machine, user, &[&scale[..], arguments].concat())
}

fn assert_nothing_failed(machine: &Machine) {
    let failed = machine.systemctl(&["--failed", "--plain", "--no-legend"]);
    assert!(!failed.stdout.contains("rsgen-scale"), "{failed}");
}

pub(crate) fn a_member_scales_it_as_root_does_and_loses_nothing(machine: &mut Machine) {
    prepare(machine);
    let load = Load::start(machine, &Traffic::on_port(3000, 4));
    load.wait_answered(100);
    let before = pids(machine, 2);
    let told = scale_as(machine, MEMBER, &["web", "4"]).ok();
    let told = told.text();
    assert!(
        told.starts_with("web: scaling from 2 to 4 instances\n")
            && told.ends_with("\nweb@2: start done\nweb@3: start done\nweb: 4 instances"),
        "{told}"
    );
    assert_eq!(pids(machine, 4)[..2], before, "the others are left alone");
    let told = scale_as(machine, MEMBER, &["web", "+1", "--json"]).ok();
    let told = told.says("\"instances\": 5").says("\"web@4\"");
    told.says("\"changed\": true");
    scale_as(machine, MEMBER, &["web", "5"])
        .ok()
        .says("nothing to do: web has 5 instances");
    scale_as(machine, MEMBER, &["web", "2", "--dry-run"])
        .ok()
        .says("would stop web@4, web@3, web@2");
    systemctl_as(machine, MEMBER, &["restart", "rsgen-scale@web:2.service"]).ok();
    assert_exactly(machine, 2);
    assert!(
        machine
            .read("/etc/rsgen/web.toml")
            .contains("instances = 2")
    );
    machine
        .run(&["rsgen", "history", "web"])
        .ok()
        .says("scale    -")
        .says("from 5 to 2 instances");
    load.stop().assert_nothing_lost();
    assert_nothing_failed(machine);
}

pub(crate) fn what_a_member_may_not_scale_is_refused_and_what_fails_is_told(machine: &mut Machine) {
    prepare(machine);
    let before = snapshot(machine);
    let refused: [(&str, [&str; 2]); 4] = [
        (MEMBER, ["web", "17"]),
        (MEMBER, ["web", "max"]),
        (MEMBER, ["other", "3"]),
        (STRANGER, ["web", "3"]),
    ];
    for (user, arguments) in refused {
        let told = scale_as(machine, user, &arguments).exits(4);
        told.says("only root may scale apps of the system")
            .says("polkit");
    }
    scale_as(machine, MEMBER, &["web", "0"]).exits(2);
    scale_as(machine, MEMBER, &["nothing", "3"]).exits(1);
    for unit in MALFORMED {
        machine.systemctl(&["restart", unit]).exits(1);
    }
    assert_eq!(snapshot(machine), before);
    assert_nothing_failed(machine);
    // What root would be told, a member is told.
    machine.run(&["rsgen", "pause", "web"]).ok();
    scale_as(machine, MEMBER, &["web", "3"])
        .exits(1)
        .says("error: `web` is paused")
        .says("help: run `rsgen resume web` first");
    machine.run(&["rsgen", "resume", "web"]).ok();
    machine.write("/etc/rsgen/web.toml.d/50-mine.toml", "instances = 2\n");
    scale_as(machine, MEMBER, &["web", "3"])
        .exits(1)
        .says("50-mine.toml");
    assert_exactly(machine, 2);
    assert_nothing_failed(machine);
}

/// Each has looked before any of the others has done anything.
pub(crate) fn members_who_add_one_at_once_each_add_one(machine: &mut Machine) {
    prepare(machine);
    let one = format!("runuser -u {MEMBER} -- rsgen scale web +1");
    let told = machine.sh(&format!("{one} & {one} & {one} & wait")).ok();
    for number in 3..=5 {
        let line = format!("web: {number} instances\n");
        assert_eq!(told.stdout.matches(&line).count(), 1, "{told}");
    }
    assert_exactly(machine, 5);
    scale_as(machine, MEMBER, &["web", "+12"])
        .exits(4)
        .says("only root may scale apps of the system");
    machine
        .sh(&format!(
            "sed -i 's/(:from[^)]*)?//' {RULES} && systemctl restart polkit"
        ))
        .ok();
    scale_as(machine, MEMBER, &["web", "-2"])
        .exits(4)
        .says("allow only a number: `rsgen scale web 3`");
    assert_exactly(machine, 5);
    scale_as(machine, MEMBER, &["web", "3"]).ok();
    assert_exactly(machine, 3);
    assert_nothing_failed(machine);
}

/// Several members, and one who starts the unit again and again, which ends the one that is at work.
pub(crate) fn members_who_scale_at_once_leave_a_whole_number(machine: &mut Machine) {
    prepare(machine);
    let all = (1..=4).map(|number| format!("runuser -u {MEMBER} -- rsgen scale web {number} & "));
    let script = all.collect::<String>()
        + &format!(
            "for i in 1 2 3 4 5 6; do runuser -u {MEMBER} -- systemctl --no-block restart {SCALER}; done; wait"
        );
    machine.sh(&script).ok();
    scale_as(machine, MEMBER, &["web", "3"]).ok();
    assert_exactly(machine, 3);
    let wanted = machine.sh("ls /etc/systemd/system/web.service.wants | wc -l");
    assert_eq!(wanted.text(), "3");
    assert_nothing_failed(machine);
}
