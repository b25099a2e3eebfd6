//! Finds programs that nvm, asdf and venv(7) keep beside those of the system, without running any of these tools.
//!
//! The tools' files are read as root from folders that belong to other users. They decide which of the installed
//! versions is chosen, and nothing else.

use std::path::{Component, Path, PathBuf};

use super::resolve::Probe;
use super::search::Search;

/// How many aliases of nvm are followed: `default` may lead to `lts/*`, and that to `lts/krypton`.
const MOST_ALIASES: u32 = 5;

/// The programs that each asdf plugin provides.
const PLUGINS: &[(&str, &[&str])] = &[
    ("nodejs", NODE),
    ("python", &["python3", "python"]),
    ("ruby", &["ruby"]),
];

const NODE: &[&str] = &["node", "npm", "npx"];

/// Returns the program of the version that a file of the project requests: `.nvmrc`, `.node-version` or
/// `.tool-versions`, in `cwd` or a folder above.
pub(super) fn asked_for(name: &str, search: &Search<'_>, homes: &[&Path]) -> Option<PathBuf> {
    let above = || search.cwd.ancestors();
    let read = |path: PathBuf| search.probe.text(&path);
    if NODE.contains(&name) {
        let mut files = above().flat_map(|f| [f.join(".nvmrc"), f.join(".node-version")]);
        let version = files.find_map(read);
        let version = version.as_deref().and_then(first_word);
        let found = version.and_then(|version| of_nvm(name, &version, search, homes));
        if found.is_some() {
            return found;
        }
    }
    let (plugin, _) = PLUGINS.iter().find(|(_, names)| names.contains(&name))?;
    let mut files = above()
        .chain(homes.iter().copied())
        .map(|folder| folder.join(".tool-versions"));
    let version = files.find_map(|file| {
        let text = read(file)?;
        let mut lines = text.lines().map(str::split_whitespace);
        lines.find_map(|mut words| {
            (words.next()? == *plugin).then(|| words.next().map(str::to_owned))?
        })
    })?;
    let version = single(&version)?;
    let mut paths = homes.iter().map(|home| {
        let versions = home.join(".asdf/installs").join(plugin);
        versions.join(version).join("bin").join(name)
    });
    paths.find(|path| search.probe.is_file(path))
}

/// Returns the requested version of a program or, if none is requested, the version that nvm uses by default.
pub(super) fn installed(name: &str, search: &Search<'_>, homes: &[&Path]) -> Option<PathBuf> {
    let asked = asked_for(name, search, homes);
    if asked.is_some() || !NODE.contains(&name) {
        return asked.or_else(|| of_venv(name, [search.cwd], search.probe));
    }
    of_nvm(name, "default", search, homes).or_else(|| of_nvm(name, "node", search, homes))
}

/// Returns a program in the virtual environment of one of these folders.
pub(super) fn of_venv<'a>(
    name: &str,
    folders: impl IntoIterator<Item = &'a Path>,
    probe: &dyn Probe,
) -> Option<PathBuf> {
    let places = folders
        .into_iter()
        .flat_map(|folder| [".venv", "venv"].map(|venv| folder.join(venv)));
    let mut venvs = places.filter(|venv| probe.is_file(&venv.join("pyvenv.cfg")));
    venvs.find_map(|venv| Some(venv.join("bin").join(name)).filter(|path| probe.is_file(path)))
}

fn of_nvm(name: &str, version: &str, search: &Search<'_>, homes: &[&Path]) -> Option<PathBuf> {
    homes.iter().find_map(|home| {
        let nvm = home.join(".nvm");
        let version = meant(&nvm, version, search.probe)?;
        let versions = nvm.join("versions/node");
        let mut fitting: Vec<(Vec<u32>, String)> = search
            .probe
            .names(&versions)
            .into_iter()
            .filter_map(|found| Some((numbers(&found)?, found)))
            .filter(|(numbers, _)| numbers.starts_with(&version))
            .collect();
        fitting.sort();
        let folders = fitting
            .into_iter()
            .rev()
            .map(|(_, found)| versions.join(found));
        let mut paths = folders.map(|folder| folder.join("bin").join(name));
        paths.find(|path| search.probe.is_file(path))
    })
}

/// Returns the leading numbers of the version that nvm means by a word.
fn meant(nvm: &Path, version: &str, probe: &dyn Probe) -> Option<Vec<u32>> {
    let mut version = version.to_owned();
    for _ in 0..MOST_ALIASES {
        if let Some(numbers) = numbers(&version) {
            return Some(numbers);
        }
        if ["node", "stable"].contains(&version.as_str()) {
            return Some(Vec::new());
        }
        let alias = Path::new(&version);
        let is_below = alias
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let text = probe
            .text(&nvm.join("alias").join(alias).clone())
            .filter(|_| is_below)?;
        version = first_word(&text)?;
    }
    None
}

/// Returns the numbers of a version such as `v20.11`.
fn numbers(version: &str) -> Option<Vec<u32>> {
    let version = version.strip_prefix('v').unwrap_or(version);
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// Returns the first word of a file that is not part of a comment.
fn first_word(text: &str) -> Option<String> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let word = lines.flat_map(str::split_whitespace).next()?;
    Some(word.to_owned())
}

/// Returns a name if it is a single path component, so that it cannot lead out of a folder.
fn single(name: &str) -> Option<&str> {
    let mut parts = Path::new(name).components();
    let is_single = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
    is_single.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_does_not_lead_out_of_its_folder() {
        assert_eq!(single("20.1.0"), Some("20.1.0"));
        for name in ["", ".", "..", "/", "/etc", "a/b", "../a", "a/.."] {
            assert_eq!(single(name), None, "{name}");
        }
    }
}
