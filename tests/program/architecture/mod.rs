//! Holds the code to what `ARCHITECTURE.md` says of its rooms.
//!
//! A room is a folder or a file of `src/`. The table under "The house" lists them from the ground
//! up: a room imports only rooms above it in the table, and names none of the words in its last
//! column.

mod imports;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use self::imports::{arrows, circle, code, imports, modules};

/// The longest file in `src/`, in lines.
const MAX_LINES: usize = 550;

/// Rooms of `src/` that only tie the others together.
const TIES: [&str; 2] = ["lib", "main"];

/// A row of the table.
struct Room {
    name: String,
    names_none_of: Vec<String>,
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The rooms of the table, from the ground up.
fn rooms() -> Vec<Room> {
    let page = read("ARCHITECTURE.md");
    let (_, house) = page.split_once("## The house\n").expect("the house");
    let (house, _) = house.split_once("\n## ").expect("what follows the house");
    let rows = house.lines().filter(|line| line.starts_with("| `"));
    let rooms: Vec<Room> = rows
        .map(|row| {
            let columns: Vec<&str> = row.trim_matches('|').split(" | ").collect();
            let [room, _, words] = columns[..] else {
                panic!("three columns: {row}");
            };
            let name = quoted(room).next().expect("a name");
            Room {
                name: name.trim_end_matches('/').to_owned(),
                names_none_of: quoted(words).collect(),
            }
        })
        .collect();
    assert!(rooms.len() > 10, "the table has rows");
    rooms
}

#[test]
fn every_room_is_on_the_page_and_the_other_way_round() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found: BTreeSet<String> = fs::read_dir(source)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !TIES.contains(&name.as_str()))
        .collect();
    let told: BTreeSet<String> = rooms().into_iter().map(|room| room.name).collect();
    assert_eq!(found, told);
}

#[test]
fn a_room_imports_only_rooms_above_it_on_the_page() {
    let order: Vec<String> = rooms().into_iter().map(|room| room.name).collect();
    let place = |name: &str| order.iter().position(|room| room == name);
    for (module, text) in modules("") {
        if TIES.contains(&module[0].as_str()) {
            continue;
        }
        let own = place(&module[0]).unwrap_or_else(|| panic!("{module:?} is in no room"));
        for path in imports(&module, true, &text) {
            let target = path.first().and_then(|name| place(name));
            if let Some(target) = target {
                assert!(
                    target <= own,
                    "{} imports {}",
                    module.join("::"),
                    path.join("::")
                );
            }
        }
    }
}

#[test]
fn a_room_names_none_of_what_the_page_keeps_from_it() {
    for room in rooms() {
        for (module, text) in modules("") {
            if module[0] != room.name {
                continue;
            }
            for word in &room.names_none_of {
                assert!(!names(&text, word), "{} names {word}", module.join("::"));
            }
        }
    }
}

/// Whether a text has the word.
fn names(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).any(|found| found == word)
}

#[test]
fn modules_of_a_room_import_one_another_in_one_direction() {
    let mut count = 0;
    for room in rooms() {
        if !Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(&room.name)
            .is_dir()
        {
            continue;
        }
        let modules = modules(&room.name);
        let arrows = arrows(&modules);
        count += arrows.values().map(BTreeSet::len).sum::<usize>();
        if let Some(circle) = circle(&arrows) {
            panic!("each of these imports the next one, and the last one the first: {circle:#?}");
        }
    }
    assert!(count > 300, "only {count} arrows were found");
}

#[test]
fn statements_of_sqlite_are_in_one_place() {
    let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "CREATE "];
    let mut found = 0;
    for (module, text) in modules("") {
        let is_the_place = module.starts_with(&["store", "sqlite", "sql"].map(str::to_owned));
        for verb in verbs {
            let count = text.matches(&format!("\"{verb}")).count();
            assert!(
                is_the_place || count == 0,
                "{} has a statement",
                module.join("::")
            );
            found += count;
        }
    }
    assert!(found > 20, "only {found} statements were found");
}

#[test]
fn no_file_is_longer_than_can_be_read_at_once() {
    for (module, text) in modules("") {
        let lines = text.lines().count();
        assert!(lines < MAX_LINES, "{} has {lines} lines", module.join("::"));
    }
}

#[test]
fn a_word_is_found_whole_or_not_at_all() {
    assert!(names("use axum::Router;", "axum") && names("axum", "axum"));
    assert!(!names("use my_axum::x; axums", "axum"));
    assert_eq!(code("// axum\nuse tokio;"), "use tokio;");
}
