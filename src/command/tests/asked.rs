//! What is asked of a single instance, and what the journal is asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::thread;

use super::lines::run;
use super::stage::{HOST, Recorder, Stage, unit};
use crate::command::context::Context;
use crate::command::logs::{each, end, tell_beyond, tell_file, units};
use crate::command::targets::Target;
use crate::ecosystem::Report;
use crate::journal::{Entry, Source};
use crate::output::{Answer, Exit, Failure, Notice, Sink};
use crate::systemd::ActiveState;
use crate::systemd::fake::Fake;

/// A server that gives each connection this answer.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = BufReader::new(stream.try_clone().unwrap()).lines();
            head.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
                .for_each(drop);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

fn even(address: &str) -> Stage {
    let stage = Stage::running(&[]);
    stage.write_app(&format!("listen = {address:?}\nbalance = \"even\"\n"));
    stage
}

#[test]
fn an_answer_is_shown_and_a_status_of_400_and_more_is_a_failure() {
    let good = run(
        &mut even(&server(
            "HTTP/1.1 399 Odd\r\nContent-Length: 2\r\n\r\nhi rest",
        )),
        "rsgen curl web@2 /x",
    );
    assert_eq!(good.failure.map(|failure| failure.message), None);
    assert_eq!((good.shown.as_str(), good.told.as_str()), ("hi", ""));
    let bad = run(
        &mut even(&server("HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\nhi")),
        "rsgen curl web@2",
    );
    assert_eq!(bad.shown, "hi");
    assert!(bad.told.contains("the body is incomplete"), "{}", bad.told);
    assert_eq!(bad.fault(), "`web@2` answered 400 Bad; ");
}

#[test]
fn only_an_instance_with_a_listener_of_its_own_is_asked_and_at_an_address_of_the_app() {
    let mut stage = Stage::running(&[]);
    stage.write_app("listen = 3000\n");
    let fault = run(&mut stage, "rsgen curl web@2").fault();
    assert!(
        fault.starts_with("`web` has one listener for all"),
        "{fault}"
    );
    let address = server("HTTP/1.1 200 OK\r\n\r\n");
    let mut stage = even(&address);
    let at =
        |stage: &mut Stage, address: &str| run(stage, &format!("rsgen curl web@2 -a {address}"));
    assert!(at(&mut stage, &address).failure.is_none());
    let fault = at(&mut stage, "127.0.0.1:1").fault();
    let expected = format!("`web` does not listen on `127.0.0.1:1`; write one of {address}");
    assert_eq!(fault, expected);
}

#[test]
fn an_instance_that_does_not_answer_in_time_is_told_from_one_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stage = even(&listener.local_addr().unwrap().to_string());
    let failure = |stage: &mut Stage| run(stage, "rsgen curl web@2 -m 300ms").failure.unwrap();
    let silent = failure(&mut stage);
    assert_eq!(silent.exit, Exit::TimedOut, "{}", silent.message);
    drop(listener);
    let gone = failure(&mut stage);
    assert_eq!(gone.exit, Exit::Failed, "{}", gone.message);
    assert!(!gone.message.contains("no answer"), "{}", gone.message);
}

#[test]
fn the_journal_is_asked_for_every_unit_of_a_target() {
    let stage = Stage::running(&[]);
    stage.write_app(
        "instances = 2\nlisten = 3000\nservice.StandardOutput = \"append:/var/log/web\"\n",
    );
    let sink = Recorder::default();
    let context = Context::of_a_test(stage.layout.clone(), HOST, &sink, Box::new(Fake::default()));
    let whole = units(&context.layout, 1, &Target::App("web".into()));
    for unit in [
        "web.service",
        "web.socket",
        "web@0.service",
        "web@9.service",
        "web:join@1.service",
    ] {
        assert!(whole.iter().any(|name| name == unit), "{unit}: {whole:?}");
    }
    let own = units(&context.layout, 1, &Target::Instance("web".into(), 1));
    assert_eq!(own, ["web@1.service", "web@1.socket", "web:join@1.service"]);
    tell_file(&context, &Target::App("web".into()));
    assert!(
        sink.told().join("").contains("writes to `/var/log/web`"),
        "{:?}",
        sink.told()
    );
}

/// Where an instance is not in the balance, the kernel has any other answer in its place.
#[test]
fn an_instance_outside_the_balance_is_not_asked() {
    let mut stage = even(&server("HTTP/1.1 200 OK\r\n\r\n"));
    let join = |active| unit("web:join@2.service", active, "");
    stage.systemd.fake.set(join(ActiveState::Active));
    assert!(run(&mut stage, "rsgen curl web@2").failure.is_none());
    stage.systemd.fake.set(join(ActiveState::Failed));
    let fault = run(&mut stage, "rsgen curl web@2").fault();
    let said = "`web@2` is not in the balance because web:join@2.service failed";
    assert!(fault.starts_with(said), "{fault}");
}

/// A canary comes with the next reload, and any other instance beyond the last was there before.
#[test]
fn of_an_instance_that_the_app_does_not_have_it_is_told_whether_it_can_still_write() {
    let stage = Stage::running(&[]);
    stage.write_app("instances = 2\nlisten = 3000\n");
    for (number, is_there, is_over, said) in [
        (1, false, false, None),
        (
            2,
            false,
            false,
            Some("`web@2` exists only while a reload runs its canary"),
        ),
        (
            3,
            false,
            true,
            Some("`web@3` does not exist, since the app has 2 instances"),
        ),
        (3, true, false, None),
    ] {
        let sink = Recorder::default();
        let name = format!("web@{number}.service");
        let running: &[&str] = if is_there { &[&name] } else { &[] };
        let systemd = Box::new(Fake::running(running));
        let mut context = Context::of_a_test(stage.layout.clone(), HOST, &sink, systemd);
        let target = Target::Instance("web".into(), number);
        assert_eq!(tell_beyond(&mut context, &target), is_over, "{number}");
        let told = sink.told().concat();
        assert!(
            said.map_or(told.is_empty(), |said| told.contains(said)),
            "{told}"
        );
    }
    let sink = Recorder::default();
    let mut context =
        Context::of_a_test(stage.layout.clone(), HOST, &sink, Box::new(Fake::default()));
    assert!(!tell_beyond(&mut context, &Target::App("web".into())));
}
#[test]
fn the_end_of_journalctl_is_that_of_the_command_unless_nobody_reads() {
    let begun = |program: &str| -> Child { Command::new(program).arg("60").spawn().unwrap() };
    let ended = |program: &str, is_read, is_search| {
        end(&mut begun(program), is_read, is_search).map_err(|failure| failure.message)
    };
    assert_eq!(ended("/bin/true", true, false), Ok(()));
    assert_eq!(ended("/bin/false", true, true), Err(String::new()));
    let failed = ended("/bin/false", true, false).unwrap_err();
    assert!(failed.ends_with("failed: exit status: 1"), "{failed}");
    let mut endless = begun("/bin/sleep");
    assert!(end(&mut endless, false, false).is_ok());
    assert!(
        endless
            .try_wait()
            .unwrap()
            .is_some_and(|status| !status.success())
    );
}

/// A reader that has seen enough after the first line.
struct Impatient(Recorder);

impl Sink for Impatient {
    fn notice(&self, notice: &Notice<'_>) {
        self.0.notice(notice);
    }

    fn answer(&self, answer: &dyn Answer) {
        self.0.answer(answer);
    }

    fn item(&self, item: &dyn Answer) -> bool {
        self.0.answer(item);
        false
    }

    fn warnings(&self, report: &Report) {
        self.0.warnings(report);
    }

    fn failure(&self, failure: &Failure) {
        self.0.failure(failure);
    }
}

#[test]
fn a_line_in_parts_is_put_together_unless_it_was_searched_for() {
    let part = |message: &str, is_continued| Entry {
        time: 1_700_000_000_000_000,
        unit: "web@0.service".to_owned(),
        source: Source::Unit,
        pid: None,
        priority: None,
        message: message.to_owned(),
        stream: Some("s".to_owned()),
        is_continued,
    };
    let parts = || [part("one ", true), part("two", false), part("three", true)].into_iter();
    let shown = |is_search| {
        let sink = Recorder::default();
        assert!(each(parts(), is_search, |line| sink.item(line)));
        sink.told()
    };
    let has = |lines: &[String], message: &str| {
        let message = format!("\"message\":\"{message}\"");
        lines.iter().any(|line| line.contains(&message))
    };
    let whole = shown(false);
    assert!(
        whole.len() == 2 && has(&whole, "one two") && has(&whole, "three"),
        "{whole:?}"
    );
    let found = shown(true);
    assert!(
        found.len() == 3 && has(&found, "one ") && has(&found, "two"),
        "{found:?}"
    );
    let impatient = Impatient(Recorder::default());
    assert!(!each(parts(), true, |line| impatient.item(line)));
    assert_eq!(impatient.0.told().len(), 1);
}
