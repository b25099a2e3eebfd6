//! Environment files: the Ansible collection and the worker read them as systemd does, and a file that others than root may
//! write is not opened by root.

use testbed::{Machine, wait_until};

use crate::cluster::{self, ECOSYSTEM, SOON};

const FILE: &str = "/srv/web/.env";

const VARIABLES: &str = include_str!("../../packaging/ansible/plugins/module_utils/variables.py");

/// A script that compares the variables which systemd passes to a program from a file with those that the collection reads.
const ASK: &str = r##"
import subprocess, sys
import variables

def passed(text):
    with open("/root/some.env", "w", newline="") as file:
        file.write(text)
    run = ["systemd-run", "-q", "--wait", "--pipe", "--collect", "-p", "EnvironmentFile=/root/some.env", "/usr/bin/env", "-0"]
    found = subprocess.run(run, stdout=subprocess.PIPE, check=True).stdout.decode()
    return dict(pair.split("=", 1) for pair in found.split("\0") if pair)

always = set(passed(""))
def new(text):
    return {name: value for name, value in passed(text).items() if name not in always}

PEM = "-----BEGIN-----\nMIIEvQIB+/\nQUJDRA==\n-----END-----\n"
SURE = [
    "", "A=1", " A = 1 \n", "# A=1\n;B=2\nC=3\n", "A=two words \nB='3'", "A=1\\\n2\nB=x\\ y\n", "A=1\r\nB=2\r\n",
    'A="1\\\n2\\"\\$\\n"\n', "A=\"one\"'two' \"three\"\n", "A='%s'\nB=\"%s\"\n" % (PEM, PEM), "A=1\nA=2\n",
    "A=a#b;c\n", "A='\\'\nB=\"\\\\\"\n", "A=\\\\\\'\\\"\n", "_a9=\"\"\n", "#\\x\nA=1\n", "A='' \"x\"\nB=a=b==\n",
]
for text in SURE:
    read, known = variables.read(text), new(text)
    if read != known:
        sys.exit("systemd reads %r as %r, not as %r" % (text, known, read))

VALUES = {"A": 'a"b\\c$d`e', "B": PEM, "C": "", "D": " x ", "E": "# ;=\\\n'%i", "_9": "\t\\n$HOME"}
if new(variables.written(VALUES)) != VALUES:
    sys.exit("%r is read as %r" % (VALUES, new(variables.written(VALUES))))

# From a key without quotes systemd reads variables whose names are parts of the key.
for text in ["A=%s" % PEM, "A=MIIEvQIB\nQUJDRA==\n", "A=1\\\n2\nexport B=1\n", "# 1\\\nA=1\n", "1A=hush\n", "A-B=hush\n"]:
    new(text)
    if variables.read(text) is not None:
        sys.exit("%r is read as if it were certain" % text)
"##;

pub(crate) fn are_known_as_systemd_knows_them(machine: &mut Machine) {
    machine.write("/root/variables.py", VARIABLES);
    machine.write("/root/ask.py", ASK);
    machine.sh("cd /root && python3 ask.py").ok();
    // The reason why such names are refused: systemd ignores them, and logs their values.
    let journal = machine.journalctl(&["-q", "-o", "cat"]).ok();
    journal.says("1A=hush").says("A-B=hush");
}

/// A script that compares the variables which the worker passes to a program from a file with those that systemd passes.
const COMPARE: &str = r##"
import os, subprocess, sys

FILE = "/srv/web/compared.env"
# The worker wants a listening socket, as `sd_listen_fds(3)` has it.
WORKER = """
import os, socket
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = "1", str(os.getpid())
os.execv("/usr/lib/rsgen/bin/rsgen-worker", ["rsgen-worker", "run", "--app=compared", "--instance=0", "--state=/run/rsgen/compared",
    "--handover=fds", "--ready=exec", "--listen-timeout=30s", "--min-uptime=1s", "--max-restarts=16", "--env-file=%s", "--", "/usr/bin/env", "-0"])
""" % FILE
RUN = ["systemd-run", "-q", "--wait", "--pipe", "--collect", "-p", "User=www-data", "-p", "Environment=OWN=1 A=unit"]

def passed(command):
    done = subprocess.run(RUN + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        return None
    pairs = dict(pair.split(b"=", 1) for pair in done.stdout.split(b"\0") if pair)
    each = (b"LISTEN_", b"INVOCATION_ID", b"JOURNAL_STREAM", b"SYSTEMD_EXEC_PID", b"MEMORY_PRESSURE_", b"MANAGERPID")
    return {name: value for name, value in pairs.items() if not name.startswith(each)}

# By hand: each rule of the syntax. At random, but the same each time: words of it in any order.
TEXTS = [
    b"", b"A=1", b" A = 1 \n", b"# A=2\n;B=2\nC=3\n", b"A=two words \nB='3'", b"A=1\\\n2\nB=x\\ y\nC=z \\\n", b"A=1\r\nB=2\r\n\r\n",
    b'A="1\\\n2\\"\\$\\n\\`\\\\"\n', b"A=\"one\"'two' \"three\" four \"five\"\n", b"A=1\nA=2\n", b"A=a#b;c\n", b"A='\\'\nB=\"\\\\\"\n",
    b"A=\\\\\\'\\\"\\", b"_a9=\"\"\n", b"A='' \"x\"\nB=a=b==\n", b"export A=3\nC=4", b"1A=1\nA-B=2\n=5\n==6\n C = 7\nno assignment\n",
    b"A='open\nB=1", b'A="open\nB=1\\', b"A=\"\\\r\n\"", b"A=\nB=''\n", b"A=\t\x0b\x1b[2J\n", b"A=%n%%$B${C}\n", b"PATH=/bin\nHOME=/x\nUSER=y\n",
    b"A=1\0\nB=2", b"A=\xff\n", b"A=1\n\xff=2\n", b"A=\xef\xbf\xbe", b"A=\xef\xb7\x90", b"A=\xed\xa0\x80", b"A=\xf4\x90\x80\x80",
    b"#\xff\nA=1\n\xff\n", b"\xef\xbb\xbfA=1\nB=2\n", b"A\xc3\xa9=1\nB=\xc3\xa9\n", b"NOTIFY_SOCKET=/x\nMAINPID=1\nNODE_OPTIONS=--a\nOWN=2\n",
]
import random
dice = random.Random(7)
WORDS = [b"A", b"B", b"=", b"=", b"\n", b"\n", b"\r\n", b" ", b"\t", b"'", b'"', b"\\", b"\\\n", b"#", b";", b"$", b"`", b"x", b"\xc3\xa9"]
while len(TEXTS) < 80:
    text = b"A=" + b"".join(dice.choice(WORDS) for _ in range(dice.randrange(40)))
    # Before 254 a backslash at the end of a comment made the next line a part of it.
    if not any(b"#" in line + b";" and line.endswith(b"\\") for line in text.splitlines()):
        TEXTS.append(text)

wrong = []
for text in TEXTS[int(sys.argv[1])::4]:
    with open(FILE, "wb") as file:
        file.write(text)
    by_systemd = passed(["-p", "EnvironmentFile=" + FILE, "/usr/bin/env", "-0"])
    by_worker = passed(["/usr/bin/python3", "-c", WORKER])
    if by_systemd != by_worker:
        wrong.append("systemd reads %r as %r, and the worker as %r" % (text, by_systemd, by_worker))
if passed(["-p", "EnvironmentFile=/nowhere", "/usr/bin/env", "-0"]) is not None or wrong:
    sys.exit("\n".join(wrong))
"##;

pub(crate) fn give_a_program_the_same_by_worker_and_by_systemd(machine: &mut Machine) {
    machine.write("/srv/web/x", "");
    machine.write("/root/compare.py", COMPARE);
    // Each text takes two starts of systemd, and all of them longer than a command may on a busy host.
    for part in 0..4 {
        machine.sh(&format!("python3 /root/compare.py {part}")).ok();
    }
}

/// Installs an app whose user may put anything in the place of its environment file.
fn plant(machine: &Machine) {
    machine.write(FILE, "A=1\n");
    machine.sh("chown -R www-data: /srv/web").ok();
    cluster::install(machine, "graceful", "1", "env_file = \".env\"");
}

fn variables(machine: &Machine) -> Vec<String> {
    let file = format!("/proc/{}/environ", machine.main_pid("web@0.service"));
    let text = machine.read(&file);
    let variables = text.split('\0').filter(|v| !v.is_empty());
    variables.map(str::to_owned).collect()
}

fn has(machine: &Machine, variable: &str) -> bool {
    variables(machine).iter().any(|v| v == variable)
}

/// Restarts the only instance, and asserts that the start fails for the reason that the journal gives.
fn fails(machine: &Machine, why: &str) {
    let since = machine.sh("date +%s.%N").ok().text().to_owned();
    let _start = machine.spawn(&["timeout", "20", "systemctl", "restart", "web@0.service"]);
    let journal = ["-q", "-o", "cat", "-u", "web@0.service"];
    let since = format!("--since=@{since}");
    wait_until(SOON, "the start to fail with its reason", || {
        let asked = machine.run(&["timeout", "60", "systemctl", "show", "--property=Version"]);
        assert_eq!(asked.status, 0, "systemd does not answer");
        machine
            .journalctl(&[&journal[..], &[&since]].concat())
            .stdout
            .contains(why)
    });
}

pub(crate) fn hold_up_no_manager_when_they_are_pipes(machine: &mut Machine) {
    plant(machine);
    let pipe = format!("rm {FILE} && mkfifo -m 666 {FILE}");
    machine
        .run(&["runuser", "-u", "www-data", "--", "sh", "-c", &pipe])
        .ok();
    fails(
        machine,
        "`/srv/web/.env`, a file of `env_file`, cannot be read with the rights of the app: it is not a regular file",
    );
}

/// By its mode only root may write to the folder, but an entry of its access control list lets the app's user write.
pub(crate) fn below_a_folder_with_an_acl_are_read_by_the_worker(machine: &mut Machine) {
    plant(machine);
    machine
        .sh("chown -R root:root /srv/web && chmod 755 /srv/web")
        .ok();
    // Version 2, then the owner, user 33, the group, the mask and others, see linux/posix_acl_xattr.h.
    let set = "import os, struct; e = [(1, 7, -1), (2, 7, 33), (4, 5, -1), (16, 7, -1), (32, 5, -1)]; \
        os.setxattr('/srv/web', 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(struct.pack('<HHi', *x) for x in e))";
    machine.run(&["python3", "-c", set]).ok();
    cluster::install(machine, "graceful", "1", "env_file = \".env\"");
    cluster::assert_exactly(machine, 1);
    let unit = machine.sh("systemctl cat web@0.service").ok().stdout;
    assert!(!unit.contains("EnvironmentFile="), "{unit}");
    let told = machine
        .run(&["rsgen", "check", "/srv/web/ecosystem.toml"])
        .ok();
    let why = "`/srv/web` may be written by an entry of its ACL";
    assert!(told.stderr.contains(why), "{told}");
}

pub(crate) fn show_the_program_nothing_that_only_root_may_read(machine: &mut Machine) {
    machine.write("/root/token", "TOKEN=hush\n");
    machine.sh("chmod 600 /root/token").ok();
    plant(machine);
    for (target, why) in [
        ("/root/token", "Permission denied"),
        ("/etc/shadow", "Permission denied"),
        ("/proc/1/environ", "Permission denied|it is a file of /proc"),
        (
            "/proc/1/cwd/etc/hostname",
            "Permission denied|symbolic links",
        ),
    ] {
        machine.run(&["ln", "-sfn", target, "/srv/web/.env"]).ok();
        machine.run(&["systemctl", "restart", "web@0.service"]);
        wait_until(SOON, &format!("{why} of {target}"), || {
            let journal = machine.journal("web@0.service");
            let last = journal.lines().rev().find(|l| l.contains("cannot be read"));
            last.is_some_and(|last| why.split('|').any(|w| last.contains(w)))
        });
    }
    let journal = machine.journalctl(&["-q", "-o", "cat"]).ok();
    assert!(!journal.stdout.contains("hush"));
}

/// The variables do not influence the worker, which notifies systemd and passes the sockets on in spite of them.
pub(crate) fn reach_the_program_and_nothing_before_it(machine: &mut Machine) {
    plant(machine);
    machine.write("/srv/web/first.env", "A=0\nB=\"b b\"\nexport C=3\n");
    let hostile = "A=1\nNOTIFY_SOCKET=/srv/web/x\nLISTEN_FDS=9\nLISTEN_PID=1\nNODE_OPTIONS=--no-warnings\nPATH=/usr/bin\n";
    machine.write(FILE, hostile);
    let lines = "env_file = [\"first.env\", \".env\"]\nenv = { B = \"unit\", D = \"unit\" }\nmax_restarts = 2";
    cluster::install(machine, "graceful.js", "1", lines);
    cluster::assert_exactly(machine, 1);
    for variable in [
        "A=1",
        "B=b b",
        "D=unit",
        "NOTIFY_SOCKET=/srv/web/x",
        "PATH=/usr/bin",
    ] {
        assert!(
            has(machine, variable),
            "{variable}: {:?}",
            variables(machine)
        );
    }
    let found = variables(machine);
    assert!(!found.iter().any(|v| v.starts_with("LISTEN_")), "{found:?}");
    let options = |v: &String| v.starts_with("NODE_OPTIONS=--no-warnings --require ");
    assert!(found.iter().any(options), "{found:?}");
    let said = machine.journal("web@0.service");
    assert!(
        said.contains("`/srv/web/first.env`: the name in line 3"),
        "{said}"
    );
    machine.write(FILE, "A=2\n");
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(has(machine, "A=2") && !has(machine, "NOTIFY_SOCKET=/srv/web/x"));

    machine.run(&["rm", FILE]).ok();
    machine
        .systemctl(&["kill", "-s", "KILL", "web@0.service"])
        .ok();
    let line = "`/srv/web/.env`, a file of `env_file`, cannot be read with the rights of the app: No such file";
    wait_until(SOON, "the list to name the file", || {
        let list = machine.run(&["rsgen", "list", "--json"]);
        list.stdout.contains("errored") && list.stdout.contains(line)
    });
}

/// Whether systemd or the worker reads the file is decided when the units are written, and every install decides the same.
pub(crate) fn of_root_alone_are_read_by_systemd(machine: &mut Machine) {
    let unit = "/etc/systemd/system/web@.service";
    machine.write(FILE, "A=1\n");
    machine.sh(&format!("chmod 600 {FILE}")).ok();
    let lines = "env_file = \".env\"";
    cluster::install(machine, "graceful", "1", lines);
    assert!(
        machine
            .read(unit)
            .contains("\nEnvironmentFile=-/srv/web/.env\n")
    );
    assert!(has(machine, "A=1"));

    machine.sh("chown www-data /srv/web").ok();
    let told = machine.run(&["rsgen", "check", ECOSYSTEM]).ok().stderr;
    for part in [
        "`/srv/web/.env` is read with the rights of the app, and `/srv/web` may be written by its owner `www-data`",
        "`www-data` may not read `/srv/web/.env`, so the app cannot start",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    machine.sh(&format!("chown www-data {FILE}")).ok();
    let told = machine.run(&["rsgen", "install", ECOSYSTEM]).ok().stderr;
    assert!(!told.contains("may not read"), "{told}");
    let text = machine.read(unit);
    assert!(!text.contains("EnvironmentFile=") && text.contains(" --env-file=/srv/web/.env "));
    assert!(has(machine, "A=1"));
    let again = machine.run(&["rsgen", "install", ECOSYSTEM]).ok();
    assert!(again.stdout.contains("nothing to do"), "{again:?}");
    machine.sh("chown -R root /srv/web").ok();
    machine.run(&["rsgen", "reload", "web"]).ok();
    assert!(
        machine
            .read(unit)
            .contains("\nEnvironmentFile=-/srv/web/.env\n")
    );
}

/// systemd waits for its generators, so the generator does not inspect a file on a file system that may hang, such as a network
/// file system: systemd reads that file. `rsgen generate` does inspect it.
pub(crate) fn of_apps_that_are_generated_are_looked_at_where_nothing_hangs(machine: &mut Machine) {
    machine.write(FILE, "A=1\n");
    machine.sh("chown -R www-data: /srv/web").ok();
    let app = machine.write_app("graceful", "/srv/web");
    let text = |file: &str| {
        format!(
            "[[apps]]\nname = \"web\"\nscript = \"{app}\"\ncwd = \"/srv/web\"\nlisten = 3000\nuser = \"www-data\"\nenv_file = \"{file}\"\n"
        )
    };
    let unit = "/run/systemd/generator/web@.service";
    machine.write("/etc/rsgen/web.toml", &text(FILE));
    machine.systemctl(&["daemon-reload"]).ok();
    assert!(machine.read(unit).contains(" --env-file=/srv/web/.env "));

    // Every user may write to this folder, but the generator does not ask: this could be the file system of a server.
    machine
        .sh("mkdir -p /mnt/far && mount -t mqueue none /mnt/far && chmod 777 /mnt/far")
        .ok();
    machine.write("/etc/rsgen/web.toml", &text("/mnt/far/.env"));
    machine.systemctl(&["daemon-reload"]).ok();
    assert!(
        machine
            .read(unit)
            .contains("\nEnvironmentFile=-/mnt/far/.env\n")
    );
    let ecosystem = text("/mnt/far/.env");
    machine.write(ECOSYSTEM, &ecosystem);
    let generate = ["rsgen", "generate", ECOSYSTEM, "-o", "/root/units"];
    machine.run(&generate).ok();
    let text = machine.read("/root/units/web@.service");
    assert!(text.contains(" --env-file=/mnt/far/.env "), "{text}");
}
