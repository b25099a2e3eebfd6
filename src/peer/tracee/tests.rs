//! Tests with programs that every machine has.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testbed::{wait_for, wait_until};

use nix::sys::signal::{Signal, kill};

use super::*;
use crate::peer::vdso::call_site;

fn process(child: &Child) -> Process {
    Process::of_test(i32::try_from(child.id()).unwrap()).unwrap()
}

fn stop<'a>(process: &'a Process, child: &Child) -> Tracee<'a> {
    Tracee::stop(process, &ControlGroup::of_this_process(), &thread(child)).unwrap()
}

fn thread(child: &Child) -> Thread {
    let process = process(child);
    wait_for(Duration::from_secs(10), "a thread to trace", || {
        process.threads().pop()
    })
}

/// A program that waits for input, which it repeats.
fn cat() -> Child {
    let cat = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(Duration::from_secs(10), "cat to read", || {
        thread(&cat).waits.is_some_and(|(n, _)| n == libc::SYS_read)
    });
    cat
}

fn write(cat: &mut Child, text: &str) {
    let input = cat.stdin.as_mut().unwrap();
    input.write_all(text.as_bytes()).unwrap();
}

/// Closes the input of the program, and returns everything that it has repeated.
fn end(cat: Child) -> String {
    let ended = cat.wait_with_output().unwrap();
    assert!(ended.status.success());
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn a_stopped_thread_makes_our_calls_and_goes_on_with_its_own() {
    let mut cat = cat();
    let process = process(&cat);
    for _ in 0..3 {
        let mut tracee = stop(&process, &cat);
        let site = call_site(&process).unwrap();
        let pid = tracee.call(site, libc::SYS_getpid, [0; 6]).unwrap();
        assert_eq!(pid, u64::from(cat.id()));
        let refused = tracee.call(site, libc::SYS_close, [9999, 0, 0, 0, 0, 0]);
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EBADF));
        tracee.release().unwrap();
    }
    write(&mut cat, "still here");
    assert_eq!(end(cat), "still here");
}

/// A thread that was released in the middle of our call would run on with our registers, and without its filters.
#[test]
fn a_call_that_lasts_is_ended_before_the_thread_goes_on() {
    let mut cat = cat();
    let process = process(&cat);
    let mut tracee = stop(&process, &cat);
    let site = call_site(&process).unwrap();
    let lasting = tracee.call(site, libc::SYS_ppoll, [0; 6]);
    assert_eq!(lasting.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let pid = tracee.call(site, libc::SYS_getpid, [0; 6]).unwrap();
    assert_eq!(pid, u64::from(cat.id()));
    assert!(tracee.call(site, libc::SYS_ppoll, [0; 6]).is_err());
    tracee.release().unwrap();
    write(&mut cat, "still here");
    assert_eq!(end(cat), "still here");
}

/// The program is stopped at its next read(2), which succeeds after the release.
#[test]
fn a_thread_is_stopped_when_it_is_about_to_make_a_call() {
    let mut cat = cat();
    let process = process(&cat);
    let reads = |number, [fd, ..]: [u64; 6]| number == libc::SYS_read && fd == 0;
    for text in ["one ", "two"] {
        let mut tracee = stop(&process, &cat);
        assert!(!tracee.run_to(|_, _| false).unwrap());
        tracee.release().unwrap();
        let mut tracee = stop(&process, &cat);
        assert!(tracee.run_to(reads).unwrap());
        let site = call_site(&process).unwrap();
        let pid = tracee.call(site, libc::SYS_getpid, [0; 6]).unwrap();
        assert_eq!(pid, u64::from(cat.id()));
        tracee.release().unwrap();
        write(&mut cat, text);
    }
    assert_eq!(end(cat), "one two");
}

#[test]
fn a_signal_is_delivered_after_the_release() {
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    wait_until(Duration::from_secs(10), "sleep to sleep", || {
        thread(&sleeper).waits.is_some()
    });
    let process = process(&sleeper);
    let mut tracee = stop(&process, &sleeper);
    let site = call_site(&process).unwrap();
    tracee.call(site, libc::SYS_getpid, [0; 6]).unwrap();
    kill(tracee.tid, Signal::SIGUSR1).unwrap();
    tracee.call(site, libc::SYS_getpid, [0; 6]).unwrap();
    tracee.release().unwrap();
    let ended = sleeper.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&ended);
    assert_eq!(signal, Some(libc::SIGUSR1));
}

#[test]
fn a_sigstop_in_the_middle_of_a_call_takes_effect_after_the_release() {
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    wait_until(Duration::from_secs(10), "sleep to sleep", || {
        thread(&sleeper).waits.is_some()
    });
    let process = process(&sleeper);
    let mut tracee = stop(&process, &sleeper);
    let tid = tracee.tid;
    let site = call_site(&process).unwrap();
    tracee.call(site, libc::SYS_getpid, [0; 6]).unwrap();
    kill(tid, Signal::SIGSTOP).unwrap();
    tracee.call(site, libc::SYS_getpid, [0; 6]).unwrap();
    tracee.release().unwrap();
    wait_until(Duration::from_secs(10), "sleep to be stopped", || {
        state(tid).starts_with('T')
    });
    kill(tid, Signal::SIGKILL).unwrap();
    sleeper.wait().unwrap();
}

fn state(tid: Pid) -> String {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status"));
    procfs::field(&status.unwrap(), "State:")
        .unwrap()
        .to_owned()
}

/// glibc and programs with POSIX timers use real-time signals, and wait for them.
#[test]
fn a_pending_real_time_signal_is_delivered() {
    let script = "trap 'kill $!; exit 7' RTMIN+3; sleep 60 & wait";
    let mut sleeper = Command::new("bash").args(["-c", script]).spawn().unwrap();
    wait_until(Duration::from_secs(10), "bash to wait", || {
        thread(&sleeper)
            .waits
            .is_some_and(|(n, _)| n == libc::SYS_wait4)
    });
    let sleeping = thread(&sleeper);
    let tid = Pid::from_raw(sleeping.tid);
    trace::seize(tid, Options::PTRACE_O_TRACESYSGOOD).unwrap();
    let sent = Command::new("kill")
        .args(["-s", "RTMIN+3", &sleeper.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    wait_until(Duration::from_secs(10), "the signal to be pending", || {
        state(tid).starts_with('t')
    });
    let process = process(&sleeper);
    trace::interrupt(tid).unwrap();
    stops::wait_stopped(tid).unwrap();
    Tracee::begin(&process, tid, &sleeping)
        .and_then(Tracee::release)
        .unwrap();
    assert_eq!(sleeper.wait().unwrap().code(), Some(7));
}

/// A thread on a machine with too few processors, for instance.
#[test]
fn a_thread_that_stopped_too_late_is_stopped_at_the_next_attempt() {
    let mut cat = cat();
    let process = process(&cat);
    let late = thread(&cat);
    // The state in which an attempt leaves a thread that it gave up on.
    trace::seize(Pid::from_raw(late.tid), OPTIONS).unwrap();
    trace::interrupt(Pid::from_raw(late.tid)).unwrap();
    let mut tracee = Tracee::stop(&process, &ControlGroup::of_this_process(), &late).unwrap();
    let site = call_site(&process).unwrap();
    let parent = tracee.call(site, libc::SYS_getppid, [0; 6]).unwrap();
    assert_eq!(parent, u64::from(std::process::id()));
    tracee.release().unwrap();
    write(&mut cat, "goes on");
    assert_eq!(end(cat), "goes on");
}

/// A thread with the expected number, but of another process than the one that was inspected.
#[test]
fn a_thread_of_another_process_is_released_unchanged() {
    let mut cat = cat();
    let mut gone = Command::new("true").spawn().unwrap();
    let process = process(&gone);
    gone.wait().unwrap();
    let refused = Tracee::stop(&process, &ControlGroup::of_this_process(), &thread(&cat));
    assert_eq!(refused.err().unwrap().raw_os_error(), Some(libc::ESRCH));
    write(&mut cat, "untouched");
    assert_eq!(end(cat), "untouched");
}

/// A program can write its own call into its vDSO. That call is never made.
#[test]
fn an_instruction_that_makes_another_call_makes_none() {
    let cat = cat();
    let process = process(&cat);
    let mut tracee = stop(&process, &cat);
    let site = call_site(&process).unwrap();
    let wanted = tracee.call(site, libc::SYS_getppid, [0; 6]).unwrap();
    // Starts behind the instruction, so that the next call is another one, as if another thread had changed the code.
    let refused = tracee.call(site.wrapping_add(SYSCALL_LENGTH), libc::SYS_getppid, [0; 6]);
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(
        tracee.call(site, libc::SYS_getppid, [0; 6]).unwrap(),
        wanted
    );
    tracee.release().unwrap();
    assert_eq!(end(cat), "");
}

#[test]
fn an_instruction_that_cannot_be_executed_is_an_error_at_once() {
    let cat = cat();
    let process = process(&cat);
    let mut tracee = stop(&process, &cat);
    let began = Instant::now();
    assert!(tracee.call(0x1000, libc::SYS_getpid, [0; 6]).is_err());
    assert!(began.elapsed() < PATIENCE);
    tracee.release().unwrap();
    assert_eq!(end(cat), "");
}
