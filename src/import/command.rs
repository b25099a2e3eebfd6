//! Splits shell command lines: PM2 passes a `script` that contains a blank to bash, and foreman passes each command of
//! a Procfile to a shell.

/// Characters that make a shell do more than split words. A line with one of them is passed to bash as it is.
const SPECIAL: &[char] = &[
    '$', '`', '|', '&', ';', '<', '>', '(', ')', '*', '?', '[', ']', '{', '}', '#', '~', '!', '\\',
    '\n',
];

/// Programs whose first argument is usually a script.
const INTERPRETERS: &[&str] = &[
    "node", "nodejs", "bun", "python", "python3", "ruby", "php", "perl", "bash", "sh",
];

/// A command line, split into words.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Command {
    /// Assignments before the program, as in `PORT=80 node`.
    pub(super) env: Vec<(String, String)>,
    pub(super) interpreter: Option<String>,
    pub(super) script: String,
    pub(super) args: Vec<String>,
    /// Whether the line is passed to bash.
    pub(super) is_shells: bool,
}

/// Splits a line if a shell would do no more than that; any other line becomes the argument of `bash -c`.
pub(super) fn split(line: &str) -> Command {
    plain(line).unwrap_or_else(|| Command {
        script: "bash".to_owned(),
        args: vec!["-c".to_owned(), line.to_owned()],
        is_shells: true,
        ..Command::default()
    })
}

fn plain(line: &str) -> Option<Command> {
    if line.contains(SPECIAL) {
        return None;
    }
    let words = shlex::split(line)?;
    let assigned = words.iter().map_while(|word| assignment(word));
    let env: Vec<(String, String)> = assigned.collect();
    let mut words = words.into_iter().skip(env.len()).peekable();
    let first = words.next()?;
    let is_script = |word: &String| !word.starts_with('-') && word.contains('.');
    if INTERPRETERS.contains(&first.as_str()) && words.peek().is_some_and(is_script) {
        return Some(Command {
            env,
            interpreter: Some(first),
            script: words.next()?,
            args: words.collect(),
            is_shells: false,
        });
    }
    Some(Command {
        env,
        interpreter: None,
        script: first,
        args: words.collect(),
        is_shells: false,
    })
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_where_a_shell_would_do_nothing_else() {
        let words = |line: &str| {
            let Command {
                interpreter,
                script,
                args,
                ..
            } = split(line);
            let words = interpreter.into_iter().chain([script]).chain(args);
            words.collect::<Vec<_>>()
        };
        assert_eq!(split("A=1 B='x y' npm start").env.len(), 2);
        assert_eq!(words("A=1 B='x y' npm run start"), ["npm", "run", "start"]);
        assert_eq!(
            split("node ./a.js -p 1").interpreter.as_deref(),
            Some("node")
        );
        assert_eq!(split("node -r x a.js").interpreter, None);
        for line in ["a && b", "gunicorn -b :$PORT", "cat < x", "it's"] {
            assert_eq!(words(line), ["bash", "-c", line]);
            assert!(split(line).is_shells);
        }
    }

    #[test]
    fn only_a_file_behind_an_interpreter_is_its_script() {
        for line in ["node server", "node --x=a.b server", "serve a.js", "node"] {
            assert_eq!(split(line).interpreter, None, "{line}");
        }
        let odd = split("a-b=1 =2 x");
        assert_eq!((odd.env.len(), odd.script.as_str()), (0, "a-b=1"));
        assert_eq!(split("A_1= x").env, [("A_1".into(), String::new())]);
    }
}
