//! Explains options of PM2's that a command does not have, which clap would propose to pass as values; and fills the app that is
//! meant into such an answer.

use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::retyped;
use super::uninstall;
use crate::import::Kind;
use crate::unit::name::{self, Units};
use crate::visible::Visible;

/// Options, or further words, that have the same answer. In the answer, `APP` stands for the app on the command line.
struct Foreign {
    /// The commands that lack the options; none stands for all.
    commands: &'static [&'static str],
    options: &'static [&'static str],
    answer: &'static str,
}

const fn foreign(
    commands: &'static [&'static str],
    options: &'static [&'static str],
    answer: &'static str,
) -> Foreign {
    Foreign {
        commands,
        options,
        answer,
    }
}

/// The options of PM2's that name an app and say how many instances it has, which `rsgen install` has as well.
const SIZE: &[&str] = &["-i", "--instances", "-n", "--name"];

/// Options that are keys of an app here.
const KEYS: &[&str] = &[
    "-c",
    "--cron",
    "--cron-restart",
    "--cwd",
    "-e",
    "-o",
    "-l",
    "--interpreter",
    "--node-args",
    "--wait-ready",
    "-k",
    "--kill-timeout",
    "--max-memory-restart",
    "--max-restarts",
    "--restart-delay",
    "--exp-backoff-restart-delay",
    "--stop-exit-codes",
    "--no-autorestart",
    "--no-treekill",
    "--uid",
    "--gid",
    "--time",
    "--merge-logs",
    "--log",
    "--output",
    "--error",
    "-x",
    "--watch",
    "--ignore-watch",
    "--shutdown-with-message",
];

const START: &str =
    "`rsgen start` starts installed apps: run `rsgen install SCRIPT -i N --name NAME`";

const INIT: &str = "run `rsgen init -- SCRIPT`, which writes an ecosystem file, and add the key for that to it: `man rsgen.toml` has \
                    every key, with PM2's name";

/// PM2's options by the command. Of several that fit, the first counts.
const FOREIGN: &[Foreign] = &[
    foreign(
        &[],
        &["-H", "--host"],
        "write it before the command: `rsgen -H HOST list`",
    ),
    foreign(
        &["import"],
        &["--env"],
        "leave it out: every `env_NAME` is imported, and `rsgen install ecosystem.toml --env NAME` chooses one",
    ),
    foreign(
        &["import"],
        &["--only"],
        "leave it out: all apps are taken over, and `rsgen install ecosystem.toml --only APP` installs one",
    ),
    foreign(
        &["reload", "restart"],
        &["-i", "--instances"],
        "run `rsgen scale APP N`, which does not touch the remaining instances",
    ),
    foreign(
        &["reload", "restart"],
        &["-n", "--name", "--port"],
        "write it into the ecosystem file, then run `rsgen deploy ecosystem.toml`",
    ),
    foreign(
        &["start", "stop", "restart", "reload"],
        &["--watch", "--ignore-watch"],
        "write `watch = true` into the ecosystem file, then run `rsgen deploy ecosystem.toml`",
    ),
    foreign(
        &["reload", "restart"],
        KEYS,
        "write it into the ecosystem file, as `rsgen import` does for PM2's names, then run `rsgen deploy ecosystem.toml`",
    ),
    foreign(
        &["start", "restart"],
        &["--env"],
        "run `rsgen reload ecosystem.toml --env NAME`",
    ),
    foreign(
        &["start", "restart", "reload"],
        &["-a", "--update-env"],
        "leave it out: an app has the variables of its ecosystem file, not those of the shell; to change them, edit the file and \
         run `rsgen deploy ecosystem.toml`",
    ),
    foreign(
        &["restart"],
        &["--parallel"],
        "run `rsgen reload APP --parallel 2`, which replaces that many instances at a time",
    ),
    foreign(&["start"], SIZE, START),
    foreign(&["start"], KEYS, INIT),
    foreign(
        &["install", "deploy"],
        &["-p", "--port"],
        "write `--listen PORT`, or leave it out: `rsgen install` finds where the program listens",
    ),
    foreign(
        &["start", "init"],
        &["-p", "--port"],
        "leave it out: the first start finds where the program listens",
    ),
    foreign(&["install", "deploy"], KEYS, INIT),
    foreign(&["install", "deploy"], &["-n"], "write `--name`"),
    foreign(
        &["start"],
        &["--no-daemon", "--attach", "-w", "--write"],
        "leave it out: `rsgen logs APP` shows what the app writes",
    ),
    foreign(
        &["list"],
        &["-m", "--mini-list"],
        "leave it out; for scripts there is `rsgen list --json`",
    ),
    foreign(
        &["logs"],
        &["--raw"],
        "run `journalctl -t APP -o cat -f` for the bare lines",
    ),
    foreign(
        &["logs"],
        &["--format", "--timestamp"],
        "leave it out: each line has its time",
    ),
    foreign(
        &["logs"],
        &["--highlight"],
        "run `rsgen logs APP --grep PATTERN`",
    ),
    foreign(
        &["logs"],
        &["--out"],
        "leave it out; `--err` shows the errors alone",
    ),
    foreign(&[], &["-s", "--silent"], "write `--quiet`"),
    foreign(
        &["start", "stop", "restart", "reload", "deploy"],
        &["-f", "--force"],
        "leave it out: nothing has to be forced",
    ),
];

/// The help for words behind `rsgen deploy` and `rsgen init`, which in PM2 take more of them.
const FURTHER: &[(&str, &str)] = &[
    (
        "deploy",
        "run `rsgen deploy ecosystem.toml --env NAME`, which applies the file and replaces the instances on this host; use \
         another program to copy the code there",
    ),
    (
        "init",
        "write the command of the program: `rsgen init -- node server.js`",
    ),
];

/// Returns the text for an error about an option that is PM2's, `None` for any other error.
pub(super) fn explain(
    error: &clap::Error,
    command: &clap::Command,
    given: &[&str],
) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let mut behind = given.iter().skip(1);
    let (typed, name) =
        behind.find_map(|typed| Some((*typed, command.find_subcommand(typed)?.get_name())))?;
    if !word.starts_with('-') && name == "install" {
        let help = retyped::behind_install(word, given);
        return Some(format!(
            "`rsgen install` takes no `{}`\nhelp: {help}",
            Visible::again(word)
        ));
    }
    if !word.starts_with('-') {
        let (_, help) = FURTHER.iter().find(|(command, _)| *command == name)?;
        let word = Visible::again(word);
        return Some(format!("`rsgen {name}` takes no `{word}`\nhelp: {help}"));
    }
    let foreign = FOREIGN.iter().find(|foreign| {
        let fits = foreign.commands.is_empty() || foreign.commands.contains(&name);
        fits && foreign.options.contains(&word.as_str())
    })?;
    let pm2 = given.iter().find(|word| Kind::is_of_pm2(Path::new(word)));
    let help = match pm2.filter(|_| word == "--env") {
        Some(file) if name != "import" => {
            let file = Visible::again(file);
            format!(
                "run `rsgen import {file}`, which takes every `env_NAME` over, and then `rsgen deploy ecosystem.toml --env NAME`"
            )
        }
        _ => {
            let same = (name == "start")
                .then(|| retyped::as_install(given))
                .flatten();
            same.unwrap_or_else(|| answer(foreign.answer, typed, given))
        }
    };
    Some(format!("`rsgen {name}` has no `{word}`\nhelp: {help}"))
}

/// Fills the app from the command line into an answer.
pub(super) fn answer(answer: &str, word: &str, given: &[&str]) -> String {
    let each = |app| Units::of(app).instances_typed();
    let pairs = given.iter().zip(given.iter().skip(1));
    let behind = pairs.skip_while(|(given, _)| **given != word);
    // A number behind an option is its value, as behind `--lines`.
    let is_word = |before: &str, word: &str| {
        !(word.starts_with('-') || before.starts_with('-') && word.parse::<u32>().is_ok())
    };
    let mut text = answer.to_owned();
    for (_, argument) in behind.filter(|(before, word)| is_word(before, word)) {
        if let Some(help) = uninstall::by_number(argument, &text) {
            text = help;
        } else if is_app(argument) {
            text = text
                .replace("EACH", &each(argument))
                .replace("APP", argument);
        } else if let Some(help) = uninstall::one_less_of(argument, answer) {
            text = help;
        } else if *argument == "all" {
            text = text.replace("`rsgen uninstall APP`", "`rsgen uninstall all`");
        }
    }
    let of_script = |given: &&&str| !given.starts_with('-') && given.contains(['.', '/']);
    let script = given.iter().find(of_script).unwrap_or(&"SCRIPT");
    text.replace("SCRIPT", script).replace("EACH", &each("APP"))
}

/// Returns whether a word can be pasted as the name of an app.
fn is_app(word: &str) -> bool {
    word != "all" && name::check(word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::command_line;

    fn told(line: &str) -> Option<String> {
        let given: Vec<&str> = line.split(' ').collect();
        let command = command_line().command;
        let error = command.clone().try_get_matches_from(&given).unwrap_err();
        explain(&error, &command, &given)
    }

    /// Command lines as PM2 takes them, and a part of what they are answered with.
    const ANSWERS: &[(&str, &str)] = &[
        (
            "rsgen import ecosystem.config.js --env production",
            "`rsgen import` has no `--env`\nhelp: leave it out: every `env_NAME` is imported",
        ),
        ("rsgen import --only web", "--only web` installs one"),
        (
            "rsgen start server.js -i max",
            "run `rsgen install server.js -i max`",
        ),
        (
            "rsgen start server.js -n web -i 2 -- --tls a",
            "run `rsgen install server.js --name web -i 2 -- --tls a`",
        ),
        ("rsgen start web -i 2", "run `rsgen install SCRIPT -i N"),
        (
            "rsgen start server.js --name web --max-memory-restart 1G",
            "`rsgen install server.js -i N",
        ),
        (
            "rsgen start server.js --max-memory-restart 1G",
            "run `rsgen init -- server.js`, which",
        ),
        (
            "rsgen install server.js --watch",
            "run `rsgen init -- server.js`, which",
        ),
        (
            "rsgen install server.js --node-args=--inspect",
            "run `rsgen init -- server.js`, which",
        ),
        (
            "rsgen install server.js --port 3000",
            "write `--listen PORT`",
        ),
        ("rsgen install server.js -n web", "write `--name`"),
        ("rsgen install npm start", "`rsgen install npm -- start`"),
        ("rsgen install a.toml b.toml", "run it once for each file"),
        (
            "rsgen install server.js --user www-data",
            "which `rsgen init --account www-data",
        ),
        ("rsgen start eco.toml --env production", "run `rsgen reload"),
        (
            "rsgen start ecosystem.config.js --env production",
            "run `rsgen import ecosystem.config.js`, which",
        ),
        (
            "rsgen reload web --max-memory-restart 300M",
            "write it into the ecosystem file",
        ),
        ("rsgen restart web -i 4", "run `rsgen scale web N`"),
        (
            "rsgen restart web --parallel 2",
            "`rsgen reload web --parallel 2`",
        ),
        ("rsgen reload web --update-env", "edit the file and run"),
        (
            "rsgen gracefulReload web --update-env",
            "`rsgen reload` has no `--update-env`",
        ),
        ("rsgen stop all --watch", "write `watch = true`"),
        ("rsgen list -H web1", "write it before the command"),
        ("rsgen logs web --host web1", "write it before the command"),
        ("rsgen ls -m", "`rsgen list --json`"),
        ("rsgen logs web --raw", "`journalctl -t web -o cat -f`"),
        ("rsgen --user restart web -s", "write `--quiet`"),
        (
            "rsgen deploy eco.toml production",
            "`rsgen deploy` takes no `production`",
        ),
        ("rsgen init simple", "`rsgen init -- node server.js`"),
    ];

    #[test]
    fn of_pm2s_are_answered_with_what_to_do() {
        for (line, text) in ANSWERS {
            let told = told(line).unwrap_or_else(|| panic!("{line}: no answer"));
            assert!(told.contains(text), "{line}: {told}");
        }
    }

    #[test]
    fn that_nobody_knows_are_left_to_clap() {
        for line in ["rsgen reload web --xyzzy", "rsgen list --user --mini"] {
            assert_eq!(told(line), None, "{line}");
        }
    }

    #[test]
    fn are_no_options_of_the_command() {
        let command = command_line().command;
        for foreign in FOREIGN {
            for name in foreign.commands {
                let subcommand = command.find_subcommand(name);
                let subcommand = subcommand.unwrap_or_else(|| panic!("no `{name}`"));
                let taken = subcommand.get_arguments().flat_map(|argument| {
                    let long = argument.get_long().map(|long| format!("--{long}"));
                    let short = argument.get_short().map(|short| format!("-{short}"));
                    long.into_iter().chain(short)
                });
                for option in taken {
                    assert!(
                        !foreign.options.contains(&option.as_str()),
                        "{name} {option}"
                    );
                }
            }
        }
    }
}
