//! A request to an instance over HTTP/1.1, bounded in time and in size.
//!
//! The answer is data: nothing in it leads to another connection, and nothing is kept beyond the limits.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use crate::contract::time;
use crate::sys::connect::{left, open};
use crate::visible::cut;

/// The longest head of an answer, in bytes. Servers and proxies allow less.
const LONGEST_HEAD: u64 = 1 << 16;
/// The longest line with the size of a chunk.
const LONGEST_SIZE: u64 = 1 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The time is over.
    #[error("no answer within {}", time::show(*.0))]
    TimedOut(Duration),
    /// The connection could not be made, or broke off.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// The connection was closed without an answer.
    #[error("the connection was closed without an answer")]
    Closed,
    /// The answer is not one of HTTP/1.
    #[error("the answer is not HTTP: `{}`", super::plain(.0))]
    NotHttp(String),
    /// The head of the answer does not end.
    #[error("the response headers are longer than {} KiB", LONGEST_HEAD >> 10)]
    TooLong,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The address that the instance listens on.
    pub to: SocketAddrV4,
    /// The local address of the connection, see [`crate::contract::steer`].
    pub from: Ipv4Addr,
    /// The path, with the query.
    pub path: &'a str,
    /// Further lines of the head. A line named `Host` replaces the usual one.
    pub headers: &'a [String],
    /// The time limit for everything.
    pub timeout: Duration,
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status, from 100 to 999.
    pub status: u16,
    /// The status with its reason phrase, `404 Not Found`.
    pub line: String,
    /// The other lines, in their order.
    pub headers: Vec<(String, String)>,
}

/// An answer after its head was read.
pub struct Answer {
    /// The head.
    pub head: Head,
    body: BufReader<Timed>,
}

impl Question<'_> {
    /// Sends the request, and reads the head of the answer.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn ask(&self) -> Result<Answer, Fault> {
        let end = Instant::now() + self.timeout;
        let timed_out = |fault: Fault| match fault {
            Fault::Broken(e) if is_late(&e) => Fault::TimedOut(in_millis(self.timeout)),
            fault => fault,
        };
        let begin = || -> Result<Answer, Fault> {
            let mut stream = open(self.from, self.to, end)?;
            stream.set_write_timeout(Some(left(end)?))?;
            stream.write_all(self.text().as_bytes())?;
            let mut body = BufReader::new(Timed { stream, end });
            let head = head(&mut body)?;
            Ok(Answer { head, body })
        };
        begin().map_err(timed_out)
    }

    fn text(&self) -> String {
        let Self { path, to, .. } = self;
        let mut text = format!("GET {path} HTTP/1.1\r\n");
        let is_host = |header: &String| {
            let name = header.split_once(':').map(|(name, _)| name.trim());
            name.is_some_and(|name| name.eq_ignore_ascii_case("host"))
        };
        // Writing into a String cannot fail.
        if !self.headers.iter().any(is_host) {
            let _ = write!(text, "Host: {to}\r\n");
        }
        for header in self.headers {
            let _ = write!(text, "{header}\r\n");
        }
        let version = env!("CARGO_PKG_VERSION");
        let _ = write!(
            text,
            "User-Agent: rsgen/{version}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        text
    }
}

impl Head {
    /// Whether the status is one from 200 to 299.
    #[must_use]
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn header(&self, wanted: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    }
}

impl Answer {
    /// Reads at most `most` bytes of the body, and returns whether that was all of it. A body that breaks off, or that does not
    /// end in time, is incomplete.
    #[must_use]
    pub fn body(mut self, most: usize) -> (Vec<u8>, bool) {
        let mut read = Vec::new();
        let done = body(&self.head, &mut self.body, &mut read, most);
        (read, done.unwrap_or(false))
    }
}

/// A time in whole milliseconds, for a message.
fn in_millis(time: Duration) -> Duration {
    let millis = time.as_micros().div_ceil(1000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

/// A connection with a deadline for reading.
struct Timed {
    stream: TcpStream,
    end: Instant,
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.end)?))?;
        self.stream.read(into)
    }
}

/// Reads the head of an answer, and skips informational answers (1xx).
fn head(from: &mut impl BufRead) -> Result<Head, Fault> {
    let mut from = from.take(LONGEST_HEAD);
    loop {
        let head = one_head(&mut from)?;
        if head.status >= 200 {
            return Ok(head);
        }
    }
}

fn one_head(from: &mut io::Take<impl BufRead>) -> Result<Head, Fault> {
    let first = line(from)?.ok_or(Fault::Closed)?;
    let Some((status, words)) = status(&first) else {
        return Err(Fault::NotHttp(cut(&first, 80)));
    };
    let mut head = Head {
        status,
        line: words.to_owned(),
        headers: Vec::new(),
    };
    loop {
        let line = line(from)?.ok_or(Fault::Closed)?;
        if line.is_empty() {
            return Ok(head);
        }
        // A line without a colon is ignored.
        if let Some((name, value)) = line.split_once(':') {
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            head.headers.push((name, value));
        }
    }
}

/// The status of `HTTP/1.1 404 Not Found`, and the text after the version.
fn status(line: &str) -> Option<(u16, &str)> {
    let (version, words) = line.split_once(' ')?;
    let digits = words.split(' ').next()?;
    let status: u16 = digits.parse().ok()?;
    let is_status = digits.len() == 3 && status >= 100 && version.starts_with("HTTP/1.");
    is_status.then_some((status, words.trim()))
}

/// The next line without its end; `None` at the end.
fn line(from: &mut io::Take<impl BufRead>) -> Result<Option<String>, Fault> {
    let mut line = Vec::new();
    let length = from.read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        if from.limit() == 0 {
            return Err(Fault::TooLong);
        }
        if length == 0 {
            return Ok(None);
        }
        return Err(Fault::NotHttp(cut(&String::from_utf8_lossy(&line), 80)));
    }
    let line = String::from_utf8_lossy(&line);
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn body(
    head: &Head,
    from: &mut impl BufRead,
    into: &mut Vec<u8>,
    most: usize,
) -> Result<bool, Fault> {
    if head.status == 204 || head.status == 304 {
        return Ok(true);
    }
    let encoding = head.header("transfer-encoding").unwrap_or_default();
    if encoding.to_ascii_lowercase().ends_with("chunked") {
        return chunks(from, into, most);
    }
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let length = head.header("content-length").and_then(|l| l.parse().ok());
    match length {
        Some(length) => Ok(append(from, into, most.min(length))? == length),
        // The body ends with the connection.
        None => Ok(append(from, into, most)? < most),
    }
}

fn chunks(from: &mut impl BufRead, into: &mut Vec<u8>, most: usize) -> Result<bool, Fault> {
    loop {
        let size = line(&mut from.by_ref().take(LONGEST_SIZE))?.ok_or(Fault::Closed)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| Fault::NotHttp(size.to_owned()))?;
        if size == 0 {
            return Ok(true);
        }
        let room = u64::try_from(most.saturating_sub(into.len())).unwrap_or(0);
        let read = append(from, into, size.min(room))?;
        if read < size {
            return Ok(false);
        }
        line(&mut from.by_ref().take(LONGEST_SIZE))?;
    }
}

/// Appends at most `most` bytes. Bytes that were read before an error stay.
fn append(from: &mut impl BufRead, into: &mut Vec<u8>, most: u64) -> io::Result<u64> {
    let before = into.len();
    from.take(most).read_to_end(into)?;
    Ok(u64::try_from(into.len() - before).unwrap_or(0))
}

#[cfg(test)]
mod tests;
