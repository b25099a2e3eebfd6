use std::net::TcpListener;
use std::thread;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn read(text: &[u8], most: usize) -> Result<(Head, Vec<u8>, bool), Fault> {
    let mut from = text;
    let head = head(&mut from)?;
    let mut into = Vec::new();
    let done = body(&head, &mut from, &mut into, most);
    Ok((head, into, done.unwrap_or(false)))
}

fn whole(text: &str) -> (u16, String, bool) {
    let (head, body, is_whole) = read(text.as_bytes(), 1000).unwrap();
    (head.status, String::from_utf8(body).unwrap(), is_whole)
}

#[test]
fn a_body_ends_as_its_head_says() {
    for (text, status, body, is_whole) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokrest",
            200,
            "ok",
            true,
        ),
        ("HTTP/1.0 500 Oh\nA: b\n\nboom\n", 500, "boom\n", true),
        ("HTTP/1.1 204\r\n\r\nrest", 204, "", true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
            200,
            "ok",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
            200,
            "abcd",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            200,
            "ab",
            false,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\n\r\n",
            201,
            "",
            true,
        ),
        (
            "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 404 No\r\n\r\n",
            404,
            "",
            true,
        ),
    ] {
        assert_eq!(whole(text), (status, body.to_owned(), is_whole), "{text}");
    }
}

#[test]
fn a_body_is_read_up_to_the_bound() {
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "a".repeat(100));
    let (_, body, is_whole) = read(endless.as_bytes(), 10).unwrap();
    assert_eq!((body.len(), is_whole), (10, false));
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
    assert!(read(text.as_bytes(), 10).unwrap().2);
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabcdef";
    let (_, body, is_whole) = read(text.as_bytes(), 4).unwrap();
    assert_eq!((body.as_slice(), is_whole), (&b"abcd"[..], false));
    let text =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n";
    let (_, body, is_whole) = read(text.as_bytes(), 5).unwrap();
    assert_eq!((body.as_slice(), is_whole), (&b"abcde"[..], false));
}

#[test]
fn what_is_no_answer_is_named() {
    let fault = |text: &[u8]| read(text, 10).unwrap_err().to_string();
    assert_eq!(fault(b""), "the connection was closed without an answer");
    assert_eq!(
        fault(b"SSH-2.0-\x1b[31m\r\n"),
        "the answer is not HTTP: `SSH-2.0-\u{fffd}[31m`"
    );
    assert!(fault(b"HTTP/1.1 1000 x\r\n\r\n").contains("not HTTP"));
    assert!(fault(b"HTTP/1.1 99 x\r\n\r\n").contains("not HTTP"));
    assert!(fault(b"HTTP/2 200\r\n\r\n").contains("not HTTP"));
    assert!(fault(b"HTTP/1.1 200 OK\r\nA: b").contains("not HTTP"));
    let huge = [b"HTTP/1.1 200 OK\r\nA: ", &vec![b'a'; 1 << 17][..]].concat();
    assert_eq!(fault(&huge), "the response headers are longer than 64 KiB");
    let many = [b"HTTP/1.1 200 OK\r\n", "A: b\r\n".repeat(20_000).as_bytes()].concat();
    assert!(fault(&many).contains("64 KiB"));
}

/// Asks a server that answers like this.
fn asked(
    timeout: Duration,
    answer: impl FnOnce(TcpStream) + Send + 'static,
) -> Result<Answer, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let server = thread::spawn(move || answer(listener.accept().unwrap().0));
    let std::net::SocketAddr::V4(to) = to else {
        unreachable!()
    };
    let question = Question {
        to,
        from: Ipv4Addr::new(127, 114, 0, 3),
        path: "/a?b=c",
        headers: &[],
        timeout,
    };
    let answer = question.ask();
    if answer.is_ok() {
        server.join().unwrap();
    }
    answer
}

#[test]
fn the_question_comes_from_the_address_of_the_instance() {
    let answer = asked(Duration::from_secs(20), |mut stream| {
        let from = stream.peer_addr().unwrap().ip();
        let mut request = String::new();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(line) = lines.next().transpose().unwrap().filter(|l| !l.is_empty()) {
            request += &line;
            request.push('|');
        }
        write!(stream, "HTTP/1.1 200 OK\r\n\r\n{from} {request}").unwrap();
    });
    let answer = answer.unwrap();
    assert!(answer.head.is_good());
    let (body, is_whole) = answer.body(1000);
    let body = String::from_utf8(body).unwrap();
    assert!(is_whole);
    assert!(
        body.starts_with("127.114.0.3 GET /a?b=c HTTP/1.1|Host: 127.0.0.1:"),
        "{body}"
    );
    assert!(body.ends_with("|Connection: close|"), "{body}");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let silent = asked(Duration::from_micros(99_999), |stream| {
        thread::sleep(Duration::from_secs(2));
        drop(stream);
    });
    let fault = silent.err().unwrap();
    assert_eq!(fault.to_string(), "no answer within 100ms");
    let slow = asked(Duration::from_millis(200), |mut stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\nbeginning");
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(2));
            drop(stream);
        });
    });
    let (body, is_whole) = slow.unwrap().body(1000);
    assert_eq!((body.as_slice(), is_whole), (&b"beginning"[..], false));
}

/// Parts of answers, and any bytes.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let parts = "HTTP/1.1 200 OK\r\n|HTTP/1.1 100 x\r\n|HTTP/1.0 500\n|\r\n|\n|: |Content-Length|Transfer-Encoding|chunked|0|5|abcde\
        |ffffffffffffffff|18446744073709551616|-1|;";
    let part = select(parts.split('|').collect::<Vec<_>>());
    let part = part.prop_map(|part| part.as_bytes().to_vec());
    let piece = prop_oneof![6 => part, 1 => prop::collection::vec(any::<u8>(), 0..9)];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_is_answered_is_read_within_the_bounds(answer in answers(), most in 0..20_usize) {
        match read(&answer, most) {
            Ok((head, body, _)) => {
                prop_assert!(head.status >= 200 && body.len() <= most);
                prop_assert!(body.is_empty() || answer.len() > body.len());
            }
            Err(fault) => prop_assert!(fault.to_string().chars().count() < 200),
        }
    }
}
