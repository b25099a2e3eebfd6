//! The ecosystem files of docs/recipes are valid. `make recipes` runs them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use rsgen::ecosystem;
use testbed::docs;

const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recipes");

fn pages() -> Vec<(String, String)> {
    let entries = fs::read_dir(PAGES).unwrap();
    let paths = entries.map(|e| e.unwrap().path());
    let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
    paths
        .map(|p| (name(&p), fs::read_to_string(&p).unwrap()))
        .collect()
}

#[test]
fn every_recipe_is_valid() {
    let mut seen = 0;
    for (page, text) in pages() {
        for block in docs::blocks(&text).iter().filter(|b| b.language == "toml") {
            let (apps, report) = ecosystem::parse(&page, &block.text);
            assert_eq!(apps.len(), 1, "{page}");
            assert!(!report.has_errors(), "{page}: {}", report.render(false));
            seen += 1;
        }
    }
    assert!(seen >= 25, "{seen}");
}

#[test]
fn the_table_names_every_page() {
    let pages = pages();
    let (_, table) = pages.iter().find(|(name, _)| name == "README.md").unwrap();
    for (page, _) in pages.iter().filter(|(name, _)| name != "README.md") {
        assert!(table.contains(&format!("]({page}")), "{page}");
    }
}
