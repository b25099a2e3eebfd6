//! Another process: its descriptors, epoll sets and threads, the unit that it belongs to, and the manager of that.
//!
//! What the worker and the drain both have to know about a process that is not oneself. The program may be hostile:
//! nothing here takes a number for a process, or a text of /proc for more than the kernel wrote. This room decides nothing
//! about sockets; that is for the worker and the drain.

pub(crate) mod address;
pub(crate) mod control_group;
pub(crate) mod descriptors;
pub(crate) mod epoll;
pub(crate) mod filters;
pub(crate) mod manager;
pub(crate) mod process;
pub(crate) mod registers;
pub(crate) mod tracee;
pub(crate) mod vdso;
pub(crate) mod yama;
