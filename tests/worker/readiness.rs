//! The moment of READY, for each value of `ready`.

use nix::sys::signal::Signal;

use crate::instance::Instance;
use crate::stage::Stage;

const LOOPBACK: &str = "127.0.0.1";
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

#[track_caller]
fn assert_not_ready(instance: &Instance) {
    testbed::nap(PAUSE);
    assert_eq!(instance.notified(), None);
}

#[test]
fn bind_alone_is_not_ready_and_listen_is() {
    let mut instance = Stage::on(LOOPBACK).python(
        "
signal.signal(signal.SIGUSR1, lambda *_: None)
s = tcp(); s.bind(('127.0.0.1', PORT)); print('bound', flush=True)
signal.pause()
s.listen(); s.listen(); serve(s)",
    );
    instance.says("bound");
    assert_not_ready(&instance);
    instance.signal(Signal::SIGUSR1);
    let instance = instance.ready();
    assert_not_ready(&instance);
}

#[test]
fn node_says_ready_long_after_listen() {
    let mut instance = Stage::on(LOOPBACK)
        .argument("--ready=message")
        .node(
            "
process.on('SIGUSR2', () => { process.send('ready'); process.send('ready'); });
process.send('warming up'); process.send({ type: 'axm:monitor', data: { ready: 'ready' } });
require('http').createServer((q, a) => a.end('hello'))
    .listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listens', process.connected));",
        );
    instance.says("listens true");
    assert_not_ready(&instance);
    instance.signal(Signal::SIGUSR2);
    let instance = instance.ready();
    assert_eq!(instance.ask().unwrap(), "hello");
    assert_not_ready(&instance);
}

#[test]
fn node_says_ready_before_it_listens_and_is_ready_when_it_does() {
    let mut instance = Stage::on(LOOPBACK).argument("--ready=message").node(
        "
setInterval(() => {}, 1000);
process.on('SIGUSR2', () => require('http').createServer((q, a) => a.end('hello'))
    .listen(Number(process.env.PORT), '127.0.0.1'));
process.send('ready'); console.log('said');",
    );
    instance.says("said");
    assert_not_ready(&instance);
    instance.signal(Signal::SIGUSR2);
    assert_eq!(instance.ready().ask().unwrap(), "hello");
}

#[test]
fn a_program_that_says_ready_and_never_listens_is_named() {
    let stage = Stage::on(LOOPBACK);
    let missing = format!(
        "the program sent 'ready', but the program never listened on 127.0.0.1:{}",
        stage.port()
    );
    let mut instance = stage
        .argument("--ready=message")
        .argument("--listen-timeout=2s")
        .node("setInterval(() => {}, 1000); process.send('ready')");
    instance.says(&format!("<3>rsgen: not ready after 2 s: {missing}\n"));
    assert_eq!(
        instance.notified().unwrap(),
        format!("STATUS={missing}\n"),
        "while it is waited for"
    );
    assert_eq!(
        instance.notified().unwrap(),
        format!("STATUS={missing}\n"),
        "of the end of the wait, for a first install"
    );
    assert_eq!(instance.notified(), None);
}

#[test]
fn a_program_that_says_ready_and_listens_elsewhere_is_not_started_again() {
    let mut instance = Stage::on(LOOPBACK)
        .argument("--ready=message")
        .argument("--listen-timeout=2s")
        .node(
            "
const other = require('net').createServer().listen(0, '127.0.0.1', () => {
    const port = other.address().port;
    other.close(() => require('http').createServer().listen(port, '127.0.0.1', () => process.send('ready')));
});",
        );
    instance.says(
        "not ready after 2 s: the program sent 'ready', but the program listens on 127.0.0.1:",
    );
    let told: Vec<String> = std::iter::from_fn(|| instance.notified()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[1].starts_with("STATUS=refused: the program sent 'ready', but"),
        "{told:?}"
    );
    assert!(told[1].contains("write `listen = \"127.0.0.1:"), "{told:?}");
}

#[test]
fn a_program_that_says_ready_and_listens_on_some_of_its_addresses_is_ready_and_the_other_is_named()
{
    let other = std::net::TcpListener::bind((LOOPBACK, 0)).unwrap();
    let missing = format!(
        "the program sent 'ready', but the program never listened on {}",
        other.local_addr().unwrap()
    );
    let mut instance = Stage::on(LOOPBACK)
        .socket(&other)
        .argument("--ready=message")
        .node(
            "
require('http').createServer((q, a) => a.end('hello'))
    .listen(Number(process.env.PORT), '127.0.0.1', () => process.send('ready'));",
        )
        .ready();
    instance.says(&format!("<4>rsgen: {missing}\n"));
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn a_program_that_never_says_ready_is_named() {
    let mut instance = Stage::on(LOOPBACK)
        .argument("--ready=message")
        .argument("--listen-timeout=400ms")
        .node("require('http').createServer().listen(Number(process.env.PORT), '127.0.0.1')");
    instance.says("<3>rsgen: not ready after 0.4 s: the program did not send 'ready'\n");
    let status = "STATUS=the program did not send 'ready'\n";
    assert_eq!(instance.notified().as_deref(), Some(status));
    assert_eq!(instance.notified(), None);
}

#[test]
fn a_program_that_closes_the_channel_goes_on() {
    let instance = Stage::on(LOOPBACK)
        .argument("--ready=message")
        .node(
            "
process.send('ready', () => process.disconnect());
process.on('disconnect', () => require('http').createServer((q, a) => a.end('hello'))
    .listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listens')));",
        )
        .ready();
    testbed::wait_until(crate::instance::SOON, "an answer", || {
        instance.output().contains("listens")
    });
    let before = instance.helper_ticks();
    assert_eq!(instance.ask().unwrap(), "hello");
    testbed::nap(PAUSE);
    assert!(instance.helper_ticks() - before < 10, "the helper spins");
}

#[test]
fn children_of_a_program_with_a_channel_have_none() {
    let mut instance = Stage::bare()
        .argument("--handover=none")
        .argument("--ready=message")
        .node(
            "
setInterval(() => {}, 1000);
const child = require('child_process');
const text = 'console.log(\"child\", typeof process.send, process.env.NODE_CHANNEL_FD)';
console.log(child.execFileSync(process.execPath, ['-e', text]).toString());
process.send('ready');",
        )
        .ready();
    instance.says("child undefined undefined");
}

#[test]
fn a_program_that_does_not_know_the_channel_is_not_delayed_by_it() {
    let mut instance = Stage::on(LOOPBACK).argument("--ready=message").python(
        "print('channel', os.environ['NODE_CHANNEL_FD'].isdigit(), flush=True); sys.exit(4)",
    );
    assert_eq!(instance.status(), 4);
    instance.says("channel True");
    instance.no_helper();
}

#[test]
fn the_channel_works_for_a_program_that_is_given_its_sockets() {
    let mut instance = Stage::on(LOOPBACK)
        .argument("--handover=fds")
        .argument("--ready=message")
        .node("require('http').createServer((q, a) => a.end('hello')).listen({ fd: 3 }, () => process.send('ready'))")
        .ready();
    assert_eq!(instance.ask().unwrap(), "hello");
    assert_eq!(instance.helpers().len(), 1);
    instance.signal(Signal::SIGKILL);
    assert_eq!(instance.status(), 128 + 9);
    instance.no_helper();
}

#[test]
fn notify_is_left_to_the_program() {
    let mut instance = Stage::on(LOOPBACK).argument("--ready=notify").python(
        "
signal.signal(signal.SIGUSR1, lambda *_: None)
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen(); print('listens', flush=True)
signal.pause()
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); n.connect(os.environ['NOTIFY_SOCKET'])
n.send(b'READY=1\\nSTATUS=by the program')
serve(s)",
    );
    instance.says("listens");
    assert_not_ready(&instance);
    instance.signal(Signal::SIGUSR1);
    assert_eq!(instance.ready().ask().unwrap(), "hello");
}

#[test]
fn exec_is_ready_at_once() {
    let instance = Stage::on(LOOPBACK)
        .argument("--ready=exec")
        .start(&["sleep", "60"]);
    let told = testbed::wait_for(crate::instance::SOON, "READY", || instance.notified());
    assert_eq!(told.trim(), "READY=1");
}

#[test]
fn a_program_that_is_ready_without_listening_is_named_after_a_while() {
    for ready in ["exec", "notify"] {
        let stage = Stage::on(LOOPBACK);
        let line = format!(
            "0.3 s after its start the program never listened on 127.0.0.1:{}",
            stage.port()
        );
        let mut instance = stage
            .argument(format!("--ready={ready}"))
            .argument("--listen-timeout=300ms")
            .start(&["sleep", "60"]);
        instance.says(&format!("<4>rsgen: {line}\n"));
        let told: Vec<String> = std::iter::from_fn(|| instance.notified()).collect();
        assert_eq!(told.last().unwrap(), &format!("STATUS={line}\n"));
    }
}

#[test]
fn a_program_without_a_socket_is_ready_when_it_is_started_and_stands_alone() {
    let mut instance = Stage::bare()
        .argument("--handover=none")
        .argument("--ready=exec")
        .env("LISTEN_FDS", "1")
        .python(
            "
print('variables', [k for k in os.environ if k.startswith('LISTEN_')], flush=True)
status = dict(l.split(':\t', 1) for l in open('/proc/self/status') if ':\t' in l)
print('filters', status['Seccomp'].strip(), status['NoNewPrivs'].strip(), flush=True)
signal.pause()",
        )
        .ready();
    instance.says("variables []");
    instance.says("filters 0 0");
}

#[test]
fn a_node_program_without_a_socket_says_ready_by_its_message() {
    let mut instance = Stage::bare()
        .argument("--handover=none")
        .argument("--ready=message")
        .node(
            "
setInterval(() => {}, 1000);
process.on('SIGUSR2', () => process.send('ready'));
console.log('connected', process.connected);",
        );
    instance.says("connected true");
    assert_not_ready(&instance);
    instance.signal(Signal::SIGUSR2);
    instance.ready();
}
