//! `rsgen monit`: apps and instances on the whole terminal, with keys that reload, scale and restart them.
//!
//! The loop here only waits, draws and passes on: what is on the screen is [`state`]'s, and whatever takes time is done in threads
//! that send [`News`], so that no key waits for systemd.

mod action;
mod draw;
mod log;
mod look;
mod past;
mod state;
#[cfg(test)]
mod tests;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use clap::Args;

use self::log::{LogLine, Tail};
use self::state::{Effect, State};
use super::context::Context;
use super::list;
use super::manual::Manual;
use super::status::AppStatus;
use super::subcommand::Subcommand;
use super::targets;
use crate::layout::Layout;
use crate::output::{Bell, Canvas, Exit, Failure, Input, Notice};
use crate::visible::Visible;

/// How much news may wait to be shown; a thread that has more waits.
const WAITING: usize = 1024;
/// How long the same row is chosen before its log is opened, so that moving over many opens none.
const CHOSEN: Duration = Duration::from_millis(150);
/// How long a wait is if there is nothing to do meanwhile.
const IDLE: Duration = Duration::from_mins(1);

/// Watch apps full-screen, and reload, scale or restart them by keys
#[derive(Debug, Args)]
#[command(alias = "dash", alias = "dashboard", alias = "imonit")]
pub(super) struct Monit {
    /// Only these apps
    #[arg(value_name = "APP")]
    apps: Vec<String>,
    /// Refresh at this interval
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = list::interval)]
    interval: Duration,
}

/// What has happened outside of the terminal.
enum News {
    /// The state of the apps.
    Seen(Vec<AppStatus>),
    /// The reason why it is not known.
    Unseen(Failure),
    /// Lines of the log with this number.
    Logged(u64, Vec<LogLine>),
    /// A line of output of the running command.
    Said(Visible),
    /// That command is over; the reason if it has failed.
    Over(Result<(), String>),
}

/// The end of a thread at which its news go in.
#[derive(Clone)]
struct Sender {
    news: SyncSender<News>,
    bell: Bell,
}

impl Sender {
    /// Returns whether somebody still wants it.
    fn send(&self, news: News) -> bool {
        let is_taken = self.news.send(news).is_ok();
        self.bell.ring();
        is_taken
    }
}

impl Subcommand for Monit {
    const MANUAL: Manual = Manual {
        exits: &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Unreachable],
        examples: &[
            (
                "rsgen monit",
                "Watches all apps: CPU usage, memory, queue, log; `?` shows the keys.",
            ),
            (
                "rsgen monit web --interval 0.5",
                "Watches one app, twice a second.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let known = targets::known(&context.layout);
        let apps = self.apps.iter().map(|word| targets::app(word, &known));
        let apps = apps.collect::<Result<Vec<_>, _>>()?;
        // Before anything is started, since threads inherit which signals are blocked.
        let canvas = context.sink.canvas().ok_or_else(no_terminal)?;
        let (news, inbox) = sync_channel(WAITING);
        let bell = canvas.bell();
        let sender = Sender { news, bell };
        look::begin(
            context.layout.clone(),
            context.host.cpus,
            (apps, self.interval),
            sender.clone(),
        );
        let mut monitor = Monitor {
            canvas,
            state: State::default(),
            tail: None,
            layout: &context.layout,
            cpus: context.host.cpus,
            sender,
        };
        let ended = monitor.run(&inbox);
        let left = monitor.state.running.take();
        // The terminal is given back before anything is printed.
        drop(monitor);
        ended?;
        if let Some(left) = left {
            let app = left.action.target().app().to_owned();
            let note = format!("`{}` continues", left.action.line());
            context.sink.notice(&Notice::Noted(&app, &note));
        }
        Ok(())
    }
}

fn no_terminal() -> Failure {
    Failure::new(
        Exit::Usage,
        "`monit` needs a terminal to draw on, and its keys",
    )
    .help("in a script or a pipe, use `rsgen list`, `rsgen list --json` or `rsgen metrics`")
}

struct Monitor<'a> {
    canvas: Canvas,
    state: State,
    tail: Option<Tail>,
    layout: &'a Layout,
    cpus: u32,
    sender: Sender,
}

impl Monitor<'_> {
    /// Runs until the user ends it.
    fn run(&mut self, inbox: &Receiver<News>) -> Result<(), Failure> {
        let gone = |error| Failure::failed(format!("cannot draw on the terminal: {error}"));
        loop {
            self.follow();
            let state = &mut self.state;
            self.canvas
                .draw(|page| draw::page(page, state))
                .map_err(gone)?;
            let time = until_log(self.is_followed(), self.state.chosen_at.elapsed());
            for input in self.canvas.wait(time) {
                let effect = match input {
                    Input::Key(key) => self.state.press(key),
                    Input::Suspend => Effect::Suspend,
                    Input::End => Effect::End,
                };
                match effect {
                    Effect::None => {}
                    Effect::End => return Ok(()),
                    Effect::Redraw => self.canvas.forget().map_err(gone)?,
                    Effect::Suspend => {
                        if !self.canvas.suspend().map_err(gone)? {
                            return Ok(());
                        }
                    }
                    Effect::Run(action) => {
                        action::begin(&action, self.layout.scope, self.sender.clone());
                        self.state.begin(action);
                    }
                }
            }
            // A bounded number, so that a flood of lines does not keep the keys waiting.
            for news in inbox.try_iter().take(WAITING) {
                self.take(news)?;
            }
        }
    }

    fn take(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Seen(apps) => self.state.see(apps),
            News::Unseen(failure) => self.state.unseen(failure)?,
            News::Logged(number, lines) => {
                let is_followed = self.tail.as_ref().is_some_and(|t| t.number == number);
                if is_followed {
                    self.state.log.add(lines);
                }
            }
            News::Said(line) => self.state.said(line),
            News::Over(result) => self.state.over(result),
        }
        Ok(())
    }

    fn is_followed(&self) -> bool {
        let wanted = self.state.followed();
        wanted.is_none() || self.tail.as_ref().map(|tail| &tail.of) == wanted.as_ref()
    }

    /// Opens the log of the chosen row.
    fn follow(&mut self) {
        let (is_followed, has_log) = (self.is_followed(), self.tail.is_some());
        if !is_due(is_followed, has_log, self.state.chosen_at.elapsed()) {
            return;
        }
        let Some(of) = self.state.followed() else {
            return;
        };
        let number = log::after(self.tail.take().map(|tail| tail.number));
        self.state.log.clear();
        self.tail = Some(Tail::open(self.layout, self.cpus, of, number, &self.sender));
    }
}

/// How long a row that has been chosen for this time has to stay chosen until its log is opened.
fn until_log(is_followed: bool, chosen_for: Duration) -> Duration {
    if is_followed {
        return IDLE;
    }
    CHOSEN.saturating_sub(chosen_for)
}

/// Whether the log of a row that has been chosen for this time is to be opened. The first log is opened at once.
fn is_due(is_followed: bool, has_log: bool, chosen_for: Duration) -> bool {
    !is_followed && (!has_log || chosen_for >= CHOSEN)
}
