//! Changes of an installed file that the pinned units do not have. `systemctl reload` replaces the instances and leaves the
//! units as they are: it runs in the sandbox of the cluster unit, which may write nothing in /etc, and may be allowed to
//! users who may not change an app.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::generate::files;
use crate::generate::sources::{self, Source};
use crate::layout::Layout;
use crate::plan::{self, Host, Origin};
use crate::unit::name::Units;

/// The file of an app, if it was changed after the app's units were written, and other units follow from it.
pub(super) fn file(layout: &Layout, host: Host, app: &str) -> Option<PathBuf> {
    let units = Units::of(app).files();
    let units: Vec<PathBuf> = units.iter().map(|unit| layout.units.join(unit)).collect();
    if !units.iter().any(|unit| files::is_ours(unit)) {
        return None;
    }
    let source = sources::find(layout, app)?;
    let written = units.iter().filter_map(|unit| modified(unit)).max()?;
    // A difference alone may come from a newer version of rsgen.
    let is_newer = sources::parts(layout, &source)
        .iter()
        .filter_map(|part| modified(part))
        .any(|changed| changed > written);
    (is_newer && differs(layout, host, &source)).then_some(source.path)
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|found| found.modified()).ok()
}

/// Whether a reload by rsgen would write other units, or refuse a file that is invalid.
fn differs(layout: &Layout, host: Host, source: &Source) -> bool {
    let Ok((_, app)) = sources::load(layout, source) else {
        return true;
    };
    let Ok(set) = plan::units(&app, Origin::Pinned(&source.path), layout, host) else {
        return true;
    };
    let is_written = |(path, text): (&PathBuf, &String)| {
        files::read(&layout.units.join(path)).ok().as_ref() == Some(text)
    };
    !set.files.iter().all(is_written)
}
