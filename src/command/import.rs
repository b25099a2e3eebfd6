//! `rsgen import`: makes an ecosystem file from a PM2 file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::input;
use super::manual::Manual;
use super::node;
use super::remote::Remote;
use super::subcommand::Subcommand;
use crate::ecosystem::{self, Diagnostic, Report, sessions};
use crate::generate::files;
use crate::import::{self, Imported, Kind, Source};
use crate::output::{Exit, Failure, Notice, Shown, Sink, Style};
use crate::visible::Visible;

/// The name of the file that is written unless another is given.
const NAME: &str = "ecosystem.toml";

/// The exit statuses of a subcommand that writes an ecosystem file.
pub(super) const EXITS: &[Exit] = &[
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::Invalid,
    Exit::Unreachable,
];

/// Make an ecosystem file from a PM2 file
#[derive(Debug, Args)]
pub(super) struct Import {
    /// A file as `pm2 start` takes it, a package.json, a Procfile, or the dump.pm2 of `pm2 save`
    #[arg(value_name = "FILE", default_value = "ecosystem.config.js")]
    file: PathBuf,
    /// The file to write, `-` for standard output; without it ecosystem.toml beside FILE
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
}

/// The result as scripts read it.
#[derive(Serialize)]
pub(super) struct Written {
    /// `None` for standard output.
    pub(super) file: Option<String>,
    pub(super) apps: Vec<String>,
    /// The number of attributes that have no line.
    pub(super) left_out: usize,
    #[serde(skip)]
    pub(super) text: String,
}

impl Shown for Written {
    fn shown(&self, _: Style) -> Option<Visible> {
        let Some(file) = &self.file else {
            // `import` has escaped the text already, and escaping it again would change its TOML.
            return Some(Visible::composed(self.text.trim_end().to_owned()));
        };
        let apps = self.apps.join(", ");
        let left = match self.left_out {
            0 => String::new(),
            1 => "; 1 attribute is left out, a comment says why".to_owned(),
            many => format!("; {many} attributes are left out, comments say why"),
        };
        let next = format!("read it, then run `rsgen check {file}` and `rsgen install {file}`");
        Some(Visible::lines(&format!("{file}: {apps}{left}\n{next}")))
    }
}

impl Subcommand for Import {
    const MANUAL: Manual = Manual {
        exits: EXITS,
        examples: &[
            (
                "rsgen import ecosystem.config.js",
                "Writes ecosystem.toml beside the file. Node reads the file with the rights of the user who calls sudo, or of \
                 the file's owner, never with those of root.",
            ),
            (
                "rsgen import --output - Procfile",
                "Prints the ecosystem file for a Procfile.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let is_printed = self.output.as_deref() == Some(Path::new(input::STANDARD_INPUT));
        let target = self.output.unwrap_or_else(|| beside(&self.file));
        let written = Some(target.as_path()).filter(|_| !is_printed);
        let draft = import(&self.file, written, context.sink)?;
        if !is_printed {
            draft.write(self.force)?;
        }
        let shown = if is_printed { &self.file } else { &target };
        warn_of_sessions(context.sink, &self.file, shown, &draft.imported.text);
        let Imported { text, apps, left } = draft.imported;
        context.sink.answer(&Written {
            file: (!is_printed).then(|| target.display().to_string()),
            apps,
            left_out: left,
            text,
        });
        Ok(())
    }

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        Err(remote.refuse_files())
    }
}

/// Warns of apps whose instances cannot share a socket as PM2's cannot either, by the package.json beside the imported file.
fn warn_of_sessions(sink: &dyn Sink, file: &Path, shown: &Path, text: &str) {
    let package = Folder::of(file).and_then(|f| files::read(&f.file(Path::new("package.json"))));
    if !package.is_ok_and(|package| sessions::uses_socket_io(&package)) {
        return;
    }
    let shown = shown.display().to_string();
    let (apps, _) = ecosystem::parse(&shown, text);
    let faults = apps.iter().filter_map(|app| {
        let fault = Diagnostic::warning(app.script_span.clone(), sessions::fault(app)?);
        Some(fault.help(sessions::REMEDY))
    });
    let faults: Vec<Diagnostic> = faults.collect();
    if !faults.is_empty() {
        sink.warnings(&Report::new(&shown, text, faults));
    }
}

/// The ecosystem file of the folder in which a file is.
pub(super) fn beside(file: &Path) -> PathBuf {
    file.with_file_name(NAME)
}

/// An open folder, which stays the same when its path is redirected. Root may import in a folder that belongs to
/// somebody else, who could otherwise replace a part of the path by a link and have root write elsewhere.
pub(super) struct Folder(File);

impl Folder {
    /// Opens the folder of a file.
    pub(super) fn of(file: &Path) -> io::Result<Self> {
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_PATH);
        options.open(folder.unwrap_or(Path::new("."))).map(Self)
    }

    /// Makes a file that root has written in the folder belong to the folder's owner.
    pub(super) fn give(&self, file: &File) -> io::Result<()> {
        if nix::unistd::geteuid().is_root() {
            let folder = self.0.metadata()?;
            fchown(file, Some(folder.uid()), Some(folder.gid()))?;
        }
        Ok(())
    }

    /// The path of a file in the folder.
    pub(super) fn file(&self, path: &Path) -> PathBuf {
        let folder = PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        folder.join(path.file_name().unwrap_or_default())
    }
}

/// An ecosystem file that has not been written yet.
pub(super) struct Draft {
    pub(super) imported: Imported,
    /// The path that messages show.
    target: PathBuf,
    folder: Folder,
    mode: u32,
    /// The owner of the imported file, as opened: its path may have been a link. `None` where Node read the file, with
    /// the rights of somebody else.
    owner: Option<u32>,
}

/// Returns what Node makes of a file, and tells meanwhile that it is waited for.
fn by_node(file: &Path, sink: Option<&dyn Sink>) -> Result<String, Failure> {
    let line = format!("waiting for Node, which reads {}", file.display());
    node::json(file, &|| {
        if let Some(sink) = sink {
            sink.notice(&Notice::Remark(&line));
        }
    })
}

/// Imports a file. `target` is where the ecosystem file will be; `None` stands for standard output.
pub(super) fn import(
    file: &Path,
    target: Option<&Path>,
    sink: &dyn Sink,
) -> Result<Draft, Failure> {
    let shown = file.display().to_string();
    let invalid = |message: String| Failure::new(Exit::Invalid, message);
    let Some(kind) = Kind::of(file) else {
        return Err(Failure::new(Exit::Usage, format!("`{shown}` is not the name of a PM2 file"))
            .help("name an ecosystem.config.js, .cjs or .mjs, a .json or .yaml file, a package.json, a Procfile or a dump.pm2"));
    };
    let unreadable = |e: io::Error| {
        let failure = invalid(format!("`{shown}` cannot be read: {e}"));
        match e.kind() {
            ErrorKind::NotFound => failure.help(match input::importable_beside(file) {
                Some(found) => format!("`rsgen import {}` reads what is there", found.display()),
                None => "name the file that `pm2 start` takes".to_owned(),
            }),
            _ => failure,
        }
    };
    let folder = Folder::of(file).map_err(unreadable)?;
    let opened = files::open(&folder.file(file)).map_err(unreadable)?;
    // The metadata are those of the open file; the path may lead elsewhere by now.
    let found = opened.metadata().map_err(unreadable)?;
    let text = files::text(opened).map_err(unreadable)?;
    let is_for_node = kind == Kind::Script || kind == Kind::Json && !import::is_json(&text);
    let text = if is_for_node {
        // Where the ecosystem file is printed, it goes where notices do.
        by_node(file, Some(sink).filter(|_| target.is_some()))?
    } else {
        text
    };
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    let path = input::utf8_folder(&absolute)?;
    let target = target.unwrap_or(file);
    let is_moved = is_elsewhere(target, &path);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let called = std::env::current_dir().ok();
    let source = Source {
        name: &name,
        kind,
        text: &text,
        folder: &path,
        is_moved,
        called_in: called.as_deref().filter(|called| is_another(called, &path)),
        is_file: Path::is_file,
    };
    let imported = import::import(&source).map_err(|fault| {
        invalid(format!("`{shown}` cannot be imported: {}", fault.message)).help(fault.help)
    })?;
    let folder = if is_moved {
        Folder::of(target).map_err(|e| cannot_write(target, &e))?
    } else {
        folder
    };
    Ok(Draft {
        imported,
        target: target.to_owned(),
        folder,
        mode: mode(kind, &found),
        owner: (!is_for_node).then(|| found.uid()),
    })
}

fn is_elsewhere(target: &Path, folder: &Path) -> bool {
    let of_target = std::path::absolute(target).ok();
    let of_target = of_target.and_then(|target| target.parent()?.canonicalize().ok());
    of_target != folder.canonicalize().ok()
}

fn is_another(folder: &Path, path: &Path) -> bool {
    folder.canonicalize().ok() != path.canonicalize().ok()
}

/// Returns the mode of the ecosystem file: since a variable can be a secret, only those who may read the imported file
/// may read the new one.
fn mode(kind: Kind, file: &Metadata) -> u32 {
    match kind {
        Kind::Dump => 0o600,
        _ => file.permissions().mode() & 0o666,
    }
}

pub(super) fn cannot_write(target: &Path, e: &io::Error) -> Failure {
    Failure::failed(format!("`{}` cannot be written: {e}", target.display()))
}

impl Draft {
    /// Writes the ecosystem file, which is given to the owner of its folder if that user owns the imported file too.
    /// Otherwise a link of that user's may have led to a file that only root may read, so the text stays root's.
    pub(super) fn write(&self, is_forced: bool) -> Result<(), Failure> {
        let failed = |e: io::Error| cannot_write(&self.target, &e);
        let path = self.folder.file(&self.target);
        let new = self.folder.file(&self.target.with_extension("toml.new"));
        if is_forced {
            // An import that was interrupted may have left this file behind.
            let _ = std::fs::remove_file(&new);
        }
        // `create_new` neither follows a link nor overwrites a file.
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(self.mode);
        let mut file = options
            .open(if is_forced { &new } else { &path })
            .map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => {
                    Failure::failed(format!("`{}` already exists", self.target.display()))
                        .help("name another file with `--output`, or add `--force` to overwrite it")
                }
                _ => failed(e),
            })?;
        file.write_all(self.imported.text.as_bytes())
            .map_err(failed)?;
        let folder = self.folder.0.metadata().map_err(failed)?;
        if self.owner.is_none_or(|owner| owner == folder.uid()) {
            self.folder.give(&file).map_err(failed)?;
        }
        if is_forced {
            std::fs::rename(&new, &path).map_err(failed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::command::tests::stage::Recorder;

    #[test]
    fn what_a_link_of_others_leads_root_to_does_not_become_theirs() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let at = tempfile::tempdir().unwrap();
        let [folder, secret] = ["theirs", "secret"].map(|name| at.path().join(name));
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(65_534), None).unwrap();
        std::fs::write(&secret, "alice: $y$hash\n").unwrap();
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o640)).unwrap();
        let file = folder.join("Procfile");
        symlink(&secret, &file).unwrap();
        let draft = import(&file, Some(&beside(&file)), &Recorder::default()).unwrap();
        // What the path leads to by now makes no difference.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "").unwrap();
        for is_forced in [false, true] {
            draft.write(is_forced).unwrap();
            let found = beside(&file).metadata().unwrap();
            assert_eq!((found.uid(), found.mode() & 0o777), (0, 0o640));
        }
    }

    #[test]
    fn the_file_is_written_into_the_folder_that_was_read_wherever_its_path_leads_by_then() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other, link] = ["one", "other", "link"].map(|name| folder.path().join(name));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(one.join("Procfile"), "web: ./serve\n").unwrap();
        symlink(&one, &link).unwrap();
        let file = link.join("Procfile");
        let draft = import(&file, Some(&beside(&file)), &Recorder::default()).unwrap();
        std::fs::remove_file(&link).unwrap();
        symlink(&other, &link).unwrap();
        for is_forced in [false, true] {
            draft.write(is_forced).unwrap();
            assert!(one.join(NAME).exists() && !other.join(NAME).exists());
            assert!(!one.join("ecosystem.toml.new").exists());
        }
    }
}
