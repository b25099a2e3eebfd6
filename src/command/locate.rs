//! Finds the addresses of apps whose file has no `listen`: those of the installed app or, failing that, those that a
//! rehearsal finds.

use std::path::Path;

use super::context::Context;
use super::findings::Findings;
use super::host_probe::HostProbe;
use super::jobs::Jobs;
use super::rehearse;
use super::selection::{self, Selected};
use crate::brake::Deaths;
use crate::contract::{BINDS, FURTHER, REFUSED};
use crate::ecosystem::resolve::Probe;
use crate::ecosystem::values::{Listen, Place};
use crate::ecosystem::{self, App, pin, reach};
use crate::generate::files;
use crate::generate::sources::{self, Source};
use crate::layout::{Layout, Scope};
use crate::output::{Exit, Failure, Notice, Sink};
use crate::state::{Entry, Name};
use crate::systemd::Brief;
use crate::unit::name::Units;

/// What became of the apps that are not located.
#[derive(Default)]
pub(super) struct Missed {
    /// Why apps cannot be installed, which does not keep the others from it.
    pub(super) failures: Vec<Failure>,
    /// The apps of a dry run whose program has to be started to see where it listens.
    pub(super) later: Vec<String>,
}

/// How the addresses of an app are known.
enum Known {
    /// They are those of the file.
    Given,
    /// They are those of the installed app.
    Installed(Vec<Listen>),
    /// A rehearsal finds them.
    No,
}

/// Finds the addresses, and writes them into what is going to be installed. The apps that have none in the end are taken out of
/// what was selected. If a `move` is requested, a port alone of the file is not what an earlier rehearsal found for it.
///
/// # Errors
/// When no program can be started at all.
pub(super) fn locate(
    context: &mut Context<'_>,
    selected: &mut Vec<Selected>,
    dry_run: bool,
    moves: bool,
) -> Result<Missed, Failure> {
    let known = |one: &Selected| known(&context.layout, &one.app, &one.pinned, moves);
    let known: Vec<Known> = selected.iter().map(known).collect();
    let mut missed = Missed::default();
    let is_unknown = |known: &Known| matches!(known, Known::No);
    let mut found = if dry_run || !known.iter().any(is_unknown) {
        Vec::new().into_iter()
    } else {
        let unknown = selected.iter().zip(&known).filter(|(_, k)| is_unknown(k));
        let unknown: Vec<&App> = unknown.map(|(one, _)| &one.app).collect();
        rehearse_all(context, &unknown)?.into_iter()
    };
    let mut located: Vec<Selected> = Vec::new();
    for (mut one, known) in std::mem::take(selected).into_iter().zip(known) {
        let listen = match known {
            Known::Given => None,
            Known::Installed(listen) => Some(Ok(listen)),
            Known::No if dry_run => {
                missed.later.push(one.app.name);
                continue;
            }
            Known::No => found.next(),
        };
        let end = match listen {
            None => Ok(()),
            Some(Err(failure)) => Err(failure),
            Some(Ok(listen)) => {
                adopt(&mut one, listen).and_then(|()| refuse_taken(context, &one.app, &located))
            }
        };
        match end {
            Ok(()) => located.push(one),
            Err(failure) => missed.failures.push(failure),
        }
    }
    *selected = located;
    Ok(missed)
}

fn known(layout: &Layout, app: &App, pinned: &str, moves: bool) -> Known {
    if is_given_by_drop_in(layout, app, pinned) {
        return Known::Given;
    }
    if app.is_listen_given {
        return refined(layout, app, moves).map_or(Known::Given, Known::Installed);
    }
    installed(layout, app).map_or(Known::No, Known::Installed)
}

/// Corrects addresses after a start in which a program bound a declared port, but at an address that the port alone did
/// not include: rehearses the program and writes the address into the text that is going to be installed. Returns the
/// indices of the apps that were corrected, and of those that could not be, with the failure.
pub(super) fn locate_again(
    context: &mut Context<'_>,
    selected: &mut [Selected],
) -> Vec<(usize, Result<(), Failure>)> {
    let ends = selected.iter_mut().enumerate().map(|(index, selected)| {
        let end = correct(context, selected).transpose()?;
        Some((index, end))
    });
    ends.flatten().collect()
}

/// Corrects the address of an app; `None` if there is nothing to correct.
fn correct(context: &mut Context<'_>, selected: &mut Selected) -> Result<Option<()>, Failure> {
    let refused = refused(&context.layout, context.host.cpus, &selected.app);
    let Some(line) = refused else {
        return Ok(None);
    };
    let app = &selected.app.name;
    if serves(&mut context.jobs()?, app)? {
        return Ok(None);
    }
    context.sink.notice(&Notice::Noted(app, &line));
    let found = found(context, &selected.app)?;
    let given = &selected.app.listen;
    let listen: Vec<Listen> = given.iter().flat_map(|g| refine(g, &found)).collect();
    for further in found.iter().filter(|f| !listen.contains(f)) {
        let note = format!("{further}{FURTHER}");
        context
            .sink
            .notice(&Notice::Noted(&selected.app.name, &note));
    }
    if listen == *given {
        return Ok(None);
    }
    adopt(selected, listen)?;
    refuse_taken(context, &selected.app, &[])?;
    Ok(Some(()))
}

/// Writes addresses into the text that is going to be installed.
fn adopt(selected: &mut Selected, listen: Vec<Listen>) -> Result<(), Failure> {
    selected.pinned = pin::with_listen(&selected.pinned, &listen)
        .map_err(|e| Failure::new(Exit::Invalid, e.message).help(e.help))?;
    selected.app.listen = listen;
    Ok(())
}

fn port_alone(listen: &Listen) -> Option<u16> {
    match listen.place {
        Place::Port(port) => Some(port),
        Place::Address(_) | Place::Path(_) => None,
    }
}

pub(super) fn has_port_alone(app: &App) -> bool {
    app.listen.iter().any(|l| port_alone(l).is_some())
}

/// Replaces a port without an address by the addresses that the program binds for it; any other address stays as it is.
fn refine(given: &Listen, found: &[Listen]) -> Vec<Listen> {
    let is_it = |l: &&Listen| {
        let port = match l.place {
            Place::Address(address) => Some(address.port()),
            Place::Port(_) | Place::Path(_) => None,
        };
        port.is_some() && port == port_alone(given) && l.kind == given.kind
    };
    let refined: Vec<Listen> = found.iter().filter(is_it).cloned().collect();
    if refined.is_empty() {
        vec![given.clone()]
    } else {
        refined
    }
}

/// The addresses that were found for the ports of a file when it was installed before. A user who removes the comment on that
/// of the installed file does not ask for another address by it.
fn refined(layout: &Layout, app: &App, moves: bool) -> Option<Vec<Listen>> {
    let source = sources::find(layout, &app.name).filter(|_| has_port_alone(app))?;
    let text = files::read(&source.path)
        .ok()
        .filter(|text| !moves || pin::is_found(text))?;
    let (mut apps, report) = ecosystem::parse("", &text);
    let old = apps.pop().filter(|_| !report.has_errors())?;
    let listen: Vec<Listen> = app
        .listen
        .iter()
        .flat_map(|g| refine(g, &old.listen))
        .collect();
    // An address that is left out now, or added, is a change.
    (listen == old.listen && listen != app.listen).then_some(old.listen)
}

/// The line about the address that the program of an app binds in place of the declared one, if the last start of an instance
/// was refused for that and the file leaves the address open.
pub(super) fn refused(layout: &Layout, cpus: u32, app: &App) -> Option<String> {
    if !has_port_alone(app) {
        return None;
    }
    let mut numbers = 0..app.instances.resolve(cpus);
    numbers.find_map(|number| refusal(layout, &app.name, number))
}

/// The line about the address that one instance of an app was refused for.
pub(super) fn refusal(layout: &Layout, app: &str, number: u32) -> Option<String> {
    let deaths = Deaths::load(&Entry::new(&layout.state(app), Name::Deaths(number)))?;
    let line = deaths.reason.strip_prefix(REFUSED)?;
    // A rehearsal finds no address if the listener could not be opened, nor for a program that has gone to the background, listens on
    // another port, or listens nowhere.
    let line = line.split(';').next().filter(|l| l.starts_with(BINDS))?;
    // What to write follows, which is found out.
    Some(line.to_owned())
}

/// Returns whether any instance of an app serves.
pub(super) fn serves(jobs: &mut Jobs<'_>, app: &str) -> Result<bool, Failure> {
    let instances = jobs.manager.units(&Units::of(app).instances())?;
    Ok(instances.iter().any(Brief::is_ready))
}

/// Returns whether a drop-in of the app sets the addresses.
fn is_given_by_drop_in(layout: &Layout, app: &App, pinned: &str) -> bool {
    let source = Source {
        app: app.name.clone(),
        path: layout.file(&app.name),
    };
    let whole = sources::with_drop_ins(layout, &source, pinned.to_owned());
    whole.is_ok_and(|(_, whole, _)| {
        whole.is_listen_given != app.is_listen_given || whole.listen != app.listen
    })
}

/// Returns the addresses of the installed app, if its program is started in the same way.
fn installed(layout: &Layout, app: &App) -> Option<Vec<Listen>> {
    let old = installed_app(layout, &app.name)?;
    let is_same = old.program.command_line() == app.program.command_line()
        && old.program.cwd == app.program.cwd
        && old.env == app.env
        && old.env_file == app.env_file
        && old.account() == app.account();
    is_same.then_some(old.listen)
}

fn installed_app(layout: &Layout, name: &str) -> Option<App> {
    let source = sources::find(layout, name)?;
    let text = files::read(&source.path).ok()?;
    let (mut apps, report) = ecosystem::parse("", &text);
    apps.pop().filter(|_| !report.has_errors())
}

/// Rehearses the program of an app, and reports what was found.
pub(super) fn found(context: &mut Context<'_>, app: &App) -> Result<Vec<Listen>, Failure> {
    let found = rehearse_all(context, &[app])?.pop();
    found.unwrap_or_else(|| Err(Failure::failed("there is no app")))
}

/// Rehearses the programs of apps, and reports what was found, for each as soon as it is.
fn rehearse_all(
    context: &mut Context<'_>,
    apps: &[&App],
) -> Result<Vec<Result<Vec<Listen>, Failure>>, Failure> {
    context.require_permission("install")?;
    let (host, sink) = (context.host, context.sink);
    let mut jobs = context.jobs()?;
    let found = rehearse::rehearse(&mut jobs, host, apps, &|app, found| tell(sink, app, found));
    let layout = jobs.layout;
    let checked = apps.iter().zip(found).map(|(app, found)| {
        let listen = found?.listen;
        if layout.scope == Scope::System {
            let mut all = listen.iter();
            all.try_for_each(|listen| refuse_foreign(layout, app, listen))?;
        }
        Ok(listen)
    });
    Ok(checked.collect())
}

fn tell(sink: &dyn Sink, app: &App, findings: &Findings) {
    for note in &findings.notes {
        sink.notice(&Notice::Noted(&app.name, note));
    }
    if findings.listen.is_empty() {
        sink.notice(&Notice::Located(&app.name, ""));
    }
    for listen in &findings.listen {
        sink.notice(&Notice::Located(&app.name, &listen.to_string()));
    }
}

/// The address is the program's word, so systemd, which makes the socket as root, must not be led by it to any other place than it
/// says, nor to a place where the program itself could not make a socket.
fn refuse_foreign(layout: &Layout, app: &App, listen: &Listen) -> Result<(), Failure> {
    let Place::Path(path) = &listen.place else {
        return Ok(());
    };
    let path = Path::new(path);
    let probe = HostProbe::new(None, layout);
    let refused = |why: &str| {
        Failure::failed(format!(
            "`{}` listens on {listen}; systemd would create the socket there as root, and {why}",
            app.name
        ))
    };
    if let Some(told) = reach::of_socket(path, &probe) {
        return Err(refused(&told).help("a link there could make root replace the socket of another service: make the program listen in a folder below /run, or write `listen` if you trust everybody who may write there"));
    }
    // The socket that systemd has made for the installed app is root's.
    let is_own = installed_app(layout, &app.name).is_some_and(|own| own.listen.contains(listen));
    let ids = || probe.ids(app.user.as_deref()?, app.group.as_deref());
    let told = (!is_own).then(ids).flatten();
    match told.and_then(|ids| reach::of_another(path, &ids, &probe)) {
        Some(told) => Err(refused(&told).help(
            "make the program listen in a folder of its user below /run, or write `listen` if it should have that socket",
        )),
        None => Ok(()),
    }
}

/// Two apps cannot share an address, neither with an installed one nor with one of the same command line.
fn refuse_taken(context: &Context<'_>, app: &App, others: &[Selected]) -> Result<(), Failure> {
    let of_installed = selection::collisions(&context.layout, app, None);
    let mut of_file = others
        .iter()
        .filter_map(|other| ecosystem::collision(app, &other.app));
    let Some(fault) = of_installed.into_iter().next().or_else(|| of_file.next()) else {
        return Ok(());
    };
    let failure = Failure::failed(fault.message);
    Err(match fault.help {
        Some(help) => failure.help(help),
        None => failure,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::ecosystem::resolve::Ids;

    fn all(texts: &[&str]) -> Vec<Listen> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_port_alone_becomes_what_was_found_for_it_and_an_address_stays() {
        let found = all(&[
            "0.0.0.0:3000",
            "[::]:3000",
            "udp:0.0.0.0:3000",
            "0.0.0.0:9100",
        ]);
        let refined = |text: &str| refine(&text.parse().unwrap(), &found);
        assert_eq!(refined("3000"), all(&["0.0.0.0:3000", "[::]:3000"]));
        assert_eq!(refined("udp:3000"), all(&["udp:0.0.0.0:3000"]));
        for stays in ["3001", "udp:9100", "127.0.0.1:3000", "/run/web.sock"] {
            assert_eq!(refined(stays), all(&[stays]), "{stays}");
        }
    }

    #[test]
    fn a_socket_is_its_users_where_that_user_can_make_it_and_nobody_else_has() {
        let folder = tempfile::tempdir().unwrap();
        let probe = HostProbe::new(None, &Layout::system("/nonexistent".as_ref()));
        let user = Ids {
            user: 4_000_000_000,
            groups: Vec::new(),
        };
        let path = folder.path().join("socket");
        let told = |mode| {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            reach::of_another(&path, &user, &probe).unwrap_or_default()
        };
        assert!(told(0o755).contains("that user may not write to"));
        assert_eq!(told(0o777), "");
        fs::write(&path, "").unwrap();
        assert!(told(0o777).contains("the file that is there belongs to"));
    }
}
