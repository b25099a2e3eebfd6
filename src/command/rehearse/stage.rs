//! The files of a rehearsal, and the connection over which its worker reports.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{UnixCredentials, getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;

use crate::contract::report::{LONGEST, MOST, Report};
use crate::ecosystem::App;
use crate::generate::files;
use crate::layout::Layout;
use crate::output::Failure;
use crate::plan::{self, Host};
use crate::state::{self, Folder, Name};
use crate::unit::name::Units;

/// More than the queue of a listener of the standard library holds.
const BACKLOG: usize = 1024;
/// The most connections that are looked at in one go. Any user may connect.
const MOST_CONNECTIONS: usize = 64;

/// The files of a rehearsal, which are removed with it.
pub(super) struct Stage {
    unit: PathBuf,
    /// The folder of links to the drop-ins of the instances.
    drop_ins: PathBuf,
    folder: Folder,
    name: Name,
    listener: UnixListener,
    /// The worker's connection, once there is one.
    pub(super) worker: Option<Connection>,
}

impl Stage {
    /// Makes the files for a rehearsal that takes at most so long.
    pub(super) fn set(
        layout: &Layout,
        host: Host,
        app: &App,
        number: u32,
        longest: Duration,
    ) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| {
            Failure::failed(format!("no rehearsal can be prepared: {e}"))
                .help("write `listen` into the file, or `--listen`")
        };
        let (drop_ins, theirs) = Units::of(&app.name).drop_ins(number);
        let unit = Units::of(&app.name).rehearsal(number);
        let path = state::rehearsals(&layout.run);
        let name = Name::Rehearsal(number);
        let folder = Folder::make(&path).map_err(failed)?;
        folder.remove(&name.to_string()).map_err(failed)?;
        let listener = UnixListener::bind(folder.path_of(name)).map_err(failed)?;
        let stage = Self {
            unit: layout.runtime_units.join(unit),
            drop_ins: layout.runtime_units.join(&drop_ins),
            folder,
            name,
            listener,
            worker: None,
        };
        stage.folder.open_to(name, true).map_err(failed)?;
        stage.listener.set_nonblocking(true).map_err(failed)?;
        let rehearsal = plan::Rehearsal {
            number,
            report: &path.join(name.to_string()),
            longest,
        };
        let text = plan::rehearsal(app, layout, host, rehearsal)
            .map_err(|e| Failure::failed(e.to_string()))?;
        link_drop_ins(layout, &theirs, &stage.drop_ins).map_err(failed)?;
        files::write_new(&stage.unit, &text).map_err(failed)?;
        Ok(stage)
    }

    /// The next connection of a process that `is_it` accepts. Others may connect as well, and are not heard.
    pub(super) fn accept(&self, is_it: impl Fn(UnixCredentials) -> bool) -> Option<Connection> {
        for _ in 0..MOST_CONNECTIONS {
            let (stream, _) = self.listener.accept().ok()?;
            let peer = getsockopt(&stream, PeerCredentials).ok();
            if peer.is_some_and(&is_it) && stream.set_nonblocking(true).is_ok() {
                return Some(Connection::new(stream));
            }
        }
        None
    }

    /// Lets nobody else connect any more, so that the last command of the unit does not wait in a queue that is full.
    pub(super) fn close_to_others(&self) {
        let _ = self.folder.open_to(self.name, false);
        let mut strangers = 0;
        while strangers < BACKLOG && self.listener.accept().is_ok() {
            strangers += 1;
        }
    }

    /// What the worker has reported since the last call.
    pub(super) fn read(&mut self) -> Vec<Report> {
        self.worker
            .as_mut()
            .map(Connection::read)
            .unwrap_or_default()
    }

    /// How the unit says that it has ended.
    pub(super) fn how_it_ended(&self) -> Option<String> {
        let own = geteuid().as_raw();
        let mut connections = std::iter::from_fn(|| self.accept(|peer| peer.uid() == own));
        connections.find_map(|mut connection| {
            let mut reports = connection.read().into_iter();
            reports.find_map(|report| match report {
                Report::Ended(how) => Some(how),
                _ => None,
            })
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.unit);
        remove_drop_ins(&self.drop_ins);
        let _ = self.folder.remove(&self.name.to_string());
    }
}

/// Makes a folder of links to the drop-ins of a unit, which systemd reads from every folder of units; of two with one name
/// the one in the folder of higher precedence counts, see systemd.unit(5).
fn link_drop_ins(layout: &Layout, theirs: &str, to: &Path) -> io::Result<()> {
    let mut taken = BTreeSet::new();
    for folder in std::iter::once(&layout.units).chain(&layout.vendor_units) {
        let Ok(entries) = std::fs::read_dir(folder.join(theirs)) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_drop_in = Path::new(&name).extension().is_some_and(|e| e == "conf");
            if !is_drop_in || !taken.insert(name.clone()) {
                continue;
            }
            if taken.len() == 1 {
                std::fs::create_dir(to)?;
            }
            symlink(std::path::absolute(entry.path())?, to.join(name))?;
        }
    }
    Ok(())
}

/// Removes the drop-ins of a rehearsal.
pub(in crate::command) fn remove_drop_ins(path: &Path) {
    let _ = std::fs::remove_dir_all(path);
}

/// A connection of the worker, or of the command that the unit runs at its end.
pub(super) struct Connection {
    stream: Option<UnixStream>,
    line: Vec<u8>,
    lines: usize,
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream: Some(stream),
            line: Vec::new(),
            lines: 0,
        }
    }

    fn read(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(stream) = &mut self.stream {
            match stream.read(&mut buffer) {
                Ok(length) if length > 0 && self.lines <= MOST => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    for byte in bytes {
                        self.take(*byte, &mut reports);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                _ => self.stream = None,
            }
        }
        reports
    }

    fn take(&mut self, byte: u8, reports: &mut Vec<Report>) {
        if byte != b'\n' {
            // One byte more is kept, so that a line that is too long stays one.
            if self.line.len() <= LONGEST {
                self.line.push(byte);
            }
            return;
        }
        self.lines += 1;
        let line = std::mem::take(&mut self.line);
        let text = std::str::from_utf8(&line).unwrap_or_default();
        reports.extend(text.parse());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_drop_ins_with_one_name_the_one_of_higher_precedence_counts() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::system(root.path());
        let write = |folder: &str, name: &str| {
            let folder = root.path().join(folder).join("web@.service.d");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), "").unwrap();
        };
        write("usr/lib/systemd/system", "10-a.conf");
        write("usr/lib/systemd/system", "20-b.conf");
        write("run/systemd/system", "20-b.conf");
        write("run/systemd/system", "30-c.conf");
        write("run/systemd/system", "40-d.conf~");
        write("etc/systemd/system", "30-c.conf");
        let to = root.path().join("links");
        link_drop_ins(&layout, "web@.service.d", &to).unwrap();
        for (name, folder) in [
            ("10-a.conf", Some("usr/lib")),
            ("20-b.conf", Some("run")),
            ("30-c.conf", Some("etc")),
            ("40-d.conf~", None),
        ] {
            let link = to.join(name).read_link().ok();
            let expected = folder.map(|folder| {
                let folder = root.path().join(folder).join("systemd/system");
                folder.join("web@.service.d").join(name)
            });
            assert_eq!(link, expected, "{name}");
        }
        remove_drop_ins(&to);
        assert!(!to.exists() && layout.units.join("web@.service.d/30-c.conf").exists());
        link_drop_ins(&layout, "api@.service.d", &to).unwrap();
        assert!(!to.exists());
    }
}
