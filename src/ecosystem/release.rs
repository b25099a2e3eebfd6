//! Recognises apps in the folder of one release, if a link such as `current` points to the deployed release.
//!
//! An app that is installed from such a folder stays on that release when the link changes. That may be
//! intended, so it is only a warning.

use std::path::{Path, PathBuf};

use super::app::App;
use super::diagnostic::Diagnostic;
use super::resolve::{Probe, normal};

/// Usual names of the link to the deployed release.
const USUAL: &[&str] = &["current", "live", "latest", "active", "stable", "release"];

/// The folder of a release, and the link to the deployed release.
struct Release {
    /// The prefix of a path that is the folder of the release.
    folder: PathBuf,
    link: PathBuf,
    /// The target of the link.
    target: PathBuf,
}

/// Warns about an app whose paths are in the folder of one release.
pub fn warn(app: &App, probe: &dyn Probe, faults: &mut Vec<Diagnostic>) {
    let cwd = app.program.cwd().map(Path::new);
    let script = Path::new(&app.program.script).parent();
    let places = [(cwd, &app.cwd_span), (script, &app.script_span)];
    let found = places.into_iter().find_map(|(place, span)| {
        let place = place?;
        Some((place, span, release(place, probe)?))
    });
    let Some((place, span, release)) = found else {
        return;
    };
    let Release {
        folder,
        link,
        target,
    } = release;
    let message = if folder == target {
        format!(
            "`{}` stays on the release `{}` when the link `{}` moves on",
            app.name,
            folder.display(),
            link.display()
        )
    } else {
        format!(
            "`{}` stays on the release `{}`; the link `{}` points to `{}`",
            app.name,
            folder.display(),
            link.display(),
            target.display()
        )
    };
    let inside = place.strip_prefix(&folder).unwrap_or(Path::new(""));
    let by_link = normal(&link.join(inside));
    faults.push(Diagnostic::warning(span.clone(), message).help(format!(
        "to follow the link, run rsgen in `{0}`, or write `cwd = \"{0}\"`",
        by_link.display()
    )));
}

/// Returns the release that a path belongs to. This is a folder that is the target of a link in the folder above it or
/// one level higher, or a sibling of such a target.
fn release(place: &Path, probe: &dyn Probe) -> Option<Release> {
    place.ancestors().find_map(|folder| {
        let releases = folder.parent().filter(|dir| is_deep(dir))?;
        let beside = links(releases, probe).find(|(_, target)| target == folder);
        let above = releases.parent().filter(|dir| is_deep(dir));
        let above = above.into_iter().flat_map(|dir| links(dir, probe));
        let (link, target) = beside.or_else(|| {
            let is_deployed = |link: &Path, target: &Path| {
                target == folder || is_usual(link) && target.parent() == Some(releases)
            };
            let mut above = above.filter(|(link, target)| is_deployed(link, target));
            above.next()
        })?;
        Some(Release {
            folder: folder.to_owned(),
            link,
            target,
        })
    })
}

/// Returns whether a link has one of the usual names. A link with another name may have any purpose.
fn is_usual(link: &Path) -> bool {
    let name = link.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| USUAL.contains(&name))
}

/// Returns whether a folder is below the root, whose links are the system's own, such as /bin.
fn is_deep(dir: &Path) -> bool {
    dir.parent().is_some()
}

/// Returns the links in a folder, with their targets.
fn links(dir: &Path, probe: &dyn Probe) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let links = probe.links(dir).into_iter();
    links.map(move |(link, target)| {
        let target = link.parent().unwrap_or(&link).join(target);
        (link, normal(&target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::fake_host::FakeHost;
    use crate::ecosystem::resolve::{Account, Beyond, FileStatus};
    use crate::ecosystem::{parse, resolve};

    /// A host with these links.
    struct Links(&'static [(&'static str, &'static str)]);

    impl FakeHost for Links {
        fn links(&self, dir: &Path) -> Vec<(PathBuf, PathBuf)> {
            let links = self.0.iter().map(|(link, to)| (link.into(), to.into()));
            let inside = links.filter(|(link, _): &(PathBuf, PathBuf)| link.parent() == Some(dir));
            inside.collect()
        }
        fn is_system(&self) -> bool {
            true
        }
        fn user(&self, _: u32) -> Option<String> {
            None
        }
        fn status(&self, path: &Path) -> Option<FileStatus> {
            let found = self.0.iter().find(|(link, _)| Path::new(link) == path);
            Some(FileStatus {
                owner: 0,
                group: 0,
                mode: 0o755,
                link: found.map(|(_, target)| target.into()),
                beyond: Beyond::Nothing,
            })
        }
        fn name(&self, _: Account) -> String {
            String::new()
        }
    }

    /// Returns the warnings about an app in a folder of such a host.
    fn told(folder: &str, links: &'static [(&'static str, &'static str)]) -> Vec<String> {
        let text = "[[apps]]\nname = \"web\"\nscript = \"server\"\nlisten = 1\nuser = \"root\"\n";
        let (mut apps, _) = parse("ecosystem.toml", text);
        let mut faults = Vec::new();
        resolve::resolve(&mut apps[0], Path::new(folder), &Links(links), &mut faults);
        let of_release = faults.into_iter().filter(|f| f.message.contains("release"));
        of_release
            .map(|f| format!("{}; {}", f.message, f.help.unwrap_or_default()))
            .collect()
    }

    const CURRENT: &[(&str, &str)] = &[("/srv/app/current", "releases/2")];

    #[test]
    fn an_app_in_the_release_that_a_link_leads_to_is_told_of_the_link() {
        let told = told("/srv/app/releases/2/api", CURRENT);
        assert_eq!(
            told,
            [
                "`web` stays on the release `/srv/app/releases/2` when the link `/srv/app/current` moves on; to follow \
                 the link, run rsgen in `/srv/app/current/api`, or write `cwd = \"/srv/app/current/api\"`"
            ]
        );
    }

    #[test]
    fn one_on_another_release_is_told_where_the_link_leads() {
        let told = told("/srv/app/releases/1", CURRENT);
        assert_eq!(told.len(), 1, "{told:?}");
        let start = "`web` stays on the release `/srv/app/releases/1`; the link `/srv/app/current` points to \
                     `/srv/app/releases/2`; ";
        assert!(told[0].starts_with(start), "{told:?}");
    }

    #[test]
    fn a_link_may_lie_beside_the_releases() {
        let links = &[("/srv/live", "/srv/app-7"), ("/srv/old", "/srv/app-6")];
        assert_eq!(told("/srv/app-7", links).len(), 1);
        assert_eq!(told("/srv/app-5", links).len(), 0, "any link might be");
        let links = &[("/srv/app/prod", "releases/2")];
        assert_eq!(told("/srv/app/releases/2", links).len(), 1);
        assert_eq!(told("/srv/app/releases/1", links).len(), 0, "the same");
    }

    #[test]
    fn an_app_behind_the_link_and_links_of_the_system_are_nothing_to_tell() {
        assert_eq!(told("/srv/app/current", CURRENT).len(), 0);
        assert_eq!(told("/usr/lib/app", &[("/lib", "usr/lib")]).len(), 0);
        assert_eq!(told("/var/app", &[("/var/run", "/run")]).len(), 0);
        let links = &[("/srv/app/doc", "share/doc")];
        assert_eq!(told("/srv/app/share/web", links).len(), 0);
    }
}
