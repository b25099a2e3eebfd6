//! The policy of Debian in enforcing mode: `make kernel GUEST=selinux`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::machines_dir;

use super::{SOURCE, must};

/// Additions to the command line of the kernel.
pub(super) const COMMAND_LINE: &str = "security=selinux selinux=1 enforcing=1 log_buf_len=8M";
/// The files of the system with the policy that the machine gets.
const TAKEN: &[&str] = &[
    "etc/selinux",
    "usr/sbin/getenforce",
    "usr/sbin/load_policy",
    "usr/sbin/setenforce",
    "usr/sbin/setfiles",
];
/// Debian's policy does not know a root file system in memory, and allows no files in it. This rule does.
const MEMORY_ROOT: &str = "(allow file_type root_t (filesystem (associate)))\n";

/// Adds the policy with the module of the packages, and the first process, to the folder.
pub(super) fn add(stage: &Path) {
    let policy = policy();
    let module = Path::new(SOURCE).join("packaging/selinux/rsgen.cil");
    fs::copy(module, policy.join("tmp/rsgen.cil")).unwrap();
    fs::write(policy.join("tmp/memory-root.cil"), MEMORY_ROOT).unwrap();
    let install = "semodule -n -s default -i /tmp/rsgen.cil /tmp/memory-root.cil";
    must(
        Command::new("chroot")
            .arg(&policy)
            .args(["sh", "-c", install]),
    );
    let take = "cd \"$1\" && to=$2 && shift 2 && cp --archive --parents \"$@\" \"$to\"";
    let mut command = Command::new("sh");
    command.args(["-euc", take, "sh"]).arg(&policy).arg(stage);
    must(command.args(TAKEN));
    let init = Path::new(SOURCE).join("tests/kernel/selinux/init.sh");
    fs::remove_file(stage.join("init")).unwrap();
    fs::copy(init, stage.join("init")).unwrap();
    let guest = Path::new(SOURCE).join("tests/kernel/selinux/guest.sh");
    fs::copy(guest, stage.join("vm/guest.sh")).unwrap();
}

/// A small system in which the policy is built.
fn policy() -> PathBuf {
    let kept = machines_dir().join("selinux");
    if !kept.exists() {
        let half = kept.with_extension("half");
        // A build that was killed may have left this folder.
        let _ = fs::remove_dir_all(&half);
        let what = [
            "--mount",
            "--propagation",
            "private",
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            "--include=selinux-policy-default,selinux-utils,policycoreutils",
            "trixie",
        ];
        must(Command::new("unshare").args(what).arg(&half));
        fs::rename(half, &kept).unwrap();
    }
    kept
}
