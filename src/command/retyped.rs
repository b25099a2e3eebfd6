//! Writes a command line of PM2's as one of `rsgen install`.

use std::path::Path;

use crate::import::Kind;

/// Returns the help for a further word behind `rsgen install`.
pub(super) fn behind_install(word: &str, given: &[&str]) -> String {
    let before = given.iter().take_while(|given| **given != word).last();
    if before == Some(&"--user") {
        return format!(
            "`--user` stands for your own systemd and takes no name: write `user = \"{word}\"` into the ecosystem file, \
             which `rsgen init --account {word} -- COMMAND` makes"
        );
    }
    let mut words = given.iter().skip_while(|given| **given != "install");
    match words.by_ref().skip(1).find(|given| !given.starts_with('-')) {
        Some(file) if has_apps(file) => "run it once for each file".to_owned(),
        Some(script) => {
            let behind = given.iter().skip_while(|given| **given != word);
            let line = ["rsgen", "install", script, "--"].into_iter();
            let line = shlex::try_join(line.chain(behind.copied())).unwrap_or_default();
            format!("write `--` before the arguments of a program: `{line}`")
        }
        None => "write `--` before the arguments of a program".to_owned(),
    }
}

/// Returns the help for a `rsgen start` with the options of an install: the same command line of `rsgen install`, where that has
/// all of the options, and the word that follows cannot be meant as an app.
pub(super) fn as_install(given: &[&str]) -> Option<String> {
    let mut words = given.iter().skip_while(|given| **given != "start").skip(1);
    let mut line = vec!["rsgen", "install"];
    let mut programs = Vec::new();
    let mut is_named = false;
    while let Some(word) = words.next() {
        match word.split('=').next().unwrap_or(word) {
            "--" => {
                line.push(word);
                line.extend(words.by_ref());
            }
            option @ ("-n" | "--name" | "-i" | "--instances") => {
                is_named |= option == "-n" || option == "--name";
                line.push(if option == "-n" { "--name" } else { option });
                line.push(match word.split_once('=') {
                    Some((_, value)) => value,
                    None => words.next()?,
                });
            }
            option if option.starts_with('-') => return None,
            _ => {
                programs.push(*word);
                line.push(word);
            }
        }
    }
    let [program] = programs[..] else {
        return None;
    };
    let is_script = program.contains(['.', '/']) && !has_apps(program);
    let joined = shlex::try_join(line).ok();
    let joined = joined.filter(|_| is_script || is_named)?;
    Some(format!(
        "`rsgen start` starts installed apps: run `{joined}`"
    ))
}

/// Returns whether a word is the path of a file that lists apps.
fn has_apps(word: &str) -> bool {
    let path = Path::new(word);
    Kind::is_of_pm2(path) || path.extension().is_some_and(|e| e == "toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<&str> {
        line.split(' ').collect()
    }

    #[test]
    fn a_start_of_a_program_is_an_install() {
        for (line, same) in [
            (
                "rsgen start server.js -i max",
                "rsgen install server.js -i max",
            ),
            (
                "rsgen start server.js -n web -i 2 -- --tls -n a",
                "rsgen install server.js --name web -i 2 -- --tls -n a",
            ),
            (
                "rsgen --user start npm --name=shop -- start",
                "rsgen install npm --name shop -- start",
            ),
        ] {
            let told = as_install(&words(line)).unwrap_or_default();
            assert!(told.ends_with(&format!("run `{same}`")), "{line}: {told}");
        }
        for line in [
            "rsgen start web -i 2",
            "rsgen start ecosystem.config.js -i 2",
            "rsgen start server.js --name web --watch",
            "rsgen start --name web --watch",
            "rsgen start --cwd=/srv/web",
            "rsgen start a.js b.js -i 2",
            "rsgen start server.js -i",
        ] {
            assert_eq!(as_install(&words(line)), None, "{line}");
        }
    }

    #[test]
    fn a_word_behind_an_install_is_an_argument_a_file_or_a_user() {
        for (line, word, told) in [
            (
                "rsgen install npm start",
                "start",
                "`rsgen install npm -- start`",
            ),
            (
                "rsgen install npm run prod --if-present",
                "run",
                "`rsgen install npm -- run prod --if-present`",
            ),
            (
                "rsgen install a;reboot start",
                "start",
                "`rsgen install 'a;reboot' -- start`",
            ),
            (
                "rsgen install a.toml b.toml",
                "b.toml",
                "run it once for each file",
            ),
            (
                "rsgen install server.js --user anna",
                "anna",
                "which `rsgen init --account anna -- COMMAND` makes",
            ),
        ] {
            let help = behind_install(word, &words(line));
            assert!(help.ends_with(told), "{line}: {help}");
        }
    }
}
