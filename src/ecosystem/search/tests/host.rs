//! A host whose files the tests choose.

use super::*;
use crate::ecosystem::fake_host::FakeHost;

/// Files with their texts. Every folder above such a file exists.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) files: BTreeMap<&'static str, &'static str>,
    pub(super) search_path: Vec<PathBuf>,
    pub(super) links: BTreeMap<&'static str, &'static str>,
    pub(super) closed: Option<&'static str>,
    /// The version of the Node of the system.
    pub(super) node: Option<&'static str>,
}

impl Fake {
    pub(super) fn of(files: &[(&'static str, &'static str)]) -> Self {
        let mut files: BTreeMap<_, _> = files.iter().copied().collect();
        files.insert("/usr/bin/python3", "");
        Self {
            files,
            ..Self::default()
        }
    }

    pub(super) fn resolved(&self, keys: &str) -> (App, Vec<String>) {
        let (app, faults) = self.faults(keys);
        (app, faults.into_iter().map(|fault| fault.message).collect())
    }

    /// Returns the app, and its faults.
    pub(super) fn faults(&self, keys: &str) -> (App, Vec<Diagnostic>) {
        let text = format!("[[apps]]\nuser = \"web\"\nlisten = 1\n{keys}");
        let (mut apps, report) = parse("eco.toml", &text);
        assert!(report.diagnostics.is_empty(), "{}", report.render(false));
        let mut faults = Vec::new();
        let mut app = apps.remove(0);
        resolve(&mut app, Path::new("/srv/web"), self, &mut faults);
        (app, faults)
    }

    /// Returns the program that is run, and the first folder of `PATH` if it is not one of systemd's.
    pub(super) fn run_by(&self, keys: &str) -> (String, Option<String>) {
        let (app, told) = self.resolved(keys);
        assert_eq!(told, Vec::<String>::new());
        let path = app.env.get("PATH");
        let folder = path.map(|path| path.strip_suffix(&format!(":{}", SYSTEM_PATH.join(":"))));
        let folder = folder.map(|folder| folder.unwrap().to_owned());
        (app.program.command_line().remove(0), folder)
    }
}

impl FakeHost for Fake {
    fn is_file(&self, path: &Path) -> bool {
        path.to_str()
            .is_some_and(|path| self.files.contains_key(path))
    }
    fn names_interpreter(&self, path: &Path) -> bool {
        !path.to_string_lossy().ends_with("ts")
    }
    fn node_version(&self) -> Option<String> {
        self.node.map(str::to_owned)
    }
    fn names(&self, dir: &Path) -> Vec<String> {
        let below = self
            .files
            .keys()
            .filter_map(|p| Path::new(p).strip_prefix(dir).ok());
        let first = below.filter_map(|path| path.iter().next()?.to_str());
        first.map(str::to_owned).collect()
    }
    fn search_path(&self) -> Vec<PathBuf> {
        self.search_path.clone()
    }
    fn is_system(&self) -> bool {
        false
    }
    fn status(&self, path: &Path) -> Option<FileStatus> {
        let text = path.to_str()?;
        Some(FileStatus {
            owner: 0,
            group: 0,
            mode: if self.closed == Some(text) {
                0o700
            } else {
                0o755
            },
            link: self.links.get(text).map(PathBuf::from),
            beyond: Beyond::Nothing,
        })
    }
    fn user(&self, _: u32) -> Option<String> {
        None
    }
    fn name(&self, _: Account) -> String {
        "root".to_owned()
    }
    fn ids(&self, _: &str, _: Option<&str>) -> Option<Ids> {
        Some(Ids {
            user: 33,
            groups: vec![33],
        })
    }
    fn home(&self, user: Option<&str>) -> Option<PathBuf> {
        Some(
            if user == Some("web") {
                "/home/web"
            } else {
                "/home/me"
            }
            .into(),
        )
    }
    fn text(&self, path: &Path) -> Option<String> {
        self.files
            .get(path.to_str()?)
            .map(|text| (*text).to_owned())
    }
    fn first_line(&self, path: &Path) -> Option<String> {
        FakeHost::text(self, path)
    }
}
