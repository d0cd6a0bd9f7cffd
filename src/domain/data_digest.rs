//! A digest of the data in a JSON text, which shows whether two texts hold the same data.
//!
//! Two texts hold the same data when they have the same values in the same places:
//!
//! - White space makes no difference, nor does the order of an object's members. Members with the
//!   same name keep their order, since parsers disagree on which of them counts.
//! - Strings are compared by their UTF-16 code units, however they are escaped. An unpaired
//!   surrogate is equal only to itself.
//! - Numbers are compared as they are written: `1`, `1.0` and `1e0` differ. Taking two different
//!   numbers for the same would drop an event; taking the same number for two is an error that the
//!   publisher sees.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// The digest of the data in a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataDigest(pub [u8; 32]);

/// Returns the digest of the data in the JSON text `json`, or `None` when it is not a JSON text.
///
/// The time is proportional to the text's length, apart from sorting the members of each object.
/// Nesting uses no stack, so no depth can overflow it.
#[must_use]
pub fn data_digest(json: &str) -> Option<DataDigest> {
    let json: &RawValue = serde_json::from_str(json).ok()?;
    let mut open = Vec::new();
    let mut done = Done::default();
    let mut rest = json.get();
    let mut is_name = false;
    while let Some(first) = rest.bytes().next() {
        let length = token_length(rest);
        let (token, after) = rest.split_at(length);
        rest = after;
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'{' | b'[' => {
                is_name = first == b'{';
                open.push(Open {
                    is_object: is_name,
                    values: done.values.len(),
                    members: done.members.len(),
                });
                continue;
            }
            b',' => {
                is_name = open.last()?.is_object;
                continue;
            }
            b':' => {
                is_name = false;
                continue;
            }
            b'"' if is_name => {
                let value = done.values.len();
                done.members.push((text(token)?, value..value));
                continue;
            }
            b'"' => done.push(b's', &text(token)?),
            b'}' | b']' => done.close(&open.pop()?),
            _ => done.push(b'v', token.as_bytes()),
        }
        // A value is complete.
        if open.last().is_some_and(|parent| parent.is_object) {
            done.members.last_mut()?.1.end = done.values.len();
        }
    }
    Some(DataDigest(Sha256::digest(&done.values).into()))
}

/// An object or array whose end has not been read, with the places in [`Done`] where it begins.
struct Open {
    is_object: bool,
    values: usize,
    members: usize,
}

/// The complete values inside the open objects and arrays, the outermost first.
#[derive(Default)]
struct Done<'a> {
    /// The values, one after the other, each encoded so that no encoding is the start of another.
    values: Vec<u8>,
    /// The members of the open objects: each name, with the range of `values` that holds its value.
    members: Vec<(Cow<'a, [u8]>, Range<usize>)>,
}

impl Done<'_> {
    /// Adds a value that is neither an object nor an array.
    fn push(&mut self, kind: u8, content: &[u8]) {
        self.values.push(kind);
        self.values.extend(length(content));
        self.values.extend(content);
    }

    /// Replaces the values of an object or array by their digest.
    fn close(&mut self, open: &Open) {
        let digest = if open.is_object {
            // A stable sort, so that members with the same name keep their order.
            let members = &mut self.members[open.members..];
            members.sort_by(|(name, _), (other, _)| name.cmp(other));
            let mut hash = Sha256::new();
            for (name, value) in members {
                hash.update(length(name));
                hash.update(name);
                hash.update(&self.values[value.clone()]);
            }
            hash.finalize()
        } else {
            Sha256::digest(&self.values[open.values..])
        };
        self.members.truncate(open.members);
        self.values.truncate(open.values);
        self.values.push(if open.is_object { b'o' } else { b'a' });
        self.values.extend(digest);
    }
}

fn length(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_le_bytes()
}

/// Returns the length of the first token of `json`, which is not empty: one character of white
/// space, a punctuation mark, a string, or anything else up to the next of these.
fn token_length(json: &str) -> usize {
    let bytes = json.as_bytes();
    match bytes[0] {
        b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => 1,
        b'"' => string_length(bytes),
        _ => {
            let ends = |byte: &u8| b"{}[],:\" \t\r\n".contains(byte);
            bytes.iter().position(ends).unwrap_or(bytes.len())
        }
    }
}

/// Returns the length in bytes of the JSON string with which `bytes` begins.
fn string_length(bytes: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = bytes.iter().skip(1).position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(bytes.len(), |end| end + 2)
}

/// Decodes a JSON string to UTF-8. An unpaired surrogate is encoded as three bytes, which UTF-8
/// does not allow (WTF-8 does), so that different strings stay different.
fn text(string: &str) -> Option<Cow<'_, [u8]>> {
    #[derive(Deserialize)]
    struct Bytes<'a>(#[serde(borrow)] Cow<'a, [u8]>);

    serde_json::from_str(string).ok().map(|Bytes(bytes)| bytes)
}

#[cfg(test)]
mod tests;
