//! What may name what: data flows one way, and nothing lower knows what stands above it.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest file in `src/`, in lines.
const MAX_LINES: usize = 600;

const HTTP: [&str; 5] = ["axum", "hyper", "hyper_util", "tower", "http_body_util"];
const RUNTIME: [&str; 1] = ["tokio"];
const DATABASES: [&str; 6] = [
    "rusqlite",
    "sqlx",
    "diesel",
    "postgres",
    "tokio_postgres",
    "deadpool_postgres",
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The files under a folder of `src/`, with their texts.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(folder);
    let mut found = Vec::new();
    rust_files(&root, &mut found);
    assert!(!found.is_empty(), "there are files in {}", root.display());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a text");
        (path, text)
    };
    // A module's tests may name whatever they test it against.
    let is_tests = |path: &PathBuf| path.file_name().is_some_and(|name| name == "tests.rs");
    found.retain(|path| !is_tests(path));
    found.into_iter().map(read).collect()
}

/// Whether a text has the word, comments included: what is not named is not known.
fn names(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).any(|found| found == word)
}

fn assert_ignorant(folder: &str, words: &[&str]) {
    for (path, text) in sources(folder) {
        for word in words {
            assert!(!names(&text, word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_domain_knows_no_http_no_runtime_and_no_database() {
    assert_ignorant("domain", &[&HTTP[..], &RUNTIME, &DATABASES].concat());
    assert_ignorant("domain", &["async"]);
}

#[test]
fn stores_know_no_http() {
    assert_ignorant("store", &HTTP);
}

#[test]
fn the_service_and_idempotency_know_no_http_and_no_database() {
    for folder in ["service", "idempotency"] {
        assert_ignorant(folder, &[&HTTP[..], &DATABASES].concat());
    }
}

#[test]
fn nothing_lower_names_what_stands_above_it() {
    for (folder, above) in [
        (
            "domain",
            &["idempotency", "store", "service", "api", "server", "clock"][..],
        ),
        ("idempotency", &["store", "service", "api", "server"]),
        ("store", &["service", "api", "server"]),
        ("service", &["api", "server"]),
        ("server", &["api", "service", "store", "domain"]),
    ] {
        for (path, text) in sources(folder) {
            for module in above {
                let named = format!("crate::{module}");
                assert!(!text.contains(&named), "{} names {named}", path.display());
            }
        }
    }
}

#[test]
fn no_file_is_longer_than_can_be_read_at_once() {
    for (path, text) in sources("") {
        let lines = text.lines().count();
        assert!(lines < MAX_LINES, "{} has {lines} lines", path.display());
    }
}

#[test]
fn a_word_is_found_whole_or_not_at_all() {
    assert!(names("use axum::Router;", "axum") && names("axum", "axum"));
    assert!(!names("use my_axum::x; axums", "axum"));
}
