//! The rooms of rsgen; ARCHITECTURE.md draws them and says who may import whom.
//!
//! Data flows one way: `ecosystem → plan → generate`, and for a reload
//! `command → systemd → (in the cluster unit) cluster → walk → systemd`.

pub mod balance;
pub mod begin;
pub mod brake;
pub mod cluster;
pub mod command;
pub mod contract;
pub mod drain;
pub mod ecosystem;
pub mod generate;
pub mod health;
pub mod import;
pub mod journal;
pub mod layout;
mod log;
pub mod output;
pub mod peer;
pub mod plan;
pub mod procfs;
pub mod record;
pub mod state;
pub mod sys;
pub mod systemd;
pub mod unit;
pub mod visible;
pub mod walk;
pub mod watch;
pub mod worker;
