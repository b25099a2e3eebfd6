//! Decides which files below a watched folder are ignored, by the patterns of `ignore_watch`. Pure.

use std::path::Path;

/// Names that are ignored whatever `ignore_watch` says: the ecosystem file, since a reload applies none of its changes, and the
/// files that editors keep beside the one that is written.
const ALWAYS: &[&str] = &[
    "ecosystem.toml",
    "ecosystem.config.*",
    // Vim: swap and backup files, and the file by which it tries whether it may write in the folder.
    ".*.sw?",
    "*~",
    "4913",
    // Emacs.
    "#*#",
    ".#*",
    // GTK, and the editors of JetBrains and KDE.
    ".goutputstream-*",
    "*___jb_tmp___",
    "*___jb_old___",
    "*.kate-swp",
];

/// The patterns of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ignore(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// Whether the pattern contains a slash: it then matches paths relative to the watched folder, otherwise names at
    /// any depth.
    is_path: bool,
    text: Vec<char>,
}

impl Ignore {
    pub(super) fn new(patterns: &[String]) -> Self {
        let always = ALWAYS.iter().copied();
        let patterns = patterns.iter().map(String::as_str).chain(always);
        let patterns = patterns.map(|pattern| {
            let text = pattern.trim_start_matches("./").trim_end_matches('/');
            let text = text.strip_suffix("/**").unwrap_or(text);
            let anywhere = text.strip_prefix("**/").filter(|rest| !rest.contains('/'));
            let is_path = anywhere.is_none() && text.contains('/');
            let text = anywhere.unwrap_or(text).trim_start_matches('/');
            Pattern {
                is_path,
                text: text.chars().collect(),
            }
        });
        Self(patterns.collect())
    }

    /// Returns whether a path below a watched folder is ignored, because a pattern matches the path or a folder above
    /// it.
    pub(super) fn has(&self, below: &Path) -> bool {
        let parts: Vec<String> = below
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        (0..parts.len()).any(|last| {
            let name = parts.get(last).map(String::as_str).unwrap_or_default();
            if is_of_sed(name) {
                return true;
            }
            let path = parts.get(..=last).unwrap_or_default().join("/");
            self.0
                .iter()
                .any(|pattern| pattern.fits(if pattern.is_path { &path } else { name }))
        })
    }
}

/// Whether a name is that of the file which `sed -i` writes before it takes the place of another.
fn is_of_sed(name: &str) -> bool {
    let random = name.strip_prefix("sed").unwrap_or_default();
    random.len() == 6 && random.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl Pattern {
    /// Matches a text: `*` and `?` stand for anything but a slash, `**` for anything.
    fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // The positions in the pattern that the text so far can lead to. Keeping all of them takes time in proportion
        // to pattern and text, whereas trying one after the other could take exponential time.
        let mut at = vec![false; self.text.len() + 1];
        if let Some(first) = at.first_mut() {
            *first = true;
        }
        self.skip_stars(&mut at);
        for char in text {
            let mut next = vec![false; at.len()];
            for (here, expected) in self.text.iter().enumerate() {
                if !at.get(here).copied().unwrap_or_default() {
                    continue;
                }
                let moves = match expected {
                    '*' if char != '/' || self.is_double(here) => Some(here),
                    '*' => None,
                    '?' => (char != '/').then_some(here + 1),
                    expected => (*expected == char).then_some(here + 1),
                };
                if let Some(to) = moves.and_then(|to| next.get_mut(to)) {
                    *to = true;
                }
            }
            self.skip_stars(&mut next);
            at = next;
        }
        at.last().copied().unwrap_or_default()
    }

    /// Moves past stars, since each of them may also stand for nothing.
    fn skip_stars(&self, at: &mut [bool]) {
        for (here, char) in self.text.iter().enumerate() {
            if *char == '*'
                && at.get(here).copied().unwrap_or_default()
                && let Some(next) = at.get_mut(here + 1)
            {
                *next = true;
            }
        }
    }

    fn is_double(&self, here: usize) -> bool {
        let is_star = |at: Option<usize>| at.and_then(|at| self.text.get(at)) == Some(&'*');
        is_star(here.checked_sub(1)) || is_star(here.checked_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(pattern: &str, path: &str) -> bool {
        Ignore::new(&[pattern.to_owned()]).has(Path::new(path))
    }

    #[test]
    fn a_name_is_ignored_at_any_depth_with_all_that_is_below_it() {
        for path in ["node_modules", "node_modules/a/b.js", "lib/node_modules/x"] {
            assert!(ignores("node_modules", path), "{path}");
            assert!(ignores("node_modules/", path), "{path}");
            assert!(ignores("**/node_modules/**", path), "{path}");
        }
        for path in ["node_modules2", "src/modules", "index.js"] {
            assert!(!ignores("node_modules", path), "{path}");
        }
    }

    #[test]
    fn a_star_stands_for_anything_but_a_slash_and_two_for_anything() {
        assert!(ignores("*.log", "a.log") && ignores("*.log", "x/y.log"));
        assert!(!ignores("*.log", "a.logs") && !ignores("*.log", "log"));
        assert!(ignores(".*", ".git/HEAD") && ignores(".*", "a/.env") && !ignores(".*", "a.b"));
        assert!(ignores("?.js", "a.js") && !ignores("?.js", "ab.js"));
        assert!(ignores("tmp/*.sock", "tmp/a.sock") && !ignores("tmp/*.sock", "tmp/x/a.sock"));
        assert!(ignores("tmp/**/x", "tmp/a/b/x") && ignores("a*b*c", "aXbYc"));
        assert!(!ignores("**", "") && ignores("**", "a/b"));
    }

    #[test]
    fn the_ecosystem_file_and_what_editors_write_beside_a_file_are_always_ignored() {
        for path in [
            "ecosystem.toml",
            "shop/ecosystem.toml",
            "ecosystem.config.js",
            ".ecosystem.toml.swp",
            "src/.index.js.swx",
            "index.js~",
            "src/4913",
            "#index.js#",
            ".#index.js",
            "src/.goutputstream-XYZ123",
            "sedAbC123",
            "index.js___jb_tmp___",
            "index.js.kate-swp",
        ] {
            assert!(ignores("*.log", path), "{path}");
        }
        for path in [
            "index.js",
            "my-ecosystem.toml",
            "49130",
            ".swap",
            "sedan.js",
            "seduce.js",
            "a#b",
        ] {
            assert!(!ignores("*.log", path), "{path}");
        }
    }

    #[test]
    fn a_path_counts_from_the_watched_folder() {
        assert!(ignores("public/build", "public/build/app.js"));
        assert!(ignores("./public/build", "public/build") && ignores("/public", "public"));
        assert!(!ignores("public/build", "src/public/build"));
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!ignores(&pattern, &"a".repeat(4000)));
    }
}
