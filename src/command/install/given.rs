//! The ecosystem file that `rsgen install` works on: the one that is named, or one made of a PM2 file or of a script's command line.

use std::path::Path;

use super::Install;
use crate::command::import;
use crate::command::input::{self, Input};
use crate::import::Kind;
use crate::output::{Exit, Failure, Notice, Sink};

/// The ecosystem file that is made from a PM2 file, if that is asked for.
fn of_pm2(arguments: &Install, sink: &dyn Sink) -> Result<Input, Failure> {
    let file = &arguments.file;
    if !arguments.import {
        let help = format!(
            "`rsgen import {}` makes an ecosystem file from a PM2 file; with --import this command does that first",
            file.display()
        );
        return Err(input::of_pm2(file).help(help));
    }
    let target = import::beside(file);
    let shown = target.display().to_string();
    if target.symlink_metadata().is_ok() {
        return Err(Failure::new(Exit::Usage, format!("`{shown}` already exists"))
            .help(format!("install it with `rsgen install {shown}`, or recreate it with `rsgen import --force {}`", file.display())));
    }
    let draft = import::import(file, Some(&target), sink)?;
    if !arguments.dry_run {
        draft.write(false)?;
        sink.notice(&Notice::Written(&shown));
    }
    let absolute =
        input::absolute(&target).map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
    Ok(Input {
        shown,
        text: draft.imported.text,
        folder: input::utf8_folder(&absolute)?,
        root: None,
        origin: input::origin(&absolute),
    })
}

/// Returns the ecosystem file that the arguments name, or make.
pub(super) fn input(arguments: &Install, sink: &dyn Sink) -> Result<Input, Failure> {
    input::refuse_module(&arguments.file)?;
    if Kind::is_of_pm2(&arguments.file) && arguments.listen.is_empty() {
        return of_pm2(arguments, sink);
    }
    let is_script = arguments.file.extension().is_none_or(|e| e != "toml")
        && arguments.file != Path::new(input::STANDARD_INPUT);
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
    script_as_file(arguments)
}

/// Refuses what is neither the path of a script nor the name of a program.
fn refuse_others(arguments: &Install) -> Result<(), Failure> {
    let file = &arguments.file;
    if file.is_dir() {
        return Err(input::of_folder(file));
    }
    let written = file.to_str().unwrap_or_default();
    match written.split_once(char::is_whitespace) {
        Some((program, behind)) if !file.exists() => {
            let fault = format!("`{written}` is a program with arguments, not a file");
            let help = format!("run `rsgen install {program} -- {}`", behind.trim());
            Err(Failure::new(Exit::Usage, fault).help(help))
        }
        _ => Ok(()),
    }
}

/// An ecosystem file for one script, made of the command line.
fn script_as_file(arguments: &Install) -> Result<Input, Failure> {
    refuse_others(arguments)?;
    let absolute =
        input::absolute(&arguments.file).map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
    let folder = input::utf8_folder(&absolute)?;
    let file = absolute
        .file_name()
        .and_then(|f| f.to_str())
        .ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!(
                    "the file name of `{}` is not UTF-8",
                    arguments.file.display()
                ),
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
    if !arguments.listen.is_empty() {
        let listen: toml_edit::Array = arguments.listen.iter().map(ToString::to_string).collect();
        table.insert("listen", toml_edit::value(listen));
    }
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
        input::current_folder().unwrap_or_else(|_| Path::new("/").into())
    };
    Ok(Input {
        shown: input::COMMAND_LINE.into(),
        text: document.to_string(),
        folder,
        root: None,
        origin: None,
    })
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    /// The failure, and its help, of an install of this file.
    fn refused(file: &str) -> Option<(String, String)> {
        let command = Install::augment_args(clap::Command::new("install"));
        let matches = command.try_get_matches_from(["install", file]).unwrap();
        let failure = refuse_others(&Install::from_arg_matches(&matches).unwrap()).err()?;
        Some((failure.message, failure.help.unwrap_or_default()))
    }

    #[test]
    fn a_folder_and_a_program_with_arguments_are_no_script() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let of_folder = refused(&path("")).unwrap().0;
        assert!(of_folder.ends_with("is a folder"), "{of_folder}");
        let (fault, help) = refused("node  server.js -v").unwrap();
        let wanted = "`node  server.js -v` is a program with arguments, not a file";
        assert_eq!(fault, wanted);
        assert_eq!(help, "run `rsgen install node -- server.js -v`");
        std::fs::write(path("my server.js"), "").unwrap();
        for script in [&path("my server.js"), "server.js"] {
            assert_eq!(refused(script), None, "{script}");
        }
    }
}
