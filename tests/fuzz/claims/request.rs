//! What holds for whoever asks the helper to drain, and for command lines of the worker: nobody says what is drained,
//! and no time is too long to be reckoned with.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use rsgen::arguments::drain::{self as arguments, Drain, Way};
use rsgen::arguments::run::{Run, parse};

/// The text as a request, and as arguments of either command.
pub(crate) fn of_any_text(text: &str, micros: u64) {
    let run = run();
    if let Ok(drain) = arguments::of_request(&run, text) {
        is_of(&drain, &run);
        can_be_waited_for(drain.timeout);
    }
    for way in [Way::Auto, Way::Epoll, Way::Off] {
        let timeout = Duration::from_micros(micros);
        let asked = arguments::of_request(&run, &drain(timeout, way).request());
        let asked = asked.expect("a request of our own");
        is_of(&asked, &run);
        assert_eq!((asked.timeout, asked.way), (timeout, way));
    }
    let words = || text.split([' ', '\n']).map(OsString::from);
    if let Ok(drain) = arguments::parse(words()) {
        can_be_waited_for(drain.timeout + drain.message.unwrap_or_default());
    }
    if let Ok(run) = parse(std::iter::once("run".into()).chain(words())) {
        can_be_waited_for(run.listen_timeout);
        can_be_waited_for(run.brake.min_uptime + run.brake.backoff.unwrap_or_default());
    }
}

fn run() -> Run {
    let line = "run --app=web --instance=3 --state=/run/rsgen/web --handover=fds -- program";
    parse(line.split(' ').map(OsString::from)).expect("as units write it")
}

fn drain(timeout: Duration, way: Way) -> Drain {
    let line = "--app=other --instance=7 --state=/tmp --handover=bind --message=5s";
    let drain = arguments::parse(line.split(' ').map(OsString::from));
    Drain {
        timeout,
        way,
        ..drain.expect("as units write it")
    }
}

fn is_of(drain: &Drain, run: &Run) {
    assert_eq!((&drain.app, drain.instance), (&run.app, run.instance));
    assert_eq!((&drain.state, drain.handover), (&run.state, run.handover));
    assert_eq!(drain.message, None);
}

/// With what is added to it here and there.
fn can_be_waited_for(time: Duration) {
    let end = time + Duration::from_mins(1);
    assert!(Instant::now().checked_add(end).is_some(), "{time:?}");
}
