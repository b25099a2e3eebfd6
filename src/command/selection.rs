//! Selects the apps of an ecosystem file that a command works on, and checks them against this host.

use super::calendar;
use super::gone::{Gone, Origin};
use super::hint;
use super::host_probe::HostProbe;
use super::input::{self, Input};
use super::missing;
use super::resize;
use super::unsupported;
use crate::ecosystem::values::Instances;
use crate::ecosystem::{
    self, App, By, Chosen, Diagnostic, Report, Severity, environments, pin, resolve,
};
use crate::generate::{files, sources};
use crate::layout::Layout;
use crate::output::{Exit, Failure, Notice, Sink};
use crate::plan::diff::Content;

/// An app that is to be installed.
#[derive(Clone)]
pub(super) struct Selected {
    pub(super) app: App,
    /// The text of the app's installed file.
    pub(super) pinned: String,
    /// The installed file as it was when what earlier commands chose was read from it.
    pub(super) installed: Option<Content>,
}

/// What the apps of a file are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The apps are installed here.
    Install,
    /// The apps are compared with what is installed.
    Comparison,
    /// An ecosystem file for the apps is written.
    Draft,
    /// The units of the apps are for other hosts.
    Package,
}

impl Purpose {
    /// Returns whether the number of instances and the environment that an earlier install chose still apply.
    fn keeps_choices(self) -> bool {
        matches!(self, Self::Install | Self::Comparison)
    }

    /// Returns whether the programs are going to be started here, so that the files that they read have to exist.
    fn is_start(self) -> bool {
        matches!(self, Self::Install | Self::Draft)
    }

    /// Returns the host where the apps are going to run.
    fn host(self, input: &Input, layout: &Layout) -> HostProbe {
        let host = HostProbe::new(input.root.clone(), layout);
        if self == Self::Package {
            host.for_a_package()
        } else {
            host
        }
    }

    /// Returns whether an app may omit `listen`.
    fn may_leave_out(self) -> bool {
        self != Self::Package
    }
}

/// The selection of apps from a file, and the options that change them.
pub(super) struct Wanted<'a> {
    pub(super) input: &'a Input,
    /// The names of the apps; empty for all.
    pub(super) only: &'a [String],
    pub(super) instances: Option<Instances>,
    pub(super) purpose: Purpose,
    /// The environment whose variables override `env`.
    pub(super) env: Option<&'a str>,
    /// The apps that the file no longer has.
    pub(super) gone: Option<&'a Gone>,
}

/// Parses, selects and resolves. Warnings go to the sink; errors become the failure. `version` is systemd's.
pub(super) fn select(
    wanted: &Wanted<'_>,
    layout: &Layout,
    version: Option<u32>,
    sink: &dyn Sink,
) -> Result<Vec<Selected>, Failure> {
    let Wanted {
        input,
        only,
        env,
        purpose,
        ..
    } = *wanted;
    let (apps, mut report) = ecosystem::parse(&input.shown, &input.text);
    ecosystem::allow_newer(&mut report.diagnostics, || version);
    ecosystem::refuse_ignored(&mut report.diagnostics, version);
    if purpose.may_leave_out() {
        ecosystem::allow_left_out(&mut report.diagnostics);
    }
    let mut faults = report.diagnostics.clone();
    if !report.has_errors() {
        refuse_unknown(input, only, &apps)?;
    }
    let mut picked: Vec<Picked> = apps
        .into_iter()
        .enumerate()
        .filter(|(_, a)| only.is_empty() || only.contains(&a.name))
        .map(|(index, app)| Picked {
            index,
            installed: files::content(&layout.file(&app.name)),
            environment: environment(wanted, layout, &app, sink),
            app,
            chosen: None,
        })
        .collect();
    let host = purpose.host(input, layout);
    if !report.has_errors() {
        choose_environment(input, env, picked.iter_mut().map(|p| &mut p.app))?;
    }
    for picked in &mut picked {
        picked.resolve(wanted, &host, &mut faults);
        let app = &mut picked.app;
        picked.chosen = choose(wanted, layout, picked.index, app, sink);
        app.instances = picked.chosen.map_or(app.instances, |c| c.instances);
        if input.root.is_none() {
            faults.extend(collisions(layout, app, wanted.gone));
            faults.extend(unsupported::faults(app, version));
            faults.extend(calendar::faults(app));
        }
    }
    let report = Report::new(&input.shown, &input.text, faults);
    if report.has_errors() {
        return Err(Failure::invalid(report));
    }
    let selected = picked
        .into_iter()
        .map(|picked| picked.pinned(input, layout))
        .collect::<Result<Vec<_>, _>>()?;
    warn(sink, &news(wanted, report, &selected));
    for selected in &selected {
        tell_choices(sink, &selected.app);
    }
    Ok(selected)
}

/// Returns the faults without those that an install of the same file has told of the same app before.
fn news(wanted: &Wanted<'_>, mut report: Report, selected: &[Selected]) -> Report {
    if wanted.purpose == Purpose::Install {
        let is_same =
            |s: &&Selected| s.installed.as_ref() == Some(&Content::File(s.pinned.clone()));
        let unchanged: Vec<&App> = selected.iter().filter(is_same).map(|s| &s.app).collect();
        ecosystem::leave_out_standing(&mut report.diagnostics, &unchanged);
    }
    report
}

/// An app that was selected.
struct Picked {
    /// The index of the app in the file.
    index: usize,
    app: App,
    chosen: Option<Chosen>,
    environment: Option<String>,
    installed: Option<Content>,
}

impl Picked {
    fn resolve(&mut self, wanted: &Wanted<'_>, host: &HostProbe, faults: &mut Vec<Diagnostic>) {
        let app = &mut self.app;
        let environment = self.environment.as_deref();
        if let Some(kept) = environment.filter(|_| wanted.env.is_none()) {
            // This cannot fail: a kept environment is one that the file has.
            let _ = environments::choose([&mut *app], kept);
        }
        resolve::resolve(app, &wanted.input.folder, host, faults);
        faults.extend(environments::unused(app, environment));
        if wanted.purpose.is_start() {
            faults.extend(missing::faults(app));
        }
    }

    /// Returns the app with the text that is installed for it.
    fn pinned(self, input: &Input, layout: &Layout) -> Result<Selected, Failure> {
        let pinned = pin::pin(&input.text, self.index, &self.app, self.chosen)
            .map_err(|e| Failure::new(Exit::Invalid, e.message).help(e.help))?;
        let mut pinned = environments::settle(pinned, self.environment.as_deref());
        if Origin::of(input, layout) == Origin::Installed {
            pinned = environments::keep_mark(pinned, &input.text);
        }
        let app = self.app;
        Ok(Selected {
            app,
            pinned,
            installed: self.installed,
        })
    }
}

/// Returns the environment of an app: that of the command line, or that of an earlier command line if the file still
/// has it; `None` for an empty `--env`.
fn environment(wanted: &Wanted<'_>, layout: &Layout, app: &App, sink: &dyn Sink) -> Option<String> {
    if let Some(given) = wanted.env {
        return Some(given.to_owned()).filter(|name| !name.is_empty());
    }
    if !wanted.purpose.keeps_choices() {
        return None;
    }
    let installed = files::read(&layout.file(&app.name)).ok()?;
    let kept = environments::kept(app, &installed)?;
    sink.notice(&Notice::KeptEnvironment(&app.name, &kept));
    Some(kept)
}

/// Refuses a name on the command line that no app of the file has.
fn refuse_unknown(input: &Input, only: &[String], apps: &[App]) -> Result<(), Failure> {
    let is_unknown = |name: &&String| !apps.iter().any(|app| app.name == **name);
    let Some(missing) = only.iter().find(is_unknown) else {
        return Ok(());
    };
    let known: Vec<&str> = apps.iter().map(|a| a.name.as_str()).collect();
    let message = format!("`{}` has no app `{missing}`", input.shown);
    Err(Failure::new(Exit::Usage, message).help(format!("the apps are {}", known.join(", "))))
}

/// Returns the number of instances that replaces the file's: that of the command line, or that of an earlier command
/// line as long as the file's own number has not changed since. PM2 keeps such a number too, until the app is deleted.
fn choose(
    wanted: &Wanted<'_>,
    layout: &Layout,
    index: usize,
    app: &App,
    sink: &dyn Sink,
) -> Option<Chosen> {
    if let Some(instances) = wanted.instances {
        let of_text = Chosen::of(&wanted.input.text, index);
        let in_place_of = of_text.map_or(app.instances, |chosen| chosen.in_place_of);
        return Some(Chosen {
            by: By::Option,
            instances,
            in_place_of,
        });
    }
    if !wanted.purpose.keeps_choices() {
        return None;
    }
    let installed = files::read(&layout.file(&app.name)).unwrap_or_default();
    let chosen = Chosen::of_installed(&installed);
    let chosen = chosen.or_else(|| resize::of_drop_in(layout, &app.name))?;
    if chosen.instances == app.instances {
        return None;
    }
    let is_kept = chosen.in_place_of == app.instances;
    sink.notice(&Notice::Chosen(&app.name, chosen, app.instances));
    is_kept.then_some(chosen)
}

/// Reports what rsgen chose where an app's file does not say.
pub(super) fn tell_choices(sink: &dyn Sink, app: &App) {
    if let (Some(user), Some(file)) = (app.account().0, &app.user_is_owner_of) {
        sink.notice(&Notice::RunsAs {
            app: app.name(),
            user,
            file,
        });
    }
    if let Some(program) = &app.first_in_path {
        sink.notice(&Notice::FirstInPath(app.name(), program));
    }
}

/// Applies the variables of the chosen environment to each app that has it.
pub(super) fn choose_environment<'a>(
    input: &Input,
    env: Option<&str>,
    apps: impl IntoIterator<Item = &'a mut App>,
) -> Result<(), Failure> {
    let Some(name) = env.filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    environments::choose(apps, name).map_err(|known| {
        let fault = format!("`{}` has no environment `{name}`", input.shown);
        let near = ecosystem::diagnostic::nearest(name, known.iter().map(String::as_str));
        Failure::new(Exit::Usage, fault).help(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if input.origin.is_none() && input.shown == input::COMMAND_LINE => format!(
                "a script alone has none: `rsgen init -- COMMAND` writes a file for it, to which you can add a table `[apps.env_{name}]`"
            ),
            None if known.is_empty() => format!("add a table `[apps.env_{name}]` to an app"),
            None => format!("the environments are {}", known.join(", ")),
        })
    })
}

/// Shows the warnings about a file that has no errors.
pub(super) fn warn(sink: &dyn Sink, report: &Report) {
    let is_warning = |d: &Diagnostic| d.severity == Severity::Warning;
    if report.diagnostics.iter().any(is_warning) {
        sink.warnings(report);
    }
}

/// Returns the faults of an app that needs an address of another installed app, unless that is on its way out.
pub(super) fn collisions(layout: &Layout, app: &App, gone: Option<&Gone>) -> Vec<Diagnostic> {
    let (installed, _) = sources::all(layout);
    let makes_room = |name: &str| gone.is_some_and(|gone| gone.makes_room(name));
    let others = installed.iter();
    let others = others.filter(|s| s.app != app.name() && !makes_room(&s.app));
    let faults = others.filter_map(|source| {
        // A fault in another app's file does not concern this app.
        let (_, other) = sources::load(layout, source).ok()?;
        let other_name = other.name();
        let help = format!(
            "give one of them another address in `listen`, or run `rsgen uninstall {other_name}` to remove `{other_name}`"
        );
        let help = gone.and_then(|gone| gone.help(layout, other_name)).unwrap_or_else(|| hint::for_manager(layout.scope, &help));
        Some(ecosystem::collision(app, &other)?.help(help))
    });
    faults.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_installed_app_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        std::fs::create_dir_all(&layout.apps[0]).unwrap();
        let text = |name: &str| {
            format!("[[apps]]\nname = \"{name}\"\nscript = \"/srv/x\"\nlisten = 3000\n")
        };
        let faults = || {
            let (apps, _) = ecosystem::parse("eco.toml", &text("web"));
            let faults = collisions(&layout, &apps[0], None);
            faults.into_iter().map(|f| f.message).collect::<Vec<_>>()
        };
        std::fs::write(layout.file("web"), text("web")).unwrap();
        assert_eq!(faults(), Vec::<String>::new(), "its own");
        std::fs::write(layout.file("api"), text("api")).unwrap();
        assert_eq!(faults(), ["`web` listens on `3000`, and so does `api`"]);
    }
}
