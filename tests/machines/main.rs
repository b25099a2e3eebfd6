//! Everything that must hold on machines with a real systemd, as a list of specs; see `testbed::runner`.

#![expect(
    clippy::indexing_slicing,
    reason = "a spec that looks beyond the end has failed"
)]

mod asked;
mod balance;
mod between;
mod by_source;
mod cluster;
mod crash;
mod datagrams;
mod deploy;
mod directives;
mod docs;
mod drain;
mod edit;
mod ends;
mod entrance;
mod env_files;
mod environment;
mod exposure;
mod faults;
mod first;
mod from_pm2;
mod group;
mod harness;
mod health;
mod hostile;
mod init;
mod install;
mod interrupted;
mod jobs;
mod logs;
mod monit;
mod moving;
mod newcomer;
mod own;
mod owner;
mod packaged;
mod packages;
mod pause;
mod polkit;
mod portless;
mod power;
mod programs;
mod prometheus;
mod prune;
mod recycle;
mod rehearsal;
mod release;
mod reload;
mod remote;
mod sandbox;
mod schedule;
mod see;
mod seldom;
mod shown;
mod sizing;
mod specs;
mod state;
mod tracing;
mod trouble;
mod truth;
mod twelve;
mod unmet;
mod user;
mod values;
mod versions;
mod watch;
mod yama;

use std::process::ExitCode;

fn main() -> ExitCode {
    testbed::runner::main(&specs::all())
}
