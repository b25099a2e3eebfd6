//! The Ansible collection on a fleet: machines with sshd behind HAProxy, and playbooks from outside.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that looks beyond the end has failed"
)]

mod fleet;
mod one_host;
mod rolling;
