//! A sink for commands that work on the manager of a user: the commands in what it passes on name that manager, so that they can be pasted.

use std::time::Instant;

use super::hint;
use crate::ecosystem::Report;
use crate::layout::Scope;
use crate::output::{Answer, Block, Canvas, Failure, Notice, Prompt, Screen, Sink};

/// Passes everything on, with `--user` in the commands of notices and warnings. Results and failures see to that themselves.
pub(super) struct OfUser<'a>(pub(super) &'a dyn Sink);

fn adapted(text: &str) -> String {
    hint::for_manager(Scope::User, text)
}

impl Sink for OfUser<'_> {
    fn notice(&self, notice: &Notice<'_>) {
        match notice {
            Notice::Noted(app, text) => self.0.notice(&Notice::Noted(app, &adapted(text))),
            Notice::Waiting(app, text) => self.0.notice(&Notice::Waiting(app, &adapted(text))),
            Notice::Remark(text) => self.0.notice(&Notice::Remark(&adapted(text))),
            Notice::Faults(report) => {
                let report = hint::report_for_manager(Scope::User, report);
                self.0.notice(&Notice::Faults(&report));
            }
            // The command in it is in the middle of a sentence about an app.
            Notice::Chosen(app, ..) => {
                let text = adapted(&notice.to_string());
                let text = text.strip_prefix(&format!("{app}: ")).unwrap_or(&text);
                self.0.notice(&Notice::Noted(app, text));
            }
            other => self.0.notice(other),
        }
    }

    fn warnings(&self, report: &Report) {
        let report = hint::report_for_manager(Scope::User, report);
        self.0.warnings(&report);
    }

    fn answer(&self, answer: &dyn Answer) {
        self.0.answer(answer);
    }

    fn item(&self, item: &dyn Answer) -> bool {
        self.0.item(item)
    }

    fn failure(&self, failure: &Failure) {
        self.0.failure(failure);
    }

    fn screen(&self) -> Option<Screen> {
        self.0.screen()
    }

    fn canvas(&self) -> Option<Canvas> {
        self.0.canvas()
    }

    fn block(&self) -> Option<Block> {
        self.0.block()
    }

    fn prompt(&self) -> Option<Prompt> {
        self.0.prompt()
    }

    fn shown_at(&self) -> Option<Instant> {
        self.0.shown_at()
    }

    fn is_for_scripts(&self) -> bool {
        self.0.is_for_scripts()
    }
}
