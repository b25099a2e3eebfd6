//! Tests of the Ansible collection on a fleet: machines with sshd behind a load balancer.

#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test that looks beyond the end, or cannot go on, has failed"
)]

mod fleet;
mod one_host;
mod rights;
mod rolling;
mod secrets;
