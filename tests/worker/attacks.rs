//! Calls that the kernel refuses: the program gets the kernel's errors, and no socket is replaced that must not be.

use crate::stage::Stage;

const LOOPBACK: &str = "127.0.0.1";
/// Calls bind(2) with any arguments through ctypes, so that no library checks them.
const RAW: &str = "
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
A = struct.pack('=H', socket.AF_INET) + struct.pack('!H', PORT) + socket.inet_aton('127.0.0.1') + bytes(8)
def raw(word, fd, address, length):
    result = libc.bind(fd, ctypes.c_void_p(address) if isinstance(address, int) else address, length)
    print(word, 'ok' if result == 0 else errno.errorcode[ctypes.get_errno()], flush=True)
";

fn attack(program: &str, expected: &str) {
    let program = format!(
        "{RAW}{program}
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen()
print('end', flush=True)
serve(s)"
    );
    let mut instance = Stage::on(LOOPBACK).python(&program).ready();
    instance.says("end\n");
    assert_eq!(instance.output(), format!("{expected}end\n"));
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn a_file_is_not_a_socket() {
    attack(
        "
null = os.open('/dev/null', os.O_RDWR)
raw('null', null, A, 16)
print(os.readlink(f'/proc/self/fd/{null}'), flush=True)",
        "null ENOTSOCK\n/dev/null\n",
    );
}

#[test]
fn a_closed_descriptor_is_not_a_socket() {
    attack(
        "raw('closed', 99, A, 16); raw('negative', -1, A, 16); print(os.path.exists('/proc/self/fd/99'))",
        "closed EBADF\nnegative EBADF\nFalse\n",
    );
}

// A UDP port is another port than the TCP port of the same number.
#[test]
fn a_datagram_socket_stays_what_it_is() {
    attack(
        "
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
raw('udp', u.fileno(), A, 16)
print(u.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM)",
        "udp ok\nTrue\n",
    );
}

#[test]
fn a_stream_of_another_protocol_stays_what_it_is() {
    attack(
        "
try:
    u = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
except OSError:
    u = None
if u: raw('sctp', u.fileno(), A, 16)
print(u is None or u.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == 132)",
        if sctp() { "sctp ok\nTrue\n" } else { "True\n" },
    );
}

fn sctp() -> bool {
    std::process::Command::new("/usr/bin/python3")
        .args(["-c", "import socket; socket.socket(2, 1, 132)"])
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn an_address_that_cannot_be_read() {
    attack(
        "
s = tcp()
raw('null', s.fileno(), 0, 16)
raw('low', s.fileno(), 8, 16)
raw('kernel', s.fileno(), 0xffffffff81000000, 16)",
        "null EFAULT\nlow EFAULT\nkernel EFAULT\n",
    );
}

#[test]
fn an_address_of_an_odd_length() {
    attack(
        "
s = tcp()
for length in (0, 1, 8, 15, 129, 4096, 0x7fffffff, -1):
    raw(length, s.fileno(), A + bytes(5000), length)",
        "0 EINVAL\n1 EINVAL\n8 EINVAL\n15 EINVAL\n129 EINVAL\n4096 EINVAL\n2147483647 EINVAL\n-1 EINVAL\n",
    );
}

// The kernel accepts an address that is longer than its family needs, and so does the handover.
#[test]
fn an_address_with_something_behind_it() {
    attack(
        "
s = tcp()
raw('long', s.fileno(), A + bytes(100), 116)",
        "long ok\n",
    );
}

#[test]
fn an_address_of_the_other_family_than_the_socket() {
    attack(
        "
s = tcp(socket.AF_INET6)
raw('inet on inet6', s.fileno(), A, 16)
u = socket.socket(socket.AF_UNIX)
raw('inet on unix', u.fileno(), A, 16)
print(s.getsockname()[1] == PORT)",
        "inet on inet6 EINVAL\ninet on unix EINVAL\nFalse\n",
    );
}

#[test]
fn look_ups_and_netlink_pass() {
    attack(
        "
n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
says('netlink', lambda: n.bind((0, 0)))
says('look up', lambda: socket.getaddrinfo('localhost', 80))",
        "netlink ok\nlook up ok\n",
    );
}

#[test]
fn listen_on_anything_else_passes() {
    attack(
        "
raw_listen = lambda fd: print('listen', 'ok' if libc.listen(fd, 1) == 0 else errno.errorcode[ctypes.get_errno()], flush=True)
raw_listen(99); raw_listen(os.open('/dev/null', os.O_RDWR))
datagrams, own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), tcp()
raw_listen(datagrams.fileno()); raw_listen(own.fileno())",
        "listen EBADF\nlisten ENOTSOCK\nlisten ENOTSUP\nlisten ok\n",
    );
}
