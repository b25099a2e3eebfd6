//! Machines with a real systemd, and load, for the tests of rsgen.
//!
//! [`Machine`] is a whole Debian of its own, booted in about a second; [`Load`] is the traffic it
//! has to serve meanwhile; [`runner`] runs specs, each on a fresh machine of every [`Release`].
//! Everything here reports by panicking, for it is the spec that fails then. Nothing here ever
//! touches the systemd of the host.

pub mod docs;
mod keeper;
pub mod load;
mod machine;
mod network;
mod output;
pub mod packages;
mod poll;
mod release;
pub mod runner;
mod systemctl;
pub mod unit;

pub use load::{Load, Traffic};
pub use machine::{Machine, PowerLoss};
pub use network::Network;
pub use output::{Output, Running};
pub use poll::{nap, wait_for, wait_until};
pub use release::{Release, build_dir, machines_dir, target_dir};
