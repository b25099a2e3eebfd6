//! The drain and the handover on the kernel of a distribution, in a virtual machine: `make kernel`.
//!
//! The everyday tests run in containers, on the kernel of the host. Here systemd runs on a kernel of its own, with the Yama
//! module and without the seccomp filter of a container. The whole system is an archive that the kernel unpacks into memory, so
//! there is no disk, no driver and no network but the loopback. `guest.sh` runs the tests in the machine.

#![expect(
    clippy::unwrap_used,
    reason = "a machine that cannot be made has failed"
)]
#![expect(clippy::print_stdout, reason = "shows what the machine says")]

mod selinux;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Instant;

use testbed::{Release, build_dir, machines_dir};

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");
/// The programs that `guest.sh` runs.
const APPS: &[&str] = &[
    "plain.js",
    "python.py",
    "threads.py",
    "prefork.py",
    "jail.py",
];
/// Files of the system and of the kernel that are left out, because unpacking them takes an emulated processor longer than
/// booting. The network modules stay, because the drain uses `sock_diag(7)`.
const LEFT_OUT: &[&str] = &[
    "./boot",
    "./usr/include",
    "./usr/lib/modules/*/kernel/arch",
    "./usr/lib/modules/*/kernel/drivers",
    "./usr/lib/modules/*/kernel/fs",
    "./usr/lib/modules/*/kernel/sound",
    "./usr/lib/*-linux-gnu/gconv",
    "./usr/lib/*-linux-gnu/perl*",
    "./usr/lib/*-linux-gnu/ruby",
    "./usr/lib/ruby",
    // Generators run at each daemon-reload.
    "./usr/lib/systemd/system-generators/systemd-*",
    "./usr/lib/systemd/user-generators/systemd-*",
    "./usr/sbin/haproxy",
    "./usr/share/doc",
    "./usr/share/i18n",
    "./usr/share/locale",
    "./usr/share/man",
    "./usr/share/perl*",
    "./usr/share/ri",
    "./usr/share/zoneinfo",
    "./var/cache",
    "./var/lib/apt",
    "./var/lib/dpkg",
];
/// Units that have nothing to do in this machine.
const MASKED: &[&str] = &[
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    "systemd-udev-load-credentials.service",
    "systemd-timesyncd.service",
    "systemd-hwdb-update.service",
    "systemd-journal-flush.service",
    "kmod-static-nodes.service",
    "ssh.service",
    "haproxy.service",
];
/// The time limit in seconds, which is longer than an emulated machine needs.
const PATIENCE: &str = "3600";
/// The emulated processor. With `max`, which has every feature, programs take several times as long. Its own random numbers are there before
/// the second processor is. Otherwise the kernel patches its code once it has gathered enough of them, which QEMU before 8.1 may
/// translate half patched on the other processor; the kernel then panics with `Oops: int3`.
const PROCESSOR: &str = "Nehalem,+rdrand";
/// The command line of the kernel and of systemd. `no_timer_check` and `nowatchdog`, because the clock of an emulated machine on
/// a busy host fails the kernel's test, and its processors stand still for half a minute.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 no_timer_check nowatchdog mitigations=off \
    systemd.show_status=no systemd.default_timeout_start_sec=1h systemd.unit=guest.service";

fn main() -> ExitCode {
    let room = tempfile::tempdir().unwrap();
    let kernel = kernel();
    let stage = stage(&room.path().join("stage"));
    let mut told = COMMAND_LINE.to_owned();
    if std::env::args().any(|argument| argument == "selinux") {
        selinux::add(&stage);
        told = format!("{told} {}", selinux::COMMAND_LINE);
    }
    let system = room.path().join("system.cpio");
    for folder in [&Release::Debian13.root(), &kernel, &stage] {
        archive(folder, &system);
    }
    let outcome = run(&kernel, &system, &told);
    println!("{outcome:?}");
    ExitCode::from(u8::from(!outcome.is_good()))
}

/// A folder with the package of the kernel and the packages that it needs: the kernel, its modules, and kmod(8).
fn kernel() -> PathBuf {
    let kept = machines_dir().join("kernel");
    if !kept.exists() {
        let half = kept.with_extension("half");
        // A build that was killed may have left this folder.
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

/// A folder with everything that is added to the system: rsgen, the programs, and the unit that runs `guest.sh`.
fn stage(stage: &Path) -> PathBuf {
    let tests = Path::new(SOURCE).join("tests");
    let units = stage.join("etc/systemd/system");
    fs::create_dir_all(&units).unwrap();
    fs::create_dir_all(stage.join("vm")).unwrap();
    let copy = |from: PathBuf| {
        let to = stage.join("vm").join(from.file_name().unwrap());
        fs::copy(&from, &to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    };
    for app in APPS {
        copy(tests.join("apps").join(app));
    }
    copy(tests.join("programs/datagrams.py"));
    copy(tests.join("kernel/guest.sh"));
    copy(tests.join("kernel/ask-datagrams.py"));
    copy(build_dir().join("examples/load"));
    fs::copy(
        tests.join("kernel/guest.service"),
        units.join("guest.service"),
    )
    .unwrap();
    fs::create_dir(units.join("service.d")).unwrap();
    fs::copy(
        tests.join("kernel/quick.conf"),
        units.join("service.d/quick.conf"),
    )
    .unwrap();
    for unit in MASKED {
        symlink("/dev/null", units.join(unit)).unwrap();
    }
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
    // Debug information is the largest part of a program.
    let programs = "strip \"$1\"/vm/load \"$1\"/usr/bin/rsgen \"$1\"/usr/lib/rsgen/bin/rsgen-worker \
        \"$1\"/usr/lib/systemd/system-generators/rsgen-generator";
    must(Command::new("sh").args(["-euc", programs, "sh"]).arg(stage));
    stage.to_owned()
}

/// Appends a folder to the archive that the kernel unpacks into memory.
fn archive(folder: &Path, to: &Path) {
    let pack = "cd \"$1\" && to=$2 && shift 2 && find . \"$@\" -print0 | cpio --null --create --format=newc --quiet >>\"$to\"";
    let mut command = Command::new("sh");
    command.args(["-euc", pack, "sh"]).args([folder, to]);
    for path in LEFT_OUT {
        command.args(["-path", path, "-prune", "-o"]);
    }
    must(&mut command);
}

fn must(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(ExitStatus::success),
        "{command:?}: {status:?}"
    );
}

/// The results that the machine has printed, see the Test Anything Protocol.
#[derive(Debug, Default)]
struct Outcome {
    planned: Option<usize>,
    good: usize,
    bad: usize,
}

impl Outcome {
    /// Whether all planned checks succeeded. A machine that ended early has printed no plan.
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

/// Boots the machine, shows its output, and waits until it is off.
fn run(kernel: &Path, system: &Path, told: &str) -> Outcome {
    let boot = fs::read_dir(kernel.join("boot")).unwrap();
    let mut images = boot.map(|entry| entry.unwrap().path());
    let image = images
        .find(|path| path.to_string_lossy().contains("/vmlinuz-"))
        .unwrap();
    // Emulated by default: not every host supports hardware virtualisation, and on some it is present but does not work.
    let accelerator = std::env::var("ACCEL").unwrap_or_else(|_| "tcg".to_owned());
    let mut machine = Command::new("timeout")
        .args([
            PATIENCE,
            "qemu-system-x86_64",
            "-cpu",
            PROCESSOR,
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
        .args(["-append", told])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut outcome = Outcome::default();
    let began = Instant::now();
    for line in BufReader::new(machine.stdout.take().unwrap()).split(b'\n') {
        let line = line.unwrap();
        let line = String::from_utf8_lossy(&line);
        println!("{:4} s  {}", began.elapsed().as_secs(), line.trim_end());
        outcome.hear(line.trim_end());
    }
    machine.wait().unwrap();
    outcome
}
