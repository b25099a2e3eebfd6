//! The facts that are read of another process.

use std::time::Duration;

use super::*;

fn own() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

#[test]
fn this_process_sees_its_own_sockets_and_threads() {
    let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
    let fd = a.as_raw_fd();
    let own = Process::of_test(own()).unwrap();
    let socket = own.sockets().into_iter().find(|s| s.fd == fd).unwrap();
    assert!(own.closes_on_exec(fd) && own.socket(socket).is_ok());
    assert!(!own.threads().is_empty());
    // The program may have used the number for another socket since.
    let other = Socket { inode: 1, ..socket };
    assert!(own.socket(other).is_err());
}

#[test]
fn a_process_of_another_unit_is_refused() {
    assert!(Process::open(own(), &ControlGroup::of_test(Path::new("/nowhere"))).is_err());
    let group = ControlGroup::of_this_process();
    assert!(Process::open(own(), &group).is_ok());
}

#[test]
fn a_thread_of_another_process_is_not_owned() {
    let group = ControlGroup::of_this_process();
    let process = Process::open(own(), &group).unwrap();
    assert!(process.owns(own(), &group));
    let mut other = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    assert!(!process.owns(i32::try_from(other.id()).unwrap(), &group));
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn nothing_is_read_of_a_process_that_is_gone() {
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let process = Process::of_test(i32::try_from(child.id()).unwrap()).unwrap();
    // While the child's program is read from the disk, the child is in uninterruptible sleep, and has no thread to stop.
    let has_threads = || !process.threads().is_empty();
    testbed::wait_until(Duration::from_secs(10), "a thread", has_threads);
    assert!(process.is_alive());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(process.threads().is_empty() && process.text("status").is_empty());
    assert!(!process.is_alive());
}
