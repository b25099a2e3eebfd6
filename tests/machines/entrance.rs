//! Folders that the app's user may not enter by their modes: refused where the start fails, and not where it works.

use testbed::runner::Spec;
use testbed::{Machine, specs};

use crate::cluster::assert_exactly;
use crate::entrance;

pub(crate) const SPECS: &[Spec] =
    specs![entrance::is_refused_to_an_app_only_where_its_start_would_fail];

const FILE: &str = "/srv/web.toml";
const CLOSED: &str = "`www-data` may not enter `/srv/closed`";

/// A way in that works.
struct Way {
    /// The folder of the app.
    folder: &'static str,
    /// The commands that open it.
    open: &'static str,
    lines: &'static str,
    /// The doubt that a warning names, or nothing where there is none.
    doubt: &'static str,
}

/// Version 2, then the owner, user 33, the group, the mask and others, see `linux/posix_acl_xattr.h`.
const LIST: &str = "python3 -c \"import os, struct; e = ((1, 7, -1), (2, 1, 33), (4, 0, -1), (16, 1, -1), (32, 0, -1)); \
    os.setxattr('/srv/closed', 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHi', *x) for x in e))\"";

const WAYS: [Way; 4] = [
    Way {
        folder: "/srv/closed",
        open: LIST,
        lines: "",
        doubt: "",
    },
    Way {
        folder: "/srv/closed",
        open: "chgrp adm /srv/closed",
        lines: "service.SupplementaryGroups = \"adm\"",
        doubt: "unless `[apps.service]` allows it",
    },
    Way {
        folder: "/srv/closed",
        open: "chgrp adm /srv/closed; mkdir -p /run/systemd/system/web@.service.d; \
            printf '[Service]\\nSupplementaryGroups=adm\\n' >/run/systemd/system/web@.service.d/group.conf",
        lines: "",
        doubt: "unless a drop-in of its unit allows it",
    },
    // systemd gives it to the user at the start.
    Way {
        folder: "/var/lib/closed",
        open: "true",
        lines: "service.StateDirectory = \"closed\"",
        doubt: "",
    },
];

fn write(machine: &Machine, folder: &str, lines: &str) {
    machine.write_app("graceful", folder);
    machine.sh(&format!("chmod 710 {folder}")).ok();
    let text = format!(
        "[[apps]]\nname = \"web\"\nscript = \"{folder}/graceful\"\ncwd = \"{folder}\"\nlisten = 3000\nuser = \"www-data\"\n{lines}\n"
    );
    machine.write(FILE, &text);
}

fn is_refused_to_an_app_only_where_its_start_would_fail(machine: &mut Machine) {
    write(machine, "/srv/closed", "");
    let told = machine.run(&["rsgen", "check", FILE]).exits(3);
    drop(told.says("error: ").says(CLOSED));
    machine
        .run(&["rsgen", "install", FILE])
        .exits(3)
        .says(CLOSED);
    // What is refused is what systemd fails at.
    let run = "systemd-run --wait --collect --quiet -p User=www-data -p WorkingDirectory=/srv/closed true";
    machine.sh(run).exits(200);
    for way in &WAYS {
        write(machine, way.folder, way.lines);
        machine.sh(way.open).ok();
        let told = machine.run(&["rsgen", "check", FILE]).ok();
        let is_warned = told.stderr.contains("may not enter");
        assert_eq!(is_warned, !way.doubt.is_empty(), "{told}");
        drop(told.says(way.doubt));
        machine.run(&["rsgen", "install", FILE]).ok();
        assert_exactly(machine, 1);
        machine.run(&["rsgen", "uninstall", "web"]).ok();
        let undo =
            "rm -rf /srv/closed /run/systemd/system/web@.service.d && systemctl daemon-reload";
        machine.sh(undo).ok();
    }
}
