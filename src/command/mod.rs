//! The command line: one file for each subcommand, which holds its arguments, its work and what it
//! prints.

mod apply;
mod arguments;
mod check;
mod completions;
mod context;
mod follow;
mod generate;
mod install;
mod limits;
mod list;
mod pages;
mod power;
mod probe;
mod reload;
mod selection;
mod state;
mod step;
mod targets;
mod uninstall;
mod unit;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use context::Context;

use crate::begin;
use crate::output::{Failure, Printer};

/// Parses the command line, runs it, prints one failure, returns the exit status.
#[must_use]
pub fn main() -> ExitCode {
    begin();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            // Help and version are errors to clap; only real ones have status 2.
            let status = u8::try_from(e.exit_code()).unwrap_or(2);
            let _ = e.print();
            return ExitCode::from(status);
        }
    };
    let global = &arguments.global;
    let printer = Printer::new(global.color, global.quiet, global.json, global.verbose);
    match Context::new(&arguments.global, printer).and_then(|mut c| run(&mut c, arguments.command))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            printer.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Before anything is parsed: also a message about a wrong argument is printed in an environment.
fn begin() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let flags = arguments
        .iter()
        .take_while(|a| a.as_encoded_bytes().starts_with(b"-"));
    let is_users = flags.clone().any(|a| a == "--user");
    match arguments.get(flags.count()) {
        Some(command) if command != "unit" => begin::as_command(),
        Some(_) if !is_users => begin::as_root(),
        Some(_) => begin::as_user(),
        None => begin::as_command(),
    }
}

fn run(context: &mut Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Install(a) => install::run(context, &a),
        Command::Uninstall(a) => uninstall::run(context, &a),
        Command::Reload(a) => reload::run(context, &a),
        Command::Start(a) => power::start(context, &a),
        Command::Stop(a) => power::stop(context, &a),
        Command::Restart(a) => power::restart(context, &a),
        Command::Reset(a) => power::reset(context, &a),
        Command::List(a) => list::run(context, &a),
        Command::Check(a) => check::run(context, &a),
        Command::Generate(a) => generate::run(context, &a),
        Command::Completions(a) => completions::run(&a),
        Command::Pages(a) => pages::run(&a),
        Command::Unit(a) => unit::run(context, a),
    }
}
