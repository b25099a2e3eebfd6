//! The kinds of files that can be imported. As in PM2, a file's name determines its kind.

use std::path::Path;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JavaScript, which only Node can read.
    Script,
    /// JSON, or a JavaScript expression, which PM2 accepts in a JSON file.
    Json,
    /// YAML.
    Yaml,
    /// `package.json`.
    Package,
    /// A `Procfile`: a name and a command line for each process.
    Procfile,
    /// `dump.pm2`, the file that `pm2 save` writes.
    Dump,
}

impl Kind {
    /// Returns the kind of a file; `None` for a file that cannot be imported.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let extension = Path::new(name).extension().and_then(|e| e.to_str());
        Some(match (name, extension) {
            ("package.json", _) => Self::Package,
            ("Procfile", _) => Self::Procfile,
            ("dump.pm2" | "dump.pm2.bak", _) => Self::Dump,
            (_, Some("js" | "cjs" | "mjs")) => Self::Script,
            (_, Some("json")) => Self::Json,
            (_, Some("yml" | "yaml")) => Self::Yaml,
            _ => return None,
        })
    }

    /// Returns whether a file can be imported and is not a program: PM2 recognises configuration files in JavaScript by
    /// `.config.` in their names.
    #[must_use]
    pub fn is_of_pm2(path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        match Self::of(path) {
            Some(Self::Script) => name.is_some_and(|name| name.contains(".config.")),
            kind => kind.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_its_kind() {
        for (name, kind, is_of_pm2) in [
            ("ecosystem.config.js", Some(Kind::Script), true),
            ("a/pm2.config.cjs", Some(Kind::Script), true),
            ("ecosystem.config.mjs", Some(Kind::Script), true),
            ("server.js", Some(Kind::Script), false),
            ("processes.json", Some(Kind::Json), true),
            ("package.json", Some(Kind::Package), true),
            ("process.yml", Some(Kind::Yaml), true),
            ("Procfile", Some(Kind::Procfile), true),
            ("/root/.pm2/dump.pm2", Some(Kind::Dump), true),
            ("ecosystem.toml", None, false),
            ("server.py", None, false),
        ] {
            let path = Path::new(name);
            assert_eq!(Kind::of(path), kind, "{name}");
            assert_eq!(Kind::is_of_pm2(path), is_of_pm2, "{name}");
        }
    }
}
