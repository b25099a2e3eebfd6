//! x

use crate::cluster::{ECOSYSTEM, SOON};
use testbed::{Machine, wait_until};

fn tried(machine: &Machine, app: &str, lines: &str) -> String {
    machine.write_app("node4.js", "/srv/web");
    machine.write_app("python.py", "/srv/web");
    let (script, listen) = if app == "python" {
        ("python.py", "0.0.0.0:3000")
    } else {
        ("node4.js", "3000")
    };
    machine.write(ECOSYSTEM, &format!("[[apps]]\nname = \"web\"\nscript = \"{script}\"\nlisten = \"{listen}\"\ninstances = 1\nmax_restarts = 2\nlisten_timeout = \"5s\"\n{lines}\n"));
    machine.sh("journalctl --rotate -q; journalctl --vacuum-time=1us -q; systemctl reset-failed");
    let out = machine.sh(&format!(
        "timeout 60 rsgen install --replace-listener {ECOSYSTEM}"
    ));
    let ok = machine.get(3000);
    let journal =
        machine.sh("journalctl -q -o cat -t web | grep rsgen: | sort | uniq -c | head -5");
    let units = machine.sh("journalctl -q -o cat -u web@0 | sort | uniq -c| head -6");
    let r = format!(
        "==== {} [{app}] {lines:?}\n  install {} get {ok:?}\n{}\n{}{}\n",
        machine.release(),
        out.status,
        if out.status == 0 && ok.is_ok() {
            ""
        } else {
            &out.stderr
        },
        if out.status == 0 { "" } else { &journal.stdout },
        if out.status == 0 { "" } else { &units.stdout }
    );
    machine.sh("rsgen uninstall web; systemctl stop web.socket web; systemctl reset-failed");
    wait_until(SOON, "gone", || machine.get(3000).is_err());
    r
}

pub(crate) fn explore(machine: &mut Machine) {
    let list = std::fs::read_to_string("/tmp/h-w/list").unwrap();
    let mut all = String::new();
    for line in list.lines().filter(|l| !l.is_empty()) {
        let (app, lines) = line.split_once(' ').unwrap();
        all.push_str(&tried(machine, app, &lines.replace(';', "\n")));
        std::fs::write(format!("/tmp/h-w/out.{}", machine.release()), &all).unwrap();
    }
}
