//! Another process: its descriptors, epoll sets and threads, and the unit that it belongs to.
//!
//! What the worker and the drain both need to know about a process that is not oneself.

pub mod address;
pub(crate) mod caller;
pub(crate) mod descriptors;
pub(crate) mod epoll;
pub(crate) mod process;
pub(crate) mod registers;
pub(crate) mod tracee;
pub(crate) mod unit;
