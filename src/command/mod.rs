//! The command line: each subcommand has a file and a row in the list below.

mod accepting;
mod apply;
mod asks;
mod balance;
mod by_unit;
mod calendar;
mod connections;
mod context;
mod controllers;
mod course;
mod deployment;
mod descendants;
mod editor;
mod failed;
mod findings;
mod follow;
mod foreign_options;
mod gone;
mod half_open;
mod held;
mod hint;
mod holders;
mod host_probe;
mod input;
mod jobs;
mod kept;
mod last_words;
mod ledger;
mod limits;
mod line;
mod link;
mod locate;
mod manual;
mod missing;
mod namesake;
mod node;
mod number;
mod of_user;
mod options;
mod order;
mod outcome;
mod outlast;
mod overview;
mod passage;
mod paused;
mod picture;
mod port_owner;
mod power;
mod preparation;
mod prune;
mod rates;
mod rehearse;
mod released;
mod reloaded;
mod remarks;
mod remote;
mod resize;
mod retyped;
mod revision;
mod rows;
mod scaled;
mod scrape;
mod script;
mod selection;
mod serving;
mod several;
mod single;
mod socket_files;
mod state;
mod status;
mod steps;
mod subcommand;
mod surplus;
mod survey;
mod tail;
mod targets;
#[cfg(test)]
mod tests;
mod times;
mod trial;
mod unapplied;
mod unsupported;
mod waiting;
mod walked;
mod words;
mod writing;

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use context::Context;
use manual::{CommandLine, Manual};
use of_user::OfUser;
use options::Global;
use remote::{Host, Remote};
use subcommand::Subcommand;

use crate::begin;
use crate::output::{self, Exit, Failure, Sink};
use crate::visible::Visible;

/// Declares, for each subcommand, its file and the type in that file. The file is named after the subcommand.
macro_rules! subcommands {
    ($($file:ident::$Type:ident,)*) => {
        $(mod $file;)*

        #[derive(Debug, clap::Subcommand)]
        enum Command {
            $(#[command(name = stringify!($file))] $Type($file::$Type),)*
        }

        impl Command {
            fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
                match self {
                    $(Self::$Type(subcommand) => {
                        context.command = stringify!($file);
                        subcommand.run(context)
                    })*
                }
            }

            fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
                match self {
                    $(Self::$Type(subcommand) => {
                        remote.command = stringify!($file);
                        subcommand.run_remotely(remote)
                    })*
                }
            }
        }

        const MANUALS: &[(&str, Manual)] = &[
            $((stringify!($file), <$file::$Type as Subcommand>::MANUAL),)*
        ];
    };
}

// `--help` lists the subcommands in this order.
subcommands! {
    init::Init,
    install::Install,
    deploy::Deploy,
    edit::Edit,
    uninstall::Uninstall,
    reload::Reload,
    rollback::Rollback,
    releases::Releases,
    scale::Scale,
    start::Start,
    stop::Stop,
    restart::Restart,
    pause::Pause,
    resume::Resume,
    reset::Reset,
    list::List,
    monit::Monit,
    describe::Describe,
    metrics::Metrics,
    logs::Logs,
    history::History,
    signal::Signal,
    env::Env,
    curl::Curl,
    check::Check,
    generate::Generate,
    import::Import,
    completions::Completions,
    pages::Pages,
    unit::Unit,
}

/// PM2's cluster mode for every language, on systemd alone.
#[derive(Debug, Parser)]
#[command(
    name = "rsgen",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = exit_statuses()
)]
struct Arguments {
    /// Work on another host's systemd, by ssh; for `list`, `start`, `stop`, `restart`, `reload`, `scale`, `resume` and `signal`
    #[arg(short = 'H', long, value_name = "[USER@]HOST[:PORT]", value_parser = Host::parse)]
    host: Option<Host>,
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

fn exit_statuses() -> String {
    let statuses = Exit::ALL.map(|exit| format!("{} {}", exit as u8, exit.meaning()));
    format!("Exit status: {}.", statuses.join(", "))
}

fn command_line() -> CommandLine {
    CommandLine {
        command: Arguments::command(),
        manuals: MANUALS,
    }
}

/// Parses the command line, runs the command, reports a failure, and returns the exit status.
#[must_use]
pub fn main() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().collect();
    begin(&given);
    let Arguments {
        host,
        global,
        command,
    } = match parse(given.clone()) {
        Ok(arguments) => arguments,
        Err(e) => {
            let e = words::explain(e, &command_line().command, &given);
            // clap treats help and version as errors; only real errors have status 2.
            let status = u8::try_from(e.exit_code()).unwrap_or(2);
            let _ = e.print();
            return ExitCode::from(status);
        }
    };
    let sink = output::sink(global.color, global.quiet, global.json, global.verbose);
    let of_user = OfUser(sink.as_ref());
    let shown: &dyn Sink = if global.user { &of_user } else { sink.as_ref() };
    let done = match host {
        Some(host) => Remote::new(host, global.user, shown)
            .and_then(|mut remote| command.run_remotely(&mut remote)),
        None => Context::new(global.user, shown, command_line)
            .and_then(|mut context| command.run(&mut context)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let failure = hint::failure_for_manager(global.scope(), failure);
            sink.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// The one who started this program.
#[derive(Debug, PartialEq, Eq)]
enum Starter {
    /// A person, or a person's script.
    Person,
    /// A unit of the system.
    Unit,
    /// A unit of a user's own manager.
    UnitOfUser,
}

impl Starter {
    fn of(given: &[OsString]) -> Self {
        let mut arguments = given.iter().skip(1);
        let is_flag = |a: &&OsString| a.as_encoded_bytes().starts_with(b"-");
        let is_users = arguments.clone().take_while(is_flag).any(|a| a == "--user");
        match arguments.find(|a| !is_flag(a)) {
            Some(command) if command == "unit" && is_users => Self::UnitOfUser,
            Some(command) if command == "unit" => Self::Unit,
            _ => Self::Person,
        }
    }
}

/// Chooses what this program takes from the environment. This comes before parsing, because clap's messages depend on
/// the environment too.
fn begin(given: &[OsString]) {
    match Starter::of(given) {
        Starter::Person => begin::as_command(),
        Starter::Unit => begin::as_root(),
        Starter::UnitOfUser => begin::as_user(),
    }
}

/// Parses arguments in such a way that an error repeats them only escaped. clap colours its messages, so arguments have
/// to be escaped before clap composes one.
fn parse(given: Vec<OsString>) -> Result<Arguments, clap::Error> {
    let shown: Vec<OsString> = given.iter().map(visible).collect();
    let is_shown = shown == given;
    Arguments::try_parse_from(given).map_err(|error| {
        if is_shown {
            return error;
        }
        // An escaped argument is usually just as wrong as the original. Where it is not, the first message is shown,
        // without colours.
        Arguments::try_parse_from(shown).err().unwrap_or_else(|| {
            let text = Visible::lines(&error.to_string()).to_string();
            let message = text.strip_prefix("error: ").unwrap_or(&text);
            clap::Error::raw(error.kind(), message)
        })
    })
}

/// Escapes an argument for display. Bytes that are not UTF-8 stay: clap refuses them and never repeats them.
fn visible(argument: &OsString) -> OsString {
    let mut shown = Vec::with_capacity(argument.len());
    for chunk in argument.as_bytes().utf8_chunks() {
        shown.extend_from_slice(Visible::line(chunk.valid()).as_str().as_bytes());
        shown.extend_from_slice(chunk.invalid());
    }
    OsString::from_vec(shown)
}
