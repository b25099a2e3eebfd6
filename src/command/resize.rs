//! The files that decide how many instances an app has, and their change to another number. Nothing else in them changes: an
//! edit of the app's file that has not been applied, or a newer version of rsgen, waits for the next reload.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::contract::Instances;
use crate::ecosystem::{By, Chosen};
use crate::generate::sources::Source;
use crate::generate::{self, files, sources};
use crate::layout::Layout;
use crate::output::{Exit, Failure};
use crate::plan;
use crate::plan::diff::{Change, Content};
use crate::unit::name::Units;

/// The name of the drop-in for an app whose file `rsgen install` did not write.
const DROP_IN: &str = "99-scale.toml";

/// The changes of the files that bring an app to another number of instances.
pub(super) fn resize(
    layout: &Layout,
    cpus: u32,
    app: &str,
    to: Instances,
) -> Result<Vec<Change>, Failure> {
    refuse_of_package(layout, app)?;
    let source = sources::find(layout, app).ok_or_else(|| no_file(layout, app))?;
    let cluster = layout.units.join(Units::of(app).cluster());
    let pinned = files::ours(&cluster);
    let mut changes = vec![number(layout, &source, to, pinned.is_some())?];
    if let Some(text) = pinned {
        let recycler = layout.units.join(Units::of(app).recycler());
        let recycler = files::ours(&recycler).map(|text| (recycler, text));
        for (path, text) in [Some((cluster, text)), recycler].into_iter().flatten() {
            let new = Content::File(with_instances(&text, to));
            changes.push(Change {
                path,
                old: Some(Content::File(text)),
                new: Some(new),
            });
        }
        changes.extend(links(layout, app, to.resolve(cpus)));
    }
    changes.retain(|change| change.old != change.new);
    Ok(changes)
}

/// The change of the file or of the drop-in that says the number.
fn number(
    layout: &Layout,
    source: &Source,
    to: Instances,
    is_pinned: bool,
) -> Result<Change, Failure> {
    let text = files::read(&source.path)
        .map_err(|e| Failure::failed(format!("{}: {e}", source.path.display())))?;
    let (_, app, _) = sources::read(layout, source).map_err(Failure::invalid)?;
    let before = Chosen::of_installed(&text).or_else(|| of_drop_in(layout, &source.app));
    let chosen = Chosen {
        by: By::Scale,
        instances: to,
        in_place_of: before.map_or(app.instances, |before| before.in_place_of),
    };
    let is_installed = is_pinned && source.path == layout.file(&source.app);
    let installed = is_installed.then(|| chosen.within(&text)).flatten();
    let (path, new, read) = if let Some(new) = installed {
        let read = sources::with_drop_ins(layout, source, new.clone());
        (source.path.clone(), Some(new), read)
    } else {
        // A file that `rsgen install` did not write is left alone.
        let path = drop_in(layout, &source.app);
        let new = (to != chosen.in_place_of).then(|| chosen.drop_in());
        let overlay = (path.as_path(), new.as_deref().unwrap_or_default());
        let read = sources::with_drop_in(layout, source, text, overlay);
        (path, new, read)
    };
    let (_, app, _) = read.map_err(Failure::invalid)?;
    if app.instances != to {
        return Err(decided(layout, source));
    }
    Ok(Change {
        old: files::content(&path),
        new: new.map(Content::File),
        path,
    })
}

fn drop_in(layout: &Layout, app: &str) -> PathBuf {
    layout.file(app).with_extension("toml.d").join(DROP_IN)
}

/// Returns the choice in the drop-in of an app, if `rsgen scale` wrote the drop-in.
pub(super) fn of_drop_in(layout: &Layout, app: &str) -> Option<Chosen> {
    let text = files::read(&drop_in(layout, app)).ok()?;
    Chosen::of_installed(&format!("[[apps]]\n{text}"))
}

/// Returns the drop-in of an app, if `rsgen scale` wrote the drop-in. An install moves its number into the installed file.
pub(super) fn own_drop_in(layout: &Layout, app: &str) -> Option<PathBuf> {
    of_drop_in(layout, app).map(|_| drop_in(layout, app))
}

/// Returns the text of a cluster unit with another number of instances.
fn with_instances(unit: &str, to: Instances) -> String {
    const FLAG: &str = "--instances=";
    const KEY: &str = "Instances=";
    let word = |word: &str| {
        if word.starts_with(FLAG) {
            format!("{FLAG}{to}")
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| match line {
        _ if line.starts_with(KEY) => format!("{KEY}{to}"),
        _ if line.starts_with("Exec") => line.split(' ').map(word).collect::<Vec<_>>().join(" "),
        _ => line.to_owned(),
    };
    unit.lines().map(|text| line(text) + "\n").collect()
}

/// The changes of the links by which the cluster unit wants its instances.
fn links(layout: &Layout, app: &str, to: u32) -> Vec<Change> {
    let units = Units::of(app);
    let folder = layout.units.join(plan::wants_dir(app));
    let installed = files::installed(layout, app);
    let present = installed.keys().filter(|path| path.starts_with(&folder));
    let number = |path: &PathBuf| units.number(path.file_name()?.to_str()?);
    let mut numbers: BTreeSet<u32> = present.filter_map(number).collect();
    numbers.extend(0..to);
    let changes = numbers.into_iter().map(|number| {
        let (path, target) = plan::instance_link(app, number);
        let path = layout.units.join(path);
        Change {
            old: installed.get(&path).cloned(),
            new: (number < to).then_some(Content::Link(target)),
            path,
        }
    });
    changes.collect()
}

fn no_file(layout: &Layout, app: &str) -> Failure {
    let file = layout.file(app);
    let message = format!(
        "`{app}` has no ecosystem file, such as {}, in which to set the number",
        file.display()
    );
    Failure::failed(message).help("install it again with `rsgen install`")
}

/// Refuses an app whose units a package has brought, and not a file.
pub(super) fn refuse_of_package(layout: &Layout, app: &str) -> Result<(), Failure> {
    let units = Units::of(app);
    let is_own = files::is_ours(&layout.units.join(units.cluster()));
    if is_own || generate::pinned(layout, app).is_none() {
        return Ok(());
    }
    let message =
        format!("the units of `{app}` belong to a package, and only the package changes them");
    Err(Failure::failed(message).help(format!(
        "`systemctl edit {}` adds to them, and `systemctl cat {}` shows where they are",
        units.template(),
        units.cluster()
    )))
}

/// The refusal to write a number that a drop-in overrides.
fn decided(layout: &Layout, source: &Source) -> Failure {
    let parts = sources::parts(layout, source);
    let says = |path: &&PathBuf| {
        let is_drop_in = path.extension().is_some_and(|e| e == "toml") && **path != source.path;
        is_drop_in && files::read(path).is_ok_and(|text| text.contains("instances"))
    };
    let folder = drop_in(layout, &source.app);
    let folder = folder.parent().unwrap_or(Path::new("/etc/rsgen"));
    let place = parts.iter().rfind(says).map_or(folder, PathBuf::as_path);
    let place = place.display();
    let app = &source.app;
    Failure::new(
        Exit::Failed,
        format!("the number of instances of `{app}` is set in {place}"),
    )
    .help(format!(
        "change `instances` there, and run `rsgen reload {app}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_of_a_unit_changes() {
        let unit = "# Written by rsgen for web\n[Service]\n\
            ExecStart=/usr/bin/rsgen unit start web --instances=max --step-timeout=1s\n\
            ExecReload=/usr/bin/rsgen unit reload web --instances=max --surge=1\n\
            ExecStop=/usr/bin/rsgen unit stop web\n\n[X-rsgen]\nApp=web\nInstances=max\n";
        let eight = with_instances(unit, Instances::Exactly(8));
        assert_eq!(eight, unit.replace("stances=max", "stances=8"));
        assert_eq!(with_instances(&eight, Instances::Max), unit);
    }

    #[test]
    fn a_word_that_is_in_no_command_stays() {
        let unit = "[Unit]\nDescription=made by x --instances=2\n\n[Service]\nExecStart=/x start web --instances=2\n";
        let expected = unit.replace("web --instances=2", "web --instances=4");
        assert_eq!(with_instances(unit, Instances::Exactly(4)), expected);
    }
}
