//! What is on the screen, and what each key does to it. Pure: it starts nothing and draws nothing.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::status::AppStatus;
use super::super::targets::Target;
use super::action::Action;
use super::log::{Log, Of};
use super::past::Past;
use crate::output::{Failure, Key};
use crate::visible::Visible;

/// How many of the last lines that a command says are kept, for the case that it fails.
const KEPT: usize = 100;
/// How many rows or lines a page key moves by.
const PAGE: usize = 10;

/// The part of the program that fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Page {
    /// Apps, their past and the end of a log.
    #[default]
    Apps,
    /// The log alone.
    Log,
    /// The keys.
    Help,
}

/// What a key asks for that is done outside of this state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    /// The end of the program.
    End,
    /// The terminal is given back for a while.
    Suspend,
    /// Everything is redrawn.
    Redraw,
    /// A change that the user has agreed to.
    Run(Action),
}

/// A change whose command runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) action: Action,
    pub(super) said: VecDeque<Visible>,
}

/// A change that failed, until the user has seen that.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) title: String,
    pub(super) said: Vec<Visible>,
}

/// What is on the screen.
pub(super) struct State {
    pub(super) apps: Vec<AppStatus>,
    /// Whether the apps have been looked at.
    pub(super) has_seen: bool,
    /// Why they could not be looked at the last time.
    pub(super) trouble: Option<Visible>,
    pub(super) past: Past,
    pub(super) page: Page,
    /// The number of the chosen row.
    pub(super) chosen: usize,
    pub(super) chosen_at: Instant,
    /// The number of the first row that is shown.
    pub(super) top: usize,
    pub(super) log: Log,
    /// A change that the user is asked about.
    pub(super) asked: Option<Action>,
    pub(super) running: Option<Running>,
    pub(super) failed: Option<Failed>,
    /// The answer to the last key, or how the last change ended.
    pub(super) told: Visible,
}

impl Default for State {
    fn default() -> Self {
        Self {
            apps: Vec::new(),
            has_seen: false,
            trouble: None,
            past: Past::default(),
            page: Page::default(),
            chosen: 0,
            chosen_at: Instant::now(),
            top: 0,
            log: Log::default(),
            asked: None,
            running: None,
            failed: None,
            told: Visible::default(),
        }
    }
}

impl State {
    /// The rows, each with what it is about.
    pub(super) fn rows(&self) -> Vec<Target> {
        let rows = self.apps.iter().flat_map(|app| {
            let instance = |number| Target::Instance(app.name.clone(), number);
            let below = app.below().iter().map(move |i| instance(i.number));
            std::iter::once(Target::App(app.name.clone())).chain(below)
        });
        rows.collect()
    }

    /// The app or instance that is chosen.
    pub(super) fn target(&self) -> Option<Target> {
        self.rows().into_iter().nth(self.chosen)
    }

    /// The app of the chosen row.
    pub(super) fn app(&self) -> Option<&AppStatus> {
        let target = self.target()?;
        self.apps.iter().find(|app| app.name == target.app())
    }

    /// What the log is to be about.
    pub(super) fn followed(&self) -> Option<Of> {
        Some((self.target()?, self.app()?.wanted))
    }

    /// Takes a look at the apps. The chosen row stays what it is about, wherever that is now.
    pub(super) fn see(&mut self, apps: Vec<AppStatus>) {
        let chosen = self.target();
        self.past.add(&apps);
        self.apps = apps;
        (self.has_seen, self.trouble) = (true, None);
        let rows = self.rows();
        let place = chosen.and_then(|target| rows.iter().position(|row| *row == target));
        let last = rows.len().saturating_sub(1);
        self.chosen = place.unwrap_or(self.chosen).min(last);
    }

    /// Takes note that the apps could not be looked at.
    ///
    /// # Errors
    /// Where they never were, and there is nothing to show instead.
    pub(super) fn unseen(&mut self, failure: Failure) -> Result<(), Failure> {
        if !self.has_seen {
            return Err(failure);
        }
        self.trouble = Some(Visible::line(&failure.message));
        Ok(())
    }

    /// Takes note of a change that has begun.
    pub(super) fn begin(&mut self, action: Action) {
        self.told = Visible::default();
        let said = VecDeque::new();
        self.running = Some(Running { action, said });
    }

    /// Takes a line of the command that runs.
    pub(super) fn said(&mut self, line: Visible) {
        if let Some(running) = &mut self.running {
            running.said.push_back(line);
            if running.said.len() > KEPT {
                running.said.pop_front();
            }
        }
    }

    /// Takes the end of the command that runs.
    pub(super) fn over(&mut self, result: Result<(), String>) {
        let Some(Running { action, said }) = self.running.take() else {
            return;
        };
        let line = action.line();
        match result {
            Ok(()) => {
                let last = said.back().map_or("done", |said| said.as_str().trim());
                self.told = Visible::again(&format!("{line}: {last}"));
            }
            Err(reason) => {
                self.told = Visible::line(&format!("{line}: {reason}"));
                self.failed = Some(Failed {
                    title: format!("{line}: {reason}"),
                    said: said.into(),
                });
            }
        }
    }

    /// Takes a key.
    pub(super) fn press(&mut self, key: Key) -> Effect {
        match key {
            Key::Interrupt => return Effect::End,
            Key::Suspend => return Effect::Suspend,
            Key::Redraw => return Effect::Redraw,
            _ => {}
        }
        if let Some(action) = self.asked.take() {
            return match key {
                Key::Char('y' | 'Y') => Effect::Run(action),
                _ => Effect::None,
            };
        }
        if self.failed.take().is_some() {
            return Effect::None;
        }
        match self.page {
            Page::Apps => self.press_on_apps(key),
            Page::Log => self.press_on_log(key),
            Page::Help => {
                self.page = Page::Apps;
                Effect::None
            }
        }
    }

    fn press_on_apps(&mut self, key: Key) -> Effect {
        // It has been read, and the keys stand there again.
        self.told = Visible::default();
        let last = self.rows().len().saturating_sub(1);
        let chosen = match key {
            Key::Up | Key::Char('k') => self.chosen.saturating_sub(1),
            Key::Down | Key::Char('j') => self.chosen + 1,
            Key::PageUp => self.chosen.saturating_sub(PAGE),
            Key::PageDown => self.chosen + PAGE,
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => last,
            _ => self.chosen,
        };
        if chosen.min(last) != self.chosen {
            self.chosen = chosen.min(last);
            self.chosen_at = Instant::now();
        }
        match key {
            Key::Char('q') => return Effect::End,
            Key::Char('?' | 'h') => self.page = Page::Help,
            Key::Char('l') | Key::Enter => self.page = Page::Log,
            Key::Char(letter) => self.ask(letter),
            _ => {}
        }
        Effect::None
    }

    fn press_on_log(&mut self, key: Key) -> Effect {
        let up = self.log.up;
        self.log.up = match key {
            Key::Up | Key::Char('k') => up + 1,
            Key::Down | Key::Char('j') => up.saturating_sub(1),
            Key::PageUp => up + PAGE,
            Key::PageDown => up.saturating_sub(PAGE),
            Key::Home | Key::Char('g') => usize::MAX / 2,
            Key::End | Key::Char('G') => 0,
            _ => up,
        };
        if matches!(key, Key::Char('q' | 'l') | Key::Escape | Key::Enter) {
            self.page = Page::Apps;
            self.log.up = 0;
        }
        Effect::None
    }

    /// Asks about the change that a letter means.
    fn ask(&mut self, letter: char) {
        let Some(target) = self.target() else {
            return;
        };
        let app = Target::App(target.app().to_owned());
        let action = match letter {
            'r' => Action::Reload(app),
            '+' => Action::More(app),
            '-' => Action::Fewer(app),
            'R' => Action::Restart(target),
            _ => return,
        };
        if let Some(running) = &self.running {
            self.told = Visible::line(&format!("`{}` still runs", running.action.line()));
        } else {
            self.asked = Some(action);
        }
    }
}
