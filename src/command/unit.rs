//! `rsgen unit …`: what the units themselves run. Not for people: hidden, and free to change.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::cluster;
use crate::ecosystem::values::{Instances, OnFailure, parse_time};
use crate::output::Failure;

/// Arguments of `rsgen unit`.
#[derive(Debug, Args)]
pub(super) struct Unit {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// ExecStart= of the cluster unit
    Start {
        app: String,
        #[arg(long, allow_hyphen_values = true)]
        instances: Instances,
    },
    /// ExecReload= of the cluster unit
    Reload {
        app: String,
        #[arg(long, allow_hyphen_values = true)]
        instances: Instances,
        #[arg(long)]
        surge: u32,
        #[arg(long)]
        parallel: u32,
        #[arg(long, value_parser = time)]
        settle: Duration,
        #[arg(long)]
        on_failure: OnFailure,
        #[arg(long, value_parser = time)]
        step_timeout: Duration,
    },
    /// ExecStop= of the cluster unit
    Stop { app: String },
    /// ExecStopPost= of the cluster unit
    Stopped { app: String },
    /// ExecStopPost= of an instance
    Ended {
        app: String,
        number: u32,
        #[arg(long, value_parser = time)]
        min_uptime: Duration,
        #[arg(long)]
        max_restarts: u32,
    },
}

// Units write 0 without a unit, which is the one number that needs none.
fn time(text: &str) -> Result<Duration, String> {
    if text == "0" {
        Ok(Duration::ZERO)
    } else {
        parse_time(text)
    }
}

pub(super) fn run(_context: &mut Context, arguments: Unit) -> Result<(), Failure> {
    let _ = arguments.step;
    Err(Failure::failed("not wired"))
}
