# Traces a process like a debugger, until the process is gone.
import ctypes, os, sys, time

PTRACE_SEIZE = 0x4206
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
pid = int(sys.argv[1])
assert libc.ptrace(PTRACE_SEIZE, pid, 0, 0) == 0, os.strerror(ctypes.get_errno())
while True:
    _, status = os.waitpid(pid, 0x40000000)
    if not os.WIFSTOPPED(status):
        break
    # PTRACE_CONT, with the signal that has stopped the process.
    libc.ptrace(7, pid, 0, os.WSTOPSIG(status) if status >> 16 == 0 else 0)
