# SPDX-License-Identifier: MIT OR Apache-2.0
"""Environment files as for EnvironmentFile= in systemd.exec(5). They are written so that systemd reads every value
unchanged, and read only if it is certain what is a name and what is a secret."""

from __future__ import annotations

import re

# Names of variables in an ecosystem file that rsgen takes for secrets, and further names of the kind. A line of
# LoadCredential= or ImportCredential= has a path, and one of PassCredentials= a boolean.
WORD = (
    r"(?:PASSWORD|PASSWD|PASSPHRASE|[_-]PASS(?![A-Za-z])|SECRET|TOKEN|(?:API|PRIVATE|ACCESS)[_-]?KEY"
    r"|(?<!Load)(?<!Import)(?<!Pass)CREDENTIAL|(?<![A-Za-z])DSN(?![A-Za-z]))"
)
TELLING = re.compile(r"(?<![\w.-])(?=[\w.-]*%s)[\w.-]+(?![\w.-])" % WORD, re.ASCII | re.IGNORECASE)
# What follows is a secret: a setting, or a variable in its value, with such a name; an option with such a name and
# its argument; the user and the password in a URL.
SECRET = re.compile(
    r"""(^.(?=[^=]*%(word)s)[^=]*=[ \t]*|%(name)s\\?["']?[ \t]*(?:=|:(?!/))[ \t]*|(?=-)%(name)s[\\"',\s]+"""
    r"""|://(?=(?:[^\s/"']*|[^\s:/"']*:\S{0,4096})@)).+""" % {"word": WORD, "name": TELLING.pattern},
    TELLING.flags,
)
# A line of a diff whose meaning is known: empty, a comment, the header of a table, an assignment.
COMMENTED = re.compile(r"[ +-][ \t]*[#;]")
HEADER = re.compile(r"""[ +-][ \t]*\[{1,2}[A-Za-z_][\w."-]*\]{1,2}[ \t]*(?:\#.*)?\s*$""", re.ASCII)
ASSIGNED = re.compile(r"""[ +-][ \t]*"?[A-Za-z_][\w.-]*"?[ \t]*=[ \t]*([^=\s].*)?\s*$""", re.ASCII)
# A header that no line of a secret looks like.
CERTAIN = re.compile(
    r"[ +-](?:\[\[apps\]\]|\[apps(?:\.[\w-]+)+\]|\[(?:Unit|Service|Socket|Install|Slice|Timer|Path|Mount)\])\s*$", re.ASCII
)
# Strings that end on their line.
CLOSED = re.compile(
    r"""\"""(?:[^"\\]|\\.|"{1,2}(?!"))*\"""(?!")|'''(?:[^']|'{1,2}(?!'))*'''(?!')"""
    r"""|(?<!")"(?!"")(?:[^"\\]|\\.)*"(?!")|(?<!')'(?!'')[^']*'(?!')"""
)

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
            raise ValueError(
                "%s is not a valid name of a variable, so systemd would ignore it; use letters, digits and `_`, "
                "and do not begin with a digit" % shown
            )
        if "\0" in value or re.search("[\ud800-\udfff]", value):
            raise ValueError("the value of `%s` contains a NUL byte or is not valid Unicode" % name)
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
    """Hides values, line by line, and tracks whether the old and the new text may be within a value of several lines.

    Where such a value ends is not certain, so everything up to the next certain header is hidden. Only an array and a
    continued line without any sign of a secret or of a string of several lines end where they seem to end.
    """

    def __init__(self):
        self.sides = {"-": Extent(), "+": Extent()}

    def shown(self, line):
        extents = [self.sides[side] for side in ("-+" if line[:1] == " " else line[:1]) if side in self.sides]
        # Every extent has to see the line.
        within = [extent.covers(line) for extent in extents]
        known = line[1:].isspace() or any(kind.match(line) for kind in (COMMENTED, HEADER, ASSIGNED))
        if any(within) or not known:
            return hidden(line)
        return SECRET.sub(r"\1(hidden)", line)


class Extent:
    """Whether the lines of one text are within a value of several lines."""

    def __init__(self):
        # The marks that have to be seen before the value can end: none outside a value.
        self.marks = set()
        self.inside = False
        # Whether the value may be a secret, or holds a string of several lines.
        self.lasting = False

    def covers(self, line):
        """Whether a line is within a value that began before the line."""
        was = self.inside
        if was and CERTAIN.match(line) and not self.marks:
            self.inside = self.lasting = was = False
        marks = opened(line)
        if was:
            self.proceed(line, marks)
        elif marks:
            self.inside, self.marks = True, marks
            self.lasting = is_lasting(line, marks)
        return was

    def proceed(self, line, marks):
        text = line[1:].strip()
        plain = unstringed(text)
        self.lasting = self.lasting or is_lasting(line, marks) or '"""' in text or "'''" in text
        # A comment between continued lines does not end them.
        goes_on = text.endswith("\\") or ("\\" in self.marks and COMMENTED.match(line))
        # An escaped quote ends nothing, and of two marks the second may begin another string.
        bare = re.sub(r"\\.", "", text)
        ended = {quotes for quotes in ('"""', "'''") if bare.count(quotes) == 1}
        ended |= {end for begin, end in ("[]", "{}") if plain.count(end) > plain.count(begin)}
        # Within an array, quotes that are not awaited begin a string.
        begun = marks if ASSIGNED.match(line) else marks - self.marks if self.marks & {"]", "}"} else set()
        self.marks = self.marks - ended - {"\\"} | begun
        if goes_on:
            self.marks.add("\\")
        if not self.lasting and not self.marks:
            self.inside = False


def is_lasting(line, marks):
    return bool(TELLING.search(line) or SECRET.search(line) or marks & {'"""', "'''"})


def unstringed(text):
    """A text without its strings and its comment."""
    return CLOSED.sub("", text).partition("#")[0]


def opened(line):
    """The marks that end what a line begins and does not end."""
    marks = {"\\"} if line.rstrip().endswith("\\") else set()
    if COMMENTED.match(line) or HEADER.match(line):
        return marks
    rest = CLOSED.sub("", line[1:])
    marks |= {quotes for quotes in ('"""', "'''") if quotes in rest}
    # In a unit a bracket may stand anywhere in a value, and opens nothing.
    assigned = ASSIGNED.match(line)
    if not assigned or (assigned.group(1) or "").startswith(("[", "{")) or TELLING.search(line):
        rest = rest.partition("#")[0]
        marks |= {end for begin, end in ("[]", "{}") if rest.count(begin) > rest.count(end)}
    return marks


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


# The table of an app's variables in an ecosystem file, or that of one of its environments.
ENV = r"""["']?env(?:_(?!file\b)[\w-]+)?["']?"""
TABLE = re.compile(r"""\[\s*["']?apps["']?\s*\.\s*%s\s*\]\s*(?:#.*)?""" % ENV, re.ASCII)


def named(text):
    """The names in the tables of variables of an ecosystem file."""
    names, within = set(), False
    for line in text.split("\n"):
        line = line.strip()
        if line.startswith("["):
            within = TABLE.fullmatch(line) is not None
        name = re.match(r"""["']?([\w.-]+)["']?[ \t]*=""", line, re.ASCII) if within else None
        if name:
            names.add(name.group(1))
    return names


def without_values(diff, names):
    """A diff without the value of any variable: of those with these names in an ecosystem file, and of all in a unit."""
    keys = "|".join([ENV] + [r"""["']?%s["']?""" % re.escape(name) for name in sorted(names)])
    dotted = r"""(?:[ \t]*\.[ \t]*["']?[\w-]+["']?)*"""
    line = r"""^([ +-][ \t]*(?:Environment=["']?[A-Za-z_]\w*=|(?:%s)%s[ \t]*=[ \t]*)).+$""" % (keys, dotted)
    return re.sub(line, r"\1(hidden)", diff, flags=re.ASCII | re.MULTILINE)


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
