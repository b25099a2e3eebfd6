//! Evaluates an access control list for a program, as the kernel does, see "Access check algorithm" in acl(5).

use super::resolve::{FileStatus, Ids};

/// The tags of entries, see `linux/posix_acl.h`.
const USER: u16 = 0x02;
const GROUP_OF_INODE: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

/// The version of the format, see `linux/posix_acl_xattr.h`.
const VERSION: u32 = 2;

/// An entry of a list.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u16,
    bits: u16,
    id: u32,
}

/// Returns whether a process with these IDs has a permission, given as the bit for others, by the list of an
/// inode in the kernel's format; `None` if that is not a list.
pub(super) fn gives(list: &[u8], place: &FileStatus, bit: u16, ids: &Ids) -> Option<bool> {
    let entries = parse(list)?;
    if ids.user == 0 {
        return Some(true);
    }
    if ids.user == place.owner {
        return Some(place.mode >> 6 & u32::from(bit) != 0);
    }
    let mask = entries.iter().find(|entry| entry.tag == MASK);
    let has = |bits: u16| bits & mask.map_or(u16::MAX, |mask| mask.bits) & bit != 0;
    let mut users = entries.iter().filter(|entry| entry.tag == USER);
    if let Some(own) = users.find(|entry| entry.id == ids.user) {
        return Some(has(own.bits));
    }
    let is_member = |entry: &&Entry| match entry.tag {
        GROUP_OF_INODE => ids.groups.contains(&place.group),
        GROUP => ids.groups.contains(&entry.id),
        _ => false,
    };
    let groups: Vec<&Entry> = entries.iter().filter(is_member).collect();
    if groups.is_empty() {
        return Some(place.mode & u32::from(bit) != 0);
    }
    Some(groups.iter().any(|entry| has(entry.bits)))
}

fn parse(list: &[u8]) -> Option<Vec<Entry>> {
    let (version, entries) = list.split_first_chunk()?;
    let (entries, []) = entries.as_chunks::<8>() else {
        return None;
    };
    let entry = |&[t0, t1, b0, b1, id @ ..]: &[u8; 8]| Entry {
        tag: u16::from_le_bytes([t0, t1]),
        bits: u16::from_le_bytes([b0, b1]),
        id: u32::from_le_bytes(id),
    };
    (u32::from_le_bytes(*version) == VERSION).then(|| entries.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::resolve::Beyond;

    const EXECUTE: u16 = 1;

    /// Returns a list of the entries (tag, bits, ID) between those that every list has.
    fn list(more: &[(u16, u16, u32)]) -> Vec<u8> {
        let none = u32::MAX;
        let ends = [(0x01, 7, none), (GROUP_OF_INODE, 0, none), (0x20, 0, none)];
        let mut list = VERSION.to_le_bytes().to_vec();
        for (tag, bits, id) in ends.iter().chain(more) {
            list.extend(tag.to_le_bytes());
            list.extend(bits.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list
    }

    /// Returns the rights of user 33, of the groups 33 and 4, on a folder of 1:4, as setfacl(1) has set them.
    fn gets(more: &[(u16, u16, u32)]) -> Option<bool> {
        let place = FileStatus {
            owner: 1,
            group: 4,
            mode: 0o710,
            link: None,
            beyond: Beyond::Acl,
        };
        let ids = Ids {
            user: 33,
            groups: vec![33, 4],
        };
        gives(&list(more), &place, EXECUTE, &ids)
    }

    #[test]
    fn a_user_or_a_group_of_an_entry_gets_what_the_mask_leaves() {
        let mask = |bits| (MASK, bits, u32::MAX);
        assert_eq!(gets(&[(USER, 1, 33), mask(1)]), Some(true));
        assert_eq!(gets(&[(GROUP, 5, 33), mask(7)]), Some(true));
        for nothing in [
            &[(USER, 1, 34), mask(1)][..],
            &[(USER, 1, 33), mask(6)],
            // The entry of the user comes first.
            &[(USER, 0, 33), (GROUP, 1, 33), mask(1)],
            &[(GROUP, 1, 35), mask(1)],
        ] {
            assert_eq!(gets(nothing), Some(false), "{nothing:?}");
        }
    }

    #[test]
    fn the_owner_and_others_have_their_bits_of_the_mode() {
        let place = |mode| FileStatus {
            owner: 33,
            group: 4,
            mode,
            link: None,
            beyond: Beyond::Acl,
        };
        let by = |user, mode| {
            let groups = vec![user];
            gives(&list(&[]), &place(mode), EXECUTE, &Ids { user, groups })
        };
        assert_eq!([by(33, 0o700), by(33, 0o677)], [Some(true), Some(false)]);
        assert_eq!([by(34, 0o701), by(34, 0o770)], [Some(true), Some(false)]);
        assert_eq!(by(0, 0), Some(true));
    }

    #[test]
    fn what_is_no_list_decides_nothing() {
        let place = FileStatus::of_a_server();
        let ids = Ids {
            user: 33,
            groups: Vec::new(),
        };
        for bytes in [&[][..], &[1, 0, 0, 0], &[2, 0, 0, 0, 1]] {
            assert_eq!(gives(bytes, &place, EXECUTE, &ids), None, "{bytes:?}");
        }
    }
}
