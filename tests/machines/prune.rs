//! Apps that an ecosystem file no longer has: told, and removed with `--prune`.

use testbed::runner::Spec;
use testbed::{Load, Machine, Traffic, specs};

use crate::prune;

pub(crate) const SPECS: &[Spec] = specs![
    prune::an_app_that_its_file_no_longer_has_is_told_and_then_removed,
    prune::a_renamed_app_takes_over_the_address_of_the_old_one,
    prune::a_reload_of_the_file_removes_it_as_the_last_step,
];

const FILE: &str = "/srv/web/ecosystem.toml";
const COMMAND: &str = "install /srv/web/ecosystem.toml";

/// Writes a file with these apps, each with its port.
fn write(machine: &Machine, file: &str, apps: &[(&str, &str)]) {
    let app = |(name, port): &(&str, &str)| {
        let program = format!("/srv/web/{name}.js");
        machine
            .sh(&format!(
                "sed 's/3000/{port}/' /srv/web/graceful.js >{program}"
            ))
            .ok();
        format!(
            "[[apps]]\nname = \"{name}\"\nscript = \"{program}\"\nlisten = {port}\nuser = \"www-data\"\nsettle = 0\n"
        )
    };
    let text: String = apps.iter().map(app).collect();
    machine.write(file, &text);
}

/// Runs a command line of rsgen.
fn rsgen(machine: &Machine, line: &str) -> testbed::Output {
    machine.sh(&format!("rsgen {line}"))
}

/// The files of an app that are left, in all folders where rsgen writes.
fn left_of(machine: &Machine, app: &str) -> String {
    let find = format!(
        "find /etc/rsgen /etc/systemd/system /var/lib/rsgen /run/rsgen -name '{app}.*' -o -name '{app}@*' -o -name {app}"
    );
    machine.sh(&find).ok().stdout
}

fn an_app_that_its_file_no_longer_has_is_told_and_then_removed(machine: &mut Machine) {
    machine.write_app("graceful.js", "/srv/web");
    write(machine, "/srv/web/other.toml", &[("other", "3003")]);
    rsgen(machine, "install /srv/web/other.toml").ok();
    write(
        machine,
        FILE,
        &[("web", "3000"), ("api", "3001"), ("old", "3002")],
    );
    rsgen(machine, COMMAND).ok();
    // As after an install by a version that kept no such thing.
    let forget = "sed -i 's/,\"origin\":\"[^\"]*\"//' /var/lib/rsgen/old.json; ! grep origin /var/lib/rsgen/old.json";
    machine.sh(forget).ok();
    let web = machine.main_pid("web@0.service");
    write(machine, FILE, &[("web", "3000")]);
    let told = rsgen(machine, COMMAND).ok().says("nothing to do");
    let told =
        told.says("api: `/srv/web/ecosystem.toml` no longer has this app, which keeps running");
    assert!(
        !told.stdout.contains("old: `") && !told.stderr.contains("old: `"),
        "{told}"
    );
    let file = machine.read(FILE);
    machine.write(FILE, "");
    rsgen(machine, &format!("{COMMAND} --prune")).exits(3);
    machine.write(FILE, &file);
    rsgen(machine, &format!("{COMMAND} --prune --only web")).exits(2);
    rsgen(machine, &format!("install --prune - <{FILE}")).exits(2);
    let dry = rsgen(machine, &format!("{COMMAND} --prune --dry-run")).ok();
    dry.says("api: would uninstall")
        .says("remove /etc/rsgen/api.toml");
    assert!(machine.get(3001).is_ok(), "nothing was removed so far");

    let load = Load::start(machine, &Traffic::on_port(3000, 2));
    let json = rsgen(machine, &format!("{COMMAND} --prune --json")).ok();
    assert!(json.stdout.contains("\"pruned\""), "{json}");
    rsgen(machine, &format!("{COMMAND} --prune"))
        .ok()
        .says("nothing to do");
    load.stop().assert_nothing_lost();
    assert_eq!(left_of(machine, "api"), "");
    assert!(machine.get(3001).is_err(), "nobody listens there any more");
    assert_eq!(machine.main_pid("web@0.service"), web);
    for port in [3002, 3003] {
        assert!(
            machine.get(port).is_ok(),
            "an app of another origin is gone"
        );
    }
}

fn a_reload_of_the_file_removes_it_as_the_last_step(machine: &mut Machine) {
    machine.write_app("graceful.js", "/srv/web");
    write(machine, FILE, &[("web", "3000"), ("api", "3001")]);
    rsgen(machine, COMMAND).ok();
    write(machine, FILE, &[("web", "3000")]);
    rsgen(machine, "reload web --prune").exits(2);
    rsgen(machine, &format!("reload {FILE} --prune --only web")).exits(2);
    // Nobody waits there, but somebody could.
    rsgen(machine, "pause api").ok();
    for command in [
        format!("reload {FILE} --prune"),
        format!("{COMMAND} --prune"),
    ] {
        let before = machine.main_pid("web@0.service");
        rsgen(machine, &command).exits(1).says("`api` is paused");
        assert_eq!(machine.main_pid("web@0.service"), before);
    }
    rsgen(machine, "resume api").ok();
    machine
        .sh("mv /srv/web/web.js /srv/web/away.js; echo 'throw 1' >/srv/web/web.js")
        .ok();
    let failed = rsgen(machine, &format!("reload {FILE} --prune")).exits(1);
    let _ = failed.says("not removed, since that is the last step: `api`");
    assert!(machine.get(3001).is_ok());
    machine.sh("mv /srv/web/away.js /srv/web/web.js").ok();
    let before = machine.main_pid("web@0.service");
    let json = rsgen(machine, &format!("reload {FILE} --prune --json")).ok();
    assert!(json.stdout.contains("\"api\""), "{json}");
    assert_eq!(left_of(machine, "api"), "");
    assert!(machine.get(3001).is_err(), "nobody listens there any more");
    assert_ne!(machine.main_pid("web@0.service"), before);
}

fn a_renamed_app_takes_over_the_address_of_the_old_one(machine: &mut Machine) {
    machine.write_app("graceful.js", "/srv/web");
    write(machine, FILE, &[("web", "3000"), ("api", "3001")]);
    rsgen(machine, COMMAND).ok();
    write(machine, FILE, &[("api", "3001"), ("shop", "3000")]);
    let refused = rsgen(machine, COMMAND).exits(3);
    assert!(
        refused
            .stderr
            .contains("install /srv/web/ecosystem.toml --prune` to remove it"),
        "{refused}"
    );
    a_taken_address_is_found_before_anything_is_removed(machine);

    let foreseen = "shop: needs an address of `web`, which is uninstalled just before the start";
    let dry = rsgen(machine, &format!("{COMMAND} --prune --dry-run")).ok();
    dry.says(foreseen);
    assert!(machine.get(3000).is_ok());
    assert_eq!(left_of(machine, "shop"), "");
    let api = machine.main_pid("api@0.service");
    let folders = "/etc/rsgen /etc/systemd/system /var/lib/rsgen";
    machine
        .sh(&format!("tar cf /srv/before.tar {folders}"))
        .ok();
    rsgen(machine, &format!("{COMMAND} --prune"))
        .ok()
        .says(foreseen);
    assert!(machine.get(3000).is_ok());
    assert_eq!(machine.state("shop@0.service"), "active");
    assert_eq!(machine.main_pid("api@0.service"), api);
    assert_eq!(left_of(machine, "web"), "");
    rsgen(machine, &format!("{COMMAND} --prune"))
        .ok()
        .says("nothing to do");

    // A command that was killed when it had written the new app, and had not removed the old one.
    machine
        .systemctl(&["stop", "shop.service", "shop.socket"])
        .ok();
    machine
        .sh("rm /var/lib/rsgen/shop.json; tar xf /srv/before.tar -C / && systemctl daemon-reload && systemctl start web.service")
        .ok();
    rsgen(machine, COMMAND).exits(3);
    rsgen(machine, &format!("{COMMAND} --prune")).ok();
    assert!(machine.get(3000).is_ok());
    assert_eq!(machine.state("shop@0.service"), "active");
    assert_eq!(left_of(machine, "web"), "");

    // A removal that was killed after it had stopped the app.
    write(machine, FILE, &[("shop", "3000")]);
    machine
        .systemctl(&["stop", "api.service", "api.socket"])
        .ok();
    rsgen(machine, &format!("deploy {FILE} --prune"))
        .ok()
        .says("remove /etc/rsgen/api.toml");
    assert_eq!(left_of(machine, "api"), "");
}

/// The new app needs a second address, which somebody else has.
fn a_taken_address_is_found_before_anything_is_removed(machine: &Machine) {
    let file = machine.read(FILE);
    machine.write(
        FILE,
        &file.replace("listen = 3000", "listen = [3000, 3005]"),
    );
    let taken = "systemd-run --unit=taken --socket-property=ListenStream=3005 cat";
    machine.sh(taken).ok();
    let told = rsgen(machine, &format!("{COMMAND} --prune")).exits(1);
    told.says("3005");
    assert!(machine.get(3000).is_ok());
    assert_eq!(left_of(machine, "shop"), "");
    machine.systemctl(&["stop", "taken.socket"]).ok();
    machine.write(FILE, &file);
}
