//! The commands of the documentation do what it says: each page's commands run in order, on a machine of their own.
//!
//! `testbed::docs` explains what a page may leave out and how it says so. tests/docs.rs checks that every page with commands
//! has a spec here.

use std::fs;
use std::path::Path;

use testbed::runner::Spec;
use testbed::{Machine, specs};

use crate::docs;

pub(crate) const SPECS: &[Spec] = specs![
    docs::the_readme,
    docs::the_quick_start,
    docs::the_ecosystem_file,
    docs::the_reload,
    docs::the_handover,
    docs::the_security_model,
    docs::the_troubleshooting,
    docs::the_way_from_pm2,
    docs::the_way_from_units,
    docs::the_way_from_supervisord,
];

fn follow(machine: &Machine, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{page}: {e}"));
    testbed::docs::follow(machine, page, &text);
}

pub(crate) fn the_readme(machine: &mut Machine) {
    follow(machine, "README.md");
}

pub(crate) fn the_quick_start(machine: &mut Machine) {
    follow(machine, "docs/quick-start.md");
}

pub(crate) fn the_ecosystem_file(machine: &mut Machine) {
    follow(machine, "docs/ecosystem.md");
}

pub(crate) fn the_reload(machine: &mut Machine) {
    follow(machine, "docs/reload.md");
}

pub(crate) fn the_handover(machine: &mut Machine) {
    follow(machine, "docs/handover.md");
}

pub(crate) fn the_security_model(machine: &mut Machine) {
    follow(machine, "docs/security.md");
}

pub(crate) fn the_troubleshooting(machine: &mut Machine) {
    follow(machine, "docs/troubleshooting.md");
}

pub(crate) fn the_way_from_pm2(machine: &mut Machine) {
    follow(machine, "docs/from-pm2.md");
}

pub(crate) fn the_way_from_units(machine: &mut Machine) {
    follow(machine, "docs/from-units.md");
}

pub(crate) fn the_way_from_supervisord(machine: &mut Machine) {
    follow(machine, "docs/from-supervisord.md");
}
