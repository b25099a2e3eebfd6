use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A check of this address; the state folder does not exist.
fn health(ask: Ask, to: SocketAddr) -> Health {
    let SocketAddr::V4(to) = to else {
        unreachable!()
    };
    Health {
        ask,
        app: "web".into(),
        instance: 3,
        state: "/nonexistent/web".into(),
        addresses: vec![to],
        timeout: Duration::from_millis(300),
        interval: Some(Duration::from_millis(20)),
        after: Some(2),
        path: Some("/healthz".into()),
        env_files: Vec::new(),
        counted: Vec::new(),
        command: Vec::new(),
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn an_instance_accepts_when_its_program_takes_the_connection_and_not_when_it_listens() {
    let (listener, address) = listener();
    let health = health(Ask::Accepts, address);
    let why = accepts(&health).unwrap_err();
    assert!(
        why.starts_with("not accepting: a connection to 127.0.0.1:"),
        "{why}"
    );
    assert!(why.ends_with("waited for 300ms"), "{why}");
    let patient = Health {
        timeout: Duration::from_secs(20),
        ..health
    };
    let server = thread::spawn(move || {
        thread::sleep(LOOK * 5);
        let one = listener.accept();
        (one, listener.accept())
    });
    assert_eq!(accepts(&patient), Ok(()));
    drop(server);
    let closed = { self::listener().1 };
    assert_eq!(
        accepts(&self::health(Ask::Accepts, closed)),
        Ok(()),
        "refused: it cannot be checked"
    );
}

#[test]
fn an_instance_that_accepts_and_closes_at_once_accepts() {
    let (listener, address) = listener();
    let health = Health {
        timeout: Duration::from_secs(20),
        ..health(Ask::Accepts, address)
    };
    let server = thread::spawn(move || listener.accept().map(drop));
    assert_eq!(accepts(&health), Ok(()));
    server.join().unwrap().unwrap();
}

#[test]
fn a_filter_that_drops_the_connection_proves_nothing_about_the_instance() {
    let (listener, address) = listener();
    crate::sys::socket::drop_everything(listener.as_fd()).unwrap();
    let patient = Health {
        timeout: Duration::from_mins(10),
        ..health(Ask::Accepts, address)
    };
    assert_eq!(accepts(&patient), Ok(()));
}

#[test]
fn the_answer_decides_and_a_bad_one_is_told_without_what_a_terminal_obeys() {
    let (listener, address) = listener();
    let answers = thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let text = if n < 3 {
                "HTTP/1.1 500 Oh \u{1b}[31mno\r\n\r\n\nboom\u{7}\n at x\n\n at y\n at z\n"
            } else {
                "HTTP/1.1 200 OK\r\n\r\n"
            };
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    let health = health(Ask::Path, address);
    let why = path(&health, Duration::from_secs(20)).unwrap_err();
    assert_eq!(
        why,
        "GET /healthz answered 500 Oh \u{fffd}[31mno: `boom\u{fffd} | at x | at y`"
    );
    let patient = Health {
        timeout: Duration::from_secs(20),
        ..health
    };
    // Two more bad answers, and then the two required good ones.
    assert_eq!(by_turns(&patient, |left| path(&patient, left)), Ok(()));
    drop(answers);
}

#[test]
fn good_answers_have_to_follow_each_other_within_the_time() {
    let health = health(Ask::Path, ([127, 0, 0, 1], 1).into());
    let count = AtomicU32::new(0);
    let every_other = |_| match count.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => Ok(()),
        _ => Err("bad".to_owned()),
    };
    let why = by_turns(&health, every_other).unwrap_err();
    assert!(why.starts_with("bad"), "{why}");
    let why = by_turns(&health, |_| Err("bad".to_owned())).unwrap_err();
    let patient = Health {
        timeout: Duration::from_secs(20),
        ..health.clone()
    };
    let asked = AtomicU32::new(0);
    let good = |_| {
        asked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    assert_eq!(by_turns(&patient, good), Ok(()));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let once = Health {
        interval: Some(Duration::from_secs(1)),
        ..health.clone()
    };
    let why_once = by_turns(&once, |_| Err("bad".to_owned()));
    assert_eq!(why_once, Err("bad".to_owned()));
    assert!(
        why.starts_with("bad, the last of ") && why.ends_with("within 300ms"),
        "{why}"
    );
}

#[test]
fn what_the_end_of_the_time_has_cut_short_does_not_take_the_place_of_an_answer() {
    let health = health(Ask::Path, ([127, 0, 0, 1], 1).into());
    let half = health.timeout / 2;
    let answers = |left: Duration| {
        if left > half {
            return Err("bad".to_owned());
        }
        std::thread::sleep(left);
        Err("no answer".to_owned())
    };
    let why = by_turns(&health, answers).unwrap_err();
    assert!(why.starts_with("bad"), "{why}");
    // An instance that never answers is reported as such.
    let none = |left| {
        std::thread::sleep(left);
        Err("no answer".to_owned())
    };
    assert_eq!(by_turns(&health, none), Err("no answer".to_owned()));
}

#[test]
fn a_command_is_judged_by_its_status_and_ended_with_all_that_it_started() {
    let run = |words: &[&str]| {
        let command = words.iter().map(OsString::from).collect();
        let health = Health {
            command,
            ..health(Ask::Command, ([127, 0, 0, 1], 3000).into())
        };
        command::run(&health, health.timeout)
    };
    let sh = |script: &str| run(&["/bin/sh", "-c", script]);
    assert_eq!(sh("exit 0"), Ok(()));
    let why = run(&[
        "/bin/sh",
        "-c",
        "echo $0; exit 3",
        "{source} {address} {instance}",
    ]);
    assert_eq!(
        why.unwrap_err(),
        "`/bin/sh` ended with exit status: 3: `127.114.0.3 127.0.0.1:3000 3`"
    );
    let long = sh("echo begun; yes > /dev/null & yes; wait").unwrap_err();
    assert!(
        long.starts_with("`/bin/sh` did not end within 300ms: `begun | y | y`"),
        "{long}"
    );
    let missing = run(&["/nonexistent/check"]).unwrap_err();
    assert!(
        missing.starts_with("`/nonexistent/check` cannot be executed: "),
        "{missing}"
    );
}

#[test]
fn a_program_that_was_collected_is_no_process_and_one_that_has_only_ended_is() {
    let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
    let pid = child.id();
    let seen = |ask, number: &str| program(ask, Some(number.into()));
    for ask in [Ask::Accepts, Ask::Path, Ask::Command] {
        assert!(matches!(seen(ask, &pid.to_string()), Program::Runs(_)));
        // No PID: an app's own variable hides that of systemd.
        assert!(matches!(seen(ask, "0"), Program::Unknown));
        assert!(matches!(seen(ask, "web"), Program::Unknown));
        assert!(matches!(program(ask, None), Program::Ended));
    }
    child.wait().unwrap();
    let ended = |ask| matches!(seen(ask, &pid.to_string()), Program::Ended);
    assert!(ended(Ask::Accepts) && ended(Ask::Path));
    assert!(!ended(Ask::Command), "it may be in another namespace");
}

#[test]
fn a_failure_is_kept_in_a_file_of_roots_unless_the_rights_of_the_program_forbid_that() {
    let folder = tempfile::tempdir().unwrap();
    let (_, address) = listener();
    let kept = |ask| {
        let health = Health {
            state: folder.path().join("web"),
            ..health(ask, address)
        };
        let file = Entry::new(&health.state, Name::Unhealthy(health.instance));
        fail(&health, &file, "too \u{7} busy");
        let kept = file.read().ok();
        let _ = file.remove();
        kept
    };
    assert_eq!(kept(Ask::Command), None);
    for ask in [Ask::Accepts, Ask::Path] {
        assert_eq!(kept(ask).as_deref(), Some("unhealthy: too \\x07 busy"));
    }
}

#[test]
fn systemd_is_asked_for_more_time_than_the_check_takes() {
    assert_eq!(extension(Duration::from_secs(2)), 7_000_000);
    assert_eq!(extension(Duration::from_secs(5000)), u32::MAX);
}
