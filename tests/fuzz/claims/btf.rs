//! Claims about the kernel's description of its types, whatever is in it: reading ends, an offset is one that the description
//! contains, and a member is found behind any other types.

use rsgen::balance::btf::Btf;

const HEADER: usize = 24;
const INTEGER: u32 = 1 << 24;
const STRUCTURE: u32 = 4 << 24;

/// The bytes as a whole description, as its types, and as its names.
pub(crate) fn of_any_bytes(bytes: &[u8], names: &[u8]) {
    for description in [
        bytes.to_vec(),
        description(bytes, names),
        description(&words(&[1, STRUCTURE | 1, 8]), bytes),
    ] {
        let Some(btf) = Btf::read(&description) else {
            continue;
        };
        for path in [&["a"][..], &["a", "b"], &[""], &[]] {
            let found = btf.offset("s", path);
            assert!(!path.is_empty() || found.is_none_or(|at| at == 0));
            assert_eq!(btf.offset("s", path), found);
        }
        assert_eq!(btf.offset("no such structure", &["a"]), None);
    }
    a_member_is_found_behind_any_names(bytes);
    what_is_cut_is_no_description(bytes);
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn description(types: &[u8], names: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| u32::try_from(part.len()).expect("a length");
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    let header = u32::try_from(HEADER).expect("a length");
    bytes.extend(words(&[
        header,
        0,
        length(types),
        length(types),
        length(names),
    ]));
    bytes.extend(types);
    bytes.extend(names);
    bytes
}

/// A structure `s` whose member `a` is at byte 6, behind a member whose name is anything else.
fn a_member_is_found_behind_any_names(other: &[u8]) {
    let mut names = b"\0s\0a\0".to_vec();
    let at = u32::try_from(names.len()).expect("a length");
    names.extend(other);
    names.push(0);
    let types = [
        words(&[at, INTEGER, 4, 32]),
        words(&[1, STRUCTURE | 2, 8, at, 1, 0, 3, 1, 48]),
    ];
    let whole = description(&types.concat(), &names);
    let btf = Btf::read(&whole).expect("a description");
    let is_same = other.split(|b| *b == 0).next() == Some(b"a");
    let wanted = if is_same { 0 } else { 6 };
    assert_eq!(btf.offset("s", &["a"]), Some(wanted));
}

/// The lengths in the header are those of the description.
fn what_is_cut_is_no_description(names: &[u8]) {
    let whole = description(&words(&[1, STRUCTURE, 8]), names);
    assert!(Btf::read(&whole).is_some());
    for length in [0, 1, HEADER - 1, whole.len() - 1] {
        assert!(Btf::read(&whole[..length]).is_none(), "{length}");
    }
}
