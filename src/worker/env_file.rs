//! Reads environment files that users other than root may write, with the rights of the app.
//!
//! systemd opens an `EnvironmentFile=` as root, before `User=` and the sandbox of the unit take effect: it would follow
//! a link to any file, and wait for the writer of a FIFO. The worker waits for nothing, and reads nothing that the app
//! could not read itself. The variables are data for the program; the worker never acts on them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FUSE_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};

use super::assignments::{self, Fault, Found, Variables};
use super::{Error, say};
use crate::sys::process;

/// The longest file in bytes, more than fits an environment.
const LONGEST: u64 = 4 << 20;
/// The largest number of line numbers in a message.
const NAMED: usize = 8;

/// Adds the variables of the files to the environment. They override those of the environment, and each file overrides
/// those before it.
///
/// # Errors
/// When one of the files cannot be read, or systemd would refuse it.
pub(super) fn put(
    environment: &mut Vec<(OsString, OsString)>,
    files: &[PathBuf],
) -> Result<(), Error> {
    let mut all = Variables::new();
    for path in files {
        let fault = |why| Error::EnvFile {
            path: path.clone(),
            why,
        };
        let bytes = bytes(path).map_err(|e| fault(told(&e)))?;
        let found = assignments::read(&bytes).map_err(|e| fault(e.to_string()))?;
        if !found.ignored.is_empty() {
            say(4, &ignored(path, &found));
        }
        all.extend(found.variables);
    }
    environment.retain(|(name, _)| !all.contains_key(name));
    environment.extend(all);
    Ok(())
}

/// Checks that systemd can use a file that it reads. For systemd itself the file is optional, and it does not report
/// one that it skips.
///
/// # Errors
/// When the file cannot be read, or systemd would refuse it.
pub(super) fn look(path: &Path) -> Result<(), Error> {
    let fault = |why| Error::EnvFileOfSystemd {
        path: path.to_owned(),
        why,
    };
    let bytes = bytes(path).map_err(|e| {
        let remedy = match e.kind() {
            io::ErrorKind::NotFound => "; create the file, or take it out of `env_file`",
            _ => "",
        };
        fault(format!("{e}{remedy}"))
    })?;
    assignments::read(&bytes).map_err(|e| fault(e.to_string()))?;
    Ok(())
}

/// Reads a file of variables for a command that checks it, perhaps as root. A file that the worker would not open is not opened, and neither is
/// a generated file, such as those below /sys: for root, reading one may have an effect, and another user may have put a link to it there.
///
/// # Errors
/// When the file cannot be read.
pub fn examine(path: &Path) -> io::Result<Result<Found, Fault>> {
    if is_made_up(&opened(path, OFlag::O_PATH)?)? {
        return Ok(Ok(Found::default()));
    }
    let file = file(path)?;
    // The path may lead to another file by now.
    if is_made_up(&file)? {
        return Ok(Ok(Found::default()));
    }
    Ok(assignments::read(&text(file)?))
}

/// Whether the text is generated while it is read: by the kernel, most of whose files report a size of 0, or
/// by a file system in user space, which may block the reader.
fn is_made_up(file: &File) -> io::Result<bool> {
    let kind = fstatfs(file)?.filesystem_type();
    Ok(file.metadata()?.len() == 0 || [SYSFS_MAGIC, FUSE_SUPER_MAGIC].contains(&kind))
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    text(file(path)?)
}

fn file(path: &Path) -> io::Result<File> {
    // Opening a device may already have an effect, so only its inode is examined at first.
    check(&opened(path, OFlag::O_PATH)?)?;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = opened(path, flags)?;
    check(&file)?;
    Ok(file)
}

fn text(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
        return Err(refused("it is longer than 4 MiB"));
    }
    Ok(bytes)
}

/// Opens the file at a path without following magic links. If the unit gives the worker `CAP_SYS_PTRACE`,
/// such a link, for instance /proc/1/cwd, leads into folders that the app may not enter.
fn opened(path: &Path, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(AT_FDCWD, path, how) {
        Err(Errno::ENOSYS | Errno::EPERM) => {
            opened_plainly(path, flags, process::may_trace_others())
        }
        result => Ok(result?.into()),
    }
}

/// If openat2(2) is missing, before Linux 5.6 or because of a filter, every link is followed.
fn opened_plainly(path: &Path, flags: OFlag, may_trace_others: bool) -> io::Result<File> {
    if may_trace_others {
        return Err(refused(
            "openat2(2) is missing or forbidden, and without it a link could lead to folders that are accessible only through the unit's `CAP_SYS_PTRACE`; let only root write to the file and to the folders above it, and install the app again",
        ));
    }
    Ok(open(path, flags, Mode::empty())?.into())
}

/// Checks that a file can be an environment file.
fn check(file: &File) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        return Err(refused("it is not a regular file"));
    }
    // With that capability the worker could read the environment of any process as a file.
    if fstatfs(file)?.filesystem_type() == PROC_SUPER_MAGIC {
        return Err(refused("it is a file of /proc"));
    }
    Ok(())
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn told(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let the app's user read it, or let only root write to it and to the folders above it, and install the app again"
        }
        io::ErrorKind::NotFound => "; create it where the unit's sandbox lets the program see it",
        _ => "",
    };
    format!("{error}{remedy}")
}

/// Returns the message about lines that are ignored. It does not contain the lines themselves, since they may be part
/// of a secret.
fn ignored(path: &Path, found: &Found) -> String {
    let lines = found.ignored.iter().take(NAMED).map(ToString::to_string);
    let lines: Vec<String> = lines.collect();
    let more = if found.ignored.len() > NAMED {
        " and more"
    } else {
        ""
    };
    format!(
        "`{}`: the name in line {}{more} is not a valid variable name, so that line is ignored",
        path.display(),
        lines.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn whoever_checks_a_file_reads_nothing_that_the_kernel_makes_up() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("env");
        symlink("/sys/devices/virtual/mem/null/uevent", &link).unwrap();
        assert!(bytes(&link).unwrap().starts_with(b"MAJOR=1\n"));
        assert_eq!(examine(&link).unwrap(), Ok(Found::default()));
        let file = folder.path().join("file");
        fs::write(&file, "MAJOR=1\n").unwrap();
        assert_eq!(examine(&file).unwrap().unwrap().variables.len(), 1);
    }

    fn read(path: &Path) -> Result<Vec<(OsString, OsString)>, String> {
        let mut environment = vec![("A".into(), "old".into()), ("Z".into(), "kept".into())];
        put(&mut environment, &[path.to_owned()]).map_err(|e| e.to_string())?;
        Ok(environment)
    }

    #[test]
    fn a_later_file_goes_over_an_earlier_one_and_both_over_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["one", "two"].map(|name| folder.path().join(name));
        fs::write(&files[0], "A=1\nB=1\n").unwrap();
        fs::write(&files[1], "B=2\n").unwrap();
        let mut environment = vec![("A".into(), "old".into()), ("Z".into(), "kept".into())];
        put(&mut environment, &files).unwrap();
        let wanted = [("Z", "kept"), ("A", "1"), ("B", "2")];
        let wanted = wanted.map(|(k, v)| (OsString::from(k), OsString::from(v)));
        assert_eq!(environment, wanted);
    }

    #[test]
    fn nothing_but_a_regular_file_is_opened_and_nothing_of_proc() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR).unwrap();
        let link = |target: &str| {
            let path = folder.path().join(target.replace('/', "-"));
            symlink(target, &path).unwrap();
            path
        };
        for (path, why) in [
            (fifo, "not a regular file"),
            (link("/dev/null"), "not a regular file"),
            (link("/proc/self/status"), "a file of /proc"),
            (link("/proc/self/root/etc/passwd"), "symbolic links"),
            (link("/nowhere"), "create it"),
        ] {
            let said = read(&path).unwrap_err();
            assert!(
                said.contains(why) && said.contains(path.to_str().unwrap()),
                "{said}"
            );
        }
    }

    #[test]
    fn to_look_at_a_file_no_magic_link_is_followed() {
        let look = |path: &str| opened(Path::new(path), OFlag::O_PATH);
        assert!(look("/etc/passwd").is_ok());
        let fault = look("/proc/self/root/etc/passwd").unwrap_err();
        assert_eq!(fault.raw_os_error(), Some(Errno::ELOOP as i32));
    }

    #[test]
    fn without_openat2_only_a_worker_that_may_not_trace_others_goes_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = |may_trace| opened_plainly(file.path(), OFlag::O_RDONLY, may_trace);
        assert!(open(false).is_ok());
        let said = open(true).unwrap_err().to_string();
        assert!(
            said.contains("openat2") && said.contains("CAP_SYS_PTRACE"),
            "{said}"
        );
    }

    #[test]
    fn a_file_that_no_environment_holds_is_not_read_to_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LONGEST).unwrap();
        assert!(read(file.path()).unwrap_err().contains("a null byte"));
        file.as_file().set_len(LONGEST + 1).unwrap();
        assert!(read(file.path()).unwrap_err().contains("4 MiB"));
    }

    #[test]
    fn ignored_lines_are_told_by_their_numbers_alone() {
        let found = assignments::read("a b=hush\n".repeat(9).as_bytes()).unwrap();
        let said = ignored(Path::new("/x"), &found);
        assert!(said.contains("1, 2, 3, 4, 5, 6, 7, 8 and more") && !said.contains("hush"));
        let found = assignments::read("a b=hush\n".repeat(NAMED).as_bytes()).unwrap();
        assert!(!ignored(Path::new("/x"), &found).contains("more"));
    }
}
