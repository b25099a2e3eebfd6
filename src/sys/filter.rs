//! Socket filters of classic BPF, see `SO_ATTACH_FILTER` in socket(7), that hold back the beginnings of HTTP/1 requests.
//!
//! A filter of a TCP connection sees each segment from its TCP header on, before the segment is acknowledged. The peer sends
//! a segment that the filter drops again, after 200 ms or more.

#![expect(unsafe_code, reason = "a socket option without a safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;
use super::socket::set;

/// The requests that a filter holds back, by the first four bytes of their method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starts {
    /// Requests that a client may repeat whatever their outcome, see "Safe Methods" in RFC 9110.
    Safe,
    /// Requests with any method.
    Any,
}

impl Starts {
    fn methods(self) -> &'static [&'static [u8; 4]] {
        const METHODS: &[&[u8; 4]] = &[
            b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"PATC", b"OPTI",
        ];
        match self {
            Self::Safe => METHODS.split_at(2).0,
            Self::Any => METHODS,
        }
    }
}

/// The largest number of instructions in a filter of ours.
const LONGEST: usize = 24;

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    let code = u16::try_from(code).unwrap_or(0);
    libc::sock_filter { code, jt, jf, k }
}

/// The filter that drops segments whose bytes begin with one of these methods, and passes everything else: acknowledgements,
/// the rest of a request, and all other protocols.
fn program(starts: Starts) -> Vec<libc::sock_filter> {
    use libc::{
        BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_IND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD,
        BPF_LEN, BPF_MISC, BPF_RET, BPF_RSH, BPF_SUB, BPF_TAX, BPF_W, BPF_X,
    };
    let methods = starts.methods();
    let count = u8::try_from(methods.len()).unwrap_or(0);
    // The length of the TCP header is the upper half of the byte 12, in words.
    let mut program = vec![
        instruction(BPF_LD | BPF_B | BPF_ABS, 0, 0, 12),
        instruction(BPF_ALU | BPF_RSH | BPF_K, 0, 0, 2),
        instruction(BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x3c),
        instruction(BPF_MISC | BPF_TAX, 0, 0, 0),
        instruction(BPF_LD | BPF_W | BPF_LEN, 0, 0, 0),
        instruction(BPF_ALU | BPF_SUB | BPF_X, 0, 0, 0),
        // A load beyond the end would drop the segment.
        instruction(BPF_JMP | BPF_JGE | BPF_K, 0, count + 1, 4),
        instruction(BPF_LD | BPF_W | BPF_IND, 0, 0, 0),
    ];
    for (place, method) in (0..count).zip(methods) {
        let drop = count - place;
        let word = u32::from_be_bytes(**method);
        program.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, drop, 0, word));
    }
    program.push(instruction(BPF_RET | BPF_K, 0, 0, u32::MAX));
    program.push(instruction(BPF_RET | BPF_K, 0, 0, 0));
    program
}

/// Holds back these requests, instead of those that another filter of ours holds back.
///
/// # Errors
/// `EBUSY` when the program has attached a filter of its own, `EPERM` when it has locked the filter, see `SO_LOCK_FILTER` in
/// socket(7), and those of setsockopt(2).
pub fn hold(connection: BorrowedFd<'_>, starts: Starts) -> io::Result<()> {
    if !is_ours(connection)? {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let mut code = program(starts);
    let filter = libc::sock_fprog {
        len: u16::try_from(code.len()).unwrap_or(0),
        filter: code.as_mut_ptr(),
    };
    set(
        connection,
        libc::SOL_SOCKET,
        libc::SO_ATTACH_FILTER,
        &filter,
    )
}

/// Removes a filter of ours.
///
/// # Errors
/// As [`hold`].
pub fn release(connection: BorrowedFd<'_>) -> io::Result<()> {
    if !is_ours(connection)? {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    set(connection, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32)
}

/// Whether the connection has no filter, or one of ours.
fn is_ours(connection: BorrowedFd<'_>) -> io::Result<bool> {
    let attached = attached(connection)?;
    let is_this = |starts| {
        let own = program(starts).into_iter().map(numbers);
        own.eq(attached.iter().copied().map(numbers))
    };
    Ok(attached.is_empty() || is_this(Starts::Safe) || is_this(Starts::Any))
}

fn numbers(i: libc::sock_filter) -> (u16, u8, u8, u32) {
    (i.code, i.jt, i.jf, i.k)
}

/// The instructions of the filter of a socket.
///
/// # Errors
/// `EINVAL` for a longer filter than ours, `EACCES` for one that is not classic BPF.
fn attached(connection: BorrowedFd<'_>) -> io::Result<Vec<libc::sock_filter>> {
    let mut code = [instruction(0, 0, 0, 0); LONGEST];
    // The kernel counts instructions here, not bytes.
    let mut length = libc::socklen_t::try_from(LONGEST).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` instructions, as many as `code` has.
    let result = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_GET_FILTER,
            code.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    check(result)?;
    let length = usize::try_from(length).unwrap_or(0);
    Ok(code.into_iter().take(length).collect())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

    /// The two ends of a connection, the client's first.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.set_nodelay(true).unwrap();
        server
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        (client, server)
    }

    fn arrives(server: &mut TcpStream) -> String {
        let mut bytes = [0; 64];
        let length = server.read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn a_request_is_held_back_until_the_filter_is_removed() {
        for (starts, text) in [
            (Starts::Safe, "GET / HTTP/1.1\r\n"),
            (Starts::Any, "DELETE / HTTP/1.1\r\n"),
        ] {
            let (mut client, mut server) = connection();
            hold(server.as_fd(), starts).unwrap();
            client.write_all(text.as_bytes()).unwrap();
            server.set_nonblocking(true).unwrap();
            assert!(server.read(&mut [0; 8]).is_err(), "{text}");
            server.set_nonblocking(false).unwrap();
            release(server.as_fd()).unwrap();
            // The client's kernel sends the segment again.
            assert_eq!(arrives(&mut server), text);
        }
    }

    #[test]
    fn everything_else_arrives() {
        let (mut client, mut server) = connection();
        hold(server.as_fd(), Starts::Safe).unwrap();
        for text in ["G", "POST / HTTP/1.1\r\n", "\x16\x03\x01", "get 1\r\n"] {
            client.write_all(text.as_bytes()).unwrap();
            assert_eq!(arrives(&mut server), text);
        }
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(arrives(&mut server), "");
    }

    #[test]
    fn one_filter_of_ours_replaces_another_and_that_of_a_program_stays() {
        let (_client, server) = connection();
        release(server.as_fd()).unwrap_err();
        for starts in [Starts::Safe, Starts::Any, Starts::Safe] {
            hold(server.as_fd(), starts).unwrap();
            assert_eq!(
                attached(server.as_fd()).unwrap().len(),
                program(starts).len()
            );
        }
        release(server.as_fd()).unwrap();
        super::super::socket::drop_everything(server.as_fd()).unwrap();
        let refused = hold(server.as_fd(), Starts::Any).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EBUSY));
        assert!(release(server.as_fd()).is_err());
    }
}
