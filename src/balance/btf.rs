//! Finds the offsets of members in the kernel's structures, from the kernel's description of itself, see "BPF
//! Type Format" in the kernel's documentation. Pure.
//!
//! No length, offset or type number in the description is trusted: a lookup ends after a bounded number of steps, with an
//! offset or with nothing.

use std::iter;

/// `/sys/kernel/btf/vmlinux`.
pub(super) const FILE: &str = "/sys/kernel/btf/vmlinux";

/// The first two bytes of a description, in the order of this host.
const MAGIC: u16 = 0xeb9f;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
/// Kinds that give another type a name or a qualifier: typedef, volatile, const, restrict, type tag.
const MODIFIERS: &[u32] = &[8, 9, 10, 11, 18];
/// Members without a name, and modifiers, that are followed within each other.
const DEPTH: u32 = 8;

/// A description of types.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// The offset at which each type begins; the first has the number 1.
    places: Vec<usize>,
}

/// A type: its name, its kind, its members if it has any, and the type that it modifies.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u32,
    refers_to: u32,
    has_bits: bool,
    members: &'a [u8],
}

impl<'a> Btf<'a> {
    /// Reads a description; `None` for one that is damaged, or of the other byte order.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        if half(bytes, 0)? != MAGIC {
            return None;
        }
        let body = bytes.get(index(word(bytes, 4)?)?..)?;
        let part = |at: usize| {
            let (start, length) = (index(word(bytes, at)?)?, index(word(bytes, at + 4)?)?);
            body.get(start..start.checked_add(length)?)
        };
        let (types, strings) = (part(8)?, part(16)?);
        let mut next = 0;
        let places = iter::from_fn(|| {
            let place = next;
            next = place + 12 + behind(types, place)?;
            Some(place)
        });
        let places = places.collect();
        Some(Self {
            types,
            strings,
            places,
        })
    }

    /// The offset in bytes of a member of a structure, of a member of that member, and so on.
    #[must_use]
    pub fn offset(&self, of: &str, path: &[&str]) -> Option<u32> {
        let mut structures = (1..).map_while(|id| self.get(id));
        let mut at = structures.find(|t| t.kind == STRUCT && self.is_named(t.name, of))?;
        let mut bits = 0_u32;
        for name in path {
            let (offset, member) = self.member(at, name, DEPTH)?;
            bits = bits.checked_add(offset)?;
            at = self.plain(member)?;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// The offset in bits and the type of a member, which may be one of a member without a name.
    fn member(&self, of: Type<'a>, name: &str, depth: u32) -> Option<(u32, u32)> {
        let members = of.members.chunks_exact(12).filter_map(|member| {
            let (called, id, offset) = (word(member, 0)?, word(member, 4)?, word(member, 8)?);
            // With bit fields, the upper byte is the width.
            Some((
                called,
                id,
                if of.has_bits {
                    offset & 0xff_ffff
                } else {
                    offset
                },
            ))
        });
        let mut unnamed = Vec::new();
        for (called, id, offset) in members {
            if self.is_named(called, name) {
                return Some((offset, id));
            }
            if called == 0 {
                unnamed.push((id, offset));
            }
        }
        let depth = depth.checked_sub(1)?;
        unnamed.into_iter().find_map(|(id, offset)| {
            let (within, id) = self.member(self.plain(id)?, name, depth)?;
            Some((offset.checked_add(within)?, id))
        })
    }

    /// The type behind names and qualifiers.
    fn plain(&self, mut id: u32) -> Option<Type<'a>> {
        for _ in 0..DEPTH {
            let found = self.get(id)?;
            if !MODIFIERS.contains(&found.kind) {
                return Some(found);
            }
            id = found.refers_to;
        }
        None
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        let place = *self.places.get(index(id)?.checked_sub(1)?)?;
        let info = word(self.types, place + 4)?;
        let kind = info >> 24 & 0x1f;
        let start = place + 12;
        let members = match kind {
            STRUCT | UNION => self.types.get(start..start + behind(self.types, place)?)?,
            _ => &[],
        };
        Some(Type {
            name: word(self.types, place)?,
            kind,
            refers_to: word(self.types, place + 8)?,
            has_bits: info >> 31 == 1,
            members,
        })
    }

    fn is_named(&self, at: u32, name: &str) -> bool {
        let text = index(at).and_then(|at| self.strings.get(at..));
        let rest = text.and_then(|text| text.strip_prefix(name.as_bytes()));
        rest.and_then(<[u8]>::first) == Some(&0)
    }
}

/// The bytes that follow the three words with which a type begins.
fn behind(types: &[u8], place: usize) -> Option<usize> {
    let info = word(types, place + 4)?;
    word(types, place + 8)?;
    let count = index(info & 0xffff)?;
    Some(match info >> 24 & 0x1f {
        // Integers, variables and tags of declarations.
        1 | 14 | 17 => 4,
        ARRAY => 12,
        // Structures, unions, sections of data and enumerations of 64 bits.
        STRUCT | UNION | 15 | 19 => count * 12,
        // Enumerations and prototypes of functions.
        6 | 13 => count * 8,
        // A newer kind may be of any length.
        20.. => return None,
        _ => 0,
    })
}

fn index(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A structure `outer` whose member at 64 bits has no name and is a union with the member `deep`, through a qualifier.
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0first\0deep\0";
        let (outer, first, deep) = (1, 7, 13);
        let types: Vec<u32> = [
            vec![outer, STRUCT << 24 | 2, 16, first, 4, 0, 0, 2, 64],
            vec![0, 10 << 24, 3],
            vec![0, UNION << 24 | 1, 8, deep, 4, 32],
            vec![0, 1 << 24, 4, 32],
        ]
        .concat();
        let length = |n: usize| u32::try_from(n).unwrap();
        let head = [
            24,
            0,
            length(types.len() * 4),
            length(types.len() * 4),
            length(strings.len()),
        ];
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend(head.iter().chain(&types).flat_map(|n| n.to_ne_bytes()));
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn a_member_is_found_also_within_one_without_a_name() {
        let bytes = sample();
        let btf = Btf::read(&bytes).unwrap();
        assert_eq!(btf.offset("outer", &["first"]), Some(0));
        assert_eq!(btf.offset("outer", &["deep"]), Some(12));
        for (of, path) in [("outer", "dee"), ("oute", "first"), ("first", "deep")] {
            assert_eq!(btf.offset(of, &[path]), None, "{of} {path}");
        }
        assert_eq!(btf.offset("outer", &["first", "deep"]), None);
    }

    #[test]
    fn a_type_that_refers_to_itself_is_not_followed_for_ever() {
        let mut bytes = sample();
        // The qualifier, after the header and nine words, qualifies itself.
        let at = 24 + 9 * 4 + 8;
        bytes[at..at + 4].copy_from_slice(&2_u32.to_ne_bytes());
        assert_eq!(Btf::read(&bytes).unwrap().offset("outer", &["deep"]), None);
    }

    proptest! {
        #[test]
        fn damage_leads_to_nothing_worse_than_a_wrong_answer(at in 0_usize..140, with in any::<[u8; 4]>(), length in 0_usize..200) {
            let mut bytes = sample();
            let end = (at + 4).min(bytes.len());
            if let Some(place) = bytes.get_mut(at..end) {
                place.copy_from_slice(&with[..place.len()]);
            }
            bytes.truncate(length);
            if let Some(btf) = Btf::read(&bytes) {
                let _ = btf.offset("outer", &["deep", "first"]);
            }
        }
    }
}
