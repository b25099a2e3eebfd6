//! The drain and the handover on a distribution's own kernel, in a virtual machine: `make kernel`.
//!
//! The everyday tests run in containers, on the kernel of whoever runs them. Here PID 1 has a kernel of its own, with
//! the Yama module, and nothing between the drain and the programs. The whole system is one archive in memory, so
//! there is no disk, no driver and no network but the loopback. `guest.sh` is what runs there.

#![expect(
    clippy::unwrap_used,
    reason = "a machine that cannot be made has failed"
)]
#![expect(clippy::print_stdout, reason = "shows what the machine says")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use testbed::{Release, build_dir, machines_dir};

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");
/// What an application of the specs is.
const APPS: &[&str] = &["plain.js", "threads.py", "prefork.py", "jail.py"];
/// Longer than it takes an emulated machine.
const PATIENCE: &str = "3600";

fn main() -> ExitCode {
    let room = tempfile::tempdir().unwrap();
    let kernel = kernel();
    let stage = stage(&room.path().join("stage"));
    let system = room.path().join("system.cpio");
    for folder in [&Release::Debian13.root(), &kernel, &stage] {
        archive(folder, &system);
    }
    let verdict = run(&kernel, &system);
    println!("{verdict:?}");
    ExitCode::from(u8::from(!verdict.is_good()))
}

/// A folder with what the package of the kernel brings: the kernel, its modules, and what loads them.
fn kernel() -> PathBuf {
    let kept = machines_dir().join("kernel");
    if !kept.exists() {
        let half = kept.with_extension("half");
        // Of a build that was killed.
        let _ = fs::remove_dir_all(&half);
        let what = [
            "--quiet",
            "--variant=extract",
            "--include=linux-image-cloud-amd64",
            "trixie",
        ];
        must(Command::new("mmdebstrap").args(what).arg(&half));
        fs::rename(half, &kept).unwrap();
    }
    kept
}

/// What comes on top of the system: rsgen, the programs, and the first process to run.
fn stage(stage: &Path) -> PathBuf {
    let tests = Path::new(SOURCE).join("tests");
    let units = stage.join("etc/systemd/system");
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    fs::create_dir_all(stage.join("vm")).unwrap();
    let copy = |from: PathBuf| {
        let to = stage.join("vm").join(from.file_name().unwrap());
        fs::copy(&from, &to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    };
    for app in APPS {
        copy(tests.join("apps").join(app));
    }
    copy(tests.join("kernel/guest.sh"));
    copy(build_dir().join("examples/load"));
    fs::copy(
        tests.join("kernel/guest.service"),
        units.join("guest.service"),
    )
    .unwrap();
    symlink("../guest.service", wants.join("guest.service")).unwrap();
    symlink("usr/lib/systemd/systemd", stage.join("init")).unwrap();
    let install = ["--silent", "install", "PREFIX=/usr"];
    let build = format!("BUILD={}", build_dir().display());
    let destination = format!("DESTDIR={}", stage.display());
    must(
        Command::new("make")
            .args(install)
            .args([build, destination])
            .current_dir(SOURCE),
    );
    stage.to_owned()
}

/// Appends a folder to the archive that the kernel unpacks into memory.
fn archive(folder: &Path, to: &Path) {
    let pack = "cd \"$1\" && find . -path ./usr/share/doc -prune -o -path ./var/cache -prune -o -path ./boot -prune \
        -o -print0 | cpio --null --create --format=newc --quiet >>\"$2\"";
    must(
        Command::new("sh")
            .args(["-euc", pack, "sh"])
            .args([folder, to]),
    );
}

fn must(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(ExitStatus::success),
        "{command:?}: {status:?}"
    );
}

/// What the machine has said of itself, see the Test Anything Protocol.
#[derive(Debug, Default)]
struct Verdict {
    planned: Option<usize>,
    good: usize,
    bad: usize,
}

impl Verdict {
    /// A machine that ended half-way has planned nothing.
    fn is_good(&self) -> bool {
        self.bad == 0 && self.good > 0 && self.planned == Some(self.good)
    }

    fn hear(&mut self, line: &str) {
        self.good += usize::from(line.starts_with("ok "));
        self.bad += usize::from(line.starts_with("not ok "));
        if let Some(planned) = line.strip_prefix("1..") {
            self.planned = planned.parse().ok();
        }
    }
}

/// Boots, shows what the machine says, and waits until it is off.
fn run(kernel: &Path, system: &Path) -> Verdict {
    let boot = fs::read_dir(kernel.join("boot")).unwrap();
    let mut images = boot.map(|entry| entry.unwrap().path());
    let image = images
        .find(|path| path.to_string_lossy().contains("/vmlinuz-"))
        .unwrap();
    // Emulated: not every host lets a guest of its own run on its processor, and some only pretend to.
    let accelerator = std::env::var("ACCEL").unwrap_or_else(|_| "tcg".to_owned());
    let mut machine = Command::new("timeout")
        .args([
            PATIENCE,
            "qemu-system-x86_64",
            "-cpu",
            "max",
            "-accel",
            &accelerator,
        ])
        .args([
            "-smp",
            "2",
            "-m",
            "3G",
            "-nographic",
            "-nic",
            "none",
            "-no-reboot",
            "-kernel",
        ])
        .args([&image, Path::new("-initrd"), system])
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 systemd.show_status=no systemd.mask=serial-getty@ttyS0.service",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut verdict = Verdict::default();
    for line in BufReader::new(machine.stdout.take().unwrap()).split(b'\n') {
        let line = line.unwrap();
        let line = String::from_utf8_lossy(&line);
        println!("{}", line.trim_end());
        verdict.hear(line.trim_end());
    }
    machine.wait().unwrap();
    verdict
}
