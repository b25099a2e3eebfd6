//! The thread that looks at the apps again and again.

use std::thread;
use std::time::Duration;

use super::super::list;
use super::super::targets;
use super::{News, Sender};
use crate::layout::Layout;
use crate::output::Failure;
use crate::systemd;

/// How long it takes until a systemd that did not answer is queried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Begins to look at these apps, or at all if none is named, this often.
pub(super) fn begin(
    layout: Layout,
    cpus: u32,
    (apps, interval): (Vec<String>, Duration),
    sender: Sender,
) {
    thread::spawn(move || {
        while let Err(failure) = look(&layout, cpus, (&apps, interval), &sender) {
            if !sender.send(News::Unseen(failure)) {
                return;
            }
            thread::sleep(AGAIN);
        }
    });
}

/// Looks until nobody wants it any more.
///
/// # Errors
/// When systemd cannot be asked.
fn look(
    layout: &Layout,
    cpus: u32,
    (named, interval): (&[String], Duration),
    sender: &Sender,
) -> Result<(), Failure> {
    let mut manager = systemd::connect(layout.scope)?;
    let apps = || match named {
        [] => targets::known(layout),
        named => named.to_vec(),
    };
    let first = list::listing(manager.as_mut(), layout, cpus, &apps())?;
    let mut before = (first.apps, manager.now());
    let mut pause = list::MEASURED.min(interval);
    loop {
        if !sender.send(News::Seen(before.0.clone())) {
            return Ok(());
        }
        manager.pause(pause);
        pause = interval;
        let (shown, at) = list::measured(manager.as_mut(), layout, cpus, &apps(), &before)?;
        before = (shown.apps, at);
    }
}
