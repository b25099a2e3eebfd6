//! Finds changes of an installed file that the pinned units do not contain. `systemctl reload` replaces the instances
//! and leaves the units as they are: it runs in the sandbox of the cluster unit, which may not write to /etc, and users
//! who may not change an app may be allowed to run it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::generate::files;
use crate::generate::sources::{self, Source};
use crate::layout::Layout;
use crate::plan::slots::Slots;
use crate::plan::{self, Host, Origin};
use crate::unit::name::Units;

/// Returns the file of an app, if it was changed after the app's units were written and the units that follow from it
/// differ.
pub(super) fn file(layout: &Layout, host: Host, app: &str) -> Option<PathBuf> {
    let units = Units::of(app).files();
    let units: Vec<PathBuf> = units.iter().map(|unit| layout.units.join(unit)).collect();
    if !units.iter().any(|unit| files::is_ours(unit)) {
        return None;
    }
    let source = sources::find(layout, app)?;
    let written = units.iter().filter_map(|unit| modified(unit)).max()?;
    // A difference without a newer file may come from an upgrade of rsgen.
    let is_newer = sources::parts(layout, &source)
        .iter()
        .filter_map(|part| modified(part))
        .any(|changed| changed > written);
    (is_newer && differs(layout, host, &source)).then_some(source.path)
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|found| found.modified()).ok()
}

/// Returns whether a reload by rsgen would write different units or refuse the file as invalid.
fn differs(layout: &Layout, host: Host, source: &Source) -> bool {
    let Ok((_, app)) = sources::load(layout, source) else {
        return true;
    };
    let Ok(mut set) = plan::units(&app, Origin::Pinned(&source.path), layout, host) else {
        return true;
    };
    let slots = Slots::of(
        &app.name,
        &layout.units,
        &files::installed(layout, &app.name),
    );
    if slots.are(&Slots::wanted(&app.name, &set)) {
        slots.spread_beside(&app.name, &mut set);
    }
    let is_written = |(path, text): (&PathBuf, &String)| {
        files::read(&layout.units.join(path)).ok().as_ref() == Some(text)
    };
    !set.files.iter().all(is_written)
}
