//! The roles and the module on one host: they report exactly what they change.

use testbed::{Machine, Output};

use crate::fleet::Fleet;

const PLAYBOOK: &str = "\
- hosts: all
  gather_facts: false
  roles:
    - role: rsgen.rsgen.rsgen
    - role: rsgen.rsgen.rsgen_app
      rsgen_app_name: web
      rsgen_app_config:
        script: echo.js
        cwd: /srv/web
        listen: 3000
        instances: 2
        user: www-data
        env: { COLOUR: \"{{ colour | default('blue') }}\", LEVEL: 3 }
        interpreter_args: \"{{ node | default([]) }}\"
        service: { MemoryMax: 300M }
      rsgen_app_secrets:
        PASSWORD: \"{{ password | default('a\\\"b\\\\c$d`e') }}\"
";

const IN_PLACE: &str = "\
- hosts: all
  gather_facts: false
  pre_tasks:
    - name: Something that the app reads at its start
      ansible.builtin.copy: { content: \"{{ limits }}\", dest: /srv/web/limits, mode: '0644' }
      notify: Reload rsgen app
  roles:
    - role: rsgen.rsgen.rsgen_app
      rsgen_app_name: web
      rsgen_app_template: web.toml.j2
";

const TEMPLATE: &str = "\
[[apps]]
name = \"web\"
script = \"/srv/web/echo.js\"
listen = {{ address | default(3000) | to_json }}
instances = 2
";

const REMOVE_RSGEN: &str = "\
- hosts: all
  gather_facts: false
  roles:
    - role: rsgen.rsgen.rsgen
      rsgen_state: absent
";

/// Asserts that the recap at the end of a play has this part.
#[track_caller]
pub(crate) fn recap(output: &Output, part: &str) {
    let line = output.stdout.lines().rev().find(|l| l.starts_with("web1 "));
    assert!(line.is_some_and(|l| l.contains(part)), "{part}: {output}");
}

fn exists(machine: &Machine, path: &str) -> bool {
    machine.run(&["test", "-e", path]).status == 0
}

fn hex(text: &str) -> String {
    let digits: Vec<String> = text.bytes().map(|b| format!("{b:02x}")).collect();
    digits.concat()
}

#[test]
fn the_roles_report_exactly_what_they_change() {
    let fleet = Fleet::of_one(&[("app.yml", PLAYBOOK)]);
    let host = &fleet.hosts[0];
    let machine = fleet.machine();

    // Nothing is installed yet, not even rsgen.
    let told = fleet.play("app.yml", &["--check", "--diff"]).ok();
    told.clone().says("rsgen is not installed yet");
    assert!(!exists(machine, "/usr/bin/rsgen"), "{told}");

    let told = fleet.play("app.yml", &["--diff", "-vvv"]).ok();
    told.clone()
        .says("+ListenStream=3000")
        .says("PASSWORD=(another secret)");
    assert!(!told.stdout.contains("a\\\"b"), "a secret is shown: {told}");
    let answer = host.ask();
    for part in [hex("blue"), hex("3"), hex("a\"b\\c$d`e")] {
        assert!(answer.contains(&part), "{part} is not in {answer}");
    }
    assert_eq!(
        machine
            .run(&["stat", "-c", "%a %U", "/etc/rsgen/web.env"])
            .text(),
        "600 root"
    );
    assert!(
        !machine
            .sh("cat /etc/systemd/system/web* /etc/rsgen/web.toml 2>/dev/null")
            .stdout
            .contains("PASSWORD")
    );

    let before = host.pids();
    recap(&fleet.play("app.yml", &[]).ok(), "changed=0");
    let told = fleet
        .play(
            "app.yml",
            &[
                "--check",
                "--diff",
                "-e",
                "colour=green",
                "-e",
                "password=new",
            ],
        )
        .ok();
    recap(&told, "changed=1");
    told.says("-COLOUR = \"blue\"").says("PASSWORD=(secret)");
    assert_eq!(host.pids(), before);

    a_change(&fleet, &before);
    what_fails(&fleet);
    in_place(&fleet);
    ecosystem_file(&fleet);
    without_listen(&fleet);
    prune(&fleet);
    removal(&fleet);
}

/// A changed secret causes exactly one rolling reload.
fn a_change(fleet: &Fleet, before: &[u32]) {
    let host = &fleet.hosts[0];
    let told = fleet.play("app.yml", &["-e", "password=new"]).ok();
    recap(&told, "changed=1");
    assert!(host.pids().iter().all(|p| !before.contains(p)), "{told}");
    assert!(host.ask().contains(&hex("new")), "{told}");
}

/// A version that does not start changes nothing, not even its secrets, and the task says why.
fn what_fails(fleet: &Fleet) {
    let host = &fleet.hosts[0];
    let before = host.pids();
    let bad = [
        "-e",
        "{\"node\": [\"--no-such-option\"], \"password\": \"newer\"}",
    ];
    let told = fleet.play("app.yml", &bad).exits(2);
    told.clone()
        .says("the canary failed")
        .says("bad option: --no-such-option");
    assert_eq!(host.pids(), before, "{told}");
    assert!(host.machine.read("/etc/rsgen/web.env").contains("\"new\""));
    recap(
        &fleet.play("app.yml", &["-e", "password=new"]).ok(),
        "changed=0",
    );
}

/// An app from a template, which a handler reloads when files of the app have changed.
fn in_place(fleet: &Fleet) {
    let host = &fleet.hosts[0];
    fleet.write("in_place.yml", IN_PLACE);
    fleet.write("templates/web.toml.j2", TEMPLATE);
    fleet.play("in_place.yml", &["-e", "limits=1"]).ok();
    let before = host.pids();
    recap(
        &fleet.play("in_place.yml", &["-e", "limits=1"]).ok(),
        "changed=0",
    );
    assert_eq!(host.pids(), before);
    let told = fleet.play("in_place.yml", &["-e", "limits=2"]).ok();
    recap(&told, "changed=2");
    assert!(host.pids().iter().all(|p| !before.contains(p)), "{told}");
    other_addresses(fleet);
}

/// Addresses that the program does not have, that cannot be open beside the present one, and that no program can have.
fn other_addresses(fleet: &Fleet) {
    let host = &fleet.hosts[0];
    let before = host.pids();
    let play = |address: &str| {
        let address = format!("{{\"limits\": 2, \"address\": {address}}}");
        fleet.play("in_place.yml", &["-e", &address])
    };
    let told = play("3001").exits(2);
    told.says("the canary failed")
        .says("the program asked for 3000");
    play("3000").ok();
    let told = play("\"0.0.0.0:3000\"").exits(2);
    told.says("moving it to 0.0.0.0:3000 closes 3000 first");
    play("70000").exits(2).says("70000");
    assert_eq!(host.pids(), before);
}

/// An app from an ecosystem file on the host.
fn ecosystem_file(fleet: &Fleet) {
    let machine = fleet.machine();
    let module = "rsgen.rsgen.rsgen_app";
    let source = "src=/srv/web/ecosystem.toml name=web";
    let run = |more: &[&str]| {
        fleet.tool(
            "ansible",
            &[&["web1", "-m", module, "-a", source], more].concat(),
        )
    };
    run(&["--check"])
        .ok()
        .says("the app's files do not exist yet")
        .says("CHANGED");
    run(&[]).exits(2).says("cannot be read");
    let text = machine
        .read("/etc/rsgen/web.toml")
        .replace("instances = 2", "instances = 3");
    machine.write("/srv/web/ecosystem.toml", &text);
    run(&[]).ok().says("CHANGED");
    assert_eq!(machine.state("web@2.service"), "active");
    run(&[]).ok().says("SUCCESS");
}

/// Writes the program of another app, which listens on a port of its own.
pub(crate) fn write_program(machine: &Machine, app: &str, port: u32) {
    let sed = format!("sed 's/3000/{port}/' /srv/web/echo.js >/srv/web/{app}.js");
    machine.sh(&sed).ok();
}

/// An app that an ecosystem file no longer has is told, and removed where that is asked for.
fn prune(fleet: &Fleet) {
    let machine = fleet.machine();
    let module = "rsgen.rsgen.rsgen_app";
    for (name, port) in [("one", 4001), ("two", 4002)] {
        write_program(machine, name, port);
    }
    let app = |name: &str, port: u32| {
        format!(
            "[[apps]]\nname = \"{name}\"\nscript = \"/srv/web/{name}.js\"\nlisten = {port}\nuser = \"www-data\"\n"
        )
    };
    let run = |more: &str, flags: &[&str]| {
        let given = format!("src=/srv/both.toml{more}");
        let words = [&["web1", "-m", module, "-a", &*given], flags].concat();
        fleet.tool("ansible", &words)
    };
    let both = app("one", 4001) + &app("two", 4002);
    machine.write("/srv/both.toml", &both);
    run(" prune=true", &[]).ok().says("CHANGED");
    machine.write("/srv/both.toml", &app("one", 4001));
    run("", &[])
        .ok()
        .says("SUCCESS")
        .says("the file no longer has two");
    run(" prune=true", &["--check", "--diff"])
        .ok()
        .says("CHANGED")
        .says("\"two\"");
    assert_eq!(machine.state("two.service"), "active");
    run(" prune=true", &[]).ok().says("CHANGED");
    assert!(!exists(machine, "/etc/rsgen/two.toml"));
    assert_eq!(machine.state("one.service"), "active");
    run(" prune=true", &[]).ok().says("SUCCESS");
    run(" prune=true name=one", &[])
        .exits(2)
        .says("prune needs src");
    machine.run(&["rsgen", "uninstall", "one"]).ok();
}

/// Check mode starts no program to find where it listens, and says so.
fn without_listen(fleet: &Fleet) {
    let module = "rsgen.rsgen.rsgen_app";
    let app = r#"{"name": "found", "config": {"script": "/srv/web/echo.js", "user": "www-data"}}"#;
    let told = fleet.tool("ansible", &["web1", "-m", module, "-a", app, "--check"]);
    told.ok().says("CHANGED").says("found leaves `listen` out");
    assert!(!exists(fleet.machine(), "/etc/rsgen/found.toml"));
}

fn removal(fleet: &Fleet) {
    let machine = fleet.machine();
    let told = fleet.play("remove.yml", &["--check", "--diff"]).ok();
    recap(&told, "changed=1");
    assert!(exists(machine, "/etc/systemd/system/web.socket"), "{told}");
    recap(&fleet.play("remove.yml", &[]).ok(), "changed=1");
    for path in [
        "/etc/systemd/system/web.socket",
        "/etc/rsgen/web.toml",
        "/etc/rsgen/web.env",
    ] {
        assert!(!exists(machine, path), "{path} is still there");
    }
    fleet.write("remove_rsgen.yml", REMOVE_RSGEN);
    recap(&fleet.play("remove_rsgen.yml", &[]).ok(), "changed=1");
    assert!(!exists(machine, "/usr/bin/rsgen"));
    recap(&fleet.play("remove.yml", &[]).ok(), "changed=0");
}
