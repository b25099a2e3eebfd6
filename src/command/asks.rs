//! The note of who has asked for something. A command leaves a note for the cluster unit, which systemd starts and which knows only systemd.

use std::path::Path;
use std::time::Duration;

use super::apply::Prepared;
use super::host_probe;
use super::jobs::Jobs;
use super::trial;
use crate::generate::sources;
use crate::journal::Happening;
use crate::layout::Layout;
use crate::output::Failure;
use crate::plan::diff::{Change, Content};
use crate::record::{Asked, Journal, Record};
use crate::state::{Entry, Name};
use crate::sys::entry;
use crate::unit::name::Units;

/// The number that the kernel gives as the login of a process that no login has started, see `/proc/pid/loginuid` in proc(5).
const NOBODY: u32 = u32::MAX;

/// The note that a command has left, which is removed when the command has done its work, unless another command's note is there by
/// then: that one is about a job that is still to come.
pub(super) struct Note {
    entry: Entry,
    text: String,
}

impl Note {
    fn write(&mut self, asked: &Asked) {
        // Two commands of one user differ in the last line, which is not read.
        self.text = format!("{}{}\n", asked.text(), std::process::id());
        // Without the note, the report says that somebody requested it.
        let _ = self.entry.write(&self.text);
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // The cluster unit has usually read and removed the note.
        if self.entry.read().is_ok_and(|text| text == self.text) {
            let _ = self.entry.remove();
        }
    }
}

impl Jobs<'_> {
    /// Leaves a note of who asks for the next job of an app's cluster unit.
    pub(super) fn ask(&self, app: &str) -> Note {
        let mut note = Note {
            entry: Entry::new(&self.layout.state(app), Name::AskedBy),
            text: String::new(),
        };
        note.write(&self.asked(None));
        note
    }

    /// The same for a walk, with the release that runs and the one that is going to.
    pub(super) fn ask_for_a_walk(&mut self, app: &str) -> Note {
        let change = self.release(app);
        let mut note = self.ask(app);
        note.write(&self.asked(change));
        note
    }

    fn asked(&self, change: Option<(String, String)>) -> Asked {
        Asked {
            command: self.command.to_owned(),
            by: who(),
            change,
        }
    }

    /// Tells in the journal what this command has done to an app.
    pub(super) fn record(&self, app: &str, record: &Record<'_>) {
        let Layout { journal, scope, .. } = self.layout;
        // systemd starts the commands of units, and does not tell for whom.
        let asked = (self.command != "unit").then(|| self.asked(None));
        let journal = Journal::of_app(journal, *scope, app).asked_by(asked);
        journal.tell(record);
    }

    /// Tells how this command has brought an app in line with its file, in a word for what it did to the processes. A reload is told by
    /// the cluster unit.
    pub(super) fn record_deployment(
        &mut self,
        prepared: &Prepared,
        took: Duration,
        end: Result<Option<&str>, &Failure>,
    ) {
        // The command reports it once it is known whether the address can be corrected.
        let now = self.manager.now();
        if end.is_err() && trial::is_on(self.layout, &prepared.app, now) {
            return;
        }
        let happening = match self.command {
            "install" | "edit" => Happening::Installed,
            "deploy" => Happening::Deployed,
            _ => return,
        };
        let is_link = |c: &&Change| matches!(c.new, Some(Content::Link(_)));
        let files = prepared.changes.iter().filter(|c| !is_link(c));
        let files = files.filter_map(|c| c.path.file_name());
        let files: Vec<_> = files.map(|name| name.to_string_lossy()).collect();
        let mut parts = Vec::new();
        if !prepared.found.is_empty() {
            parts.push(format!(
                "listens on {}, as was found",
                prepared.found.join(" ")
            ));
        }
        if !files.is_empty() {
            parts.push(format!("{} changed", files.join(" ")));
        }
        match end {
            Ok(word) => parts.extend(word.map(str::to_owned)),
            Err(failure) => parts.push(format!("failed: {}", failure.message)),
        }
        if parts.is_empty() {
            return;
        }
        let text = format!("{}: {}", self.command, parts.join(", "));
        self.record(
            &prepared.app,
            &Record {
                is_failed: end.is_err(),
                took: Some(took),
                ..Record::new(happening, &text)
            },
        );
    }

    /// Returns the folder in which the first instance works, and the one in which it would if it were started now, if they differ: the
    /// link to the release has moved.
    fn release(&mut self, app: &str) -> Option<(String, String)> {
        let source = sources::find(self.layout, app)?;
        let (_, file) = sources::load(self.layout, &source).ok()?;
        let cwd = file.program().cwd()?;
        // Without a link there is one release, and a program may have changed to another folder.
        let next = std::fs::canonicalize(cwd)
            .ok()
            .filter(|next| next != Path::new(cwd))?;
        let first = self.manager.unit(&Units::of(app).instance(0)).ok()?;
        let process = Path::new("/proc").join(first.main_pid.to_string());
        let now = std::fs::read_link(process.join("cwd")).ok()?;
        let (now, next) = (now.to_str()?, next.to_str()?);
        let now = now.strip_suffix(" (deleted)").unwrap_or(now);
        (now != next).then(|| (now.to_owned(), next.to_owned()))
    }
}

/// Returns the name of the user who runs this command. The kernel knows who has logged in, whatever became of the session since;
/// where it does not, sudo(8) tells.
pub(super) fn who() -> String {
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|text| text.trim_end().parse().ok());
    let login = login.filter(|uid| *uid != NOBODY);
    let own = nix::unistd::getuid().as_raw();
    // Anybody may set the variable, and only root's is believed.
    let sudo = || {
        let uid = entry::value("SUDO_UID").filter(|_| own == 0)?;
        uid.to_str()?.parse().ok()
    };
    match login.or_else(sudo).unwrap_or(own) {
        0 => "root".to_owned(),
        uid => host_probe::user(uid).unwrap_or_else(|| uid.to_string()),
    }
}
