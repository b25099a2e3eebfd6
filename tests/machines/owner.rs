//! The user of an app whose file names none.

use testbed::Machine;

use crate::cluster::{self, ECOSYSTEM, pids};

const UNIT: &str = "web@0.service";

fn write(machine: &Machine, lines: &str) {
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"graceful.js\"\nlisten = 3000\nsettle = 0\n{lines}\n"
    );
    machine.write(ECOSYSTEM, &text);
}

/// Returns the user of the process.
fn user(machine: &Machine) -> String {
    let pid = pids(machine, 1)[0].to_string();
    let told = machine.run(&["ps", "-o", "user=", "-p", &pid]).ok();
    told.text().trim().to_owned()
}

fn rsgen(machine: &Machine, command: &str) -> String {
    let output = machine.run(&["rsgen", command, ECOSYSTEM]).ok();
    format!("{}{}", output.stdout, output.stderr)
}

pub(crate) fn runs_an_app_without_a_user_until_install_is_run_again(machine: &mut Machine) {
    machine.sh("useradd web && useradd next").ok();
    machine.write_app("graceful.js", "/srv/web");
    write(machine, "");
    machine.sh("chown -R web: /srv/web").ok();
    let told = "web: runs as `web`, the owner of `/srv/web/graceful.js`";
    assert!(rsgen(machine, "check").contains(told));
    assert!(rsgen(machine, "install").contains(told));
    assert_eq!(user(machine), "web");
    let pinned = machine.read("/etc/rsgen/web.toml");
    let written = "user = \"web\" # the owner of /srv/web/graceful.js\n";
    assert!(pinned.contains(written), "{pinned}");
    let unit = machine.systemctl(&["cat", UNIT]).ok();
    assert!(unit.text().contains("\nLockPersonality=yes\n"), "a sandbox");

    // The user is asked to have root start the program, and may edit what root writes.
    let init = "cd /srv/web && rsgen init --output";
    let told = machine
        .run(&[
            "runuser",
            "-u",
            "web",
            "--",
            "sh",
            "-c",
            &format!("{init} own.toml -- graceful.js"),
        ])
        .ok();
    told.says("own.toml").says("`sudo rsgen install own.toml`");
    assert!(!machine.read("/srv/web/own.toml").contains("listen"));
    let told = machine
        .sh(&format!("{init} roots.toml -- graceful.js"))
        .ok();
    told.says("run `rsgen install roots.toml`");
    let owner = machine.run(&["stat", "-c", "%U:%G", "/srv/web/roots.toml"]);
    assert_eq!(owner.text(), "web:web");

    // Whoever owns the files later changes nothing before the next install.
    machine.sh("chown -R next: /srv/web").ok();
    machine.systemctl(&["daemon-reload"]).ok();
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert_eq!(user(machine), "web");
    let said = rsgen(machine, "install");
    let told =
        "`web` will run as `next`, the owner of `/srv/web/graceful.js`, and no longer as `web`";
    assert!(said.contains(told), "{said}");
    assert_eq!(user(machine), "next");

    // The owner behind a link that somebody else can replace is not used.
    machine
        .sh("mv /srv/web/graceful.js /home/it.js; ln -s /home/it.js /srv/web/graceful.js; chown web: /home/it.js")
        .ok();
    let refused = machine.run(&["rsgen", "check", ECOSYSTEM]);
    let why = "belongs to `web`, but `/srv/web` may be written by its owner `next`";
    assert!(
        refused.status == 3 && refused.stderr.contains(why),
        "{}",
        refused.stderr
    );
}

pub(crate) fn does_not_replace_root_in_an_app_that_was_installed_as_roots(machine: &mut Machine) {
    machine.sh("useradd web").ok();
    machine.write_app("graceful.js", "/srv/web");
    write(machine, "");
    let said = rsgen(machine, "install");
    let told = "`web` runs as root, the owner of `/srv/web/graceful.js`";
    assert!(said.contains(told), "{said}");
    machine.sh("chown -R web: /srv/web").ok();
    let said = rsgen(machine, "install");
    let told = "`web` still runs as root, although `/srv/web/graceful.js` belongs to `web`";
    assert!(
        said.contains(told) && said.contains("nothing to do"),
        "{said}"
    );
    assert_eq!(user(machine), "root");
    write(machine, "user = \"root\"");
    let said = rsgen(machine, "check");
    assert!(!said.contains("root"), "{said}");
    write(machine, "user = \"web\"");
    rsgen(machine, "install");
    assert_eq!(user(machine), "web");
    cluster::assert_exactly(machine, 1);
}
