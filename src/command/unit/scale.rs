//! The command of the unit that scales an app for a user who may start that unit, see [`by_unit`].

use super::super::context::Context;
use super::super::number::Number;
use super::super::scale;
use super::super::scaled::Refused;
use super::super::{by_unit, targets};
use crate::contract::Scale;
use crate::output::{Exit, Failure};
use crate::unit::name::Units;

/// The largest number of such units that may wait for each other, in which a number is compared with that of the app.
const MOST: usize = 32;

/// Returns the failure of one that is beyond [`MOST`]. The user who asks chooses a part of the name, so the names alone limit nothing, and
/// each of these units would wait as long as a reload takes.
fn too_many(context: &mut Context<'_>, asked: &Scale) -> Result<Option<Failure>, Failure> {
    if asked.compared.is_none() {
        return Ok(None);
    }
    let scalers = Units::of(&asked.app).scalers();
    let units = context.manager()?.units(&scalers)?;
    let count = units.iter().filter(|unit| !unit.is_gone()).count();
    let failure = || {
        Failure::failed(format!("{count} commands scale `{}` at once", asked.app))
            .help("run it again once they have ended")
    };
    Ok((count > MOST).then(failure))
}

/// Scales the app, and leaves a note of how that has ended: the user who asked may not read the journal.
pub(super) fn scale(context: &mut Context<'_>, asked: &Scale) -> Result<(), Failure> {
    let known = targets::known(&context.layout);
    if !known.contains(&asked.app) {
        let message = format!("there is no app `{}`", asked.app);
        return Err(Failure::new(Exit::Usage, message).help("see `rsgen list`"));
    }
    let number = Number::These(asked.instances);
    let from = asked.compared.map(|compared| compared.from);
    let done = match too_many(context, asked)? {
        Some(failure) => Err(Refused::from(failure)),
        None => scale::to(context, &asked.app, (number, from), false),
    };
    by_unit::note(context, asked, &done);
    context.sink.answer(&done.map_err(Refused::failure)?);
    Ok(())
}
