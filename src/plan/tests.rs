//! The files that a unit names, and the links that start an app at boot.

use super::header::Header;
use super::*;
use crate::ecosystem::parse;

#[test]
fn a_pinned_unit_names_its_file_in_a_comment_and_a_generated_one_as_its_source() {
    let path = Path::new("/etc/rsgen/apps/web.toml");
    let header = |origin| Header::new("web", origin, Scope::System);
    let shown = "/etc/rsgen/apps/web.toml".to_owned();
    let pinned = header(Origin::Pinned(path));
    assert_eq!(pinned.source, None);
    assert_eq!(
        pinned.file,
        Some((shown.clone(), "rsgen reload web".into()))
    );
    let generated = header(Origin::Generated(path));
    assert_eq!((generated.source, generated.file), (Some(shown), None));
    let packaged = header(Origin::Packaged);
    assert_eq!((packaged.source, packaged.file), (None, None));
}

#[test]
fn the_links_of_an_app_of_any_kind_are_among_those_that_are_looked_for() {
    for scope in [Scope::System, Scope::User] {
        let all = all_enable_links("web", scope);
        for (keys, count) in [
            ("", 1),
            ("listen = 3000", 2),
            ("listen = [3000, \"/run/web.sock\"]", 2),
            ("schedule = \"daily\"", 1),
            ("reload_schedule = \"daily\"", 2),
            ("listen = 3000\nreload_schedule = \"daily\"", 3),
        ] {
            let text = format!("[[apps]]\nname = \"web\"\nscript = \"/srv/x\"\n{keys}\n");
            let (apps, report) = parse("eco.toml", &text);
            let links = enable_links(&apps[0], scope);
            assert_eq!(links.len(), count, "{keys}: {}", report.render(false));
            for (link, target) in links {
                assert_eq!(all.get(&link), Some(&target), "{keys}: {}", link.display());
            }
        }
        let is_own = |link: &PathBuf| {
            link.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("web"))
        };
        assert!(all.keys().all(is_own), "{all:?}");
    }
}
