//! Sends requests over HTTP/1.1, one at a time, and classifies failures.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::message::{Framing, Head};

/// The default time after which a request has failed. On a busy host a restart of everything takes long.
const PATIENCE: Duration = Duration::from_mins(1);

/// The address of a server.
#[derive(Debug, Clone)]
pub enum Target {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The server.
    pub target: Target,
    /// The path, which begins with `/`.
    pub path: String,
    /// Whether the connection is used again.
    pub keep_alive: bool,
    /// The size of the body to send; `None` for a GET request.
    pub post: Option<usize>,
    /// A part that the body of the answer must contain.
    pub expect: Option<String>,
    /// The time after which the request has failed.
    pub patience: Duration,
}

impl Request {
    /// `GET /` on a connection of its own.
    pub fn get(target: Target) -> Self {
        Self {
            target,
            path: "/".to_owned(),
            keep_alive: false,
            post: None,
            expect: None,
            patience: PATIENCE,
        }
    }

    /// Sends the request once, and returns the body of the answer.
    pub fn ask(&self) -> Result<String, Failure> {
        Client::new(self.clone()).ask()
    }

    fn bytes(&self) -> Vec<u8> {
        let connection = if self.keep_alive {
            "keep-alive"
        } else {
            "close"
        };
        let method = if self.post.is_some() { "POST" } else { "GET" };
        let length = self
            .post
            .map(|n| format!("Content-Length: {n}\r\n"))
            .unwrap_or_default();
        let head = format!(
            "{method} {} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n{length}\r\n",
            self.path
        );
        let mut bytes = head.into_bytes();
        bytes.resize(bytes.len() + self.post.unwrap_or(0), b'x');
        bytes
    }
}

/// The ways in which a request can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The connection was refused.
    Refused,
    /// The connection was reset.
    Reset,
    /// The connection was closed without an answer.
    Empty,
    /// The connection was closed in the middle of the answer.
    Cut,
    /// The answer was not complete in time.
    TimedOut,
    /// The answer had another status than 200.
    BadStatus,
    /// The answer did not contain the expected part.
    WrongBody,
    /// Any other failure.
    Other,
}

/// The failure of a request.
#[derive(Debug, Clone)]
pub struct Failure {
    /// How the request was lost.
    pub loss: Loss,
    /// The error of the system.
    pub detail: String,
}

impl Failure {
    fn new(loss: Loss, detail: impl Into<String>) -> Self {
        Self {
            loss,
            detail: detail.into(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        let loss = match e.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => Loss::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Loss::Reset,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Loss::TimedOut,
            _ => Loss::Other,
        };
        Self::new(loss, e.to_string())
    }
}

/// A client with at most one connection.
pub(super) struct Client {
    request: Request,
    bytes: Vec<u8>,
    kept: Option<Wire>,
    /// How often a server has closed a kept connection between two requests, which HTTP allows.
    pub(super) reconnected: u64,
}

impl Client {
    pub(super) fn new(request: Request) -> Self {
        let bytes = request.bytes();
        Self {
            request,
            bytes,
            kept: None,
            reconnected: 0,
        }
    }

    /// Sends the request, and returns the body of the answer.
    pub(super) fn ask(&mut self) -> Result<String, Failure> {
        let deadline = Instant::now() + self.request.patience;
        let mut wire = match self.kept.take() {
            Some(wire) if wire.is_open() => wire,
            kept => {
                self.reconnected += u64::from(kept.is_some());
                Wire::connect(&self.request.target, self.request.patience)?
            }
        };
        wire.patience(deadline)?;
        wire.write_all(&self.bytes)?;
        let answer = Answer::read(&mut wire, deadline)?;
        if self.request.keep_alive && answer.keep_alive {
            self.kept = Some(wire);
        } else if self.request.keep_alive {
            self.reconnected += 1;
        }
        if answer.status != 200 {
            return Err(Failure::new(Loss::BadStatus, answer.status.to_string()));
        }
        match &self.request.expect {
            Some(part) if !answer.body.contains(part.as_str()) => {
                Err(Failure::new(Loss::WrongBody, answer.body))
            }
            _ => Ok(answer.body),
        }
    }
}

enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    fn connect(target: &Target, patience: Duration) -> io::Result<Self> {
        match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, patience)?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Target::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    /// Sets the time-out of the next read and write, so that they end at `deadline`.
    fn patience(&self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Some(left.max(Duration::from_millis(1)));
        match self {
            Self::Tcp(s) => s
                .set_read_timeout(left)
                .and_then(|()| s.set_write_timeout(left)),
            Self::Unix(s) => s
                .set_read_timeout(left)
                .and_then(|()| s.set_write_timeout(left)),
        }
    }

    /// Whether this idle connection is still open, as far as the client can know.
    fn is_open(&self) -> bool {
        let Self::Tcp(stream) = self else { return true };
        let peeked = stream
            .set_nonblocking(true)
            .and_then(|()| stream.peek(&mut [0]));
        let restored = stream.set_nonblocking(false);
        restored.is_ok() && peeked.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(s) => s.read(into),
                Self::Unix(s) => s.read(into),
            };
            if !matches!(&read, Err(e) if e.kind() == ErrorKind::Interrupted) {
                return read;
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(s) => s.write_all(bytes),
            Self::Unix(s) => s.write_all(bytes),
        }
    }
}

struct Answer {
    status: u16,
    keep_alive: bool,
    body: String,
}

impl Answer {
    fn read(wire: &mut Wire, deadline: Instant) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(head) = Head::parse(&bytes) {
                break head;
            }
            if more(wire, deadline, &mut bytes)? == 0 {
                let loss = if bytes.is_empty() {
                    Loss::Empty
                } else {
                    Loss::Cut
                };
                return Err(Failure::new(
                    loss,
                    format!("closed after {} bytes", bytes.len()),
                ));
            }
        };
        let mut body = bytes.split_off(head.length);
        let body = loop {
            match head.body(&body) {
                Some(whole) => break whole,
                None if more(wire, deadline, &mut body)? > 0 => {}
                None if head.framing == Framing::UntilEnd => break body,
                None => return Err(Failure::new(Loss::Cut, "closed inside the body")),
            }
        };
        Ok(Self {
            status: head.status,
            keep_alive: head.keep_alive && head.framing != Framing::UntilEnd,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

fn more(wire: &mut Wire, deadline: Instant, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
    let mut buffer = [0; 8192];
    if Instant::now() >= deadline {
        return Err(Failure::new(Loss::TimedOut, "the answer trickles"));
    }
    wire.patience(deadline)?;
    let count = wire.read(&mut buffer)?;
    bytes.extend_from_slice(&buffer[..count]);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_refusal() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let failure = Request::get(Target::Tcp(address)).ask().unwrap_err();
        assert_eq!(failure.loss, Loss::Refused);
    }

    #[test]
    fn names_an_answer_that_never_came() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read(&mut [0; 1024]).unwrap()
        });
        let failure = Request::get(Target::Tcp(address)).ask().unwrap_err();
        assert_eq!(failure.loss, Loss::Empty);
        assert!(server.join().unwrap() > 0);
    }
}
