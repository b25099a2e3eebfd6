//! Lets an instance that is on its way up become READY before a command stops it.
//!
//! Until an instance is READY, systemd stops it without `ExecStop=`, and so without a drain: what the program has accepted by then
//! would be cut.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use super::accepting;
use super::holders;
use super::jobs::Jobs;
use super::waiting::{TICK, Waiting};
use crate::balance::census;
use crate::ecosystem::App;
use crate::generate::sources;
use crate::output::{Failure, Notice};
use crate::systemd::{ActiveState, Brief, Unit};

/// How long a command waits, all in all. A program that is never READY must not keep anybody from stopping it.
const LONGEST: Duration = Duration::from_secs(3);

/// What is waited for.
const WHAT: &str = "an instance with connections to become READY";

impl Jobs<'_> {
    /// Waits until no instance that matches is on its way up and has connections.
    pub(super) fn outlast_starts(&mut self, app: &str, pattern: &str) -> Result<(), Failure> {
        let end = self.manager.now() + LONGEST;
        if self.on_their_way(pattern)?.is_empty() {
            return Ok(());
        }
        let source = sources::find(self.layout, app);
        let Some((_, known)) = source.and_then(|source| sources::load(self.layout, &source).ok())
        else {
            return Ok(());
        };
        let by = Instant::now() + LONGEST;
        let mut waiting = Waiting::begin(self.sink);
        let mut is_told = false;
        while self.manager.now() < end && self.is_any_busy(&known, pattern, by)? {
            if !is_told {
                // The stop itself follows and may take as long again.
                is_told = true;
                let line = format!("waiting for {WHAT}");
                self.sink.notice(&Notice::Waiting(app, &line));
            }
            waiting.tell_of(self.sink, app, WHAT);
            self.manager.pause(TICK);
        }
        Ok(())
    }

    fn is_any_busy(&mut self, app: &App, pattern: &str, by: Instant) -> Result<bool, Failure> {
        for brief in self.on_their_way(pattern)? {
            let unit = self.manager.unit(&brief.name)?;
            if unit.is_starting() && has_any(app, &unit, by) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn on_their_way(&mut self, pattern: &str) -> Result<Vec<Brief>, Failure> {
        let mut briefs = self.manager.units(pattern)?;
        briefs.retain(|brief| brief.active == ActiveState::Activating);
        Ok(briefs)
    }
}

/// Returns whether the processes of one instance have connections at the ports of an app, as far as the kernel tells by then. An app may
/// have so many processes and descriptors that a look at all of them takes hours.
fn has_any(app: &App, instance: &Unit, by: Instant) -> bool {
    let census = census::at(&accepting::ports(app)).unwrap_or_default();
    let accepted: HashSet<u64> = census.accepted.iter().map(|a| a.inode).collect();
    let group = holders::group(instance.main_pid, instance).filter(|_| !accepted.is_empty());
    let Some(folder) = group.and_then(|group| holders::folder(&group)) else {
        return false;
    };
    let links =
        holders::processes(&folder).filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok());
    let mut in_time = links.flatten().take_while(|_| Instant::now() < by);
    in_time.any(|link| {
        let target = link.and_then(|link| fs::read_link(link.path()));
        let inode = target.ok().and_then(|to| holders::inode(&to));
        inode.is_some_and(|inode| accepted.contains(&inode))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process;

    use super::*;
    use crate::ecosystem::parse;

    #[test]
    fn an_instance_with_a_connection_is_found_in_time_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let procs = format!("{}\n", process::id());
        fs::write(folder.path().join("cgroup.procs"), procs).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = format!("[[apps]]\nname = \"web\"\nscript = \"x\"\nlisten = {port}\n");
        let app = parse("eco.toml", &text).0.remove(0);
        let unit = Unit {
            control_group: format!("/../../..{}", folder.path().display()),
            ..Unit::default()
        };
        let later = || Instant::now() + LONGEST;
        assert!(!has_any(&app, &unit, later()));
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _accepted = listener.accept().unwrap();
        assert!(has_any(&app, &unit, later()));
        assert!(!has_any(&app, &unit, Instant::now()));
    }
}
