//! Another process: its descriptors, epoll sets and threads, the unit that it belongs to, and the manager of that unit.
//!
//! The worker and the drain share this room. The program that they inspect may be hostile: nothing here
//! trusts that a PID still belongs to the same process, or that a text of /proc contains only what the kernel
//! chose. This room does not decide the fate of a socket; the worker and the drain do.

pub(crate) mod address;
mod bus;
pub(crate) mod control_group;
pub(crate) mod descriptors;
pub(crate) mod epoll;
pub(crate) mod filters;
pub(crate) mod manager;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod registers;
pub(crate) mod stopping;
pub(crate) mod tracee;
pub(crate) mod vdso;
pub(crate) mod yama;
