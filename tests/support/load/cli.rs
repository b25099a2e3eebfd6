//! `cargo run --example load -- --url http://127.0.0.1:3000/ …`

use std::io::{Read, Write, stdin, stdout};
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

use super::http::{Request, Target};
use super::{Load, Traffic};
use crate::poll::nap;

const USAGE: &str = "\
usage: load --url http://ADDRESS:PORT/PATH | --unix SOCKET [--path PATH]
            [--clients N] [--keep-alive] [--post BYTES] [--expect TEXT] [--pause-ms N]
            [--patience N] [--seconds N] [--until-file FILE]

Asks again and again, then prints as JSON what became of every request, which is lost without an
answer within --patience seconds, 60 unless it is given. Ends on SIGTERM or SIGINT,
after --seconds, once --until-file exists, or, without these two, when standard input ends.
The exit status is 1 when a request was lost.";

/// How long a request may take in a measurement; one that takes longer counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

struct Options {
    traffic: Traffic,
    seconds: Option<u64>,
    until_file: Option<PathBuf>,
}

/// The main function of the program.
pub fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("error: {why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let over = ends(&options);
    let load = Load::start_here(&options.traffic);
    while !over() {
        nap(Duration::from_millis(10));
    }
    let report = load.stop();
    // The reader may have closed the pipe.
    let _ = writeln!(stdout(), "{report}");
    if report.lost == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Returns a function that says whether the program has to end. This blocks the signals, so it has to be called before the
/// clients start.
fn ends(options: &Options) -> impl Fn() -> bool + use<> {
    let asked = Arc::new(AtomicBool::new(false));
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block().expect("signals can be blocked");
    let flag = asked.clone();
    thread::spawn(move || signals.wait().map(|_| flag.store(true, Ordering::Relaxed)));
    if options.seconds.is_none() && options.until_file.is_none() {
        let flag = asked.clone();
        thread::spawn(move || {
            let _ = stdin().read_to_end(&mut Vec::new());
            flag.store(true, Ordering::Relaxed);
        });
    }
    let end = options
        .seconds
        .map(|s| Instant::now() + Duration::from_secs(s));
    let file = options.until_file.clone();
    move || {
        asked.load(Ordering::Relaxed)
            || end.is_some_and(|end| Instant::now() >= end)
            || file.as_ref().is_some_and(|file| file.exists())
    }
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut traffic = Traffic::on_port(3000, 20).pause(Duration::ZERO);
        traffic.request.patience = PATIENCE;
        let (mut seconds, mut until_file) = (None, None);
        while let Some(word) = words.next() {
            if word == "--keep-alive" {
                traffic.request.keep_alive = true;
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| format!("`{word}` needs a value"))?;
            match word.as_str() {
                "--url" => set_url(&mut traffic.request, &value)?,
                "--unix" => traffic.request.target = Target::Unix(value.into()),
                "--path" => traffic.request.path = value,
                "--clients" => traffic.clients = number(&value)?,
                "--post" => traffic.request.post = Some(number(&value)?),
                "--expect" => traffic.request.expect = Some(value),
                "--pause-ms" => traffic.pause = Duration::from_millis(number(&value)?),
                "--patience" => traffic.request.patience = Duration::from_secs(number(&value)?),
                "--seconds" => seconds = Some(number(&value)?),
                "--until-file" => until_file = Some(value.into()),
                _ => return Err(format!("there is no option `{word}`")),
            }
        }
        Ok(Self {
            traffic,
            seconds,
            until_file,
        })
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a number"))
}

fn set_url(request: &mut Request, url: &str) -> Result<(), String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("`{url}` does not begin with `http://`"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = host
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    request.target = Target::Tcp(address.ok_or_else(|| format!("`{host}` is not an address"))?);
    request.path = format!("/{path}");
    Ok(())
}
