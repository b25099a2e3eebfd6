# SPDX-License-Identifier: MIT OR Apache-2.0
"""Files of root at places where another user may have written before. Needs root, as the collection does."""

import errno
import os
import shutil
import socket
import stat
import struct
import tempfile
import unittest

from ansible_collections.rsgen.rsgen.plugins.module_utils.place import LIMIT, Place, Unsafe

NOBODY = 65534


class PlaceTest(unittest.TestCase):
    def setUp(self):
        # Not in /tmp, where every user may write, so that every place would be in doubt.
        self.room = os.path.realpath(tempfile.mkdtemp(dir="/root"))
        self.addCleanup(shutil.rmtree, self.room)
        self.folder = os.path.join(self.room, "shared")
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "web.env")
        self.other = os.path.join(self.room, "other")
        self.put(self.other, b"hush")

    def put(self, path, content):
        with open(path, "wb") as file:
            file.write(content)

    def refuses(self, because, path=None):
        with self.assertRaises(Unsafe) as refused:
            Place(path or self.path).read()
        self.assertIn(because, str(refused.exception))
        self.assertNotIn("hush", str(refused.exception))
        with open(self.other, "rb") as file:
            self.assertEqual(file.read(), b"hush")


class Reading(PlaceTest):
    def test_reads_a_file(self):
        self.assertIsNone(Place(self.path).read())
        self.put(self.path, b"A=1\n")
        place = Place(self.path)
        content, status = place.read()
        self.assertEqual((content, status.st_uid, place.doubt), (b"A=1\n", 0, None))

    def test_opens_nothing_but_a_file(self):
        os.symlink(self.other, self.path)
        self.refuses("is a symbolic link")
        os.unlink(self.path)
        os.link(self.other, self.path)
        self.refuses("has 2 hard links")
        os.unlink(self.path)
        os.mkfifo(self.path)
        self.refuses("is a FIFO")
        os.unlink(self.path)
        os.mkdir(self.path)
        self.refuses("is a directory")
        os.rmdir(self.path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            self.refuses("is a socket")
        self.refuses("is a device", "/dev/null")
        self.refuses("names no file", self.folder + "/")

    def test_a_file_that_is_swapped_is_not_read(self):
        self.put(self.path, b"A=1\n")
        place = Place(self.path)
        found = os.stat(self.path)
        self.put(self.path + "-", b"hush")
        os.rename(self.path + "-", self.path)
        place.entry = lambda: found
        with self.assertRaises(Unsafe) as refused:
            place.read()
        self.assertIn("was replaced", str(refused.exception))
        os.unlink(self.path)
        os.symlink(self.other, self.path)
        with self.assertRaisesRegex(Unsafe, "`%s`: " % self.path):
            place.read()

    def test_is_bounded(self):
        self.put(self.path, b"")
        os.truncate(self.path, LIMIT + 1)
        self.refuses("is larger")


class Folders(PlaceTest):
    def test_tells_who_else_may_write(self):
        os.chown(self.folder, NOBODY, NOBODY)
        self.assertIn("belongs to `nobody`", Place(self.path).doubt)
        os.chown(self.folder, 0, NOBODY)
        os.chmod(self.folder, 0o775)
        self.assertIn("by the group `nogroup`", Place(self.path).doubt)
        os.chmod(self.folder, 0o1777)
        self.assertIn("by every user", Place(self.path).doubt)
        os.chmod(self.folder, 0o775)
        os.chown(self.folder, 0, 0)
        self.assertIsNone(Place(self.path).doubt)

    def test_knows_an_acl(self):
        # The entries of acl(5), by which one more user may write: owner, that user, group, mask, others.
        entries = [(0x01, 7, -1), (0x02, 7, NOBODY), (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]
        acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
        try:
            os.setxattr(self.folder, "system.posix_acl_access", acl)
        except OSError as error:
            self.assertEqual(error.errno, errno.ENOTSUP)
        else:
            self.assertIn("in its ACL", Place(self.path).doubt)

    def test_doubts_a_file_below_a_folder_that_others_may_write(self):
        os.chown(self.room, NOBODY, NOBODY)
        self.assertIn("`%s` belongs to" % self.room, Place(self.path).doubt)

    def test_a_sticky_folder_above_is_safe_for_files_of_root(self):
        os.chmod(self.room, 0o1777)
        self.assertIsNone(Place(self.path).doubt)
        os.chown(self.folder, NOBODY, NOBODY)
        self.assertIn("belongs to", Place(self.path).doubt)
        # The owner of a sticky folder may rename everything in it.
        os.chown(self.folder, 0, 0)
        os.chown(self.room, NOBODY, NOBODY)
        self.assertIn("belongs to", Place(self.path).doubt)

    def test_follows_only_links_of_root(self):
        self.put(self.path, b"A=1\n")
        link = os.path.join(self.room, "current")
        through = os.path.join(link, "web.env")
        for target in ("shared", self.folder, "./shared/../shared"):
            os.symlink(target, link)
            self.assertEqual(Place(through).read()[0], b"A=1\n")
            os.unlink(link)
        os.symlink("shared", link)
        os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
        self.refuses("is a symbolic link, and it belongs to", through)
        os.chown(link, 0, 0, follow_symlinks=False)
        os.chown(self.room, NOBODY, NOBODY)
        self.refuses("is a symbolic link, and `%s` belongs to" % self.room, through)

    def test_links_in_a_circle_end(self):
        link = os.path.join(self.room, "current")
        os.symlink("current", link)
        self.refuses("too many links", os.path.join(link, "web.env"))
        self.refuses("is not a directory", os.path.join(self.other, "web.env"))


class Writing(PlaceTest):
    def test_creates_missing_folders_and_a_file_that_only_root_can_read(self):
        path = os.path.join(self.folder, "a", "b", "web.env")
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        Place(path).write(b"A=1\n")
        status = os.stat(path)
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid), (0o600, 0))
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o755)
        self.assertEqual(os.listdir(os.path.dirname(path)), ["web.env"])

    def test_writes_into_the_folder_that_was_checked(self):
        place = Place(self.path)
        moved = os.path.join(self.room, "moved")
        os.rename(self.folder, moved)
        elsewhere = os.path.join(self.room, "elsewhere")
        os.mkdir(elsewhere)
        os.symlink(elsewhere, self.folder)
        place.write(b"A=1\n")
        self.assertEqual((os.listdir(moved), os.listdir(elsewhere)), (["web.env"], []))

    def test_replaces_a_link_and_not_its_target(self):
        place = Place(self.path)
        os.symlink(self.other, self.path)
        place.write(b"A=1\n")
        self.assertFalse(os.path.islink(self.path))
        with open(self.other, "rb") as file:
            self.assertEqual(file.read(), b"hush")

    def test_leaves_nothing_behind_when_it_fails(self):
        place = Place(self.path)
        os.mkdir(self.path)
        with self.assertRaisesRegex(Unsafe, "`%s`: " % self.path):
            place.write(b"A=1\n")
        self.assertEqual(os.listdir(self.folder), ["web.env"])

    def test_removes_a_link_and_not_its_target(self):
        os.symlink(self.other, self.path)
        place = Place(self.path)
        self.assertIsNotNone(place.entry())
        place.remove()
        self.assertTrue(os.path.exists(self.other))
        self.assertIsNone(place.entry())


if __name__ == "__main__":
    unittest.main()
