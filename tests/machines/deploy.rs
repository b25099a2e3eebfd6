//! `rsgen deploy`, and what a reload serves afterwards: new code, a changed file, the release that a link leads to.

use testbed::Machine;

use crate::cluster::{ECOSYSTEM, assert_exactly, deploy, install, pids, write_ecosystem};

fn answer(machine: &Machine) -> String {
    machine.get(3000).unwrap_or_default()
}

pub(crate) fn serves_new_code_though_the_file_is_as_it_was(machine: &mut Machine) {
    install(machine, "graceful", "2", "settle = 0");
    deploy(machine, "graceful", "version 1", "version 2");
    machine
        .run(&["rsgen", "install", ECOSYSTEM])
        .ok()
        .says("nothing to do")
        .says("for new code, run `rsgen reload web`");
    assert!(answer(machine).starts_with("version 1"));
    machine
        .run(&["rsgen", "deploy", ECOSYSTEM, "--dry-run"])
        .ok()
        .says("web: would reload");
    let json = machine.run(&["rsgen", "deploy", ECOSYSTEM, "--json"]).ok();
    assert!(
        json.stdout.contains("\"reloaded\": [\n    \"web\""),
        "{json}"
    );
    assert!(answer(machine).starts_with("version 2"));
    // By PM2's name for the command, and for an app that is down.
    machine.run(&["rsgen", "stop", "web"]).ok();
    deploy(machine, "graceful", "version 2", "version 3");
    machine.run(&["rsgen", "startOrReload", ECOSYSTEM]).ok();
    assert!(answer(machine).starts_with("version 3"));
}

pub(crate) fn and_a_reload_of_a_file_apply_what_was_edited(machine: &mut Machine) {
    install(machine, "echo.js", "2", "settle = 0");
    for (command, colour, hex) in [
        ("reload", "green", "677265656e"),
        ("deploy", "red", "726564"),
    ] {
        let before = pids(machine, 2);
        let more = format!("settle = 0\nenv = {{ COLOUR = \"{colour}\" }}");
        write_ecosystem(machine, "echo.js", "2", &more);
        machine
            .run(&["rsgen", command, ECOSYSTEM])
            .ok()
            .says("change /etc/rsgen/web.toml");
        let told = answer(machine);
        assert!(told.contains(&format!("\"COLOUR\":\"{hex}\"")), "{told}");
        assert!(pids(machine, 2).iter().all(|p| !before.contains(p)));
    }
    // Restarts use the installed copy, and say so.
    write_ecosystem(machine, "echo.js", "2", "settle = 0");
    machine
        .run(&["rsgen", "restart", ECOSYSTEM])
        .ok()
        .says("differs from the installed copy, which this command uses; to apply the file, run `rsgen deploy /srv/web/ecosystem.toml`");
    assert!(answer(machine).contains("\"COLOUR\":\"726564\""));
    machine.run(&["rsgen", "deploy", ECOSYSTEM]).ok();
    let told = machine.run(&["rsgen", "restart", ECOSYSTEM]).ok();
    assert!(!told.stdout.contains("differs"), "{told}");
    let moved = machine.read(ECOSYSTEM).replace("3000", "\"0.0.0.0:3000\"");
    machine.write(ECOSYSTEM, &moved);
    machine
        .run(&["rsgen", "reload", ECOSYSTEM])
        .exits(1)
        .says("a reload cannot move it to 0.0.0.0:3000")
        .says("rsgen install /srv/web/ecosystem.toml --replace-listener");
    assert_exactly(machine, 2);
}

pub(crate) fn follows_the_link_to_the_release_or_tells_that_it_does_not(machine: &mut Machine) {
    let app = "[[apps]]\nname = \"web\"\nscript = \"graceful\"\nlisten = 3000\nsettle = 0\nuser = \"www-data\"\n";
    for release in ["1", "2"] {
        let folder = format!("/srv/app/releases/{release}");
        machine.write_app("graceful", &folder);
        machine.write(&format!("{folder}/ecosystem.toml"), app);
        machine
            .sh(&format!(
                "sed -i 's/version 1/version {release}/' {folder}/graceful"
            ))
            .ok();
    }
    let link_to = |release: &str| {
        let link = format!("ln -sfn releases/{release} /srv/app/current");
        machine.sh(&link).ok();
    };
    link_to("1");
    let told = machine.sh("cd /srv/app/current && rsgen install").ok();
    assert!(!told.stderr.contains("release"), "{told}");
    let cwd = machine.property("web@0.service", "WorkingDirectory");
    assert_eq!(cwd, "/srv/app/current");
    link_to("2");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(answer(machine).starts_with("version 2"));

    // As under sudo, which does not pass PWD on.
    machine
        .sh("cd /srv/app/current && env -u PWD rsgen deploy")
        .ok()
        .says("`web` stays on the release `/srv/app/releases/2` when the link `/srv/app/current` moves on")
        .says("or write `cwd = \"/srv/app/current\"`");
    link_to("1");
    machine
        .run(&["rsgen", "reload", "web"])
        .ok()
        .says("the link `/srv/app/current` points to `/srv/app/releases/1`");
    assert!(answer(machine).starts_with("version 2"));
    machine
        .sh("cd /srv/app/current && PWD=/srv rsgen check")
        .ok()
        .says("stays on the release");
    machine
        .run(&["rsgen", "deploy", "/srv/app/current/ecosystem.toml"])
        .ok();
    assert!(answer(machine).starts_with("version 1"));
}

pub(crate) fn by_systemctl_keeps_the_units_and_says_so(machine: &mut Machine) {
    install(machine, "echo.js", "1", "settle = 0");
    let edit = |line: &str| {
        let add = format!("sed -i '/^listen/i {line}' /etc/rsgen/web.toml");
        machine.sh(&add).ok();
    };
    let line = "/etc/rsgen/web.toml has changed, and this reload kept the units as they are; to apply the file, run \
                `rsgen reload web`";
    let reload = || {
        machine.systemctl(&["reload", "web"]).ok();
        let status = machine.systemctl(&["status", "web"]).ok();
        assert!(!status.to_string().contains("daemon-reload"), "{status}");
        machine.journal("web.service").matches(line).count()
    };
    edit("# for the cluster");
    assert_eq!(reload(), 0, "a comment changes no unit");
    edit("env = { COLOUR = \"green\" }");
    assert_eq!(reload(), 1);
    assert!(!answer(machine).contains("COLOUR"));
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(answer(machine).contains("COLOUR"));
    assert_eq!(reload(), 1, "the units are those of the file");
    machine.write(
        "/etc/rsgen/web.toml.d/local.toml",
        "env = { SHAPE = \"round\" }\n",
    );
    assert_eq!(reload(), 2, "a drop-in is part of the file");
    let unit = machine.read("/etc/systemd/system/web.service");
    assert!(
        unit.contains("takes effect with `rsgen reload web`"),
        "{unit}"
    );
}
