//! Reads what the modules of `src/` import, and finds circles among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of a folder of `src/`: their paths, such as `["api", "json", "integer"]`, and their
/// texts.
pub fn modules(folder: &str) -> BTreeMap<Vec<String>, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.join(folder)];
    let mut modules = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let is_tests = path.file_stem().is_some_and(|stem| stem == "tests");
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !is_tests {
                let text = fs::read_to_string(&path).expect("a text");
                modules.insert(module_of(&source, &path), code(&text));
            }
        }
    }
    modules
}

fn module_of(source: &Path, file: &Path) -> Vec<String> {
    let path: PathBuf = file.with_extension("");
    let path = path.strip_prefix(source).expect("within the source");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "mod").collect()
}

/// A text without its comments and its unit tests.
pub fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    let lines = text[..end].lines();
    let lines: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    lines.join("\n")
}

/// The words of a text, with `::`, braces and commas between them.
fn tokens(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        if !token.trim().is_empty() {
            tokens.push(token);
        }
        rest = after;
    }
    tokens
}

/// Adds the paths of the use tree at the start of `tokens`, each after `prefix`. Returns what
/// follows the tree.
fn paths<'a>(
    mut tokens: &'a [&'a str],
    prefix: &[&'a str],
    found: &mut Vec<Vec<&'a str>>,
) -> &'a [&'a str] {
    let mut path = prefix.to_vec();
    loop {
        match tokens {
            ["{", rest @ ..] => {
                tokens = rest;
                while let [first, ..] = tokens {
                    match *first {
                        "}" => return &tokens[1..],
                        "," => tokens = &tokens[1..],
                        // A tree may rename what it names.
                        "as" => tokens = tokens.get(2..).unwrap_or_default(),
                        _ => tokens = paths(tokens, &path, found),
                    }
                }
                return tokens;
            }
            [word, "::", rest @ ..] => {
                path.push(word);
                tokens = rest;
            }
            [word, rest @ ..] => {
                path.push(word);
                found.push(path);
                return rest;
            }
            [] => return tokens,
        }
    }
}

/// All paths of a module's text that begin at the crate or near the module, from the crate's root
/// on.
pub fn imports(module: &[String], is_folder: bool, text: &str) -> Vec<Vec<String>> {
    let all = tokens(text);
    let mut found = Vec::new();
    for start in 0..all.len() {
        let begins = matches!(all[start], "crate" | "super" | "self")
            && all.get(start + 1) == Some(&"::")
            // What a path goes on with is no beginning, and `pub(in …)` imports nothing.
            && (start == 0 || !matches!(all[start - 1], "::" | "in"));
        if begins {
            paths(&all[start..], &[], &mut found);
        }
    }
    let absolute = |path: Vec<&str>| {
        let mut base: Vec<String> = module.to_vec();
        let mut names = path.into_iter().peekable();
        match names.next() {
            Some("crate") => base.clear(),
            Some("super") => {
                base.pop();
                while names.next_if_eq(&"super").is_some() {
                    base.pop();
                }
            }
            _ => assert!(is_folder || names.peek().is_some()),
        }
        base.extend(names.map(str::to_owned));
        base
    };
    found.into_iter().map(absolute).collect()
}

/// Which modules each module of a folder imports: the innermost one that a path leads into.
pub fn arrows(modules: &BTreeMap<Vec<String>, String>) -> BTreeMap<&[String], BTreeSet<&[String]>> {
    let arrow = |(module, text): (&'_ Vec<String>, &String)| -> Vec<Vec<String>> {
        let is_folder = modules
            .keys()
            .any(|other| other.len() > module.len() && other.starts_with(module));
        imports(module, is_folder, text)
    };
    modules
        .iter()
        .map(|entry| {
            let targets = arrow(entry).into_iter().filter_map(|path| {
                let mut ends = (1..=path.len()).rev();
                let end = ends.find(|end| modules.contains_key(&path[..*end]))?;
                let (target, _) = modules.get_key_value(&path[..end])?;
                (target != entry.0).then_some(target.as_slice())
            });
            (entry.0.as_slice(), targets.collect())
        })
        .collect()
}

/// A circle of arrows, if there is one.
pub fn circle(arrows: &BTreeMap<&[String], BTreeSet<&[String]>>) -> Option<Vec<String>> {
    // What imports nothing that is left is in no circle.
    let mut left = arrows.clone();
    loop {
        let names: BTreeSet<_> = left.keys().copied().collect();
        for targets in left.values_mut() {
            targets.retain(|target| names.contains(target));
        }
        let before = left.len();
        left.retain(|_, targets| !targets.is_empty());
        if left.len() == before {
            break;
        }
    }
    // All that is left leads on, and so at last to where one has been.
    let mut walk = vec![*left.keys().next()?];
    loop {
        let next = *left[walk[walk.len() - 1]].first()?;
        if let Some(start) = walk.iter().position(|been| *been == next) {
            return Some(walk[start..].iter().map(|name| name.join("::")).collect());
        }
        walk.push(next);
    }
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str, text: &str| {
        let path = name.split("::").map(str::to_owned).collect();
        (path, code(text))
    };
    let sound = [
        module("a", "mod b;\npub use self::b::{C as D, c::{self, E}};"),
        module("a::b", "use super::super::a::c::F;"),
        module(
            "a::c",
            "// use super::b::G;\n#[cfg(test)]\nmod tests {\n    use super::super::b::G;\n}",
        ),
    ];
    let mut modules: BTreeMap<_, _> = sound.into_iter().collect();
    let found = arrows(&modules);
    let targets = found.values().map(BTreeSet::len);
    assert_eq!((targets.sum::<usize>(), circle(&found)), (2, None));

    modules.extend([module("a::c", "fn f() -> crate::a::b::G {}")]);
    let found = circle(&arrows(&modules)).expect("a circle");
    assert_eq!(found, ["a::b", "a::c"]);
}
