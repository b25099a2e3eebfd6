//! Looks at several apps at once.

use std::path::Path;

use super::accepting::Looks;
use super::connections;
use super::controllers;
use super::overview::Overview;
use super::status::{AppStatus, is_balanced};
use crate::ecosystem::App;
use crate::generate::{self, sources};
use crate::layout::Layout;
use crate::output::Failure;
use crate::systemd::Manager;

/// The states of these apps, in their order.
///
/// # Errors
/// When systemd cannot be asked.
pub(super) fn states(
    manager: &mut dyn Manager,
    layout: &Layout,
    cpus: u32,
    apps: &[String],
) -> Result<Vec<AppStatus>, Failure> {
    let file = |app: &String| {
        let source = sources::find(layout, app)?;
        sources::load(layout, &source).ok().map(|(_, app)| app)
    };
    let files: Vec<Option<App>> = apps.iter().map(file).collect();
    let has_listeners = |file: &Option<App>| file.as_ref().is_some_and(is_balanced);
    let looked_at = apps.iter().zip(&files);
    let looked_at: Vec<_> = looked_at
        .map(|(app, file)| (app.as_str(), has_listeners(file)))
        .collect();
    let mut overview = Overview::read(manager, &looked_at)?;
    overview.measure(manager)?;
    // One pause, however many apps have something waiting.
    let looks = Looks::at(manager, &files);
    let mut found = Vec::new();
    for (app, file) in apps.iter().zip(&files) {
        let size = generate::pinned(layout, app).or(file.as_ref().map(|app| app.instances));
        let wanted = size.map(|size| size.resolve(cpus));
        let state = layout.state(app);
        let mut status = AppStatus::of(
            manager,
            (&overview, &looks),
            app,
            file.as_ref(),
            (wanted, Some(&state)),
        )?;
        if let Some(file) = file {
            status.without_effect =
                controllers::unlimited(Path::new(controllers::TREE), file, layout.scope);
        }
        found.push(status);
    }
    connections::count(&mut found, &files, &overview);
    Ok(found)
}
