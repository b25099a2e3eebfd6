//! `rsgen init`: an ecosystem file for a command, with the addresses that a rehearsal of the command finds.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use super::context::Context;
use super::hint;
use super::import::{EXITS, Folder, cannot_write};
use super::input::{self, Input};
use super::locate;
use super::manual::Manual;
use super::remote::Remote;
use super::script;
use super::selection::{self, Purpose, Wanted};
use super::subcommand::Subcommand;
use crate::ecosystem::{APPS, pin};
use crate::output::{Exit, Failure, Notice, Shown};

/// Write an ecosystem file for a command, which is started once to find out where it listens
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The file to write, in the folder that it will stay in
    #[arg(short, long, value_name = "FILE", default_value = "ecosystem.toml")]
    output: PathBuf,
    /// The name of the app
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The user of the program
    #[arg(long, value_name = "USER")]
    account: Option<String>,
    /// The script or program, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The file, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    pub(super) file: String,
    /// The addresses; null if nothing could be started, and the file leaves them out.
    pub(super) listen: Option<Vec<String>>,
}

impl Shown for Written {}

impl Subcommand for Init {
    const MANUAL: Manual = Manual {
        exits: EXITS,
        examples: &[
            (
                "rsgen init -- server.js",
                "Writes ecosystem.toml with the address that the script listens on.",
            ),
            (
                "rsgen init --name api -o /srv/api/ecosystem.toml -- python3 -m uvicorn api:app",
                "Writes the file of a program with arguments.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        refuse_to_replace(&self.output)?;
        let absolute = std::path::absolute(&self.output)
            .map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
        let folder = input::utf8_folder(&absolute)?;
        // The program that is started meanwhile may belong to a user who can put a link to /etc/rsgen in the folder's place.
        let held = Folder::of(&self.output).map_err(|e| cannot_write(&self.output, &e))?;
        let input = Input {
            shown: input::COMMAND_LINE.into(),
            text: self.text(&folder)?,
            folder,
            root: None,
            origin: None,
        };
        let wanted = Wanted {
            input: &input,
            only: &[],
            instances: None,
            purpose: Purpose::Draft,
            env: None,
            gone: None,
        };
        let version = context.systemd_version();
        let mut selected = selection::select(&wanted, &context.layout, version, context.sink)?;
        let Some(app) = selected.first_mut().map(|selected| &mut selected.app) else {
            return Err(Failure::failed("there is no app"));
        };
        // A unit of the system is root's: for others its first start is that of the install.
        let may_start = context.require_permission("install").is_ok();
        let listen = may_start.then(|| locate::found(context, app)).transpose()?;
        let text = match &listen {
            Some(listen) => pin::with_listen(&input.text, listen)
                .map_err(|e| Failure::new(Exit::Invalid, e.message).help(e.help))?,
            None => input.text,
        };
        write(&held, &self.output, &text)?;
        let shown = self.output.display().to_string();
        context.sink.notice(&Notice::Written(&shown));
        let next = hint::for_manager(context.layout.scope, &next_step(&shown, may_start));
        context.sink.notice(&Notice::Remark(&next));
        context.sink.answer(&Written {
            file: shown,
            listen: listen.map(|all| all.iter().map(ToString::to_string).collect()),
        });
        Ok(())
    }

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        Err(remote.refuse_files())
    }
}

fn next_step(file: &str, may_start: bool) -> String {
    if may_start {
        format!("read it, then run `rsgen install {file}`")
    } else {
        format!(
            "read it, then run `sudo rsgen install {file}`, which finds where the program listens: only root may start it as a unit of the system"
        )
    }
}

impl Init {
    /// The text of the file, without the addresses. Relative paths in it start from its folder, those of the command line
    /// from the current one.
    fn text(&self, folder: &Path) -> Result<String, Failure> {
        let absolute = |path: &str| {
            std::path::absolute(path).map_err(|e| Failure::new(Exit::Usage, e.to_string()))
        };
        let (script, args) = self
            .command
            .split_first()
            .ok_or_else(|| Failure::new(Exit::Usage, "there is no command"))?;
        let path = absolute(script)?;
        let script = match path.strip_prefix(folder) {
            Ok(below) if path.exists() => below.to_string_lossy().into_owned(),
            Err(_) if path.exists() => path.to_string_lossy().into_owned(),
            _ => script.clone(),
        };
        let mut table = Table::new();
        let own = || script::behind_interpreter(&self.command);
        let name = self.name.clone().or_else(own);
        let named = [("name", &name), ("user", &self.account)];
        for (key, word) in named {
            if let Some(word) = word {
                table.insert(key, value(word));
            }
        }
        table.insert("script", value(script));
        if !args.is_empty() {
            table.insert("args", value(args.iter().collect::<Array>()));
        }
        let mut tables = ArrayOfTables::new();
        tables.push(table);
        let mut document = DocumentMut::new();
        document.insert(APPS, Item::ArrayOfTables(tables));
        Ok(document.to_string())
    }
}

/// Refuses to replace a file of the user's, before the program is started.
fn refuse_to_replace(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Ok(_) => Err(exists(path)),
        Err(_) => Ok(()),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::failed(format!("`{}` already exists", path.display()))
        .help("add the app to it by hand, or write another file with --output")
}

/// Writes the file into the folder that was opened before the program was started. The owner of the folder may edit the file.
fn write(folder: &Folder, path: &Path, text: &str) -> Result<(), Failure> {
    let made = File::create_new(folder.file(path));
    let made = made.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        folder.give(&file)
    });
    made.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => cannot_write(path, &e),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_file_is_written_into_the_folder_that_was_named_whatever_took_its_place() {
        let at = tempfile::tempdir().unwrap();
        let [named, moved, other] = ["app", "moved", "other"].map(|name| at.path().join(name));
        std::fs::create_dir(&named).unwrap();
        std::fs::create_dir(&other).unwrap();
        let output = named.join("ecosystem.toml");
        let held = Folder::of(&output).unwrap();
        std::fs::rename(&named, &moved).unwrap();
        symlink(&other, &named).unwrap();
        write(&held, &output, "x").unwrap();
        assert!(moved.join("ecosystem.toml").exists() && !other.join("ecosystem.toml").exists());
    }

    #[test]
    fn a_script_below_the_folder_of_the_file_is_relative_to_it() {
        let at = tempfile::tempdir().unwrap();
        let script = at.path().join("a.js");
        std::fs::write(&script, "").unwrap();
        let script = script.to_str().unwrap();
        let text = |folder: &Path, command: &[&str], account: Option<&str>| {
            let init = Init {
                output: "x".into(),
                name: None,
                account: account.map(str::to_owned),
                command: command.iter().map(|&word| word.to_owned()).collect(),
            };
            init.text(folder).unwrap()
        };
        let below = text(at.path(), &[script, "-p", "1"], Some("www"));
        let expected = "[[apps]]\nuser = \"www\"\nscript = \"a.js\"\nargs = [\"-p\", \"1\"]\n";
        assert_eq!(below, expected);
        let beside = text(Path::new("/nowhere"), &[script], None);
        assert_eq!(beside, format!("[[apps]]\nscript = \"{script}\"\n"));
        let relative = text(Path::new("/nowhere"), &["Cargo.toml"], None);
        let whole = std::path::absolute("Cargo.toml").unwrap();
        assert_eq!(relative, format!("[[apps]]\nscript = {whole:?}\n"));
        let of_node = text(Path::new("/nowhere"), &["node", script], None);
        assert!(
            of_node.starts_with("[[apps]]\nname = \"a\"\nscript = \"node\"\n"),
            "{of_node}"
        );
        let gone = format!("{script}x");
        for folder in [at.path(), Path::new("/nowhere")] {
            let named = text(folder, &[&gone], None);
            assert_eq!(named, format!("[[apps]]\nscript = \"{gone}\"\n"));
        }
        assert_eq!(
            text(at.path(), &["npm"], None),
            "[[apps]]\nscript = \"npm\"\n"
        );
    }

    #[test]
    fn a_file_that_is_there_is_not_replaced() {
        let at = tempfile::tempdir().unwrap();
        let output = at.path().join("ecosystem.toml");
        assert!(refuse_to_replace(&output).is_ok());
        std::fs::write(&output, "mine").unwrap();
        let held = Folder::of(&output).unwrap();
        for end in [refuse_to_replace(&output), write(&held, &output, "x")] {
            let failure = end.unwrap_err();
            assert!(
                failure.message.ends_with("already exists"),
                "{}",
                failure.message
            );
        }
        assert_eq!(std::fs::read_to_string(&output).unwrap(), "mine");
    }

    #[test]
    fn only_who_may_start_the_program_is_sent_to_read_the_address() {
        let install = "read it, then run `rsgen install eco.toml`";
        assert_eq!(next_step("eco.toml", true), install);
        let root = next_step("eco.toml", false);
        assert!(
            root.contains("`sudo rsgen install eco.toml`, which finds"),
            "{root}"
        );
    }
}
