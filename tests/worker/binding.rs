//! The handover at bind(2): what it changes, and what it leaves alone.

use std::net::TcpListener;

use testbed::wait_for;

use crate::instance::{Instance, SOON, ask};
use crate::stage::Stage;

const LOOPBACK: &str = "127.0.0.1";

#[test]
fn a_second_bind_succeeds_and_changes_nothing() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
s = tcp()
says('first', lambda: s.bind(('127.0.0.1', PORT)))
says('again', lambda: s.bind(('127.0.0.1', PORT)))
t = tcp()
says('other', lambda: t.bind(('127.0.0.1', PORT)))
s.listen(); t.listen(); s.close()
serve(t)",
        )
        .ready();
    instance.says("first ok\nagain ok\nother ok\n");
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn a_closed_listener_can_be_bound_again() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
for i in range(3):
    s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen(); s.close()
s = tcp()
says('again', lambda: s.bind(('127.0.0.1', PORT)))
s.listen()
serve(s)",
        )
        .ready();
    instance.says("again ok");
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn other_ports_are_the_programs_own() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
free = tcp(); free.bind(('127.0.0.1', 0)); free.listen()
print('free', free.getsockname()[1], flush=True)
known = tcp()
taken = free.getsockname()
says('taken', lambda: known.bind(taken))
free.close()
says('known', lambda: known.bind(taken))
known.listen()
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen()
threading.Thread(target=serve, args=(known, 'other'), daemon=True).start()
serve(s)",
        )
        .ready();
    instance.says("taken EADDRINUSE\nknown ok\n");
    let output = instance.output();
    let free = output.lines().find_map(|l| l.strip_prefix("free "));
    let free: u16 = free.unwrap().parse().unwrap();
    assert_eq!(ask(([127, 0, 0, 1], free)).unwrap(), "other");
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn the_name_of_the_socket_is_the_listeners() {
    let stage = Stage::on("0.0.0.0");
    let port = stage.port();
    stage
        .python(
            "
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen()
print('name', *s.getsockname(), flush=True)
serve(s)",
        )
        .ready()
        .says(&format!("name 0.0.0.0 {port}\n"));
}

/// The answer of getsockopt(2), however little of it the program asks for.
#[test]
fn the_socket_listens_once_the_program_has_called_listen() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
def listens(s, room):
    value, length = ctypes.create_string_buffer(b'\\xff' * 4, 4), ctypes.c_int(room)
    done = libc.getsockopt(s.fileno(), socket.SOL_SOCKET, socket.SO_ACCEPTCONN, value, ctypes.byref(length))
    print(done, length.value, value.raw.hex(), flush=True)
s = tcp(); s.bind(('127.0.0.1', PORT))
for room in (8, 4, 3, 1, 0, -1): listens(s, room)
s.listen()
for room in (8, 1): listens(s, room)
serve(s)",
        )
        .ready();
    instance.says(
        "0 4 00000000\n0 4 00000000\n0 3 000000ff\n0 1 00ffffff\n0 0 ffffffff\n-1 -1 ffffffff\n\
         0 4 01000000\n0 1 01ffffff\n",
    );
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn the_backlog_of_one_instance_changes_no_listener() {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let before = backlog(port);
    assert!(before > 1);
    let instance = Stage::over(&listener)
        .python("s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen(1); serve(s)")
        .ready();
    assert_eq!(instance.ask().unwrap(), "hello");
    assert_eq!(backlog(port), before);
}

/// The backlog of a listening socket, as ss(8) shows it.
fn backlog(port: u16) -> u32 {
    let filter = format!("sport = :{port}");
    let shown = std::process::Command::new("ss")
        .args(["-Hltn", &filter])
        .output()
        .unwrap();
    let line = String::from_utf8(shown.stdout).unwrap();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

#[test]
fn close_on_exec_stays_as_the_program_has_it() {
    Stage::on(LOOPBACK)
        .python(
            "
a, b = tcp(), tcp()
b.set_inheritable(True)
a.bind(('127.0.0.1', PORT)); b.bind(('127.0.0.1', PORT)); a.listen()
print('inheritable', a.get_inheritable(), b.get_inheritable(), flush=True)
serve(a)",
        )
        .ready()
        .says("inheritable False True");
}

#[test]
fn an_event_loop_that_knew_the_socket_before_bind_hears_of_connections() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
s = tcp(); s.setblocking(False)
loop = select.epoll()
loop.register(s, select.EPOLLIN)
s.bind(('127.0.0.1', PORT)); s.listen()
for fd, events in loop.poll(20):
    print('event', fd == s.fileno(), events, flush=True)
c, _ = s.accept(); c.setblocking(True); c.recv(1000)
c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nepoll'); c.close()
says('modify', lambda: loop.modify(s, 0))
says('remove', lambda: loop.unregister(s))",
        )
        .ready();
    assert_eq!(instance.ask().unwrap(), "epoll");
    instance.says("event True 1\nmodify ok\nremove ok\n");
}

#[test]
fn copies_of_the_descriptor_are_the_listener_too() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
s = tcp()
copy = s.dup()
loop = select.epoll(); loop.register(copy, select.EPOLLIN)
s.bind(('127.0.0.1', PORT)); s.listen(); s.close()
print('copy', loop.poll(20)[0][0] == copy.fileno(), flush=True)
serve(copy)",
        )
        .ready();
    assert_eq!(instance.ask().unwrap(), "hello");
    instance.says("copy True");
}

/// The message when a program binds IPv4 and IPv6 is declared.
fn other_family(port: u16) -> String {
    format!(
        "<3>rsgen: the program binds 0.0.0.0:{port}, declared is [::]:{port}; write `listen = \"0.0.0.0:{port}\"`, or both in a list if it binds both\n"
    )
}

#[test]
fn the_other_family_is_refused_with_the_line_that_mends_it() {
    let stage = Stage::on("::");
    let port = stage.port();
    let mut instance = stage.python("tcp().bind(('0.0.0.0', PORT))");
    assert_eq!(instance.status(), 1);
    instance.no_helper();
    let output = instance.output();
    assert!(
        output.contains("Cannot assign requested address") && output.ends_with(&other_family(port)),
        "{output}"
    );
}

/// A program that tries again and again would be waited for until the time for its start is over.
#[test]
fn a_program_that_goes_on_without_its_address_is_ended_and_the_unit_says_why() {
    let stage = Stage::on("::");
    let port = stage.port();
    let mut instance =
        stage.python("s = tcp(); says('bind', lambda: s.bind(('0.0.0.0', PORT))); signal.pause()");
    instance.says("bind EADDRNOTAVAIL");
    let told = instance.notified().unwrap_or_default();
    let wanted = format!("STATUS=refused: the program binds 0.0.0.0:{port}, declared is");
    assert!(told.starts_with(&wanted), "{told}");
    assert_eq!(instance.status(), 128 + 9);
    instance.says(&other_family(port));
}

#[test]
fn a_program_that_binds_the_declared_family_as_well_goes_on() {
    let stage = Stage::on("::");
    let mut instance = stage.python(
        "
s = tcp(); says('other', lambda: s.bind(('0.0.0.0', PORT)))
s = tcp(socket.AF_INET6); says('own', lambda: s.bind(('::', PORT)))
select.select([], [], [], 1.5)
s.listen(); serve(s)",
    );
    instance.says("other EADDRNOTAVAIL\nown ok\n");
    let told = |instance: &Instance| instance.notified().unwrap_or_default();
    assert!(told(&instance).starts_with("STATUS=refused: "));
    assert_eq!(told(&instance), "STATUS=\n");
    assert_eq!(instance.ready().ask().unwrap(), "hello");
}

#[test]
fn a_port_that_no_second_instance_can_have_is_told() {
    let further = "
f = tcp(); f.bind(('0.0.0.0', int(os.environ['FURTHER']))); f.listen()
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen(); serve(s)";
    let free = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let start = || {
        Stage::on(LOOPBACK)
            .env("FURTHER", port.to_string())
            .python(further)
    };
    let first = start();
    let line =
        format!("{port} is bound as well: add it to `listen`, or give each instance its own");
    // Whoever waits for READY looks at the status then.
    let told = wait_for(SOON, "a message to systemd", || first.notified());
    assert_eq!(told, format!("STATUS={line}\n"));
    let mut first = first.ready();
    first.says(&format!("<4>rsgen: {line}\n"));
    let mut second = start();
    assert_eq!(second.status(), 1);
    second.says(&format!(
        "the program asked for {port}, which another instance may have"
    ));
}

#[test]
fn a_wrong_port_is_named() {
    let mut instance = Stage::on(LOOPBACK).argument("--listen-timeout=3s").python(
        "
s = tcp(); s.bind(('127.0.0.1', 0)); s.listen()
wrong = s.getsockname()[1]; s.close()
s = tcp(); s.bind(('127.0.0.1', wrong)); s.listen()
print('wrong', wrong, flush=True)
signal.pause()",
    );
    instance.says("not ready after 3 s");
    let output = instance.output();
    let wrong = output
        .lines()
        .find_map(|l| l.strip_prefix("wrong "))
        .unwrap();
    instance.says(&format!(
        "the program listens on 127.0.0.1:{wrong}, declared is"
    ));
    instance.says(&format!("write `listen = \"127.0.0.1:{wrong}\"`"));
    // Before the time is over, whoever waits is told.
    let told = instance.notified().unwrap();
    let words = format!("STATUS=the program listens on 127.0.0.1:{wrong}, declared is");
    assert!(told.starts_with(&words), "{told}");
}

#[test]
fn a_program_that_listens_elsewhere_first_is_ready_later_and_says_so_no_more() {
    let stage = Stage::on(LOOPBACK);
    let port = stage.port();
    let instance = stage.python(&format!(
        "
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
s = tcp(); s.bind(('127.0.0.1', 0)); other = s.getsockname()[1]; s.close()
s = tcp(); s.bind(('127.0.0.1', other)); s.listen()
signal.sigwait([signal.SIGUSR1])
t = tcp(); t.bind(('127.0.0.1', {port})); t.listen()
signal.pause()"
    ));
    let told = || wait_for(SOON, "a message to systemd", || instance.notified());
    let first = told();
    assert!(
        first.starts_with("STATUS=the program listens on"),
        "{first}"
    );
    instance.signal(nix::sys::signal::Signal::SIGUSR1);
    assert_eq!(told(), "STATUS=\n");
}

#[test]
fn a_program_that_never_binds_is_named() {
    let stage = Stage::on(LOOPBACK);
    let port = stage.port();
    let mut instance = stage
        .argument("--listen-timeout=200ms")
        .start(&["sleep", "60"]);
    instance.says(&format!(
        "<3>rsgen: not ready after 0.2 s: the program never listened on 127.0.0.1:{port}\n"
    ));
    // For the first install of the app, which ends then.
    let status = format!("STATUS=the program never listened on 127.0.0.1:{port}\n");
    assert_eq!(instance.notified(), Some(status));
    assert_eq!(instance.notified(), None);
}

/// systemd gives it a few seconds more than the worker does.
#[test]
fn a_program_that_listens_late_is_no_longer_said_not_to() {
    let stage = Stage::on(LOOPBACK);
    let port = stage.port();
    let instance = stage.argument("--listen-timeout=200ms").python(&format!(
        "
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
signal.sigwait([signal.SIGUSR1])
s = tcp(); s.bind(('127.0.0.1', {port})); s.listen()
signal.pause()"
    ));
    let told = || wait_for(SOON, "a message to systemd", || instance.notified());
    assert!(told().starts_with("STATUS=the program never listened on"));
    instance.signal(nix::sys::signal::Signal::SIGUSR1);
    assert_eq!(told(), "STATUS=\n");
    assert_eq!(told(), "READY=1\n");
}

#[test]
fn without_a_socket_nothing_starts() {
    let mut instance = Stage::bare().start(&["echo", "started"]);
    assert_eq!(instance.status(), 1);
    instance.says("<3>rsgen: systemd passed no socket; start it with `systemctl restart ");
    instance.says("; with `balance = \"even\"` see `systemctl status ");
    assert!(!instance.output().contains("started"));
}

#[test]
fn ten_thousand_binds_in_a_loop() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
for i in range(10000):
    s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen(); s.close()
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen()
print('done', len(os.listdir('/proc/self/fd')), flush=True)
serve(s)",
        )
        .ready();
    instance.says("done ");
    assert_eq!(instance.ask().unwrap(), "hello");
    let helper = instance.helpers()[0];
    let open = std::fs::read_dir(format!("/proc/{helper}/fd")).unwrap();
    assert!(open.count() < 10, "the helper keeps descriptors");
}
