//! Machines with a real systemd, and load, for the tests of rsgen.
//!
//! [`Machine`] is a complete Debian system, which boots in about a second; [`Load`] is traffic that it has to serve
//! meanwhile; [`runner`] runs specs, each on a fresh machine of every [`Release`]. Everything here reports errors by
//! panicking, which makes the spec fail. Nothing here ever uses the systemd of the host.

mod balance;
pub mod docs;
mod keeper;
mod lanes;
mod layers;
pub mod load;
mod machine;
mod network;
mod output;
pub mod packages;
mod poll;
mod profile;
mod release;
pub mod runner;
mod systemctl;
pub mod unit;

pub use load::{Load, Loss, Report, Traffic};
pub use machine::{Machine, PowerLoss};
pub use network::Network;
pub use output::{Output, Running};
pub use poll::{nap, wait_for, wait_until};
pub use release::{Release, build_dir, machines_dir, target_dir};
