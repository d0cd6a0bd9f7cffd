//! Writes JSON as the common writers do, to find out how a body was written before it was parsed
//! and written again.
//!
//! A value keeps its numbers as they are written and its members in their order, repeated ones
//! included. So in the right [`Style`] it is written exactly as it was sent.

use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep arrays and objects may be nested.
const MOST_LEVELS: usize = 32;

/// A JSON value, with its numbers as they are written.
pub(super) enum Node<'a> {
    Object(Vec<(String, Node<'a>)>),
    Array(Vec<Node<'a>>),
    /// A string with its escapes decoded.
    Text(String),
    Number(&'a str),
    /// `true`, `false` or `null`; or, with its quotes, a string that is not valid Unicode.
    Verbatim(&'a str),
}

/// How a writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub layout: Layout,
    pub escapes: Escapes,
}

/// Where a writer puts space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Nowhere.
    Compact,
    /// After each comma and colon.
    Spaced,
    /// Before each member and item, which has its own line.
    Indented {
        /// The indent of one level.
        by: &'static str,
        /// The level of the value itself.
        level: usize,
    },
}

/// What a writer escapes besides quotes, backslashes and control characters, which must be escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// Nothing.
    Least,
    /// All that is not ASCII.
    Ascii,
    /// `<`, `>`, `&` and the two line ends of Unicode, as Go does.
    Html,
    /// All that is not ASCII, and `/`, as PHP does.
    Php,
    /// All that is not ASCII, and what has a meaning in HTML, as .NET does.
    DotNet,
}

/// Which numbers are written in another form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub form: NumberForm,
    /// One bit for each number of the value that can have this form, the lowest bit first. The
    /// highest bit stands for all from the 64th on.
    pub which: u64,
}

/// A form that a number may have had before a parser changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberForm {
    /// `1.0` for `1`.
    Point,
    /// `1` for `1.0`.
    NoPoint,
    /// `1.00` for `1`, and `1.50` for `1.5`.
    Hundredths,
    /// `1e3` for `1000` or `1000.0`, `1e-7` for `1e-07`, `1e21` for `1e+21`.
    Exponent,
}

/// How a value is written.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// For all but what `data` is for.
    pub style: Style,
    /// For the member `data` of the outermost object.
    pub data: Style,
    pub numbers: Option<Numbers>,
}

impl Style {
    pub(super) const LEAST: Self = Self {
        layout: Layout::Compact,
        escapes: Escapes::Least,
    };

    /// Returns whether this style writes everything on one line.
    pub(super) fn is_flat(self) -> bool {
        !matches!(self.layout, Layout::Indented { .. })
    }
}

impl Escapes {
    const fn applies_to(self, char: char) -> bool {
        match self {
            Self::Least => false,
            Self::Ascii => !char.is_ascii() || char == '\u{7f}',
            Self::Php => !char.is_ascii() || char == '/',
            Self::Html => matches!(char, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
            Self::DotNet => {
                !char.is_ascii()
                    || matches!(char, '<' | '>' | '&' | '\'' | '"' | '+' | '`' | '\u{7f}')
            }
        }
    }
}

impl NumberForm {
    /// Returns the number in this form, if a parser may have changed this form to the present one.
    pub(super) fn of(self, number: &str) -> Option<String> {
        let is_integer = number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
        match self {
            Self::Point => is_integer.then(|| format!("{number}.0")),
            Self::NoPoint => number.strip_suffix(".0").map(ToOwned::to_owned),
            Self::Hundredths if is_integer => Some(format!("{number}.00")),
            Self::Hundredths => {
                let (_, decimals) = number.split_once('.')?;
                (decimals.len() == 1).then(|| format!("{number}0"))
            }
            Self::Exponent => {
                if let Some((digits, exponent)) = number.split_once(['e', 'E']) {
                    let exponent: i32 = exponent.parse().ok()?;
                    let plain = format!("{digits}e{exponent}");
                    return (plain != number).then_some(plain);
                }
                let integer = number.strip_suffix(".0").unwrap_or(number);
                let digits = integer.trim_end_matches('0');
                let zeros = integer.len() - digits.len();
                let is_plain =
                    !digits.contains('.') && digits.ends_with(|c: char| c.is_ascii_digit());
                (zeros > 0 && is_plain).then(|| format!("{digits}e{zeros}"))
            }
        }
    }
}

impl<'a> Node<'a> {
    /// Parses a JSON text. Returns `None` when it is not JSON or is nested too deep.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        Self::of(serde_json::from_slice(body).ok()?, 0)
    }

    fn of(value: &'a RawValue, level: usize) -> Option<Self> {
        if level > MOST_LEVELS {
            return None;
        }
        let text = value.get();
        Some(match text.as_bytes().first()? {
            b'{' => {
                let members: Members<'a> = serde_json::from_str(text).ok()?;
                let members = members.0.into_iter();
                let nodes = members.map(|(name, value)| Some((name, Self::of(value, level + 1)?)));
                Self::Object(nodes.collect::<Option<_>>()?)
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let nodes = items.into_iter().map(|item| Self::of(item, level + 1));
                Self::Array(nodes.collect::<Option<_>>()?)
            }
            b'"' => match serde_json::from_str(text) {
                Ok(text) => Self::Text(text),
                Err(_) => Self::Verbatim(text),
            },
            b't' | b'f' | b'n' => Self::Verbatim(text),
            _ => Self::Number(text),
        })
    }

    /// Calls `see` on this value and all values in it, in the order in which they are written.
    pub(super) fn visit(&self, see: &mut impl FnMut(&Self)) {
        see(self);
        match self {
            Self::Object(members) => members.iter().for_each(|(_, value)| value.visit(see)),
            Self::Array(items) => items.iter().for_each(|item| item.visit(see)),
            Self::Text(_) | Self::Number(_) | Self::Verbatim(_) => {}
        }
    }

    /// Returns whether the value has a character that `escapes` applies to.
    pub(super) fn has_for(&self, escapes: Escapes) -> bool {
        let mut has = false;
        let mut look = |text: &str| has |= text.chars().any(|char| escapes.applies_to(char));
        self.visit(&mut |node| match node {
            Self::Text(text) => look(text),
            Self::Object(members) => members.iter().for_each(|(name, _)| look(name)),
            _ => {}
        });
        has
    }

    pub(super) fn write(&self, manner: &Manner) -> Vec<u8> {
        let mut writer = Writer {
            text: String::new(),
            numbers: manner.numbers,
            number: 0,
        };
        match self {
            Self::Object(members) if manner.data != manner.style => {
                writer.list(
                    '{',
                    '}',
                    manner.style.layout,
                    members,
                    |writer, (name, value), layout| {
                        let outer = Style {
                            layout,
                            ..manner.style
                        };
                        writer.name(name, outer);
                        let is_data = name == "data";
                        writer.value(value, if is_data { manner.data } else { outer });
                    },
                );
            }
            _ => writer.value(self, manner.style),
        }
        writer.text.into_bytes()
    }
}

struct Writer {
    text: String,
    numbers: Option<Numbers>,
    /// How many numbers were written that can have the other form.
    number: u32,
}

impl Writer {
    fn value(&mut self, node: &Node<'_>, style: Style) {
        match node {
            Node::Object(members) => {
                self.list(
                    '{',
                    '}',
                    style.layout,
                    members,
                    |writer, (name, value), layout| {
                        let style = Style { layout, ..style };
                        writer.name(name, style);
                        writer.value(value, style);
                    },
                );
            }
            Node::Array(items) => {
                self.list('[', ']', style.layout, items, |writer, item, layout| {
                    writer.value(item, Style { layout, ..style });
                });
            }
            Node::Text(text) => self.string(text, style.escapes),
            Node::Number(number) => self.number(number),
            Node::Verbatim(text) => self.text.push_str(text),
        }
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        layout: Layout,
        entries: &[T],
        mut entry: impl FnMut(&mut Self, &T, Layout),
    ) {
        self.text.push(open);
        let inner = match layout {
            Layout::Indented { by, level } => Layout::Indented {
                by,
                level: level + 1,
            },
            other => other,
        };
        for (place, one) in entries.iter().enumerate() {
            if place > 0 {
                self.text.push(',');
            }
            match inner {
                Layout::Spaced if place > 0 => self.text.push(' '),
                _ => self.line(inner),
            }
            entry(self, one, inner);
        }
        if !entries.is_empty() {
            self.line(layout);
        }
        self.text.push(close);
    }

    /// Begins a new line, in a layout that has lines.
    fn line(&mut self, layout: Layout) {
        if let Layout::Indented { by, level } = layout {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(by, level));
        }
    }

    fn name(&mut self, name: &str, style: Style) {
        self.string(name, style.escapes);
        self.text.push(':');
        if style.layout != Layout::Compact {
            self.text.push(' ');
        }
    }

    fn string(&mut self, text: &str, escapes: Escapes) {
        self.text.push('"');
        for char in text.chars() {
            match char {
                '/' if escapes == Escapes::Php => self.text.push_str("\\/"),
                _ if escapes.applies_to(char) => self.escape(char, escapes),
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\0'..='\u{1f}' => self.escape(char, escapes),
                _ => self.text.push(char),
            }
        }
        self.text.push('"');
    }

    fn escape(&mut self, char: char, escapes: Escapes) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a `String` cannot fail.
            let _ = match escapes {
                Escapes::DotNet => write!(self.text, "\\u{unit:04X}"),
                _ => write!(self.text, "\\u{unit:04x}"),
            };
        }
    }

    fn number(&mut self, number: &str) {
        let other = self.numbers.and_then(|numbers| {
            let other = numbers.form.of(number)?;
            let place = self.number.min(63);
            self.number += 1;
            (numbers.which >> place & 1 == 1).then_some(other)
        });
        self.text.push_str(other.as_deref().unwrap_or(number));
    }
}

/// The members of an object in their order, repeated ones included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Entries).map(Members)
    }
}
