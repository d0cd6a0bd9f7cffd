//! Files as editors, shells and other programs write them: with a byte order mark, as UTF-16, as
//! lines of an environment.

use super::verify::verify;
use super::*;

fn utf16(text: &str) -> Vec<u8> {
    let text = format!("\u{feff}{text}");
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Verifies a saved request; returns the exit code, and what is said on standard output and
/// standard error.
fn check(head: &str, body: &str, secrets: &str) -> (i32, String, String) {
    let args = [
        "--headers",
        head,
        "--body",
        body,
        "--secrets-file",
        secrets,
        "--at",
        "delivery",
    ];
    verify(&args, None)
}

#[test]
fn secrets_are_read_from_files_of_every_kind() {
    let scratch = Scratch::new();
    let head = scratch.file(
        "head",
        headers(Format::StandardWebhooks, &[1], 1_700_000_000, BODY),
    );
    let body = scratch.file("body", BODY);
    let secret = text(1);
    for (content, line, notice) in [
        (secret.clone().into_bytes(), 1, ""),
        (
            format!("\u{feff}{secret}\n").into_bytes(),
            1,
            "starts with a byte order mark",
        ),
        (
            format!("\u{feff}# ours\r\n{secret}\r\n").into_bytes(),
            2,
            "starts with a byte order mark",
        ),
        (utf16(&format!("{secret}\r\n")), 1, "is read as UTF-16"),
        (format!("\n \t{secret} \t\r\n").into_bytes(), 2, ""),
        (format!("\u{a0}{secret}\u{200b}\n").into_bytes(), 1, ""),
        (
            format!("# .env\nexport WEBHOOK_SECRET=\"{secret}\" # ours\n").into_bytes(),
            2,
            "",
        ),
        (
            format!("HOOKTURN_LISTEN_SECRETS={},{secret}", text(2)).into_bytes(),
            1,
            "",
        ),
    ] {
        let file = scratch.file("secrets", &content);
        let (code, out, err) = check(&head, &body, &file);
        assert_eq!((code, err.as_str()), (0, ""), "{content:?}: {out}");
        assert!(out.contains(&format!("(line {line} of")), "{out}");
        let note = format!("note         {file} {notice}").replace(' ', "");
        let said: String = out.split_whitespace().collect();
        assert_eq!(!notice.is_empty(), said.contains(&note), "{out}");
        assert_eq!(!notice.is_empty(), out.contains("note "), "{out}");
        assert!(!out.contains(&secret[6..]), "{out}");
    }
}

#[test]
fn a_secrets_file_that_cannot_be_used_is_said_by_its_line_without_the_secret() {
    let scratch = Scratch::new();
    let head = scratch.file("head", headers(Format::Verbex, &[1], 1_700_000_000, BODY));
    let body = scratch.file("body", BODY);
    let secret = text(1);
    let (start, end) = secret.split_at(20);
    for (content, expected) in [
        (
            format!("# x\n{start}\u{200b}{end}\n").into_bytes(),
            "line 2 of ",
        ),
        (
            format!("{start}\u{200b}{end}\n").into_bytes(),
            "cannot be seen, U+200B",
        ),
        (secret.as_bytes()[6..].to_vec(), "line 1 of "),
        (
            format!("\u{feff}SECRET={}", &secret[6..]).into_bytes(),
            "starts with whsec_",
        ),
        (format!("{secret}\u{e9}").into_bytes(), "must be base64"),
        (
            [secret.as_bytes(), b"\xff"].concat(),
            "it is not UTF-8 text; save it as UTF-8",
        ),
        (
            utf16(&secret)[2..].to_vec(),
            "as UTF-16 does; save it as UTF-8",
        ),
        (utf16(&secret)[..25].to_vec(), "UTF-16 that cannot be read"),
    ] {
        let file = scratch.file("secrets", &content);
        let (code, out, err) = check(&head, &body, &file);
        assert_eq!(
            (code, out.as_str(), err.lines().count()),
            (2, "", 1),
            "{content:?}: {err}"
        );
        assert!(
            err.starts_with("hookturn: --secrets-file: ") && err.contains(expected),
            "{err}"
        );
        assert!(!err.contains(&start[6..]) && !err.contains(end), "{err}");
    }
}

/// The head may be marked; a body is what came, and stays as it is.
#[test]
fn saved_requests_are_read_from_files_of_every_kind() {
    let scratch = Scratch::new();
    let secrets = scratch.file("secrets", text(1));
    let head = headers(Format::StandardWebhooks, &[1], 1_700_000_000, BODY);
    let body = scratch.file("body", BODY);
    let marked = |text: &str| format!("\u{feff}{text}").into_bytes();
    let whole = format!("{head}\r\n{BODY}");
    let with_body = ["--body", body.as_str()];
    for (content, body, notice) in [
        (
            marked(&format!("POST / HTTP/1.1\r\n{head}")),
            &with_body[..],
            "starts with a byte order mark",
        ),
        (marked(&whole), &[], "starts with a byte order mark"),
        (utf16(&head), &with_body, "is read as UTF-16"),
        (utf16(&whole), &[], "is read as UTF-16"),
    ] {
        let file = scratch.file("head", &content);
        let args = [
            "--headers",
            &file,
            "--secrets-file",
            &secrets,
            "--at",
            "delivery",
        ];
        let (code, out, err) = verify(&[&args[..], body].concat(), None);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        let said: String = out.split_whitespace().collect();
        assert!(said.contains(&notice.replace(' ', "")), "{out}");
    }
    let head = scratch.file("head", head);
    for (content, hint) in [
        (
            format!("\u{feff}{BODY}").into_bytes(),
            "without the byte order mark",
        ),
        (utf16(BODY), "which is in UTF-16, converted to UTF-8"),
        (
            utf16(&format!("{BODY}\r\n")),
            "converted to UTF-8 and without the line end",
        ),
        (Vec::new(), "the body is empty"),
    ] {
        let body = scratch.file("body", &content);
        let (code, out, err) = check(&head, &body, &secrets);
        assert_eq!((code, err.as_str()), (1, ""), "{out}");
        let said: String = out.split_whitespace().collect();
        assert!(said.contains(&hint.replace(' ', "")), "{out}");
        assert_fit_to_show(&out);
    }
}

#[test]
fn a_listener_says_that_its_secrets_file_is_marked() {
    let scratch = Scratch::new();
    let file = scratch.file("secrets", format!("\u{feff}{}\r\n", text(1)));
    // Listener::start reads the greeting: the first block is of a delivery.
    let listener = Listener::start(&["--secrets-file", &file], &[]);
    let delivery = headers(Format::Verbex, &[1], now(), BODY);
    let (answer, block) = listener.deliver(&delivery, BODY);
    assert_eq!(status(&answer), "200", "{block}");
    // Where its line breaks depends on how long the path is.
    let said: String = block.split_whitespace().collect();
    assert!(said.contains("byteordermark"), "{block}");
}

/// A secret where a path belongs, or run together with the flag, is a likely slip.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_place_of_a_path_is_not_shown() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G";
    let run_together = format!("--secret{secret}=");
    for args in [
        &["verify", "--headers", secret, "--secrets-file", "x"][..],
        &["verify", "--headers", "x", "--secrets-file", secret],
        &["listen", "--secrets-file", secret],
        &["verify", &run_together],
    ] {
        let ended = run(args, &[]);
        assert_eq!(ended.code, Some(2), "{args:?}");
        let said = ended.out + &ended.err;
        assert!(!said.contains("MfKQ"), "{said}");
        assert!(!said.is_empty());
    }
}
