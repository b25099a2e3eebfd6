//! `rsgen import`: an ecosystem file, made from a PM2 file.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::input;
use super::manual::Manual;
use super::node;
use super::subcommand::Subcommand;
use crate::generate::files;
use crate::import::{self, Imported, Kind, Source};
use crate::output::{Exit, Failure, Shown, Style};
use crate::visible::Visible;

/// The file that is written unless another is named.
const NAME: &str = "ecosystem.toml";

/// Make an ecosystem file from a PM2 file
#[derive(Debug, Args)]
pub(super) struct Import {
    /// A file as `pm2 start` takes it, a package.json, a Procfile, or the dump.pm2 of `pm2 save`
    #[arg(value_name = "FILE", default_value = "ecosystem.config.js")]
    file: PathBuf,
    /// The file to write, `-` for standard output; without it ecosystem.toml beside FILE
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// The file that was written, as scripts read it.
#[derive(Serialize)]
struct Written {
    /// `None` for standard output.
    file: Option<String>,
    apps: Vec<String>,
    /// The number of attributes that have no line.
    left_out: usize,
    #[serde(skip)]
    text: String,
}

impl Shown for Written {
    fn shown(&self, _: Style) -> Option<Visible> {
        let Some(file) = &self.file else {
            // The room has made it visible: a second time, escapes of TOML would be escaped.
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
        exits: &[
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Invalid,
            Exit::Unreachable,
        ],
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
        let target = match &self.output {
            _ if is_printed => None,
            Some(file) => Some(file.clone()),
            None => Some(beside(&self.file)),
        };
        let imported = import(&self.file, target.as_deref())?;
        if let Some(target) = &target {
            write(target, &self.file, &imported.text, self.force)?;
        }
        context.sink.answer(&Written {
            file: target.map(|file| file.display().to_string()),
            apps: imported.apps,
            left_out: imported.left,
            text: imported.text,
        });
        Ok(())
    }
}

/// The ecosystem file of the folder in which a file is.
pub(super) fn beside(file: &Path) -> PathBuf {
    file.with_file_name(NAME)
}

/// Imports a file, for an ecosystem file at `target`, or for standard output.
pub(super) fn import(file: &Path, target: Option<&Path>) -> Result<Imported, Failure> {
    let shown = file.display().to_string();
    let invalid = |message: String| Failure::new(Exit::Invalid, message);
    let Some(kind) = Kind::of(file) else {
        return Err(Failure::new(Exit::Usage, format!("`{shown}` is not a name of a PM2 file"))
            .help("name an ecosystem.config.js, .cjs or .mjs, a .json or .yaml file, a package.json, a Procfile or a dump.pm2"));
    };
    let text = files::read(file).map_err(|e| {
        let failure = invalid(format!("`{shown}` cannot be read: {e}"));
        match e.kind() {
            ErrorKind::NotFound => failure.help("name the file that `pm2 start` takes"),
            _ => failure,
        }
    })?;
    let is_for_node = kind == Kind::Script || kind == Kind::Json && !import::is_json(&text);
    let text = if is_for_node { node::json(file)? } else { text };
    let absolute = std::path::absolute(file).map_err(|e| invalid(format!("`{shown}`: {e}")))?;
    let folder = input::utf8_folder(&absolute)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let source = Source {
        name: &name,
        kind,
        text: &text,
        folder: &folder,
        is_moved: target.is_some_and(|target| is_elsewhere(target, &folder)),
    };
    import::import(&source).map_err(|fault| {
        invalid(format!("`{shown}` cannot be imported: {}", fault.message)).help(fault.help)
    })
}

fn is_elsewhere(target: &Path, folder: &Path) -> bool {
    let of_target = std::path::absolute(target).ok();
    let of_target = of_target.and_then(|target| target.parent()?.canonicalize().ok());
    of_target != folder.canonicalize().ok()
}

/// Writes an ecosystem file, which others may read as far as they may read the imported file: a variable can be a
/// secret.
pub(super) fn write(
    target: &Path,
    from: &Path,
    text: &str,
    is_forced: bool,
) -> Result<(), Failure> {
    let shown = target.display();
    let failed = |e: &std::io::Error| Failure::failed(format!("`{shown}` cannot be written: {e}"));
    let mode = match Kind::of(from) {
        Some(Kind::Dump) => 0o600,
        _ => from
            .metadata()
            .map_or(0o600, |found| found.permissions().mode() & 0o666),
    };
    let new = target.with_extension("toml.new");
    let path = if is_forced { &new } else { target };
    if is_forced {
        // Left behind by an import that was interrupted.
        let _ = std::fs::remove_file(&new);
    }
    // A link is not followed, and nothing is written over.
    let mut options = OpenOptions::new();
    let mut file: File = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => Failure::failed(format!("`{shown}` is there already"))
                .help("name another file with `--output`, or add --force to write over it"),
            _ => failed(&e),
        })?;
    file.write_all(text.as_bytes()).map_err(|e| failed(&e))?;
    if let Some(caller) = node::caller_of_sudo() {
        std::os::unix::fs::fchown(&file, Some(caller), None).map_err(|e| failed(&e))?;
    }
    if is_forced {
        std::fs::rename(&new, target).map_err(|e| failed(&e))?;
    }
    Ok(())
}
