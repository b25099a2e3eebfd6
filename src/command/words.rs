//! Explains commands that do not exist: PM2's, each with the command to type instead, and misspelt ones.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};

use super::{foreign_options, hint};
use crate::ecosystem::diagnostic::nearest;
use crate::layout::Scope;
use crate::visible::Visible;

/// PM2's words that have the same answer. In the answer, `APP` stands for the app that follows on the command line, and
/// `EACH` for the glob of its instances.
struct Foreign {
    words: &'static [&'static str],
    answer: &'static str,
}

const fn foreign(words: &'static [&'static str], answer: &'static str) -> Foreign {
    Foreign { words, answer }
}

/// PM2's commands that rsgen has under no name.
const FOREIGN: &[Foreign] = &[
    foreign(&["delete", "del"], "run `rsgen uninstall APP`"),
    foreign(&["startOrRestart"], "run `rsgen deploy ecosystem.toml`"),
    foreign(
        &["jlist", "prettylist", "report", "slist", "sysinfos"],
        "run `rsgen list --json`",
    ),
    foreign(&["log"], "run `rsgen logs APP`"),
    foreign(
        &["flush", "reloadLogs", "logrotate"],
        "leave it out: the journal rotates by itself; to shrink it, run `journalctl --vacuum-size=500M`",
    ),
    foreign(
        &["save", "dump", "resurrect"],
        "leave it out: installed apps start at boot; to be sure, run `systemctl is-enabled APP.service APP.socket`",
    ),
    // The word behind this one names an init system.
    foreign(
        &["startup"],
        "leave it out: installed apps start at boot; `systemctl list-unit-files --state=enabled` names them",
    ),
    foreign(
        &["unstartup", "cleardump"],
        "to keep an app from starting at boot, run `systemctl disable APP.service APP.socket`",
    ),
    foreign(
        &["kill"],
        "there is no daemon to end; to stop all apps, run `rsgen stop all`",
    ),
    foreign(
        &["update", "updatePM2", "deepUpdate", "ping"],
        "leave it out: there is no daemon",
    ),
    foreign(&["pid", "id"], "run `systemctl show -P MainPID EACH`"),
    foreign(
        &["ecosystem"],
        "run `rsgen init -- COMMAND`; `man rsgen.toml` has every key",
    ),
    foreign(&["inspect"], "run `rsgen describe APP`"),
    foreign(&["examples"], "run `rsgen help`"),
    foreign(
        &[
            "attach",
            "autoinstall",
            "backup",
            "conf",
            "create",
            "forward",
            "get",
            "link",
            "login",
            "logout",
            "module:generate",
            "module:publish",
            "module:update",
            "multiset",
            "open",
            "package",
            "plus",
            "profile:cpu",
            "profile:mem",
            "publish",
            "register",
            "send",
            "serve",
            "set",
            "trigger",
            "unlink",
            "unset",
            "web",
        ],
        "leave it out: use other programs for that",
    ),
];

/// Rewrites the error about a command that does not exist, or about an option of PM2's; any other error stays as it is. clap
/// would suggest commands by their letters alone, even hidden ones.
pub(super) fn explain(
    error: clap::Error,
    command: &clap::Command,
    given: &[OsString],
) -> clap::Error {
    let words: Vec<&str> = given.iter().filter_map(|word| word.to_str()).collect();
    let text = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => {
            let help = help(word, command, &words);
            format!(
                "there is no command `{}`\nhelp: {help}",
                Visible::again(word)
            )
        }
        _ => match foreign_options::explain(&error, command, &words) {
            Some(text) => text,
            None => return error,
        },
    };
    // A word behind the option is a user in its place.
    let is_user = |at: &[&str]| matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(word)) if at == ["--user", word]);
    let scope = if words.contains(&"--user") && !words.windows(2).any(is_user) {
        Scope::User
    } else {
        Scope::System
    };
    let text = hint::for_manager(scope, &text);
    let lines: Vec<String> = text
        .lines()
        .map(|line| Visible::again(line).to_string())
        .collect();
    clap::Error::raw(error.kind(), format!("{}\n", lines.join("\n")))
}

fn help(word: &str, command: &clap::Command, given: &[&str]) -> String {
    let is_same = |other: &&str| other.eq_ignore_ascii_case(word);
    if let Some(foreign) = FOREIGN.iter().find(|f| f.words.iter().any(is_same)) {
        return foreign_options::answer(foreign.answer, word, given);
    }
    let visible = command.get_subcommands().filter(|c| !c.is_hide_set());
    let names = visible.flat_map(|c| std::iter::once(c.get_name()).chain(c.get_all_aliases()));
    match nearest(word, names) {
        Some(near) => format!("did you mean `rsgen {near}`?"),
        None => "run `rsgen --help` for the commands".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::command_line;

    fn told(line: &str) -> String {
        let given: Vec<OsString> = line.split(' ').map(Into::into).collect();
        let command = command_line().command;
        let error = command.clone().try_get_matches_from(&given).unwrap_err();
        explain(error, &command, &given).to_string()
    }

    #[test]
    fn a_word_of_pm2s_is_answered_with_what_to_type() {
        for (line, answer) in [
            ("rsgen delete web", "run `rsgen uninstall web`\n"),
            ("rsgen log web --lines 100", "run `rsgen logs web`\n"),
            ("rsgen delete all", "run `rsgen uninstall all`\n"),
            (
                "rsgen delete 1",
                "`rsgen list` shows the names that take the place of PM2's numbers: run `rsgen uninstall APP`, or for one instance \
                 less `rsgen scale APP -1`\n",
            ),
            ("rsgen log --lines 100 web", "run `rsgen logs web`\n"),
            ("rsgen inspect 0", "numbers: run `rsgen describe APP`\n"),
            ("rsgen pid 0", "MainPID 'APP@*'`\n"),
            ("rsgen delete web@1", "run `rsgen scale web -1`; to stop"),
            ("rsgen delete 'a b@1'", "run `rsgen uninstall APP`\n"),
            ("rsgen STARTUP", "installed apps start at boot"),
            (
                "rsgen startup systemd",
                "`systemctl list-unit-files --state=enabled`",
            ),
            ("rsgen kill", "run `rsgen stop all`\n"),
        ] {
            let told = told(line);
            let word = line
                .split(' ')
                .find(|w| !w.starts_with('-') && *w != "rsgen")
                .unwrap();
            assert!(
                told.starts_with(&format!("error: there is no command `{word}`\nhelp: ")),
                "{told}"
            );
            assert!(told.contains(answer), "{told}");
        }
    }

    #[test]
    fn what_to_type_is_for_the_manager_that_is_asked() {
        let told = told("rsgen --user delete web");
        assert!(told.contains("run `rsgen --user uninstall web`"), "{told}");
    }

    #[test]
    fn a_word_of_pm2s_that_means_a_command_is_one() {
        for line in [
            "rsgen ls",
            "rsgen l",
            "rsgen ps",
            "rsgen status web",
            "rsgen monit",
            "rsgen dash",
            "rsgen startOrReload eco.toml",
            "rsgen startOrGracefulReload eco.toml",
            "rsgen gracefulReload web",
            "rsgen logs",
            "rsgen logs web --lines 100 --nostream --err",
        ] {
            let command = command_line().command;
            assert!(
                command.try_get_matches_from(line.split(' ')).is_ok(),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_suggested_for_a_typing_error_is_a_command_for_people() {
        assert!(told("rsgen relod web").ends_with("help: did you mean `rsgen reload`?\n"));
        for line in ["rsgen units", "rsgen unti", "rsgen pagse", "rsgen xyzzy"] {
            let told = told(line);
            assert!(
                !told.contains("`rsgen unit`") && !told.contains("`rsgen pages`"),
                "{told}"
            );
        }
    }

    #[test]
    fn no_word_is_answered_twice_or_is_a_command() {
        let command = command_line().command;
        let taken = command.get_subcommands();
        let mut words: Vec<String> = taken
            .flat_map(|c| std::iter::once(c.get_name()).chain(c.get_all_aliases()))
            .chain(FOREIGN.iter().flat_map(|f| f.words.iter().copied()))
            .map(str::to_lowercase)
            .collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }

    #[test]
    fn an_unknown_word_is_made_visible() {
        assert!(told("rsgen a\u{1b}b").contains(r"there is no command `a\x1bb`"));
    }

    #[test]
    fn only_the_name_of_an_app_takes_the_place_of_one() {
        let help = |line| told(line).lines().last().unwrap_or_default().to_owned();
        assert!(help("rsgen pid web").contains("MainPID 'web@*'`"));
        for line in ["rsgen pid all", "rsgen pid a/b", "rsgen pid"] {
            assert!(help(line).contains("MainPID 'APP@*'`"), "{line}");
        }
    }
}
