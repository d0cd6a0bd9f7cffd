use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{Index, SizeRange};

use super::*;

fn same(one: &str, other: &str) -> bool {
    let one = data_digest(one).expect("JSON");
    one == data_digest(other).expect("JSON")
}

#[test]
fn spacing_order_and_escapes_make_no_difference() {
    for (one, other) in [
        (
            r#"{"a":1,"b":[true,null]}"#,
            " { \"b\" :\n[ true,\tnull ],\r\"a\": 1 } ",
        ),
        (r#"{"x":1e400}"#, r#"{"x": 1e400}"#),
        (r#"{"s":"\ud800"}"#, r#"{ "s":"\uD800"}"#),
        (r#"["\ud83d\ude00\u0041\/"]"#, "[\"\u{1f600}A/\"]"),
        (r#"{"\u0061":1,"b":2}"#, r#"{"b":2,"a":1}"#),
        (r#"{"a":1,"b":0,"a":2}"#, r#"{"a":1,"a":2,"b":0}"#),
        (r#"{"\ud800":1,"\udc00":2}"#, r#"{"\udc00":2,"\ud800":1}"#),
        ("{}", " {\n}"),
        ("[]", "[ ]"),
    ] {
        assert!(same(one, other), "{one} {other}");
    }
}

#[test]
fn whatever_differs_makes_a_difference() {
    let texts = [
        r#"{"from":1000000000000000000001,"to":1000000000000000000002}"#,
        r#"{"from":1000000000000000000002,"to":1000000000000000000001}"#,
        r#"{"debit":10000000000000000.01,"credit":10000000000000000.02}"#,
        r#"{"debit":10000000000000000.02,"credit":10000000000000000.01}"#,
        r#"{"a":"10","a":"20"}"#,
        r#"{"a":"99","a":"20"}"#,
        r#"{"a":"20","a":"10"}"#,
        r#"{"a":"20"}"#,
        r#"{"a":{"b":1},"c":{}}"#,
        r#"{"a":{},"c":{"b":1}}"#,
        r#"{"a":[1],"b":[]}"#,
        r#"{"a":[],"b":[1]}"#,
        "1e400",
        "1e401",
        "1",
        "1.0",
        "1e0",
        "1E0",
        "0",
        "-0",
        "12",
        "[1,2]",
        "[2,1]",
        "[12]",
        "[[1],2]",
        "[[1,2]]",
        r#""1""#,
        r#""[""#,
        r#""\"""#,
        r#""\\""#,
        r#""null""#,
        "null",
        "true",
        "false",
        "[]",
        "{}",
        r#""""#,
        "[null]",
        r#"{"":null}"#,
        r#"["",null]"#,
        r#""\ud800""#,
        r#""\ud801""#,
        r#""\udc00\ud800""#,
        r#""\ud800\udc00""#,
        "\"\u{fffd}\"",
        r#""\\ud800""#,
        r#"["a","b"]"#,
        r#"["a\",\"b"]"#,
        r#"{"a":"b"}"#,
        r#"{"b":"a"}"#,
    ];
    for (place, one) in texts.iter().enumerate() {
        for other in &texts[..place] {
            assert!(!same(one, other), "{one} {other}");
        }
    }
}

#[test]
fn what_is_no_json_has_no_digest() {
    for text in [
        "",
        " ",
        "{",
        "]",
        "{]",
        "nul",
        "1 2",
        "\"",
        r#""\x""#,
        "{\"a\"}",
        "[1,]",
        "{\"a\":1,}",
    ] {
        assert_eq!(data_digest(text), None, "{text}");
    }
}

#[test]
fn the_largest_bodies_cost_little_stack_and_time() {
    let size = 256 * 1024;
    let nested = |open: &str, close: &str| {
        let levels = size / (open.len() + close.len());
        format!("{}1{}", open.repeat(levels), close.repeat(levels))
    };
    let many = |member: &str| format!("{{{}}}", vec![member; size / (member.len() + 1)].join(","));
    let names = (0..size / 12).map(|number| format!("\"{number:06}\":1"));
    let names = format!("{{{}}}", names.rev().collect::<Vec<_>>().join(","));
    for text in [
        nested("[", "]"),
        nested("{\"a\":", "}"),
        nested("[{\"\":", ",\"\":0}]"),
        many("\"a\":1"),
        many("\"\":{}"),
        names,
        format!("\"{}\"", "\\ud800".repeat(size / 6)),
        format!("[{}]", "9".repeat(size)),
    ] {
        let begun = std::time::Instant::now();
        assert_ne!(data_digest(&text), None, "{}", &text[..40]);
        // Far more than it needs, and far less than quadratic time would.
        assert!(begun.elapsed().as_secs() < 20, "{}", &text[..40]);
    }
}

/// A JSON value as a tree, with which the digest is compared.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    /// A number or a literal.
    Plain(String),
    /// In UTF-16 code units.
    Text(Vec<u16>),
    Array(Vec<Json>),
    Object(Vec<(Vec<u16>, Json)>),
}

impl Json {
    /// Whether two trees hold the same data, by the letter of the rule.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Array(own), Self::Array(others)) => {
                own.len() == others.len()
                    && own
                        .iter()
                        .zip(others)
                        .all(|(own, other)| own.is_same(other))
            }
            (Self::Object(own), Self::Object(others)) => {
                let (own, others) = (by_name(own), by_name(others));
                own.len() == others.len()
                    && own
                        .iter()
                        .zip(&others)
                        .all(|((name, own), (other_name, others))| {
                            name == other_name
                                && own.len() == others.len()
                                && own
                                    .iter()
                                    .zip(others)
                                    .all(|(own, other)| own.is_same(other))
                        })
            }
            (own, other) => own == other,
        }
    }

    /// The number of leaves: plain values, texts, names, and empty arrays and objects.
    fn leaves(&self) -> usize {
        match self {
            Self::Array(items) if !items.is_empty() => items.iter().map(Self::leaves).sum(),
            Self::Object(members) if !members.is_empty() => {
                members.iter().map(|(_, value)| 1 + value.leaves()).sum()
            }
            _ => 1,
        }
    }

    /// Changes the leaf at `place` to another value or name.
    fn change_leaf(&mut self, mut place: usize) {
        match self {
            Self::Array(items) if !items.is_empty() => {
                for item in items {
                    let leaves = item.leaves();
                    if place < leaves {
                        return item.change_leaf(place);
                    }
                    place -= leaves;
                }
            }
            Self::Object(members) if !members.is_empty() => {
                for (name, value) in members {
                    if place == 0 {
                        name.push(u16::from(b'!'));
                        return;
                    }
                    let leaves = 1 + value.leaves();
                    if place < leaves {
                        return value.change_leaf(place - 1);
                    }
                    place -= leaves;
                }
            }
            Self::Plain(number) => *number = format!("-77{}", number.len()),
            Self::Text(units) => units.push(0xdc00),
            Self::Array(items) => items.push(Self::Plain("null".to_owned())),
            Self::Object(members) => members.push((Vec::new(), Self::Plain("null".to_owned()))),
        }
    }

    /// The same value with the members of each object in another order, except that members with
    /// the same name keep their order.
    fn permuted(&self, dice: &mut Dice<'_>) -> Self {
        match self {
            Self::Array(items) => {
                Self::Array(items.iter().map(|item| item.permuted(dice)).collect())
            }
            Self::Object(members) => {
                let mut by_name = by_name(members);
                let mut permuted = Vec::new();
                while !by_name.is_empty() {
                    let place = dice.roll(by_name.len());
                    let name = by_name.keys().nth(place).expect("in range").clone();
                    let values = by_name.get_mut(&name).expect("it is there");
                    permuted.push((name.clone(), values.remove(0).permuted(dice)));
                    by_name.retain(|_, values| !values.is_empty());
                }
                Self::Object(permuted)
            }
            other => other.clone(),
        }
    }

    /// Writes the value in a random way.
    fn write(&self, dice: &mut Dice<'_>, text: &mut String) {
        dice.space(text);
        match self {
            Self::Plain(plain) => text.push_str(plain),
            Self::Text(units) => dice.string(units, text),
            Self::Array(items) => {
                text.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    item.write(dice, text);
                }
                dice.space(text);
                text.push(']');
            }
            Self::Object(members) => {
                text.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    dice.space(text);
                    dice.string(name, text);
                    dice.space(text);
                    text.push(':');
                    value.write(dice, text);
                }
                dice.space(text);
                text.push('}');
            }
        }
        dice.space(text);
    }
}

fn by_name(members: &[(Vec<u16>, Json)]) -> BTreeMap<Vec<u16>, Vec<&Json>> {
    let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, value) in members {
        by_name.entry(name.clone()).or_default().push(value);
    }
    by_name
}

/// The random choices in writing a tree.
struct Dice<'a> {
    rolls: std::iter::Cycle<std::slice::Iter<'a, Index>>,
}

impl<'a> Dice<'a> {
    fn new(rolls: &'a [Index]) -> Self {
        Self {
            rolls: rolls.iter().cycle(),
        }
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.rolls.next().expect("some rolls").index(sides)
    }

    fn space(&mut self, text: &mut String) {
        text.push_str(["", "", " ", "\n\t", "\r"][self.roll(5)]);
    }

    fn string(&mut self, units: &[u16], text: &mut String) {
        use std::fmt::Write as _;

        text.push('"');
        for unit in char::decode_utf16(units.iter().copied()) {
            let short = match unit {
                Ok('"') => Some("\\\""),
                Ok('\\') => Some("\\\\"),
                Ok('/') => Some("\\/"),
                Ok('\n') => Some("\\n"),
                _ => None,
            };
            match (unit, short) {
                (Ok(_), Some(short)) if self.roll(2) == 0 => text.push_str(short),
                (Ok(unit), None) if unit >= ' ' && self.roll(2) == 0 => text.push(unit),
                (unit, _) => {
                    let mut pair = [0; 2];
                    let units = match unit {
                        Ok(unit) => &*unit.encode_utf16(&mut pair),
                        Err(lone) => {
                            pair[0] = lone.unpaired_surrogate();
                            &pair[..1]
                        }
                    };
                    for unit in units {
                        let written = if self.roll(2) == 0 {
                            write!(text, "\\u{unit:04x}")
                        } else {
                            write!(text, "\\u{unit:04X}")
                        };
                        written.expect("a string takes it");
                    }
                }
            }
        }
        text.push('"');
    }
}

fn units() -> impl Strategy<Value = Vec<u16>> {
    // Only a few, so that names repeat and surrogates meet.
    let unit = prop::sample::select(vec![
        0x61, 0x62, 0x22, 0x5c, 0x2f, 0xa, 0, 0xe9, 0xd83d, 0xde00, 0xffff,
    ]);
    prop::collection::vec(unit, 0..3)
}

fn json(size: impl Into<SizeRange>) -> impl Strategy<Value = Json> {
    let plain = "null|true|-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?";
    let leaf = prop_oneof![plain.prop_map(Json::Plain), units().prop_map(Json::Text)];
    let size = size.into();
    leaf.prop_recursive(4, 30, 4, move |inner| {
        let members = prop::collection::vec((units(), inner.clone()), size.clone());
        prop_oneof![
            prop::collection::vec(inner, size.clone()).prop_map(Json::Array),
            members.prop_map(Json::Object),
        ]
    })
}

fn rolls() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 1..60)
}

fn written(json: &Json, rolls: &[Index]) -> String {
    let mut text = String::new();
    json.write(&mut Dice::new(rolls), &mut text);
    text
}

proptest! {
    #[test]
    fn order_spacing_and_spelling_never_make_a_difference(json in json(0..5), rolls in [rolls(), rolls(), rolls()]) {
        let permuted = json.permuted(&mut Dice::new(&rolls[0]));
        let (one, other) = (written(&json, &rolls[1]), written(&permuted, &rolls[2]));
        prop_assert!(json.is_same(&permuted));
        prop_assert!(same(&one, &other), "{one} {other}");
    }

    #[test]
    fn a_changed_leaf_always_makes_a_difference(json in json(0..5), leaf: Index, rolls in [rolls(), rolls()]) {
        let mut changed = json.clone();
        changed.change_leaf(leaf.index(json.leaves()));
        let (one, other) = (written(&json, &rolls[0]), written(&changed, &rolls[1]));
        prop_assert!(!json.is_same(&changed));
        prop_assert!(!same(&one, &other), "{one} {other}");
    }

    #[test]
    fn two_small_texts_are_the_same_when_their_trees_are(one in json(0..3), other in json(0..3), rolls in [rolls(), rolls()]) {
        let (text, other_text) = (written(&one, &rolls[0]), written(&other, &rolls[1]));
        prop_assert_eq!(same(&text, &other_text), one.is_same(&other), "{} {}", text, other_text);
    }

    #[test]
    fn any_text_has_a_digest_or_is_no_json(text in "[\\[\\]{},:\" \\\\u0-9a-fn\\PC]{0,12}") {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(data_digest(&text).is_some(), is_json);
    }
}
