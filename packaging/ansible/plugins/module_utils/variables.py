# SPDX-License-Identifier: MIT OR Apache-2.0
"""Environment files as for EnvironmentFile= in systemd.exec(5): written so that systemd reads every value
unchanged, and read only where it is certain what is a name and what is a secret."""

from __future__ import annotations

import re

# Names of variables in an ecosystem file that rsgen takes for secrets.
TELLING = re.compile(r"\w*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_KEY)\w*", re.ASCII | re.IGNORECASE)
ASSIGNED = re.compile(r"(%s\"?[ \t]*=[ \t]*).+" % TELLING.pattern, TELLING.flags)
# A line of a diff whose meaning is known: empty, a comment, the header of a table, an assignment.
LINE = re.compile(r"""[ +-][ \t]*(?:\#.*|;.*|\[.*|"?[A-Za-z_][\w.-]*"?[ \t]*=[ \t]*(?:[^=\s].*)?)?\s*$""", re.ASCII)

# Names that systemd passes on. systemd ignores an assignment to any other name, and logs its value.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

QUOTED = r"""'[^']*'|"(?:[^"\\]|\\.)*\""""
# A quote within a bare value, and a bare value that is empty or begins with `=`, match no expression: the
# last line of base64 text looks like these.
BARE = r"""(?:[^\s'"\\=]|\\.)(?:[^\r\n'"\\]|\\.)*"""
ASSIGNMENT = re.compile(
    r"(%s)[ \t]*=[ \t]*(?:((?:%s)(?:[ \t]*(?:%s))*)[ \t]*|(%s))(?:[\r\n]|\Z)"
    % (NAME.pattern, QUOTED, QUOTED, BARE),
    re.DOTALL,
)
PIECE = re.compile(QUOTED, re.DOTALL)
SPACE = re.compile(r"\s*", re.ASCII)
# Whether a comment that ends with a backslash continues in the next line changed with systemd 254.
COMMENT = re.compile(r"[#;](?:[^\\\r\n]|\\[^\r\n])*(?:[\r\n]|\Z)")


def written(values):
    """The text of a file with these variables.

    Raises ValueError, whose text contains no part of a value.
    """
    lines = []
    for name, value in sorted(values.items()):
        if not NAME.fullmatch(name):
            # A value may have been written in the place of a name, so an unusual name is not shown either.
            shown = "`%s`" % name if re.fullmatch(r"[\w .-]{1,40}", name, re.ASCII) else "a name"
            raise ValueError("%s is no name that systemd passes on; write letters, digits and `_`, no digit first" % shown)
        if "\0" in value or re.search("[\ud800-\udfff]", value):
            raise ValueError("the value of `%s` is no text: it holds a NUL, or what UTF-8 cannot say" % name)
        for special in '\\"$`':
            value = value.replace(special, "\\" + special)
        lines.append('%s="%s"\n' % (name, value))
    return "".join(lines)


def read(text):
    """The variables of a file; None if any part of the text is not certainly a variable or a comment."""
    if "\0" in text:
        return None
    found = {}
    at = SPACE.match(text).end()
    while at < len(text):
        match = COMMENT.match(text, at) or ASSIGNMENT.match(text, at)
        if match is None:
            return None
        if match.re is ASSIGNMENT:
            name, quoted, bare = match.groups()
            found[name] = unquoted(quoted) if quoted is not None else unescaped(bare)
        at = SPACE.match(text, match.end()).end()
    return found


def unquoted(text):
    """The value of consecutive quoted strings, as systemd reads them."""
    pieces = []
    for piece in PIECE.findall(text):
        inner = piece[1:-1]
        if piece[0] == '"':
            inner = re.sub(r'\\(?:([\\"$`])|\n)', lambda m: m.group(1) or "", inner)
        pieces.append(inner)
    return "".join(pieces)


def unescaped(text):
    """The value of an unquoted string, as systemd reads it."""
    whole = re.sub(r"\\(.)", lambda m: "" if m.group(1) in "\r\n" else m.group(1), text, flags=re.DOTALL)
    return whole.rstrip(" \t")


class Veil:
    """Hides values, line by line, and tracks whether the old and the new text are within a value of several lines."""

    def __init__(self):
        # The quotes that end that value.
        self.ends = {"-": None, "+": None}

    def shown(self, line):
        sides = "-+" if line[:1] == " " else line[:1]
        inside = [side for side in sides if self.ends.get(side)]
        for side in inside:
            if self.ends[side] in line:
                self.ends[side] = None
        veil = ASSIGNED.sub(r"\1(hidden)", line)
        if inside or not LINE.match(line):
            return hidden(line)
        if veil != line:
            for quotes in ('"""', "'''"):
                if line.count(quotes) % 2:
                    self.ends.update(dict.fromkeys(sides, quotes))
        return veil


def hidden(line):
    return line[:1] + "(hidden)\n"


def veiled(diff, old=None):
    """A diff of units and ecosystem files without the values of variables that sound like secrets.

    A line that is not an assignment, header or comment may be within a value of several lines, and is hidden.
    `old` is the whole old text. A diff omits lines, and only the text tells whether a value begins in them:
    without the text, the lines after the omitted ones are hidden.
    """
    before = None if old is None else old.split("\n")
    shown = []
    veil = Veil()
    at = 0
    for head, lines in hunks(diff):
        shown += head
        start = first(head)
        if start > at:
            covered = [line[1:].rstrip("\n") for line in lines if line[:1] in " -"]
            if before is None or before[start : start + len(covered)] != covered:
                before, veil = None, None
            elif veil:
                for line in before[at:start]:
                    veil.shown(" " + line + "\n")
        at = start + sum(line[:1] in " -" for line in lines)
        shown += [veil.shown(line) if veil else hidden(line) for line in lines]
    return "".join(shown)


def hunks(diff):
    """The parts of a diff, each as its header lines and its text lines."""
    parts = [([], [])]
    is_new = True
    for line in re.findall(r"[^\n]*\n|[^\n]+", diff):
        is_name = is_new and line.startswith(("--- ", "+++ "))
        is_head = line.startswith("@@ ")
        if is_head and parts[-1][1]:
            parts.append(([], []))
        is_new = is_name
        parts[-1][0 if is_name or is_head else 1].append(line)
    return parts


def first(head):
    """The number of lines of the old text before a part."""
    found = re.match(r"@@ -(\d+)(?:,(\d+))? ", head[-1]) if head else None
    if found is None:
        return 0
    # A part without a line of the old text has the number of the line before it.
    return int(found.group(1)) - (found.group(2) != "0")


def difference(old, new):
    """The names of what is removed, added or changed, as two texts for a diff; never a value.

    Each argument may be None, if the names are not certain.
    """
    if old is None or new is None or old == new:
        return "", "(changed)\n"
    before = [name for name in sorted(old) if new.get(name) != old[name]]
    after = [name for name in sorted(new) if old.get(name) != new[name]]
    return (
        "".join("%s=(secret)\n" % name for name in before),
        "".join("%s=(another secret)\n" % name for name in after),
    )
