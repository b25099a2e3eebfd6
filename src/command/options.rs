//! Options and arguments that several subcommands share.

use clap::Args;

use crate::layout::Scope;
use crate::output::Colour;
use crate::unit::name::{Member, parse_service};

/// Options of every subcommand.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(super) struct Global {
    /// Work on the calling user's own systemd
    #[arg(long, global = true)]
    pub(super) user: bool,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Print only the result
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Print more
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: Colour,
}

impl Global {
    /// Returns the manager that the options select.
    pub(super) fn scope(&self) -> Scope {
        if self.user {
            Scope::User
        } else {
            Scope::System
        }
    }
}

/// The option that chooses an environment.
#[derive(Debug, Args)]
pub(super) struct Environment {
    /// Let the variables of the tables `env_NAME` override `env`; kept until another name is given, '' for none
    #[arg(long, value_name = "NAME")]
    pub(super) env: Option<String>,
}

/// The apps and instances that a subcommand works on.
#[derive(Debug, Args)]
pub(super) struct Targets {
    /// App names, instances as APP@N, `all`, or ecosystem files
    #[arg(required = true, value_name = "TARGET")]
    pub(super) targets: Vec<String>,
    /// Only these apps of an ecosystem file
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    pub(super) only: Vec<String>,
}

impl Targets {
    /// Returns whether the command line names an app itself, instead of including it in `all` or in a file.
    pub(super) fn name(&self, app: &str) -> bool {
        let named = |word: &String| parse_service(word) == Some((app, Member::Cluster));
        self.targets.iter().any(named)
    }
}
