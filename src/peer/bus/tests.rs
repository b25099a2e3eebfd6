use std::os::unix::net::UnixListener;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// Answers one connection: reads so many bytes before each of these answers.
fn played(answers: Vec<(usize, Vec<u8>)>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for (asked, answer) in answers {
            stream.read_exact(&mut vec![0; asked]).unwrap();
            stream.write_all(&answer).unwrap();
        }
        // Until the other side is done.
        let _ = stream.read(&mut [0]);
    });
    (folder, path)
}

fn question() -> Vec<u8> {
    Call::get(&wire::path_of("web@1.service"), "a.b", "SubState").bytes(1)
}

/// A message of this type that answers this call, with a text as its body.
fn answer(kind: u8, serial: u32, text: &str) -> Vec<u8> {
    let mut body = vec![1, b's', 0, 0];
    body.extend(u32::try_from(text.len()).unwrap().to_ne_bytes());
    body.extend(text.bytes().chain([0]));
    let mut bytes = question()[..4].to_vec();
    bytes[1] = kind;
    bytes.extend(u32::try_from(body.len()).unwrap().to_ne_bytes());
    bytes.extend([9_u32, 8].into_iter().flat_map(u32::to_ne_bytes));
    bytes.extend([5, 1, b'u', 0]);
    bytes.extend(serial.to_ne_bytes());
    bytes.extend(body);
    bytes
}

fn ask(path: &Path, end: Instant) -> io::Result<String> {
    let mut bus = Bus::connect(path, end)?;
    text(&bus.property("web@1.service", "a.b", "SubState")?)
}

#[test]
fn what_systemd_tells_unasked_is_passed_over() {
    let told = [
        b"DATA\r\nOK 0123\r\n".to_vec(),
        answer(4, 1, "a signal"),
        answer(2, 7, "to another call"),
    ];
    let (_folder, path) = played(vec![
        (GREETING.len(), told.concat()),
        (question().len(), answer(2, 1, "start-post")),
    ]);
    let state = ask(&path, Instant::now() + MINUTE).unwrap();
    assert_eq!(state, "start-post");
}

#[test]
fn a_refusal_and_an_end_are_errors() {
    let (_folder, path) = played(vec![
        (GREETING.len(), b"DATA\r\nOK 0123\r\n".to_vec()),
        (question().len(), answer(3, 1, "no such unit")),
    ]);
    let error = ask(&path, Instant::now() + MINUTE).unwrap_err();
    assert!(error.to_string().contains("refuses"), "{error}");
    let (_folder, path) = played(vec![(GREETING.len(), b"REJECTED\r\n".to_vec())]);
    let error = ask(&path, Instant::now() + Duration::from_secs(1)).unwrap_err();
    assert!(!error.to_string().contains("refuses"), "{error}");
    let path_of_none = path.with_extension("none");
    assert!(ask(&path_of_none, Instant::now() + MINUTE).is_err());
    let long = vec![b'x'; 2 * LONGEST_LINE];
    let (_folder, path) = played(vec![(GREETING.len(), long)]);
    let error = ask(&path, Instant::now() + MINUTE).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn one_that_says_nothing_is_waited_for_no_longer_than_that() {
    let (_folder, path) = played(vec![(GREETING.len(), b"DATA\r\n".to_vec()), (1, vec![])]);
    let began = Instant::now();
    let error = ask(&path, began + Duration::from_millis(50)).unwrap_err();
    let is_late = matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    );
    assert!(is_late, "{error}");
    assert!(began.elapsed() < MINUTE);
}

#[test]
fn where_nobody_answers_for_root_alone_the_bus_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("private");
    drop(UnixListener::bind(&stale).unwrap());
    for private in [Some(stale.with_extension("none")), Some(stale), None] {
        let (_folder, path) = played(vec![
            (GREETING.len(), b"DATA\r\nOK 0123\r\n".to_vec()),
            (Call::HELLO.bytes(1).len(), answer(2, 1, ":1.7")),
        ]);
        let opened = Bus::open_at(private.as_deref(), &path, Instant::now() + MINUTE);
        assert!(opened.is_ok(), "{private:?}: {:?}", opened.err());
    }
}

/// The list of one command, as systemd writes it.
fn command_list() -> Vec<u8> {
    let mut bytes = vec![14];
    bytes.extend(b"a(sasbttttuii)\0");
    // The length of the list: with a program of two letters, no arguments, and what follows.
    bytes.extend([60_u32, 0, 2].into_iter().flat_map(u32::to_ne_bytes));
    bytes.extend(b"/a\0\0");
    bytes.extend([0_u32; 2].into_iter().flat_map(u32::to_ne_bytes));
    bytes.resize(16 + 8 + 60, 0);
    bytes
}

proptest! {
    /// The other side may be anybody in another root directory.
    #[test]
    fn no_answer_makes_the_reader_fail_in_another_way_than_with_an_error(
        bytes in vec(any::<u8>(), 0..200),
        spots in vec((0..84_usize, any::<u8>()), 0..6),
        length in 0..=84_usize,
    ) {
        let _ = wire::answered(&bytes);
        let _ = (text(&bytes), programs(&bytes));
        let mut head = [0; Head::LENGTH];
        for (to, from) in head.iter_mut().zip(&bytes) {
            *to = *from;
        }
        if let Ok(head) = Head::read(&head) {
            prop_assert!(head.body <= 1 << 24 && head.fields <= 1 << 24);
        }
        let mut list = command_list();
        prop_assert_eq!(programs(&list).unwrap(), ["/a"]);
        for (at, byte) in spots {
            if let Some(place) = list.get_mut(at) {
                *place = byte;
            }
        }
        list.truncate(length);
        let found = programs(&list).unwrap_or_default();
        prop_assert!(found.len() <= list.len());
    }
}
