//! Runs first in each program, and decides what the program takes over from whoever started it.
//!
//! systemd starts the commands of a unit in the environment, working directory and file mode mask of the app, and with
//! its resource limits. That includes commands that run as root (`+`, see `ExecStart=` in systemd.service(5)). A
//! variable of the app even overrides one that systemd itself sets, such as `NOTIFY_SOCKET` or `MAINPID`. So the
//! libraries of a program see only the variables that its function here names, and whatever decides how root acts is on
//! the command line or asked of systemd.

use std::ffi::OsStr;
use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::stat::{Mode, umask};

use crate::sys::{entry, process};

/// The socket on which the system manager takes notifications, see `manager_setup_notify` in src/core/manager.c of systemd.
const NOTIFY_SOCKET: &str = "/run/systemd/notify";

/// Variables by which a person's terminal and session decide how a command looks and whose manager it asks.
const SESSION: &[&str] = &[
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "COLUMNS",
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "LINES",
    "NO_COLOR",
    "PATH",
    "PWD",
    "TERM",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// Below a user's own manager: that user's folders and sockets, which decide nothing about anybody else.
const USER: &[&str] = &[
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "NOTIFY_SOCKET",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// The protocols of `sd_listen_fds(3)` and `sd_notify(3)`, which a worker speaks with the rights of its app.
const WORKER: &[&str] = &[
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
];

/// Called by a person, or by a script of one. A descriptor of root's shell is not for the programs that a command runs as
/// somebody else. A mask of 0, which some daemons pass on, would let everybody write units and installed files; a stricter
/// one stays.
pub fn as_command() {
    keep(SESSION);
    process::pass_on_nothing();
    let others = Mode::S_IWGRP | Mode::S_IWOTH;
    umask(umask(others) | others);
}

/// For a command of a unit of the system manager, which runs as root.
pub fn as_root() {
    entry::tell("NOTIFY_SOCKET", OsStr::new(NOTIFY_SOCKET));
    settle();
}

/// For a command of a unit of a user's own manager.
pub fn as_user() {
    keep(USER);
    // systemd names the socket only to units that may use it.
    let is_named = std::env::var_os("NOTIFY_SOCKET").is_some();
    if let Some(run) = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !is_named) {
        let socket = Path::new(&run).join("systemd/notify");
        entry::tell("NOTIFY_SOCKET", socket.as_os_str());
    }
    settle();
}

/// For a generator, which systemd starts, see systemd.generator(7).
pub fn as_generator() {
    keep(USER);
    settle();
}

/// For the worker, before it becomes the program. Mask, limits and folder stay, because they are the program's.
pub fn as_worker() {
    keep(WORKER);
}

fn keep(names: &[&str]) {
    for (name, value) in entry::environment() {
        if let Some(name) = name.to_str().filter(|n| names.contains(n)) {
            entry::tell(name, &value);
        }
    }
}

/// Replaces the working directory, the mask, the descriptors and the limits by values that nobody else has chosen.
fn settle() {
    // Relative names would be looked up in a folder of the app, and the folder could not be unmounted.
    let _ = nix::unistd::chdir("/");
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    process::close_range(3, u32::MAX);
    // A limit that ends a command half-way would let the app decide what is written. Only root may raise hard limits;
    // for anybody else those of the unit stay.
    for resource in [
        Resource::RLIMIT_AS,
        Resource::RLIMIT_CPU,
        Resource::RLIMIT_DATA,
        Resource::RLIMIT_FSIZE,
    ] {
        let _ = setrlimit(resource, RLIM_INFINITY, RLIM_INFINITY);
    }
    // A core dump would leave root's memory in a file.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}
