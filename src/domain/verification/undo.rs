//! Undoes common changes to a body between the socket and its verification.

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD};
use base64::{Engine as _, alphabet};
use serde::Deserialize;

use super::report::BodyChange;

type Changed = (BodyChange, Vec<u8>);

/// Accepts base64 with and without padding.
const PADDING: GeneralPurposeConfig =
    NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Returns the body with each other kind of line end.
pub(super) fn line_ends(body: &[u8]) -> Vec<Changed> {
    let trimmed = body
        .strip_suffix(b"\r\n")
        .or_else(|| body.strip_suffix(b"\n"));
    let has_lines = body.contains(&b'\n');
    [
        trimmed.map(|body| (BodyChange::WithoutFinalNewline, body.to_vec())),
        Some((BodyChange::WithFinalNewline, [body, b"\n"].concat())),
        has_lines.then(|| (BodyChange::CrlfForLf, with_crlf(body))),
        has_lines.then(|| (BodyChange::LfForCrlf, with_lf(body))),
    ]
    .into_iter()
    .flatten()
    .filter(|(_, changed)| changed != body)
    .collect()
}

/// Returns the bodies of which this one may be another encoding.
pub(super) fn decoded(body: &[u8]) -> Vec<Changed> {
    let marked = body.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec);
    let mut all: Vec<_> = [
        (BodyChange::WithoutByteOrderMark, marked),
        (BodyChange::Utf16, utf16(body)),
        (BodyChange::ReadAsLatin1, bytes_of_latin1(body)),
        (BodyChange::WrittenAsLatin1, latin1(body)),
        (BodyChange::JsonString, json_string(body)),
        (BodyChange::PythonLiteral, python_literal(body)),
        (BodyChange::NodeBuffer, node_buffer(body)),
        (BodyChange::Base64, base64(body)),
        (BodyChange::PercentEncoded, percent_encoded(body)),
    ]
    .into_iter()
    .filter_map(|(change, changed)| Some((change, changed?)))
    .filter(|(_, changed)| changed != body)
    .collect();
    // A JSON string can also be a Python string; the two are adjacent.
    all.dedup_by(|(_, second), (_, first)| second == first);
    all
}

fn with_lf(body: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(body.len());
    for (place, byte) in body.iter().enumerate() {
        if *byte != b'\r' || body.get(place + 1) != Some(&b'\n') {
            lines.push(*byte);
        }
    }
    lines
}

fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(body.len() + body.len() / 16);
    for byte in with_lf(body) {
        if byte == b'\n' {
            lines.push(b'\r');
        }
        lines.push(byte);
    }
    lines
}

fn utf16(body: &[u8]) -> Option<Vec<u8>> {
    let (unit, units): (fn([u8; 2]) -> u16, _) = match body {
        [0xff, 0xfe, rest @ ..] => (u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => (u16::from_be_bytes, rest),
        _ => return None,
    };
    let (pairs, []) = units.as_chunks() else {
        return None;
    };
    let text: Result<String, _> =
        char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
    Some(text.ok()?.into_bytes())
}

/// The characters of Windows-1252 at 0x80 to 0x9F, where ISO 8859-1 has control characters. Five
/// are not assigned.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Returns the bytes, each of which was read as a character.
fn bytes_of_latin1(body: &[u8]) -> Option<Vec<u8>> {
    if body.is_ascii() {
        return None;
    }
    let byte = |char: char| {
        let of_windows = || {
            let place = WINDOWS_1252.iter().position(|known| *known == char)?;
            u8::try_from(0x80 + place).ok()
        };
        u8::try_from(char).ok().or_else(of_windows)
    };
    str::from_utf8(body).ok()?.chars().map(byte).collect()
}

/// Decodes ISO 8859-1, one character for each byte, to UTF-8.
fn latin1(body: &[u8]) -> Option<Vec<u8>> {
    let is_utf8 = str::from_utf8(body).is_ok();
    let text = || body.iter().copied().map(char::from).collect::<String>();
    (!is_utf8).then(|| text().into_bytes())
}

fn json_string(body: &[u8]) -> Option<Vec<u8>> {
    serde_json::from_slice::<String>(body)
        .ok()
        .map(String::into_bytes)
}

/// Decodes `b'…'` or `'…'`, as Python shows bytes and strings.
fn python_literal(body: &[u8]) -> Option<Vec<u8>> {
    let literal = str::from_utf8(body).ok()?.trim();
    let literal = literal.strip_prefix(['b', 'B']).unwrap_or(literal);
    let quote = literal
        .chars()
        .next()
        .filter(|char| ['\'', '"'].contains(char))?;
    let inner = literal.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        let char = if char == '\\' {
            match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'x' => {
                    let (digits, rest) = chars.as_str().split_at_checked(2)?;
                    bytes.push(u8::from_str_radix(digits, 16).ok()?);
                    chars = rest.chars();
                    continue;
                }
                other => other,
            }
        } else {
            char
        };
        bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(bytes)
}

/// Decodes `{"type":"Buffer","data":[123,34,…]}`, as Node.js writes a buffer in JSON.
fn node_buffer(body: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Buffer {
        r#type: String,
        data: Vec<u8>,
    }
    let buffer: Buffer = serde_json::from_slice(body).ok()?;
    (buffer.r#type == "Buffer").then_some(buffer.data)
}

fn base64(body: &[u8]) -> Option<Vec<u8>> {
    let text = body.trim_ascii();
    let alphabets = [alphabet::STANDARD, alphabet::URL_SAFE];
    let decode = |alphabet| GeneralPurpose::new(alphabet, PADDING).decode(text).ok();
    let decoded = alphabets.iter().find_map(decode)?;
    (!decoded.is_empty()).then_some(decoded)
}

/// Decodes percent-encoding as in a form. A final `=` is dropped, since a form parser may take the
/// whole body for the name of a field without a value.
fn percent_encoded(body: &[u8]) -> Option<Vec<u8>> {
    let text = body.trim_ascii();
    if !text.contains(&b'%') {
        return None;
    }
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    Some(percent_encoding::percent_decode(&spaced).collect())
}
