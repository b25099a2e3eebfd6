//! Messages of D-Bus in bytes, as far as questions about properties need them. Pure. See "Marshaling" and "Message Protocol" in the
//! specification.

use std::fmt::Write;
use std::io;

/// Messages in the order of bytes of this host, as the other side on the same host writes them as well.
const ORDER: u8 = if cfg!(target_endian = "little") {
    b'l'
} else {
    b'B'
};
/// The version of the protocol.
const VERSION: u8 = 1;
/// The largest part of a message that is read: systemd tells of nothing longer, unless thousands of units have changed at once.
const LONGEST: usize = 1 << 24;

/// Types of messages.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;

/// The fields of a header.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const REPLY_SERIAL: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SIGNATURE: u8 = 8;
}

/// The path of the object that stands for a unit, see `bus_label_escape` in src/basic/bus-label.c of systemd.
pub(super) fn path_of(unit: &str) -> String {
    let mut path = String::from("/org/freedesktop/systemd1/unit/");
    for (at, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()) {
            path.push(byte.into());
        } else {
            let _ = write!(path, "_{byte:02x}");
        }
    }
    path
}

/// A call of a method whose arguments are texts.
pub(super) struct Call<'a> {
    path: &'a str,
    destination: &'a str,
    interface: &'a str,
    member: &'a str,
    arguments: [&'a str; 2],
    count: usize,
}

impl<'a> Call<'a> {
    /// The first call on a bus, which gives this side a name.
    pub(super) const HELLO: Call<'static> = Call {
        path: "/org/freedesktop/DBus",
        destination: "org.freedesktop.DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        arguments: [""; 2],
        count: 0,
    };

    /// Asks for a property of one of systemd's objects.
    pub(super) fn get(path: &'a str, interface: &'a str, name: &'a str) -> Self {
        Self {
            path,
            destination: "org.freedesktop.systemd1",
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
            arguments: [interface, name],
            count: 2,
        }
    }

    /// The whole message.
    pub(super) fn bytes(&self, serial: u32) -> Vec<u8> {
        let mut body = Writer::default();
        for argument in self.arguments.iter().take(self.count) {
            body.text(argument);
        }
        let mut fields = Writer::default();
        for (code, kind, value) in [
            (field::PATH, "o", self.path),
            (field::INTERFACE, "s", self.interface),
            (field::MEMBER, "s", self.member),
            (field::DESTINATION, "s", self.destination),
        ] {
            fields.begin(code, kind);
            fields.text(value);
        }
        if self.count > 0 {
            fields.begin(field::SIGNATURE, "g");
            fields.signature(&"s".repeat(self.count));
        }
        let mut message = Writer(vec![ORDER, CALL, 0, VERSION]);
        message.number(length(&body.0));
        message.number(serial);
        message.number(length(&fields.0));
        message.0.extend(fields.0);
        message.align(8);
        message.0.extend(body.0);
        message.0
    }
}

fn length(of: &[u8]) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_ne_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(length(text.as_bytes()));
        self.0.extend(text.bytes().chain([0]));
    }

    fn signature(&mut self, types: &str) {
        self.0.push(u8::try_from(types.len()).unwrap_or(u8::MAX));
        self.0.extend(types.bytes().chain([0]));
    }

    fn begin(&mut self, field: u8, kind: &str) {
        self.align(8);
        self.0.push(field);
        self.signature(kind);
    }
}

/// The part of a message that comes first, and says how long the other two are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    kind: u8,
    /// The length in bytes of the fields, with what fills them up.
    pub(super) fields: usize,
    /// The length in bytes of the body.
    pub(super) body: usize,
}

impl Head {
    pub(super) const LENGTH: usize = 16;

    /// # Errors
    /// `InvalidData` for what is no message of this host.
    pub(super) fn read(bytes: &[u8; Self::LENGTH]) -> io::Result<Self> {
        let read = || {
            let mut reader = Reader::of(bytes);
            let [order, kind, _, version] = *reader.take(4)? else {
                return None;
            };
            let body = reader.count()?;
            let _serial = reader.number()?;
            let fields = reader.count()?.next_multiple_of(8);
            let is_ours = order == ORDER && version == VERSION;
            let is_bounded = body <= LONGEST && fields <= LONGEST;
            (is_ours && is_bounded).then_some(Self { kind, fields, body })
        };
        read().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    pub(super) fn is_answer(self) -> bool {
        matches!(self.kind, RETURN | ERROR)
    }

    pub(super) fn is_error(self) -> bool {
        self.kind == ERROR
    }
}

/// The number of the call that a message with these fields answers.
pub(super) fn answered(fields: &[u8]) -> Option<u32> {
    let mut reader = Reader::of(fields);
    loop {
        reader.align(8)?;
        let [code] = *reader.take(1)? else {
            return None;
        };
        match (code, reader.signature()?) {
            (field::REPLY_SERIAL, b"u") => return reader.number(),
            (_, b"u") => drop(reader.number()?),
            (_, b"s" | b"o") => drop(reader.text()?),
            (_, b"g") => drop(reader.signature()?),
            _ => return None,
        }
    }
}

/// The text of a variant.
pub(super) fn text(variant: &[u8]) -> Option<String> {
    let mut reader = Reader::of(variant);
    if reader.signature()? != b"s" {
        return None;
    }
    Some(String::from_utf8_lossy(reader.text()?).into_owned())
}

/// The programs of the commands in a variant. Each command is a program, its arguments, whether its failure counts, four times, a
/// process, and how that ended.
pub(super) fn programs(variant: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::of(variant);
    if reader.signature()? != b"a(sasbttttuii)" {
        return None;
    }
    let length = reader.count()?;
    reader.align(8)?;
    let end = reader.at.checked_add(length)?;
    let mut programs = Vec::new();
    while reader.at < end {
        reader.align(8)?;
        programs.push(String::from_utf8_lossy(reader.text()?).into_owned());
        let arguments = reader.count()?;
        reader.take(arguments)?;
        let _ignores_failure = reader.number()?;
        reader.align(8)?;
        reader.take(4 * 8 + 3 * 4)?;
    }
    Some(programs)
}

/// Reads values, each of which begins at a multiple of its own size.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.next_multiple_of(to);
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4)?;
        Some(u32::from_ne_bytes(self.take(4)?.try_into().ok()?))
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        let text = self.take(length)?;
        self.take(1)?;
        Some(text)
    }

    fn signature(&mut self) -> Option<&'a [u8]> {
        let [length] = *self.take(1)? else {
            return None;
        };
        let types = self.take(length.into())?;
        self.take(1)?;
        Some(types)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_of_a_unit_has_a_path_without_other_characters() {
        let path = |unit| {
            let path = path_of(unit);
            path.strip_prefix("/org/freedesktop/systemd1/unit/")
                .unwrap()
                .to_owned()
        };
        assert_eq!(path("web@1.service"), "web_401_2eservice");
        assert_eq!(path("0-a_b:ü.service"), "_30_2da_5fb_3a_c3_bc_2eservice");
    }

    #[test]
    fn a_call_is_written_as_the_specification_says() {
        let bytes = Call::HELLO.bytes(1);
        assert_eq!(bytes.len() % 8, 0);
        let head = Head::read(bytes[..16].try_into().unwrap()).unwrap();
        assert_eq!((head.kind, head.body), (CALL, 0));
        assert_eq!(bytes.len(), 16 + head.fields);
        assert_eq!(bytes[16..20], [1, 1, b'o', 0]);
        let get = Call::get("/a", "b", "cd").bytes(7);
        let head = Head::read(get[..16].try_into().unwrap()).unwrap();
        // The length, one letter and its end, what fills up to the next length, and that with two letters.
        assert_eq!(head.body, 4 + 2 + 2 + 4 + 3);
        assert_eq!(get.len(), 16 + head.fields + head.body);
        assert_eq!(get[8..12], 7_u32.to_ne_bytes());
        let mut arguments = Reader::of(&get[16 + head.fields..]);
        assert_eq!(arguments.text(), Some(&b"b"[..]));
        assert_eq!(arguments.text(), Some(&b"cd"[..]));
    }

    #[test]
    fn an_answer_names_its_call_behind_other_fields() {
        let mut fields = Writer::default();
        fields.begin(field::DESTINATION, "s");
        fields.text(":1.2");
        fields.begin(field::SIGNATURE, "g");
        fields.signature("v");
        assert_eq!(answered(&fields.0), None);
        fields.begin(field::REPLY_SERIAL, "u");
        fields.number(9);
        assert_eq!(answered(&fields.0), Some(9));
        assert_eq!(answered(&fields.0[..fields.0.len() - 1]), None);
    }

    fn variant(kind: &str) -> Writer {
        let mut variant = Writer::default();
        variant.signature(kind);
        variant
    }

    #[test]
    fn values_of_another_type_or_length_are_none() {
        let mut state = variant("s");
        state.text("start-post");
        assert_eq!(text(&state.0).as_deref(), Some("start-post"));
        assert_eq!(text(&state.0[..state.0.len() - 1]), None);
        assert_eq!(text(&variant("u").0), None);
        assert_eq!(programs(&state.0), None);
        assert_eq!(text(&[]), None);
    }

    #[test]
    fn of_commands_the_programs_are_told() {
        let mut list = Writer::default();
        for program in ["/usr/bin/a", "/b"] {
            list.align(8);
            list.text(program);
            let mut arguments = Writer::default();
            arguments.text(program);
            arguments.text("c");
            list.number(length(&arguments.0));
            list.0.extend(arguments.0);
            list.number(1);
            list.align(8);
            list.0.extend([0; 44]);
        }
        let mut commands = variant("a(sasbttttuii)");
        commands.number(length(&list.0));
        commands.align(8);
        commands.0.extend(list.0);
        assert_eq!(programs(&commands.0).unwrap(), ["/usr/bin/a", "/b"]);
        assert_eq!(programs(&commands.0[..commands.0.len() - 1]), None);
        let mut none = variant("a(sasbttttuii)");
        none.number(0);
        none.align(8);
        assert!(programs(&none.0).unwrap().is_empty());
    }

    #[test]
    fn a_head_of_another_order_or_of_no_length_is_refused() {
        let mut bytes: [u8; 16] = Call::HELLO.bytes(1)[..16].try_into().unwrap();
        bytes[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(Head::read(&bytes).is_err(), "too long");
        bytes[4..8].copy_from_slice(&0_u32.to_ne_bytes());
        bytes[0] = b'x';
        assert!(Head::read(&bytes).is_err());
    }
}
