//! Where metrics go besides the screen: the answer to one HTTP request on a connection that systemd hands over as standard
//! input and output, and a file for the textfile collector of `node_exporter`.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::output::Failure;

/// The longest head of a request, in bytes.
const LONGEST: u64 = 8 << 10;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// How long a client may take for its request. Only so many connections are answered at the same time.
const PATIENCE: Duration = Duration::from_secs(2);

/// The connection of a client, read until an end.
struct Bounded {
    connection: File,
    end: Instant,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut polled = [PollFd::new(self.connection.as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, left)? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        self.connection.read(buffer)
    }
}

/// Answers one request on standard input and output, see [`answer`].
///
/// # Errors
/// The errors of the connection, and when the client takes more than two seconds for its request.
pub(super) fn answer_here(metrics: impl FnOnce() -> Result<String, Failure>) -> io::Result<()> {
    let input = Bounded {
        connection: io::stdin().as_fd().try_clone_to_owned()?.into(),
        end: Instant::now() + PATIENCE,
    };
    answer(input, &mut io::stdout(), metrics)
}

/// Answers one request, and ends the connection: `GET /metrics` with what `metrics` returns, anything else with an error of
/// HTTP. `metrics` is not called before a request for it is whole.
///
/// # Errors
/// The errors of the connection.
fn answer(
    input: impl Read,
    output: &mut impl Write,
    metrics: impl FnOnce() -> Result<String, Failure>,
) -> io::Result<()> {
    let head = head(input)?;
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, target, protocol) = (words.next(), words.next(), words.next());
    let is_http = protocol.is_some_and(|p| p.starts_with("HTTP/1.")) && words.next().is_none();
    let path = target.map(|t| t.split('?').next().unwrap_or_default());
    let (status, kind, body) = match (method, path) {
        (Some("GET" | "HEAD"), Some("/metrics")) if is_http => match metrics() {
            Ok(text) => ("200 OK", OPEN_METRICS, text),
            Err(failure) => ("503 Service Unavailable", PLAIN, failure.message),
        },
        (Some("GET" | "HEAD"), Some(_)) if is_http => (
            "404 Not Found",
            PLAIN,
            "the metrics are at /metrics".to_owned(),
        ),
        (Some(_), Some(_)) if is_http => (
            "405 Method Not Allowed\r\nAllow: GET, HEAD",
            PLAIN,
            "only GET and HEAD are supported".to_owned(),
        ),
        _ => ("400 Bad Request", PLAIN, "no request of HTTP/1".to_owned()),
    };
    write!(
        output,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len() + 1
    )?;
    if method != Some("HEAD") {
        writeln!(output, "{body}")?;
    }
    output.flush()
}

/// Reads the head of a request, up to the empty line. A head that does not end in [`LONGEST`] bytes is none, and so is one
/// that is not text.
fn head(input: impl Read) -> io::Result<String> {
    let mut input = io::BufReader::new(input.take(LONGEST));
    let (mut head, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        match io::BufRead::read_line(&mut input, &mut line) {
            Ok(0) => return Ok(String::new()),
            Err(e) if e.kind() == ErrorKind::InvalidData => return Ok(String::new()),
            read => read?,
        };
        if line.trim_end().is_empty() {
            return Ok(head);
        }
        head.push_str(&line);
    }
}

/// Writes a file that other programs may read, and that is whole whenever they look: under another name first. The folder may be
/// another user's, so that name is never followed if it is a link; nor is the folder, which its owner may replace by a link to
/// any other.
///
/// # Errors
/// The errors of the file system.
pub(super) fn save(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if folder.is_symlink() {
        return Err(io::Error::other("the folder is a link"));
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = open(folder, flags, Mode::empty())?;
    // The collector reads `*.prom`.
    let new = format!(".{}.new", name.to_string_lossy());
    let remove = || unlinkat(&folder, new.as_str(), UnlinkatFlags::NoRemoveDir);
    let create = || {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        openat(
            &folder,
            new.as_str(),
            flags,
            Mode::from_bits_truncate(0o644),
        )
    };
    let file = match create() {
        // A run that was killed has left it.
        Err(Errno::EEXIST) => {
            remove()?;
            create()?
        }
        created => created?,
    };
    let mut file = File::from(file);
    let written = writeln!(file, "{text}")
        .and_then(|()| file.set_permissions(Permissions::from_mode(0o644)))
        .and_then(|()| Ok(renameat(&folder, new.as_str(), &folder, name)?));
    if written.is_err() {
        let _ = remove();
    }
    written
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn said(request: &str) -> String {
        let mut output = Vec::new();
        let metrics = || Ok("up 1\n# EOF".to_owned());
        answer(request.as_bytes(), &mut output, metrics).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_request_for_the_metrics_gets_them_and_their_type() {
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
                        Content-Length: 11\r\nConnection: close\r\n\r\n";
        let body = format!("{expected}up 1\n# EOF\n");
        let host = "Host: localhost:9967\r\nAccept: text/plain\r\n\r\n";
        assert_eq!(said(&format!("GET /metrics HTTP/1.1\r\n{host}")), body);
        assert_eq!(said("GET /metrics?a=b HTTP/1.0\n\n"), body);
        assert_eq!(said(&format!("HEAD /metrics HTTP/1.1\r\n{host}")), expected);
    }

    #[test]
    fn any_other_request_gets_an_error_and_no_metrics() {
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
            ("GET /metrics/x HTTP/1.1\r\n\r\n", "404 Not Found"),
            (
                "POST /metrics HTTP/1.1\r\n\r\n",
                "405 Method Not Allowed\r\nAllow: GET, HEAD",
            ),
            ("GET /metrics\r\n\r\n", "400 Bad Request"),
            ("GET /metrics HTTP/1.1 x\r\n\r\n", "400 Bad Request"),
            ("GET /metrics HTTP/2.0\r\n\r\n", "400 Bad Request"),
            ("GET /metrics HTTP/1.1\r\nHost: cut-off", "400 Bad Request"),
            ("\r\n\r\n", "400 Bad Request"),
            ("", "400 Bad Request"),
        ] {
            let told = said(request);
            let start = format!("HTTP/1.1 {status}\r\n");
            assert!(told.starts_with(&start), "{request:?}: {told}");
            assert!(!told.contains("EOF"), "{told}");
        }
        let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(1 << 20));
        assert!(said(&endless).starts_with("HTTP/1.1 400"));
        let mut output = Vec::new();
        let unreadable = &b"GET /metrics HTTP/1.1\r\nX: \xff\r\n\r\n"[..];
        answer(unreadable, &mut output, || unreachable!()).unwrap();
        assert!(output.starts_with(b"HTTP/1.1 400"));
    }

    #[test]
    fn a_client_that_is_slow_is_not_waited_for() {
        let (theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
        (&theirs).write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
        let input = Bounded {
            connection: File::from(std::os::fd::OwnedFd::from(ours)),
            end: Instant::now() + Duration::from_millis(20),
        };
        let mut output = Vec::new();
        let told = answer(input, &mut output, || unreachable!());
        assert_eq!(told.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(output.is_empty());
    }

    #[test]
    fn a_client_that_is_in_time_is_answered() {
        let (theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
        (&theirs).write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let input = Bounded {
            connection: File::from(std::os::fd::OwnedFd::from(ours)),
            end: Instant::now() + PATIENCE,
        };
        let mut output = Vec::new();
        answer(input, &mut output, || unreachable!()).unwrap();
        assert!(output.starts_with(b"HTTP/1.1 404"));
    }

    #[test]
    fn metrics_that_cannot_be_had_are_told_as_such() {
        let mut output = Vec::new();
        let request = &b"GET /metrics HTTP/1.1\r\n\r\n"[..];
        answer(request, &mut output, || Err(Failure::failed("no systemd"))).unwrap();
        let told = String::from_utf8(output).unwrap();
        assert!(told.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(told.ends_with("\r\n\r\nno systemd\n"), "{told}");
    }

    #[test]
    fn a_file_is_replaced_and_a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rsgen.prom");
        let other = folder.path().join("other");
        fs::write(&other, "precious").unwrap();
        symlink(&other, folder.path().join(".rsgen.prom.new")).unwrap();
        symlink(&other, &path).unwrap();
        save(&path, "up 1").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "up 1\n");
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode, 0o100_644);
        save(&path, "up 0").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "up 0\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(save(&folder.path().join("no/rsgen.prom"), "").is_err());
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), folder.path().join("link")).unwrap();
        assert!(save(&folder.path().join("link/rsgen.prom"), "").is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
