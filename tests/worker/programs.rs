//! Ordinary programs, unmodified.

use nix::sys::signal::Signal;

use crate::instance::ask;
use crate::stage::Stage;

const NODE: &str = "
    const server = require('http').createServer((q, a) => a.end('hello'));
    server.listen(Number(process.env.PORT), process.env.HOST, () => console.log(JSON.stringify(server.address())));
";

#[test]
fn node_over_both_families() {
    let mut instance = Stage::on("::").node(NODE).ready();
    assert_eq!(instance.ask().unwrap(), "hello");
    instance.says("\"family\":\"IPv6\"");
}

#[test]
fn node_over_ipv4() {
    let stage = Stage::on("127.0.0.1").env("HOST", "127.0.0.1");
    let port = stage.port();
    let mut instance = stage.node(NODE).ready();
    assert_eq!(ask(([127, 0, 0, 1], port)).unwrap(), "hello");
    instance.says(&format!("\"port\":{port}"));
}

#[test]
fn python_http_server() {
    let stage = Stage::on("0.0.0.0");
    let port = stage.port().to_string();
    std::fs::write(stage.folder().join("index.html"), "a page").unwrap();
    let folder = stage.folder().to_str().unwrap().to_owned();
    let instance = stage
        .start(&[
            "/usr/bin/python3",
            "-m",
            "http.server",
            "--directory",
            &folder,
            &port,
        ])
        .ready();
    assert_eq!(instance.ask().unwrap(), "a page");
}

#[test]
fn asyncio() {
    let instance = Stage::on("127.0.0.1")
        .python(
            "
import asyncio
async def handle(reader, writer):
    await reader.readline()
    writer.write(b'HTTP/1.0 200 OK\\r\\n\\r\\nasync')
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(handle, '127.0.0.1', PORT)
    await server.serve_forever()
asyncio.run(main())",
        )
        .ready();
    assert_eq!(instance.ask().unwrap(), "async");
}

#[test]
fn many_threads_bind_while_others_work() {
    let mut instance = Stage::on("127.0.0.1")
        .python(
            "
def work():
    for _ in range(200):
        s = tcp(); s.bind(('127.0.0.1', 0)); s.listen(); s.close()
threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads: t.start()
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen()
for t in threads: t.join()
print('joined', flush=True)
serve(s)",
        )
        .ready();
    instance.says("joined");
    assert_eq!(instance.ask().unwrap(), "hello");
}

// Go preempts its threads with a signal every 10 ms, which must not interrupt bind(2).
#[test]
fn signals_during_bind_do_not_interrupt_it() {
    let mut instance = Stage::on("127.0.0.1").c("storm.c", &["1000"]).ready();
    instance.says("interrupted 0 of 1000");
    instance.signal(Signal::SIGTERM);
    assert_eq!(instance.status(), 128 + 15);
}

#[test]
fn a_shell_is_replaced_by_the_server() {
    let instance = Stage::on("127.0.0.1")
        .start(&["sh", "-c", "exec /usr/bin/python3 -c \"$0\"", CHILD])
        .ready();
    assert_eq!(instance.ask().unwrap(), "child");
}

#[test]
fn a_child_is_the_server() {
    let instance = Stage::on("127.0.0.1")
        .start(&["sh", "-c", "/usr/bin/python3 -c \"$0\"; exit 7", CHILD])
        .ready();
    assert_eq!(instance.ask().unwrap(), "child");
}

#[test]
fn a_forked_child_takes_over_from_its_parent() {
    let mut instance = Stage::on("127.0.0.1")
        .python(
            "
s = tcp(); s.bind(('127.0.0.1', PORT))
if os.fork():
    s.close()
    print('status', os.wait()[1], flush=True)
    sys.exit(3)
s.listen()
select.select([s], [], [])
c, _ = s.accept(); c.recv(1000); c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nforked'); c.close()",
        )
        .ready();
    assert_eq!(instance.ask().unwrap(), "forked");
    instance.says("status 0");
    assert_eq!(instance.status(), 3);
    instance.no_helper();
}

const CHILD: &str = "
import socket, os, select
s = socket.socket(); s.bind(('127.0.0.1', int(os.environ['PORT']))); s.listen()
while True:
    select.select([s], [], [])
    c, _ = s.accept(); c.recv(1000); c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nchild'); c.close()
";
