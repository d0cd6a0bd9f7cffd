//! `hookturn verify`: what it makes of a saved request.

use super::*;

/// Runs `hookturn verify`; returns its exit code, and what it says on standard output and standard
/// error.
pub fn verify(args: &[&str], input: Option<&str>) -> (i32, String, String) {
    let args = [&["verify"], args].concat();
    let mut child = hookturn(&args, &[("HOOKTURN_VERIFY_SECRETS", "")])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may have refused already.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("an exit");
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn a_saved_request_is_checked() {
    let scratch = Scratch::new();
    let secret = text(1);
    for format in [Format::StandardWebhooks, Format::Verbex] {
        let head = headers(format, &[1], 1_700_000_000, BODY);
        let head_file = scratch.file("head", &head);
        let body_file = scratch.file("body", BODY);
        let whole_file = scratch.file("whole", format!("POST / HTTP/1.1\r\n{head}\r\n{BODY}"));
        let secrets_file = scratch.file("secrets", &secret);
        let saved = ["--headers", &head_file, "--body", &body_file];
        let whole = ["--headers", &whole_file];
        let piped = ["--headers", &head_file, "--body", "-"];
        for (request, age, code) in [
            (&saved[..], &["--at", "delivery"][..], 0),
            (&saved, &["--no-tolerance"], 0),
            (&saved, &["--at", "1700000300"], 0),
            (&saved, &["--at", "1700000301"], 1),
            (&saved, &["--at", "1700000301", "--tolerance", "301"], 0),
            (&saved, &["--at", "2023-11-14T22:13:21Z"], 0),
            (&saved, &[], 1),
            (&whole, &["--at", "delivery"], 0),
            (&piped, &["--at", "delivery"], 0),
        ] {
            for secrets in [["--secret", &secret], ["--secrets-file", &secrets_file]] {
                let args = [request, age, &secrets].concat();
                let (found, out, err) = verify(&args, Some(BODY));
                assert_eq!((found, err.as_str()), (code, ""), "{args:?}: {out}");
                let headline = if code == 0 {
                    "verified with secret 1\n"
                } else {
                    "NOT verified\n"
                };
                assert!(out.starts_with(headline), "{out}");
                assert_fit_to_show(&out);
            }
        }

        let args = [&piped[..], &["--secret", &secret, "--at", "delivery"]].concat();
        let (code, out, _) = verify(&args, Some(&format!("{BODY}\n")));
        assert_eq!(code, 1);
        assert!(
            out.contains("hint         with secret 1 it verifies without the line end"),
            "{out}"
        );
        assert_fit_to_show(&out);
        let other = text(2);
        let args = [&saved[..], &["--secret", &other, "--at", "delivery"]].concat();
        let (code, out, _) = verify(&args, None);
        assert_eq!(code, 1);
        assert!(out.contains("a signature cannot"), "{out}");
    }
}

#[test]
fn bad_usage_of_verify_is_one_line_without_a_secret() {
    let scratch = Scratch::new();
    let secret = text(1);
    let bad = "whsec_SECRET";
    let head = scratch.file("head", "webhook-id: 1\n");
    let no_head = scratch.file("no_head", "webhook-id: 1\nSECRET\n");
    let secrets = scratch.file("secrets", "# SECRET\n\nSECRET\n");
    let gone = scratch
        .0
        .path()
        .join("gone")
        .to_str()
        .expect("UTF-8")
        .to_owned();
    let cases: &[(&[&str], &str)] = &[
        (&["verify"], "missing argument --headers <FILE>"),
        (
            &["verify", "--headers", &head],
            "--secret (HOOKTURN_VERIFY_SECRETS): give a secret",
        ),
        (
            &["verify", "--headers", &head, "--secret", bad],
            "secret 1: ",
        ),
        (
            &["verify", "--headers", &head, "--secret", "SECRET"],
            "starts with whsec_",
        ),
        (
            &["verify", "--headers", &head, "--secrets-file", &secrets],
            "--secrets-file: line 3 of ",
        ),
        (
            &["verify", "--headers", &gone, "--secret", &secret],
            "--headers: cannot read ",
        ),
        (
            &["verify", "--headers", &no_head, "--secret", &secret],
            "line 2 is not a header",
        ),
        (
            &["verify", "--headers", &head, "--secret", &secret],
            "--body: give the file",
        ),
        (
            &[
                "verify",
                "--headers",
                &head,
                "--secret",
                &secret,
                "--at",
                "SECRET",
            ],
            "--at: write now, delivery",
        ),
        (
            &[
                "verify",
                "--headers",
                "-",
                "--body",
                "-",
                "--secret",
                &secret,
            ],
            "only one of --headers and --body",
        ),
        (
            &["verify", "--headers", &head, "--secert=SECRET"],
            "did you mean --secret",
        ),
    ];
    assert_refused(cases);
}
