//! The part of RFC 9112 that defines where an answer ends.

/// How the end of a body is found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

/// The part of an answer before the body.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) keep_alive: bool,
    pub(super) framing: Framing,
    /// The length in bytes, including the empty line.
    pub(super) length: usize,
}

impl Head {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let length = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&bytes[..length]).to_ascii_lowercase();
        let mut lines = text.lines();
        let mut first = lines.next()?.split(' ');
        let keep_alive = first.next() == Some("http/1.1");
        let status = first.next().and_then(|s| s.parse().ok()).unwrap_or(0);
        let mut head = Self {
            status,
            keep_alive,
            framing: Framing::UntilEnd,
            length,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            match (name, value.trim()) {
                ("connection", "close") => head.keep_alive = false,
                ("transfer-encoding", "chunked") => head.framing = Framing::Chunked,
                ("content-length", n) => head.framing = Framing::Length(n.parse().unwrap_or(0)),
                _ => {}
            }
        }
        Some(head)
    }

    /// The body; `None` while it is incomplete.
    pub(super) fn body(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.framing {
            Framing::Length(n) => bytes.get(..n).map(<[u8]>::to_vec),
            Framing::Chunked => unchunk(bytes),
            Framing::UntilEnd => None,
        }
    }
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        let chunk = bytes.get(end + 2..end + 2 + size + 2)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(&chunk[..size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_chunked_body_only_when_whole() {
        let whole = b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        assert_eq!(unchunk(whole).unwrap(), b"hello!");
        for cut in 0..whole.len() {
            assert_eq!(unchunk(&whole[..cut]), None);
        }
    }

    #[test]
    fn reads_a_head() {
        let head =
            Head::parse(b"HTTP/1.1 503 No\r\nConnection: close\r\ncontent-length: 3\r\n\r\nabc");
        let head = head.unwrap();
        assert_eq!((head.status, head.keep_alive), (503, false));
        assert_eq!(head.body(b"abc").unwrap(), b"abc");
        assert_eq!(head.body(b"ab"), None);
    }
}
