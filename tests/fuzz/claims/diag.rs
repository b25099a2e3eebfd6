//! Claims about answers of `sock_diag(7)`, whatever lengths they contain: each message is read within its own bytes, and
//! reading ends.

use std::time::Duration;

use rsgen::drain::answers::{self, Traffic};

const HEADER: usize = 16;
const INET: usize = 72;
const UNIX: usize = 16;
const TCP_INFO: usize = 208;

/// The bytes as a datagram, as a message, and as a part of a message of the kernel.
pub(crate) fn of_any_bytes(bytes: &[u8], path: &[u8], inode: u32) {
    let mut end = bytes.as_ptr();
    let mut count = 0;
    for (_, message) in answers::messages(bytes) {
        count += 1;
        assert!(count <= bytes.len() / HEADER);
        let place = message.as_ptr_range();
        assert!(end <= place.start && place.end <= bytes.as_ptr_range().end);
        end = place.end;
        of_a_message(message, path);
    }
    of_a_message(bytes, path);
    a_connection_is_found_behind_anything(bytes, inode);
    a_name_is_that_of_one_listener(path, inode);
    what_is_not_whole_is_the_end(bytes);
}

fn of_a_message(message: &[u8], path: &[u8]) {
    let number = |at: usize| {
        let bytes = message[at..at + 4].try_into().expect("four bytes");
        u64::from(u32::from_ne_bytes(bytes))
    };
    let _ = answers::errno(message);
    let inet = answers::inet(message);
    if let Some(found) = &inet {
        assert!(message.len() >= INET && found.inode == number(68));
        let told = found.traffic.is_none() || message.len() >= INET + 4 + TCP_INFO;
        assert!(told, "{found:?}");
    }
    let unix = answers::unix(message, path);
    if let Some(found) = &unix {
        assert!(message.len() >= UNIX + 4 && found.inode == number(4));
        assert!(path.is_empty() || message.windows(path.len()).any(|w| w == path));
    }
    for length in [
        0,
        UNIX,
        INET,
        message.len() / 2,
        message.len().saturating_sub(1),
    ] {
        let cut = &message[..length.min(message.len())];
        let (short, inet) = (answers::inet(cut), inet.as_ref());
        assert_eq!(
            short.map(|s| s.inode),
            inet.map(|i| i.inode).filter(|_| cut.len() >= INET)
        );
        let short = answers::unix(cut, path);
        assert!(short.is_none() || short == unix);
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + value.len()).expect("a length");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute of another kind may contain anything, even the bytes of the wanted attribute.
fn a_connection_is_found_behind_anything(bytes: &[u8], inode: u32) {
    let bytes = &bytes[..bytes.len().min(1 << 15)];
    let mut info = [0; TCP_INFO];
    info[44..48].copy_from_slice(&3_u32.to_ne_bytes());
    info[52..56].copy_from_slice(&4_u32.to_ne_bytes());
    info[56..60].copy_from_slice(&7_u32.to_ne_bytes());
    info[120..128].copy_from_slice(&8_u64.to_ne_bytes());
    info[140..144].copy_from_slice(&9_u32.to_ne_bytes());
    info[152..156].copy_from_slice(&10_u32.to_ne_bytes());
    info[128..136].copy_from_slice(&5_u64.to_ne_bytes());
    info[200..208].copy_from_slice(&6_u64.to_ne_bytes());
    let mut inet = vec![0; INET];
    inet[56..60].copy_from_slice(&1_u32.to_ne_bytes());
    inet[60..64].copy_from_slice(&2_u32.to_ne_bytes());
    inet[68..72].copy_from_slice(&inode.to_ne_bytes());
    inet.extend(attribute(9, bytes));
    inet.extend(attribute(2, &info));
    let mut memory = [0; 36];
    memory[32..].copy_from_slice(&11_u32.to_ne_bytes());
    inet.extend(attribute(7, &memory));
    let found = answers::inet(&inet).expect("a whole message");
    let traffic = Traffic {
        unread: 1,
        unsent: 2,
        received: 5,
        sent: 6,
        since_received: Duration::from_millis(4),
        since_sent: Duration::from_millis(3),
        since_acknowledged: Duration::from_millis(7),
        acknowledged: 8,
        segments: 9,
        data_segments: 10,
        drops: 11,
    };
    assert_eq!((found.inode, found.traffic), (inode.into(), Some(traffic)));
}

fn a_name_is_that_of_one_listener(path: &[u8], inode: u32) {
    let path = path.split(|b| *b == 0).next().unwrap_or_default();
    let path = &path[..path.len().min(108)];
    let mut unix = vec![0; UNIX];
    unix[4..8].copy_from_slice(&inode.to_ne_bytes());
    unix.extend(attribute(0, &[path, b"\0"].concat()));
    let found = answers::unix(&unix, path).expect("a whole message");
    assert_eq!(found.inode, u64::from(inode));
    assert_eq!(answers::unix(&unix, &[path, b"x"].concat()), None);
}

/// Messages in front of one with an invalid length are read.
fn what_is_not_whole_is_the_end(bytes: &[u8]) {
    let whole = [message(20, bytes), message(20, b"")].concat();
    for length in 0..20_u8 {
        let mut cut = [0; 16];
        cut[0] = length;
        let datagram = [&whole[..], &cut].concat();
        let found = answers::messages(&datagram).take(9);
        let found: Vec<&[u8]> = found.map(|(_, message)| message).collect();
        assert_eq!(found[..2], [bytes, b""]);
        assert_eq!(found.len(), 2 + usize::from(length == 16));
    }
}
