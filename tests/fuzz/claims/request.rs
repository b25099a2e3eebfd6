//! Claims about requests to the helper, and about command lines of the worker: a request cannot choose what is drained, and
//! no time overflows.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use rsgen::contract::{Drain, Request, Run, Step, Way};

/// The text as a request, and as arguments of each command.
pub(crate) fn of_any_text(text: &str, micros: u64) {
    let run = run();
    if let Some(asked) = Request::parse(text) {
        let drain = run.drain(asked);
        is_of(&drain, &run);
        can_be_waited_for(drain.timeout);
    }
    for way in [Way::Auto, Way::Epoll, Way::Off] {
        let timeout = Duration::from_micros(micros);
        let signal = (way == Way::Auto).then(|| "SIGQUIT".to_owned());
        let request = Request {
            timeout,
            way,
            signal: signal.clone(),
        };
        let asked = Request::parse(&request.text());
        let drain = run.drain(asked.expect("a request of our own"));
        is_of(&drain, &run);
        assert_eq!((drain.timeout, drain.way), (timeout, way));
        assert_eq!(drain.signal, signal);
    }
    of_any_words(text.split([' ', '\n']));
    // Each time in a command line, one by one.
    for line in [RUN, DRAIN] {
        for flag in line.split(' ').filter(|word| word.ends_with("30s")) {
            let other = flag.replace("30s", text);
            of_any_words(line.split(' ').map(|w| if w == flag { &other } else { w }));
        }
    }
}

const RUN: &str = "run --app=web --instance=3 --state=/run/rsgen/web --handover=fds --ready=exec \
    --listen-timeout=30s --min-uptime=30s --max-restarts=16 --preload=true --backoff=30s -- program";
const DRAIN: &str = "drain --app=web --instance=3 --state=/run/rsgen/web --handover=fds --timeout=30s --way=auto \
    --message=30s";

/// The words as a command line of the worker, of the drain and of `rsgen unit`.
fn of_any_words<'a>(words: impl Iterator<Item = &'a str>) {
    let words: Vec<OsString> = words.map(OsString::from).collect();
    if let Ok(drain) = Drain::parse(words.clone()) {
        can_be_waited_for(drain.timeout + drain.message.unwrap_or_default());
    }
    if let Ok(run) = Run::parse(words.clone()) {
        can_be_waited_for(run.listen_timeout);
        can_be_waited_for(run.brake.min_uptime + run.brake.backoff.unwrap_or_default());
    }
    if let Ok(step) = Step::parse(words) {
        assert_eq!(Step::parse(step.line().words()), Ok(step));
    }
}

fn run() -> Run {
    Run::parse(RUN.split(' ').map(OsString::from)).expect("as units write it")
}

fn is_of(drain: &Drain, run: &Run) {
    assert_eq!((&drain.app, drain.instance), (&run.app, run.instance));
    assert_eq!((&drain.state, drain.handover), (&run.state, run.handover));
    assert_eq!(drain.message, None);
}

/// Adding a minute, which is more than any margin in the code, to a time does not overflow.
fn can_be_waited_for(time: Duration) {
    let end = time + Duration::from_mins(1);
    assert!(Instant::now().checked_add(end).is_some(), "{time:?}");
}
