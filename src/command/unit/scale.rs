//! The command of the unit that scales an app for a user who may start that unit, see [`by_unit`].

use super::super::context::Context;
use super::super::number::Number;
use super::super::scale;
use super::super::scaled::Refused;
use super::super::{by_unit, targets};
use crate::contract::Scale;
use crate::output::{Exit, Failure};

/// Scales the app, and leaves a note of how that has ended: the user who asked may not read the journal.
pub(super) fn scale(context: &mut Context<'_>, asked: &Scale) -> Result<(), Failure> {
    let known = targets::known(&context.layout);
    if !known.contains(&asked.app) {
        let message = format!("there is no app `{}`", asked.app);
        return Err(Failure::new(Exit::Usage, message).help("see `rsgen list`"));
    }
    let number = Number::These(asked.instances);
    let from = asked.compared.map(|compared| compared.from);
    let done = scale::to(context, &asked.app, (number, from), false);
    by_unit::note(context, asked, &done);
    context.sink.answer(&done.map_err(Refused::failure)?);
    Ok(())
}
