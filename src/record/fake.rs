//! A journal of a test, which reads entries as journald does.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use tempfile::TempDir;

use super::Journal;
use crate::layout::Scope;

/// The fields of an entry.
pub(crate) type Entry = BTreeMap<String, String>;

/// The socket of a journald.
pub(crate) struct Journald {
    pub(crate) path: PathBuf,
    socket: UnixDatagram,
    _folder: TempDir,
}

impl Journald {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            path,
            socket,
            _folder: folder,
        }
    }

    /// The journal of the cluster unit of `web`, whose entries take the place of lines.
    pub(crate) fn of_cluster_unit(&self) -> Journal {
        Journal {
            is_stdout: true,
            ..Journal::of_cluster_unit(&self.path, Scope::System, "web")
        }
    }

    /// The entries that have come since the last look.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut datagram = vec![0; 1 << 16];
        std::iter::from_fn(|| {
            let length = self.socket.recv(&mut datagram).ok()?;
            Some(fields(&datagram[..length]))
        })
        .collect()
    }

    /// The only entry that has come since the last look.
    pub(crate) fn entry(&self) -> Entry {
        let mut entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }
}

fn fields(mut entry: &[u8]) -> Entry {
    let mut fields = Entry::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|b| *b == b'\n').unwrap();
        let name = String::from_utf8(entry[..end].to_vec()).unwrap();
        let (length, rest) = entry[end + 1..].split_at(8);
        let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
        let value = String::from_utf8(rest[..length].to_vec()).unwrap();
        assert_eq!(rest[length], b'\n');
        entry = &rest[length + 1..];
        assert_eq!(fields.insert(name, value), None);
    }
    fields
}
