//! The folder that relative paths of an app refer to.
//!
//! PM2 resolves a relative `script`, and a relative `cwd`, from the folder in which `pm2 start` is called,
//! whatever folder the file is in. In an ecosystem file, such paths are relative to the file's own folder.

use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::{Kind, Source};

/// Sets `cwd` if the script is in the folder in which rsgen is called and not beside the imported file, and
/// notes which of two scripts is meant.
pub(super) fn find_script(draft: &mut Draft<'_>, source: &Source<'_>) {
    let is_of_pm2 = matches!(source.kind, Kind::Script | Kind::Json | Kind::Yaml);
    let Some(called) = source.called_in.filter(|_| is_of_pm2) else {
        return;
    };
    let text = |key| draft.text_of(key).unwrap_or_default().to_owned();
    let (script, cwd) = (text("script"), text("cwd"));
    let is_named = ["bash", "npm", "npx"].contains(&script.as_str());
    if script.is_empty() || is_named || script.starts_with('/') || cwd.starts_with('/') {
        return;
    }
    let of = |folder: &Path| folder.join(&cwd);
    let is_there = |folder: &Path| (source.is_file)(&of(folder).join(&script));
    match (is_there(source.folder), is_there(called)) {
        (false, true) => {
            let why = format!(
                "the folder in which `rsgen import` was called: `{script}` is there and not beside the imported file; PM2 takes \
                 a relative path from the folder in which pm2 is called"
            );
            draft.set("cwd", show(&of(called)), why);
        }
        (true, true) => {
            let why = format!(
                "beside the imported file; PM2 takes a relative path from the folder in which pm2 is called, and there is one \
                 in `{}` as well",
                show(&of(called))
            );
            draft.set("script", script, why);
        }
        _ => {}
    }
}

/// Sets `cwd` if the ecosystem file is in another folder: relative paths are relative to the file's folder.
pub(super) fn keep_folder(draft: &mut Draft<'_>) {
    let cwd = draft.text_of("cwd").unwrap_or_default().to_owned();
    if draft.origin.is_moved && !cwd.starts_with('/') {
        let folder = draft.origin.folder.join(cwd);
        draft.set("cwd", show(&folder), "the folder of the imported file");
    }
}

fn show(folder: &Path) -> String {
    let parts: PathBuf = folder.components().collect();
    parts.to_string_lossy().into_owned()
}
