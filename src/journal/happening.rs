//! The events of an app, as entries of the journal: the message IDs, and the names of the fields.
//!
//! Both are an interface: scripts and alerts match them, and packaging/rsgen.catalog explains each ID.

/// An event of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// The cluster has been started, and instances serve.
    Started,
    /// The cluster has been started, and no instance serves.
    StartFailed,
    /// The cluster has been stopped.
    Stopped,
    /// No instance is left, and nobody has requested that.
    Failed,
    /// A command has started or restarted one instance.
    InstanceStarted,
    /// A command has stopped one instance.
    InstanceStopped,
    /// A walk has replaced every instance.
    Reloaded,
    /// A walk has failed.
    ReloadFailed,
    /// A walk has started a canary and kept it.
    CanaryKept,
    /// A walk has stopped a canary that was kept.
    CanaryDropped,
    /// An instance was replaced by itself, because it used too much memory or had run for too long.
    Recycled,
    /// An automatic replacement of an instance has failed.
    RecycleFailed,
    /// An instance has ended, and nobody has requested that.
    Crashed,
    /// An instance is not started again.
    Errored,
    /// A run of a job has succeeded.
    Ran,
    /// A run of a job has failed.
    RunFailed,
    /// The instances have ended for a pause, and connections wait.
    Paused,
    /// The instances of an app that was paused have been started again.
    Resumed,
    /// `rsgen scale` has changed the number of instances.
    Scaled,
    /// `rsgen install` has changed files or processes.
    Installed,
    /// `rsgen deploy` has done so.
    Deployed,
    /// `rsgen uninstall` has removed the app.
    Uninstalled,
}

impl Happening {
    /// Everything that can happen.
    pub const ALL: [Self; 22] = [
        Self::Started,
        Self::StartFailed,
        Self::Stopped,
        Self::Failed,
        Self::InstanceStarted,
        Self::InstanceStopped,
        Self::Reloaded,
        Self::ReloadFailed,
        Self::CanaryKept,
        Self::CanaryDropped,
        Self::Recycled,
        Self::RecycleFailed,
        Self::Crashed,
        Self::Errored,
        Self::Ran,
        Self::RunFailed,
        Self::Paused,
        Self::Resumed,
        Self::Scaled,
        Self::Installed,
        Self::Deployed,
        Self::Uninstalled,
    ];

    /// Returns the `MESSAGE_ID=`, see systemd.journal-fields(7).
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Started => "c4d4e66914c84d4dba675e5df345c432",
            Self::StartFailed => "245416aaaed14a05abfc024ea94072b4",
            Self::Stopped => "bebee312afe74562a129dedc2e9615e0",
            Self::Failed => "f334a188f4684663a20ef5a5d6b7dd9a",
            Self::InstanceStarted => "6f41e0e418b845419d1b5b13e27517c1",
            Self::InstanceStopped => "8c9835c268a44c20b5af6090e325f0d6",
            Self::Reloaded => "8f79d6e5ea484493b90d850cd6b7adf0",
            Self::ReloadFailed => "52f1e969b12b478698d8764961fa5c13",
            Self::CanaryKept => "b04adeec22864437a9358b247f2098aa",
            Self::CanaryDropped => "93af746007ff415b994348c42cb136d1",
            Self::Recycled => "c3db91a7319b4ae8b80f1de8caab6b89",
            Self::RecycleFailed => "e03be47a023a4dc38fad2a1c08326145",
            Self::Crashed => "0f8fa16b12564b11b3da406e04afc215",
            Self::Errored => "653a84dd7dff4b8f9bbd62e7d8f09b94",
            Self::Ran => "6fd209d32c31484aa395c831e8dcd6af",
            Self::RunFailed => "0eff603cad9646f3a3127bd519af004c",
            Self::Paused => "3bebc26766124656af176f35945aa0e0",
            Self::Resumed => "a44f304d139a4946ab64786de637a975",
            Self::Scaled => "aab4c9cc85b948fbb2238c6de9c8f130",
            Self::Installed => "6b737f7f19be46879e2cb8a3e422ea17",
            Self::Deployed => "70e8fc85463a4cb2a0bd985d48ba292b",
            Self::Uninstalled => "b00bcb07577b4c9e946ac18591dd2d3e",
        }
    }

    /// Returns the event with this message ID.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|happening| happening.id() == id)
    }

    /// Returns the word for the event. A success and a failure of the same event have the same word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started | Self::StartFailed | Self::InstanceStarted => "start",
            Self::Stopped | Self::InstanceStopped => "stop",
            Self::Failed => "failed",
            Self::Reloaded | Self::ReloadFailed => "reload",
            Self::CanaryKept => "canary",
            Self::CanaryDropped => "abort",
            Self::Recycled | Self::RecycleFailed => "recycle",
            Self::Crashed => "crash",
            Self::Errored => "errored",
            Self::Ran | Self::RunFailed => "run",
            Self::Paused => "pause",
            Self::Resumed => "resume",
            Self::Scaled => "scale",
            Self::Installed => "install",
            Self::Deployed => "deploy",
            Self::Uninstalled => "uninstall",
        }
    }

    /// Whether the event is always a failure.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::StartFailed
                | Self::Failed
                | Self::ReloadFailed
                | Self::RecycleFailed
                | Self::Crashed
                | Self::Errored
                | Self::RunFailed
        )
    }

    /// Returns the priority of its entry, see syslog(3). An instance that has ended is started again.
    #[must_use]
    pub const fn priority(self, is_failed: bool) -> u8 {
        match self {
            Self::Crashed => 4,
            _ if is_failed || self.is_failure() => 3,
            // Nobody has requested it; and the unit's own lines are kept from this priority on.
            Self::Recycled => 5,
            _ => 6,
        }
    }
}

/// The names of the fields of rsgen.
pub mod names {
    use crate::layout::Scope;

    /// Returns the field for the unit that an entry of another process is about, see systemd.journal-fields(7).
    #[must_use]
    pub const fn about(scope: Scope) -> &'static str {
        match scope {
            Scope::System => "OBJECT_SYSTEMD_UNIT",
            Scope::User => "OBJECT_SYSTEMD_USER_UNIT",
        }
    }

    /// Returns the field for the invocation ID of that unit, as the manager itself names it in its entries.
    #[must_use]
    pub const fn invocation(scope: Scope) -> &'static str {
        match scope {
            Scope::System => "INVOCATION_ID",
            Scope::User => "USER_INVOCATION_ID",
        }
    }

    /// The app, in each entry of rsgen about one.
    pub const APP: &str = "RSGEN_APP";
    /// The walk, in each entry of a walk: the same ID in all of them.
    pub const WALK: &str = "RSGEN_WALK";
    /// The number of the instance.
    pub const INSTANCE: &str = "RSGEN_INSTANCE";
    /// `done` or `failed`.
    pub const OUTCOME: &str = "RSGEN_OUTCOME";
    /// How long it took, in milliseconds.
    pub const DURATION: &str = "RSGEN_DURATION_MS";
    /// The value before: the number of instances, or the release.
    pub const FROM: &str = "RSGEN_FROM";
    /// The value now.
    pub const TO: &str = "RSGEN_TO";
    /// The user who asked for it, as reported by the command that this user ran.
    pub const BY: &str = "RSGEN_BY";
    /// The subcommand of rsgen by which that user asked.
    pub const COMMAND: &str = "RSGEN_COMMAND";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_an_id_of_its_own_by_which_it_is_found() {
        let ids: BTreeSet<&str> = Happening::ALL.map(Happening::id).into();
        assert_eq!(ids.len(), Happening::ALL.len());
        for happening in Happening::ALL {
            let id = happening.id();
            let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            assert!(id.len() == 32 && id.chars().all(is_hex), "{id}");
            assert_eq!(Happening::of_id(id), Some(happening));
        }
        assert_eq!(Happening::of_id(""), None);
    }

    #[test]
    fn each_is_in_the_documents() {
        let page = include_str!("../../docs/troubleshooting.md");
        let (_, table) = page.split_once("| what | `MESSAGE_ID` |").unwrap();
        for happening in Happening::ALL {
            let mut rows = table.lines().filter(|line| line.starts_with('|'));
            let row = rows.find(|row| row.contains(happening.id())).unwrap();
            let word = format!("| `{}`", happening.word());
            assert!(row.starts_with(&word), "{row}");
        }
    }

    /// The text that `journalctl -x` shows.
    #[test]
    fn each_is_explained_in_the_catalog_with_fields_that_its_entries_have() {
        let catalog = include_str!("../../packaging/rsgen.catalog");
        let entries: Vec<&str> = catalog.split("\n-- ").skip(1).collect();
        let id = |entry: &&str| entry.lines().next().unwrap().to_owned();
        let ids: Vec<String> = entries.iter().map(id).collect();
        assert_eq!(ids, Happening::ALL.map(Happening::id));
        let always = [names::APP, names::OUTCOME, "MESSAGE", names::INSTANCE];
        for entry in entries {
            let (head, text) = entry.split_once("\n\n").unwrap();
            let labels: Vec<&str> = head.lines().skip(1).map(|l| &l[..8]).collect();
            assert_eq!(labels, ["Subject:", "Defined-", "Support:"], "{head}");
            assert!(entry.lines().all(|line| line.len() <= 80), "{entry}");
            let fields: Vec<&str> = text.split('@').skip(1).step_by(2).collect();
            let is_known = |field: &&str| always.contains(field);
            assert!(fields.iter().all(is_known), "{fields:?}");
        }
    }

    #[test]
    fn a_failure_is_more_urgent_than_the_same_thing_done() {
        assert_eq!(Happening::Scaled.priority(false), 6);
        assert_eq!(Happening::Scaled.priority(true), 3);
        assert_eq!(Happening::Errored.priority(false), 3);
        assert_eq!(Happening::Crashed.priority(true), 4);
        assert_eq!(Happening::Recycled.priority(false), 5);
    }
}
