//! The queries of `rsgen list` to systemd, from a client that computes nothing else: the time of PID 1 and
//! the bus for these queries is the lower bound for such a list.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use zbus::Message;

const BUS: &str = "/run/dbus/system_bus_socket";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// The properties that are queried of each instance that is up.
const PROPERTIES: [(&str, &str); 3] = [
    (
        "org.freedesktop.systemd1.Unit",
        "ActiveEnterTimestampMonotonic",
    ),
    ("org.freedesktop.systemd1.Service", "MainPID"),
    ("org.freedesktop.systemd1.Service", "NRestarts"),
];
/// How many queries wait for their answers at the same time. dbus-daemon(1) refuses more than 128.
const AT_ONCE: usize = 64;
/// The fixed part of the header of a message, and the types of the answers among them.
const HEADER: usize = 16;
const ANSWER: u8 = 2;
const ERROR: u8 = 3;

/// Measures the time to connect, to list the units that match these globs, and to get a few properties of each of these services.
///
/// # Errors
/// The errors of the socket, and when systemd or the bus refuses.
pub(crate) fn ask(globs: &[&str], services: &[String]) -> io::Result<Duration> {
    let none: [&str; 0] = [];
    let list = (&none[..], globs);
    let list = call(
        "/org/freedesktop/systemd1",
        MANAGER,
        "ListUnitsByPatterns",
        &list,
    )?;
    let gets = services.iter().flat_map(|service| {
        let path = path(service);
        let get = move |property| call(&path, "org.freedesktop.DBus.Properties", "Get", &property);
        PROPERTIES.map(get)
    });
    let gets = gets.collect::<io::Result<Vec<_>>>()?;
    let begun = Instant::now();
    let mut client = Client::connect()?;
    client.ask(&[list])?;
    client.ask(&gets)?;
    Ok(begun.elapsed())
}

/// The object path of a unit, see `sd_bus_path_encode(3)`.
fn path(unit: &str) -> String {
    let mut path = "/org/freedesktop/systemd1/unit/".to_owned();
    for byte in unit.bytes() {
        if byte.is_ascii_alphanumeric() {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "_{byte:02x}");
        }
    }
    path
}

fn call<A>(path: &str, interface: &str, method: &str, arguments: &A) -> io::Result<Message>
where
    A: serde::Serialize + zbus::wire::DynamicType,
{
    let message = Message::method_call(path, method)
        .destination("org.freedesktop.systemd1")
        .interface(interface);
    message.build(arguments).map_err(io::Error::other)
}

/// A connection to the bus.
struct Client {
    stream: UnixStream,
    bytes: Vec<u8>,
}

impl Client {
    fn connect() -> io::Result<Self> {
        let stream = UnixStream::connect(BUS)?;
        let bytes = Vec::new();
        let mut client = Self { stream, bytes };
        // The user is root, "0", whose digit is 0x30.
        client.stream.write_all(b"\0AUTH EXTERNAL 30\r\n")?;
        client.take(|bytes| {
            bytes
                .windows(2)
                .position(|end| end == b"\r\n")
                .map(|at| at + 2)
        })?;
        client.stream.write_all(b"BEGIN\r\n")?;
        let hello = Message::method_call("/org/freedesktop/DBus", "Hello")
            .destination("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus");
        client.ask(&[hello.build(&()).map_err(io::Error::other)?])?;
        Ok(client)
    }

    /// Sends the queries, and reads all answers.
    fn ask(&mut self, questions: &[Message]) -> io::Result<()> {
        let (mut asked, mut answered) = (0, 0);
        while answered < questions.len() {
            let until = questions.len().min(answered + AT_ONCE);
            let new = questions.get(asked..until).unwrap_or_default();
            let new: Vec<u8> = new.iter().flat_map(|q| q.data().bytes().to_vec()).collect();
            self.stream.write_all(&new)?;
            asked = until;
            let message = self.take(length)?;
            match message.get(1) {
                Some(&ANSWER) => answered += 1,
                Some(&ERROR) => return Err(io::Error::other("a question was refused")),
                // A signal, such as that this client has got a name.
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads until this many bytes are there, and takes them.
    fn take(&mut self, length: impl Fn(&[u8]) -> Option<usize>) -> io::Result<Vec<u8>> {
        loop {
            if let Some(length) = length(&self.bytes).filter(|length| *length <= self.bytes.len()) {
                let rest = self.bytes.split_off(length);
                return Ok(std::mem::replace(&mut self.bytes, rest));
            }
            let mut buffer = [0; 1 << 13];
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.bytes.extend(buffer.iter().take(count));
        }
    }
}

/// The length of the message that begins here, once its header is there: the header ends with the fields, whose length is its last number,
/// and the body follows at a multiple of 8.
fn length(bytes: &[u8]) -> Option<usize> {
    let number = |at: usize| {
        let number = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(number)).ok()
    };
    let (body, fields) = (number(4)?, number(12)?);
    Some(HEADER + fields.next_multiple_of(8) + body)
}
