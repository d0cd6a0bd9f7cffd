//! Runs the commands of the README as they are printed and compares what they print, and checks the
//! links of the documentation and its list of settings.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use hookturn_test::Program;

/// A fenced block of the README.
struct Block {
    language: String,
    text: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in markdown.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Starts the server as `make run` does, on a port of its own; returns its URL.
fn start() -> (Program, String) {
    let args = [
        "--dev",
        "--api-key",
        "demo=demo-key",
        "--log-format",
        "json",
    ];
    let server = Program::serve(&args, &[]);
    let url = format!("http://{}", server.address);
    (server, url)
}

/// Replaces all that differs from run to run by its kind.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let (kind, length) = variable(rest).unwrap_or(("", 0));
        if length > 0 {
            masked.push_str(kind);
            rest = &rest[length..];
        } else {
            masked.push(char);
            rest = &rest[char.len_utf8()..];
        }
    }
    masked.trim_end().to_owned()
}

/// What kind of variable text `text` starts with, and how long it is.
fn variable(text: &str) -> Option<(&'static str, usize)> {
    let run = |after: &str, allowed: fn(char) -> bool| {
        text.strip_prefix(after)
            .map(|rest| rest.find(|char| !allowed(char)).unwrap_or(rest.len()))
    };
    let hex = |char: char| matches!(char, '0'..='9' | 'a'..='f');
    let base64 = |char: char| char.is_ascii_alphanumeric() || char == '+' || char == '/';
    if run("whsec_", base64) == Some(40) {
        return Some(("<secret>", 46));
    }
    if run("we_", hex) == Some(32) {
        return Some(("<endpoint>", 35));
    }
    if run("sha256:", hex) == Some(16) {
        return Some(("<fingerprint>", 23));
    }
    if let Some(rest) = text.strip_prefix("http://127.0.0.1:") {
        let port = rest.find(|char: char| !char.is_ascii_digit())?;
        return Some(("<url>", 17 + port));
    }
    if let Some(date) = text.get(..24)
        && date.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            19 => byte == b'.',
            23 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
    {
        return Some(("<time>", 24));
    }
    // After the others, since hex digits are in all of them.
    match text.find(|char| !hex(char)) {
        Some(24) => Some(("<subscription>", 24)),
        _ => None,
    }
}

#[test]
fn the_walk_through_prints_what_the_readme_says() {
    let readme = include_str!("../../README.md");
    let (_, walk) = readme
        .split_once("## Walk-through")
        .expect("the README has a walk-through");
    let (walk, _) = walk.split_once("\n## ").expect("and a section after it");
    let blocks = blocks(walk);

    // One shell runs all commands, as a reader's would; a mark after each block tells the outputs
    // apart.
    let mark = "---- end of a block ----";
    let mut script = String::from("set -eu\n");
    let mut expected = Vec::new();
    for block in &blocks {
        if block.language == "sh" {
            script.push_str(&block.text);
            let _ = writeln!(script, "echo; echo '{mark}'");
            expected.push(String::new());
        } else {
            let last = expected.last_mut().expect("an output follows a command");
            last.push_str(&block.text);
        }
    }
    assert!(expected.len() > 8, "the walk-through was found");

    let (_server, url) = start();
    let mut shell = Command::new("bash")
        .env("HOOKTURN", &url)
        .env_remove("KEY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash is installed");
    let mut input = shell.stdin.take().expect("stdin is piped");
    input
        .write_all(script.as_bytes())
        .expect("the shell takes its script");
    drop(input);
    let output = shell.wait_with_output().expect("the shell ends");
    assert!(output.status.success(), "a command failed");

    let printed = String::from_utf8(output.stdout).expect("the output is text");
    let printed: Vec<String> = printed
        .split(mark)
        .map(|part| masked(part.trim()))
        .collect();
    let expected: Vec<String> = expected.iter().map(|text| masked(text.trim())).collect();
    assert_eq!(printed.last().map(String::as_str), Some(""));
    assert_eq!(printed[..printed.len() - 1], expected[..]);
}

/// The README and the pages that it links to.
const PAGES: [(&str, &str); 5] = [
    ("README.md", include_str!("../../README.md")),
    ("docs/api.md", include_str!("../../docs/api.md")),
    ("docs/operate.md", include_str!("../../docs/operate.md")),
    ("docs/settings.md", include_str!("../../docs/settings.md")),
    ("docs/verify.md", include_str!("../../docs/verify.md")),
];

/// The anchors of the headings of a page, as GitHub makes them of plain words.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        line.trim_start_matches('#')
            .trim()
            .to_lowercase()
            .replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn the_links_between_the_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    for (name, page) in PAGES {
        for (at, _) in page.match_indices("](") {
            let link = page[at + 2..].split(')').next().expect("a link");
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = root.join(name).parent().expect("a directory").join(file);
            assert!(path.exists(), "{name}: {link}");
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(path).expect("a page");
                let is_there = anchors(&text).iter().any(|known| known == anchor);
                assert!(is_there, "{name}: {link}");
            }
        }
    }
    assert!(links > 10, "the links were found");
}

#[test]
fn the_list_of_settings_has_every_flag_and_variable() {
    let (_, page) = PAGES[3];
    let output = Command::new(env!("CARGO_BIN_EXE_hookturn"))
        .args(["serve", "--help"])
        .env_clear()
        .output()
        .expect("the program runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let words = help.split(|char: char| !(char.is_ascii_alphanumeric() || "-_".contains(char)));
    let settings = words.filter(|word| word.starts_with("--") || word.starts_with("HOOKTURN_"));
    let mut count = 0;
    for setting in settings.filter(|setting| *setting != "--help") {
        count += 1;
        let is_there = ['`', ' ']
            .iter()
            .any(|end| page.contains(&format!("`{setting}{end}")));
        assert!(is_there, "{setting}");
    }
    assert!(count > 20, "the settings were found");
}
