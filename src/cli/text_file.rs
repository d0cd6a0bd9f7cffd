//! Reads text files as editors and shells write them, with a byte order mark or in UTF-16.

use std::path::Path;

use zeroize::Zeroizing;

const BROKEN: &str = "it is UTF-16 that cannot be read; save it as UTF-8";

/// Formats a path for an error. A secret that was given in place of a path is not shown.
pub(super) fn shown(path: &Path) -> String {
    let path = path.display().to_string();
    if path.contains("whsec_") {
        "a path that looks like a secret (write the secret to a file and give the path of the file)"
            .to_owned()
    } else {
        path
    }
}

/// The content of a file, converted to UTF-8 if a byte order mark shows its encoding.
pub(super) struct Text {
    /// The bytes without the byte order mark. They may hold a secret.
    pub bytes: Zeroizing<Vec<u8>>,
    /// How the file was converted, as a text to follow the file's name.
    pub notice: Option<&'static str>,
}

/// Removes a byte order mark and converts UTF-16 that has one (as PowerShell's `>` writes it) to
/// UTF-8.
///
/// # Errors
///
/// What is wrong with the file, and how to fix it.
pub(super) fn read(bytes: Vec<u8>) -> Result<Text, &'static str> {
    let bytes = Zeroizing::new(bytes);
    let unit: fn([u8; 2]) -> u16 = match bytes.as_slice() {
        [0xef, 0xbb, 0xbf, rest @ ..] => {
            return Ok(Text {
                bytes: Zeroizing::new(rest.to_vec()),
                notice: Some("starts with a byte order mark, which is ignored"),
            });
        }
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => {
            return Ok(Text {
                bytes,
                notice: None,
            });
        }
    };
    let (pairs, []) = bytes[2..].as_chunks() else {
        return Err(BROKEN);
    };
    // The most that it can need, so that it does not grow, which would leave a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len() / 2 * 3));
    for char in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let char = char.map_err(|_| BROKEN)?;
        text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(Text {
        bytes: text,
        notice: Some("is read as UTF-16"),
    })
}

/// Returns the text of a file that must be UTF-8.
///
/// # Errors
///
/// What it is instead, and how to fix it.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.contains(&0) {
        return Err("it has zero bytes, as UTF-16 does; save it as UTF-8");
    }
    str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text; save it as UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn marks_are_taken_away_and_said() {
        let text = "whsec_1\r\nZo\u{eb} \u{1f511}";
        for (bytes, notice) in [
            (text.as_bytes().to_vec(), None),
            (
                [b"\xef\xbb\xbf", text.as_bytes()].concat(),
                Some("byte order mark"),
            ),
            (
                utf16(&format!("\u{feff}{text}"), u16::to_le_bytes),
                Some("UTF-16"),
            ),
            (
                utf16(&format!("\u{feff}{text}"), u16::to_be_bytes),
                Some("UTF-16"),
            ),
        ] {
            let read = read(bytes).expect("text");
            assert_eq!(utf8(&read.bytes), Ok(text));
            match notice {
                None => assert_eq!(read.notice, None),
                Some(part) => assert!(read.notice.expect("a notice").contains(part)),
            }
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (bytes, problem) in [
            (utf16("whsec_1", u16::to_le_bytes), "as UTF-16 does"),
            (b"\xff\xfew\0h\0".to_vec(), ""),
            (b"\xff\xfew\0h\0s".to_vec(), "UTF-16 that cannot be read"),
            (b"\xff\xfe\x00\xd8".to_vec(), "UTF-16 that cannot be read"),
            (b"whsec_\xff".to_vec(), "not UTF-8"),
            (b"\xef\xbb\xbfwhsec_\xff".to_vec(), "not UTF-8"),
        ] {
            let found = read(bytes).and_then(|text| utf8(&text.bytes).map(|_| ()));
            match found {
                Ok(()) => assert_eq!(problem, ""),
                Err(found) => assert!(!problem.is_empty() && found.contains(problem), "{found}"),
            }
        }
    }
}
