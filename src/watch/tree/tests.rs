use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const SOON: Duration = Duration::from_secs(10);
/// Long enough for the kernel to queue the events that an earlier line of the test caused.
const MOMENT: Duration = Duration::from_millis(50);

struct Stage {
    folder: TempDir,
    tree: Tree,
}

impl Stage {
    /// Makes folders and watches paths, all of them below a new temporary folder.
    fn new(folders: &[&str], watched: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for path in folders {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let watched: Vec<PathBuf> = watched
            .iter()
            .map(|path| folder.path().join(path))
            .collect();
        let ignore = [".*", "node_modules"].map(str::to_owned);
        let tree = Tree::open(&watched, &ignore).unwrap();
        Self { folder, tree }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str) {
        fs::write(self.at(path), "x").unwrap();
    }

    /// Takes changes until one of them is at this path.
    fn sees(&mut self, path: &str) {
        let wanted = self.at(path);
        let end = Instant::now() + SOON;
        while Instant::now() < end {
            if self.tree.wait(Some(SOON)).unwrap().as_ref() == Some(&wanted) {
                return;
            }
        }
        panic!("{path} was not seen");
    }

    fn sees_nothing(&mut self) {
        assert_eq!(self.tree.wait(Some(MOMENT)).unwrap(), None);
    }
}

#[test]
fn a_change_is_seen_at_any_depth_and_in_folders_that_come_later() {
    let mut stage = Stage::new(&["app/src/lib"], &["app"]);
    stage.write("app/src/lib/a.js");
    stage.sees("app/src/lib/a.js");
    fs::create_dir_all(stage.at("app/new/deep")).unwrap();
    stage.sees("app/new");
    // A folder that was made before its parent was watched is found too.
    stage.write("app/new/deep/b.js");
    stage.sees("app/new/deep/b.js");
    fs::remove_file(stage.at("app/src/lib/a.js")).unwrap();
    stage.sees("app/src/lib/a.js");
}

#[test]
fn a_folder_that_moves_is_seen_where_it_is() {
    let mut stage = Stage::new(&["app/old", "elsewhere"], &["app"]);
    fs::rename(stage.at("app/old"), stage.at("app/now")).unwrap();
    stage.sees("app/now");
    stage.write("app/now/a.js");
    stage.sees("app/now/a.js");
    fs::rename(stage.at("app/now"), stage.at("elsewhere/gone")).unwrap();
    stage.sees("app/now");
    stage.write("elsewhere/gone/a.js");
    stage.sees_nothing();
}

#[test]
fn what_is_ignored_and_what_is_only_read_is_no_change() {
    let mut stage = Stage::new(&["app/node_modules/x", "app/.git", "app/src"], &["app"]);
    stage.write("app/node_modules/x/a.js");
    stage.write("app/.git/HEAD");
    stage.write("app/.env");
    let _ = fs::read_dir(stage.at("app/src")).unwrap().count();
    stage.sees_nothing();
    // The watched folder, the folder above it, and `src`.
    assert_eq!(stage.tree.count(), 3);
}

#[test]
fn a_link_is_not_followed_out_of_the_watched_folder() {
    let mut stage = Stage::new(&["app", "outside/deep"], &["app"]);
    symlink(stage.at("outside"), stage.at("app/link")).unwrap();
    stage.sees("app/link");
    stage.write("outside/deep/a.js");
    stage.write("outside/a.js");
    stage.sees_nothing();
}

#[test]
fn a_single_file_is_watched_and_nothing_beside_it() {
    let mut stage = Stage::new(&["app"], &["app/server.js", "app/later"]);
    stage.write("app/other.js");
    stage.sees_nothing();
    stage.write("app/server.js");
    stage.sees("app/server.js");
    // Editors save a file by putting another file in its place.
    stage.write("app/new");
    fs::rename(stage.at("app/new"), stage.at("app/server.js")).unwrap();
    stage.sees("app/server.js");
    fs::create_dir(stage.at("app/later")).unwrap();
    stage.sees("app/later");
    stage.write("app/later/a.js");
    stage.sees("app/later/a.js");
}

#[test]
fn a_watched_link_may_lead_elsewhere_from_then_on() {
    let mut stage = Stage::new(&["releases/1", "releases/2"], &["releases"]);
    symlink("releases/1", stage.at("current")).unwrap();
    stage.tree = Tree::open(&[stage.at("current")], &[]).unwrap();
    stage.write("releases/1/a.js");
    stage.sees("current/a.js");
    symlink("releases/2", stage.at("next")).unwrap();
    fs::rename(stage.at("next"), stage.at("current")).unwrap();
    stage.sees("current");
    stage.write("releases/2/b.js");
    stage.sees("current/b.js");
}

#[test]
fn of_too_many_folders_the_first_are_watched() {
    let mut stage = Stage::new(&["app/a", "app/b", "app/c"], &["app"]);
    stage.tree.most = 5;
    fs::create_dir_all(stage.at("app/d/e")).unwrap();
    stage.sees("app/d");
    assert!(stage.tree.is_full && stage.tree.count() == 5);
    stage.write("app/a/x");
    stage.sees("app/a/x");
}

#[test]
fn folders_are_followed_down_to_a_depth_whenever_they_are_made() {
    let deep = format!("app{}", "/d".repeat(DEEPEST + 5));
    let mut stage = Stage::new(&[&deep], &["app"]);
    // `app` and the folder above it are watched as well.
    assert_eq!(stage.tree.count(), DEEPEST + 2);
    stage.write(&format!("app{}/x", "/d".repeat(DEEPEST)));
    stage.sees(&format!("app{}/x", "/d".repeat(DEEPEST)));
    let last = format!("app{}/later", "/d".repeat(DEEPEST));
    fs::create_dir(stage.at(&last)).unwrap();
    stage.sees(&last);
    stage.write(&format!("{last}/x"));
    stage.sees_nothing();
}

#[test]
fn thousands_of_changes_are_one_when_they_are_looked_at_together() {
    let mut stage = Stage::new(&["app/src"], &["app"]);
    for number in 0..6000 {
        fs::write(stage.at(&format!("app/src/{number}")), "").unwrap();
    }
    let mut looks = 0;
    while stage.tree.wait(Some(MOMENT)).unwrap().is_some() {
        looks += 1;
    }
    assert!((1..100).contains(&looks), "{looks}");
}

#[test]
fn without_a_folder_there_is_nothing_to_watch() {
    let gone = PathBuf::from("/nonexistent/folder/app");
    assert!(Tree::open(&[gone], &[]).is_err());
}

#[test]
fn only_a_folder_is_entered_and_no_link_on_the_way() {
    let stage = Stage::new(&["a/b"], &["a"]);
    stage.write("a/file");
    symlink("b", stage.at("a/link")).unwrap();
    symlink("a", stage.at("link")).unwrap();
    let root = OwnedFd::from(fs::File::open(stage.folder.path()).unwrap());
    let entered = enter(&root, Path::new("a/b")).unwrap();
    let flags = rustix::io::fcntl_getfd(&entered).unwrap();
    assert_eq!(flags, rustix::io::FdFlags::CLOEXEC);
    for path in ["a/file", "a/link", "link/b", "a/nothing"] {
        assert!(enter(&root, Path::new(path)).is_err(), "{path}");
    }
}
