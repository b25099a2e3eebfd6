//! The cluster of a command of a unit, and what such a command writes to the journal.

use crate::cluster::Cluster;
use crate::command::context::Context;
use crate::layout::Layout;
use crate::output::{Failure, Notice, Sink};
use crate::record::Journal;
use crate::unit::name::Units;

/// Returns the cluster of an app.
pub(super) fn cluster(context: &Context<'_>, app: &str) -> Cluster {
    let Layout { journal, scope, .. } = &context.layout;
    Cluster {
        app: app.to_owned(),
        state: context.layout.state(app),
        scope: *scope,
        journal: Journal::of_cluster_unit(journal, *scope, app),
    }
}

/// Returns the cluster for a command of the cluster unit itself. Each of its entries names the run of that unit, since journald cannot tell
/// the run of a process that has ended before journald reads its last entry.
///
/// # Errors
/// Where systemd cannot be reached: each further attempt would wait for it as long as this one.
pub(super) fn of_the_run(context: &mut Context<'_>, app: &str) -> Result<Cluster, Failure> {
    let mut cluster = cluster(context, app);
    let name = Units::of(app).cluster();
    // A systemd that does not answer any more makes the command fail soon enough.
    let pulse = context.manager()?.pulse(&name);
    let invocation = pulse.map(|pulse| pulse.invocation).unwrap_or_default();
    cluster.journal = cluster.journal.of_run(cluster.scope, &invocation);
    Ok(cluster)
}

/// Returns the cluster for a command of another unit.
pub(super) fn beside(context: &Context<'_>, app: &str) -> Cluster {
    let Layout { journal, scope, .. } = &context.layout;
    let mut cluster = cluster(context, app);
    cluster.journal = Journal::of_app(journal, *scope, app);
    cluster
}

/// Says a line in the cluster unit, the same way as the entries with more fields, so that journald gets all in their order.
pub(super) fn say(cluster: &Cluster, sink: &dyn Sink, line: &str) {
    if !cluster.journal.line(line) {
        sink.notice(&Notice::Said(line));
    }
}
