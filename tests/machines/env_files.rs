//! Files of variables: the Ansible collection knows them as systemd does, or says that it does not.

use testbed::Machine;

const VARIABLES: &str = include_str!("../../packaging/ansible/plugins/module_utils/variables.py");

/// What systemd passes to a program from a file with this text, and what the collection takes it for.
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
        sys.exit("of %r systemd makes %r, and not %r" % (text, known, read))

VALUES = {"A": 'a"b\\c$d`e', "B": PEM, "C": "", "D": " x ", "E": "# ;=\\\n'%i", "_9": "\t\\n$HOME"}
if new(variables.written(VALUES)) != VALUES:
    sys.exit("%r arrives as %r" % (VALUES, new(variables.written(VALUES))))

# Of a key without quotes systemd makes variables whose names are a part of it.
for text in ["A=%s" % PEM, "A=MIIEvQIB\nQUJDRA==\n", "A=1\\\n2\nexport B=1\n", "# 1\\\nA=1\n", "1A=hush\n", "A-B=hush\n"]:
    new(text)
    if variables.read(text) is not None:
        sys.exit("%r is thought to be sure" % text)
"##;

pub(crate) fn are_known_as_systemd_knows_them(machine: &mut Machine) {
    machine.write("/root/variables.py", VARIABLES);
    machine.write("/root/ask.py", ASK);
    machine.sh("cd /root && python3 ask.py").ok();
    // Why such a name is refused: systemd ignores it, and says so with its value.
    let journal = machine.sh("journalctl --sync; journalctl -q -o cat").ok();
    journal.says("1A=hush").says("A-B=hush");
}
