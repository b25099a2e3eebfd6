//! `rsgen curl`: sends a request to one instance over HTTP. A connection can choose an instance only if each instance has a
//! listener of its own.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::manual::Manual;
use super::subcommand::Subcommand;
use super::targets;
use crate::contract::{steer, time};
use crate::ecosystem::App;
use crate::generate::sources;
use crate::health::http::{Answer, Fault, Question};
use crate::output::{Exit, Failure, Notice, Shown, Style};
use crate::systemd::ActiveState;
use crate::unit::name::{Member, Units, parse_service};
use crate::visible::Visible;

/// The longest body that is shown.
const LONGEST_BODY: usize = 1 << 20;

/// Send an HTTP request to one instance of an app
#[derive(Debug, Args)]
pub(super) struct Curl {
    /// The instance, as APP@N
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// The path to request, with its query
    #[arg(default_value = "/", value_parser = path)]
    path: String,
    /// Print the response headers, too
    #[arg(short, long)]
    include: bool,
    /// Send this header; may be given several times
    #[arg(short = 'H', long, value_name = "LINE", value_parser = header)]
    header: Vec<String>,
    /// The time limit for the response, in the syntax of systemd.time(7)
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = span)]
    max_time: Duration,
    /// The address to use, if the app has several
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    address: Option<SocketAddrV4>,
}

/// The answer, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Asked {
    pub(super) app: String,
    pub(super) instance: u32,
    pub(super) address: String,
    /// The local address, by which the instance was chosen.
    pub(super) source: String,
    pub(super) status: u16,
    /// The status with its words.
    pub(super) status_line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// Whether the whole body was read within the limits.
    pub(super) complete: bool,
    #[serde(skip)]
    pub(super) include: bool,
}

impl Subcommand for Curl {
    const MANUAL: Manual = Manual {
        exits: &[Exit::Done, Exit::Failed, Exit::Usage, Exit::TimedOut],
        examples: &[
            (
                "rsgen curl web@2 /healthz",
                "Asks instance 2, and prints what it answers; fails for a status of 400 and more.",
            ),
            (
                "rsgen curl web@2 -i -H 'Host: shop.example'",
                "Shows the response headers as well, and requests another host.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let (app, number) = instance(context, &self.instance)?;
        let to = address(&app, self.address)?;
        refuse_outside(context, app.name(), number)?;
        let from = steer::source(number);
        let question = Question {
            to,
            from,
            path: &self.path,
            headers: &self.header,
            timeout: self.max_time,
        };
        let answer = question
            .ask()
            .map_err(|fault| no_answer(app.name(), number, to, from, &fault))?;
        let asked = asked(answer, app.name(), number, (from, to), self.include);
        context.sink.answer(&asked);
        if !asked.complete {
            let text = "the body is incomplete";
            context.sink.notice(&Notice::Noted(app.name(), text));
        }
        if asked.status >= 400 {
            let (name, status) = (app.name(), &asked.status_line);
            let failure = Failure::failed(format!("`{name}@{number}` answered {status}"));
            let is_told = context.sink.is_for_scripts();
            return Err(if is_told { failure.silent() } else { failure });
        }
        Ok(())
    }
}

/// The app and the number of an instance that a connection can choose.
fn instance(context: &Context<'_>, word: &str) -> Result<(App, u32), Failure> {
    let layout = &context.layout;
    let Some((name, Member::Instance(number))) = parse_service(word) else {
        let failure = Failure::new(Exit::Usage, format!("`{word}` does not name an instance"));
        return Err(failure.help("write one as `APP@0`"));
    };
    let name = targets::app(name, &targets::known(layout))?;
    let source = sources::find(layout, &name);
    let loaded = source.and_then(|source| sources::load(layout, &source).ok());
    let Some((_, app)) = loaded else {
        let file = layout.file(&name);
        return Err(Failure::failed(format!(
            "the file of `{name}`, `{}`, cannot be read",
            file.display()
        )));
    };
    if !app.is_even() {
        let why = format!(
            "`{name}` has one listener for all instances, so no connection can choose `{name}@{number}`"
        );
        let help = "write `balance = \"even\"`, with which each instance has a listener of its own";
        return Err(Failure::failed(why).help(help));
    }
    Ok((app, number))
}

/// Refuses an instance that was not added to the balance: where none was, the kernel has any instance answer. Without a systemd to ask,
/// nothing is known.
fn refuse_outside(context: &mut Context<'_>, app: &str, number: u32) -> Result<(), Failure> {
    let join = Units::of(app).join(number);
    let unit = context
        .jobs()
        .and_then(|jobs| Ok(jobs.manager.unit(&join)?));
    if unit.is_ok_and(|unit| unit.active == ActiveState::Failed) {
        let why = format!(
            "`{app}@{number}` is not in the balance because {join} failed; another instance could answer"
        );
        return Err(Failure::failed(why).help(format!("see `systemctl status {join}`")));
    }
    Ok(())
}

fn address(app: &App, wanted: Option<SocketAddrV4>) -> Result<SocketAddrV4, Failure> {
    let all = app.steered();
    let Some(first) = all.first() else {
        let why = format!("`{}` cannot be reached over IPv4", app.name());
        let help =
            "add an address of IPv4 to `listen`: a connection over IPv6 cannot choose its instance";
        return Err(Failure::failed(why).help(help));
    };
    match wanted {
        None => Ok(*first),
        Some(wanted) if all.contains(&wanted) => Ok(wanted),
        Some(wanted) => {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            let why = format!("`{}` does not listen on `{wanted}`", app.name());
            Err(Failure::new(Exit::Usage, why).help(format!("write one of {}", all.join(", "))))
        }
    }
}

fn no_answer(app: &str, number: u32, to: SocketAddrV4, from: Ipv4Addr, fault: &Fault) -> Failure {
    let exit = match fault {
        Fault::TimedOut(_) => Exit::TimedOut,
        _ => Exit::Failed,
    };
    let unit = Units::of(app).instance(number);
    let is_privileged = nix::unistd::geteuid().is_root();
    let off = if is_privileged {
        ""
    } else {
        "; an instance that is not healthy yet, or is being stopped, can be reached only by root"
    };
    Failure::new(
        exit,
        format!("`{app}@{number}` at {to}, asked from {from}: {fault}"),
    )
    .help(format!(
        "run `systemctl status {unit}`, which shows whether the instance runs{off}"
    ))
}

fn asked(
    answer: Answer,
    app: &str,
    instance: u32,
    (source, address): (Ipv4Addr, SocketAddrV4),
    include: bool,
) -> Asked {
    let head = answer.head.clone();
    let (body, complete) = answer.body(LONGEST_BODY);
    Asked {
        app: app.to_owned(),
        instance,
        address: address.to_string(),
        source: source.to_string(),
        status: head.status,
        status_line: head.line,
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        complete,
        include,
    }
}

impl Shown for Asked {
    fn shown(&self, _: Style) -> Option<Visible> {
        let mut lines = Vec::new();
        if self.include {
            lines.push(format!("HTTP/1.1 {}", Visible::line(&self.status_line)));
            let headers = self.headers.iter();
            lines.extend(
                headers.map(|(name, value)| {
                    format!("{}: {}", Visible::line(name), Visible::line(value))
                }),
            );
            lines.push(String::new());
        }
        let body = self.body.replace("\r\n", "\n");
        lines.push(Visible::lines(body.trim_end_matches('\n')).to_string());
        let text = lines.join("\n");
        (!text.is_empty()).then(|| Visible::composed(text))
    }
}

fn path(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_graphic());
    if text.starts_with('/') && is_plain {
        return Ok(text.to_owned());
    }
    Err("a path begins with `/`; percent-encode blanks and non-ASCII characters".to_owned())
}

fn header(text: &str) -> Result<String, String> {
    let is_line = !text.chars().any(char::is_control);
    match text.split_once(':') {
        Some((name, _)) if is_line && !name.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("write a header as `Name: value`".to_owned()),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let span = time::parse(text).filter(|span| !span.is_zero());
    span.ok_or_else(|| "write a time as systemd does, `500ms` or `10s`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_typed_becomes_a_line_of_its_own_in_the_request() {
        assert_eq!(path("/a?b=c").as_deref(), Ok("/a?b=c"));
        for wrong in ["a", "/a b", "/a\r\nX: y", ""] {
            assert!(path(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(header("Host: a").as_deref(), Ok("Host: a"));
        for wrong in ["Host", ": a", "A: b\r\nC: d"] {
            assert!(header(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert!(span("0").is_err() && span("soon").is_err());
    }

    #[test]
    fn the_answer_is_shown_without_what_a_terminal_would_obey() {
        let asked = Asked {
            app: "web".into(),
            instance: 2,
            address: "127.0.0.1:3000".into(),
            source: "127.114.0.2".into(),
            status: 200,
            status_line: "200 OK".into(),
            headers: vec![("A".into(), "\u{1b}[31m".into())],
            body: "one\r\n\u{1b}two\n".into(),
            complete: true,
            include: true,
        };
        let shown = asked.shown(Style::Plain).unwrap().to_string();
        assert_eq!(shown, "HTTP/1.1 200 OK\nA: \\x1b[31m\n\none\n\\x1btwo");
    }
}
