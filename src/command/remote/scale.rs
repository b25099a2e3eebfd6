//! `rsgen scale` on another host, by the unit of ours that does it there, see [`super::super::by_unit`]. Its status says how it has ended.

use super::super::by_unit::{self, Ended};
use super::super::number::Number;
use super::super::scaled::Scaled;
use super::Remote;
use crate::contract::Instances;
use crate::output::{Exit, Failure, Notice};
use crate::systemd::{ATTEMPTS, JobResult};
use crate::unit::name::Units;

/// Brings an app of the other host to this number of instances.
pub(in crate::command) fn scale(
    remote: &mut Remote<'_>,
    word: &str,
    number: Number,
) -> Result<Scaled, Failure> {
    // Others may scale the app as well, and each of them once.
    for _ in 0..ATTEMPTS {
        if let Some(scaled) = attempt(remote, word, number)? {
            return Ok(scaled);
        }
    }
    let host = &remote.host;
    let message = format!("{host}: others scale `{word}` again and again");
    Err(Failure::failed(message).help("run it again"))
}

/// Does so once; `None` where somebody else was first.
fn attempt(remote: &mut Remote<'_>, word: &str, number: Number) -> Result<Option<Scaled>, Failure> {
    let (app, found) = remote.app(word)?;
    if found.is_job {
        let host = &remote.host;
        let message = format!("{host}: `{app}` is a job, and its instances run only when it does");
        return Err(Failure::new(Exit::Usage, message)
            .help(format!("change `instances` in its file on {host}")));
    }
    let from = found.wanted;
    let wanted = wanted(remote, &app, number, from)?;
    let to = match wanted {
        Instances::Exactly(to) => Some(to),
        Instances::Max | Instances::Fewer(_) => None,
    };
    let asked = by_unit::asked(&app, number, from, wanted);
    let name = Units::of(&app).scaler(asked.number());
    let unit = remote.ask(|manager| manager.unit(&name))?;
    if unit.load != "loaded" {
        let host = &remote.host;
        let there = host.typed(&format!(
            "rsgen scale {app} {}",
            to.map_or("max".into(), |to| to.to_string())
        ));
        let message = format!("{host} has no unit {name}");
        return Err(
            Failure::failed(message).help(format!("upgrade rsgen on {host}, or run `{there}`"))
        );
    }
    remote.ask(|manager| manager.listen_to(&name))?;
    let change = from.zip(to).filter(|(from, to)| from != to);
    let mut told = change.map(|(from, to)| Notice::Scaling(&app, from, to));
    let is_untold = told.is_some();
    let sink = remote.sink;
    let result =
        remote.ask(|manager| by_unit::run(manager, (sink, None), &app, &unit, &mut told))?;
    let said = remote.manager()?.heard();
    let ended = said.as_deref().and_then(Ended::parse);
    if ended.as_ref().is_some_and(Ended::has_moved) {
        return Ok(None);
    }
    let ended = ended.map(Ended::result);
    // A result about another app or another number is no answer.
    let is_answer =
        |scaled: &Scaled| scaled.app == app && to.is_none_or(|to| to == scaled.instances);
    match ended.transpose().map_err(|failure| remote.told(failure))? {
        Some(scaled) if is_answer(&scaled) => {
            by_unit::tell(sink, &scaled, is_untold && told.is_none());
            Ok(Some(scaled))
        }
        _ => silent(remote, &app, (from, to), &name, result).map(Some),
    }
}

/// The number of instances that is asked for. One that is compared with the present one needs that.
fn wanted(
    remote: &Remote<'_>,
    app: &str,
    number: Number,
    from: Option<u32>,
) -> Result<Instances, Failure> {
    match (number, from) {
        (Number::These(_), None) => number.of(app, 1),
        (_, Some(from)) => number.of(app, from),
        (Number::More(_) | Number::Fewer(_), None) => {
            let host = &remote.host;
            let message =
                format!("{host}: how many instances `{app}` has depends on the CPUs of that host");
            Err(Failure::new(Exit::Usage, message).help(format!(
                "write the number itself, for instance `rsgen --host {host} scale {app} 4`"
            )))
        }
    }
}

/// Returns what is known where the unit has said nothing that could be read, such as that of an older version.
fn silent(
    remote: &mut Remote<'_>,
    app: &str,
    (from, to): (Option<u32>, Option<u32>),
    unit: &str,
    result: JobResult,
) -> Result<Scaled, Failure> {
    let now = remote.apps()?.get(app).and_then(|found| found.wanted);
    if let (JobResult::Done, Some(now)) = (result, now)
        && to.is_none_or(|to| to == now)
    {
        let cluster = remote.ask(|manager| manager.unit(&Units::of(app).cluster()))?;
        return Ok(Scaled {
            changed: from != Some(now),
            dry_run: false,
            app: app.to_owned(),
            instances: now,
            before: from.unwrap_or(now),
            changes: Vec::new(),
            started: Vec::new(),
            stopped: Vec::new(),
            is_up: cluster.is_ready(),
        });
    }
    let host = &remote.host;
    let message = format!("{host}: {unit} ended as `{result}` without reporting a reason");
    let there = host.typed(&format!("journalctl -u {unit} -n 50"));
    // Of rsgen before 0.8, whose unit knows no number that is compared with another.
    let older = unit.contains(":from-").then(|| {
        String::from("upgrade rsgen there, or write the number itself in place of one that is compared with the present one")
    });
    Err(Failure::failed(message)
        .help(format!("see `{there}`"))
        .help_also(older))
}
