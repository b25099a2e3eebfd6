//! An edit of an app that a package has installed.

use testbed::{Load, Machine, Traffic};

use super::{FILE, edit};
use crate::cluster::{assert_exactly, pids};

pub(crate) fn an_app_of_a_package_gets_a_file_of_its_own(machine: &mut Machine) {
    let script = machine.write_app("graceful.js", "/usr/share/web");
    let packaged = "/usr/lib/rsgen/web.toml";
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{script}\"\nlisten = 3000\ninstances = 2\nuser = \"www-data\"\nsettle = 0\n"
    );
    machine.write(packaged, &text);
    machine.systemctl(&["daemon-reload"]).ok();
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 2);
    it_is_scaled_by_its_unit_where_there_is_no_folder_yet(machine);
    let text = machine.read(packaged);
    let before = pids(machine, 2);
    let told = edit(machine, "sed -i 's/3000/3001/' \"$0\"", "").exits(1);
    assert!(told.stderr.contains("`rsgen stop web`"), "{told}");
    assert_eq!(pids(machine, 2), before);
    other_addresses_are_for_an_app_that_does_not_listen(machine);

    // A newer package comes meanwhile.
    let newer =
        "sed -i 's/settle = 0/settle = 2/' \"$0\"; echo '# newer' >>/usr/lib/rsgen/web.toml";
    let told = edit(machine, newer, "").exits(1);
    let words = "/usr/lib/rsgen/web.toml was changed while it was edited";
    assert!(told.stderr.contains(words), "{told}");
    machine.write(packaged, &text);

    let load = Load::start(machine, &Traffic::on_port(3000, 5));
    load.wait_answered(50);
    edit(
        machine,
        "sed -i 's/instances = 2/instances = 3/' \"$0\"",
        "--surge 100%",
    )
    .ok()
    .says("3 canaries first");
    load.stop().assert_nothing_lost();
    assert_exactly(machine, 3);
    assert_eq!(machine.read(packaged), text);
    assert_eq!(
        machine.read(FILE),
        text.replace("instances = 2", "instances = 3")
    );
    machine.sh("test ! -e /etc/systemd/system/web.service").ok();

    // What `rsgen scale` chose holds until the file has another number.
    machine.run(&["rsgen", "scale", "web", "2"]).ok();
    edit(machine, "sed -i 's/settle = 0/settle = 1/' \"$0\"", "").ok();
    assert_exactly(machine, 2);
    let told = edit(
        machine,
        "sed -i 's/instances = 3/instances = 1/' \"$0\"",
        "",
    )
    .ok();
    told.says("the 2 of `rsgen scale` no longer applies");
    assert_exactly(machine, 1);
    machine.sh("ln -sf /srv/elsewhere.toml /etc/rsgen/web.toml; cp /usr/lib/rsgen/web.toml /srv/elsewhere.toml").ok();
    let link = edit(machine, "exit 0", "").exits(1);
    assert!(
        link.stderr.contains("is a link to /srv/elsewhere.toml"),
        "{link}"
    );
}

fn other_addresses_are_for_an_app_that_does_not_listen(machine: &Machine) {
    let listen = "sed -i 's/3000/3001/' \"$0\"";
    machine.run(&["rsgen", "stop", "web"]).ok();
    edit(machine, listen, "--dry-run").ok();
    machine.systemctl(&["start", "web.socket"]).ok();
    let told = edit(machine, listen, "--dry-run").exits(1);
    assert!(told.stderr.contains("`rsgen stop web`"), "{told}");
    machine.run(&["rsgen", "start", "web"]).ok();
    assert_exactly(machine, 2);
}

/// A scale for a user whom polkit allows it, in a sandbox that may write nothing else below /etc.
fn it_is_scaled_by_its_unit_where_there_is_no_folder_yet(machine: &Machine) {
    machine.sh("test ! -e /etc/rsgen").ok();
    machine
        .systemctl(&["restart", "rsgen-scale@web:1.service"])
        .ok();
    assert_exactly(machine, 1);
    machine.run(&["rsgen", "scale", "web", "2"]).ok();
    assert_exactly(machine, 2);
    machine.sh("rm -r /etc/rsgen/web.toml.d").ok();
}
