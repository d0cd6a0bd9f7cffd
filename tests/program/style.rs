//! Holds the text of the sources to one style, where stable rustfmt has no setting for it.

use std::fs;
use std::path::{Path, PathBuf};

/// The last column of a comment, as of code.
const WIDTH: usize = 100;

/// Where sources are.
const FOLDERS: [&str; 4] = ["src", "tests", "benches", "fuzz/fuzz_targets"];

/// All sources, with their texts.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 300, "only {} sources were found", found.len());
    found
}

#[test]
fn comments_end_at_one_column() {
    let mut wide = Vec::new();
    for (path, text) in sources() {
        for (number, line) in (1..).zip(text.lines()) {
            let is_comment = line.trim_start().starts_with("//");
            // What cannot be broken, such as a link or a row of a table, may be longer.
            let content = line.trim_start().trim_start_matches(['/', '!']).trim();
            let is_whole = !content.contains(' ') || content.starts_with('|');
            if is_comment && !is_whole && line.chars().count() > WIDTH {
                wide.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(wide.is_empty(), "wider than {WIDTH} columns: {wide:#?}");
}

#[test]
fn an_import_names_one_module() {
    let mut nested = Vec::new();
    for (path, text) in sources() {
        for import in imports(&text) {
            if import.matches('{').count() > 1 {
                nested.push(format!("{}: {import}", path.display()));
            }
        }
    }
    assert!(nested.is_empty(), "more than one brace: {nested:#?}");
}

/// The `use` items of a text, each on one line.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    for line in text.lines().map(str::trim) {
        let begins = ["use ", "pub use ", "pub(super) use ", "pub(crate) use "]
            .iter()
            .any(|start| line.starts_with(start));
        if current.is_none() && begins {
            current = Some(String::new());
        }
        if let Some(import) = &mut current {
            import.push_str(line);
            if line.ends_with(';') {
                found.extend(current.take());
            }
        }
    }
    found
}

#[test]
fn a_nested_import_is_found() {
    let text = "fn f() {}\nuse a::{\n    b::{c, d},\n};\npub use e::f;";
    assert_eq!(imports(text), ["use a::{b::{c, d},};", "pub use e::f;"]);
}
