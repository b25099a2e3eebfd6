//! Sockets that have a file, and what programs do to the file around bind.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::instance::exchange;
use crate::stage::Stage;

/// A stage with a unix listener in its folder, whose path is in the variable `FILE`.
fn on_file() -> (Stage, std::path::PathBuf) {
    let stage = Stage::bare();
    let path = stage.folder().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (stage.socket(&listener).env("FILE", &path), path)
}

#[test]
fn a_socket_file_by_node() {
    let (stage, path) = on_file();
    let _instance = stage
        .node("require('http').createServer((q, a) => a.end('by file')).listen(process.env.FILE)")
        .ready();
    let mut stream = UnixStream::connect(path).unwrap();
    assert_eq!(exchange(&mut stream).unwrap(), "by file");
}

#[test]
fn a_socket_file_by_another_path_to_it() {
    let (stage, path) = on_file();
    let link = path.with_file_name("link");
    std::os::unix::fs::symlink(path.parent().unwrap(), &link).unwrap();
    let mut instance = stage
        .python(
            "
folder, name = os.path.split(os.environ['FILE'])
s = socket.socket(socket.AF_UNIX); says('link', lambda: s.bind(f'{folder}/link/{name}')); s.close()
os.chdir(folder)
s = socket.socket(socket.AF_UNIX); says('dot', lambda: s.bind('./' + name)); s.close()
s = socket.socket(socket.AF_UNIX); says('relative', lambda: s.bind(name))
t = socket.socket(socket.AF_UNIX); says('other', lambda: t.bind('other.sock'))
t = socket.socket(socket.AF_UNIX); says('abstract', lambda: t.bind('\\0abstract' + str(os.getpid())))
t = socket.socket(socket.AF_UNIX); says('nameless', lambda: t.bind(''))
s.listen(); serve(s)",
        )
        .ready();
    instance.says("link ok\ndot ok\nrelative ok\nother ok\nabstract ok\nnameless ok\n");
    let mut stream = UnixStream::connect(path).unwrap();
    assert_eq!(exchange(&mut stream).unwrap(), "hello");
}

/// The calls of gunicorn, uvicorn, asyncio and Node around bind, by a program that may not make them.
#[test]
fn a_socket_file_stays_whatever_the_program_does_to_it() {
    let (stage, path) = on_file();
    let folder = path.parent().unwrap();
    std::os::unix::fs::chown(folder, Some(33), Some(33)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let before = path.metadata().unwrap();
    let mut instance = stage
        .python(
            "
folder, name = os.path.split(FILE := os.environ['FILE'])
folder = os.open(folder, os.O_PATH)
open(FILE + '.own', 'w').close()
os.chown(FILE + '.own', 33, 33)
os.setgid(33); os.setuid(33)
says('unlink', lambda: os.unlink(FILE))
says('unlinkat', lambda: os.unlink(name, dir_fd=folder))
s = socket.socket(socket.AF_UNIX); says('bind', lambda: s.bind(FILE))
says('chown', lambda: os.chown(FILE, 33, 33))
says('lchown', lambda: os.lchown(FILE, 33, 33))
says('fchown', lambda: os.fchown(s.fileno(), 33, 33))
says('chmod', lambda: os.chmod(FILE, 0o777))
says('fchmod', lambda: os.fchmod(s.fileno(), 0o600))
says('fchmodat', lambda: os.chmod(name, 0o666, dir_fd=folder))
says('narrow', lambda: os.chmod(FILE, 0o660))
says('rmdir', lambda: os.rmdir(FILE))
says('other chmod', lambda: os.chmod(FILE + '.own', 0o600))
says('other chown', lambda: os.chown(FILE + '.own', 0, 0))
says('other unlink', lambda: os.unlink(FILE + '.own'))
says('missing', lambda: os.unlink(FILE + '.own'))
s.listen(); serve(s)",
        )
        .ready();
    instance.says(
        "unlink ok\nunlinkat ok\nbind ok\nchown ok\nlchown ok\nfchown ok\nchmod ok\nfchmod ok\nfchmodat ok\n",
    );
    instance.says("narrow EPERM\nrmdir ENOTDIR\nother chmod ok\nother chown EPERM\nother unlink ok\nmissing ENOENT\n");
    instance.says(&format!(
        "<4>rsgen: the program tries to set the mode 0660 of `{}`, a file of systemd with mode 0666; write `socket.SocketMode = \"0660\"`",
        path.display()
    ));
    let after = path.metadata().unwrap();
    let facts = |m: &std::fs::Metadata| (m.ino(), m.uid(), m.mode());
    assert_eq!(facts(&after), facts(&before));
    let mut stream = UnixStream::connect(path).unwrap();
    assert_eq!(exchange(&mut stream).unwrap(), "hello");
}

/// chroot(2) leads a path to another file.
#[test]
fn a_file_in_a_program_s_own_root_is_not_taken_for_that_of_the_socket() {
    let (stage, path) = on_file();
    let mut instance = stage
        .python(
            "
folder, name = os.path.split(FILE := os.environ['FILE'])
s = socket.socket(socket.AF_UNIX); s.bind(FILE)
if os.fork() == 0:
    jail = folder + '/jail'
    os.makedirs(jail + folder)
    open(jail + FILE, 'w').close()
    says('outside', lambda: os.unlink(FILE))
    os.chroot(jail); os.chdir('/')
    says('inside', lambda: os.unlink(FILE))
    says('again', lambda: os.unlink(FILE))
    os._exit(0)
os.wait()
s.listen(); serve(s)",
        )
        .ready();
    instance.says("outside ok\ninside ok\nagain ENOENT\n");
    let mut stream = UnixStream::connect(path).unwrap();
    assert_eq!(exchange(&mut stream).unwrap(), "hello");
}

#[test]
fn whose_socket_file_it_is_sets_its_mode() {
    let (stage, path) = on_file();
    let mut instance = stage
        .python(
            "
FILE = os.environ['FILE']
s = socket.socket(socket.AF_UNIX); s.bind(FILE)
says('chmod', lambda: os.chmod(FILE, 0o640))
s.listen(); serve(s)",
        )
        .ready();
    instance.says("chmod ok");
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn a_socket_file_that_somebody_else_removes_is_an_error() {
    let (stage, path) = on_file();
    let mut instance = stage.python(
        "
signal.signal(signal.SIGUSR1, lambda *_: None)
print('begun', flush=True)
signal.pause()
s = socket.socket(socket.AF_UNIX); says('bind', lambda: s.bind(os.environ['FILE']))
signal.pause()",
    );
    instance.says("begun");
    std::fs::remove_file(&path).unwrap();
    instance.signal(nix::sys::signal::Signal::SIGUSR1);
    instance.says("bind EADDRNOTAVAIL");
    instance.says(&format!(
        "<3>rsgen: `{}` was removed, and no client can reach it; see that nothing removes it",
        path.display()
    ));
    assert_eq!(instance.status(), 128 + 9);
}

// A sandbox may hide /tmp or a home folder from the worker, while clients see the socket file there.
#[test]
fn a_socket_file_that_is_gone_before_the_start_is_an_error() {
    let folder = tempfile::tempdir_in("/run").unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut instance = Stage::bare().socket(&listener).start(&["echo", "started"]);
    assert_eq!(instance.status(), 1);
    instance.says(&format!("<3>rsgen: `{}` was removed, ", path.display()));
    assert!(!instance.output().contains("started"));
}
