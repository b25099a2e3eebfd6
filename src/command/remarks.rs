//! Remarks on what an install has done: what works, and would work better in another way.

use super::hint;
use super::jobs::Jobs;
use super::outcome::Outcome;
use crate::contract::FURTHER;
use crate::layout::Layout;
use crate::output::{Failure, Notice, Sink};
use crate::unit::name::Units;

/// Tells of a port that the first instance binds and that is not in the file: another instance cannot bind it as well.
pub(super) fn tell_further_ports(jobs: &mut Jobs<'_>, outcome: &Outcome) -> Result<(), Failure> {
    for app in &outcome.started {
        let instance = jobs.manager.unit(&Units::of(app).instance(0))?;
        if instance.status_text.ends_with(FURTHER) {
            jobs.sink.notice(&Notice::Noted(app, &instance.status_text));
        }
    }
    Ok(())
}

/// Shows how to change the number of instances without a reload, if a command line with a number has caused one.
pub(super) fn tell_of_scale(sink: &dyn Sink, layout: &Layout, outcome: &Outcome) {
    for app in &outcome.reloaded {
        let text = format!(
            "to change only the number, run `rsgen scale {app} N`, which replaces no instance"
        );
        sink.notice(&Notice::Noted(app, &hint::for_manager(layout.scope, &text)));
    }
}
