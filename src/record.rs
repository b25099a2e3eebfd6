//! Writes entries about an app to the journal, with fields that scripts can match.
//!
//! The protocol is that of `sd_journal_sendv(3)`: one datagram for each entry. The length stands before each value, so that no value
//! begins another field. Nothing here waits for journald, and without journald nothing is written.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{UnixAddr, getpeername};

use crate::journal::{Happening, field};
use crate::layout::Scope;
use crate::unit::name::Units;
use crate::visible::{self, Visible};

/// The largest number of characters in a value. A datagram with all values fits into the send buffer of a socket.
const LONGEST: usize = 4000;
/// How often, and how long apart, an entry is sent again while the queue of journald is full.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);
/// Where systemd connects the standard output of a unit, see `StandardOutput=journal` in systemd.exec(5).
const STDOUT: &str = "/run/systemd/journal/stdout";

/// An entry about something that has happened.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What has happened.
    pub happening: Happening,
    /// The text for people.
    pub message: &'a str,
    /// Whether it failed, for what may fail or not.
    pub is_failed: bool,
    /// The instance that it happened to.
    pub instance: Option<u32>,
    /// How long it took.
    pub took: Option<Duration>,
    /// What was there before, and what is there now.
    pub change: Option<(String, String)>,
}

impl<'a> Record<'a> {
    /// An entry without the facts that only some have.
    #[must_use]
    pub const fn new(happening: Happening, message: &'a str) -> Self {
        Self {
            happening,
            message,
            is_failed: happening.is_failure(),
            instance: None,
            took: None,
            change: None,
        }
    }
}

/// Who asked for something, and by which subcommand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The subcommand.
    pub command: String,
    /// The name of the user, or the number of one without a name.
    pub by: String,
    /// The release that runs and the one that is to, if they differ.
    pub change: Option<(String, String)>,
}

impl Asked {
    /// Parses the text of a note that a command leaves for the cluster unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (command, by) = lines.next()?.split_once(' ')?;
        let change = lines.next().zip(lines.next());
        let is_word = |word: &str| {
            !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        (is_word(command) && is_word(by)).then(|| Self {
            command: command.to_owned(),
            by: by.to_owned(),
            change: change.map(|(from, to)| (from.to_owned(), to.to_owned())),
        })
    }

    /// Returns the text of such a note.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.command, self.by);
        if let Some((from, to)) = &self.change {
            let is_line = |text: &str| !text.contains(char::is_control);
            if is_line(from) && is_line(to) {
                text.extend([from, "\n", to, "\n"]);
            }
        }
        text
    }
}

/// The journal, as entries about one app are written to it.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// The socket of journald; empty for no journal.
    socket: PathBuf,
    /// The fields of each entry.
    fields: Vec<(&'static str, String)>,
    /// What stands before the text where others write to the same unit.
    prefix: &'static str,
    /// The release before and after.
    change: Option<(String, String)>,
    /// Whether standard output leads to the journal.
    is_stdout: bool,
}

impl Journal {
    /// The journal for entries about the cluster unit of an app. `socket` is that of journald.
    #[must_use]
    pub fn of_app(socket: &Path, scope: Scope, app: &str) -> Self {
        Self {
            socket: socket.to_owned(),
            fields: vec![
                ("SYSLOG_IDENTIFIER", app.to_owned()),
                (field::APP, app.to_owned()),
                (field::about(scope), Units::of(app).cluster()),
            ],
            prefix: "rsgen: ",
            change: None,
            is_stdout: false,
        }
    }

    /// The same within the cluster unit, which only rsgen writes to. An entry then takes the place of a line on standard output.
    #[must_use]
    pub fn of_cluster_unit(socket: &Path, scope: Scope, app: &str) -> Self {
        Self {
            prefix: "",
            is_stdout: is_stdout_a_journal(),
            ..Self::of_app(socket, scope, app)
        }
    }

    /// Adds to each entry the invocation ID of the cluster unit, in the field in which the manager itself writes it.
    #[must_use]
    pub fn of_run(mut self, scope: Scope, invocation: &str) -> Self {
        if !invocation.is_empty() {
            let field = field::invocation(scope);
            self.fields.push((field, invocation.to_owned()));
        }
        self
    }

    /// Adds to each entry who asked for what happens.
    #[must_use]
    pub fn asked_by(mut self, asked: Option<Asked>) -> Self {
        if let Some(asked) = asked {
            self.fields.push((field::COMMAND, asked.command));
            self.fields.push((field::BY, asked.by));
            self.change = asked.change;
        }
        self
    }

    /// Adds to each entry the walk that it is about.
    #[must_use]
    pub fn of_walk(mut self) -> Self {
        // Without /proc there is no ID.
        if let Ok(id) = std::fs::read_to_string("/proc/sys/kernel/random/uuid") {
            self.fields
                .push((field::WALK, id.trim_end().replace('-', "")));
        }
        self
    }

    /// Writes a line of a command. Returns whether journald took it in the place of a line on standard output.
    #[must_use]
    pub fn line(&self, text: &str) -> bool {
        self.is_stdout && self.send(&self.entry(6, text, &[])).is_ok()
    }

    /// Writes an entry.
    pub fn tell(&self, record: &Record<'_>) {
        // Without a journal there is nobody to tell.
        let _ = self.tell_instead(record);
    }

    /// Writes an entry. Returns whether the entry has taken the place of a line on standard output.
    #[must_use]
    pub fn tell_instead(&self, record: &Record<'_>) -> bool {
        let Record {
            happening,
            message,
            is_failed,
            instance,
            took,
            change,
        } = record;
        let outcome = if *is_failed { "failed" } else { "done" };
        let mut fields = vec![
            ("MESSAGE_ID", happening.id().to_owned()),
            (field::OUTCOME, outcome.to_owned()),
        ];
        let mut add = |name, value: Option<String>| {
            fields.extend(value.map(|value| (name, value)));
        };
        add(field::INSTANCE, instance.map(|n| n.to_string()));
        add(field::DURATION, took.map(|t| t.as_millis().to_string()));
        let change = change.as_ref().or(self.change.as_ref());
        add(field::FROM, change.map(|c| c.0.clone()));
        add(field::TO, change.map(|c| c.1.clone()));
        let entry = self.entry(happening.priority(*is_failed), message, &fields);
        self.send(&entry).is_ok() && self.is_stdout
    }

    /// Returns the datagram of an entry.
    fn entry(&self, priority: u8, text: &str, more: &[(&'static str, String)]) -> Vec<u8> {
        let text = Visible::line(&visible::cut(text, LONGEST));
        let mut entry = Vec::new();
        let own = [
            ("MESSAGE", format!("{}{text}", self.prefix)),
            ("PRIORITY", priority.to_string()),
        ];
        for (name, value) in own.iter().chain(&self.fields).chain(more) {
            let value = visible::cut(value, LONGEST);
            entry.extend_from_slice(name.as_bytes());
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
            entry.extend_from_slice(value.as_bytes());
            entry.push(b'\n');
        }
        entry
    }

    fn send(&self, entry: &[u8]) -> io::Result<()> {
        if self.socket.as_os_str().is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let mut tries = TRIES;
        loop {
            match socket.send_to(entry, &self.socket) {
                Err(e) if e.kind() == ErrorKind::WouldBlock && tries > 0 => {
                    tries -= 1;
                    std::thread::sleep(PAUSE);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                sent => return sent.map(|_| ()),
            }
        }
    }
}

fn is_stdout_a_journal() -> bool {
    let peer = getpeername::<UnixAddr>(std::io::stdout().as_raw_fd());
    peer.is_ok_and(|peer| peer.path() == Some(Path::new(STDOUT)))
}

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::fake::Journald;
    use super::*;

    #[test]
    fn no_value_begins_a_field_and_none_reaches_a_terminal() {
        let journald = Journald::new();
        let asked = Asked {
            command: "scale".into(),
            by: "alice".into(),
            change: None,
        };
        let journal = Journal::of_app(&journald.path, Scope::System, "web").asked_by(Some(asked));
        let record = Record {
            is_failed: true,
            instance: Some(3),
            took: Some(Duration::from_millis(1500)),
            change: Some(("2".into(), "4\n_UID=0".into())),
            ..Record::new(Happening::Scaled, "it died:\nRSGEN_APP=db\n\u{1b}[2J")
        };
        assert!(
            !journal.tell_instead(&record),
            "no standard output is replaced"
        );
        let told = journald.entry();
        let expected = [
            ("MESSAGE", "rsgen: it died:\\x0aRSGEN_APP=db\\x0a\\x1b[2J"),
            ("MESSAGE_ID", Happening::Scaled.id()),
            ("OBJECT_SYSTEMD_UNIT", "web.service"),
            ("PRIORITY", "3"),
            ("RSGEN_APP", "web"),
            ("RSGEN_BY", "alice"),
            ("RSGEN_COMMAND", "scale"),
            ("RSGEN_DURATION_MS", "1500"),
            ("RSGEN_FROM", "2"),
            ("RSGEN_INSTANCE", "3"),
            ("RSGEN_OUTCOME", "failed"),
            ("RSGEN_TO", "4\n_UID=0"),
            ("SYSLOG_IDENTIFIER", "web"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(told, BTreeMap::from(expected));
    }

    #[test]
    fn the_entries_of_a_run_name_it_as_the_manager_does() {
        let journald = Journald::new();
        let told = |scope, invocation| {
            let journal = Journal::of_app(&journald.path, scope, "web").of_run(scope, invocation);
            journal.tell(&Record::new(Happening::Started, "done"));
            journald.entry()
        };
        assert_eq!(told(Scope::System, "ab")["INVOCATION_ID"], "ab");
        assert_eq!(told(Scope::User, "ab")["USER_INVOCATION_ID"], "ab");
        assert!(!told(Scope::System, "").contains_key("INVOCATION_ID"));
    }

    #[test]
    fn a_text_of_any_length_fits_into_a_datagram() {
        let journald = Journald::new();
        let journal = Journal::of_app(&journald.path, Scope::User, "web");
        journal.tell(&Record::new(Happening::Errored, &"é".repeat(1 << 20)));
        let told = journald.entry();
        assert_eq!(told["OBJECT_SYSTEMD_USER_UNIT"], "web.service");
        assert!(told["MESSAGE"].ends_with("é…"));
    }

    #[test]
    fn the_entries_of_a_walk_have_its_id_and_take_the_place_of_lines() {
        let journald = Journald::new();
        let walk = journald.of_cluster_unit().of_walk();
        assert!(walk.line("instance 0: starting"));
        let line = journald.entry();
        assert_eq!(line["MESSAGE"], "instance 0: starting");
        assert_eq!(line.get("MESSAGE_ID"), None);
        assert!(walk.tell_instead(&Record::new(Happening::Reloaded, "done")));
        let end = journald.entry();
        assert_eq!(line["RSGEN_WALK"], end["RSGEN_WALK"]);
        assert_eq!(end["RSGEN_WALK"].len(), 32);
        let other = Journal::of_app(&journald.path, Scope::System, "web").of_walk();
        other.tell(&Record::new(Happening::Reloaded, "done"));
        assert_ne!(journald.entry()["RSGEN_WALK"], end["RSGEN_WALK"]);
    }

    #[test]
    fn without_a_journal_or_with_one_that_is_busy_the_line_is_for_standard_output() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = |path: &Path| Journal {
            is_stdout: true,
            ..Journal::of_app(path, Scope::System, "web")
        };
        assert!(!journal(Path::new("")).line("x"));
        assert!(!journal(&path).line("x"));
        let _socket = UnixDatagram::bind(&path).unwrap();
        let busy = journal(&path);
        assert!((0..100_000).any(|_| !busy.line("x")));
        // It is given a moment, since it may only be slow.
        let begun = std::time::Instant::now();
        assert!(!busy.line("x"));
        assert!(begun.elapsed() >= PAUSE * TRIES);
    }

    #[test]
    fn a_note_names_a_command_and_a_user_or_nobody() {
        let asked = |change| Asked {
            command: "reload".into(),
            by: "alice".into(),
            change,
        };
        let releases = ("/srv/web/1".to_owned(), "/srv/web/2 b".to_owned());
        for asked in [asked(None), asked(Some(releases))] {
            assert_eq!(Asked::parse(&asked.text()), Some(asked));
        }
        let forged = asked(Some(("a\nb".into(), "c".into())));
        assert_eq!(Asked::parse(&forged.text()), Some(asked(None)));
        for broken in ["", "reload", "reload ", " alice", "a b c", "a\tb c"] {
            assert_eq!(Asked::parse(broken), None, "{broken:?}");
        }
    }
}
