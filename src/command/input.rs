//! Reads the text of an ecosystem file, and determines what its relative paths are relative to.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use crate::generate::files;
use crate::import::Kind;
use crate::output::{Exit, Failure};
use crate::visible::Visible;

/// The file name that means standard input.
pub(super) const STANDARD_INPUT: &str = "-";

/// The name in messages of the ecosystem file that is made of a command line.
pub(super) const COMMAND_LINE: &str = "the command line";

const TOO_LONG: &str = "split it: an ecosystem file lists apps; put their data into other files";

/// An ecosystem file that has been read.
pub(super) struct Input {
    /// The name that messages use for the file.
    pub(super) shown: String,
    pub(super) text: String,
    /// The folder that relative paths in the file are relative to.
    pub(super) folder: PathBuf,
    /// The folder that will be `/` of the host where the app runs; `None` if that is this host.
    pub(super) root: Option<PathBuf>,
    /// The absolute path of the file, see [`origin`]; `None` if the text comes from elsewhere.
    pub(super) origin: Option<String>,
}

impl Input {
    /// Reads an ecosystem file. The name `-` stands for standard input, whose relative paths are relative to the
    /// current folder.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        if path == Path::new(STANDARD_INPUT) {
            return Self::from_standard_input();
        }
        let shown = path.display().to_string();
        if Kind::is_of_pm2(path) {
            return Err(of_pm2(path));
        }
        if path.is_dir() {
            return Err(of_folder(path));
        }
        refuse_pipe(path)?;
        let absolute =
            absolute(path).map_err(|e| Failure::new(Exit::Invalid, format!("{shown}: {e}")))?;
        let text = File::open(path).and_then(files::text).map_err(|e| {
            let failure = Failure::new(Exit::Invalid, format!("`{shown}` cannot be read: {e}"));
            match e.kind() {
                ErrorKind::NotFound => failure.help(missing(path)),
                ErrorKind::InvalidData => failure.help("save it as UTF-8"),
                ErrorKind::FileTooLarge => failure.help(TOO_LONG),
                _ => failure,
            }
        })?;
        Ok(Self {
            shown,
            text,
            folder: utf8_folder(&absolute)?,
            root: None,
            origin: origin(&absolute),
        })
    }

    fn from_standard_input() -> Result<Self, Failure> {
        let text = files::text(std::io::stdin()).map_err(|e| {
            let help = match e.kind() {
                ErrorKind::FileTooLarge => TOO_LONG,
                _ => "write an ecosystem file to it, as UTF-8",
            };
            Failure::new(Exit::Invalid, format!("standard input cannot be read: {e}")).help(help)
        })?;
        let inside = absolute(Path::new("ecosystem.toml")).map_err(|e| {
            Failure::new(
                Exit::Usage,
                format!("the current folder cannot be determined: {e}"),
            )
        })?;
        Ok(Self {
            shown: "standard input".into(),
            text,
            folder: utf8_folder(&inside)?,
            root: None,
            origin: None,
        })
    }

    /// Returns the same file, for a host whose files are put together below a folder.
    pub(super) fn below(mut self, root: &Path) -> Result<Self, Failure> {
        let root = std::path::absolute(root)
            .map_err(|e| Failure::new(Exit::Usage, format!("{}: {e}", root.display())))?;
        let inside = self.folder.strip_prefix(&root).map_err(|_| {
            Failure::new(
                Exit::Usage,
                format!("`{}` is not below `{}`", self.shown, root.display()),
            )
            .help("put the ecosystem file where it will be in the package")
        })?;
        self.folder = Path::new("/").join(inside);
        self.root = Some(root);
        Ok(self)
    }
}

/// The beginnings of the names of PM2's modules, which `pm2 install` downloads.
const MODULES: [&str; 3] = ["pm2-", "@pm2/", "pm2:"];

/// Refuses a module of PM2's, which no script stands for.
pub(super) fn refuse_module(file: &Path) -> Result<(), Failure> {
    let name = file.to_str().unwrap_or_default();
    if !MODULES.iter().any(|begin| name.starts_with(begin)) || file.exists() {
        return Ok(());
    }
    let help = if name.contains("logrotate") {
        "the journal rotates the output of apps by itself, see `SystemMaxUse=` in journald.conf(5)"
    } else {
        "`rsgen list`, `rsgen metrics` and the journal show what most modules do"
    };
    let name = Visible::line(name);
    Err(Failure::new(
        Exit::Usage,
        format!("`{}` is a PM2 module; rsgen has no modules", name.as_str()),
    )
    .help(help))
}

/// Returns the current folder by the name that the shell uses for it, as `pwd -L` prints it. Where that name contains a
/// link to the deployed release, getcwd(3) would return the release itself, which the next deployment replaces.
pub(super) fn current_folder() -> io::Result<PathBuf> {
    let named = std::env::var_os("PWD").map(PathBuf::from);
    match named.filter(|named| is_current(named)) {
        Some(named) => Ok(named),
        None => std::env::current_dir(),
    }
}

/// Returns whether a path names the current folder. A path with `..` is not accepted, since a link in it would change
/// what `..` means.
fn is_current(named: &Path) -> bool {
    let inode = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let is_plain = named.is_absolute() && !has_parents(named);
    is_plain && inode(named).is_some_and(|named| Some(named) == inode(Path::new(".")))
}

fn has_parents(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

/// Returns an absolute path. A path with `..` starts from the physical folder, as in the kernel, and not from the link
/// that the shell followed.
pub(super) fn absolute(path: &Path) -> io::Result<PathBuf> {
    if path.as_os_str().is_empty() || path.is_absolute() || has_parents(path) {
        return std::path::absolute(path);
    }
    std::path::absolute(current_folder()?.join(path))
}

/// Returns the path that distinguishes one ecosystem file from another: as it was written, since a deployment replaces what a link in it
/// points to. `None` if the path is not UTF-8.
pub(super) fn origin(absolute: &Path) -> Option<String> {
    let folder = absolute.parent().filter(|_| has_parents(absolute));
    let physical = folder.and_then(|folder| folder.canonicalize().ok());
    let path = match (physical, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute.to_owned(),
    };
    path.to_str().map(str::to_owned)
}

/// Returns the failure for a file that is not an ecosystem file but can be imported.
pub(super) fn of_pm2(path: &Path) -> Failure {
    let shown = path.display();
    Failure::new(Exit::Invalid, format!("`{shown}` is not TOML")).help(format!(
        "`rsgen import {shown}` makes an ecosystem file from a PM2 file"
    ))
}

/// The files that an import makes an ecosystem file from, those of PM2 itself first.
const IMPORTABLE: [&str; 7] = [
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.json",
    "ecosystem.config.yml",
    "Procfile",
    "package.json",
];

/// Returns a file beside another that can be imported.
pub(super) fn importable_beside(path: &Path) -> Option<PathBuf> {
    let mut all = IMPORTABLE.iter().map(|name| path.with_file_name(name));
    all.find(|path| path.is_file())
}

/// Returns the help for a missing file, in whose place there may be one that can be imported.
fn missing(path: &Path) -> String {
    match importable_beside(path) {
        Some(found) if found.ends_with("package.json") => format!(
            "make it from the package: `rsgen import {}`; or name a script",
            found.display()
        ),
        Some(found) => format!("make it from the PM2 file: `rsgen import {}`", found.display()),
        None if path == Path::new("ecosystem.toml") => {
            "name a script, as in `rsgen install server.js`, or make the file: `rsgen init -- COMMAND`"
                .to_owned()
        }
        None => "name an ecosystem file or a script".to_owned(),
    }
}

/// Returns the failure for a folder that was named in place of a file.
pub(super) fn of_folder(folder: &Path) -> Failure {
    let file = folder.join("ecosystem.toml");
    let shown = folder.display();
    Failure::new(Exit::Invalid, format!("`{shown}` is a folder")).help(if file.is_file() {
        format!("name the file in it: `{}`", file.display())
    } else {
        match importable_beside(&file) {
            Some(found) => format!("`rsgen import {}` makes an ecosystem file", found.display()),
            None => "name an ecosystem file or a script".to_owned(),
        }
    })
}

/// Refuses a pipe that has a name, whose other end may never be opened. One of the shell, as in `rsgen check <(cat web.toml)`, has none.
fn refuse_pipe(path: &Path) -> Result<(), Failure> {
    let is_pipe = path
        .metadata()
        .is_ok_and(|found| found.file_type().is_fifo());
    if !is_pipe || path.canonicalize().is_err() {
        return Ok(());
    }
    let message = format!("`{}` is a pipe, not a file", path.display());
    Err(Failure::new(Exit::Invalid, message).help(format!(
        "name `-` and give the text on standard input: `… - <{}`",
        path.display()
    )))
}

/// Returns the folder of a file, if the folder's name is UTF-8 and so can be written in TOML.
pub(super) fn utf8_folder(absolute: &Path) -> Result<PathBuf, Failure> {
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    if folder.to_str().is_none() {
        return Err(Failure::new(
            Exit::Invalid,
            format!("the name of the folder `{}` is not UTF-8", folder.display()),
        )
        .help("rename it: neither TOML nor units can hold such a name"));
    }
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_parents_is_that_of_the_kernel_and_another_one_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/1")).unwrap();
        std::os::unix::fs::symlink("releases/1", root.join("current")).unwrap();
        let told = |path: &str| origin(&root.join(path)).unwrap();
        let path = |path: &str| root.join(path).to_str().unwrap().to_owned();
        assert_eq!(told("current/../eco.toml"), path("releases/eco.toml"));
        assert_eq!(told("current/eco.toml"), path("current/eco.toml"));
        let gone = "nowhere/../eco.toml";
        assert_eq!(told(gone), path(gone));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_with_the_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| {
            let failure = Input::read(&folder.path().join(name)).err().unwrap();
            assert_eq!(failure.exit, Exit::Invalid);
            failure.help.unwrap()
        };
        let missing = "name an ecosystem file or a script";
        assert_eq!(read("ecosystem.toml"), missing);
        assert_eq!(read(""), missing);
        std::fs::write(folder.path().join("package.json"), "{}").unwrap();
        assert!(read("ecosystem.toml").contains("package.json`; or name a script"));
        assert!(read("").ends_with("package.json` makes an ecosystem file"));
        std::fs::write(folder.path().join("ecosystem.config.js"), "").unwrap();
        assert!(read("ecosystem.toml").contains("`rsgen import "));
        std::fs::write(folder.path().join("ecosystem.toml"), b"name = \"\xff\"").unwrap();
        assert_eq!(read("ecosystem.toml"), "save it as UTF-8");
        assert!(read("").ends_with("/ecosystem.toml`"));
    }

    #[test]
    fn a_pipe_with_a_name_is_not_waited_for_and_one_of_the_shell_is_read() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ecosystem.toml");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let failure = Input::read(&path).err().unwrap();
        assert!(failure.message.ends_with("is a pipe, not a file"));
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"[[apps]]\n").unwrap();
        drop(write);
        let path = format!("/dev/fd/{}", read.as_raw_fd());
        assert_eq!(
            Input::read(Path::new(&path)).ok().unwrap().text,
            "[[apps]]\n"
        );
    }

    #[test]
    fn a_folder_is_current_only_by_a_name_without_detours() {
        let here = std::env::current_dir().unwrap();
        let name = here.file_name().unwrap();
        assert!(is_current(&here));
        for other in [Path::new("/"), Path::new("."), &here.join("..").join(name)] {
            assert!(!is_current(other), "{}", other.display());
        }
        assert!(is_current(&current_folder().unwrap()));
    }

    #[test]
    fn only_a_path_without_detours_starts_from_the_folder_of_the_shell() {
        assert!(absolute(Path::new("")).is_err());
        assert_eq!(absolute(Path::new("/a/b")).unwrap(), Path::new("/a/b"));
        let named = current_folder().unwrap();
        assert_eq!(absolute(Path::new("a")).unwrap(), named.join("a"));
        let beside = std::path::absolute("../a").unwrap();
        assert_eq!(absolute(Path::new("../a")).unwrap(), beside);
    }
}
