//! Finds the address of an app in its arguments and its environment.

use std::net::{IpAddr, SocketAddr};

use toml_edit::Value;

/// An address, and a comment that says where it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) value: Value,
    pub(super) note: String,
}

/// Options that name an address and a port.
const ADDRESS: &[&str] = &["-b", "--bind", "-l", "--listen", "--addr", "--address"];
/// Options that name a port.
const PORT: &[&str] = &["-p", "--port"];
/// Options that name the address for a port.
const HOST: &[&str] = &["-H", "--host", "--hostname"];
/// Options that name a socket file.
const FILE: &[&str] = &["--uds", "--unix-socket"];
/// Variables that name a port.
const PORT_VARIABLES: &[&str] = &["PORT", "HTTP_PORT", "SERVER_PORT", "APP_PORT", "NITRO_PORT"];
/// Variables that name the address for a port.
const HOST_VARIABLES: &[&str] = &["HOST", "HOSTNAME", "NITRO_HOST"];

/// Programs that take their work from a queue, by words that their command lines contain.
const WORKERS: &[&[&str]] = &[
    &["celery", "worker"],
    &["celery", "beat"],
    &["rq", "worker"],
    &["queue:work"],
    &["queue:listen"],
    &["horizon"],
    &["sidekiq"],
    &["dramatiq"],
    &["good_job"],
];

/// Programs of a queue whose main process waits for the tasks of the processes that it has started, by words of their command lines.
const POOLS: &[&[&str]] = &[&["celery", "worker"], &["rq", "worker"]];

/// Finds the address that a command line or, failing that, an environment states. `None` also if the host is a
/// name: the address of `localhost` that a program binds differs between programs and even between machines.
pub(super) fn of(words: &[String], env: &[(String, String)]) -> Option<Found> {
    if option(words, HOST).is_some_and(|(_, host)| is_name(host)) {
        return None;
    }
    of_words(words).or_else(|| of_env(env))
}

fn is_name(host: &str) -> bool {
    !["", "*"].contains(&host) && host.parse::<IpAddr>().is_err()
}

fn of_words(words: &[String]) -> Option<Found> {
    let argument =
        |names: &[&str]| option(words, names).map(|(name, value)| (name, value.to_owned()));
    if let Some((name, path)) = argument(FILE).filter(|(_, path)| path.starts_with('/')) {
        return Some(certain(path.into(), &name));
    }
    if let Some((name, text)) = argument(ADDRESS)
        && let Some(value) = address(&text)
    {
        return Some(certain(value, &name));
    }
    let (name, port) = argument(PORT)?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    let host = argument(HOST).map(|(_, host)| host);
    Some(certain(with_host(host.as_deref(), port), &name))
}

fn certain(value: Value, option: &str) -> Found {
    let note = format!("from the argument `{option}`");
    Found { value, note }
}

fn of_env(env: &[(String, String)]) -> Option<Found> {
    let variable = |names: &[&str]| {
        let named = names
            .iter()
            .find_map(|name| env.iter().find(|(given, _)| given == name));
        named.map(|(name, value)| (name.as_str(), value.as_str()))
    };
    let (name, text) = variable(PORT_VARIABLES)?;
    if text.starts_with('/') {
        let note = guess(name);
        return Some(Found {
            value: text.into(),
            note,
        });
    }
    let port = text.parse::<u16>().ok().filter(|port| *port > 0)?;
    let host = variable(HOST_VARIABLES).map(|(_, host)| host);
    if host.is_some_and(is_name) {
        return None;
    }
    let value = with_host(host, port);
    Some(Found {
        value,
        note: guess(name),
    })
}

fn guess(variable: &str) -> String {
    format!(
        "a guess from the variable {variable}: PM2 does not know where a program listens; without this line \
         `rsgen install` finds out"
    )
}

/// Returns an option and its value, written as `-p 1` or as `--port=1`.
fn option<'a>(words: &'a [String], names: &[&str]) -> Option<(String, &'a str)> {
    for (number, word) in words.iter().enumerate() {
        if names.contains(&word.as_str()) {
            return Some((word.clone(), words.get(number + 1)?));
        }
        if let Some((name, value)) = word
            .split_once('=')
            .filter(|(name, _)| names.contains(name))
        {
            return Some((name.to_owned(), value));
        }
    }
    None
}

fn address(text: &str) -> Option<Value> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return path.starts_with('/').then(|| path.into());
    }
    let text = text.strip_prefix("tcp://").unwrap_or(text);
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() > 0).then(|| address.to_string().into());
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    match host {
        "" | "*" => Some(i64::from(port).into()),
        _ => None,
    }
}

fn with_host(host: Option<&str>, port: u16) -> Value {
    match host.and_then(|host| host.parse::<IpAddr>().ok()) {
        Some(ip) => SocketAddr::new(ip, port).to_string().into(),
        None => i64::from(port).into(),
    }
}

/// Returns whether a command line starts a program that takes its work from a queue.
pub(super) fn is_worker(words: &[String]) -> bool {
    is_one_of(WORKERS, words)
}

/// Returns whether a command line starts a program whose tasks are done by processes that its main process ends.
pub(super) fn has_pool(words: &[String]) -> bool {
    is_one_of(POOLS, words)
}

fn is_one_of(programs: &[&[&str]], words: &[String]) -> bool {
    let has = |wanted: &str| {
        words.iter().any(|word| {
            let last = word.rsplit('/').next().unwrap_or_default();
            last == wanted
        })
    };
    programs
        .iter()
        .any(|words| words.iter().all(|word| has(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_tell_an_address_before_variables_do() {
        let env = [("PORT", "3000"), ("HOST", "10.0.0.1")];
        for (line, found) in [
            ("gunicorn -w 4 -b 0.0.0.0:8000 app:app", "\"0.0.0.0:8000\""),
            (
                "gunicorn --bind=unix:/run/app.sock app",
                "\"/run/app.sock\"",
            ),
            ("gunicorn -b :8000 app", "8000"),
            ("uvicorn app --host 0.0.0.0 --port 8000", "\"0.0.0.0:8000\""),
            ("uvicorn app --host ::1 --port 8000", "\"[::1]:8000\""),
            ("next start -p 3001", "3001"),
            ("celery -b redis://x:6379/0 worker", "\"10.0.0.1:3000\""),
            ("node x.js --port 0", "\"10.0.0.1:3000\""),
            ("node x.js", "\"10.0.0.1:3000\""),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let env = env.map(|(k, v)| (k.to_owned(), v.to_owned()));
            let address = of(&words, &env).unwrap();
            assert_eq!(address.value.to_string().trim(), found, "{line}");
            let is_guess = found.contains("10.0.0.1");
            assert_eq!(address.note.starts_with("a guess"), is_guess, "{line}");
        }
        assert!(of(&["node".to_owned()], &[]).is_none());
    }

    #[test]
    fn a_name_is_left_to_the_program_whoever_gives_it() {
        let found = |line: &str, host: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let env = [("PORT", "3000"), ("HOST", host)];
            let env = env.map(|(k, v)| (k.to_owned(), v.to_owned()));
            of(&words, &env).map(|found| found.value.to_string().trim().to_owned())
        };
        assert_eq!(found("next start -H localhost -p 3001", "::1"), None);
        assert_eq!(found("node x.js", "localhost"), None);
        for any in ["", "*"] {
            assert_eq!(found("node x.js", any).as_deref(), Some("3000"));
        }
    }

    #[test]
    fn a_queue_consumer_is_known_by_its_words() {
        let is = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            is_worker(&words)
        };
        assert!(is("/srv/venv/bin/celery -A app worker"));
        assert!(is("artisan queue:work --tries=3"));
        assert!(!is("celery flower") && !is("node worker.js"));
        let has_pool = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            has_pool(&words)
        };
        assert!(has_pool("python -m celery -A app worker") && has_pool("venv/bin/rq worker mails"));
        assert!(!has_pool("celery -A app beat") && !has_pool("node worker.js"));
    }

    #[test]
    fn what_names_no_address_of_this_host_is_none() {
        let found = |line: &str, env: &[(&str, &str)]| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let env: Vec<_> = env
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect();
            of(&words, &env).map(|found| found.value.to_string().trim().to_owned())
        };
        for (address, expected) in [
            ("localhost:80", None),
            ("*:80", Some("80")),
            ("80", Some("80")),
            ("tcp://[::1]:80", Some("\"[::1]:80\"")),
            ("unix:///run/x", Some("\"/run/x\"")),
            ("unix:x", None),
            ("127.0.0.1:0", None),
            (":0", None),
            ("example.org:80", None),
        ] {
            let line = format!("serve --bind {address}");
            assert_eq!(found(&line, &[]).as_deref(), expected, "{address}");
        }
        for (port, expected) in [
            ("1", Some("1")),
            ("/run/x", Some("\"/run/x\"")),
            ("0", None),
            ("x", None),
        ] {
            let env = [("NITRO_PORT", port)];
            assert_eq!(found("x", &env).as_deref(), expected, "{port}");
        }
        assert_eq!(found("x --uds x.sock -p", &[]), None);
        let file = found("x --unix-socket=/run/x -p 1", &[]);
        assert_eq!(file.as_deref(), Some("\"/run/x\""));
    }
}
