//! JSON bodies: they are read as `serde_json` reads them, except for intended differences.

#![no_main]

use std::collections::BTreeMap;

use hookturn::api::failure::Failure;
use hookturn::api::json::Object;
use serde_json::Value;
use serde_json::value::RawValue;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let ours = Object::parse(body);
    if body.is_empty() {
        assert!(matches!(ours.map(Object::finish), Ok(Ok(()))));
        return;
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(members)) => {
            drop(ours.expect("an object to serde_json"));
            read(body, &members);
        }
        Ok(_) => assert!(matches!(ours.err(), Some(Failure::NotAnObject))),
        Err(error) => match ours {
            Err(Failure::MalformedJson(_) | Failure::NotAnObject) => {}
            Err(other) => panic!("{other:?}"),
            // Fields that are not read are checked only for their syntax.
            Ok(object) => {
                let error = error.to_string();
                let meant = [
                    "recursion limit",
                    "number out of range",
                    "hex escape",
                    "surrogate",
                ];
                assert!(meant.iter().any(|word| error.contains(word)), "{error}");
                let _ = object.finish();
            }
        },
    }
});

/// Reads every field as every type.
fn read(body: &[u8], members: &serde_json::Map<String, Value>) {
    let parse = || Object::parse(body).expect("it was read before");
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    assert_eq!(
        parse().finish().is_ok(),
        names.is_empty(),
        "all are unknown"
    );
    let mut unread = parse();
    unread.ignore(&names);
    if unread.finish().is_err() {
        // A name came twice, and serde_json keeps only the last.
        return;
    }
    let raw: BTreeMap<String, &RawValue> = serde_json::from_slice(body).expect("an object");

    for (name, value) in members {
        let mut object = parse();
        let integer = object.integer(name, &(i64::MIN..=i64::MAX));
        match value {
            Value::Number(number) => same_integer(raw[name].get(), number, integer),
            _ => assert_eq!(integer, None),
        }
        assert_eq!(object.boolean(name), None, "it was taken");

        assert_eq!(parse().boolean(name), value.as_bool());
        assert_eq!(parse().string(name).as_deref(), value.as_str());
        let nullable = parse().nullable_string(name);
        assert_eq!(nullable.is_some(), value.is_null() || value.is_string());
        assert_eq!(nullable.flatten().as_deref(), value.as_str());
        let strings = parse().strings(name);
        assert_eq!(strings.is_some(), value.is_array());
        let items = value.as_array().into_iter().flatten().enumerate();
        let expected = items.filter_map(|(place, item)| Some((place, item.as_str()?)));
        let strings = strings.iter().flatten();
        assert!(
            strings
                .map(|(place, text)| (*place, text.as_ref()))
                .eq(expected)
        );
        let map = parse().string_map(name);
        assert_eq!(map.is_some(), value.is_object());
        for (key, text) in value.as_object().into_iter().flatten() {
            // serde_json keeps the last of several.
            let last = map.iter().flatten().rev().find(|(other, _)| other == key);
            if let Some(text) = text.as_str() {
                assert_eq!(last.map(|(_, text)| &**text), Some(text));
            }
        }
    }
}

/// Checks the integer `read` for the `number` that was written as `text`.
fn same_integer(text: &str, number: &serde_json::Number, read: Option<i64>) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(exact) = number.as_i64() {
        assert_eq!(read, Some(exact), "{text}");
        return;
    }
    if number.is_u64() {
        assert_eq!(read, Some(i64::MAX), "{text}");
        return;
    }
    let float = number.as_f64().expect("a finite number");
    if float.fract() != 0.0 {
        assert_eq!(read, None, "{text}");
        return;
    }
    if let Some(read) = read
        && float.abs() < EXACT
    {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 there is none")]
        let read = read as f64;
        assert!((read - float).abs() < 0.5, "{text}: {read}");
    }
    // Up to 15 significant digits survive in an f64, unless it is so small that it becomes zero.
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = || mantissa.bytes().filter(u8::is_ascii_digit);
    let is_zero = digits().all(|digit| digit == b'0');
    if is_zero {
        assert_eq!(read, Some(0), "{text}");
    } else if digits().count() <= 15 && float != 0.0 && float.abs() < 1e15 {
        #[expect(clippy::cast_possible_truncation, reason = "below 10^15 there is none")]
        let float = float as i64;
        assert_eq!(read, Some(float), "{text}");
    }
}
