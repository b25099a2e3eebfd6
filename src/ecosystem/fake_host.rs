//! The hosts of tests: a fake states the facts that its tests are about, and takes the others from here.

use std::path::{Path, PathBuf};

use super::resolve::{Account, FileStatus, Ids, Probe};

/// Declares [`FakeHost`], and makes every fake a [`Probe`].
macro_rules! fake_host {
    (
        stated { $(fn $must:ident(&self $(, $given:ident: $kind:ty)*) -> $told:ty;)* }
        assumed { $(fn $may:ident(&self $(, $argument:ident: $type:ty)*) -> $answer:ty { $default:expr })* }
    ) => {
        /// A host of which a test states only the relevant facts.
        pub(crate) trait FakeHost {
            $(fn $must(&self $(, $given: $kind)*) -> $told;)*
            $(fn $may(&self $(, $argument: $type)*) -> $answer {
                $(let _ = $argument;)*
                $default
            })*
        }

        impl<T: FakeHost> Probe for T {
            $(fn $must(&self $(, $given: $kind)*) -> $told {
                FakeHost::$must(self $(, $given)*)
            })*
            $(fn $may(&self $(, $argument: $type)*) -> $answer {
                FakeHost::$may(self $(, $argument)*)
            })*
        }
    };
}

fake_host! {
    stated {
        fn is_system(&self) -> bool;
        fn status(&self, path: &Path) -> Option<FileStatus>;
        fn user(&self, number: u32) -> Option<String>;
        fn name(&self, account: Account) -> String;
    }
    assumed {
        fn is_file(&self, path: &Path) -> bool { true }
        fn is_dir(&self, path: &Path) -> bool { true }
        fn has_run_bit(&self, path: &Path) -> bool { true }
        fn names_interpreter(&self, path: &Path) -> bool { true }
        fn names(&self, dir: &Path) -> Vec<String> { Vec::new() }
        fn links(&self, dir: &Path) -> Vec<(PathBuf, PathBuf)> { Vec::new() }
        fn search_path(&self) -> Vec<PathBuf> { Vec::new() }
        fn has_user(&self, user: &str) -> bool { true }
        fn has_group(&self, group: &str) -> bool { true }
        fn access_list(&self, path: &Path) -> Option<Vec<u8>> { None }
        fn has_owners(&self) -> bool { true }
        fn is_own_group(&self, user: Account, group: u32) -> bool { false }
        fn installed_user(&self, app: &str) -> Option<String> { None }
        fn home(&self, user: Option<&str>) -> Option<PathBuf> { None }
        fn text(&self, path: &Path) -> Option<String> { None }
        fn first_line(&self, path: &Path) -> Option<String> { None }
        fn has_controller(&self, name: &str) -> Option<bool> { None }
        fn node_version(&self) -> Option<String> { None }
        fn ids(&self, user: &str, group: Option<&str>) -> Option<Ids> { None }
        fn has_drop_in(&self, app: &str, directives: &[&str]) -> bool { false }
    }
}
