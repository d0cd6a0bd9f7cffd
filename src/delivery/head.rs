//! Parses the head of a receiver's response leniently.
//!
//! The status decides an attempt, so no other line of the head may make the attempt fail. Receivers
//! send folded lines, white space before colons, control bytes in values and hundreds of headers,
//! and other clients accept them. Only the status, the framing, `Connection` and `Retry-After`
//! matter. [`Head::render`] writes a new head with nothing else, which hyper then parses and obeys.
//!
//! One thing must stay an error (RFC 9112, section 6.3): a `Content-Length` that is not a number,
//! or several that differ.
//!
//! hyper's own options for lenient parsing are not enough: they still refuse NUL and more than a
//! fixed number of headers, and raising that number costs time for each response (1.7 µs for 1,024
//! headers).

use std::io::Write as _;

/// What the bytes that have arrived so far contain.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a head.
    Partial,
    /// Not an HTTP/1 response.
    NotHttp,
    /// A complete head, and its length in bytes.
    Whole(Head, usize),
}

/// The maximum length of a body, in bytes. hyper does not take a greater number as a length.
const MAX_LENGTH: u64 = u64::MAX >> 1;

/// The parts of a head that matter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    is_http_1_0: bool,
    framing: Framing,
    closes: bool,
    keeps_alive: bool,
    retry_after: Option<Vec<u8>>,
}

/// How the end of the body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    UntilClosed,
    Length(u64),
    /// Lengths that differ or are not numbers.
    BadLength,
    Chunked,
}

impl Head {
    /// Whether another head follows for the same request (RFC 9110, section 15.2). After a `101`
    /// none follows: the connection no longer carries HTTP.
    pub(super) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Writes a head with the same meaning in the strict form.
    pub(super) fn render(&self, out: &mut Vec<u8>) {
        let minor = u8::from(!self.is_http_1_0);
        // Writing to memory cannot fail.
        let _ = write!(out, "HTTP/1.{minor} {} \r\n", self.status);
        let _ = match self.framing {
            Framing::UntilClosed => Ok(()),
            Framing::Length(length) => write!(out, "Content-Length: {length}\r\n"),
            // hyper refuses this value, as it must.
            Framing::BadLength => write!(out, "Content-Length: -\r\n"),
            Framing::Chunked => write!(out, "Transfer-Encoding: chunked\r\n"),
        };
        if self.closes {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if self.keeps_alive {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        if let Some(value) = &self.retry_after {
            out.extend_from_slice(b"Retry-After: ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Parses the head at the beginning of `bytes`. The first `scanned` bytes are known to hold no
/// complete head. Lines end with CR LF or LF.
pub(super) fn parse(bytes: &[u8], scanned: usize) -> Parsed {
    const PREFIX: &[u8] = b"HTTP/1.";
    /// The number of bytes in which an invalid status line is noticed before the head is complete.
    const STATUS_LINE: usize = 256;
    let shorter = PREFIX.len().min(bytes.len());
    if bytes[..shorter] != PREFIX[..shorter] {
        return Parsed::NotHttp;
    }
    let end = end_of_head(bytes, scanned);
    // A head that arrives byte by byte must not be scanned from its beginning each time.
    let looked_at = end.unwrap_or(bytes.len().min(STATUS_LINE));
    let first_end = bytes[..looked_at].iter().position(|byte| *byte == b'\n');
    let Some(first_end) = first_end else {
        return Parsed::Partial;
    };
    let Some((is_http_1_0, status)) = status_line(&bytes[PREFIX.len()..first_end]) else {
        return Parsed::NotHttp;
    };
    let Some(len) = end else {
        return Parsed::Partial;
    };
    let mut fields = Fields::default();
    for line in bytes[first_end + 1..len].split(|byte| *byte == b'\n') {
        fields.add_line(line.strip_suffix(b"\r").unwrap_or(line));
    }
    Parsed::Whole(fields.into_head(is_http_1_0, status), len)
}

/// Parses the status line after `HTTP/1.`, without its LF. Returns whether the version is 1.0, and
/// the status.
///
/// A minor version above 1 is read as 1 (RFC 9110, section 2.5). The reason phrase does not matter.
fn status_line(rest: &[u8]) -> Option<(bool, u16)> {
    let (minor, rest) = rest.split_first()?;
    let code = rest.trim_ascii_start();
    if !minor.is_ascii_digit() || code.len() == rest.len() {
        return None;
    }
    let (code, reason) = code.split_at_checked(3)?;
    if code[0] == b'0' || reason.first().is_some_and(u8::is_ascii_graphic) {
        return None;
    }
    let status = u16::try_from(digits(code)?).ok()?;
    Some((*minor == b'0', status))
}

/// Returns the position after the first empty line.
fn end_of_head(bytes: &[u8], scanned: usize) -> Option<usize> {
    // Up to two bytes of the end (LF CR LF) may have arrived before.
    let from = scanned.saturating_sub(2);
    let mut lines = bytes[from..].iter().enumerate();
    lines.find_map(|(index, byte)| {
        let after = &bytes[from + index + 1..];
        match (byte, after) {
            (b'\n', [b'\n', ..]) => Some(from + index + 2),
            (b'\n', [b'\r', b'\n', ..]) => Some(from + index + 3),
            _ => None,
        }
    })
}

/// The headers that matter.
#[derive(Clone, Copy)]
enum Field {
    Connection,
    ContentLength,
    RetryAfter,
    TransferEncoding,
}

/// The values of the headers that matter. Repeated headers form one list (RFC 9110, section 5.3).
#[derive(Default)]
struct Fields {
    connection: Option<Vec<u8>>,
    content_length: Option<Vec<u8>>,
    retry_after: Option<Vec<u8>>,
    transfer_encoding: Option<Vec<u8>>,
    /// The header of the last line, if it matters. A folded line continues its value.
    last: Option<Field>,
}

impl Fields {
    fn add_line(&mut self, line: &[u8]) {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            // A folded line, which is obsolete (RFC 9112, section 5.2).
            if let Some(value) = self.last.and_then(|field| self.value(field).as_mut()) {
                value.push(b' ');
                value.extend(line.iter().copied().map(printable));
            }
            return;
        }
        self.last = None;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return;
        };
        let (name, value) = (line[..colon].trim_ascii_end(), &line[colon + 1..]);
        let field = if name.eq_ignore_ascii_case(b"connection") {
            Field::Connection
        } else if name.eq_ignore_ascii_case(b"content-length") {
            Field::ContentLength
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            Field::RetryAfter
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            Field::TransferEncoding
        } else {
            return;
        };
        self.last = Some(field);
        match self.value(field) {
            None => *self.value(field) = Some(value.iter().copied().map(printable).collect()),
            // `Retry-After` is not a list, so only the first one counts.
            Some(_) if matches!(field, Field::RetryAfter) => self.last = None,
            Some(list) => {
                list.push(b',');
                list.extend(value.iter().copied().map(printable));
            }
        }
    }

    fn value(&mut self, field: Field) -> &mut Option<Vec<u8>> {
        match field {
            Field::Connection => &mut self.connection,
            Field::ContentLength => &mut self.content_length,
            Field::RetryAfter => &mut self.retry_after,
            Field::TransferEncoding => &mut self.transfer_encoding,
        }
    }

    fn into_head(self, is_http_1_0: bool, status: u16) -> Head {
        let says = |word: &[u8]| {
            elements(self.connection.as_deref()).any(|said| said.eq_ignore_ascii_case(word))
        };
        let mut closes = says(b"close");
        let keeps_alive = says(b"keep-alive");
        let framing = match (&self.transfer_encoding, &self.content_length) {
            (None, None) => Framing::UntilClosed,
            (None, Some(lengths)) => match length(lengths) {
                Some(length) if length <= MAX_LENGTH => Framing::Length(length),
                // No receiver can send that many bytes.
                Some(_) => {
                    closes = true;
                    Framing::UntilClosed
                }
                None => Framing::BadLength,
            },
            (Some(codings), length) => {
                // With a length as well, or in HTTP/1.0, an intermediary may find the end of the
                // body elsewhere (RFC 9112, section 6.1).
                closes |= length.is_some() || is_http_1_0;
                let last = elements(Some(codings)).last().unwrap_or_default();
                if last.eq_ignore_ascii_case(b"chunked") && !is_http_1_0 {
                    Framing::Chunked
                } else {
                    Framing::UntilClosed
                }
            }
        };
        let retry_after = self
            .retry_after
            .map(|value| value.trim_ascii().to_vec())
            .filter(|value| !value.is_empty());
        Head {
            status,
            is_http_1_0,
            framing,
            closes,
            keeps_alive,
            retry_after,
        }
    }
}

/// Turns a control byte into a space (RFC 9110, section 5.5).
fn printable(byte: u8) -> u8 {
    if byte.is_ascii_control() { b' ' } else { byte }
}

/// Returns the elements of a list that are not empty (RFC 9110, section 5.6.1).
fn elements(list: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    list.into_iter()
        .flat_map(|list| list.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Returns the length if all elements of the list are the same number.
fn length(lengths: &[u8]) -> Option<u64> {
    let mut lengths = elements(Some(lengths)).map(digits);
    let first = lengths.next()??;
    lengths.all(|other| other == Some(first)).then_some(first)
}

fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    // `parse` would also accept a plus sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    text.parse().ok()
}

#[cfg(test)]
mod tests;
