//! Bodies that real programs parsed and wrote again: `hookturn verify` says so, and who does that.

use std::process::Command;

use super::verify::verify;
use super::*;

/// A body of ours; `data` is as a program published it, byte for byte.
fn delivery(format: Format, data: &str) -> String {
    let at = "2026-06-12T10:15:00.000Z";
    match format {
        Format::StandardWebhooks => format!(
            r#"{{"id":"evt_1","type":"call.started","api_version":"2026-03-01","delivery_id":"dlv_1","created_at":"{at}","timestamp":"{at}","data":{data}}}"#
        ),
        Format::Verbex => format!(
            r#"{{"event":"Call.Started","traceId":"0af7651916cd43dd8448eb211c80319c","timestamp":"{at}","data":{data}}}"#
        ),
    }
}

/// What a program makes of the body, which it gets on its standard input.
fn through(program: &str, args: &[&str], body: &str) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is installed");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(body.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program} {args:?}");
    output.stdout
}

fn python(expression: &str, body: &str) -> Vec<u8> {
    let script = format!(
        "import sys, json, base64\nraw = sys.stdin.buffer.read()\n\
         out = {expression}\nsys.stdout.buffer.write(out if isinstance(out, bytes) else out.encode())"
    );
    through("python3", &["-c", &script], body)
}

fn node(expression: &str, body: &str) -> Vec<u8> {
    let script =
        format!("const raw = require('fs').readFileSync(0); process.stdout.write({expression});");
    through("node", &["-e", &script], body)
}

/// What `hookturn verify` says of a body that was signed as `sent`, without its line ends.
fn said(scratch: &Scratch, format: Format, sent: &str, came: &[u8]) -> String {
    let head = scratch.file("head", headers(format, &[1], 1_700_000_000, sent));
    let (body, secrets) = (scratch.file("body", came), scratch.file("secrets", text(1)));
    let args = [
        "--headers",
        &head,
        "--body",
        &body,
        "--secrets-file",
        &secrets,
        "--at",
        "delivery",
    ];
    let (code, out, err) = verify(&args, None);
    assert!(code < 2 && err.is_empty(), "{err}");
    assert_fit_to_show(&out);
    let words: Vec<_> = out.split_whitespace().collect();
    words.join(" ")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_python_and_javascript_write_again_is_found_out_by_name() {
    let scratch = Scratch::new();
    // As JSON.stringify publishes it, and as Python's requests does.
    let compact = "{\"name\":\"Zo\u{eb} \u{1f511}\",\"at\":\"a/b\",\"n\":[1,-2.5,1e+21],\"e\":{}}";
    let spaced = r#"{"name": "Zo\u00eb", "price": 1.0, "list": [2.0, 3], "e": {}}"#;
    for format in [Format::StandardWebhooks, Format::Verbex] {
        for (data, came, hint) in [
            (
                compact,
                "python: json.dumps(json.loads(raw))",
                "with other space and escapes (this is how Python's json.dumps writes it)",
            ),
            (
                compact,
                "python: json.dumps(json.loads(raw), ensure_ascii=False)",
                "writes it with ensure_ascii=False",
            ),
            (
                compact,
                "python: json.dumps(json.loads(raw), indent=2)",
                "(this is how JSON.stringify or json.dumps writes it with an indent)",
            ),
            (
                compact,
                "python: json.dumps(json.loads(raw), indent=4, ensure_ascii=False)",
                "writes it with an indent",
            ),
            (
                compact,
                "python: json.dumps(json.loads(raw), separators=(',', ':'))",
                "with other escapes (this is how compact writers",
            ),
            (
                compact,
                "python: json.dumps(json.loads(raw), sort_keys=True)",
                "escapes and order of names (this is how Python's json.dumps",
            ),
            (
                compact,
                "python: json.dumps(raw.decode())",
                "taken out of a JSON string",
            ),
            (
                compact,
                "python: repr(raw)",
                "taken out of a Python literal",
            ),
            (compact, "python: str(raw)", "taken out of a Python literal"),
            (
                compact,
                "python: base64.b64encode(raw)",
                "base64 of the body decoded",
            ),
            (
                compact,
                "python: raw.decode('latin-1')",
                "before it was read as ISO 8859-1",
            ),
            (
                compact,
                "node: JSON.stringify(JSON.parse(raw), null, 2)",
                "writes it with an indent",
            ),
            (
                compact,
                "node: JSON.stringify(raw)",
                "JSON of a Node.js Buffer",
            ),
            (
                compact,
                "node: JSON.stringify(raw.toString())",
                "taken out of a JSON string",
            ),
            (
                compact,
                "node: String(JSON.parse(raw))",
                "a JavaScript object converted to a string",
            ),
            (
                compact,
                "node: encodeURIComponent(raw)",
                "percent-encoding of the body decoded",
            ),
            (compact, "node: ''", "the body is empty"),
            (
                spaced,
                "node: JSON.stringify(JSON.parse(raw))",
                "space, escapes and forms of numbers (this is how JSON.stringify",
            ),
            (
                spaced,
                "node: JSON.stringify(JSON.parse(raw), null, '\\t')",
                "writes it with an indent",
            ),
            (
                spaced,
                "python: json.dumps(json.loads(raw))",
                "with other space (this is how Python's json.dumps",
            ),
            (
                spaced,
                "python: json.dumps(json.loads(raw), sort_keys=True)",
                "order of names (this is how Python's json.dumps",
            ),
        ] {
            let sent = delivery(format, data);
            let (program, expression) = came.split_once(": ").expect("a program");
            let body = match program {
                "python" => python(expression, &sent),
                _ => node(expression, &sent),
            };
            let said = said(&scratch, format, &sent, &body);
            assert!(
                said.starts_with("NOT verified") && said.contains(hint),
                "{came}: {said}"
            );
            // And what was not touched has nothing to be found out.
            let untouched = self::said(&scratch, format, &sent, sent.as_bytes());
            assert!(
                untouched.starts_with("verified ") && !untouched.contains("hint"),
                "{untouched}"
            );
        }
    }
}

/// What is lost cannot be found again, and then nothing is said that is not known.
#[test]
fn what_was_altered_has_no_hint() {
    let scratch = Scratch::new();
    let data = r#"{"id":9007199254740993,"a":1,"a":2,"name":"x"}"#;
    for format in [Format::StandardWebhooks, Format::Verbex] {
        let sent = delivery(format, data);
        for body in [
            // Another number, a member less, another value.
            node("JSON.stringify(JSON.parse(raw))", &sent),
            python("json.dumps(json.loads(raw))", &sent),
            python("raw.replace(b'\"x\"', b'\"y\"')", &sent),
        ] {
            let said = said(&scratch, format, &sent, &body);
            assert!(
                said.starts_with("NOT verified") && !said.contains("hint"),
                "{said}"
            );
        }
    }
}
