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

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use context::Context;

use crate::begin;
use crate::output::{Failure, Printer};
use crate::visible::Visible;

/// Parses the command line, runs it, prints one failure, returns the exit status.
#[must_use]
pub fn main() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().collect();
    begin(&given);
    let arguments = match parse(given) {
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
fn begin(given: &[OsString]) {
    let mut arguments = given.iter().skip(1);
    let is_flag = |a: &&OsString| a.as_encoded_bytes().starts_with(b"-");
    let is_users = arguments.clone().take_while(is_flag).any(|a| a == "--user");
    match arguments.find(|a| !is_flag(a)) {
        Some(command) if command != "unit" => begin::as_command(),
        Some(_) if !is_users => begin::as_root(),
        Some(_) => begin::as_user(),
        None => begin::as_command(),
    }
}

/// An error speaks of arguments as they may be shown: clap paints its messages, so it has to be told before.
fn parse(given: Vec<OsString>) -> Result<Arguments, clap::Error> {
    let shown: Vec<OsString> = given.iter().map(visible).collect();
    let is_shown = shown == given;
    Arguments::try_parse_from(given).map_err(|error| {
        if is_shown {
            return error;
        }
        // What is wrong is wrong without control characters as well; if not, it is told without colours.
        Arguments::try_parse_from(shown).err().unwrap_or_else(|| {
            let text = Visible::lines(&error.to_string()).to_string();
            let message = text.strip_prefix("error: ").unwrap_or(&text);
            clap::Error::raw(error.kind(), message)
        })
    })
}

/// Bytes that are no text stay, for clap refuses them; it never repeats them.
fn visible(argument: &OsString) -> OsString {
    let mut shown = Vec::with_capacity(argument.len());
    for chunk in argument.as_bytes().utf8_chunks() {
        shown.extend_from_slice(Visible::line(chunk.valid()).as_str().as_bytes());
        shown.extend_from_slice(chunk.invalid());
    }
    OsString::from_vec(shown)
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
