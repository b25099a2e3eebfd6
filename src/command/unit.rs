//! `rsgen unit …`: what the units themselves run. Not for people: hidden, and free to change.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::brake::Policy;
use crate::cluster::{self, Cluster, Ended, Stopped};
use crate::ecosystem::values::{Instances, OnFailure, parse_time};
use crate::output::Failure;
use crate::walk::{self, Plan};

/// Arguments of `rsgen unit`.
#[derive(Debug, Args)]
pub(super) struct Unit {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// `ExecStart`= of the cluster unit
    Start {
        app: String,
        #[arg(long, allow_hyphen_values = true)]
        instances: Instances,
    },
    /// `ExecReload`= of the cluster unit
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
    /// `ExecStop`= of the cluster unit
    Stop { app: String },
    /// `ExecStopPost`= of the cluster unit
    Stopped { app: String },
    /// `ExecStopPost`= of an instance
    Ended {
        app: String,
        number: u32,
        #[arg(long, value_parser = time)]
        min_uptime: Duration,
        #[arg(long)]
        max_restarts: u32,
        #[arg(long, action = clap::ArgAction::Set)]
        autorestart: bool,
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

pub(super) fn run(context: &mut Context, arguments: Unit) -> Result<(), Failure> {
    match arguments.step {
        Step::Start { app, instances } => start(context, &app, instances),
        Step::Reload {
            app,
            instances,
            surge,
            parallel,
            settle,
            on_failure,
            step_timeout,
        } => {
            let plan = Plan {
                instances: instances.resolve(context.host.cpus),
                canary: surge > 0,
                parallel,
                settle,
                on_failure: match on_failure {
                    OnFailure::Abort => walk::OnFailure::Abort,
                    OnFailure::Restart => walk::OnFailure::Restart,
                },
                step: step_timeout,
                app,
            };
            reload(context, &plan)
        }
        Step::Stop { app } => stop(context, &app),
        Step::Stopped { app } => {
            let cluster = cluster(context, &app);
            Ok(cluster::stopped(context.manager()?, &cluster)?)
        }
        Step::Ended {
            app,
            number,
            min_uptime,
            max_restarts,
            autorestart,
        } => {
            let policy = Policy {
                min_uptime,
                max_restarts,
                backoff: None,
            };
            ended(context, &app, number, autorestart, &policy)
        }
    }
}

fn cluster(context: &Context, app: &str) -> Cluster {
    Cluster {
        app: app.to_owned(),
        state: context.layout.state(app),
        scope: context.layout.scope,
    }
}

fn start(context: &mut Context, app: &str, instances: Instances) -> Result<(), Failure> {
    let cluster = cluster(context, app);
    let wanted = instances.resolve(context.host.cpus);
    // A stop in the middle of a start is no failure of the cluster.
    crate::sys::exit_on_sigterm();
    let printer = context.printer;
    let ready = cluster::start(context.manager()?, &cluster, wanted, &mut |line| {
        printer.line(line);
    })
    .map_err(|e| Failure::failed(e.to_string()))?;
    context.printer.line(format!("{ready} of {wanted} serving"));
    Ok(())
}

fn reload(context: &mut Context, plan: &Plan) -> Result<(), Failure> {
    // A stop in the middle of a walk: what is done is done, nothing more is touched.
    crate::sys::exit_on_sigterm();
    let cluster = cluster(context, &plan.app);
    let printer = context.printer;
    cluster::reload(context.manager()?, &cluster, plan, &mut |line| {
        printer.line(line);
    })
    .map_err(|e| Failure::failed(e.to_string()))
}

fn stop(context: &mut Context, app: &str) -> Result<(), Failure> {
    let cluster = cluster(context, app);
    match cluster::stop(context.manager()?, &cluster)? {
        Stopped::Clean => Ok(()),
        Stopped::Failed(why) => Err(Failure::failed(why)),
    }
}

fn ended(
    context: &mut Context,
    app: &str,
    number: u32,
    autorestart: bool,
    policy: &Policy,
) -> Result<(), Failure> {
    let cluster = cluster(context, app);
    let end = Ended {
        number,
        autorestart,
    };
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default();
    Ok(cluster::ended(
        context.manager()?,
        &cluster,
        end,
        policy,
        now,
    )?)
}
