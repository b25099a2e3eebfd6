//! Instances that do not end: every process of one may ask systemd for more time, again and again
//! (`EXTEND_TIMEOUT_USEC=` in `sd_notify(3)`), so that systemd's own time-outs bound nothing.
//!
//! All code that waits for instances looks here meanwhile. One that has been on its way down for longer
//! than its app allows is killed, all of its processes at once.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::systemd::{ActiveState, Error, Manager};
use crate::unit::name::Units;

/// The least time that systemd gets beyond the app's own bounds.
const MARGIN: Duration = Duration::from_secs(5);
/// A killed instance has its `ExecStopPost=` to run; one that still exists after this is killed again.
const BETWEEN_KILLS: Duration = Duration::from_secs(10);

/// Each look queries systemd about every one of them, so there is no more than one in this time.
const GLANCE: Duration = Duration::from_millis(500);

/// An instance that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// The app.
    app: String,
    /// The number of the instance.
    pub number: u32,
    /// How long it had been waited for.
    pub after: Duration,
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, number, after } = self;
        write!(
            f,
            "{app}@{number} did not end within {} s: killed",
            after.as_secs()
        )
    }
}

/// The instances of an app that are on their way down, and since when.
#[derive(Debug)]
pub struct Overdue {
    app: String,
    longest: Duration,
    falling: BTreeMap<u32, Falling>,
    next: Duration,
}

#[derive(Debug)]
struct Falling {
    /// The run that is ending: an instance that ends again and again is not overdue.
    invocation: String,
    since: Duration,
    killed: Option<Duration>,
}

impl Overdue {
    /// `longest` is what a stop takes by the app's own bounds.
    #[must_use]
    pub fn new(app: &str, longest: Duration) -> Self {
        Self {
            app: app.to_owned(),
            longest,
            falling: BTreeMap::new(),
            next: Duration::ZERO,
        }
    }

    /// Looks at all instances of the app; returns those that had to be killed just now.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    pub fn look(&mut self, manager: &mut dyn Manager) -> Result<Vec<Killed>, Error> {
        let now = manager.now();
        if now < self.next {
            return Ok(Vec::new());
        }
        self.next = now + GLANCE;
        let mut killed = Vec::new();
        let mut still = BTreeMap::new();
        let names = Units::of(&self.app);
        for brief in manager.units(&names.instances())? {
            let Some(number) = names.number(&brief.name) else {
                continue;
            };
            if brief.active != ActiveState::Deactivating {
                continue;
            }
            let unit = manager.unit(&brief.name)?;
            let known = self.falling.remove(&number);
            let mut falling = known
                .filter(|f| f.invocation == unit.invocation)
                .unwrap_or_else(|| Falling {
                    invocation: unit.invocation.clone(),
                    since: now,
                    killed: None,
                });
            // An administrator may have given it more time than the app's file says.
            let after = self.longest.saturating_add(unit.stop_timeout.max(MARGIN));
            let is_overdue = now.saturating_sub(falling.since) >= after;
            if is_overdue && falling.killed.is_none_or(|at| now >= at + BETWEEN_KILLS) {
                manager.kill(&brief.name)?;
                if falling.killed.replace(now).is_none() {
                    killed.push(Killed {
                        app: self.app.clone(),
                        number,
                        after,
                    });
                }
            }
            still.insert(number, falling);
        }
        self.falling = still;
        Ok(killed)
    }
}
