//! The changes that follow from another text of an app's installed file: checked as `rsgen install` checks a file, and applied as `rsgen
//! reload` applies one that was edited by hand. The text is installed as it is, with its comments.

use std::path::{Path, PathBuf};

use super::apply::{self, Prepared, Timer};
use super::balance;
use super::calendar;
use super::context::Context;
use super::host_probe::HostProbe;
use super::limits;
use super::missing;
use super::passage;
use super::port_owner;
use super::reload;
use super::resize;
use super::selection;
use super::unsupported;
use crate::ecosystem::{self, App, Diagnostic, Report, resolve};
use crate::generate::sources::{self, Source};
use crate::generate::{self, files};
use crate::layout::Layout;
use crate::output::{Exit, Failure, Notice};
use crate::plan::diff::{Change, Content};
use crate::systemd::ActiveState;
use crate::unit::name::Units;

/// The file of an app before it is edited.
pub(super) struct Original {
    /// The file that counts.
    source: Source,
    pub(super) text: String,
    /// The installed file, which is written. An app of a package has none yet.
    pub(super) target: PathBuf,
    installed: Option<Content>,
}

impl Original {
    /// Reads the file of an app.
    pub(super) fn of(layout: &Layout, app: &str) -> Result<Self, Failure> {
        let target = layout.file(app);
        let shown = target.display();
        if sources::is_masked(layout, app) {
            let message = format!("`{app}` is masked: its file is a link to /dev/null");
            return Err(Failure::failed(message).help("remove the link first"));
        }
        let installed = files::content(&target);
        if let Some(Content::Link(to)) = &installed {
            let message = format!("{shown} is a link to {}", to.display());
            let help = format!("edit that file, and run `rsgen reload {app}`");
            return Err(Failure::failed(message).help(help));
        }
        let Some(source) = sources::find(layout, app) else {
            resize::refuse_of_package(layout, app)?;
            let message = format!("`{app}` has units, but no file");
            return Err(Failure::failed(message).help("install it again with `rsgen install`"));
        };
        let text = files::read(&source.path).map_err(|e| {
            let message = format!("{} cannot be read: {e}", source.path.display());
            Failure::new(Exit::Invalid, message)
        })?;
        Ok(Self {
            source,
            text,
            target,
            installed,
        })
    }

    pub(super) fn app(&self) -> &str {
        &self.source.app
    }

    /// Refuses to overwrite a change that somebody else has made since.
    pub(super) fn refuse_changed(&self) -> Result<(), Failure> {
        let is_same = files::content(&self.target) == self.installed
            && files::read(&self.source.path).is_ok_and(|text| text == self.text);
        if is_same {
            return Ok(());
        }
        let path = self.source.path.display();
        let message = format!("{path} was changed while it was edited, and stays as it is now");
        let help = format!("run `rsgen edit {}` again", self.app());
        Err(Failure::failed(message).help(help))
    }

    /// The app before the edit, if its file is valid.
    fn parsed(&self, layout: &Layout) -> Option<App> {
        let loaded = sources::load(layout, &self.source);
        loaded.ok().map(|(_, app)| app)
    }
}

/// Returns the changes that `text`, which lies at `draft` as well, makes in the place of the original.
pub(super) fn prepare(
    context: &mut Context<'_>,
    original: &Original,
    text: String,
    draft: &Path,
) -> Result<Prepared, Failure> {
    refuse_another_name(original, &text)?;
    let layout = context.layout.clone();
    let name = original.app();
    let before = original.parsed(&layout);
    let scaled = outdated_scale(context, original, &text);
    let app = examine(context, original, before.as_ref(), &text, scaled.as_deref())?;
    let is_pinned = generate::pinned(&layout, name).is_some();
    if !files::is_ours(&layout.units.join(Units::of(name).cluster())) {
        refuse_other_addresses(context, before.as_ref(), &app)?;
    }
    let serves = passage::serves(context, name);
    let mut prepared = if is_pinned {
        reload::refuse_root(&layout, &app, &original.target)?;
        apply::prepare_units(&layout, context.host, app.clone(), &original.target, serves)?
    } else {
        generated(before.as_ref(), &app)
    };
    let draft = draft.display().to_string();
    refuse_moment(&prepared, serves, &draft)?;
    reload::refuse_another_kind(&prepared, &draft)?;
    let moves = prepared.readdressed.is_some() || prepared.crossing.is_some();
    if let Ok(manager) = context.manager() {
        let probe = HostProbe::new(None, &layout);
        port_owner::refuse_taken(&app, moves, manager, &probe)?;
    }
    let file = Change {
        path: original.target.clone(),
        old: original.installed.clone(),
        new: Some(Content::File(text)),
    };
    prepared.changes.insert(0, file);
    prepared.changes.extend(scaled.map(|path| Change {
        old: files::content(&path),
        path,
        new: None,
    }));
    Ok(prepared)
}

/// Refuses to rename the app, which would leave the instances of the old name with nobody to care for them.
fn refuse_another_name(original: &Original, text: &str) -> Result<(), Failure> {
    let path = original.target.display().to_string();
    let (apps, report) = ecosystem::parse(&path, text);
    let name = original.app();
    let [app] = apps.as_slice() else {
        return Ok(());
    };
    if report.has_errors() || app.name == name {
        return Ok(());
    }
    let message = format!("an edit cannot rename `{name}` to `{}`", app.name);
    let fault = Diagnostic::error(app.span.clone(), message).help(format!(
        "keep `name = \"{name}\"`; to rename the app, install a file with the new name, and run `rsgen uninstall {name}`"
    ));
    Err(Failure::invalid(Report::new(path, text, vec![fault])))
}

/// Returns the drop-in of `rsgen scale`, if its number holds no longer: the text has another one than the file had.
fn outdated_scale(context: &Context<'_>, original: &Original, text: &str) -> Option<PathBuf> {
    let number = |text: &str| {
        let (apps, _) = ecosystem::parse("", text);
        apps.first().map(|app| app.instances)
    };
    let now = number(text).filter(|now| Some(*now) != number(&original.text))?;
    let name = original.app();
    let path = resize::own_drop_in(&context.layout, name)?;
    let chosen = resize::of_drop_in(&context.layout, name)?;
    let notice = Notice::Chosen(name, chosen, now);
    context.sink.notice(&notice);
    Some(path)
}

/// Returns the app of a text with its drop-ins, but for the one that is `left_out`, if it could be installed on this host.
fn examine(
    context: &mut Context<'_>,
    original: &Original,
    before: Option<&App>,
    text: &str,
    left_out: Option<&Path>,
) -> Result<App, Failure> {
    let version = context.systemd_version();
    let layout = &context.layout;
    let source = Source {
        app: original.app().to_owned(),
        path: original.target.clone(),
    };
    let read = match left_out {
        Some(path) => sources::with_drop_in(layout, &source, text.to_owned(), (path, "")),
        None => sources::with_drop_ins(layout, &source, text.to_owned()),
    };
    let (whole, app, report) = read.map_err(Failure::invalid)?;
    let mut faults = report.diagnostics;
    ecosystem::refuse_ignored(&mut faults, version);
    let mut resolved = app.clone();
    let host = HostProbe::new(None, layout);
    resolve::resolve(&mut resolved, Path::new("/"), &host, &mut faults);
    if generate::pinned(layout, &app.name).is_some() {
        faults.extend(relative(before, &app, &resolved));
    }
    faults.extend(missing::faults(&resolved));
    faults.extend(selection::collisions(layout, &app, None));
    faults.extend(unsupported::faults(&app, version));
    faults.extend(calendar::faults(&app));
    let report = Report::new(report.path, &whole, faults);
    if report.has_errors() {
        return Err(Failure::invalid(report));
    }
    selection::warn(context.sink, &report);
    if let Some(limit) = limits::of(layout, &app).into_iter().next() {
        return Err(Failure::failed(limit.message).help(limit.help));
    }
    if let Some(fault) = balance::fault(layout, &app) {
        return Err(Failure::failed(fault.message).help(fault.help));
    }
    Ok(app)
}

/// Returns the faults of paths that the edit has made relative. An installed file is read from no folder, and by nobody's `PATH`.
fn relative(before: Option<&App>, app: &App, resolved: &App) -> Vec<Diagnostic> {
    let old = before.map(|app| &app.program);
    let (new, whole) = (&app.program, &resolved.program);
    let mut faults = Vec::new();
    let mut refuse = |key: &str, span: &std::ops::Range<usize>, is_kept: bool, path: &str| {
        if !is_kept {
            let message = format!("`{key}` of an installed file is an absolute path");
            let help = format!("write `{key} = \"{path}\"`");
            faults.push(Diagnostic::error(span.clone(), message).help(help));
        }
    };
    let is_kept = new.script == whole.script || old.is_some_and(|old| old.script == new.script);
    refuse("script", &app.script_span, is_kept, &whole.script);
    let is_kept = new.cwd == whole.cwd || old.is_some_and(|old| old.cwd == new.cwd);
    let cwd = old.and_then(|old| old.cwd.as_deref()).unwrap_or("/");
    refuse("cwd", &app.cwd_span, is_kept, cwd);
    let is_kept = new.interpreter == whole.interpreter
        || old.is_some_and(|old| old.interpreter == new.interpreter);
    let interpreter = whole.interpreter.as_deref().unwrap_or_default();
    refuse("interpreter", &app.script_span, is_kept, interpreter);
    let is_kept = app.env_file == resolved.env_file
        || before.is_some_and(|before| before.env_file == app.env_file);
    let first = resolved.env_file.first().map_or("", String::as_str);
    refuse("env_file", &app.env_file_span, is_kept, first);
    faults
}

/// Refuses other addresses for an app that listens and whose units are not those of an install: the next daemon-reload would change them,
/// and systemd closes a socket for good whose address changes.
fn refuse_other_addresses(
    context: &mut Context<'_>,
    before: Option<&App>,
    app: &App,
) -> Result<(), Failure> {
    let Some(before) = before else {
        return Ok(());
    };
    if before.listen == app.listen && before.balance_word() == app.balance_word() {
        return Ok(());
    }
    let Ok(manager) = context.manager() else {
        return Ok(());
    };
    let name = &app.name;
    let mut is_open = manager.unit(&Units::of(name).cluster())?.active != ActiveState::Inactive;
    for socket in before.sockets() {
        is_open |= manager.unit(&socket)?.active != ActiveState::Inactive;
    }
    if !is_open {
        return Ok(());
    }
    let message = format!(
        "`{name}` is listening; an app that `rsgen install` did not install can change its addresses only while it is stopped"
    );
    Err(Failure::failed(message).help(format!(
        "run `rsgen stop {name}` before the edit, and `rsgen start {name}` after it"
    )))
}

/// Refuses to close addresses before others are opened, which is a moment without service.
fn refuse_moment(prepared: &Prepared, serves: bool, draft: &str) -> Result<(), Failure> {
    match &prepared.readdressed {
        Some(moved) if serves => Err(Failure::failed(moved.cost(&prepared.app))
            .help(format!(
                "run `rsgen install {draft} --replace-listener`, which interrupts the service for a moment"
            ))
            .help_also(moved.why.clone())),
        _ => Ok(()),
    }
}

/// Returns the changes of an app whose units the generator makes: there are none but that of the file.
fn generated(before: Option<&App>, app: &App) -> Prepared {
    let is_same = before.is_none_or(|before| before.schedule() == app.schedule());
    let had_timer = before.is_some_and(|before| before.timer().is_some());
    let timer = match app.timer() {
        Some(_) if is_same => Timer::Runs,
        Some(_) => Timer::Restart,
        None if had_timer => Timer::Stop,
        None => Timer::None,
    };
    Prepared {
        timer,
        is_of_another_kind: before.is_some_and(|before| before.is_job() != app.is_job()),
        ..Prepared::unchanged(&app.name, app.is_job())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(lines: &str) -> App {
        let text = format!("[[apps]]\nname = \"web\"\n{lines}\n");
        let (mut apps, report) = ecosystem::parse("web.toml", &text);
        assert!(!report.has_errors(), "{}", report.render(false));
        apps.remove(0)
    }

    #[test]
    fn a_path_that_becomes_relative_is_refused_and_one_that_was_stays() {
        let whole = app("script = \"/srv/web/a.js\"\ncwd = \"/srv/web\"\nlisten = 1");
        let relative_script = app("script = \"a.js\"\ncwd = \"/srv/web\"\nlisten = 1");
        let resolved = whole.clone();
        let told = |before: Option<&App>, after: &App| {
            let faults = relative(before, after, &resolved);
            faults
                .into_iter()
                .filter_map(|f| f.help)
                .collect::<Vec<_>>()
        };
        let help = ["write `script = \"/srv/web/a.js\"`"];
        assert_eq!(told(Some(&whole), &relative_script), help);
        assert_eq!(told(None, &relative_script), help);
        assert_eq!(told(Some(&relative_script), &relative_script), [""; 0]);
        assert_eq!(told(Some(&whole), &whole), [""; 0]);
    }

    #[test]
    fn each_path_that_was_relative_before_may_stay_and_no_other_may_become_so() {
        let lines = |cwd: &str, interpreter: &str, env_file: &str| {
            app(&format!(
                "script = \"/srv/web/a.js\"\nlisten = 1\ncwd = {cwd:?}\ninterpreter = {interpreter:?}\nenv_file = [{env_file:?}]"
            ))
        };
        let whole = lines("/srv/web", "/usr/bin/node", "/srv/web/.env");
        for (relative_one, help) in [
            (
                lines("web", "/usr/bin/node", "/srv/web/.env"),
                "write `cwd = \"/srv/web\"`",
            ),
            (
                lines("/srv/web", "node", "/srv/web/.env"),
                "write `interpreter = \"/usr/bin/node\"`",
            ),
            (
                lines("/srv/web", "/usr/bin/node", ".env"),
                "write `env_file = \"/srv/web/.env\"`",
            ),
        ] {
            let told = |before: &App| {
                let faults = relative(Some(before), &relative_one, &whole);
                faults
                    .into_iter()
                    .filter_map(|f| f.help)
                    .collect::<Vec<_>>()
            };
            assert_eq!(told(&whole), [help]);
            assert_eq!(told(&relative_one), [""; 0]);
        }
    }

    #[test]
    fn the_timer_of_a_generated_app_follows_its_schedule() {
        let lasting = app("script = \"/srv/a\"\nlisten = 1");
        let daily = app("script = \"/srv/a\"\nschedule = \"daily\"");
        let weekly = app("script = \"/srv/a\"\nschedule = \"weekly\"");
        for (before, after, timer, is_other) in [
            (&lasting, &lasting, Timer::None, false),
            (&daily, &daily, Timer::Runs, false),
            (&daily, &weekly, Timer::Restart, false),
            (&daily, &lasting, Timer::Stop, true),
            (&lasting, &daily, Timer::Restart, true),
        ] {
            let prepared = generated(Some(before), after);
            assert_eq!(prepared.timer, timer);
            assert_eq!(prepared.is_of_another_kind, is_other);
        }
        assert_eq!(generated(None, &daily).timer, Timer::Runs);
    }
}
