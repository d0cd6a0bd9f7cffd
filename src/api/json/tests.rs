//! Tests how bodies are read and refused.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(mut object) = Object::parse(&body) {
            object.integer("a", &(0..=10));
            let _ = object.finish();
        }
    }

    #[test]
    fn what_serde_json_reads_as_an_object_is_read_here(text in "\\{(\"[a-c]{1,2}\": ?([0-9]{1,3}|\"x\"|null|\\[\\]),? ?){0,3}\\}") {
        let serde = serde_json::from_str::<serde_json::Map<_, _>>(&text).is_ok();
        prop_assert_eq!(Object::parse(text.as_bytes()).is_ok(), serde);
    }
}

#[test]
fn all_faults_are_reported_together() {
    let body = br#"{"a": "x", "b": 1, "b": 2, "c": "\ud800", "d": {"k": 1}, "zz": []}"#;
    let mut object = Object::parse(body).expect("an object");
    object.integer("a", &(0..=1));
    object.string("c");
    object.string_map("d");
    object.missing("e");
    object.ignore(&["b"]);
    let Err(Failure::InvalidFields(errors)) = object.finish() else {
        panic!("must be refused");
    };
    let reported: Vec<_> = errors
        .iter()
        .map(|error| (error.param.as_str(), error.code.as_str()))
        .collect();
    assert_eq!(
        reported,
        [
            ("b", "duplicate_field"),
            ("a", "invalid_type"),
            ("c", "invalid_format"),
            ("d.k", "invalid_type"),
            ("e", "missing_field"),
            ("zz", "unknown_field"),
        ]
    );
}

#[test]
fn a_misspelt_field_is_answered_with_the_name_that_was_meant() {
    let mut object = Object::parse(br#"{"expire_curent_in": 0, "colour": 1}"#).expect("an object");
    object.integer("expire_current_in", &(0..=1));
    let Err(Failure::InvalidFields(errors)) = object.finish() else {
        panic!("must be refused");
    };
    let meant = "is not a field of this request; did you mean expire_current_in?";
    assert_eq!(errors[0].detail, meant);
    assert_eq!(errors[1].detail, "is not a field of this request");
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let mut object = Object::parse(deep.as_bytes()).expect("an object");
    assert_eq!(object.integer("a", &(0..=1)), None);
    assert!(matches!(
        Object::parse(&deep.as_bytes()[..40_000]),
        Err(Failure::MalformedJson(_))
    ));
}

#[test]
fn other_json_is_not_an_object_and_broken_json_is_malformed() {
    for body in ["[]", "1", "\"x\"", "null", "true", "1e999"] {
        let failure = Object::parse(body.as_bytes()).err();
        assert!(matches!(failure, Some(Failure::NotAnObject)), "{body}");
    }
    for body in [
        "{",
        "{}x",
        " ",
        "{\"a\":1,}",
        "nul",
        "{\"a\":\u{1}}",
        "{'a':1}",
        "\u{feff}{}",
    ] {
        let failure = Object::parse(body.as_bytes()).err();
        assert!(
            matches!(failure, Some(Failure::MalformedJson(_))),
            "{body:?}"
        );
    }
    assert!(matches!(
        Object::parse(b"{\"a\":\"\xff\"}").err(),
        Some(Failure::MalformedJson(_))
    ));
}
