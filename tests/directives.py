#!/usr/bin/env python3
"""Updates src/unit/directives.txt to the systemd of a Debian root in which its manuals are installed:

    tests/directives.py target/machines/debian14.* >new && mv new src/unit/directives.txt

Directives in the list keep their versions; new ones get the version in the manuals. What has to be found out by hand is
printed on standard error. `NEWEST` in src/unit/directive.rs is the version of that systemd.
"""

import gzip
import os
import re
import subprocess
import sys

LIST = os.path.join(os.path.dirname(__file__), "../src/unit/directives.txt")
SECTIONS = ["Unit", "Service", "Socket", "Timer"]
MANUALS = ["unit", "service", "socket", "timer", "exec", "kill", "resource-control"]
TERM = re.compile(r"\\fI([A-Z]\w+)=")
ADDED = re.compile(r"^Added in version (\d+)")


def manual_versions(root):
    """The version in each paragraph of the manuals that describes directives."""
    versions = {}
    for manual in MANUALS:
        path = f"{root}/usr/share/man/man5/systemd.{manual}.5.gz"
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            described, is_term = [], False
            for line in lines:
                added = ADDED.match(line)
                if line.startswith(".PP"):
                    is_term, terms = True, []
                elif is_term and line.startswith("\\fI"):
                    terms += TERM.findall(line)
                elif is_term:
                    is_term = False
                    if terms and line.startswith(".RS"):
                        described = terms
                elif added:
                    for name in described:
                        versions.setdefault(name, int(added[1]))
    return versions


def dumped(root):
    """The section and the name of every directive that this systemd knows."""
    dump = ["chroot", root, "/usr/lib/systemd/systemd", "--dump-configuration-items"]
    section = None
    for line in subprocess.check_output(dump, text=True).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section in SECTIONS and "=" in line:
            yield section, line.split("=")[0]


def main(root):
    comments, known = [], {}
    with open(LIST, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if line.startswith("#"):
                comments.append(line)
            else:
                known[words[0], words[1]] = words[2:]
    version = subprocess.check_output(["chroot", root, "systemctl", "--version"], text=True)
    newest, here = int(version.split()[1]), set(dumped(root))
    manuals = manual_versions(root)
    for section, name in here - known.keys():
        # The manual has one paragraph for all Assert…=, whose version is older than most of them.
        since = manuals.get(name.replace("Assert", "Condition"))
        if since is None:
            print(f"{section} {name}: not in the manuals; find out its version", file=sys.stderr)
        known[section, name] = [str(since or newest)]
    for gone in known.keys() - here:
        if len(known[gone]) == 1:
            print(f"{' '.join(gone)}: removed; add the last version that had it", file=sys.stderr)
    sys.stdout.writelines(comments)
    for section, name in sorted(known, key=lambda k: (SECTIONS.index(k[0]), k[1])):
        print(section, name, *known[section, name])


main(sys.argv[1])
