//! Apps of other packages: the examples of `packaging/examples/packages`, see docs/packaging.md.

use testbed::packages::source;
use testbed::{Load, Machine, Traffic, wait_until};

use crate::cluster::{SOON, wait_until_empty};
use crate::packages::with_deb;

/// Builds one of the examples in two versions, on the machine, as its script says.
fn build(machine: &Machine, example: &str) {
    machine.copy_in(
        &source().join("packaging/examples/packages"),
        "/pkg/packages",
    );
    for version in ["1.0", "2.0"] {
        let script = format!("/pkg/packages/build-{example}");
        machine.run(&[&script, version, "/pkg"]).ok();
    }
}

fn install(machine: &Machine, example: &str, version: &str) {
    let deb = format!("/pkg/hello-{example}_{version}_all.deb");
    machine.run(&["dpkg", "-i", &deb]).ok();
}

fn serves(machine: &Machine, port: u16, words: &str) {
    wait_until(SOON, words, || {
        machine.get(port).is_ok_and(|body| body == words)
    });
}

/// Upgrades the example, which replaces its instances without losing a request.
fn upgrade_under_load(machine: &Machine, example: &str, port: u16) {
    let load = Load::start(machine, &Traffic::on_port(port, 5));
    load.wait_answered(100);
    install(machine, example, "2.0");
    load.wait_answered(100);
    load.stop().assert_nothing_lost();
    serves(machine, port, &format!("{example}, version 2.0"));
}

/// Asserts that dpkg reports the failure and that the serving instances go on; then installs the previous version again.
fn a_version_that_crashes_is_refused(machine: &Machine) {
    let server = "/pkg/packages/server.js";
    machine.write(server, "throw new Error('a bug');\n");
    machine
        .run(&["/pkg/packages/build-units", "3.0", "/pkg"])
        .ok();
    let load = Load::start(
        machine,
        &Traffic::on_port(3001, 5).expect("units, version 2.0"),
    );
    machine
        .run(&["dpkg", "-i", "/pkg/hello-units_3.0_all.deb"])
        .exits(1);
    install(machine, "units", "2.0");
    load.wait_answered(100);
    load.stop().assert_nothing_lost();
}

/// Purges the example, and asserts that nothing of its app is left.
fn purge(machine: &Machine, package: &str) {
    machine.run(&["dpkg", "--purge", package]).ok();
    machine.systemctl(&["daemon-reload"]).ok();
    let units = ["list-units", "--all", "--plain", "--no-legend", "hello-*"];
    wait_until_empty(machine, &units);
    let known = machine.systemctl(&["list-unit-files", "--no-legend", "hello-*"]);
    assert_eq!(known.text(), "");
    assert_eq!(
        machine.sh("ls -d /run/rsgen/hello-* 2>/dev/null").text(),
        ""
    );
}

pub(crate) fn units_of_a_package_are_upgraded_by_a_reload_and_overridden_in_etc(
    machine: &mut Machine,
) {
    let machine = with_deb(machine);
    build(&machine, "units");
    install(&machine, "units", "1.0");
    serves(&machine, 3001, "units, version 1.0");
    assert!(
        machine
            .run(&["rsgen", "list"])
            .ok()
            .stdout
            .contains("hello-units")
    );
    for command in [&["edit", "hello-units"][..], &["scale", "hello-units", "3"]] {
        let told = machine.run(&[&["rsgen"], command].concat()).exits(1);
        told.says("belong to a package")
            .says("`systemctl edit hello-units@.service` adds to them");
    }
    upgrade_under_load(&machine, "units", 3001);
    a_version_that_crashes_is_refused(&machine);

    let units = "/etc/systemd/system/hello-units";
    machine.write(
        &format!("{units}@.service.d/nice.conf"),
        "[Service]\nNice=5\n",
    );
    machine.run(&["rsgen", "reload", "hello-units"]).ok();
    assert_eq!(machine.property("hello-units@1.service", "Nice"), "5");
    machine.run(&["dpkg", "--remove", "rsgen"]).exits(1);

    machine.systemctl(&["stop", "hello-units.service"]).ok();
    machine
        .systemctl(&["mask", "hello-units.service", "hello-units.socket"])
        .ok();
    machine
        .systemctl(&["start", "hello-units.service"])
        .exits(1);
    machine
        .systemctl(&["unmask", "hello-units.service", "hello-units.socket"])
        .ok();
    machine.systemctl(&["start", "hello-units.service"]).ok();
    serves(&machine, 3001, "units, version 2.0");
    machine
        .run(&["rm", "-r", &format!("{units}@.service.d")])
        .ok();
    purge(&machine, "hello-units");
    machine.run(&["dpkg", "--purge", "rsgen"]).ok();
}

pub(crate) fn an_ecosystem_file_of_a_package_is_an_app_that_etc_changes_and_masks(
    machine: &mut Machine,
) {
    let machine = with_deb(machine);
    build(&machine, "file");
    install(&machine, "file", "1.0");
    serves(&machine, 3002, "file, version 1.0");
    upgrade_under_load(&machine, "file", 3002);

    machine.write(
        "/etc/rsgen/hello-file.toml.d/local.toml",
        "instances = 1\nargs = \"local 3.0 3002\"\n",
    );
    machine.run(&["rsgen", "reload", "hello-file"]).ok();
    serves(&machine, 3002, "local, version 3.0");
    machine.wait_state("hello-file@1.service", "inactive", SOON);

    let told = machine.run(&["dpkg", "--purge", "rsgen"]);
    assert_ne!(told.status, 0, "{told}");
    machine.systemctl(&["stop", "hello-file.service"]).ok();
    let mask = ["ln", "-s", "/dev/null", "/etc/rsgen/hello-file.toml"];
    machine.run(&mask).ok();
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["start", "hello-file.service"]).exits(5);
    // A masked app stays masked when its package is upgraded.
    install(&machine, "file", "1.0");
    machine.systemctl(&["start", "hello-file.service"]).exits(5);
    machine.run(&["rm", "/etc/rsgen/hello-file.toml"]).ok();
    machine
        .run(&["rm", "-r", "/etc/rsgen/hello-file.toml.d"])
        .ok();
    machine.systemctl(&["daemon-reload"]).ok();
    machine.systemctl(&["start", "hello-file.service"]).ok();
    serves(&machine, 3002, "file, version 1.0");
    purge(&machine, "hello-file");
}

pub(crate) fn a_file_alone_is_an_app_as_soon_as_it_is_unpacked(machine: &mut Machine) {
    let machine = with_deb(machine);
    let control = "Package: bare-app\nVersion: 1\nArchitecture: all\nMaintainer: x <x@invalid.example>\nDescription: no maintainer scripts\n";
    machine.write("/pkg/bare/DEBIAN/control", control);
    machine.write_app("graceful", "/srv/web");
    machine.write(
        "/pkg/bare/usr/lib/rsgen/bare-app.toml",
        "[[apps]]\nname = \"bare-app\"\nscript = \"/srv/web/graceful\"\ncwd = \"/srv/web\"\nlisten = 3000\n",
    );
    machine
        .sh("dpkg-deb --build /pkg/bare /pkg/bare.deb && dpkg -i /pkg/bare.deb")
        .ok();
    // dpkg has run the trigger of rsgen, which reloads systemd.
    machine.systemctl(&["start", "bare-app.service"]).ok();
    wait_until(SOON, "an answer", || machine.get(3000).is_ok());
}
