//! Secrets of an app: Ansible's output shows no part of them, and no planted link is followed.

use std::process::Command;

use testbed::Output;

use crate::fleet::Fleet;

const PLAYBOOK: &str = "\
- hosts: all
  gather_facts: false
  roles:
    - role: rsgen.rsgen.rsgen_app
      rsgen_app_name: web
      rsgen_app_config:
        script: \"{{ script | default('echo.js') }}\"
        cwd: /srv/web
        listen: 3000
        instances: 1
        user: www-data
        env: { API_TOKEN: readbyeverybody, COLOUR: blue }
      rsgen_app_env: \"{{ env | default({}) }}\"
      rsgen_app_secrets: \"{{ secrets }}\"
      rsgen_app_env_file: \"{{ place | default(omit) }}\"
";

const INSTALL: &str = "\
- hosts: all
  gather_facts: false
  roles: [rsgen.rsgen.rsgen]
";

/// A build that writes a secret to the journal.
const TELLTALE: &str = "console.log(process.env.KEY); process.exit(1);";

/// A text that no ordinary user may read.
const HUSH: &str = "thishashisforrootalone";

/// A path at which the app's user may put anything.
const SHARED: &str = "/srv/web/shared/web.env";

fn private_key() -> String {
    let made = Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA"])
        .output()
        .expect("`openssl` starts");
    String::from_utf8(made.stdout).expect("PEM is text")
}

/// Starts one host with rsgen and without an app.
fn fleet() -> Fleet {
    let fleet = Fleet::of_one(&[("install.yml", INSTALL), ("app.yml", PLAYBOOK)]);
    let telltale = "/srv/web/telltale.js";
    fleet.machine().write(telltale, TELLTALE);
    fleet.play("install.yml", &[]).ok();
    fleet
}

/// Runs the playbook with this private key as the secret, and with all output that Ansible can produce.
fn play(fleet: &Fleet, key: &str, more: &[&str]) -> Output {
    let secrets = serde_json::json!({ "secrets": { "KEY": key, "LEVEL": "low" } });
    fleet.write("secrets.json", &secrets.to_string());
    let all = [&["--diff", "-vvv", "-e", "@secrets.json"], more].concat();
    fleet.play("app.yml", &all)
}

/// Asserts that the output has neither a line of the secret nor a piece of a line.
#[track_caller]
fn hides(output: &Output, secret: &str) {
    let said = format!("{}{}", output.stdout, output.stderr);
    for line in secret.lines().filter(|l| !l.starts_with("-----")) {
        for at in 0..line.len().saturating_sub(7) {
            let piece = &line[at..at + 8];
            assert!(!said.contains(piece), "{piece:?} is shown: {output}");
        }
    }
}

#[test]
fn no_part_of_a_secret_is_shown() {
    let fleet = fleet();
    let machine = fleet.machine();
    let (first, second) = (private_key(), private_key());
    let told = play(&fleet, &first, &[]).ok();
    hides(&told, &first);
    told.clone().says("+KEY=(another secret)");

    // Every user of the host may read this value, but it must not be in the log of a deployment.
    hides(&told, "readbyeverybody");
    told.says("+Environment=COLOUR=blue")
        .says("+Environment=API_TOKEN=(hidden)")
        .says("`API_TOKEN` looks like a secret");

    // The value of another name, which says nothing of a secret.
    let shade = serde_json::json!({ "env": { "SHADE": format!("dark \"{HUSH}") } });
    let told = play(&fleet, &first, &["--check", "-e", &shade.to_string()]).ok();
    hides(&told, HUSH);
    told.says("+SHADE = (hidden)")
        .says("Environment=COLOUR=(hidden)");

    for more in [&["--check"][..], &[]] {
        let told = play(&fleet, &second, more).ok();
        hides(&told, &first);
        hides(&told, &second);
        assert!(
            !told.stdout.contains("LEVEL=("),
            "an unchanged variable is shown: {told}"
        );
        told.says("-KEY=(secret)").says("+KEY=(another secret)");
    }

    // The message of the task contains the journal of the failed build.
    let told = play(&fleet, &first, &["-e", "script=telltale.js"]).exits(2);
    hides(&told, &first);
    told.says("the canary failed");

    // A file that was written by hand: systemd reads some of its lines as variables.
    let text = format!("# my pass phrase\nKEY={first}LAST=\nexport TOKEN={HUSH}\n");
    machine.write("/etc/rsgen/web.env", &text);
    let told = play(&fleet, &second, &["--check"]).ok();
    hides(&told, &first);
    hides(&told, &second);
    hides(&told, HUSH);
    assert!(!told.stdout.contains("pass phrase"), "{told}");
    told.says("+(changed)");
}

#[test]
fn a_planted_link_is_neither_shown_nor_followed() {
    let fleet = fleet();
    let machine = fleet.machine();
    let key = private_key();
    machine.write("/etc/hush", &format!("HUSH={HUSH}\n"));
    let sh = |script: &str| {
        machine.sh(script).ok();
    };
    sh(&format!("echo 'mallory:{HUSH}:1::::::' >>/etc/shadow"));
    sh("chmod 600 /etc/hush && install -d -o www-data /srv/web/shared && mkdir /root/vault");
    let before = machine.sh("cat /etc/shadow").stdout;
    let refused = |because: &str| {
        for more in [&["--check"][..], &[]] {
            let place = format!("place={SHARED}");
            let told = play(&fleet, &key, &[&["-e", &place], more].concat()).exits(2);
            hides(&told, HUSH);
            hides(&told, &key);
            told.says("FAILED!").says(because);
        }
        assert_eq!(machine.read("/etc/shadow"), before);
        assert_eq!(machine.read("/etc/hush"), format!("HUSH={HUSH}\n"));
        machine.run(&["test", "-e", "/etc/rsgen/web.toml"]).exits(1);
    };
    // A folder of the user would be refused anyway. What the user has left in it survives a change of the owner.
    let plant = |script: &str| {
        sh("chown www-data /srv/web/shared");
        sh(script);
        sh("chown root /srv/web/shared");
    };
    plant(&format!(
        "runuser -u www-data -- ln -s /etc/shadow {SHARED}"
    ));
    refused("`/srv/web/shared/web.env` is a symbolic link");
    plant(&format!("ln -f /etc/hush {SHARED}"));
    refused("`/srv/web/shared/web.env` has 2 hard links");
    plant(&format!(
        "rm {SHARED} && runuser -u www-data -- mkfifo {SHARED}"
    ));
    refused("`/srv/web/shared/web.env` is a FIFO");

    // A link in place of the folder, in a folder of the user.
    sh("rm -r /srv/web/shared && chown www-data /srv/web && cp /etc/hush /root/vault/web.env");
    sh("runuser -u www-data -- ln -s /root/vault /srv/web/shared");
    refused("`/srv/web/shared` is a symbolic link");
    let kept = machine.read("/root/vault/web.env");
    assert_eq!(kept, format!("HUSH={HUSH}\n"));
}

#[test]
fn a_folder_of_the_apps_user_is_refused() {
    let fleet = fleet();
    let machine = fleet.machine();
    let key = private_key();
    let place = format!("place={SHARED}");
    let make = format!(
        "install -d -o www-data /srv/web/shared && echo 'HUSH={HUSH}' >{SHARED} && chown www-data {SHARED}"
    );
    machine.sh(&make).ok();
    play(&fleet, &key, &[]).ok();
    let told = play(&fleet, &key, &["-e", &place]).exits(2);
    hides(&told, &key);
    assert!(!told.stdout.contains("HUSH"), "{told}");
    told.says("`/srv/web/shared` belongs to `www-data`")
        .says("who may not read a file that only root can read");
    let stat = machine.run(&["stat", "-c", "%U", SHARED]).ok();
    assert_eq!(stat.text(), "www-data");

    // When the app is removed, a link in the place of its file is removed, and the target of the link stays.
    let plant = format!("echo 'HUSH={HUSH}' >/etc/hush && ln -sf /etc/hush {SHARED}");
    machine.sh(&plant).ok();
    fleet.play("remove.yml", &["-e", &place]).ok();
    assert_eq!(machine.read("/etc/hush"), format!("HUSH={HUSH}\n"));
    machine.run(&["test", "-L", SHARED]).exits(1);
}
