//! The rights that the role gives to groups: the apps and the numbers that it names, and nothing else.

use testbed::{Machine, Output, wait_until};

use crate::fleet::{Fleet, SOON};
use crate::one_host::{recap, write_program};

const RULES: &str = "/etc/polkit-1/rules.d/50-rsgen-rights.rules";

const PLAYBOOK: &str = "\
- hosts: all
  gather_facts: false
  tasks:
    - name: Rights
      ansible.builtin.include_role: { name: rsgen.rsgen.rsgen }
    - name: Apps
      rsgen.rsgen.rsgen_app:
        name: \"{{ item.name }}\"
        config: { script: \"/srv/web/{{ item.name }}.js\", listen: \"{{ item.port }}\", instances: 2, user: www-data }
      loop: [{ name: web, port: 3000 }, { name: other, port: 4000 }]
";

/// What a member of the group tries, and the exit status.
fn tries(machine: &Machine, user: &str, command: &str, status: i32) -> Output {
    let told = machine.run(&["runuser", "-u", user, "--", "sh", "-c", command]);
    told.exits(status)
}

fn play(fleet: &Fleet, rights: &str, more: &[&str]) -> Output {
    let rights = format!("{{\"rsgen_rights\": {rights}}}");
    fleet.play("rights.yml", &[&["-e", &*rights], more].concat())
}

#[test]
fn a_group_may_do_with_an_app_what_the_role_names_and_nothing_else() {
    let fleet = Fleet::of_one(&[("rights.yml", PLAYBOOK)]);
    let machine = fleet.machine();
    let rights = r#"[{"group": "deploy", "apps": ["web"], "scale": 3}]"#;
    // The play may be about to make the group.
    let told = play(&fleet, rights, &["--check"]).ok();
    told.says("Write the rules");
    machine.run(&["test", "-e", RULES]).exits(1);
    play(&fleet, rights, &[])
        .exits(2)
        .says("deploy")
        .says("could not be found");
    for (app, port) in [("web", 3000), ("other", 4000)] {
        write_program(machine, app, port);
    }
    machine.sh("groupadd deploy && useradd -G deploy anna").ok();
    play(&fleet, rights, &[]).ok();
    recap(&play(&fleet, rights, &[]).ok(), "changed=0");
    granted(machine);
    faulty(&fleet);

    let less = r#"[{"group": "deploy", "apps": ["web"], "reload": false, "restart": true}]"#;
    recap(&play(&fleet, less, &[]).ok(), "changed=1");
    wait_refused(machine, "reload web");
    tries(machine, "anna", "rsgen scale web 2", 4);
    tries(machine, "anna", "systemctl restart web", 0);

    // One app without a list is that app, and not every unit whose name is a part of the word.
    let word = r#"[{"group": "deploy", "apps": "web", "restart": true}]"#;
    let managed = r#"{"ansible_managed": "two\nlines"}"#;
    play(&fleet, word, &["-e", managed]).ok();
    tries(machine, "anna", "systemctl restart web", 0);
    let other = "[Service]\nExecStart=/bin/sleep 9\n";
    machine.write("/run/systemd/system/we.service", other);
    machine.systemctl(&["daemon-reload"]).ok();
    tries(machine, "anna", "systemctl --no-ask-password restart we", 1);

    recap(&play(&fleet, "[]", &[]).ok(), "changed=1");
    recap(&play(&fleet, "[]", &[]).ok(), "changed=0");
    machine.run(&["test", "-e", RULES]).exits(1);
    wait_refused(machine, "restart web");
}

/// Waits until a member of the group may not do this. polkit, which runs, reads changed rules when it gets to it.
fn wait_refused(machine: &Machine, what: &str) {
    let command = format!("systemctl --no-ask-password {what}");
    wait_until(SOON, "polkit to have read the rules", || {
        let told = machine.run(&["runuser", "-u", "anna", "--", "sh", "-c", &command]);
        told.status != 0 && told.stderr.contains("nteractive authentication")
    });
}

fn granted(machine: &Machine) {
    for command in [
        "systemctl reload web",
        "systemctl reload-or-restart web",
        "rsgen scale web 3",
        "rsgen list",
    ] {
        tries(machine, "anna", command, 0);
    }
    assert_eq!(machine.state("web@2.service"), "active");
    for command in ["rsgen scale web 4", "rsgen scale other 3"] {
        tries(machine, "anna", command, 4).says("polkit");
    }
    for command in [
        "restart web",
        "start web",
        "stop web",
        "reload other",
        "restart web@0",
        "start rsgen-scale@web:2",
        "restart rsgen-scale@web:max",
    ] {
        let command = format!("systemctl --no-ask-password {command}");
        tries(machine, "anna", &command, 1).says("nteractive authentication");
    }
    let stranger = "systemctl --no-ask-password reload web";
    tries(machine, "www-data", stranger, 1).says("nteractive authentication");
}

/// A fault is told before a file is written.
fn faulty(fleet: &Fleet) {
    let before = fleet.machine().read(RULES);
    let faults = [
        r#"{"group": "deploy", "apps": ["web.service"]}"#,
        r#"{"group": "deploy", "apps": ["web\"]; //"]}"#,
        r#"{"group": "deploy", "apps": []}"#,
        r#"{"group": "deploy", "apps": ["all"]}"#,
        r#"{"group": "1000", "apps": ["web"]}"#,
        r#"{"group": "deploy", "apps": ["web"], "scale": 2000}"#,
    ];
    let told = play(fleet, &format!("[{}]", faults.join(", ")), &[]).exits(2);
    let refused = told.stdout.matches("failed: [web1]").count();
    assert_eq!(refused, faults.len(), "{told}");
    told.says("is not a group by its name, apps by their names");
    let missing = play(fleet, r#"[{"group": "deploy"}]"#, &[]).exits(2);
    missing.says("rsgen_rights").says("apps");
    assert_eq!(fleet.machine().read(RULES), before);
}
