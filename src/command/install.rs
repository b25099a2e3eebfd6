//! `rsgen install`: from an ecosystem file to a running cluster, and again after each change.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::apply::{self, JsonChange, Prepared};
use super::context::Context;
use super::follow;
use super::list;
use super::selection::{self, Input};
use super::step::Step;
use crate::ecosystem::values::{Instances, Listen};
use crate::output::{Exit, Failure};
use crate::systemd::Verb;
use crate::unit::name::Units;

/// Arguments of `rsgen install`.
#[derive(Debug, Args)]
pub(super) struct Install {
    /// An ecosystem file (`-` is standard input), or a script together with --listen
    #[arg(value_name = "FILE|SCRIPT", default_value = "ecosystem.toml")]
    file: PathBuf,
    /// How many instances: a number, `max` for every CPU, -1 for all but one
    #[arg(short, long, allow_hyphen_values = true, value_name = "N")]
    instances: Option<Instances>,
    /// Only these apps of the file
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    only: Vec<String>,
    /// Show what would change, as a diff, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Move to another address, closing the old one first
    #[arg(long)]
    replace_listener: bool,
    /// For a script: the address that its instances share
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<Listen>,
    /// For a script: the app's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For a script: its arguments
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// What was done, or with `--dry-run` would be, as scripts read it.
#[derive(Serialize)]
struct Json {
    /// Whether a file or a process is not what it was.
    changed: bool,
    dry_run: bool,
    changes: Vec<JsonChange>,
    apps: Vec<String>,
    /// The apps that did not run.
    started: Vec<String>,
    /// The apps whose instances were replaced one by one.
    reloaded: Vec<String>,
}

impl Json {
    fn new(prepared: &[Prepared], steps: &[Step], dry_run: bool) -> Self {
        let names = |wanted: Step| {
            let with = prepared.iter().zip(steps).filter(|(_, s)| **s == wanted);
            with.map(|(p, _)| p.app.name.clone()).collect()
        };
        let changes = prepared.iter().flat_map(|p| &p.changes);
        Self {
            changed: prepared.iter().any(|p| !p.changes.is_empty())
                || steps.iter().any(|s| *s != Step::Nothing),
            dry_run,
            changes: changes.map(|c| JsonChange::new(c, dry_run)).collect(),
            apps: prepared.iter().map(|p| p.app.name.clone()).collect(),
            started: names(Step::Start),
            reloaded: names(Step::Reload),
        }
    }
}

pub(super) fn run(context: &mut Context, arguments: &Install) -> Result<(), Failure> {
    let input = input(arguments)?;
    let selected = selection::select(context, &input, &arguments.only, arguments.instances)?;
    let (layout, host) = (context.layout.clone(), context.host);
    let prepared: Vec<Prepared> = selected
        .into_iter()
        .map(|s| apply::prepare(&layout, host, s))
        .collect::<Result<_, _>>()?;
    apply::show(context, &prepared, arguments.dry_run);
    refuse_readdressing(&prepared, arguments)?;
    let json = if arguments.dry_run {
        foresee(context, &prepared)?
    } else {
        context.require_permission("install")?;
        context.manager()?;
        let steps = carry_out(context, &prepared)?;
        Json::new(&prepared, &steps, false)
    };
    if !json.changed {
        context.printer.line("nothing to do");
    }
    context.printer.json(&json);
    if !arguments.dry_run && !context.printer.json {
        list::print(context, &json.apps)?;
    }
    Ok(())
}

/// What would be done. Units can be looked at where no systemd runs, as when an image is built; what
/// would become of processes is then not told.
fn foresee(context: &mut Context, prepared: &[Prepared]) -> Result<Json, Failure> {
    let steps = match context.manager() {
        Ok(_) => prepared
            .iter()
            .map(|p| Step::of(context, p))
            .collect::<Result<_, _>>()?,
        Err(_) => Vec::new(),
    };
    let json = Json::new(prepared, &steps, true);
    for app in &json.started {
        context.printer.line(format!("{app}: would start"));
    }
    for app in &json.reloaded {
        context.printer.line(format!("{app}: would reload"));
    }
    Ok(json)
}

fn input(arguments: &Install) -> Result<Input, Failure> {
    let is_script = arguments.file.extension().is_none_or(|e| e != "toml")
        && arguments.file != Path::new(selection::STANDARD_INPUT);
    if !is_script {
        if !arguments.listen.is_empty() || arguments.name.is_some() || !arguments.args.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "--listen, --name and arguments are for a script",
            )
            .help("write them into the ecosystem file"));
        }
        return Input::read(&arguments.file);
    }
    if arguments.listen.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            format!("where does `{}` listen?", arguments.file.display()),
        )
        .help("add --listen, e.g. `--listen 3000`"));
    }
    script_as_file(arguments)
}

/// What an ecosystem file for this one script would say.
fn script_as_file(arguments: &Install) -> Result<Input, Failure> {
    let absolute = std::path::absolute(&arguments.file)
        .map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
    let folder = selection::utf8_folder(&absolute)?;
    let file = absolute
        .file_name()
        .and_then(|f| f.to_str())
        .ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("`{}` is not named in UTF-8", arguments.file.display()),
            )
        })?;
    let mut table = toml_edit::Table::new();
    if let Some(name) = &arguments.name {
        table.insert("name", toml_edit::value(name));
    }
    table.insert(
        "script",
        toml_edit::value(if folder.join(file).exists() {
            file
        } else {
            arguments.file.to_str().unwrap_or(file)
        }),
    );
    if !arguments.args.is_empty() {
        table.insert(
            "args",
            toml_edit::value(arguments.args.iter().collect::<toml_edit::Array>()),
        );
    }
    let listen: toml_edit::Array = arguments.listen.iter().map(ToString::to_string).collect();
    table.insert("listen", toml_edit::value(listen));
    let mut tables = toml_edit::ArrayOfTables::new();
    tables.push(table);
    let mut document = toml_edit::DocumentMut::new();
    document.insert(
        crate::ecosystem::APPS,
        toml_edit::Item::ArrayOfTables(tables),
    );
    let folder = if folder.join(file).exists() {
        folder
    } else {
        std::env::current_dir().unwrap_or_else(|_| Path::new("/").into())
    };
    Ok(Input {
        shown: "the command line".into(),
        text: document.to_string(),
        folder,
        root: None,
    })
}

// systemd drops a listening socket whose address changes, and says nothing.
fn refuse_readdressing(prepared: &[Prepared], arguments: &Install) -> Result<(), Failure> {
    let moved = prepared
        .iter()
        .find_map(|p| Some((p, p.readdressed.as_ref()?)));
    match moved {
        Some((p, (old, new))) if !arguments.replace_listener => Err(Failure::failed(format!(
            "`{}` listens on {old}; moving it to {new} closes {old} first",
            p.app.name
        ))
        .help("add --replace-listener to do that, with a moment without service")),
        _ => Ok(()),
    }
}

/// Writes and applies; what was done to the processes of each.
fn carry_out(context: &mut Context, prepared: &[Prepared]) -> Result<Vec<Step>, Failure> {
    for p in prepared.iter().filter(|p| p.readdressed.is_some()) {
        let units = Units::of(&p.app.name);
        follow::job(context, Verb::Stop, &units.cluster())?;
        for socket in units.sockets() {
            follow::job(context, Verb::Stop, &socket)?;
        }
    }
    if prepared.iter().any(|p| !p.changes.is_empty()) {
        apply::write(context, prepared)?;
    }
    let mut steps = Vec::new();
    for p in prepared {
        let step = Step::of(context, p)?;
        step.take(context, p)?;
        steps.push(step);
    }
    Ok(steps)
}
