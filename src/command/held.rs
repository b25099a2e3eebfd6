//! A sink that keeps back what programs have written in a start after which their address is found out: such a start is no
//! failure of theirs.

use std::cell::RefCell;
use std::time::Instant;

use crate::ecosystem::Report;
use crate::output::{Answer, Failure, Notice, Sink};
use crate::visible::Visible;

/// Passes everything on, but for the last words of an app that `keeps`.
pub(super) struct Held<'a> {
    sink: &'a dyn Sink,
    keeps: &'a dyn Fn(&str) -> bool,
    /// The app that is being started.
    app: RefCell<String>,
    words: RefCell<Vec<(String, Visible)>>,
}

impl<'a> Held<'a> {
    pub(super) fn over(sink: &'a dyn Sink, keeps: &'a dyn Fn(&str) -> bool) -> Self {
        Self {
            sink,
            keeps,
            app: RefCell::default(),
            words: RefCell::default(),
        }
    }

    /// What was kept back, each line with its app.
    pub(super) fn into_words(self) -> Vec<(String, Visible)> {
        self.words.into_inner()
    }
}

impl Sink for Held<'_> {
    fn notice(&self, notice: &Notice<'_>) {
        let app = self.app.borrow().clone();
        match notice {
            Notice::LastWord(line) if (self.keeps)(&app) => {
                self.words.borrow_mut().push((app, (*line).clone()));
                return;
            }
            Notice::Starting(app) => (*app).clone_into(&mut self.app.borrow_mut()),
            _ => {}
        }
        self.sink.notice(notice);
    }

    fn answer(&self, answer: &dyn Answer) {
        self.sink.answer(answer);
    }

    fn warnings(&self, report: &Report) {
        self.sink.warnings(report);
    }

    fn failure(&self, failure: &Failure) {
        self.sink.failure(failure);
    }

    fn shown_at(&self) -> Option<Instant> {
        self.sink.shown_at()
    }

    fn is_for_scripts(&self) -> bool {
        self.sink.is_for_scripts()
    }
}
