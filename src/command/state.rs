//! The state folder of an app, as the commands use it.

use std::time::Duration;

use crate::layout::Layout;
use crate::state::{self, Entry, Folder, Name};
use crate::walk::Record;

/// Forgets the quick deaths of one instance or of all instances, because somebody is starting them on purpose.
pub(super) fn forget_deaths(layout: &Layout, app: &str, number: Option<u32>) {
    state::forget_deaths(&layout.state(app), number);
}

/// Forgets how often an app has failed to start, because somebody asks for a start on purpose.
pub(super) fn forget_failures(layout: &Layout, app: &str) {
    // Best effort: a file that cannot be removed goes on to delay a start that a connection asks for.
    let _ = Entry::new(&layout.state(app), Name::Failures).remove();
}

/// Forgets the release that an instance was started with, because somebody is starting it on purpose.
pub(super) fn forget_release(layout: &Layout, app: &str, number: u32) {
    // Usually there is no such file; who may not remove it has the instance start as systemd would start it.
    let _ = Entry::new(&layout.state(app), Name::Release(number)).remove();
}

/// Removes all of an app's state.
pub(super) fn remove(layout: &Layout, app: &str) {
    // The folder is in /run, so whatever cannot be removed now is gone after the next boot.
    let _ = Folder::discard(&layout.state(app));
    let _ = Folder::discard(&state::part(&layout.run, app));
}

/// Returns whether the last walk of an app that has been active for `active_for` may have left instances of two
/// versions, because the walk failed half-way, was killed, or has not ended.
pub(super) fn is_half_walked(layout: &Layout, app: &str, active_for: Duration) -> bool {
    let walk = Entry::new(&layout.state(app), Name::Walk);
    let metadata = walk.open().and_then(|file| file.metadata());
    let age = metadata
        .and_then(|m| m.modified())
        .ok()
        .and_then(|told| told.elapsed().ok());
    // A walk before the app's last start concerned processes that are gone.
    if age.is_none_or(|age| age > active_for) {
        return false;
    }
    let text = walk.read().unwrap_or_default();
    let Some(last) = text.lines().last().and_then(Record::parse) else {
        return true;
    };
    !last.is_done() && !last.failure().is_some_and(|failed| failed.untouched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::{Event, Failed};

    #[test]
    fn only_a_walk_since_the_start_may_have_left_two_versions() {
        const HOUR: Duration = Duration::from_hours(1);
        let run = tempfile::tempdir().unwrap();
        let layout = Layout::system(run.path());
        std::fs::create_dir_all(layout.run.parent().unwrap()).unwrap();
        assert!(!is_half_walked(&layout, "web", HOUR), "no walk");
        let walk = Entry::new(&layout.state("web"), Name::Walk);
        let done = Event::Done {
            instances: 2,
            took_ms: 1,
        };
        let aborted = |untouched| Event::Aborted {
            failed: Failed {
                untouched,
                ..Failed::default()
            },
        };
        for (event, is_half) in [
            (done, false),
            (aborted(true), false),
            (aborted(false), true),
        ] {
            let line = Record::new(&event).line();
            walk.write(&format!("{line}\n")).unwrap();
            assert_eq!(is_half_walked(&layout, "web", HOUR), is_half, "{line}");
        }
        assert!(!is_half_walked(&layout, "web", Duration::ZERO));
        remove(&layout, "web");
        assert!(!layout.state("web").exists());
    }
}
