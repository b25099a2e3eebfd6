//! The packages on machines: installed, upgraded under load, refused to be removed, removed.

use std::path::Path;

use testbed::packages::packages;
use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{ECOSYSTEM, SOON, assert_exactly, install, instances, listener, pids};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const OLDER: &str = "0.0.1";

/// A machine without rsgen that has both packages of this version and of an older one below /pkg.
pub(crate) fn bare(machine: &Machine) -> Machine {
    let bare = Machine::boot(machine.release());
    bare.run(&["mkdir", "/pkg"]).ok();
    for version in [VERSION, OLDER] {
        let packages = packages(version);
        for package in [&packages.deb, &packages.rpm] {
            bare.copy_in(package, &below_pkg(package));
        }
    }
    bare
}

fn deb(version: &str) -> String {
    below_pkg(&packages(version).deb)
}

fn rpm(version: &str) -> String {
    below_pkg(&packages(version).rpm)
}

fn below_pkg(package: &Path) -> String {
    let name = package.file_name().unwrap_or_default();
    format!("/pkg/{}", name.to_string_lossy())
}

/// A machine with the Debian package of this version.
pub(crate) fn with_deb(machine: &Machine) -> Machine {
    let packaged = bare(machine);
    packaged.run(&["dpkg", "-i", &deb(VERSION)]).ok();
    packaged
}

/// All paths of rsgen below the folders to which packages and `rsgen` write.
fn traces(machine: &Machine) -> String {
    let find = "find /etc /usr /var/lib /run -xdev \\( -path /run/log \\) -prune \
                -o \\( -name '*rsgen*' -o -path '/etc/systemd/system/web*' \\) -print | sort";
    machine.sh(find).text().to_owned()
}

pub(crate) fn bring_what_units_and_people_need(machine: &mut Machine) {
    let machine = with_deb(machine);
    install(&machine, "graceful.js", "1", "");
    for unit in ["web.service", "web@0.service", "web.socket"] {
        let page = machine.property(unit, "Documentation");
        assert_eq!(page.trim_matches('"'), "man:rsgen(1)");
    }
    for file in [
        "/usr/share/man/man1/rsgen.1.gz",
        "/usr/share/man/man1/rsgen-install.1.gz",
        "/usr/share/man/man5/rsgen.toml.5.gz",
        "/usr/share/man/man7/rsgen.7.gz",
        "/usr/share/bash-completion/completions/rsgen",
        "/usr/share/zsh/site-functions/_rsgen",
        "/usr/share/fish/vendor_completions.d/rsgen.fish",
        "/usr/share/doc/rsgen/copyright",
        "/usr/share/doc/rsgen/changelog.Debian.gz",
    ] {
        machine.run(&["test", "-f", file]).ok();
    }
    generates_for_users(&machine);
    serves_metrics(&machine);
    // The unpacked files are those of the package.
    assert_eq!(machine.run(&["dpkg", "--verify", "rsgen"]).ok().text(), "");
    machine.run(&["test", "-d", "/run/rsgen"]).ok();
    let completions = machine.run(&["rsgen", "completions", "bash"]).ok();
    assert_eq!(
        completions.stdout,
        machine.read("/usr/share/bash-completion/completions/rsgen")
    );
}

/// The units that nobody has to enable: for Prometheus, and for the textfile collector of `node_exporter`.
fn serves_metrics(machine: &Machine) {
    let enable = ["enable", "--now", "rsgen-metrics.socket"];
    machine.systemctl(&enable).ok();
    machine
        .run(&["curl", "-sSi", "http://127.0.0.1:9967/metrics"])
        .ok()
        .says("200 OK")
        .says("rsgen_app_instances_serving{app=\"web\"} 1\n")
        .says("rsgen_instance_up{app=\"web\",instance=\"0\"} 1\n")
        .says("# EOF");
    machine
        .run(&["curl", "-sS", "http://127.0.0.1:9967/"])
        .ok()
        .says("the metrics are at /metrics");
    let folder = "/var/lib/prometheus/node-exporter";
    machine.run(&["mkdir", "-p", folder]).ok();
    machine.systemctl(&["start", "rsgen-textfile.service"]).ok();
    let written = machine.read(&format!("{folder}/rsgen.prom"));
    assert!(
        written.contains("rsgen_app_connections{app=\"web\"} 0\n"),
        "{written}"
    );
    machine.systemctl(&["is-failed", "rsgen-*"]).exits(1);
    // There are thousands of runs a day.
    let said = [
        "-q",
        "-u",
        "rsgen-metrics@*",
        "-u",
        "rsgen-textfile.service",
    ];
    let said = machine.journalctl(&said).ok();
    let is_told = ["Started", "Finished", "Deactivated"].map(|word| said.stdout.contains(word));
    assert_eq!(is_told, [false; 3], "{said}");
}

/// Asserts that the user generator is installed, and that it finds the apps of the user whose output folder it gets.
fn generates_for_users(machine: &Machine) {
    machine.write(
        "/root/.config/rsgen/mine.toml",
        "[[apps]]\nname = \"mine\"\nscript = \"/bin/true\"\ncwd = \"/\"\nlisten = 4000\n",
    );
    let generate = "mkdir -p /tmp/run /tmp/out && \
                    XDG_RUNTIME_DIR=/tmp/run /usr/lib/systemd/user-generators/rsgen-generator /tmp/out /tmp/out /tmp/out";
    machine.sh(generate).ok();
    let wanted = machine.read("/tmp/out/default.target.wants/mine.service");
    assert!(wanted.contains("App=mine"), "{wanted}");
}

pub(crate) fn an_upgrade_under_load_touches_no_instance(machine: &mut Machine) {
    let machine = bare(machine);
    machine.run(&["dpkg", "-i", &deb(OLDER)]).ok();
    upgrade_under_load(&machine, &["dpkg", "-i", &deb(VERSION)]);
    upgrade_in_the_middle_of_a_reload(&machine);
    let version = "dpkg-query -W -f '${Version}' rsgen";
    assert_eq!(machine.sh(version).text(), format!("{VERSION}-1"));
}

fn upgrade_under_load(machine: &Machine, upgrade: &[&str]) {
    install(machine, "graceful.js", "2", "");
    let before = (pids(machine, 2), listener(machine));
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(200);
    machine.run(upgrade).ok();
    load.wait_answered(200);
    load.stop().assert_nothing_lost();
    assert_eq!((pids(machine, 2), listener(machine)), before);
    assert_exactly(machine, 2);
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    machine.run(&["rsgen", "reload", "web"]).ok();
    load.wait_answered(200);
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 2);
}

/// Downgrades to the older version and upgrades again, while instances are being replaced.
fn upgrade_in_the_middle_of_a_reload(machine: &Machine) {
    let before = pids(machine, 2);
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    load.wait_answered(200);
    let reload = machine.spawn(&["rsgen", "reload", "web"]);
    wait_until(SOON, "the canary", || instances(machine).len() == 3);
    machine.run(&["dpkg", "-i", &deb(OLDER)]).ok();
    machine.run(&["dpkg", "-i", &deb(VERSION)]).ok();
    let _ = reload.wait().ok();
    load.wait_answered(200);
    load.stop().assert_nothing_lost();
    assert!(pids(machine, 2).iter().all(|pid| !before.contains(pid)));
    assert_exactly(machine, 2);
}

/// The path of the worker in units of 0.1.0.
const OLD_WORKER: &str = "/usr/lib/rsgen/rsgen-worker";

/// Changes the path of the worker in the pinned units to that of 0.1.0.
fn name_the_old_worker(machine: &Machine) {
    machine
        .sh(&format!(
            "sed -i 's,/usr/lib/rsgen/bin/rsgen-worker,{OLD_WORKER},' /etc/systemd/system/web@.service
             systemctl daemon-reload"
        ))
        .ok();
    assert_eq!(workers_in_units(machine), [OLD_WORKER, OLD_WORKER]);
}

/// The path of the worker in `ExecStart=` and in `ExecStop=`.
fn workers_in_units(machine: &Machine) -> Vec<String> {
    let unit = machine.read("/etc/systemd/system/web@.service");
    let paths = unit.split_whitespace().filter_map(|word| {
        let start = word.find("/usr/lib/rsgen/")?;
        Some(word[start..].to_owned())
    });
    paths.collect()
}

/// Asserts that units with the old path start, drain and reload, and that a command rewrites them with the new path.
fn old_units_work_and_move_by(machine: &Machine, command: &[&str]) {
    let load = Load::start(machine, &Traffic::on_port(3000, 10));
    machine.systemctl(&["reload", "web"]).ok();
    machine.run(&["rsgen", "restart", "web@1"]).ok();
    assert_eq!(workers_in_units(machine), [OLD_WORKER, OLD_WORKER]);
    machine.run(command).ok();
    load.wait_answered(200);
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 2);
    let new = "/usr/lib/rsgen/bin/rsgen-worker";
    assert_eq!(workers_in_units(machine), [new, new]);
    let journal = machine.journal("web@*.service");
    assert!(!journal.contains("without a drain"), "{journal}");
}

/// Builds a package with the paths of 0.1.0, which has no folder `bin`.
fn old_deb(machine: &Machine) -> String {
    let rebuild = format!(
        "dpkg-deb -R {} /pkg/old && cd /pkg/old/usr/lib/rsgen
         mv bin/* . && rmdir bin && cd /pkg/old
         rm DEBIAN/md5sums DEBIAN/preinst && sed -i s,rsgen/bin/,rsgen/, DEBIAN/prerm
         dpkg-deb -Znone -b /pkg/old /pkg/old.deb",
        deb(OLDER)
    );
    machine.sh(&rebuild).ok();
    "/pkg/old.deb".to_owned()
}

pub(crate) fn units_of_an_older_version_work_until_they_are_written_anew(machine: &mut Machine) {
    let machine = with_deb(machine);
    install(&machine, "graceful", "2", "");
    name_the_old_worker(&machine);
    machine.run(&["dpkg", "-i", &old_deb(&machine)]).ok();
    machine.systemctl(&["reload", "web"]).ok();
    machine.run(&["test", "-L", OLD_WORKER]).exits(1);

    let before = pids(&machine, 2);
    let upgrade = format!(
        "while [ ! -e /run/upgraded ]; do [ -x {OLD_WORKER} ] || echo no worker; done &
         dpkg -i {} >/run/upgrade 2>&1; status=$?; touch /run/upgraded; wait; exit $status",
        deb(VERSION)
    );
    assert_eq!(machine.sh(&upgrade).ok().text(), "");
    assert_eq!(pids(&machine, 2), before);
    machine.run(&["test", "-L", OLD_WORKER]).ok();
    old_units_work_and_move_by(&machine, &["rsgen", "reload", "web"]);
}

/// Asserts that the removal is refused and changes nothing.
fn refuses(machine: &Machine, removal: &[&str]) {
    let before = (pids(machine, 2), listener(machine));
    let told = machine.run(removal);
    assert_ne!(told.status, 0, "{told}");
    told.says("/etc/rsgen/web.toml")
        .says("run `rsgen uninstall all`");
    machine.systemctl(&["daemon-reload"]).ok();
    assert_eq!((pids(machine, 2), listener(machine)), before);
    assert!(machine.get(3000).is_ok());
    machine.systemctl(&["restart", "web.service"]).ok();
    assert!(machine.get(3000).is_ok());
}

pub(crate) fn are_not_removed_while_an_app_is_installed_and_then_leave_nothing(
    machine: &mut Machine,
) {
    let machine = bare(machine);
    let before = traces(&machine);
    machine.run(&["dpkg", "-i", &deb(VERSION)]).ok();
    install(&machine, "graceful", "2", "");
    refuses(&machine, &["dpkg", "--remove", "rsgen"]);
    refuses(&machine, &["dpkg", "--purge", "rsgen"]);
    let status = machine.sh("dpkg-query -W -f '${db:Status-Status}' rsgen");
    assert_eq!(status.text(), "installed");

    // A mask is not an app, and means nothing without rsgen.
    let mask = ["ln", "-s", "/dev/null", "/etc/rsgen/other.toml"];
    machine.run(&mask).ok();
    machine.run(&["rsgen", "uninstall", "all"]).ok();
    assert_eq!(listener(&machine), None);
    let units = ["rsgen-metrics.socket", "rsgen-textfile.timer"];
    machine
        .systemctl(&[&["enable"][..], &units[..]].concat())
        .ok();
    machine.run(&["dpkg", "--remove", "rsgen"]).ok();
    machine.run(&["dpkg", "--purge", "rsgen"]).ok();
    assert_eq!(traces(&machine), before);

    machine.run(&["dpkg", "-i", &deb(VERSION)]).ok();
    machine
        .run(&["rsgen", "install", "/srv/web/ecosystem.toml"])
        .ok();
    assert_exactly(&machine, 2);
    wait_until(SOON, "an answer", || machine.get(3000).is_ok());
}

pub(crate) fn of_rpm_are_installed_upgraded_verified_and_erased(machine: &mut Machine) {
    let machine = bare(machine);
    let before = traces(&machine);
    // The required packages are Debian packages on this machine, which rpm does not know.
    let rpm_run = |arguments: &[&str]| {
        let mut argv = vec!["rpm", "--nodeps"];
        argv.extend(arguments);
        machine.run(&argv)
    };
    rpm_run(&["--install", &rpm(OLDER)]).ok();
    let new = rpm(VERSION);
    let upgrade = ["rpm", "--nodeps", "--upgrade", &new];
    upgrade_under_load(&machine, &upgrade);
    let installed = machine.run(&["rpm", "--query", "rsgen"]).ok();
    assert!(installed.text().starts_with(&format!("rsgen-{VERSION}-1.")));
    assert_eq!(rpm_run(&["--verify", "rsgen"]).ok().text(), "");
    name_the_old_worker(&machine);
    old_units_work_and_move_by(&machine, &["rsgen", "install", ECOSYSTEM]);

    generates_for_users(&machine);
    refuses(&machine, &["rpm", "--erase", "rsgen"]);
    machine.run(&["rsgen", "uninstall", "all"]).ok();
    rpm_run(&["--erase", "rsgen"]).ok();
    machine.run(&["rpm", "--query", "rsgen"]).exits(1);
    assert_eq!(traces(&machine), before);
}
