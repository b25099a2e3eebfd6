//! The instance as a process: systemd and users see the program itself.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::sys::signal::Signal;
use testbed::wait_until;

use crate::instance::SOON;
use crate::stage::Stage;

const LOOPBACK: &str = "127.0.0.1";
const SERVE: &str = "s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen(); serve(s)";

#[test]
fn the_exit_status_is_the_programs() {
    let mut instance = Stage::on(LOOPBACK).start(&["sh", "-c", "exit 42"]);
    assert_eq!(instance.status(), 42);
    instance.no_helper();
}

#[test]
fn the_program_is_the_main_process_and_gets_the_signals() {
    let mut instance = Stage::on(LOOPBACK)
        .python(&format!(
            "
def stop(number, frame):
    print('got', number, flush=True)
    sys.exit(9)
signal.signal(signal.SIGUSR1, stop)
print('pid', os.getpid(), flush=True)
{SERVE}"
        ))
        .ready();
    instance.says(&format!("pid {}\n", instance.pid()));
    instance.signal(Signal::SIGUSR1);
    assert_eq!(instance.status(), 9);
    instance.says("got 10\n");
    instance.no_helper();
}

#[test]
fn a_deadly_signal_is_the_end_of_the_program_and_of_the_helper() {
    for (signal, status) in [
        (Signal::SIGKILL, 128 + 9),
        (Signal::SIGTERM, 128 + 15),
        (Signal::SIGABRT, 128 + 6),
    ] {
        let mut instance = Stage::on(LOOPBACK).python(SERVE).ready();
        assert_eq!(instance.helpers().len(), 1);
        instance.signal(signal);
        assert_eq!(instance.status(), status);
        instance.no_helper();
    }
}

#[test]
fn no_signal_reaches_the_helper() {
    let instance = Stage::on(LOOPBACK).python(SERVE).ready();
    let helper = instance.helpers()[0];
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
    ] {
        nix::sys::signal::kill(helper, signal).unwrap();
    }
    assert_eq!(instance.ask().unwrap(), "hello");
    assert_eq!(instance.helpers(), [helper]);
}

#[test]
fn the_helper_stays_for_children_and_sleeps_without_the_main_process() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
if os.fork(): signal.pause()
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen(); print('bound', flush=True); serve(s)",
        )
        .ready();
    // READY comes before the child has got its answer, and of an instance that has ended nothing more is awaited.
    instance.says("bound");
    instance.signal(Signal::SIGTERM);
    assert_eq!(instance.status(), 128 + 15);
    assert_eq!(instance.ask().unwrap(), "hello");
    let before = instance.helper_ticks();
    testbed::nap(std::time::Duration::from_millis(300));
    assert!(instance.helper_ticks() - before < 10, "the helper spins");
    instance.kill_all();
    instance.no_helper();
}

#[test]
fn the_helper_is_small() {
    let instance = Stage::on(LOOPBACK).python(SERVE).ready();
    let helper = instance.helpers()[0];
    let text = std::fs::read_to_string(format!("/proc/{helper}/smaps_rollup")).unwrap();
    let of = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap();
        line.trim_end_matches("kB").trim().parse::<u32>().unwrap()
    };
    // All other pages are those of the program's file. The helpers share them, and they count as dirty until the kernel has
    // written the file of a new build to the disk.
    let kib = of("Anonymous:");
    println!("{kib} KiB of its own");
    assert!(kib < 512, "{kib} KiB that are not shared");
}

#[test]
fn arguments_and_environment_arrive_byte_for_byte() {
    let odd = OsString::from_vec(b"caf\xe9 \xff\x01 --x=y".to_vec());
    let program = "
print('arguments', [os.fsencode(a) for a in sys.argv[1:]], flush=True)
print('odd', os.environb[b'ODD'], os.environb[b'NAME\\xff'], os.environb[b'EMPTY'], flush=True)
print('systemd', sorted(k for k in os.environ if k.startswith('LISTEN_') or k.startswith('NODE_CHANNEL')), flush=True)
print('notify', os.environ['NOTIFY_SOCKET'], flush=True)
print('open', sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1], flush=True)
print('blocked', [l for l in open('/proc/self/status') if l.startswith('SigBlk')], flush=True)
";
    let text = format!("import os, sys\n{program}");
    let words: Vec<&OsStr> = vec![
        "/usr/bin/python3".as_ref(),
        "-c".as_ref(),
        text.as_ref(),
        &odd,
        "".as_ref(),
        "--".as_ref(),
        "%i $HOME".as_ref(),
    ];
    let mut instance = Stage::on(LOOPBACK)
        .env("ODD", odd.clone())
        .env(OsStr::from_bytes(b"NAME\xff"), "value")
        .env("EMPTY", "")
        .start(&words);
    assert_eq!(instance.status(), 0);
    instance.says(
        r"arguments [b'caf\xe9 \xff\x01 --x=y', b'', b'--', b'%i $HOME']
odd b'caf\xe9 \xff\x01 --x=y' b'value' b''
systemd []
",
    );
    let notify = instance.folder().join("notify");
    instance.says(&format!("notify {}\n", notify.display()));
    instance.says("open [0, 1, 2]\n");
    instance.says("blocked ['SigBlk:\\t0000000000000000\\n']\n");
}

#[test]
fn fds_are_passed_on_as_systemd_passes_them() {
    let mut instance = Stage::on(LOOPBACK)
        .argument("--handover=fds")
        .argument("--ready=exec")
        .python(
            "
print('pid', os.environ['LISTEN_PID'] == str(os.getpid()), 'fds', os.environ['LISTEN_FDS'], 'names', os.environ['LISTEN_FDNAMES'], flush=True)
print('seccomp', [l.split()[1] for l in open('/proc/self/status') if l.startswith('Seccomp:')], flush=True)
s = socket.socket(fileno=3)
serve(s)",
        )
        .ready();
    instance.says("pid True fds 1 names a\nseccomp ['0']\n");
    assert_eq!(instance.ask().unwrap(), "hello");
    assert_eq!(instance.helpers(), []);
}

/// The kernel makes root the owner of the /proc files of such a process, see `PR_SET_DUMPABLE` in prctl(2). The test looks at
/// the group, because its user is root anyway.
#[test]
fn the_programs_user_cannot_inspect_the_helper() {
    let instance = Stage::on(LOOPBACK)
        .before("set -- setpriv --regid=65534 --clear-groups -- \"$@\"")
        .python(SERVE)
        .ready();
    let group = |pid| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(format!("/proc/{pid}/status"))
            .unwrap()
            .gid()
    };
    assert_eq!(group(instance.pid()), 65534);
    assert_eq!(group(instance.helpers()[0]), 0);
}

#[test]
fn a_program_whose_manager_cannot_be_notified_is_not_started() {
    let mut instance = Stage::on(LOOPBACK)
        .before("export NOTIFY_SOCKET=/nowhere/notify")
        .start(&["echo", "started"]);
    assert_eq!(instance.status(), 226);
    let output = instance.output();
    assert!(
        output.starts_with("<3>rsgen: the unit hides /nowhere/notify, ")
            && !output.contains("started"),
        "{output}"
    );
}

/// Where Yama restricts ptrace(2), the unit gives `CAP_SYS_PTRACE`, which only the helper may keep.
#[test]
fn the_capability_of_the_helper_is_not_passed_on_to_the_program() {
    let sets = |handover: &str| {
        let mut instance = Stage::on(LOOPBACK)
            .argument(format!("--handover={handover}"))
            .argument("--ready=exec")
            .before("set -- setpriv --inh-caps=+sys_ptrace,+kill --ambient-caps=+sys_ptrace,+kill -- \"$@\"")
            .start(&["grep", "-E", "Cap(Inh|Amb)", "/proc/self/status"]);
        assert_eq!(instance.status(), 0, "{}", instance.output());
        let output = instance.output();
        let numbers = output.lines().filter_map(|line| line.split('\t').nth(1));
        let numbers = numbers.map(|number| u64::from_str_radix(number, 16).unwrap());
        numbers.collect::<Vec<_>>()
    };
    let [ptrace, kill] = [1 << 19, 1 << 5];
    let bits = |sets: Vec<u64>| -> Vec<u64> { sets.iter().map(|s| s & (ptrace | kill)).collect() };
    // With `fds` there is no helper, so the program keeps what the unit gives.
    assert_eq!(bits(sets("fds")), [ptrace | kill; 2]);
    assert_eq!(bits(sets("bind")), [kill; 2]);
}

#[test]
fn a_program_that_cannot_be_executed_is_one_line_and_203() {
    for (program, why) in [
        ("/nowhere/server", "No such file or directory (os error 2)"),
        ("no-such-program", "No such file or directory (os error 2)"),
        ("/etc/passwd", "Permission denied (os error 13)"),
        ("/tmp", "Permission denied (os error 13)"),
    ] {
        let mut instance = Stage::on(LOOPBACK).start(&[program]);
        assert_eq!(instance.status(), 203);
        assert_eq!(
            instance.output(),
            format!("<3>rsgen: `{program}` cannot be executed: {why}\n")
        );
        instance.no_helper();
    }
}

#[test]
fn the_program_is_found_in_its_path() {
    let mut instance = Stage::on(LOOPBACK)
        .env("PATH", "/nowhere:/etc:/usr/bin:/bin")
        .start(&["sh", "-c", "exit 6"]);
    assert_eq!(instance.status(), 6);
}

#[test]
fn the_brake_starts_delays_and_gives_up() {
    let deaths = |count: u32, ago: u64| {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
        let last = std::time::Duration::from(now).as_micros() - u128::from(ago) * 1000;
        let stage = Stage::on(LOOPBACK).argument("--max-restarts=3");
        std::fs::create_dir_all(stage.state()).unwrap();
        std::fs::write(
            stage.state().join("0.deaths"),
            format!("{count} {last} trying\nexited with status 1\n"),
        )
        .unwrap();
        stage
    };
    let mut goes = deaths(2, 0).start(&["true"]);
    assert_eq!(goes.status(), 0);

    let start = std::time::Instant::now();
    let mut waits = deaths(1, 0).argument("--backoff=400ms").start(&["true"]);
    assert_eq!(waits.status(), 0);
    assert!(start.elapsed().as_millis() >= 390, "there was no pause");
    let told = waits.notified().unwrap();
    assert!(told.contains("STATUS=waiting"), "{told}");
    let mut lines = told.lines();
    let extended = lines.find_map(|l| l.strip_prefix("EXTEND_TIMEOUT_USEC="));
    let micros: u64 = extended.unwrap().parse().unwrap();
    assert!(
        micros > 30_000_000,
        "systemd is asked for the pause alone: {told}"
    );

    let mut errored = deaths(3, 0).start(&["echo", "started"]);
    assert_eq!(errored.status(), 190);
    let output = errored.output();
    assert!(
        output.starts_with("<3>rsgen: errored after 3 quick deaths in a row, the last: exited with status 1; fix it, then `rsgen reload stage-")
            && output.lines().count() == 1,
        "{output}"
    );
    assert_eq!(errored.helpers(), []);
}

#[test]
fn killed_in_the_middle_of_binds() {
    for round in 0..20 {
        let instance = Stage::on(LOOPBACK).python(
            "
print('go', flush=True)
while True:
    s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen(); s.close()",
        );
        let mut instance = instance.ready();
        testbed::nap(std::time::Duration::from_micros(round * 37));
        instance.signal(Signal::SIGKILL);
        assert_eq!(instance.status(), 128 + 9);
        instance.no_helper();
    }
}

#[test]
fn exec_in_the_middle_of_binds() {
    let mut instance = Stage::on(LOOPBACK)
        .python(
            "
round = int(os.environ.get('ROUND', 0))
def work():
    while True:
        s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen(); s.close()
for _ in range(3): threading.Thread(target=work, daemon=True).start()
select.select([], [], [], 0.01)
if round < 10:
    os.environ['ROUND'] = str(round + 1)
    os.execv(sys.executable, sys.orig_argv)
print('round', round, flush=True)
s = tcp(); s.bind(('127.0.0.1', PORT)); s.listen()
serve(s)",
        )
        .ready();
    instance.says("round 10\n");
    assert_eq!(instance.ask().unwrap(), "hello");
}

#[test]
fn eight_descriptors_are_enough() {
    // The last case is that of an ordinary user, whose helper cannot raise the limit.
    let without = "ulimit -n 8; set -- setpriv --bounding-set -sys_resource \"$@\"";
    for limit in ["ulimit -S -n 8", "ulimit -n 8", without] {
        let mut instance = Stage::on(LOOPBACK)
            .before(limit)
            .python(
                "
import resource
print('limit', resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True)
s = tcp(); e = select.epoll(); e.register(s, select.EPOLLIN)
s.bind(('127.0.0.1', PORT)); s.listen(); e.poll(20)
serve(s)",
            )
            .ready();
        instance.says("limit 8\n");
        assert_eq!(instance.ask().unwrap(), "hello");
    }
}

#[test]
fn the_output_ends_with_the_program() {
    let mut instance = Stage::on(LOOPBACK).python(SERVE).ready();
    let helper = instance.helpers()[0];
    let output = instance.folder().join("output");
    // The helper keeps standard error open for its own lines, so the test does not wait for the end of that.
    let holds = || {
        let links = std::fs::read_dir(format!("/proc/{helper}/fd")).unwrap();
        let paths = links.map(|l| l.unwrap().path());
        paths
            .filter(|p| std::fs::read_link(p).is_ok_and(|l| l == output))
            .count()
    };
    wait_until(SOON, "the helper to let go of standard output", || {
        holds() == 1
    });
    instance.signal(Signal::SIGTERM);
    instance.status();
    wait_until(SOON, "the helper to end", || instance.helpers().is_empty());
}
