//! The receivers in `examples/receivers/`, as `docs/verify.md` and the README print them, against
//! what Hookturn signs.
//!
//! Those in Python and JavaScript need what `examples/receivers/install.sh` installs; without it
//! these tests fail.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hookturn::clock::{Clock as _, SystemClock};
use hookturn::domain::verification::{DEFAULT_TOLERANCE, ReceiverSecret, verify};
use hookturn::domain::{Format, Secret, signature};
use serde_json::json;

#[path = "../../examples/receivers/rust/standard_webhooks.rs"]
mod standard_webhooks;
#[path = "../../examples/receivers/rust/verbex.rs"]
mod verbex;

const BODY: &str = r#"{"type":"call.started","data":{"name":"Zoë"}}"#;

/// A request for a receiver, and whether it should verify.
struct Case {
    what: &'static str,
    format: Format,
    headers: Vec<(&'static str, String)>,
    body: String,
    secrets: Vec<String>,
    verifies: bool,
}

fn secret(byte: u8) -> Secret {
    Secret::from_bytes(&[byte; 30])
}

/// A delivery during a grace: signed with the new secret (2) and the old one (1).
fn delivery(format: Format, timestamp: i64) -> Vec<(&'static str, String)> {
    let signers = [secret(2), secret(1)].map(|secret| secret.signer(format));
    let body = BODY.as_bytes();
    match format {
        Format::StandardWebhooks => vec![
            ("webhook-id", "evt_1".to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            (
                "webhook-signature",
                signature::standard_webhooks(&signers, "evt_1", timestamp, body),
            ),
        ],
        Format::Verbex => vec![(
            "X-Webhook-Signature",
            signature::verbex(&signers, timestamp, body),
        )],
    }
}

fn cases(format: Format) -> Vec<Case> {
    let now = SystemClock.wall().unix_seconds();
    let case = |what, secrets: &[u8], verifies| Case {
        what,
        format,
        headers: delivery(format, now),
        body: BODY.to_owned(),
        secrets: secrets
            .iter()
            .map(|byte| secret(*byte).expose().to_string())
            .collect(),
        verifies,
    };
    let mut cases = vec![
        case("the old secret", &[1], true),
        case("the new secret", &[2], true),
        case("both secrets", &[1, 2], true),
        case("one of two secrets", &[3, 1], true),
        case("a third secret", &[3], false),
        case("no secret", &[], false),
    ];
    let altered = |what, alter: fn(&mut Case)| {
        let mut case = case(what, &[1, 2], false);
        alter(&mut case);
        case
    };
    cases.push(altered("an altered body", |case| {
        case.body = case.body.replace("call", "cell");
    }));
    cases.push(altered("a body with a line end", |case| {
        case.body.push('\n');
    }));
    cases.push(altered("an altered time", |case| {
        for (_, value) in &mut case.headers {
            // Within the tolerance: only the signature can tell.
            let now = SystemClock.wall().unix_seconds();
            for second in now - 60..=now {
                *value = value.replace(&second.to_string(), &(second - 61).to_string());
            }
        }
    }));
    cases.push(altered("a shortened signature", |case| {
        let (_, value) = case.headers.last_mut().expect("a signature");
        let start = value.find("v1").expect("a signature");
        value.truncate(start + 20);
    }));
    cases.push(altered("a signature that is none", |case| {
        "\u{1f}nonsense, v1".clone_into(&mut case.headers.last_mut().expect("a signature").1);
    }));
    // The age of what is genuine: a minute to either side of the tolerance, so that a slow machine
    // does not matter.
    for (what, age, verifies) in [
        ("four minutes old", 240, true),
        ("six minutes old", 360, false),
        ("four minutes ahead", -240, true),
        ("six minutes ahead", -360, false),
    ] {
        let mut case = case(what, &[1], verifies);
        case.headers = delivery(format, now - age);
        cases.push(case);
    }
    cases
}

fn all_cases() -> Vec<Case> {
    let mut all = cases(Format::StandardWebhooks);
    all.extend(cases(Format::Verbex));
    all
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the install script has put there.
fn installed(path: &str) -> PathBuf {
    let path = root().join("target/receivers").join(path);
    assert!(
        path.exists(),
        "{} is missing: run examples/receivers/install.sh, as `make test` does",
        path.display()
    );
    path
}

/// Sends all cases through a driver, one line each, and compares its answers.
fn assert_agrees(driver: &mut Command) {
    let cases = all_cases();
    let mut child = driver
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the driver starts");
    let mut input = child.stdin.take().expect("piped");
    let writer = {
        let lines: String = cases.iter().map(|case| line(case) + "\n").collect();
        std::thread::spawn(move || input.write_all(lines.as_bytes()))
    };
    let output = child.wait_with_output().expect("the driver ends");
    writer
        .join()
        .expect("the writer ends")
        .expect("the driver reads every line");
    assert!(output.status.success(), "the driver failed");
    let answers = String::from_utf8(output.stdout).expect("text");
    assert_eq!(answers.lines().count(), cases.len());
    for (answer, case) in answers.lines().zip(&cases) {
        let expected = if case.verifies { "ok" } else { "failed" };
        assert_eq!(answer, expected, "{:?}: {}", case.format, case.what);
    }
}

fn line(case: &Case) -> String {
    let headers: serde_json::Map<_, _> = case
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    let format = match case.format {
        Format::StandardWebhooks => "standard-webhooks",
        Format::Verbex => "verbex",
    };
    json!({"format": format, "headers": headers, "body": case.body, "secrets": case.secrets})
        .to_string()
}

#[test]
fn the_receiver_in_python_verifies() {
    let python = installed("python/installed.txt").with_file_name("bin/python");
    assert_agrees(
        Command::new(python)
            // Leaves no bytecode in the source tree.
            .arg("-B")
            .arg(root().join("examples/receivers/python/driver.py")),
    );
}

#[test]
fn the_receiver_in_javascript_verifies() {
    // A module finds its packages beside itself or above, so the sources go to where those are.
    let sources = installed("javascript/installed.json").with_file_name("sources");
    fs::create_dir_all(&sources).expect("the target directory is writable");
    for name in ["driver.js", "standard-webhooks.js", "verbex.js"] {
        let from = root().join("examples/receivers/javascript").join(name);
        fs::copy(from, sources.join(name)).expect("a source to copy");
    }
    assert_agrees(Command::new("node").arg(sources.join("driver.js")));
}

#[test]
fn the_receiver_in_rust_verifies() {
    for case in all_cases() {
        let mut headers = http::HeaderMap::new();
        for (name, value) in &case.headers {
            // A control character never comes through an HTTP server.
            let value = value.trim_start_matches('\u{1f}');
            headers.insert(*name, value.parse().expect("a header value"));
        }
        let secrets: Vec<_> = case.secrets.iter().map(String::as_str).collect();
        let body = case.body.as_bytes();
        let verified = match case.format {
            Format::StandardWebhooks => {
                standard_webhooks::verify_standard_webhooks(&headers, body, &secrets)
            }
            Format::Verbex => verbex::verify_verbex(&case.headers[0].1, body, &secrets, 300),
        };
        assert_eq!(verified, case.verifies, "{:?}: {}", case.format, case.what);
    }
}

/// So Hookturn's own verification and the Standard Webhooks libraries, which the receivers use,
/// agree.
#[test]
fn hookturn_verifies_what_the_receivers_do() {
    for case in all_cases() {
        let headers: Vec<(&str, &[u8])> = case
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let secrets: Vec<_> = case
            .secrets
            .iter()
            .map(|secret| ReceiverSecret::new(secret))
            .collect();
        let (body, now) = (case.body.as_bytes(), SystemClock.wall());
        let report = verify(&headers, body, &secrets, now, Some(DEFAULT_TOLERANCE));
        let what = (case.format, case.what, &report);
        assert_eq!(report.verified(), case.verifies, "{what:?}");
    }
}

/// The code in the languages of the examples in a Markdown text.
fn printed(markdown: &str) -> Vec<&str> {
    let mut printed = Vec::new();
    for (number, block) in markdown.split("```").enumerate() {
        let (language, code) = block.split_once('\n').unwrap_or((block, ""));
        if number % 2 == 1 && ["python", "javascript", "rust"].contains(&language) {
            printed.push(code);
        }
    }
    printed
}

/// `docs/verify.md` prints the files that are tested above, and no others; the README prints the
/// first of them.
#[test]
fn the_documentation_prints_what_is_tested() {
    let files = [
        "python/standard_webhooks.py",
        "javascript/standard-webhooks.js",
        "rust/standard_webhooks.rs",
        "python/verbex.py",
        "javascript/verbex.js",
        "rust/verbex.rs",
    ];
    let tested = files.map(|file| {
        let path = root().join("examples/receivers").join(file);
        fs::read_to_string(path).expect("the example is there")
    });
    assert_eq!(printed(include_str!("../../docs/verify.md")), tested);
    assert_eq!(printed(include_str!("../../README.md")), tested[..1]);
}

/// A lock file that names a registry would send everybody's installation there, whatever theirs is.
#[test]
fn the_lock_file_names_no_registry() {
    let lock = include_str!("../../examples/receivers/javascript/package-lock.json");
    assert!(!lock.contains("\"resolved\"") && !lock.contains("://"));
    assert!(lock.contains("\"integrity\""));
}
