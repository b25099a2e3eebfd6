//! `rsgen unit …`: the commands of the units. The subcommand is hidden: people do not type it, and it may change.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::context::Context;
use super::manual::Manual;
use super::subcommand;
use crate::brake::Policy;
use crate::cluster::{self, Cluster, Ended, Stopped};
use crate::ecosystem::values::{Instances, OnFailure, parse_time};
use crate::output::{Failure, Notice};
use crate::unit::Fault;
use crate::unit::name::Units;
use crate::walk::{self, Plan};

/// Run a command of a unit
#[derive(Debug, Args)]
#[command(hide = true)]
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
        #[arg(long, value_parser = time)]
        step_timeout: Option<Duration>,
        #[command(flatten)]
        bound: Bound,
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
        #[command(flatten)]
        bound: Bound,
    },
    /// `ExecStop`= of the cluster unit
    Stop {
        app: String,
        #[command(flatten)]
        bound: Bound,
    },
    /// `ExecStopPost`= of the cluster unit
    Stopped {
        app: String,
        #[command(flatten)]
        bound: Bound,
    },
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

/// What the stop of an instance takes by the app's own bounds.
#[derive(Debug, Args)]
struct Bound {
    #[arg(long, value_parser = time)]
    longest_stop: Option<Duration>,
}

impl Bound {
    /// Units of an older version do not name it; the time-out of their cluster unit is a little above it.
    fn longest_stop(&self, context: &mut Context<'_>, app: &str) -> Result<Duration, Failure> {
        Ok(match self.longest_stop {
            Some(longest) => longest,
            None => {
                context
                    .manager()?
                    .unit(&Units::of(app).cluster())?
                    .stop_timeout
            }
        })
    }
}

/// Units of an older version do not say how long the first instance that serves waits for the others.
const PATIENCE: Duration = Duration::from_mins(10);

// Units write 0 without a unit, which is the one number that needs none.
fn time(text: &str) -> Result<Duration, Fault> {
    if text == "0" {
        Ok(Duration::ZERO)
    } else {
        parse_time(text)
    }
}

impl subcommand::Subcommand for Unit {
    const MANUAL: Manual = Manual::NONE;

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        run(context, self)
    }
}

fn run(context: &mut Context<'_>, arguments: Unit) -> Result<(), Failure> {
    match arguments.step {
        Step::Start {
            app,
            instances,
            step_timeout,
            bound,
        } => {
            let how = cluster::Start {
                wanted: instances.resolve(context.host.cpus),
                longest_stop: bound.longest_stop(context, &app)?,
                patience: step_timeout.unwrap_or(PATIENCE),
            };
            start(context, &app, how)
        }
        Step::Reload {
            app,
            instances,
            surge,
            parallel,
            settle,
            on_failure,
            step_timeout,
            bound,
        } => {
            let longest_stop = bound.longest_stop(context, &app)?;
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
                longest_stop,
                app,
            };
            reload(context, &plan)
        }
        Step::Stop { app, bound } => stop(context, &app, &bound),
        Step::Stopped { app, bound } => stopped(context, &app, &bound),
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

fn cluster(context: &Context<'_>, app: &str) -> Cluster {
    Cluster {
        app: app.to_owned(),
        state: context.layout.state(app),
        scope: context.layout.scope,
    }
}

fn start(context: &mut Context<'_>, app: &str, how: cluster::Start) -> Result<(), Failure> {
    let cluster = cluster(context, app);
    // A stop in the middle of a start is no failure of the cluster.
    crate::sys::exit_on_sigterm();
    let sink = context.sink;
    let ready = cluster::start(context.manager()?, &cluster, how, &mut |line| {
        sink.notice(&Notice::Said(line));
    })
    .map_err(|e| Failure::failed(e.to_string()))?;
    let wanted = how.wanted;
    sink.notice(&Notice::Said(&format!("{ready} of {wanted} serving")));
    Ok(())
}

fn reload(context: &mut Context<'_>, plan: &Plan) -> Result<(), Failure> {
    // A stop in the middle of a walk: what is done is done, nothing more is touched.
    crate::sys::exit_on_sigterm();
    let cluster = cluster(context, &plan.app);
    let sink = context.sink;
    cluster::reload(context.manager()?, &cluster, plan, &mut |line| {
        sink.notice(&Notice::Said(line));
    })
    .map_err(|e| Failure::failed(e.to_string()))
}

fn stop(context: &mut Context<'_>, app: &str, bound: &Bound) -> Result<(), Failure> {
    let cluster = cluster(context, app);
    let longest = bound.longest_stop(context, app)?;
    let sink = context.sink;
    let mut say = |line: &str| sink.notice(&Notice::Said(line));
    match cluster::stop(context.manager()?, &cluster, longest, &mut say)? {
        Stopped::Clean => Ok(()),
        Stopped::Failed(why) => Err(Failure::failed(why)),
    }
}

fn stopped(context: &mut Context<'_>, app: &str, bound: &Bound) -> Result<(), Failure> {
    let cluster = cluster(context, app);
    let longest = bound.longest_stop(context, app)?;
    let sink = context.sink;
    let mut say = |line: &str| sink.notice(&Notice::Said(line));
    Ok(cluster::stopped(
        context.manager()?,
        &cluster,
        longest,
        &mut say,
    )?)
}

fn ended(
    context: &mut Context<'_>,
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
