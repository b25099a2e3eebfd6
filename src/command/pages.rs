//! `rsgen pages`: writes the manual pages and completions that a package ships.
//!
//! The program knows its own command line, so what it writes cannot disagree with `--help`. It is run
//! by `make install`, is hidden, and needs neither systemd nor permissions.

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
    /// The folder to write below, as /usr/share is
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Where each shell looks for what packages bring.
const COMPLETIONS: &[(Shell, &str)] = &[
    (Shell::Bash, "bash-completion/completions/rsgen"),
    (Shell::Zsh, "zsh/site-functions/_rsgen"),
    (Shell::Fish, "fish/vendor_completions.d/rsgen.fish"),
];

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

fn write(share: &Path) -> io::Result<()> {
    let mut whole = Arguments::command().disable_help_subcommand(true);
    whole.build();
    put(
        share,
        "man/man1/rsgen.1",
        &page(&whole, MORE, &see(&whole))?,
    )?;
    for command in shown(&whole) {
        let path = format!("man/man1/rsgen-{}.1", command.get_name());
        put(share, &path, &page(command, "", ".BR rsgen (1)\n")?)?;
    }
    for (shell, path) in COMPLETIONS {
        put(share, path, &completions::script(*shell))?;
    }
    Ok(())
}

fn put(share: &Path, path: &str, text: &[u8]) -> io::Result<()> {
    let path = share.join(path);
    fs::create_dir_all(path.parent().unwrap_or(share))?;
    fs::write(path, text)
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
