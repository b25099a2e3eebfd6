//! A rehearsal: the program binds nothing, lives, and what it asks for is reported.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use testbed::wait_until;

use crate::instance::{Instance, SOON, cpu_ticks};
use crate::stage::{Stage, compiled};

/// A rehearsal, and the connection over which its worker reports.
struct Rehearsal {
    instance: Instance,
    report: BufReader<UnixStream>,
}

/// Rehearses whatever `start` starts.
fn rehearse(stage: Stage, start: impl FnOnce(Stage) -> Instance) -> Rehearsal {
    let path = stage.folder().join("report");
    let listener = UnixListener::bind(&path).unwrap();
    let stage = stage
        .argument(format!("--report={}", path.display()))
        .argument("--kill-signal=SIGINT")
        .argument("--kill-timeout=300ms");
    let instance = start(stage);
    let (report, _) = listener.accept().unwrap();
    report.set_read_timeout(Some(SOON)).unwrap();
    let mut rehearsal = Rehearsal {
        instance,
        report: BufReader::new(report),
    };
    assert_eq!(rehearsal.next(), "begun");
    rehearsal
}

impl Rehearsal {
    /// The next line of the report; empty at its end.
    fn next(&mut self) -> String {
        let mut line = String::new();
        self.report.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for this line, whatever else is reported before it.
    #[track_caller]
    fn reports(&mut self, wanted: &str) {
        self.reports_all(&[wanted]);
    }

    /// Waits for these lines, in any order.
    #[track_caller]
    fn reports_all(&mut self, wanted: &[&str]) {
        let mut open = wanted.to_vec();
        while !open.is_empty() {
            let line = self.next();
            assert!(!line.is_empty(), "{open:?}: {}", self.instance.output());
            open.retain(|wanted| *wanted != line);
        }
    }

    /// The port of IPv6 on which the program listens by the kernel's list.
    fn listens_on(&self) -> u16 {
        let pid = self.instance.pid();
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let links: Vec<String> = fds
            .filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.display().to_string()))
            .collect();
        let list = fs::read_to_string(format!("/proc/{pid}/net/tcp6")).unwrap();
        let port = list.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_own = links.contains(&format!("socket:[{}]", fields.get(9)?));
            let (_, port) = fields.get(1)?.split_once(':')?;
            (is_own && fields.get(3) == Some(&"0A")).then(|| u16::from_str_radix(port, 16).ok())?
        });
        port.unwrap()
    }

    /// Looks at the program for a moment: it lives, and its event loop does not turn without end, as it would with a socket that
    /// does not listen.
    #[track_caller]
    fn waits(&mut self) {
        let mut seen = (Instant::now(), cpu_ticks(self.instance.pid()));
        wait_until(SOON, "the program is idle", || {
            let (since, before) = seen;
            if since.elapsed() < Duration::from_millis(300) {
                return false;
            }
            seen = (Instant::now(), cpu_ticks(self.instance.pid()));
            seen.1 - before < 5
        });
        let ended = self.instance.child.try_wait().unwrap();
        assert_eq!(ended, None, "{}", self.instance.output());
    }
}

#[test]
fn a_node_program_gets_a_socket_that_it_can_wait_on_and_nobody_reaches() {
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let program = format!(
        "const s = require('http').createServer().listen({port}, () => console.log('at', s.address().port))"
    );
    let mut rehearsal = rehearse(Stage::bare(), |stage| stage.node(&program));
    rehearsal.reports(&format!("found tcp 0 0 0 [::]:{port}"));
    rehearsal.reports(&format!("found tcp 1 0 0 [::]:{port}"));
    // By getsockname(2) it has the port that it asked for.
    rehearsal.instance.says(&format!("at {port}"));
    rehearsal.waits();
    let own = rehearsal.listens_on();
    assert_ne!(own, port);
    let address = (std::net::Ipv6Addr::LOCALHOST, own).into();
    TcpStream::connect_timeout(&address, Duration::from_millis(300)).unwrap_err();
}

#[test]
fn children_of_node_are_reported_as_well() {
    let cluster = "const c = require('cluster'); \
        if (c.isPrimary) c.fork(); else require('http').createServer().listen(3123, '127.0.0.1')";
    let stage = Stage::bare();
    let script = stage.folder().join("cluster.js");
    fs::write(&script, cluster).unwrap();
    let words = ["node".as_ref(), script.as_os_str()];
    let mut rehearsal = rehearse(stage, |stage| stage.start(&words));
    rehearsal.reports("found tcp 1 0 0 127.0.0.1:3123");
    rehearsal.waits();
    let child = "require('child_process').spawn(process.execPath, ['-e', \
        'require(`dgram`).createSocket(`udp4`).bind(5123)'], { stdio: 'inherit' })";
    let mut rehearsal = rehearse(Stage::bare(), |stage| stage.node(child));
    rehearsal.reports("found udp 0 0 0 0.0.0.0:5123");
    rehearsal.waits();
}

#[test]
fn a_pair_of_families_and_a_port_of_the_kernels_choice_are_told_as_they_are() {
    let program = "
a = tcp(); b = tcp(socket.AF_INET6); c = tcp(); d = tcp()
b.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
says('a', lambda: a.bind(('0.0.0.0', 3124)))
says('b', lambda: b.bind(('::', 3124)))
says('c', lambda: c.bind(('127.0.0.1', 0)))
for s in (a, b, c, d): s.listen()
says('twice', lambda: a.bind(('0.0.0.0', 3124)))
signal.pause()";
    let mut rehearsal = rehearse(Stage::bare(), |stage| stage.python(program));
    rehearsal.reports("found tcp 1 0 0 0.0.0.0:3124");
    rehearsal.reports("found tcp 1 1 0 [::]:3124");
    rehearsal.reports("found tcp 1 0 1 127.0.0.1:0");
    rehearsal.reports("found tcp 1 0 0 0.0.0.0:0");
    wait_until(SOON, "the second bind is answered", || {
        rehearsal.instance.output().contains("twice EINVAL")
    });
}

/// PM2 may still serve there, and gunicorn removes the file before bind.
#[test]
fn a_unix_socket_that_somebody_serves_keeps_its_file() {
    let stage = Stage::bare();
    let path: PathBuf = stage.folder().join("web.sock");
    let serving = UnixListener::bind(&path).unwrap();
    let shown = path.display();
    let program = format!(
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]); os.unlink('{shown}')
s = socket.socket(socket.AF_UNIX); s.bind('{shown}'); os.chown('{shown}', 33, 33); os.chmod('{shown}', 0o600)
s.listen(); signal.sigwait([signal.SIGINT]); os.unlink('{shown}')"
    );
    let before = path.metadata().unwrap();
    let mut rehearsal = rehearse(stage, |stage| stage.python(&program));
    rehearsal.reports(&format!("found unix 1 0 0 {shown}"));
    drop(rehearsal.report);
    assert_eq!(rehearsal.instance.status(), 0);
    let after = path.metadata().unwrap();
    let facts = |m: &fs::Metadata| (m.ino(), m.uid(), m.mode());
    assert_eq!(facts(&after), facts(&before));
    UnixStream::connect(&path).unwrap();
    drop(serving);
}

#[test]
fn a_unix_socket_has_a_file_that_leads_nowhere_until_the_end() {
    let stage = Stage::bare();
    let path: PathBuf = stage.folder().join("web.sock");
    let shown = path.display().to_string();
    let program = format!(
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
s = socket.socket(socket.AF_UNIX); s.bind('{shown}'); os.chmod('{shown}', 0o600)
s.listen(); print('listens at', s.getsockname(), flush=True); signal.sigwait([signal.SIGINT])"
    );
    let mut rehearsal = rehearse(stage, |stage| stage.python(&program));
    rehearsal.reports(&format!("found unix 1 0 0 {shown}"));
    wait_until(SOON, "it listens", || {
        rehearsal
            .instance
            .output()
            .contains(&format!("listens at {shown}\n"))
    });
    UnixStream::connect(&path).unwrap_err();
    rehearsal
        .report
        .get_mut()
        .shutdown(std::net::Shutdown::Both)
        .unwrap();
    wait_until(SOON, "the file is gone", || !path.exists());
    let mut names = fs::read_dir(rehearsal.instance.folder()).unwrap();
    assert!(names.all(|n| {
        !n.unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".rsgen")
    }));
}

#[test]
fn programs_in_other_languages_live_as_well() {
    let server = compiled("accept.c", &[]);
    let mut c = rehearse(Stage::bare().env("PORT", "3000"), |stage| {
        stage.start(&[&server])
    });
    c.reports("found tcp 1 0 0 0.0.0.0:3000");
    c.waits();
    fs::remove_file(server).unwrap();
    let asyncio = "
import asyncio
async def main():
    s = await asyncio.start_server(lambda r, w: None, port=3125)
    await s.serve_forever()
asyncio.run(main())";
    let mut python = rehearse(Stage::bare(), |stage| stage.python(asyncio));
    python.reports_all(&["found tcp 1 0 0 0.0.0.0:3125", "found tcp 1 1 0 [::]:3125"]);
    python.waits();
}

#[test]
fn when_nobody_reads_the_report_the_program_is_asked_to_end_and_then_killed() {
    let deaf = "signal.signal(signal.SIGINT, lambda *_: print('asked', flush=True))
print('up', flush=True)
while True: signal.pause()";
    let mut rehearsal = rehearse(Stage::bare(), |stage| stage.python(deaf));
    wait_until(SOON, "it is up", || {
        rehearsal.instance.output().contains("up")
    });
    rehearsal
        .report
        .get_mut()
        .shutdown(std::net::Shutdown::Both)
        .unwrap();
    wait_until(SOON, "it is gone", || {
        rehearsal.instance.child.try_wait().unwrap().is_some()
    });
    assert!(rehearsal.instance.output().contains("asked"));
}

#[test]
fn the_message_ready_is_reported_and_so_many_sockets_as_a_report_holds() {
    let program = "process.send('ready'); \
        for (let i = 0; i < 300; i++) require('net').createServer().listen(10000 + i, '127.0.0.1')";
    let mut rehearsal = rehearse(Stage::bare().argument("--ready=message"), |stage| {
        stage.node(program)
    });
    rehearsal.reports("ready");
    rehearsal.waits();
    rehearsal.instance.kill_all();
    let mut rest = String::new();
    rehearsal.report.read_to_string(&mut rest).unwrap();
    assert!(rest.lines().count() < 128, "{rest}");
}
