//! Finds the addresses of apps whose file has no `listen`: those of the installed app or, failing that, those that a
//! rehearsal finds.

use std::path::Path;

use super::context::Context;
use super::host_probe::HostProbe;
use super::jobs::Jobs;
use super::rehearse;
use super::selection::{self, Selected};
use crate::brake::Deaths;
use crate::contract::{FURTHER, REFUSED};
use crate::ecosystem::resolve::Probe;
use crate::ecosystem::values::{Listen, Place};
use crate::ecosystem::{self, App, pin, reach};
use crate::generate::files;
use crate::generate::sources::{self, Source};
use crate::layout::{Layout, Scope};
use crate::output::{Exit, Failure, Notice};
use crate::state::{Entry, Name};
use crate::systemd::Brief;
use crate::unit::name::Units;

/// Finds the addresses, and writes them into what is going to be installed.
///
/// # Errors
/// When a program has to be started for that in a dry run, when a rehearsal has no answer, and when another app has the
/// address.
pub(super) fn locate(
    context: &mut Context<'_>,
    selected: &mut [Selected],
    dry_run: bool,
) -> Result<(), Failure> {
    for selected in selected {
        let app = &mut selected.app;
        if is_given_by_drop_in(&context.layout, app, &selected.pinned) {
            continue;
        }
        if app.is_listen_given {
            if let Some(listen) = refined(&context.layout, app) {
                adopt(selected, listen)?;
            }
            continue;
        }
        let listen = match installed(&context.layout, app) {
            Some(listen) => listen,
            None if dry_run => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!(
                        "`{}` leaves `listen` out, and a dry run starts no program",
                        app.name
                    ),
                )
                .help("install it without --dry-run, or write `listen`"));
            }
            None => found(context, app)?,
        };
        adopt(selected, listen)?;
        refuse_taken(&context.layout, &selected.app)?;
    }
    Ok(())
}

/// Corrects addresses after a start in which a program bound a declared port, but at an address that the port alone did
/// not include: rehearses the program and writes the address into the text that is going to be installed. Returns the
/// indices of the apps that were corrected.
///
/// # Errors
/// As [`locate`].
pub(super) fn locate_again(
    context: &mut Context<'_>,
    selected: &mut [Selected],
) -> Result<Vec<usize>, Failure> {
    let mut new = Vec::new();
    for (index, selected) in selected.iter_mut().enumerate() {
        if !has_port_alone(&selected.app) || !was_refused(context, &selected.app)? {
            continue;
        }
        let found = found(context, &selected.app)?;
        let given = &selected.app.listen;
        let listen: Vec<Listen> = given.iter().flat_map(|g| refine(g, &found)).collect();
        for further in found.iter().filter(|f| !listen.contains(f)) {
            let note = format!("{further}{FURTHER}");
            context
                .sink
                .notice(&Notice::Noted(&selected.app.name, &note));
        }
        if listen != *given {
            new.push(index);
            adopt(selected, listen)?;
            refuse_taken(&context.layout, &selected.app)?;
        }
    }
    Ok(new)
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

fn has_port_alone(app: &App) -> bool {
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

/// The addresses that were found for the ports of a file when it was installed before.
fn refined(layout: &Layout, app: &App) -> Option<Vec<Listen>> {
    let source = sources::find(layout, &app.name).filter(|_| has_port_alone(app))?;
    let text = files::read(&source.path)
        .ok()
        .filter(|text| pin::is_found(text))?;
    let (mut apps, report) = ecosystem::parse("", &text);
    let old = apps.pop().filter(|_| !report.has_errors())?;
    let listen: Vec<Listen> = app
        .listen
        .iter()
        .flat_map(|g| refine(g, &old.listen))
        .collect();
    // An address that is left out now, or added, is a change.
    (listen == old.listen).then_some(old.listen)
}

/// Whether an app is down because its program binds another address than the declared one.
fn was_refused(context: &mut Context<'_>, app: &App) -> Result<bool, Failure> {
    let state = context.layout.state(&app.name);
    let is_refused = |number| {
        let deaths = Deaths::load(&Entry::new(&state, Name::Deaths(number)));
        deaths.is_some_and(|deaths| deaths.reason.starts_with(REFUSED))
    };
    let is_any = (0..app.instances.resolve(context.host.cpus)).any(is_refused);
    Ok(is_any && !serves(&mut context.jobs()?, &app.name)?)
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
    let source = sources::find(layout, &app.name)?;
    let text = files::read(&source.path).ok()?;
    let (mut apps, report) = ecosystem::parse("", &text);
    let old = apps.pop().filter(|_| !report.has_errors())?;
    let is_same = old.program.command_line() == app.program.command_line()
        && old.program.cwd == app.program.cwd
        && old.env == app.env
        && old.env_file == app.env_file
        && old.account() == app.account();
    is_same.then_some(old.listen)
}

/// Rehearses the program of an app, and tells what was found.
pub(super) fn found(context: &mut Context<'_>, app: &App) -> Result<Vec<Listen>, Failure> {
    context.require_permission("install")?;
    let host = context.host;
    let mut jobs = context.jobs()?;
    let findings = rehearse::rehearse(&mut jobs, host, app)?;
    for note in &findings.notes {
        jobs.sink.notice(&Notice::Noted(&app.name, note));
    }
    if jobs.layout.scope == Scope::System {
        let probe = HostProbe::new(None, jobs.layout);
        findings
            .listen
            .iter()
            .try_for_each(|listen| refuse_movable(app, listen, &probe))?;
    }
    if findings.listen.is_empty() {
        jobs.sink.notice(&Notice::Located(&app.name, ""));
    }
    for listen in &findings.listen {
        jobs.sink
            .notice(&Notice::Located(&app.name, &listen.to_string()));
    }
    Ok(findings.listen)
}

/// The address is the program's word, so it must not lead systemd, which is root, to any other place than it says.
fn refuse_movable(app: &App, listen: &Listen, probe: &dyn Probe) -> Result<(), Failure> {
    let Place::Path(path) = &listen.place else {
        return Ok(());
    };
    let Some(told) = reach::of_socket(Path::new(path), probe) else {
        return Ok(());
    };
    Err(Failure::failed(format!(
        "`{}` listens on {listen}, where systemd would make the socket as root, and {told}",
        app.name
    ))
    .help("a link put there leads root to the socket of another service: have the program listen in a folder below /run, or write `listen` if you trust whoever may write there"))
}

/// Two apps cannot share an address.
fn refuse_taken(layout: &Layout, app: &App) -> Result<(), Failure> {
    let Some(fault) = selection::collisions(layout, app).into_iter().next() else {
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
    use super::*;

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
}
