//! The page for people is the table.

use std::path::Path;

/// Set to write the page instead of comparing it.
const WRITE: &str = "FIRSTLIGHT_WRITE_DOCS";

#[test]
fn the_page_about_identity_items_is_what_the_table_says() {
    let page = firstlight_shared::items::markdown();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/identity-items.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == page, "docs/identity-items.md differs from the table: run this test with {WRITE}=1");
}
