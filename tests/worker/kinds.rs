//! All kinds of sockets that are handed over, and several sockets in one program.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;

use crate::instance::{SOON, ask};
use crate::stage::Stage;

const LOOPBACK: &str = "127.0.0.1";

#[test]
fn datagrams_are_ready_at_bind() {
    let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let program = "
const socket = require('dgram').createSocket('udp4');
socket.on('message', (text, from) => socket.send('echo ' + text, from.port, from.address));
socket.bind(Number(process.env.PORT), '127.0.0.1');";
    let _instance = Stage::bare()
        .socket(&socket)
        .env("PORT", address.port().to_string())
        .node(program)
        .ready();
    let client = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.send_to(b"word", address).unwrap();
    let mut buffer = [0; 100];
    let length = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"echo word");
}

#[test]
fn datagrams_by_file() {
    let stage = Stage::bare();
    let path = stage.folder().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut instance = stage
        .socket(&socket)
        .env("FILE", &path)
        .python(
            "
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(os.environ['FILE'])
select.select([s], [], []); print('got', s.recv(100), flush=True); signal.pause()",
        )
        .ready();
    UnixDatagram::unbound()
        .unwrap()
        .send_to(b"word", path)
        .unwrap();
    instance.says("got b'word'");
}

#[test]
fn a_stream_and_datagrams_of_one_port() {
    let stream = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let datagrams = UdpSocket::bind(stream.local_addr().unwrap()).unwrap();
    let mut instance = Stage::over(&stream)
        .socket(&datagrams)
        .python(
            "
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', PORT))
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen()
types = [x.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) for x in (u, s)]
print('types', types == [socket.SOCK_DGRAM, socket.SOCK_STREAM], flush=True)
serve(s)",
        )
        .ready();
    instance.says("types True");
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn ready_is_all_of_several_sockets() {
    let other = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let address = other.local_addr().unwrap();
    let mut instance = Stage::on(LOOPBACK)
        .socket(&other)
        .env("OTHER", address.port().to_string())
        .python(
            "
signal.signal(signal.SIGUSR1, lambda *_: None)
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen()
print('one', flush=True)
signal.pause()
t = tcp(); t.bind(('127.0.0.1', int(os.environ['OTHER']))); t.listen()
threading.Thread(target=serve, args=(t, 'other'), daemon=True).start()
serve(s)",
        );
    instance.says("one");
    assert_eq!(instance.notified(), None);
    instance.signal(nix::sys::signal::Signal::SIGUSR1);
    let instance = instance.ready();
    assert_eq!(ask(address).unwrap(), "other");
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn a_wildcard_is_as_good_as_the_declared_address() {
    for (declared, bound) in [("127.0.0.1", ""), ("0.0.0.0", "127.0.0.1")] {
        let instance = Stage::on(declared)
            .python(&format!(
                "s = tcp(); s.bind(('{bound}', PORT)); s.listen(); serve(s)"
            ))
            .ready();
        assert_eq!(instance.ask().unwrap(), "hello");
    }
}

#[test]
fn another_address_of_the_port_is_the_programs_own() {
    let stage = Stage::on(LOOPBACK);
    let port = stage.port();
    let instance = stage
        .python(
            "
t = tcp(); t.bind(('127.0.0.2', PORT)); t.listen()
threading.Thread(target=serve, args=(t, 'second'), daemon=True).start()
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen()
serve(s)",
        )
        .ready();
    assert_eq!(ask(([127, 0, 0, 2], port)).unwrap(), "second");
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn a_program_with_its_own_workers_on_one_port() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
for i in range(3):
    if os.fork() == 0:
        s = tcp(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(('127.0.0.1', PORT)); s.listen()
        os.write(1, b'worker %d;' % i)
        serve(s, 'worker')
while True: signal.pause()",
        )
        .ready();
    for i in 0..3 {
        instance.says(&format!("worker {i};"));
    }
    assert_eq!(instance.ask().unwrap(), "worker");
}

/// Two listeners on one port, as with `listen = ["0.0.0.0:…", "[::]:…"]`.
fn both_families() -> (TcpListener, TcpListener) {
    use nix::sys::socket::{
        self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn6, sockopt,
    };
    use std::os::fd::AsRawFd;
    let four = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = four.local_addr().unwrap().port();
    let six = socket::socket(
        AddressFamily::Inet6,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    socket::setsockopt(&six, sockopt::Ipv6V6Only, &true).unwrap();
    let address = std::net::SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, port, 0, 0);
    socket::bind(six.as_raw_fd(), &SockaddrIn6::from(address)).unwrap();
    socket::listen(&six, Backlog::MAXCONN).unwrap();
    (four, six.into())
}

const EVERYWHERE: &str = "
import asyncio
async def handle(reader, writer):
    await reader.readline()
    writer.write(b'HTTP/1.0 200 OK\\r\\n\\r\\neverywhere')
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(handle, None, PORT)
    print('sockets', sorted(str(s.getsockname()[1] == PORT) for s in server.sockets), flush=True)
    await server.serve_forever()
asyncio.run(main())";

#[test]
fn both_families_of_one_port() {
    let (four, six) = both_families();
    let port = four.local_addr().unwrap().port();
    let mut instance = Stage::over(&four).socket(&six).python(EVERYWHERE).ready();
    assert_eq!(ask(([127, 0, 0, 1], port)).unwrap(), "everywhere");
    assert_eq!(
        ask((std::net::Ipv6Addr::LOCALHOST, port)).unwrap(),
        "everywhere"
    );
    instance.says("sockets ['True', 'True']");
}

// The socket of the undeclared family is the program's own, and gets no connections.
#[test]
fn a_family_that_is_not_declared_stays_without_clients() {
    let stage = Stage::on("0.0.0.0");
    let port = stage.port();
    let mut instance = stage
        .python(
            "
s = tcp(); s.bind(('', PORT))
t = tcp(socket.AF_INET6); says('bind', lambda: t.bind(('::', PORT)))
t.listen(); s.listen()
print('address', t.getsockname()[0], flush=True)
both = select.epoll(); both.register(t, select.EPOLLIN)
print('events', both.poll(0.2), flush=True)
serve(s)",
        )
        .ready();
    assert_eq!(instance.ask().unwrap(), "hello");
    instance.says("bind ok\naddress ::1\nevents []\n");
    instance.says(&format!(
        "<4>rsgen: [::]:{port} gets no clients, since it is not declared; to have both, write both in `listen`\n"
    ));
    assert!(ask((std::net::Ipv6Addr::LOCALHOST, port)).is_err());
}

// Node falls back to IPv4 when binding IPv6 fails, so `listen(3000)` works with 127.0.0.1.
#[test]
fn a_program_that_falls_back_to_the_declared_family_is_served_without_a_word() {
    let mut instance = Stage::on(LOOPBACK)
        .node("require('http').createServer((q, a) => a.end('hello')).listen(Number(process.env.PORT))")
        .ready();
    assert_eq!(instance.ask().unwrap(), "hello");
    instance.signal(nix::sys::signal::Signal::SIGTERM);
    instance.status();
    instance.no_helper();
    assert_eq!(instance.output(), "");
}

#[test]
fn a_blocking_accept_sleeps_where_the_unit_lets_it() {
    let stage = Stage::on(LOOPBACK).blocking();
    let instance = stage.c("accept.c", &[]).ready();
    for _ in 0..3 {
        assert_eq!(instance.ask().unwrap(), format!("? {}", instance.pid()));
    }
}

#[test]
fn a_blocking_accept_that_may_not_sleep_is_told_of_the_line() {
    let mut instance = Stage::on(LOOPBACK).c("accept.c", &[]).ready_or_ended();
    assert_eq!(instance.status(), 1);
    instance.no_helper();
    let output = instance.output();
    assert!(
        output.contains("accept: Resource temporarily unavailable")
            && output.contains(
                "if it waits for connections in accept itself, write `service.NonBlocking = \"no\"`"
            ),
        "{output}"
    );
}

#[test]
fn an_event_loop_never_finds_a_blocking_listener() {
    let mut instance = Stage::on(LOOPBACK)
        .blocking()
        .python(
            "
s = tcp(); s.setblocking(False); s.bind(('127.0.0.1', PORT)); s.listen()
says('accept', s.accept)
serve(s)",
        )
        .ready();
    instance.says("accept EAGAIN");
    assert_eq!(instance.ask().unwrap(), "hello");
}
