//! The entry point of the programs, and the environment that they were started with.
//!
//! systemd starts the commands of a unit with the environment of the app, even those that run as root. The C
//! library reads variables before `main`: `GLIBC_TUNABLES`, and in a static program `LD_LIBRARY_PATH` and the
//! like for a later dlopen(3). So the kernel enters the programs here, and the C library gets empty strings
//! instead of the variables. The real environment is available as data, from [`environment`].

#![expect(
    unsafe_code,
    reason = "the first instructions of a program, and the strings that the kernel left on its stack"
)]

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The first string of the environment. execve(2) stores the strings one after the other, see
/// `create_elf_tables` in `fs/binfmt_elf.c` of the kernel.
#[unsafe(no_mangle)]
static RSGEN_ENVIRONMENT: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());
/// The number of strings of the environment.
#[unsafe(no_mangle)]
static RSGEN_VARIABLES: AtomicUsize = AtomicUsize::new(0);
/// The string that the C library gets instead of each variable.
#[unsafe(no_mangle)]
static RSGEN_NOTHING: [u8; 1] = [0];

// The stack has the number of arguments, the arguments, a null, the variables, a null, see "Initial Process Stack"
// in the ABI of each architecture. The code changes neither the stack pointer nor a register that `_start` reads
// (`rdx` and `x0`). It addresses its data relative to the instruction, because the program is not relocated yet.
// The number of variables stays the same, because the C library finds the auxiliary vector after them.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl rsgen_entry",
    ".type rsgen_entry, @function",
    "rsgen_entry:",
    "mov rcx, [rsp]",
    "lea rdi, [rsp + 8*rcx + 16]",
    "mov rax, [rdi]",
    "mov [rip + {environment}], rax",
    "lea rsi, [rip + {nothing}]",
    "xor ecx, ecx",
    "2:",
    "cmp qword ptr [rdi + 8*rcx], 0",
    "je 3f",
    "mov [rdi + 8*rcx], rsi",
    "inc rcx",
    "jmp 2b",
    "3:",
    "mov [rip + {variables}], rcx",
    "xor eax, eax",
    "xor ecx, ecx",
    "xor esi, esi",
    "xor edi, edi",
    "jmp _start",
    environment = sym RSGEN_ENVIRONMENT,
    variables = sym RSGEN_VARIABLES,
    nothing = sym RSGEN_NOTHING,
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".globl rsgen_entry",
    ".type rsgen_entry, @function",
    "rsgen_entry:",
    "ldr x9, [sp]",
    "add x10, sp, x9, lsl 3",
    "add x10, x10, 16",
    "ldr x11, [x10]",
    "adrp x12, {environment}",
    "add x12, x12, :lo12:{environment}",
    "str x11, [x12]",
    "adrp x13, {nothing}",
    "add x13, x13, :lo12:{nothing}",
    "mov x14, 0",
    "2:",
    "ldr x11, [x10, x14, lsl 3]",
    "cbz x11, 3f",
    "str x13, [x10, x14, lsl 3]",
    "add x14, x14, 1",
    "b 2b",
    "3:",
    "adrp x12, {variables}",
    "add x12, x12, :lo12:{variables}",
    "str x14, [x12]",
    "b _start",
    environment = sym RSGEN_ENVIRONMENT,
    variables = sym RSGEN_VARIABLES,
    nothing = sym RSGEN_NOTHING,
);

/// A variable and its value.
pub type Variable = (OsString, OsString);

/// The environment that this process was started with. The libraries of this process do not see these variables.
#[must_use]
pub fn environment() -> Vec<Variable> {
    strings().into_iter().filter_map(variable).collect()
}

/// The value of one variable of [`environment`].
#[must_use]
pub fn value(name: &str) -> Option<OsString> {
    let own = environment().into_iter().find(|(key, _)| key == name);
    own.map(|(_, value)| value)
}

fn variable(string: &OsStr) -> Option<Variable> {
    let bytes = string.as_bytes();
    let at = bytes.iter().position(|b| *b == b'=')?;
    let (key, value) = bytes.split_at(at);
    let value = value.get(1..)?;
    Some((
        OsStr::from_bytes(key).to_owned(),
        OsStr::from_bytes(value).to_owned(),
    ))
}

fn strings() -> Vec<&'static OsStr> {
    let mut next = RSGEN_ENVIRONMENT.load(Ordering::Relaxed).cast_const();
    let count = RSGEN_VARIABLES.load(Ordering::Relaxed);
    let mut found = Vec::new();
    for _ in 0..count {
        // SAFETY: the kernel has stored `count` strings there, each with its terminating null, and nothing in this process
        // writes to them.
        let string = unsafe { CStr::from_ptr(next) };
        found.push(OsStr::from_bytes(string.to_bytes()));
        // SAFETY: as above; after the last string is the name of the program's file, which is not read.
        next = unsafe { next.add(string.count_bytes() + 1) };
    }
    found
}

/// Makes a variable visible to the libraries of this process. Only at the beginning of a program, while it
/// has one thread, see setenv(3).
pub fn tell(name: &str, value: &OsStr) {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    // SAFETY: called at the beginning of `main`, before there is a second thread.
    unsafe {
        std::env::set_var(name, value);
    }
}
