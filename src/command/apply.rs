//! The files of apps on the host: works out what installing an app would change, and makes the change.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::passage::{self, Crossing};
use super::selection::Selected;
use super::{balance, limits, resize, writing};
use crate::ecosystem::App;
use crate::ecosystem::values::Place;
use crate::generate::sources::{self, Source};
use crate::generate::{self, files};
use crate::layout::Layout;
use crate::output::{Failure, Notice, Sink};
use crate::plan::diff::{self, Change, Content};
use crate::plan::slots::Slots;
use crate::plan::{self, Host, Origin};
use crate::unit::name::Units;

/// An app, with the changes of its files that have not been made yet.
pub(super) struct Prepared {
    /// The name of the app.
    pub(super) app: String,
    /// The addresses, where they were found after a start with the declared ones.
    pub(super) found: Vec<String>,
    pub(super) changes: Vec<Change>,
    /// The addresses of the app before and after the change, if they differ: a socket cannot change its address while
    /// it listens.
    pub(super) readdressed: Option<Move>,
    /// How the app gets to other addresses beside its present ones.
    pub(super) crossing: Option<Crossing>,
    /// The units that have the addresses.
    pub(super) slots: Slots,
    /// The apps that are removed just before this one is started, because it needs their addresses.
    pub(super) replaces: Vec<String>,
    /// What to do with the timer once the files are written.
    pub(super) timer: Timer,
    /// The socket files of the app. systemd creates such a file only when it starts the socket unit.
    pub(super) socket_files: Vec<PathBuf>,
    /// The CPUs of the host, which `max` instances depend on; `None` for an app that goes.
    pub(super) cpus: Option<u32>,
    /// Whether the app is a job.
    pub(super) is_job: bool,
    /// Whether the app becomes a job, or was one and becomes a long-running app.
    pub(super) is_of_another_kind: bool,
}

/// What a deployment does with the timer of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The app neither has nor had a timer.
    None,
    /// The timer has to run, and is started if it does not.
    Runs,
    /// The timer is new, or its file has changed.
    Restart,
    /// The app no longer has a timer.
    Stop,
}

/// The addresses of an app, separated by commas; empty for a program that listens nowhere.
pub(super) struct Move {
    pub(super) from: String,
    pub(super) to: String,
    /// Why the new addresses are not opened beside the old ones.
    pub(super) why: Option<String>,
}

impl Move {
    /// Describes what moving the app interrupts.
    pub(super) fn cost(&self, app: &str) -> String {
        let Self { from, to, .. } = self;
        match (from.as_str(), to.as_str()) {
            ("", to) => {
                format!("`{app}` does not listen; moving it to {to} stops all its instances first")
            }
            (from, "") => {
                format!("`{app}` listens on {from}; `listen = []` closes {from} first")
            }
            (from, to) if from == to => {
                format!("`{app}` listens on {from}; another `balance` closes {from} first")
            }
            (from, to) => {
                format!("`{app}` listens on {from}; moving it to {to} closes {from} first")
            }
        }
    }

    /// Says why a reload cannot move the app.
    pub(super) fn refusal(&self, app: &str) -> String {
        let Self { from, to, .. } = self;
        match (from.as_str(), to.as_str()) {
            ("", to) => format!("`{app}` does not listen; a reload cannot move it to {to}"),
            (from, "") => format!("`{app}` listens on {from}; a reload cannot close {from}"),
            (from, to) if from == to => {
                format!("`{app}` listens on {from}; a reload cannot change its `balance`")
            }
            (from, to) => format!("`{app}` listens on {from}; a reload cannot move it to {to}"),
        }
    }
}

impl Prepared {
    /// The changes, those at the end of a passage to other addresses included.
    pub(super) fn all_changes(&self) -> impl Iterator<Item = &Change> {
        let last = self.crossing.iter().flat_map(|crossing| &crossing.last);
        self.changes.iter().chain(last)
    }

    /// Returns an app whose files stay as they are.
    pub(super) fn unchanged(app: &str, is_job: bool) -> Self {
        Self {
            app: app.to_owned(),
            found: Vec::new(),
            changes: Vec::new(),
            readdressed: None,
            crossing: None,
            replaces: Vec::new(),
            timer: Timer::None,
            cpus: None,
            is_job,
            is_of_another_kind: false,
            socket_files: Vec::new(),
            slots: Slots::default(),
        }
    }
}

/// A change as scripts read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct JsonChange {
    action: Cow<'static, str>,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

impl JsonChange {
    pub(super) fn new(change: &Change, diff: bool) -> Self {
        Self {
            action: change.verb().into(),
            path: change.path.display().to_string(),
            diff: diff.then(|| change.unified()),
        }
    }

    pub(super) fn each(changes: &[Change], diff: bool) -> Vec<Self> {
        let changes = changes.iter();
        changes.map(|change| Self::new(change, diff)).collect()
    }
}

/// Returns the changes that installing an app makes, which may serve.
pub(super) fn prepare(
    layout: &Layout,
    host: Host,
    selected: Selected,
    serves: bool,
) -> Result<Prepared, Failure> {
    let Selected {
        app,
        pinned,
        installed,
    } = selected;
    let path = layout.file(&app.name);
    if files::content(&path) != installed {
        return Err(writing::changed(&path));
    }
    let source = Source {
        app: app.name,
        path,
    };
    // A reload and the next boot read the file together with its drop-ins, so the first install has to do the same to
    // write the same units.
    let scaled = resize::own_drop_in(layout, &source.app);
    let read = match &scaled {
        Some(path) => sources::with_drop_in(layout, &source, pinned.clone(), (path, "")),
        None => sources::with_drop_ins(layout, &source, pinned.clone()),
    };
    let (_, app, _) = read.map_err(Failure::invalid)?;
    let source = source.path;
    if let Some(limit) = limits::of(layout, &app).into_iter().next() {
        return Err(Failure::failed(limit.message).help(limit.help));
    }
    if let Some(fault) = balance::fault(layout, &app) {
        return Err(Failure::failed(fault.message).help(fault.help));
    }
    let mut enabled = plan::enable_links(&app, layout.scope);
    let mut prepared = prepare_units(layout, host, app, &source, serves)?;
    if !prepared.slots.second.is_empty() {
        enabled.retain(|link, _| link.extension() != Some("socket".as_ref()));
        enabled.extend(prepared.slots.links(&prepared.app));
    }
    let mut links: BTreeSet<PathBuf> = enabled.keys().cloned().collect();
    links.extend(files::enablement(layout, &prepared.app));
    for link in links {
        let new = enabled.get(&link).cloned().map(Content::Link);
        let path = layout.units.join(link);
        let old = files::content(&path);
        if old != new && !diff::touches(&prepared.changes, &path) {
            prepared.changes.push(Change { path, old, new });
        }
    }
    let (old, new) = (installed, Some(Content::File(pinned)));
    if old != new {
        prepared.changes.insert(
            0,
            Change {
                path: source,
                old,
                new,
            },
        );
    }
    prepared.changes.extend(scaled.map(|path| Change {
        old: files::content(&path),
        path,
        new: None,
    }));
    Ok(prepared)
}

/// Returns the changes to the pinned units of an app. The app stays enabled or disabled as it is, except that a new
/// timer is enabled and a removed one is disabled.
pub(super) fn prepare_units(
    layout: &Layout,
    host: Host,
    app: App,
    source: &std::path::Path,
    serves: bool,
) -> Result<Prepared, Failure> {
    if let Some(foreign) = generate::foreign_unit(layout, &app) {
        return Err(Failure::failed(format!(
            "`{}` cannot be installed: {} exists and was not written by rsgen",
            app.name,
            foreign.display()
        ))
        .help("choose another `name`"));
    }
    let mut set = plan::units(&app, Origin::Pinned(source), layout, host)
        .map_err(|e| Failure::failed(e.to_string()))?;
    let mut old = files::installed(layout, &app.name);
    let (slots, passage) = passage::spread(layout, &app, &mut set, &old, serves);
    let under = |path: PathBuf| layout.units.join(path);
    let files = set.files.clone().into_iter();
    let files = files.map(|(p, t)| (under(p), Content::File(t)));
    let links = set.links.clone().into_iter();
    let links = links.map(|(p, t)| (under(p), Content::Link(t)));
    let new: BTreeMap<PathBuf, Content> = files.chain(links).collect();
    for link in files::enablement(layout, &app.name) {
        old.remove(&layout.units.join(link));
    }
    let mut changes = diff::changes(&old, &new);
    let timer = timer(layout, &app.name, &changes, &new);
    let link = plan::timer_link(&app.name);
    let (link, target) = (layout.units.join(link.0), Content::Link(link.1));
    let change = |new| Change {
        old: files::content(&link),
        path: link.clone(),
        new,
    };
    match timer {
        Timer::Stop => changes.push(change(None)),
        Timer::Restart if !old.contains_key(&timer_file(layout, &app.name)) => {
            changes.push(change(Some(target)));
        }
        _ => {}
    }
    changes.retain(|change| change.old != change.new);
    let (crossing, why) = passage::cross(layout, &app.name, passage, &set, &mut changes);
    let before = old.get(&layout.units.join(Units::of(&app.name).cluster()));
    let was_job = match before {
        Some(Content::File(cluster)) => generate::is_job(cluster),
        _ => app.is_job(),
    };
    Ok(Prepared {
        readdressed: readdressed(layout, &app, &old, &new)
            .filter(|_| crossing.is_none())
            .map(|moved| Move { why, ..moved }),
        crossing,
        replaces: Vec::new(),
        slots,
        found: Vec::new(),
        changes,
        socket_files: socket_files(&app),
        timer,
        cpus: Some(host.cpus),
        is_job: app.is_job(),
        is_of_another_kind: was_job != app.is_job(),
        app: app.name,
    })
}

fn timer_file(layout: &Layout, app: &str) -> PathBuf {
    layout.units.join(Units::of(app).timer())
}

fn timer(
    layout: &Layout,
    app: &str,
    changes: &[Change],
    new: &BTreeMap<PathBuf, Content>,
) -> Timer {
    let path = timer_file(layout, app);
    match (new.contains_key(&path), diff::touches(changes, &path)) {
        (true, true) => Timer::Restart,
        (true, false) => Timer::Runs,
        (false, true) => Timer::Stop,
        (false, false) => Timer::None,
    }
}

/// Returns whether the changes concern only the schedule of an app or the paths that are watched, or its file if that changes no unit, as
/// a comment does, so that the instances can stay as they are. What an instance runs is in its units, unless the generator makes these.
pub(super) fn leaves_instances(layout: &Layout, app: &str, changes: &[Change]) -> bool {
    let units = Units::of(app);
    let mut beside = units.beside();
    beside.push(units.timer());
    let is_beside = |change: &Change| beside.iter().any(|unit| change.path.ends_with(unit));
    let file = layout.file(app);
    let is_pinned = generate::pinned(layout, app).is_some();
    (is_pinned || changes.iter().any(is_beside))
        && changes.iter().all(|c| is_beside(c) || c.path == file)
}

fn socket_files(app: &App) -> Vec<PathBuf> {
    let paths = app.listen.iter().filter_map(|listen| match &listen.place {
        Place::Path(path) => Some(PathBuf::from(path)),
        Place::Port(_) | Place::Address(_) => None,
    });
    paths.collect()
}

fn readdressed(
    layout: &Layout,
    app: &App,
    before: &BTreeMap<PathBuf, Content>,
    after: &BTreeMap<PathBuf, Content>,
) -> Option<Move> {
    let units = Units::of(&app.name);
    let sockets = units.sockets();
    let own = layout.units.join(units.listener_template());
    let mut paths: Vec<PathBuf> = sockets.iter().map(|s| layout.units.join(s)).collect();
    paths.push(own.clone());
    let (old, new) = (addresses(&paths, before), addresses(&paths, after));
    // A shared listener and others cannot be at one address, except after each other.
    let is_rebalanced = before.contains_key(&own) != after.contains_key(&own);
    let had_sockets = match before.get(&layout.units.join(units.cluster())) {
        Some(Content::File(cluster)) => sockets.iter().any(|s| cluster.contains(s.as_str())),
        // The first install of an app moves nothing.
        _ => return None,
    };
    // A socket unit that somebody has removed is only written again.
    if (old == new && !is_rebalanced) || (old.is_empty() && had_sockets) {
        return None;
    }
    let show = |lines: &[&str]| {
        let addresses = lines.iter().filter_map(|l| l.split_once('='));
        addresses.map(|(_, a)| a).collect::<Vec<_>>().join(", ")
    };
    Some(Move {
        from: show(&old),
        to: show(&new),
        why: None,
    })
}

/// Returns the listening addresses in the files of these socket units.
fn addresses<'a>(sockets: &[PathBuf], units: &'a BTreeMap<PathBuf, Content>) -> Vec<&'a str> {
    let texts = sockets.iter().filter_map(|path| match units.get(path) {
        Some(Content::File(text)) => Some(text),
        _ => None,
    });
    texts.flat_map(|text| diff::addresses(text)).collect()
}

/// Reports the changes: a line for each file, or its diff with `diff`.
pub(super) fn show(sink: &dyn Sink, prepared: &[Prepared], diff: bool) {
    for change in prepared.iter().flat_map(Prepared::all_changes) {
        sink.notice(&if diff {
            Notice::Diff(change)
        } else {
            Notice::Changed(change)
        });
    }
}
