//! The layers of a disk that all machines of a process share: rsgen, installed once, the interpreter of
//! `tests/apps/graceful`, and the units that a machine leaves out.
//!
//! They are on a tmpfs in a mount namespace of their own, which a process holds that ends with this one. Machines are started
//! in that namespace, so nothing is left on the host.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::release::{Release, build_dir, machines_dir};

/// Mounts the tmpfs, and keeps it until standard input ends.
const SCRIPT: &str = "mount -t tmpfs -o mode=755 layers \"$1\" && echo ready && exec cat";

/// Units that do nothing for a test: they prepare hardware, terminals and caches, or update files that are already up to date.
const NEEDLESS: &[&str] = &[
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "ldconfig.service",
    "run-lock.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-pstore.service",
    "systemd-remount-fs.service",
    "systemd-sysctl.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup-dev-early.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-update-done.service",
    "systemd-update-utmp.service",
];

/// Units that are started on request, and not at boot.
const LATER: &[&str] = &["systemd-logind.service"];

static SHARED: Mutex<Option<Layers>> = Mutex::new(None);

/// The mount namespace with the layers that have been made so far.
struct Layers {
    holder: Child,
    folder: PathBuf,
}

/// The disk that a machine consists of.
pub(crate) struct Lower {
    /// The folders below the disk of the machine, the upper one first, as `lowerdir=` of mount(8) lists them.
    pub(crate) folders: String,
    /// The mount namespace in which they are.
    pub(crate) namespace: PathBuf,
}

/// The layers of a machine with this release, and with rsgen if it is asked for.
pub(crate) fn below(release: Release, with_rsgen: bool) -> Lower {
    let root = release.root();
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let layers = shared.get_or_insert_with(Layers::new);
    let lean = layers.layer(&release.to_string(), |layer| leave_out(layer, &root));
    let server = layers.layer("server", compile);
    let rsgen = with_rsgen.then(|| layers.layer("rsgen", install));
    let folders = rsgen.into_iter().chain([server, lean, root]);
    let folders: Vec<String> = folders.map(|f| from_room(&f)).collect();
    Lower {
        folders: folders.join(":"),
        namespace: format!("/proc/{}/ns/mnt", layers.holder.id()).into(),
    }
}

/// The path from the folder on which the disks of machines are mounted.
fn from_room(folder: &Path) -> String {
    match folder.strip_prefix(machines_dir()) {
        Ok(below) => format!("../{}", below.display()),
        Err(_) => folder.display().to_string(),
    }
}

impl Layers {
    fn new() -> Self {
        let folder = machines_dir().join("layers");
        fs::create_dir_all(&folder).expect("an empty folder to mount on");
        // In a session of its own, like the keepers, which outlive a Ctrl-C on the terminal until they have cleaned up.
        let mut holder = Command::new("setsid")
            .args(["unshare", "--mount", "--propagation", "private"])
            .args(["sh", "-c", SCRIPT, "layers"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`setsid unshare` starts");
        let stdout = holder.stdout.take().expect("standard output is piped");
        let mut said = String::new();
        let heard = BufReader::new(stdout).read_line(&mut said);
        assert!(
            heard.is_ok() && said == "ready\n",
            "no tmpfs for the layers"
        );
        Self { holder, folder }
    }

    /// The layer of this name, which `make` fills at the first use.
    fn layer(&self, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
        let layer = self.folder.join(name);
        let below = layer
            .strip_prefix("/")
            .expect("the folder's path is absolute");
        let from_here = Path::new("/proc")
            .join(self.holder.id().to_string())
            .join("root")
            .join(below);
        if !from_here.exists() {
            // A layer that could not be finished must not be used by the next machine.
            let half = from_here.with_extension("half");
            let _ = fs::remove_dir_all(&half);
            fs::create_dir(&half).expect("a folder for a layer");
            make(&half);
            fs::rename(&half, &from_here).expect("a finished layer gets its name");
        }
        layer
    }
}

/// Masks the units that a test does not need, and the generators other than rsgen's, which otherwise run at each
/// daemon-reload.
fn leave_out(layer: &Path, root: &Path) {
    let mask = |folder: &str, names: &[String]| {
        let folder = layer.join(folder);
        fs::create_dir_all(&folder).expect("a folder for masks");
        for name in names {
            symlink("/dev/null", folder.join(name)).expect("a mask");
        }
    };
    let names = |all: &[&str]| -> Vec<String> { all.iter().map(|&n| n.to_owned()).collect() };
    mask("etc/systemd/system", &names(NEEDLESS));
    // `keeper.sh` empties the folder of this name in /etc.
    let wants = "usr/local/lib/systemd/system/multi-user.target.wants";
    mask(wants, &names(LATER));
    let generators = fs::read_dir(root.join("usr/lib/systemd/system-generators"));
    let generators = generators.expect("systemd has generators").flatten();
    let generators = generators.map(|g| g.file_name().to_string_lossy().into_owned());
    let others: Vec<String> = generators.filter(|g| g != "rsgen-generator").collect();
    mask("etc/systemd/system-generators", &others);
    // `ConditionNeedsUpdate=` compares these files with /usr.
    let next_year = SystemTime::now() + Duration::from_hours(24 * 365);
    for updated in ["etc/.updated", "var/.updated"] {
        let updated = layer.join(updated);
        fs::create_dir_all(updated.parent().expect("a folder")).expect("a folder");
        let file = File::create(updated).expect("a stamp");
        file.set_modified(next_year).expect("a stamp has a time");
    }
}

/// Compiles the interpreter of `tests/apps/graceful`. It is linked statically, as the releases have different C libraries.
fn compile(layer: &Path) {
    let folder = layer.join("usr/lib/testbed");
    fs::create_dir_all(&folder).expect("a folder for a program");
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("apps");
    let compiled = Command::new("cc")
        .args(["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([folder.join("server"), apps.join("server.c")])
        .output()
        .expect("`cc` starts");
    assert!(compiled.status.success(), "`cc` failed: {compiled:?}");
}

/// Installs the programs that cargo has built, by `make install`.
fn install(layer: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the source");
    let installed = Command::new("make")
        .args(["--silent", "install", "PREFIX=/usr"])
        .arg(format!("BUILD={}", build_dir().display()))
        .arg(format!("DESTDIR={}", layer.display()))
        .current_dir(source)
        .output()
        .expect("`make` starts");
    assert!(
        installed.status.success(),
        "`make install` failed: {installed:?}"
    );
}
