//! `rsgen generate`: the units as files, for those who ship them in a package.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::arguments::FileAndOnly;
use super::context::Context;
use super::selection::{self, Input};
use crate::generate;
use crate::output::Failure;
use crate::plan;

/// Arguments of `rsgen generate`.
#[derive(Debug, Args)]
pub(super) struct Generate {
    #[command(flatten)]
    file: FileAndOnly,
    /// The folder to write the units into
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The folder that will be `/` of the host, as in a package's build; the file lies below it
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Serialize)]
struct Json {
    files: Vec<String>,
}

pub(super) fn run(context: &mut Context, arguments: &Generate) -> Result<(), Failure> {
    let mut input = Input::read(&arguments.file.file)?;
    if let Some(root) = &arguments.root {
        input = input.below(root)?;
    }
    let mut files = Vec::new();
    for selected in selection::select(context, &input, &arguments.file.only, None)? {
        let set = plan::units(&selected.app, None, &context.layout, context.host)
            .map_err(Failure::failed)?;
        generate::write(&arguments.output, &set)
            .map_err(|e| Failure::failed(format!("{}: {e}", arguments.output.display())))?;
        files.extend(
            set.files
                .keys()
                .chain(set.links.keys())
                .map(|p| arguments.output.join(p).display().to_string()),
        );
    }
    for file in &files {
        context.printer.progress(file);
    }
    context.printer.json(&Json { files });
    Ok(())
}
