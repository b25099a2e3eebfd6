# A process of the app's user that tries to inspect the helper: it tries every way on the process in its argument, and prints
# the results.
import ctypes, errno, os, sys

libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
own = sys.argv[1:2] == ["0"]
if own:
    # Without a process it tries its own child, which it may inspect.
    pid = os.fork()
    if pid == 0:
        os.execvp("sleep", ["sleep", "60"])

def says(way, act):
    try:
        act()
        print(way, "works", flush=True)
    except OSError as error:
        print(way, errno.errorcode[error.errno], flush=True)

def checked(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
    return result

class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def read(name):
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        if name != "mem":
            file.read(100)

def peek():
    # Nothing is mapped at this address: `EFAULT` means that reading is allowed, `EPERM` that it is not.
    buffer = ctypes.create_string_buffer(8)
    here, there = Piece(ctypes.addressof(buffer), 8), Piece(8, 8)
    try:
        checked(libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise

PTRACE_SEIZE, PIDFD_GETFD = 0x4206, 438
for name in ("mem", "environ", "maps", "fd", "syscall"):
    says(name, (lambda: os.listdir(f"/proc/{pid}/fd")) if name == "fd" else (lambda: read(name)))
says("pidfd_getfd", lambda: checked(libc.syscall(PIDFD_GETFD, os.pidfd_open(pid), 0, 0)))
says("process_vm_readv", peek)
says("seize", lambda: checked(libc.ptrace(PTRACE_SEIZE, pid, None, None)))
if own:
    os.kill(pid, 9)
