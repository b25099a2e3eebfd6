//! `rsgen generate`: writes the units as files, for packages that ship them.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::input::Input;
use super::manual::Manual;
use super::options::Environment;
use super::remote::Remote;
use super::selection::{self, Purpose, Wanted};
use super::subcommand::Subcommand;
use crate::ecosystem::resolve::FileStatus;
use crate::generate;
use crate::output::{Exit, Failure, Notice, Shown};
use crate::plan::{self, Host, Origin};

/// Write the units of an ecosystem file into a folder, for packages
#[derive(Debug, Args)]
pub(super) struct Generate {
    /// The ecosystem file
    #[arg(value_name = "FILE", default_value = "ecosystem.toml")]
    file: PathBuf,
    /// Only these apps of the file
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    environment: Environment,
    /// The folder to write the units into
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The folder that will be `/` on the host, for building a package; the ecosystem file has to be below it
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// The files that were written, as scripts read them.
#[derive(Serialize)]
pub(super) struct Generated {
    pub(super) files: Vec<String>,
}

impl Shown for Generated {}

/// Treats every file outside /etc and /usr as part of a deployment, which must not be read as root: who may write to
/// the file is known only on the host where it will be. Below /etc and /usr, only root writes.
fn on_another_host(path: &Path) -> Option<FileStatus> {
    let is_roots = path.starts_with("/etc") || path.starts_with("/usr");
    (!is_roots).then(FileStatus::of_a_server)
}

impl Subcommand for Generate {
    const MANUAL: Manual = Manual {
        exits: &[Exit::Done, Exit::Failed, Exit::Usage, Exit::Invalid],
        examples: &[
            (
                "rsgen generate --output units ecosystem.toml",
                "Writes the units of all apps of the file.",
            ),
            (
                "rsgen generate --root debian/hello -o debian/hello/usr/lib/systemd/system \
                 debian/hello/usr/lib/hello/ecosystem.toml",
                "Writes units for the host on which a package will be unpacked, while the package is built.",
            ),
        ],
    };

    fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let mut input = Input::read(&self.file)?;
        if let Some(root) = &self.root {
            input = input.below(root)?;
        }
        let host = match &self.root {
            Some(_) => Host {
                status: on_another_host,
                ..context.host
            },
            None => context.host,
        };
        let version = context.systemd_version();
        let wanted = Wanted {
            input: &input,
            only: &self.only,
            instances: None,
            purpose: Purpose::Package,
            env: self.environment.env.as_deref(),
            gone: None,
        };
        let mut files = Vec::new();
        for selected in selection::select(&wanted, &context.layout, version, context.sink)? {
            let set = plan::units(&selected.app, Origin::Packaged, &context.layout, host)
                .map_err(|e| Failure::failed(e.to_string()))?;
            generate::place(&self.output, &set).map_err(|e| Failure::failed(e.to_string()))?;
            let paths = set.files.keys().chain(set.links.keys());
            files.extend(paths.map(|p| self.output.join(p).display().to_string()));
        }
        for file in &files {
            context.sink.notice(&Notice::Written(file));
        }
        context.sink.answer(&Generated { files });
        Ok(())
    }

    fn run_remotely(self, remote: &mut Remote<'_>) -> Result<(), Failure> {
        Err(remote.refuse_files())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::env_files::EnvFiles;

    #[test]
    fn for_another_host_systemd_reads_only_what_is_below_etc_and_usr() {
        let text = "[[apps]]\nname = \"web\"\nscript = \"/srv/web\"\nlisten = 3000\n\
            env_file = [\"/etc/default/web\", \"/usr/lib/web/env\", \"/srv/web/.env\"]\n";
        let (apps, report) = crate::ecosystem::parse("ecosystem.toml", text);
        assert!(!report.has_errors());
        let files = EnvFiles::of(&apps[0], &on_another_host);
        assert_eq!(files.by_systemd, ["/etc/default/web", "/usr/lib/web/env"]);
        assert_eq!(files.by_worker, ["/srv/web/.env"]);
    }
}
