//! JavaScript is evaluated by a Node that is not root and gets nothing that its caller has open, and nothing of it stays.

use super::*;

#[test]
fn javascript_never_runs_as_root() {
    let folder = Folder::with("ecosystem.config.js", CONFIG.as_bytes());
    let caller = nix::unistd::geteuid().as_raw();
    let expected = if caller == 0 { NOBODY } else { caller };
    let output = folder.rsgen(&["import", "--output", "-"]);
    let made = String::from_utf8(output.stdout).unwrap();
    assert!(made.contains(&format!("UID = \"{expected}\"")), "{made}");
    assert!(made.contains("TTY = \"undefined\""), "{made}");
    if caller != 0 {
        return;
    }
    let refused = |why: &str| {
        let output = folder.rsgen(&["import", "--output", "-"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(
            said.contains("does not run as root") && said.contains(why),
            "{said}"
        );
    };
    let config = folder.path("ecosystem.config.js");
    chown(folder.0.path(), Some(1), None).unwrap();
    refused("users other than its owner may write to");
    chown(&config, Some(0), None).unwrap();
    refused("its owner is root");
}

#[test]
fn under_sudo_javascript_runs_as_the_user_who_called_it() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = Folder::with("ecosystem.config.js", CONFIG.as_bytes());
    chown(folder.path("ecosystem.config.js"), Some(0), None).unwrap();
    let output = folder
        .command(&["import"])
        .env("SUDO_UID", NOBODY.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let target = folder.path("ecosystem.toml");
    let made = fs::read_to_string(&target).unwrap();
    assert!(made.contains(&format!("UID = \"{NOBODY}\"")), "{made}");
    // The user has to be able to edit the file.
    assert_eq!(target.metadata().unwrap().uid(), NOBODY);
}

/// Whether a process has this text in its command line.
fn runs(text: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().map(|e| e.unwrap().path());
    let mut lines = processes.filter_map(|path| fs::read_to_string(path.join("cmdline")).ok());
    lines.any(|line| line.contains(text))
}

/// What a file starts has left the group and the session of Node, and keeps Node's output open.
#[test]
fn nothing_that_a_file_has_started_outlives_the_import() {
    let text = "const { spawnSync, spawn } = require('child_process');
        const own = { detached: true, stdio: 'inherit' };
        const waits = 'sleep 600; : ' + __dirname + '/left';
        spawn('sh', ['-c', waits], own).unref();
        spawnSync('sh', ['-c', `setsid sh -c '${waits}' & (setsid sh -c '${waits}' &)`], own);
        module.exports = { apps: [{ script: 'a.js' }] };";
    let folder = Folder::with("ecosystem.config.js", text.as_bytes());
    // This one is a child of what becomes rsgen, and none of the file's business.
    let shell = "sleep 600 >/dev/null 2>&1 & echo $!; exec \"$0\" import";
    let begun = std::time::Instant::now();
    let output = Command::new("/bin/sh")
        .args(["-c", shell, env!("CARGO_BIN_EXE_rsgen")])
        .current_dir(folder.0.path())
        .env_remove("SUDO_UID")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let other = said.lines().next().unwrap();
    let stays = Command::new("kill").arg(other).status().unwrap().success();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(begun.elapsed().as_secs() < 25, "{:?}", begun.elapsed());
    assert!(!runs(folder.path("left").to_str().unwrap()) && stays);
}

/// Becomes rsgen with a file open and with a session keyring, whose number it prints (0 where the kernel has none).
const CALLER: &str = "
import ctypes, os, sys
os.dup2(os.open(sys.argv[1], os.O_RDONLY), 9)
call = {'x86_64': 250}.get(os.uname().machine, 219)
keyctl = lambda *arguments: ctypes.CDLL(None).syscall(call, *arguments)
ring = keyctl(1, None) > 0 and keyctl(0, -3, 0)
print(f'{ring:08x}', file=sys.stderr)
os.execv(sys.argv[2], ['rsgen', 'import', '--output', '-'])";

#[test]
fn a_file_gets_nothing_that_its_caller_has_open() {
    let text = "const fs = require('fs');
        const link = fd => { try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } };
        const keys = fs.existsSync('/proc/keys') ? fs.readFileSync('/proc/keys', 'utf8') : '';
        const env = { FILES: fs.readdirSync('/proc/self/fd').map(link).join(), RINGS: keys.match(/^.*_ses/mg) };
        module.exports = { apps: [{ script: 'a.js', env }] };";
    let folder = Folder::with("ecosystem.config.js", text.as_bytes());
    let secret = tempfile::NamedTempFile::new().unwrap();
    let secret = secret.path().to_str().unwrap();
    let mut caller = Command::new("python3");
    caller.args(["-c", CALLER, secret, env!("CARGO_BIN_EXE_rsgen")]);
    caller.current_dir(folder.0.path()).env_remove("SUDO_UID");
    let output = caller.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let made = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(made.contains("pipe:[") && !made.contains(secret), "{made}");
    // A user's keys are that user's own.
    let ring = stderr(&output);
    let is_root = nix::unistd::geteuid().is_root();
    assert!(!is_root || !made.contains(ring.trim()), "{ring}: {made}");
}

#[test]
fn what_node_says_of_a_broken_file_is_told() {
    for (text, told) in [
        (
            "require('dotenv-that-is-not-there')",
            "Cannot find module 'dotenv-that-is-not-there'",
        ),
        ("module.exports = {", "Unexpected"),
        ("throw 'a\\u001b[2Jb'", r"a\x1b[2Jb"),
        ("process.exit(0)", "it exports nothing"),
    ] {
        let folder = Folder::with("ecosystem.config.js", text.as_bytes());
        let output = folder.rsgen(&["import"]);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(
            stderr(&output).contains(told),
            "{text}: {}",
            stderr(&output)
        );
        assert!(!folder.path("ecosystem.toml").exists(), "{text}");
    }
}

#[test]
fn node_may_export_only_so_much() {
    let text = "module.exports = { apps: [{ script: 'x'.repeat(5 << 20) }] };\n";
    let folder = Folder::with("ecosystem.config.js", text.as_bytes());
    let output = folder.rsgen(&["import", "--output", "-"]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("longer than 4096 KiB"), "{said}");
}

#[test]
fn root_runs_no_file_from_a_folder_that_everybody_may_write_to() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = Folder::with("ecosystem.config.js", CONFIG.as_bytes());
    let set = |mode| {
        fs::set_permissions(folder.path(""), fs::Permissions::from_mode(mode)).unwrap();
        folder.rsgen(&["import", "--output", "-"]).status.code()
    };
    assert_eq!(set(0o777), Some(4));
    assert_eq!(set(0o775), Some(4));
    // As in /tmp, nobody replaces a file of somebody else.
    assert_eq!(set(0o1777), Some(0));
}
