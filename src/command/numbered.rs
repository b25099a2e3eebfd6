//! A deployment of files in which only the number of instances is another: those that stay are left alone, as `rsgen scale` does.

use std::collections::BTreeMap;

use super::apply::Prepared;
use super::jobs::Jobs;
use super::outcome::Action;
use super::resize;
use super::scale;
use super::steps::{Scaling, Steps};
use crate::contract::Instances;
use crate::generate;
use crate::layout::Layout;
use crate::output::Failure;
use crate::plan;
use crate::plan::diff::{Change, Content};
use crate::state::Lock;
use crate::unit::name::Units;

/// The number of instances before and after a deployment that changes nothing else about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Number {
    /// Returns the number, if the changes of an app's files concern it, and nothing else that an instance or a reload depends on.
    pub(super) fn of(layout: &Layout, cpus: u32, app: &str, changes: &[Change]) -> Option<Self> {
        // What the instances of an app run is in its units, unless the generator makes these.
        generate::pinned(layout, app)?;
        let units = Units::of(app);
        let unit = |name: String| layout.units.join(name);
        let (cluster, recycler) = (unit(units.cluster()), unit(units.recycler()));
        let (links, file) = (layout.units.join(plan::wants_dir(app)), layout.file(app));
        let drop_in = resize::own_drop_in(layout, app);
        let is_of_number = |change: &Change| {
            let path = &change.path;
            *path == file
                || path.parent() == Some(&links)
                    && path
                        .file_name()
                        .and_then(|name| units.number(name.to_str()?))
                        .is_some()
                || drop_in.as_ref() == Some(path)
                || (*path == cluster || *path == recycler) && is_number_alone(change)
        };
        if !changes.iter().all(is_of_number) {
            return None;
        }
        let change = changes.iter().find(|change| change.path == cluster)?;
        let number = |content: &Option<Content>| match content {
            Some(Content::File(text)) => Some(generate::marked(text)?.1.resolve(cpus)),
            _ => None,
        };
        let (from, to) = (number(&change.old)?, number(&change.new)?);
        Some(Self { from, to })
    }

    fn scaling(self, app: &str) -> Scaling<'_> {
        let Self { from, to } = self;
        Scaling {
            app,
            from,
            to,
            known: from,
        }
    }
}

/// Returns whether a unit differs in the number of instances at most.
fn is_number_alone(change: &Change) -> bool {
    match (&change.old, &change.new) {
        (Some(Content::File(old)), Some(Content::File(new))) => {
            let same = |text| resize::with_instances(text, Instances::Max);
            same(old) == same(new)
        }
        _ => false,
    }
}

/// The apps of a deployment that get another number of instances. No reload of theirs begins meanwhile.
#[derive(Default)]
pub(super) struct Numbered(BTreeMap<String, (Lock, Number, Steps)>);

impl Numbered {
    /// Waits for the reloads that are under way, and looks at what there will be to do. This comes before any file is written.
    pub(super) fn begin(jobs: &mut Jobs<'_>, mut wanted: Vec<&Prepared>) -> Result<Self, Failure> {
        // Another command takes the same locks in the same order.
        wanted.sort_by_key(|prepared| &prepared.app);
        let mut all = BTreeMap::new();
        for prepared in wanted {
            let app = &prepared.app;
            let Some(number) = prepared.number else {
                continue;
            };
            let lock = scale::lock(jobs, app)?;
            let steps = scale::planned(jobs, number.scaling(app))?;
            all.insert(app.clone(), (lock, number, steps));
        }
        for (app, (_, number, _)) in &all {
            scale::mark(jobs, number.scaling(app))?;
        }
        Ok(Self(all))
    }

    /// Starts and stops instances of an app, once its files are written; `None` if it is no such app.
    pub(super) fn carry_out(
        &mut self,
        jobs: &mut Jobs<'_>,
        app: &str,
    ) -> Option<Result<Action, Failure>> {
        let (lock, number, steps) = self.0.remove(app)?;
        let scaling = number.scaling(app);
        let (is_walking, done) = match scale::take_steps(jobs, scaling, &steps) {
            Ok(taken) => taken,
            Err(failure) => return Some(Err(failure)),
        };
        drop(lock);
        let done = if is_walking {
            scale::outlast_walk(jobs, scaling)
        } else {
            done
        };
        let done = done.and_then(|()| {
            scale::unmark(jobs, app);
            // Those that have failed are started again, as by any other install.
            if jobs.is_whole(app)? {
                Ok(())
            } else {
                jobs.start(app)
            }
        });
        Some(done.map(|()| Action::Scale))
    }
}
