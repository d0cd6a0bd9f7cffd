//! Makes each mistake and expects the hint for it, and expects no hint where there was no mistake.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::super::tests::{NOW, Sent, held, secret};
use super::super::{
    Difference, JsonWriter, Rejection, Rewrite, WEBHOOK_SIGNATURE, X_WEBHOOK_SIGNATURE,
};
use super::*;
use crate::domain::signature;

const FORMATS: [Format; 2] = [Format::StandardWebhooks, Format::Verbex];

/// The body of a delivery with this data.
fn delivery(data: &str) -> String {
    format!(
        r#"{{"id":"evt_1","type":"a.b","api_version":"2026-03-01","delivery_id":"dlv_1","created_at":"x","timestamp":"x","data":{data}}}"#
    )
}

fn hints(sent: &Sent, secrets: &[ReceiverSecret]) -> Vec<Hint> {
    match sent.verify(secrets).failures.as_slice() {
        [Rejection::NoMatch { hints }] => hints.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_body_that_was_changed_on_the_way_is_found_out() {
    let secrets = held(&[secret(9), secret(1)]);
    for format in [Format::StandardWebhooks, Format::Verbex] {
        for (sent, came, change) in [
            ("{}", "{}\n", BodyChange::WithoutFinalNewline),
            ("{}", "{}\r\n", BodyChange::WithoutFinalNewline),
            ("{}\n", "{}", BodyChange::WithFinalNewline),
            ("{\r\n}", "{\n}", BodyChange::CrlfForLf),
            ("{\n}", "{\r\n}", BodyChange::LfForCrlf),
            ("{}", "\u{feff}{}", BodyChange::WithoutByteOrderMark),
            (
                r#"{"b":1.0,"a":"x \" y","n":[1,2]}"#,
                "{\"b\": 1.0, \"a\": \"x \\\" y\",\n  \"n\": [1, 2]}\n",
                BodyChange::Json(Rewrite {
                    writer: None,
                    differences: vec![Difference::Space],
                }),
            ),
        ] {
            let sent = Sent::new(format, &[secret(1)], NOW, sent.as_bytes()).body(came.as_bytes());
            assert_eq!(
                hints(&sent, &secrets),
                [Hint::Body {
                    secret: 2,
                    changes: vec![change]
                }],
                "{came:?}"
            );
        }
        let altered = Sent::new(format, &[secret(1)], NOW, b"{\"a\":1}").body(b"{\"a\":2}");
        assert_eq!(hints(&altered, &secrets), []);
    }
}

#[test]
fn the_way_of_the_other_format_is_found_out() {
    let secrets = held(&[secret(1)]);
    let text = secret(1).expose();
    let (whole, decoded) = (
        Signer::from_key(text.as_bytes()),
        Signer::from_key(secret(1).as_bytes()),
    );
    let undecoded = Signer::from_key(&text.as_bytes()["whsec_".len()..]);
    let id = SignedBytes::IdTimestampBody;
    for (signer, key) in [(&whole, Key::WholeText), (&undecoded, Key::Undecoded)] {
        let header =
            signature::standard_webhooks(std::slice::from_ref(signer), "evt_1", NOW, b"{\"a\":1}");
        let sent = Sent::standard(&[]).with(WEBHOOK_SIGNATURE, &header);
        let hint = Hint::Signed {
            secret: 1,
            key,
            bytes: id,
        };
        assert_eq!(hints(&sent, &secrets), [hint]);
    }
    let header = signature::verbex(std::slice::from_ref(&decoded), NOW, b"{\"a\":1}");
    let sent = Sent::verbex(&[]).with(X_WEBHOOK_SIGNATURE, &header);
    let (key, bytes) = (Key::Decoded, SignedBytes::TimestampBody);
    assert_eq!(
        hints(&sent, &secrets),
        [Hint::Signed {
            secret: 1,
            key,
            bytes
        }]
    );
    let digest = STANDARD.encode(whole.sign(&[b"{\"a\":1}"]));
    let sent = Sent::standard(&[]).with(WEBHOOK_SIGNATURE, &format!("v1,{digest}"));
    let (key, bytes) = (Key::WholeText, SignedBytes::Body);
    assert_eq!(
        hints(&sent, &secrets),
        [Hint::Signed {
            secret: 1,
            key,
            bytes
        }]
    );
}

/// The hints for a body that was sent as `sent` and came as `came`. They must be the same in both
/// formats.
fn found(sent: &str, came: &[u8]) -> Vec<Hint> {
    let [one, other] = FORMATS.map(|format| {
        let sent = Sent::new(format, &[secret(1)], NOW, sent.as_bytes()).body(came);
        hints(&sent, &held(&[secret(1)]))
    });
    assert_eq!(one, other);
    one
}

fn change(change: BodyChange) -> Vec<Hint> {
    vec![Hint::Body {
        secret: 1,
        changes: vec![change],
    }]
}

fn rewritten(writer: JsonWriter, differences: &[Difference]) -> Vec<Hint> {
    change(BodyChange::Json(Rewrite {
        writer: Some(writer),
        differences: differences.to_vec(),
    }))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn json_that_was_written_again_is_found_out_with_its_writer() {
    use Difference::{Escapes, Numbers, Order, Space};
    let plain = "{\"name\":\"Zo\u{eb} \u{1f511}\",\"at\":\"a/b\",\"n\":[1,-2.5],\"e\":{},\"l\":[]}";
    for (data, came, writer, differences) in [
        // Published without space, then parsed and written again.
        (
            plain,
            r#"{"name": "Zo\u00eb \ud83d\udd11", "at": "a/b", "n": [1, -2.5], "e": {}, "l": []}"#,
            JsonWriter::Python,
            &[Space, Escapes][..],
        ),
        (
            plain,
            "{\"name\": \"Zo\u{eb} \u{1f511}\", \"at\": \"a/b\", \"n\": [1, -2.5], \"e\": {}, \"l\": []}",
            JsonWriter::PythonUnicode,
            &[Space],
        ),
        (
            plain,
            r#"{"name":"Zo\u00eb \ud83d\udd11","at":"a\/b","n":[1,-2.5],"e":{},"l":[]}"#,
            JsonWriter::Php,
            &[Escapes],
        ),
        (
            plain,
            r#"{"name":"Zo\u00eb \ud83d\udd11","at":"a/b","n":[1,-2.5],"e":{},"l":[]}"#,
            JsonWriter::CompactAscii,
            &[Escapes],
        ),
        (
            r#"{"a":"<b> & 'c'"}"#,
            r#"{"a":"\u003cb\u003e \u0026 'c'"}"#,
            JsonWriter::Go,
            &[Escapes],
        ),
        (
            r#"{"a":"<b> & 'c' \"d\""}"#,
            r#"{"a":"\u003Cb\u003E \u0026 \u0027c\u0027 \u0022d\u0022"}"#,
            JsonWriter::DotNet,
            &[Escapes],
        ),
        // Published by Python, then parsed and written again by JavaScript.
        (
            r#"{"name": "Zo\u00eb", "price": 1.0}"#,
            "{\"name\":\"Zo\u{eb}\",\"price\":1}",
            JsonWriter::Compact,
            &[Space, Escapes, Numbers],
        ),
        // Published with line ends, as an inner part of a request's body or by itself.
        (
            "{\n    \"a\": [\n      1\n    ]\n  }",
            r#"{"a":[1]}"#,
            JsonWriter::Compact,
            &[Space],
        ),
        (
            "{\n\t\"a\": {}\n}",
            r#"{"a":{}}"#,
            JsonWriter::Compact,
            &[Space],
        ),
        (
            r#"{"a":1.0,"b":1}"#,
            r#"{"a":1,"b":1}"#,
            JsonWriter::Compact,
            &[Numbers],
        ),
        (
            r#"{"a":1,"b":2.50}"#,
            r#"{"a":1,"b":2.5}"#,
            JsonWriter::Compact,
            &[Numbers],
        ),
        (
            r#"{"a":10.00}"#,
            r#"{"a":10}"#,
            JsonWriter::Compact,
            &[Numbers],
        ),
        (
            r#"{"a":1e3}"#,
            r#"{"a":1000}"#,
            JsonWriter::Compact,
            &[Numbers],
        ),
        (
            r#"{"a":1e-7}"#,
            r#"{"a": 1e-07}"#,
            JsonWriter::Python,
            &[Space, Numbers],
        ),
        (
            r#"{"a":1,"b":[2,3]}"#,
            r#"{"a":1.0,"b":[2.0,3.0]}"#,
            JsonWriter::Compact,
            &[Numbers],
        ),
        // Sorted inside the data, whose order of names is unknown.
        (
            r#"{"z":1,"a":{"y":2,"b":3},"m":[{"d":1,"c":2}]}"#,
            r#"{"a":{"b":3,"y":2},"m":[{"c":2,"d":1}],"z":1}"#,
            JsonWriter::Compact,
            &[Order],
        ),
        (
            r#"{"z":1.0,"a":2.0}"#,
            r#"{"a":2,"z":1}"#,
            JsonWriter::Compact,
            &[Numbers, Order],
        ),
    ] {
        let expected = rewritten(writer, differences);
        // The members of a delivery keep their order here.
        let came_in = if writer == JsonWriter::Python || writer == JsonWriter::PythonUnicode {
            delivery(came)
                .replace("\":\"", "\": \"")
                .replace(",\"", ", \"")
                .replace("\":{", "\": {")
        } else {
            delivery(came)
        };
        assert_eq!(
            found(&delivery(data), came_in.as_bytes()),
            expected,
            "{came_in}"
        );
    }
}

#[test]
fn names_that_were_sorted_are_put_in_the_order_in_which_they_are_sent() {
    let sorted = |json: &str, space: &str| {
        let members: BTreeMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_str(json).expect("an object");
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{space}{value}"))
            .collect();
        format!("{{{}}}", members.join(&format!(",{space}")))
    };
    // A delivery has too many names to try every order, but their order is known, and its data has
    // only one name.
    let standard = delivery(r#"{"a":1.0}"#);
    let verbex = r#"{"event":"A.B","traceId":"x","timestamp":"y","data":{"a":1.0}}"#;
    for sent in [standard.as_str(), verbex] {
        assert_eq!(
            found(sent, sorted(sent, "").as_bytes()),
            rewritten(JsonWriter::Compact, &[Difference::Order])
        );
        let spaced = sorted(sent, " ").replace(r#"{"a":1.0}"#, r#"{"a": 1.0}"#);
        assert_eq!(
            found(sent, spaced.as_bytes()),
            rewritten(JsonWriter::Python, &[Difference::Space, Difference::Order])
        );
        assert_eq!(
            found(sent, sorted(sent, "").replace("1.0", "1").as_bytes()),
            rewritten(
                JsonWriter::Compact,
                &[Difference::Numbers, Difference::Order]
            )
        );
    }
}

#[test]
fn a_body_in_another_encoding_is_found_out() {
    let sent = "{\"a\":\"Zo\u{eb} \u{20ac} + %\"}";
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        let text = format!("\u{feff}{sent}");
        text.encode_utf16().flat_map(bytes).collect()
    };
    let latin1 = |text: &str| text.bytes().map(char::from).collect::<String>();
    let windows = latin1(sent).replace("\u{82}", "\u{201a}");
    let list = format!("{:?}", sent.as_bytes());
    let encoded: String = url::form_urlencoded::byte_serialize(sent.as_bytes()).collect();
    let python: String = sent
        .bytes()
        .map(|byte| match byte {
            0x80.. => format!("\\x{byte:02x}"),
            _ => char::from(byte).to_string(),
        })
        .collect();
    for (came, expected) in [
        (utf16(u16::to_le_bytes), BodyChange::Utf16),
        (utf16(u16::to_be_bytes), BodyChange::Utf16),
        (latin1(sent).into_bytes(), BodyChange::ReadAsLatin1),
        (windows.into_bytes(), BodyChange::ReadAsLatin1),
        (
            serde_json::to_vec(sent).expect("JSON"),
            BodyChange::JsonString,
        ),
        (
            format!("b'{python}'").into_bytes(),
            BodyChange::PythonLiteral,
        ),
        (
            format!("'{sent}'\n").into_bytes(),
            BodyChange::PythonLiteral,
        ),
        (
            format!("{{\"type\":\"Buffer\",\"data\":{list}}}").into_bytes(),
            BodyChange::NodeBuffer,
        ),
        (STANDARD.encode(sent).into_bytes(), BodyChange::Base64),
        (
            URL_SAFE_NO_PAD.encode(sent).into_bytes(),
            BodyChange::Base64,
        ),
        (encoded.clone().into_bytes(), BodyChange::PercentEncoded),
        (
            format!("{encoded}=").into_bytes(),
            BodyChange::PercentEncoded,
        ),
    ] {
        let shown = String::from_utf8_lossy(&came).into_owned();
        assert_eq!(found(sent, &came), change(expected), "{shown}");
    }
    let latin1 = b"{\"a\":\"Zo\xeb\"}";
    let hint = change(BodyChange::WrittenAsLatin1);
    assert_eq!(found("{\"a\":\"Zo\u{eb}\"}", latin1), hint);
}

#[test]
fn two_mistakes_one_after_the_other_are_found_out() {
    let sent = delivery("{\"a\":\"\u{eb}\"}");
    let spaced = sent.replace("\":", "\": ").replace(",\"", ", \"");
    let json = BodyChange::Json(Rewrite {
        writer: Some(JsonWriter::PythonUnicode),
        differences: vec![Difference::Space],
    });
    let utf16: Vec<u8> = format!("\u{feff}{sent}\r\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (came, changes) in [
        (
            format!("\u{feff}{sent}\n").into_bytes(),
            vec![
                BodyChange::WithoutByteOrderMark,
                BodyChange::WithoutFinalNewline,
            ],
        ),
        (
            utf16,
            vec![BodyChange::Utf16, BodyChange::WithoutFinalNewline],
        ),
        (
            serde_json::to_vec(&spaced).expect("JSON"),
            vec![BodyChange::JsonString, json.clone()],
        ),
        (
            STANDARD.encode(&spaced).into_bytes(),
            vec![BodyChange::Base64, json],
        ),
    ] {
        assert_eq!(found(&sent, &came), [Hint::Body { secret: 1, changes }]);
    }
}

#[test]
fn what_cannot_have_been_sent_is_said_whatever_the_secret() {
    assert_eq!(found("{}", b""), [Hint::Empty]);
    assert_eq!(found("{}", b"[object Object]"), [Hint::ObjectText]);
    for (stated, expected) in [
        ("7", vec![]),
        (
            "8",
            vec![Hint::Length {
                stated: 8,
                found: 7,
            }],
        ),
        ("x", vec![]),
    ] {
        let sent = Sent::standard(&[secret(1)]).with("content-length", stated);
        assert_eq!(hints(&sent, &held(&[secret(2)])), expected);
    }
}

/// A body that is nested too deep, too large, or has too many numbers or orders soon gets an answer
/// without a hint.
#[test]
fn a_search_ends() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let members: Vec<_> = (10..60).map(|name| format!("\"{name}\": 1")).collect();
    let wide = delivery(&format!("{{{}}}", members.join(", ")));
    let large = format!("[{}1]", "1, ".repeat(MOST_BYTES / 16));
    let sorted = delivery(r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7}"#);
    for came in [deep, wide, large, sorted] {
        let sent = Sent::standard(&[secret(1)]).body(came.as_bytes());
        assert_eq!(hints(&sent, &held(&[secret(1)])), []);
    }
}

/// A JSON value as serde writes it.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Into::into),
        Just(serde_json::Value::Null),
        any::<i32>().prop_map(Into::into),
        "\\PC{0,8}".prop_map(Into::into),
        "[\u{0}-\u{7f}]{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            prop::collection::btree_map("\\PC{0,4}", inner, 0..3).prop_map(|members| members
                .into_iter()
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A request that verifies has no hint, and an altered value has no hint either, since no way
    /// of writing one value gives another.
    #[test]
    fn what_verifies_has_no_hint_and_neither_has_another_value(value in json(), other in json(), length in 0..20_usize) {
        let sent = delivery(&value.to_string());
        for format in FORMATS {
            let request = Sent::new(format, &[secret(1)], NOW, sent.as_bytes());
            prop_assert!(request.verify(&held(&[secret(1)])).verified());
            prop_assert_eq!(hints(&request.clone(), &held(&[secret(2)])), []);
            if value != other {
                let altered = request.clone().body(delivery(&other.to_string()).as_bytes());
                prop_assert_eq!(hints(&altered, &held(&[secret(1)])), []);
            }
            let cut = sent.floor_char_boundary(sent.len() - 1 - length.min(sent.len() - 2));
            let cut = request.body(&sent.as_bytes()[..cut]);
            prop_assert_eq!(hints(&cut, &held(&[secret(1)])), []);
        }
    }

    /// For any value, written with an indent.
    #[test]
    fn any_value_that_was_only_written_again_is_found_out(value in json()) {
        let sent = delivery(&value.to_string());
        let value: serde_json::Value = serde_json::from_str(&sent).expect("JSON");
        let pretty = serde_json::to_string_pretty(&value).expect("JSON");
        // serde_json sorts the names here, as many writers do.
        let found = found(&sent, pretty.as_bytes());
        let is_found = matches!(found.as_slice(), [Hint::Body { secret: 1, .. }]);
        prop_assert!(is_found, "{:?} {}", found, pretty);
    }

    #[test]
    fn no_body_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[\\[\\]{}\":,0-9a-c .eE+%'b-]{0,40}") {
        for body in [bytes.as_slice(), text.as_bytes()] {
            prop_assert_eq!(hints(&Sent::standard(&[secret(1)]).body(body), &held(&[secret(2)])).iter()
                .filter(|hint| !matches!(hint, Hint::Empty)).count(), 0);
        }
    }
}
