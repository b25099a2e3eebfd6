//! `rsgen edit`: changes the installed file of an app in an editor, and has the change take effect.
//!
//! The editor gets a copy that nobody else can open. The file itself is written only once the copy has been checked, and only if it is
//! still as it was when the copy was made; with `rsgen reload` after an edit by hand, a broken file lies in its place until then. What was
//! typed is never lost: if it does not take effect, the copy stays and its path is shown.

use std::io::{ErrorKind, Read};

use clap::Args;

use super::apply::{self, Prepared};
use super::context::Context;
use super::course::Pace;
use super::deployment::{self, Goal};
use super::editor::Editor;
use super::kept;
use super::manual::{self, Manual};
use super::outcome::{Action, Outcome};
use super::remarks;
use super::revision::{self, Original};
use super::subcommand::Subcommand;
use super::targets;
use crate::ecosystem::Report;
use crate::generate::{self, files};
use crate::output::{Answer, Exit, Failure, Notice, Shown, Sink, Style};
use crate::plan::diff::Content;
use crate::state::Draft;

const INVALID: &str = "Edit again, or discard? [e/d]";
const VALID: &str = "Apply this, edit again, or discard? [a/e/d]";
const APPLY: char = 'a';
const AGAIN: char = 'e';
const DISCARD: char = 'd';

/// Change the installed file of an app in an editor, then check it and reload the app
#[derive(Debug, Args)]
pub(super) struct Edit {
    /// The app
    #[arg(value_name = "APP")]
    app: String,
    /// Show what the edit would change, as a diff, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pace: Pace,
}

impl Subcommand for Edit {
    const MANUAL: Manual = Manual {
        exits: manual::EXITS,
        examples: &[
            (
                "rsgen edit web",
                "Opens /etc/rsgen/web.toml in an editor, shows the resulting changes, and reloads the app.",
            ),
            (
                "rsgen edit web --dry-run",
                "Shows what the edit would change, and says where the edited text is.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let app = targets::app(&self.app, &targets::known(&context.layout))?;
        // Nothing is typed in vain.
        context.require_permission("edit")?;
        match context.jobs() {
            Ok(mut jobs) => kept::refuse(&mut jobs, &app)?,
            // Without systemd, as when an image is built, nothing is paused either.
            Err(failure) if !self.dry_run => return Err(failure),
            Err(_) => {}
        }
        let original = Original::of(&context.layout, &app)?;
        let editor = Editor::of_caller(context.sink.is_for_scripts())?;
        let draft = begin(context, &original)?;
        let revision = Revision {
            original,
            editor,
            draft,
            dry_run: self.dry_run,
            goal: Goal::Current(self.pace.on(None)),
        };
        revision.carry_out(context)
    }
}

/// An edit that is under way.
struct Revision {
    original: Original,
    editor: Editor,
    draft: Draft,
    dry_run: bool,
    goal: Goal,
}

/// Makes the copy for the editor.
fn begin(context: &Context<'_>, original: &Original) -> Result<Draft, Failure> {
    let app = original.app();
    let draft = Draft::begin(&context.layout.run, app, &original.text);
    let draft = draft.map_err(|e| {
        let run = context.layout.run.display();
        Failure::failed(format!("cannot write the copy for the editor: {run}: {e}"))
    })?;
    let draft = draft.ok_or_else(|| {
        let lock = format!("{}/:edit:{app}/lock", context.layout.run.display());
        Failure::failed(format!("another `rsgen edit` has `{app}` open"))
            .help(format!("`fuser -v {lock}` shows which"))
    })?;
    // The last one is the one that a user may miss.
    if let Some((last, others)) = draft.earlier().split_last() {
        let more = match others.len() {
            0 => String::new(),
            1 => "; an older copy is beside it".to_owned(),
            count => format!("; {count} older copies are beside it"),
        };
        let text = format!("an earlier edit has left {}{more}", last.display());
        context.sink.notice(&Notice::Noted(app, &text));
    }
    Ok(draft)
}

impl Revision {
    fn carry_out(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let done = self.apply(context);
        let is_lost = match (&done, self.edited()) {
            (_, None) => false,
            (Ok(()), Some(_)) => self.dry_run,
            // A reload that has replaced instances leaves the new file in its place.
            (Err(_), Some(text)) => {
                let target = files::content(&self.original.target);
                let is_there = |text| target == Some(Content::File(text));
                !String::from_utf8(text).is_ok_and(is_there)
            }
        };
        if !is_lost {
            self.draft.discard();
            return done;
        }
        let path = self.draft.path().display();
        let told = format!("the edited text is kept in {path}");
        match done {
            Err(failure) if !failure.message.is_empty() => Err(failure.help_also(Some(told))),
            done => {
                let app = self.original.app();
                context.sink.notice(&Notice::Noted(app, &told));
                done
            }
        }
    }

    /// The content of the copy, if it says anything else than the file. What cannot be read as a text was typed as well.
    fn edited(&self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let read = files::open(self.draft.path()).and_then(|mut file| file.read_to_end(&mut text));
        let is_edited = match read {
            Err(e) => e.kind() != ErrorKind::NotFound,
            Ok(_) => text != self.original.text.as_bytes() && !text.trim_ascii().is_empty(),
        };
        is_edited.then_some(text)
    }

    fn apply(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        let app = self.original.app();
        let scope = context.layout.scope;
        let Some(prepared) = self.ask(context)? else {
            let is_job = generate::is_known_job(&context.layout, app);
            let unchanged = [Prepared::unchanged(app, is_job)];
            let outcome = Outcome::new(&unchanged, &[Action::Nothing], self.dry_run, scope);
            context.sink.answer(&outcome);
            return Ok(());
        };
        let prepared = [prepared];
        let outcome = if self.dry_run {
            let jobs = context.jobs().ok();
            deployment::foresee(jobs, &prepared, Vec::new(), self.goal, scope)?
        } else {
            let outcome = deployment::deploy(&mut context.jobs()?, &prepared, self.goal)?;
            remarks::tell_further_ports(&mut context.jobs()?, &outcome)?;
            outcome
        };
        context.sink.answer(&outcome);
        Ok(())
    }

    /// Lets the caller edit until the copy is valid and agreed to. Returns what it changes; `None` if that is nothing.
    fn ask(&self, context: &mut Context<'_>) -> Result<Option<Prepared>, Failure> {
        self.editor.edit(self.draft.path())?;
        loop {
            let checked = self.check(context);
            let prompt = context.sink.prompt();
            let answer = match (checked, prompt) {
                (Ok(None), _) => return Ok(None),
                (Ok(Some(prepared)), prompt) => {
                    self.original.refuse_changed()?;
                    apply::show(context.sink, std::slice::from_ref(&prepared), true);
                    let prompt = prompt.filter(|_| !self.dry_run);
                    let Some(prompt) = prompt else {
                        return Ok(Some(prepared));
                    };
                    let foreseen = tell_steps(context, &prepared)?;
                    self.tell_place(context);
                    let answer = prompt.ask(VALID, &[APPLY, AGAIN, DISCARD]);
                    if answer == Some(APPLY) {
                        match self.planned_anew(context, &prepared, &foreseen)? {
                            Some(prepared) => return Ok(Some(prepared)),
                            None => continue,
                        }
                    }
                    answer
                }
                (Err(failure), None) => return Err(failure),
                (Err(failure), Some(prompt)) => {
                    self.original.refuse_changed()?;
                    context.sink.failure(&failure);
                    self.tell_place(context);
                    let answer = prompt.ask(INVALID, &[AGAIN, DISCARD]);
                    if answer != Some(AGAIN) {
                        return Err(failure.silent());
                    }
                    answer
                }
            };
            if answer != Some(AGAIN) {
                return Err(Failure::failed("discarded, so nothing was changed"));
            }
            self.editor.edit(self.draft.path())?;
        }
    }

    /// Shows where the text is before a question, which Ctrl-C ends together with the command.
    fn tell_place(&self, context: &Context<'_>) {
        let text = format!("the edited text is in {}", self.draft.path().display());
        let app = self.original.app();
        context.sink.notice(&Notice::Noted(app, &text));
    }

    /// Makes the plan again that was agreed to, since a person may think for long: the app may have been started, stopped or paused
    /// meanwhile. Returns `None` if it has become another one, and says so.
    fn planned_anew(
        &self,
        context: &mut Context<'_>,
        agreed: &Prepared,
        foreseen: &[String],
    ) -> Result<Option<Prepared>, Failure> {
        let app = self.original.app();
        kept::refuse(&mut context.jobs()?, app)?;
        self.original.refuse_changed()?;
        // All warnings were already shown.
        let sink = std::mem::replace(&mut context.sink, &Silence);
        let planned = self.check(context);
        context.sink = sink;
        if let Some(planned) = planned?
            && planned.changes == agreed.changes
            && steps(context, &planned)? == foreseen
        {
            return Ok(Some(planned));
        }
        let text = "something changed while you were asked; this is what would happen now";
        context.sink.notice(&Notice::Noted(app, text));
        Ok(None)
    }

    /// Returns what the text in the copy changes; `None` if that is nothing.
    fn check(&self, context: &mut Context<'_>) -> Result<Option<Prepared>, Failure> {
        let path = self.draft.path();
        let text = match files::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let app = self.original.app();
                let message = "the editor has removed the file, so nothing was changed";
                let help = format!("`rsgen uninstall {app}` removes the app");
                return Err(Failure::failed(message).help(help));
            }
            Err(e) => {
                let message = format!("{} cannot be read: {e}", path.display());
                let help = match e.kind() {
                    ErrorKind::InvalidData => "save it as UTF-8",
                    _ => "save it as a text in a file of its own",
                };
                return Err(Failure::new(Exit::Invalid, message).help(help));
            }
        };
        if text == self.original.text || text.trim().is_empty() {
            return Ok(None);
        }
        revision::prepare(context, &self.original, text, path).map(Some)
    }
}

/// Tells what follows, before it is agreed to, and returns it.
fn tell_steps(context: &mut Context<'_>, prepared: &Prepared) -> Result<Vec<String>, Failure> {
    let steps = steps(context, prepared)?;
    for line in &steps {
        context.sink.notice(&Notice::Remark(line));
    }
    Ok(steps)
}

/// Returns the lines about what follows.
fn steps(context: &mut Context<'_>, prepared: &Prepared) -> Result<Vec<String>, Failure> {
    let prepared = std::slice::from_ref(prepared);
    let scope = context.layout.scope;
    let jobs = context.jobs()?;
    let foreseen = deployment::foresee(Some(jobs), prepared, Vec::new(), Goal::CURRENT, scope)?;
    let steps = foreseen.shown(Style::Plain);
    let lines = steps.iter().flat_map(|steps| steps.as_str().lines());
    Ok(lines.map(str::to_owned).collect())
}

/// A sink for what was shown before.
struct Silence;

impl Sink for Silence {
    fn notice(&self, _: &Notice<'_>) {}
    fn answer(&self, _: &dyn Answer) {}
    fn warnings(&self, _: &Report) {}
    fn failure(&self, _: &Failure) {}
}
