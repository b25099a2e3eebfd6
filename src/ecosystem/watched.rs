//! The keys that define which files are watched.

use std::ops::Range;
use std::time::Duration;

use super::key::{Form, Wanted, keys, of, time};
use super::program::clean_path;
use super::read::Fields;

/// The names that PM2 ignores by default too: those that begin with a dot, and `node_modules`.
fn usual() -> Vec<String> {
    [".*", "node_modules"].map(str::to_owned).to_vec()
}

keys! {
    /// Reloads when files change.
    pub struct Watched {
        in Reload {
            /// Whether the app is reloaded when a file below `cwd` changes; or the files and folders, relative to
            /// `cwd`, whose changes reload the app.
            ///
            /// For development: a deployment reloads once all its files are in place. See [watching
            /// files](reload.md#watching-files).
            watch: Vec<String> = of(Form::Watch, "true", read_watch).or_as("false", |_| Vec::new())
                .pm2("a reload, not a restart");

            /// Names and paths that `watch` ignores, with `*`, `**` and `?`.
            ///
            /// A pattern without a slash matches names at any depth, one with a slash a path relative to the watched
            /// folder. Everything below an ignored folder is ignored too.
            ignore_watch: Vec<String> = of(Form::Texts, "[\"logs\", \"*.db\"]", read_ignored)
                .or_as("`[\".*\", \"node_modules\"]`", |_| usual())
                .pm2("a pattern without a slash matches names at any depth");

            /// How long nothing must change before `watch` reloads the app.
            watch_delay: Duration = time().or(|| Duration::from_millis(200)).pm2("");
        }
        with {
            /// The place of `watch` in the text.
            watch_span: Range<usize> = |f| f.place("watch");
        }
    }
}

fn read_watch(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Vec<String>> {
    if let Some(all) = f.peek(wanted.key).and_then(toml::de::DeValue::as_bool) {
        f.value(wanted.key);
        return Some(if all {
            vec![".".to_owned()]
        } else {
            Vec::new()
        });
    }
    let given = f.list(wanted)?;
    let paths = given
        .into_iter()
        .map(|path| clean_path(f, wanted.key, path));
    paths.collect()
}

fn read_ignored(f: &mut Fields<'_, '_>, wanted: Wanted) -> Option<Vec<String>> {
    let given = f.list(wanted)?;
    let patterns = given
        .into_iter()
        .map(|pattern| clean_path(f, wanted.key, pattern));
    patterns.collect()
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::parse;

    #[test]
    fn hidden_files_and_node_modules_are_ignored_unless_the_file_says_otherwise() {
        let ignored = |lines: &str| {
            let text = format!(
                "[[apps]]\nscript = \"x\"\nuser = \"www\"\nlisten = 1\nwatch = true\n{lines}"
            );
            let (mut apps, report) = parse("eco.toml", &text);
            assert!(report.diagnostics.is_empty(), "{}", report.render(false));
            apps.remove(0).watched.ignore_watch
        };
        assert_eq!(ignored(""), [".*", "node_modules"]);
        assert_eq!(ignored("ignore_watch = \"tmp\"\n"), ["tmp"]);
        assert_eq!(ignored("ignore_watch = []\n"), Vec::<String>::new());
    }
}
