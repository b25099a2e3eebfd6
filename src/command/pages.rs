//! `rsgen pages`: writes the manual pages and completions that a package ships.
//!
//! The program knows its own command line, so its pages agree with `--help`. `make install` runs this hidden subcommand,
//! which needs neither systemd nor permissions.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::completions;
use super::context::Context;
use super::manual::{CommandLine, Manual};
use super::subcommand::Subcommand;
use crate::output::{Exit, Failure};

/// Write the manual pages and completions for a package
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct Pages {
    /// The folder to write below, such as /usr/share
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Where each shell looks for what packages bring.
const COMPLETIONS: &[(Shell, &str)] = &[
    (Shell::Bash, "bash-completion/completions/rsgen"),
    (Shell::Zsh, "zsh/site-functions/_rsgen"),
    (Shell::Fish, "fish/vendor_completions.d/rsgen.fish"),
];

/// The files that rsgen(1) names, in man(7).
const FILES: &str = r".SH FILES
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
";

const SEE_ALSO: &str = r#".SH "SEE ALSO"
.BR rsgen (7),
.BR rsgen.toml (5),
"#;

impl Subcommand for Pages {
    const MANUAL: Manual = Manual::NONE;

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        write(&self.folder, (context.command_line)())
            .map_err(|e| Failure::failed(format!("{}: {e}", self.folder.display())))
    }
}

fn write(share: &Path, line: CommandLine) -> io::Result<()> {
    for (shell, path) in COMPLETIONS {
        let script = completions::script(*shell, line.command.clone());
        put(share, path, &script)?;
    }
    let mut whole = line.command.disable_help_subcommand(true);
    whole.build();
    let manuals = line.manuals.iter();
    let first = manuals.filter_map(|(_, manual)| manual.examples.first());
    let parts = [exits(&Exit::ALL), FILES.to_owned(), examples(first)];
    let text = page(&whole, &parts.concat(), &see_also(&whole))?;
    put(share, "man/man1/rsgen.1", &text)?;
    for command in shown(&whole) {
        let manuals = line.manuals.iter();
        let mut own = manuals.filter(|(name, _)| *name == command.get_name());
        let manual = own.next().map_or(Manual::NONE, |(_, manual)| *manual);
        let more = exits(manual.exits) + &examples(manual.examples.iter());
        let path = format!("man/man1/rsgen-{}.1", command.get_name());
        put(share, &path, &page(command, &more, ".BR rsgen (1)\n")?)?;
    }
    Ok(())
}

fn exits(exits: &[Exit]) -> String {
    let mut text = ".SH \"EXIT STATUS\"\n".to_owned();
    for exit in exits {
        let mut meaning = escaped(exit.meaning());
        // systemd is not capitalized, not even at the beginning of a sentence.
        if !meaning.starts_with("systemd")
            && let Some(first) = meaning.get_mut(..1)
        {
            first.make_ascii_uppercase();
        }
        // Writing into a String cannot fail.
        let _ = writeln!(text, ".TP\n.B {}\n{meaning}.", *exit as u8);
    }
    text
}

fn examples<'a>(examples: impl Iterator<Item = &'a (&'static str, &'static str)>) -> String {
    let mut text = ".SH EXAMPLES\n".to_owned();
    for (line, meaning) in examples {
        let _ = writeln!(text, ".TP\n.B {}\n{}", escaped(line), escaped(meaning));
    }
    text
}

/// Text as roff(7) reads it. No line of ours begins with a dot or an apostrophe.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

fn put(share: &Path, path: &str, text: &[u8]) -> io::Result<()> {
    let path = share.join(path);
    fs::create_dir_all(path.parent().unwrap_or(share))?;
    fs::write(path, text)
}

fn shown(whole: &Command) -> impl Iterator<Item = &Command> {
    whole.get_subcommands().filter(|c| !c.is_hide_set())
}

fn see_also(whole: &Command) -> String {
    let pages: Vec<String> = shown(whole)
        .map(|c| format!(".BR rsgen\\-{} (1)", c.get_name()))
        .chain([".BR systemctl (1)".to_owned()])
        .collect();
    format!("{}\n", pages.join(",\n"))
}

fn page(command: &Command, more: &str, see_also: &str) -> io::Result<Vec<u8>> {
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
    for part in [more, SEE_ALSO, see_also] {
        text.extend_from_slice(part.as_bytes());
    }
    Ok(text)
}
