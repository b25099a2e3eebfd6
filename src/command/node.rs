//! Has the user's own Node evaluate JavaScript, never as root.
//!
//! A PM2 file is a program. Root runs it as the user who has called sudo, or as the owner of the file, in a session of
//! its own: a program that shares root's terminal could type into it, see `TIOCSTI` in `ioctl_tty(2)`. Nothing that the file has
//! started outlives the import.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::descendants::Descendants;
use super::host_probe;
use super::waiting::SILENCE;
use crate::output::{Exit, Failure};
use crate::sys::{entry, process};
use crate::visible;

/// How long Node may take, far longer than a configuration file needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what a process has written may take to be read once the process is gone.
const REST: Duration = Duration::from_secs(1);
/// As long as an ecosystem file may be.
const LONGEST: u64 = 4 << 20;

/// Prints what a file exports as JSON. What the file itself prints is redirected to standard error.
const SCRIPT: &str = include_str!("import.js");

/// Where programs are searched for in addition to the user's own folders, since root's PATH is not the user's.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Returns what a file exports, as JSON.
///
/// `wait` is called whenever nothing has happened for a while.
pub(super) fn json(file: &Path, wait: &dyn Fn()) -> Result<String, Failure> {
    let failed = |why: String| {
        let shown = file.display();
        Failure::new(
            Exit::Invalid,
            format!("`{shown}` cannot be read by Node: {why}"),
        )
    };
    let path = file.canonicalize().map_err(|e| failed(e.to_string()))?;
    let mut command = node(&path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let started = Descendants::adopt();
    let child = command
        .arg("-e")
        .arg(SCRIPT)
        .arg("--")
        .arg(&path)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let (output, said) = finish(child, started, wait).map_err(&failed)?;
    if output.is_empty() {
        let why = said.lines().map(str::trim).find(|line| !line.is_empty());
        let why = why.unwrap_or("it exports nothing");
        return Err(failed(visible::cut(why, 300))
            .help("check that `node` can load it in that folder, with its modules installed"));
    }
    Ok(output)
}

/// The output and the error output of a child that ends in time. Everything that it has started is killed.
fn finish(
    mut child: Child,
    started: Descendants,
    wait: &dyn Fn(),
) -> Result<(String, String), String> {
    let streams = [
        child
            .stdout
            .take()
            .map(|s| Box::new(s) as Box<dyn Read + Send>),
        child
            .stderr
            .take()
            .map(|s| Box::new(s) as Box<dyn Read + Send>),
    ];
    let readers = streams.map(|stream| {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stream.map(|stream| stream.take(LONGEST + 1).read_to_end(&mut bytes));
            let _ = sender.send(read.and_then(Result::ok).map(|_| bytes));
        });
        receiver
    });
    let has_ended = has_ended_within(PATIENCE, &child, wait);
    started.kill();
    let _ = child.try_wait();
    // Whoever still had the other ends of these streams is gone.
    let [output, said] = readers.map(|reader| reader.recv_timeout(REST).ok().flatten());
    let (true, Some(output), Some(said)) = (has_ended, output, said) else {
        return Err(format!("it has not ended after {} s", PATIENCE.as_secs()));
    };
    if u64::try_from(output.len()).is_ok_and(|length| length > LONGEST) {
        return Err("its exports are longer than 4096 KiB".to_owned());
    }
    let output = String::from_utf8(output).map_err(|e| e.to_string())?;
    Ok((output, String::from_utf8_lossy(&said).into_owned()))
}

/// Waits for the child itself: it can close its streams long before it ends, and leave them to others when it ends.
fn has_ended_within(limit: Duration, child: &Child, wait: &dyn Fn()) -> bool {
    let Ok(handle) = process::pidfd(child.id()) else {
        return false;
    };
    let mut ended = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left.min(SILENCE)).unwrap_or(PollTimeout::MAX);
        match poll(&mut ended, timeout) {
            Ok(0) if left > SILENCE => wait(),
            polled => return polled == Ok(1),
        }
    }
}

/// Node, with the rights of somebody else where the caller is root.
fn node(file: &Path) -> Result<Command, Failure> {
    if !nix::unistd::geteuid().is_root() {
        let environment = entry::environment();
        let program = find(&environment, None)?;
        let mut command = Command::new(program);
        command.env_clear().envs(environment);
        return Ok(command);
    }
    let number = match caller_of_sudo() {
        Some(number) => number,
        None => owner(file)?,
    };
    let user = User::of(number).ok_or_else(|| {
        Failure::failed(format!(
            "Node would have to read the file as user ID {number}, which has no account"
        ))
    })?;
    let environment: Vec<(OsString, OsString)> = [
        ("HOME", user.home.as_str()),
        ("LOGNAME", &user.name),
        ("PATH", &user.path()),
        ("SHELL", &user.shell),
        ("USER", &user.name),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec();
    let program = find(&environment, Some(&user))?;
    // Root's keys are not for the user, see session-keyring(7).
    process::leave_session_keyring();
    let mut command = Command::new("/usr/bin/setpriv");
    command
        .arg(format!("--reuid={number}"))
        .arg(format!("--regid={}", user.group))
        .args([
            "--init-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
            "--no-new-privs",
            // When this process is killed.
            "--pdeathsig=KILL",
            "--",
        ])
        // Not the leader of a group, setsid(1) becomes the program.
        .arg("/usr/bin/setsid")
        .arg(program)
        .env_clear()
        .envs(environment);
    Ok(command)
}

/// Returns the user ID of whoever called sudo, unless that was root.
fn caller_of_sudo() -> Option<u32> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let number = entry::value("SUDO_UID")?.into_string().ok()?.parse().ok()?;
    (number != 0).then_some(number)
}

/// Returns the owner of a file, provided that nobody else could have put the file there.
fn owner(file: &Path) -> Result<u32, Failure> {
    let shown = file.display();
    let refused = |why: String| {
        Failure::new(
            Exit::Unreachable,
            format!("`{shown}` is a program, which rsgen does not run as root: {why}"),
        )
        .help("run `rsgen import` as the user who owns the file, and `rsgen install` as root")
    };
    let found = file.metadata().map_err(|e| refused(e.to_string()))?;
    let owner = found.uid();
    if owner == 0 {
        return Err(refused("its owner is root".to_owned()));
    }
    for place in file.ancestors() {
        let found = place.metadata().map_err(|e| refused(e.to_string()))?;
        let mode = found.permissions().mode();
        let is_shared = mode & 0o022 != 0 && mode & 0o1000 == 0;
        if is_shared || found.uid() != 0 && found.uid() != owner {
            return Err(refused(format!(
                "users other than its owner may write to `{}`",
                place.display()
            )));
        }
    }
    Ok(owner)
}

struct User {
    name: String,
    group: String,
    home: String,
    shell: String,
}

impl User {
    fn of(number: u32) -> Option<Self> {
        let entry = host_probe::answer("/usr/bin/getent", &["passwd", "--", &number.to_string()])?;
        let mut fields = entry.trim_end().split(':').map(str::to_owned);
        let name = fields.next()?;
        let group = fields.nth(2)?;
        let home = fields.nth(1)?;
        let shell = fields.next()?;
        Some(Self {
            name,
            group,
            home,
            shell,
        })
    }

    /// Returns the user's PATH. Folders in the home directory come first, because programs installed there are meant to
    /// override the system's.
    fn path(&self) -> String {
        let mut folders: Vec<String> = self
            .homes()
            .iter()
            .filter_map(|f| f.to_str().map(str::to_owned))
            .collect();
        let own = std::env::var("PATH").unwrap_or_default();
        folders.extend(
            [own, SYSTEM_PATH.to_owned()]
                .into_iter()
                .filter(|path| !path.is_empty()),
        );
        folders.join(":")
    }

    /// Returns the folders of nvm's versions, newest first, then those of volta and asdf.
    fn homes(&self) -> Vec<PathBuf> {
        let home = Path::new(&self.home);
        let versions = std::fs::read_dir(home.join(".nvm/versions/node"));
        let names = versions
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.file_name());
        let mut names: Vec<OsString> = names.collect();
        names.sort_by_key(|name| std::cmp::Reverse(version(&name.to_string_lossy())));
        let of_nvm = names
            .iter()
            .map(|name| home.join(".nvm/versions/node").join(name).join("bin"));
        of_nvm
            .chain([home.join(".volta/bin"), home.join(".asdf/shims")])
            .collect()
    }
}

/// Returns the numbers of a version such as `v20.1.0`.
fn version(name: &str) -> Vec<u32> {
    let parts = name.trim_start_matches('v').split('.');
    parts.filter_map(|part| part.parse().ok()).collect()
}

fn find(environment: &[(OsString, OsString)], user: Option<&User>) -> Result<PathBuf, Failure> {
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let path = path.map(|(_, path)| path.clone()).unwrap_or_default();
    let found = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("node"))
        .find(|node| node.is_file());
    found.ok_or_else(|| {
        let whose = user.map_or(String::new(), |user| format!(" of `{}`", user.name));
        Failure::failed(format!("only Node can read such a file, and there is no `node` in the PATH{whose}"))
            .help("install it, or make the file JSON: `node -p 'JSON.stringify(require(\"./ecosystem.config.js\"))'`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_a_user_comes_first() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        for version in ["v9.1.0", "v20.10.0", "v20.2.0"] {
            std::fs::create_dir_all(at(".nvm/versions/node").join(version)).unwrap();
        }
        let user = User {
            name: "web".into(),
            group: "1000".into(),
            home: home.path().to_str().unwrap().into(),
            shell: "/bin/sh".into(),
        };
        let expected = [
            ".nvm/versions/node/v20.10.0/bin",
            ".nvm/versions/node/v20.2.0/bin",
            ".nvm/versions/node/v9.1.0/bin",
            ".volta/bin",
            ".asdf/shims",
        ];
        assert_eq!(user.homes(), expected.map(at));
    }

    #[test]
    fn a_child_that_has_closed_its_streams_is_waited_for_no_longer_than_another() {
        let start = |script: &str| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", script]).stdin(Stdio::null());
            shell.spawn().unwrap()
        };
        let mut lasting = start("exec >&- 2>&-; exec sleep 60");
        assert!(!has_ended_within(
            Duration::from_millis(50),
            &lasting,
            &|| {}
        ));
        lasting.kill().unwrap();
        assert!(has_ended_within(PATIENCE, &lasting, &|| {}));
        lasting.wait().unwrap();
    }

    #[test]
    fn a_program_belongs_to_a_user_if_nobody_else_can_have_put_it_there() {
        let is_root = nix::unistd::geteuid().is_root();
        let user = if is_root {
            1
        } else {
            nix::unistd::geteuid().as_raw()
        };
        let folder = tempfile::tempdir().unwrap();
        let (folder, file) = (folder.path(), folder.path().join("ecosystem.config.js"));
        std::fs::write(&file, "").unwrap();
        let told = || owner(&file).map_err(|failure| failure.message);
        let give = |path: &Path, user| std::os::unix::fs::chown(path, Some(user), None).unwrap();
        if is_root {
            assert!(told().unwrap_err().ends_with("its owner is root"));
            give(folder, 2);
            give(&file, user);
            // Its folder is of a third user.
            assert!(told().unwrap_err().contains("users other than its owner"));
            give(folder, user);
        }
        for (mode, is_shared) in [
            (0o755, false),
            (0o775, true),
            (0o757, true),
            // Others may add to the folder, and replace nothing in it.
            (0o1777, false),
        ] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder, mode.clone()).unwrap();
            let expected = format!("may write to `{}`", folder.display());
            match told() {
                Ok(owner) => assert_eq!((owner, is_shared), (user, false), "{mode:?}"),
                Err(why) => assert!(is_shared && why.ends_with(&expected), "{mode:?}: {why}"),
            }
        }
    }
}
