//! `rsgen pages`: writes the manual pages and completions that a package ships.
//!
//! The program knows its own command line, so what it writes cannot disagree with `--help`. It is run
//! by `make build`, is hidden, and needs neither systemd nor permissions.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::arguments::Arguments;
use super::completions;
use crate::output::Failure;

/// Arguments of `rsgen pages`.
#[derive(Debug, Args)]
pub(super) struct Pages {
    /// The folder to write `man` and `completions` into
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// What rsgen(1) says beyond `--help`, in the words of man(7).
const MORE: &str = r#".SH "EXIT STATUS"
.TP
.B 0
Done.
.TP
.B 1
The operation failed.
.TP
.B 2
The command line is wrong.
.TP
.B 3
The ecosystem file is invalid.
.TP
.B 4
systemd cannot be reached, or permission is missing.
.TP
.B 5
Timed out waiting for ready.
.SH FILES
.TP
.I /etc/rsgen/\fRAPP\fI.toml
An installed app. Packages use
.IR /usr/lib/rsgen ,
and what is meant for this boot only lies in
.IR /run/rsgen .
.TP
.I /etc/systemd/system
Where
.B rsgen install
writes units.
.SH EXAMPLES
.EX
rsgen install server.js \-\-listen 3000 \-i max
rsgen reload web
rsgen list \-\-json
.EE
"#;

const SEE: &str = r#".SH "SEE ALSO"
.BR rsgen (7),
.BR rsgen.toml (5),
"#;

pub(super) fn run(arguments: &Pages) -> Result<(), Failure> {
    write(&arguments.folder)
        .map_err(|e| Failure::failed(format!("{}: {e}", arguments.folder.display())))
}

fn write(folder: &Path) -> io::Result<()> {
    let (man, scripts) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&scripts)?;
    let mut whole = Arguments::command().disable_help_subcommand(true);
    whole.build();
    fs::write(man.join("rsgen.1"), page(&whole, MORE, &see(&whole))?)?;
    for command in shown(&whole) {
        let text = page(command, "", ".BR rsgen (1)\n")?;
        fs::write(man.join(format!("rsgen-{}.1", command.get_name())), text)?;
    }
    for (shell, file) in [
        (Shell::Bash, "rsgen"),
        (Shell::Zsh, "_rsgen"),
        (Shell::Fish, "rsgen.fish"),
    ] {
        fs::write(scripts.join(file), completions::script(shell))?;
    }
    Ok(())
}

fn shown(whole: &Command) -> impl Iterator<Item = &Command> {
    whole.get_subcommands().filter(|c| !c.is_hide_set())
}

fn see(whole: &Command) -> String {
    let pages: Vec<String> = shown(whole)
        .map(|c| format!(".BR rsgen\\-{} (1)", c.get_name()))
        .chain([".BR systemctl (1)".to_owned()])
        .collect();
    format!("{}\n", pages.join(",\n"))
}

fn page(command: &Command, more: &str, see: &str) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .source(concat!("rsgen ", env!("CARGO_PKG_VERSION")))
        .manual("rsgen");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    for part in [more, SEE, see] {
        text.extend_from_slice(part.as_bytes());
    }
    Ok(text)
}
