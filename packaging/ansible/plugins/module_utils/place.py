# SPDX-License-Identifier: MIT OR Apache-2.0
"""A file that root reads and writes at a path that another user may have prepared.

The folders of the path are opened one below the other, and every operation is relative to the last one: a path
that changes meanwhile does not lead elsewhere. Only a regular file is ever opened, and no link is followed that
another user could have made.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat

MODE = 0o600
# The largest file, which is more than fits into the environment of a process.
LIMIT = 4 * 1024 * 1024
# As many links as the kernel follows, see path_resolution(7).
LINKS = 40
FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

KINDS = {
    stat.S_IFLNK: "is a symbolic link",
    stat.S_IFDIR: "is a directory",
    stat.S_IFIFO: "is a FIFO",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
}


class Unsafe(Exception):
    """The reason why a path is not used."""


@contextlib.contextmanager
def told(path):
    """Names the whole path in an operating system error, which names only a part of it."""
    try:
        yield
    except OSError as error:
        raise Unsafe("`%s`: %s" % (path, error.strerror)) from error


def trusted(uid):
    """Whether a user has all rights of this process anyway."""
    return uid in (0, os.geteuid())


def called(find, number):
    """The name of a user or a group, or else the number."""
    try:
        return "`%s`" % find(number)[0]
    except KeyError:
        return "number %d" % number


def writers(folder):
    """The reason why another user may create files in an open folder; None if no other user may."""
    found = os.fstat(folder)
    if not trusted(found.st_uid):
        return "belongs to %s" % called(pwd.getpwuid, found.st_uid)
    if found.st_mode & stat.S_IWOTH:
        return "can be written by every user"
    if found.st_mode & stat.S_IWGRP:
        if found.st_gid != 0:
            return "can be written by the group %s" % called(grp.getgrgid, found.st_gid)
        # With an ACL the group bits are its mask, the largest set of permissions of any user or group in it, see acl(5).
        with contextlib.suppress(OSError):
            if "system.posix_acl_access" in os.listxattr("/proc/self/fd/%d" % folder):
                return "can be written by those in its ACL, see getfacl(1)"
    return None


def is_sticky(folder):
    """Whether no other user can move or replace root's files in an open folder, even one who may write there."""
    found = os.fstat(folder)
    return trusted(found.st_uid) and bool(found.st_mode & stat.S_ISVTX)


class Place:
    """The place of a file that exists or will be written."""

    def __init__(self, path):
        self.path = path
        # Why another user could change the file here; None if only root can.
        self.doubt = None
        self.name = os.path.basename(path)
        if self.name in ("", ".", ".."):
            raise Unsafe("`%s` names no file" % path)
        with told(path):
            self.folder = self._walk(create=False)

    def _walk(self, create):
        """Opens the folder; None if it does not exist."""
        # The path is not normalised, because `..` after a link is the parent of the link's target.
        rest = os.path.join(os.getcwd(), os.path.dirname(self.path)).split("/")[::-1]
        here, at, links, self.doubt = "/", os.open("/", FOLDER), 0, None
        while True:
            while rest and rest[-1] in ("", "."):
                rest.pop()
            why = writers(at)
            if why and not (rest and is_sticky(at)):
                self.doubt = self.doubt or "`%s` %s" % (here, why)
            if not rest:
                return at
            part = rest.pop()
            below = os.path.join(here, part)
            try:
                following = os.open(part, FOLDER, dir_fd=at)
            except FileNotFoundError:
                if not create:
                    return None
                os.mkdir(part, 0o755, dir_fd=at)
                following = os.open(part, FOLDER, dir_fd=at)
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                target = self._link(at, part, below)
                links += 1
                if links > LINKS:
                    raise Unsafe("`%s`: too many links" % self.path) from error
                rest += target.split("/")[::-1]
                if target.startswith("/"):
                    os.close(at)
                    here, at = "/", os.open("/", FOLDER)
                continue
            os.close(at)
            here, at = below, following

    def _link(self, at, part, below):
        """The target of a link in the place of a folder, if only root can have made the link."""
        try:
            found = os.stat(part, dir_fd=at, follow_symlinks=False)
            target = os.readlink(part, dir_fd=at)
        except OSError as error:
            raise Unsafe("`%s` is not a directory" % below) from error
        why = self.doubt
        if not trusted(found.st_uid):
            why = why or "it belongs to %s" % called(pwd.getpwuid, found.st_uid)
        if why:
            raise Unsafe("`%s` is a symbolic link, and %s; use the path of the directory instead" % (below, why))
        return target

    def entry(self):
        """The status of the file or link here, not of a link's target; None if there is none."""
        if self.folder is None:
            return None
        with told(self.path):
            try:
                return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
            except FileNotFoundError:
                return None

    def _check(self, found):
        kind = KINDS.get(stat.S_IFMT(found.st_mode))
        if kind:
            raise Unsafe(
                "`%s` %s, and only a regular file is read or replaced; find out who has put it there, and remove it"
                % (self.path, kind)
            )
        if found.st_nlink > 1:
            raise Unsafe(
                "`%s` has %d hard links, so it may be another file; find out who has made them, and remove it"
                % (self.path, found.st_nlink)
            )

    def read(self):
        """The bytes and the status of the file; None if it does not exist."""
        with told(self.path):
            return self._read()

    def _read(self):
        before = self.entry()
        if before is None:
            return None
        self._check(before)
        with os.fdopen(os.open(self.name, READ, dir_fd=self.folder), "rb") as file:
            found = os.fstat(file.fileno())
            self._check(found)
            if (found.st_dev, found.st_ino) != (before.st_dev, before.st_ino):
                raise Unsafe("`%s` was replaced while it was being read; run the task again" % self.path)
            content = file.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise Unsafe("`%s` is larger than any environment can be" % self.path)
        return content, found

    def write(self, content):
        """Replaces the file here atomically; no other user can read the new file at any moment."""
        with told(self.path):
            self._write(content)

    def _write(self, content):
        if self.folder is None:
            self.folder = self._walk(create=True)
        temporary = ".rsgen-%s" % os.urandom(8).hex()
        descriptor = os.open(temporary, WRITE, MODE, dir_fd=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), MODE)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self.folder)
            raise

    def remove(self):
        """Removes the file or the link; the target of a link stays."""
        with told(self.path):
            os.unlink(self.name, dir_fd=self.folder)
