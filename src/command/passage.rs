//! The way of an app that serves to other addresses: the new ones are opened beside the old ones, the instances are replaced by some
//! that have the new ones, and the old ones are closed last.
//!
//! Until that end systemd holds both, so a walk that fails before it has touched an instance leaves everything as it was. A command
//! that was killed is ended by the next one: the files of the units say how far it came.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::accepting;
use super::context::Context;
use super::jobs::Jobs;
use super::locate;
use super::port_owner;
use super::socket_files;
use super::writing::Writing;
use crate::balance::queue::Queues;
use crate::ecosystem::App;
use crate::ecosystem::values::{Handover, Listen, Place};
use crate::generate::files;
use crate::layout::Layout;
use crate::output::{Failure, Notice};
use crate::plan::UnitSet;
use crate::plan::diff::{Change, Content};
use crate::plan::slots::{self, Passage, Slots};
use crate::systemd::{ActiveState, Unit, Verb};
use crate::unit::name::Units;

/// What is done before and after the walk.
#[derive(Debug)]
pub(super) struct Crossing {
    /// The unit that is opened, the lines of its addresses, and its text while it is being opened.
    opens: Option<(String, Vec<String>, String)>,
    /// The unit that is closed, and the lines of its addresses.
    closes: Option<(String, Vec<String>)>,
    /// Whether the listeners are not to block.
    non_blocking: bool,
    /// The changes that are made when it is closed.
    pub(super) last: Vec<Change>,
}

/// The line that each unit has which is passed a listener that is not to block.
const NON_BLOCKING: &str = "\nNonBlocking=yes\n";

/// The way to other addresses, or why the old ones have to be closed first.
type Found = Result<Passage, String>;

/// Whether an app serves. Without a systemd to ask it does not.
pub(super) fn serves(context: &mut Context<'_>, app: &str) -> bool {
    let jobs = context.jobs();
    jobs.and_then(|mut jobs| locate::serves(&mut jobs, app))
        .unwrap_or(false)
}

/// Whether an app is on its way to other addresses: an address is open that the next start of an instance does not have any more.
pub(super) fn is_under_way(layout: &Layout, app: &str) -> bool {
    let units = Units::of(app);
    let Some(Content::File(cluster)) = files::content(&layout.units.join(units.cluster())) else {
        return false;
    };
    let is_left = |socket: &String| {
        let mut words = cluster.split(|c: char| c.is_whitespace() || c == '=');
        layout.units.join(socket).exists() && !words.any(|word| word == socket)
    };
    units.sockets().iter().any(is_left)
}

/// Spreads the addresses of an app over its units: as they are now, or, for an app that serves and gets others, as it has them in
/// the end.
pub(super) fn spread(
    layout: &Layout,
    app: &App,
    set: &mut UnitSet,
    old: &BTreeMap<PathBuf, Content>,
    serves: bool,
) -> (Slots, Option<Found>) {
    let now = Slots::of(&app.name, &layout.units, old);
    let wanted = Slots::wanted(&app.name, set);
    if wanted.is_empty() || now == Slots::default() {
        return (Slots::default(), None);
    }
    if now.are(&wanted) {
        now.spread_beside(&app.name, set);
        return (now, None);
    }
    if !serves {
        return (Slots::default(), None);
    }
    let found = plan(layout, app, &now, &wanted);
    let to = found.as_ref().map(|passage| passage.to.clone());
    let to = to.unwrap_or_default();
    to.spread_beside(&app.name, set);
    (to, Some(found))
}

/// The steps of a passage, of which the last changes are taken out of the others; or why there is none.
pub(super) fn cross(
    layout: &Layout,
    app: &str,
    found: Option<Found>,
    set: &UnitSet,
    changes: &mut Vec<Change>,
) -> (Option<Crossing>, Option<String>) {
    match found {
        None => (None, None),
        Some(Err(why)) => (None, Some(why)),
        Some(Ok(passage)) => {
            changes.extend(links(layout, app, &passage.to));
            let crossing = Crossing::new(layout, app, passage, set, changes);
            (Some(crossing), None)
        }
    }
}

fn plan(layout: &Layout, app: &App, old: &Slots, wanted: &[String]) -> Found {
    let name = &app.name;
    for socket in Units::of(name).sockets() {
        let folders = layout.vendor_units.iter().chain([&layout.units]);
        let drop_ins = folders.map(|folder| folder.join(format!("{socket}.d")));
        if let Some(folder) = drop_ins.into_iter().find(|folder| folder.exists()) {
            return Err(format!(
                "{} would apply to one of two socket units",
                folder.display()
            ));
        }
    }
    let passage = old.passage(name, wanted)?;
    if let Some(listen) = port_owner::had_by_itself(app) {
        return Err(format!(
            "the program has {listen} itself, and gives it up when it is stopped"
        ));
    }
    if app.handover == Handover::Fds && passage.to.units(name).len() > 1 {
        return Err("with `handover = \"fds\"` the program identifies its sockets by their order, which two units do not guarantee".to_owned());
    }
    Ok(passage)
}

impl Crossing {
    /// Takes what is done at the end out of the changes.
    fn new(
        layout: &Layout,
        app: &str,
        passage: Passage,
        set: &UnitSet,
        changes: &mut Vec<Change>,
    ) -> Self {
        let units = Units::of(app);
        let opens = passage.opens.map(|(unit, lines)| {
            let text = set.files.get(std::path::Path::new(&unit));
            let text = text.map(String::as_str).unwrap_or_default();
            let named = |service: String| format!("\nService={service}\n");
            let text = text.replacen(&named(units.cluster()), &named(units.opener()), 1);
            (unit, lines, text)
        });
        let cluster = set.files.get(std::path::Path::new(&units.cluster()));
        let mut last = Vec::new();
        if let Some((unit, _)) = &passage.closes {
            let file = layout.units.join(unit);
            let (closed, rest) = changes.drain(..).partition(|change| change.path == file);
            (last, *changes) = (closed, rest);
        }
        Self {
            opens,
            closes: passage.closes,
            non_blocking: cluster.is_some_and(|text| text.contains(NON_BLOCKING)),
            last,
        }
    }

    /// Says what is done, for a command that does not do it yet.
    pub(super) fn foreseen(&self, app: &str) -> String {
        let mut steps = Vec::new();
        if let Some((unit, lines, _)) = &self.opens {
            steps.push(format!("open {} in {unit}", slots::listed(lines)));
        }
        steps.push("replace the instances".to_owned());
        if let Some((unit, lines)) = &self.closes {
            steps.push(format!("close {} in {unit}", slots::listed(lines)));
        }
        format!("{app}: would {}", steps.join(", then "))
    }

    /// Says what is open after a walk that has replaced some instances and not the others.
    pub(super) fn interrupted(&self) -> Option<String> {
        let (_, lines) = self.closes.as_ref()?;
        let old = slots::listed(lines);
        Some(format!(
            "{old} stays open as well; run the same command again to continue"
        ))
    }
}

/// The changes of the links by which systemd opens the sockets of an app at boot, if it does open them.
fn links(layout: &Layout, app: &str, to: &Slots) -> Vec<Change> {
    let both = Units::of(app).sockets();
    let wanted = to.links(app);
    let links = both.iter().map(|unit| Slots::link(unit));
    let links = links.map(|(link, _)| {
        let path = layout.units.join(&link);
        let new = wanted.get(&link).cloned().map(Content::Link);
        (files::content(&path), path, new)
    });
    let links: Vec<_> = links.collect();
    if links.iter().all(|(old, ..)| old.is_none()) {
        return Vec::new();
    }
    let changes = links.into_iter().filter(|(old, _, new)| old != new);
    changes
        .map(|(old, path, new)| Change { path, old, new })
        .collect()
}

/// Opens the new addresses, or changes nothing.
pub(super) fn open(jobs: &mut Jobs<'_>, app: &str, crossing: &Crossing) -> Result<(), Failure> {
    let Some((unit, lines, text)) = &crossing.opens else {
        return Ok(());
    };
    let path = jobs.layout.runtime_units.join(unit);
    let is_open = jobs.manager.unit(unit)?.active == ActiveState::Active;
    let as_wanted = Some(Content::File(text.clone()));
    if is_open && files::content(&path) == as_wanted {
        return Ok(());
    }
    if is_open {
        jobs.run(Verb::StopAlone, unit)?;
    }
    let (service, of_service) = opener(jobs.layout, app, crossing.non_blocking);
    let write = |path: PathBuf, text| Change {
        old: files::content(&path),
        path,
        new: Some(Content::File(text)),
    };
    let written = [write(path, text.clone()), write(service, of_service)];
    files::apply(&written).map_err(|e| Failure::failed(e.to_string()))?;
    let read = jobs.manager.daemon_reload().map_err(Failure::from);
    if let Err(failure) = read.and_then(|()| jobs.run(Verb::Start, unit)) {
        forget(jobs, app)?;
        jobs.manager.reset_failed(unit)?;
        let way =
            format!("nothing was changed; `--replace-listener` closes {app}'s addresses first");
        return Err(failure.help_also(Some(way)));
    }
    let told = format!("{} is open, in {unit}", slots::listed(lines));
    jobs.sink.notice(&Notice::Noted(app, &told));
    Ok(())
}

/// Closes the new addresses again, since no instance has them.
pub(super) fn abandon(jobs: &mut Jobs<'_>, crossing: &Crossing) -> Result<(), Failure> {
    match &crossing.opens {
        Some((unit, ..)) => jobs.run(Verb::StopAlone, unit),
        None => Ok(()),
    }
}

/// Closes the old addresses, which no instance has any more.
pub(super) fn close(jobs: &mut Jobs<'_>, app: &str, crossing: &Crossing) -> Result<(), Failure> {
    let Some((unit, lines)) = &crossing.closes else {
        return forget(jobs, app);
    };
    let socket = jobs.manager.unit(unit)?;
    let left = waiting(&socket, lines);
    if socket.active == ActiveState::Active {
        jobs.run(Verb::StopAlone, unit)?;
    }
    let writing = Writing::begin(jobs, app)?;
    remove_temporary(jobs.layout, app);
    writing.write(jobs, &crossing.last)?;
    jobs.run(Verb::Stop, &Units::of(app).opener())?;
    socket_files::remove(jobs.layout, &crossing.last);
    let closed = slots::listed(lines);
    let closed = match left {
        0 => format!("{closed} is closed"),
        1 => format!(
            "{closed} is closed, and with it 1 connection that came after the last instance had left it"
        ),
        many => format!(
            "{closed} is closed, and with it {many} connections that came after the last instance had left it"
        ),
    };
    jobs.sink.notice(&Notice::Noted(app, &closed));
    Ok(())
}

/// The number of connections that wait at these addresses of a socket unit. Where the kernel does not tell, none is known.
fn waiting(socket: &Unit, lines: &[String]) -> usize {
    let listen = lines
        .iter()
        .filter_map(|line| slots::address(line).parse::<Listen>().ok());
    let ports = listen.filter_map(|listen| match listen.place {
        Place::Port(port) => Some(port),
        Place::Address(address) => Some(address.port()),
        Place::Path(_) => None,
    });
    let queues = Queues::at(&ports.collect()).unwrap_or_default();
    accepting::id(&socket.control_group).map_or(0, |group| queues.waiting(group))
}

/// Removes what a command has left that was killed after it had opened an address.
pub(super) fn tidy(jobs: &mut Jobs<'_>, app: &str) -> Result<(), Failure> {
    let mut is_any = false;
    for unit in Units::of(app).sockets() {
        let is_temporary = jobs.layout.runtime_units.join(&unit).exists();
        is_any |= is_temporary;
        if is_temporary && !jobs.layout.units.join(&unit).exists() {
            jobs.run(Verb::StopAlone, &unit)?;
        }
    }
    if is_any { forget(jobs, app) } else { Ok(()) }
}

/// Removes the files with which a unit was opened.
pub(super) fn forget(jobs: &mut Jobs<'_>, app: &str) -> Result<(), Failure> {
    remove_temporary(jobs.layout, app);
    jobs.manager.daemon_reload()?;
    jobs.run(Verb::Stop, &Units::of(app).opener())
}

fn remove_temporary(layout: &Layout, app: &str) {
    let units = Units::of(app);
    for unit in units.sockets().into_iter().chain([units.opener()]) {
        // What is left is gone after the next boot.
        let _ = std::fs::remove_file(layout.runtime_units.join(unit));
    }
}

/// The service that a socket names while it is being opened. A connection that arrives before the instances have the socket starts
/// it, and systemd leaves the socket alone for as long as it is active.
fn opener(layout: &Layout, app: &str, non_blocking: bool) -> (PathBuf, String) {
    let units = Units::of(app);
    let cluster = units.cluster();
    let flag = if non_blocking { NON_BLOCKING } else { "\n" };
    let text = format!(
        "# Written by rsgen for {app}, which is being moved to another address.\n[Unit]\nDescription={app}, opening an address\n\
         Wants={cluster}\n\n[Service]\nType=oneshot\nRemainAfterExit=yes{flag}ExecStart={} --version\nStandardOutput=null\n",
        layout.command.display()
    );
    (layout.runtime_units.join(units.opener()), text)
}
