//! The findings of a verification, as values for programs and as sentences for people.
//!
//! No sentence holds a secret, a whole signature or an unescaped byte of the request.

use std::fmt;
use std::time::Duration;

use super::names::WEBHOOK_TIMESTAMP;
use super::secret::MalformedSecret;
use crate::domain::format::Format;
use crate::domain::secret::Fingerprint;

/// The outcome of one verification, with its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The format of the headers; `None` when they are of neither format, or of both.
    pub format: Option<Format>,
    /// The id of the event: `webhook-id` of Standard Webhooks, `X-Webhook-Traceid` of Verbex v1,
    /// which is not signed. It is cut to 64 characters, and only printable ASCII is shown.
    pub id: Option<String>,
    /// The time of the attempt in Unix seconds, according to the sender.
    pub timestamp: Option<i64>,
    /// Seconds since the attempt; negative when its time is in the future.
    pub age: Option<i64>,
    /// The signatures, in the order of the header.
    pub signatures: Vec<SignatureReport>,
    /// The secrets, in the order given.
    pub secrets: Vec<SecretReport>,
    /// Why the request is not verified, the first cause first. Empty when it is.
    pub failures: Vec<Rejection>,
}

impl Report {
    /// Returns whether the request is genuine and recent: signed with one of the secrets, and
    /// without a failure.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.failures.is_empty()
    }

    /// Returns the numbers, from 1, of the secrets that made one of the signatures.
    ///
    /// A request that is not verified may have some, for example a genuine one that is too old.
    pub fn matching_secrets(&self) -> impl Iterator<Item = usize> {
        let matched = |secret: &SecretReport| matches!(secret.outcome, SecretOutcome::Matched(_));
        (1..)
            .zip(&self.secrets)
            .filter_map(move |(number, secret)| matched(secret).then_some(number))
    }
}

/// The outcome for one signature of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureReport {
    /// It was made with these secrets, numbered from 1. There are several only when a secret was
    /// given twice.
    Matched(Vec<usize>),
    /// It is well-formed but was made with none of the secrets, or for another request.
    NotMatched,
    /// There was nothing to compare it with: see [`Report::failures`].
    NotTried,
    /// It is of another scheme, such as `v1a` (ed25519 in Standard Webhooks) or `v0`.
    OtherScheme(String),
    /// It cannot be read, for this reason.
    Malformed(&'static str),
}

/// The outcome for one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReport {
    /// The public name of the secret.
    pub fingerprint: Fingerprint,
    /// Its outcome.
    pub outcome: SecretOutcome,
}

/// See [`SecretReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOutcome {
    /// It made these signatures, numbered from 1.
    Matched(Vec<usize>),
    /// It made none of the signatures.
    NotMatched,
    /// There was no signature to compare with: see [`Report::failures`].
    NotTried,
    /// Its text is not that of a secret.
    Malformed(MalformedSecret),
}

/// Why a request is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// There is no well-formed secret.
    NoSecret,
    /// There is no signature header of either format.
    NotSigned {
        /// The format of the sender, when its other headers show it.
        format: Option<Format>,
    },
    /// There are signature headers of both formats. A choice between them would be a guess.
    TwoFormats,
    /// A header that must come with the signature is missing.
    MissingHeader {
        /// Its name.
        header: &'static str,
    },
    /// A header that must come once comes several times.
    RepeatedHeader {
        /// Its name.
        header: &'static str,
    },
    /// A header cannot be read.
    MalformedHeader {
        /// Its name.
        header: &'static str,
        /// Where in its value, in bytes from 1.
        at: usize,
        /// What is wrong, or what it should be.
        problem: &'static str,
    },
    /// The signatures are all of schemes other than `v1`.
    UnknownScheme {
        /// The schemes, each once, in the order of the header.
        schemes: Vec<String>,
    },
    /// The attempt was made longer ago than is tolerated: it may be a replay.
    TooOld {
        /// How long ago.
        age: Duration,
        /// How long is tolerated.
        tolerance: Duration,
    },
    /// The attempt's time is further in the future than is tolerated: one of the two clocks is
    /// wrong.
    TooNew {
        /// How far ahead.
        ahead: Duration,
        /// How far is tolerated.
        tolerance: Duration,
    },
    /// None of the secrets made any of the signatures. Either the body (or other signed data) was
    /// altered or the secrets are wrong; an HMAC (RFC 2104) cannot tell which.
    NoMatch {
        /// Mistakes that explain it.
        hints: Vec<Hint>,
    },
}

/// A mistake that explains why no signature matched. It is certain: with the mistake undone a
/// signature matches, or the request itself shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The body is not the one that was sent.
    Body {
        /// The number, from 1, of the secret that verifies the body that was sent.
        secret: usize,
        /// The changes that restore the body that was sent, in order.
        changes: Vec<BodyChange>,
    },
    /// There is no body, which every delivery of both formats has.
    Empty,
    /// The body is a JavaScript object converted to a string: `[object Object]`.
    ObjectText,
    /// The body is not as long as the request's headers say.
    Length {
        /// The length in bytes by `Content-Length`.
        stated: u64,
        /// The length of the body in bytes.
        found: u64,
    },
    /// The sender signs in another way than its headers indicate.
    Signed {
        /// The number, from 1, of the secret that it signs with.
        secret: usize,
        /// How it makes the key from the secret.
        key: Key,
        /// What it signs.
        bytes: SignedBytes,
    },
}

impl Hint {
    /// Returns whether a signature matches with the mistake undone, which proves that the secrets
    /// are right.
    fn is_proven(&self) -> bool {
        matches!(self, Self::Body { .. } | Self::Signed { .. })
    }
}

/// A change that restores the body that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyChange {
    /// Leaving out the line end at its end.
    WithoutFinalNewline,
    /// Adding a line end (LF) to it.
    WithFinalNewline,
    /// CRLF for every LF.
    CrlfForLf,
    /// LF for every CRLF.
    LfForCrlf,
    /// Leaving out the byte order mark at its start.
    WithoutByteOrderMark,
    /// Writing it as UTF-8, for UTF-16.
    Utf16,
    /// Turning each character back into a byte: the body was read as ISO 8859-1 or Windows-1252 and
    /// written as UTF-8.
    ReadAsLatin1,
    /// Writing it as UTF-8, for ISO 8859-1.
    WrittenAsLatin1,
    /// Taking it out of a JSON string.
    JsonString,
    /// Taking it out of a Python bytes or string literal.
    PythonLiteral,
    /// Turning the list of numbers, as Node.js writes a buffer, back into bytes.
    NodeBuffer,
    /// Decoding its base64.
    Base64,
    /// Decoding its percent-encoding.
    PercentEncoded,
    /// Writing its JSON in another way.
    Json(Rewrite),
}

/// How a body whose JSON was parsed and written again differs from the one that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The writer that writes JSON in the way of the body that came, if it is known.
    pub writer: Option<JsonWriter>,
    /// What differs; never empty.
    pub differences: Vec<Difference>,
}

/// A way of writing JSON, named after a writer that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonWriter {
    /// JavaScript's `JSON.stringify`, and many others: no space, and only the escapes that JSON
    /// requires.
    Compact,
    /// The same, with escapes for all that is not ASCII.
    CompactAscii,
    /// `JSON.stringify` or Python's `json.dumps` with an indent, and many others.
    Indented,
    /// Python's `json.dumps`: a space after each comma and colon, and escapes for all that is not
    /// ASCII.
    Python,
    /// Python's `json.dumps` with `ensure_ascii=False`.
    PythonUnicode,
    /// PHP's `json_encode`: escapes for `/` and all that is not ASCII.
    Php,
    /// Go's `encoding/json`: escapes for `<`, `>` and `&`.
    Go,
    /// .NET's `System.Text.Json`: escapes for all that has a meaning in HTML.
    DotNet,
}

/// What differs between two ways of writing one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The space between its tokens.
    Space,
    /// The characters that are escaped, or how.
    Escapes,
    /// The form of numbers: `1` for `1.0`.
    Numbers,
    /// The order of names.
    Order,
}

/// How a key is made from a secret's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The base64-decoded part after `whsec_`: Standard Webhooks.
    Decoded,
    /// The whole text: Verbex v1.
    WholeText,
    /// The text after `whsec_`, not decoded: a common mistake.
    Undecoded,
}

/// Which bytes are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBytes {
    /// `id.timestamp.body`: Standard Webhooks.
    IdTimestampBody,
    /// `timestamp.body`: Verbex v1.
    TimestampBody,
    /// The body alone.
    Body,
}

/// Returns `bytes` as text for a terminal or a log. Each byte that is not visible ASCII is shown as
/// `?`, and what exceeds `limit` characters is left out.
#[must_use]
pub fn printable(bytes: &[u8], limit: usize) -> String {
    let visible = |byte: &u8| {
        if byte.is_ascii_graphic() || *byte == b' ' {
            char::from(*byte)
        } else {
            '?'
        }
    };
    let mut text: String = bytes.iter().take(limit).map(visible).collect();
    if bytes.len() > limit {
        text.push('…');
    }
    text
}

/// Returns the name of a format for people.
#[must_use]
pub const fn format_name(format: Format) -> &'static str {
    match format {
        Format::StandardWebhooks => "Standard Webhooks",
        Format::Verbex => "Verbex v1",
    }
}

/// Formats a time span for people, in its two largest units.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (large, small) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => ((seconds / 60, "min"), (seconds % 60, "s")),
        3600..86_400 => ((seconds / 3600, "h"), (seconds % 3600 / 60, "min")),
        _ => ((seconds / 86_400, "d"), (seconds % 86_400 / 3600, "h")),
    };
    match small {
        (0, _) => format!("{} {}", large.0, large.1),
        (count, unit) => format!("{} {} {count} {unit}", large.0, large.1),
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSecret => f.write_str("there is no well-formed secret to verify with"),
            Self::NotSigned { format: None } => f.write_str(
                "there is no signature header: neither webhook-signature nor X-Webhook-Signature",
            ),
            Self::NotSigned {
                format: Some(format),
            } => write!(
                f,
                "there is no signature header, though this is a delivery of {}: signing is off for \
                 its subscription, or something on the way dropped the header",
                format_name(*format)
            ),
            Self::TwoFormats => f.write_str(
                "there are headers of both formats, webhook-signature and X-Webhook-Signature: a \
                 delivery has one of them",
            ),
            Self::MissingHeader { header } => write!(f, "the header {header} is missing"),
            Self::RepeatedHeader { header } => {
                write!(f, "the header {header} comes more than once")
            }
            Self::MalformedHeader {
                header,
                at,
                problem,
            } => write!(
                f,
                "the header {header} is malformed at character {at}: {problem}"
            ),
            Self::UnknownScheme { schemes } => write!(
                f,
                "no signature has the scheme v1, the only one known here; the schemes are {}",
                schemes.join(", ")
            ),
            Self::TooOld { age, tolerance } => write!(
                f,
                "it is too old: it was sent {} ago, and {} are tolerated; it may be a replay or a \
                 saved request",
                span(*age),
                span(*tolerance)
            ),
            Self::TooNew { ahead, tolerance } => write!(
                f,
                "its {WEBHOOK_TIMESTAMP} or t= is {} in the future, and {} are tolerated: one of the \
                 two clocks is wrong",
                span(*ahead),
                span(*tolerance)
            ),
            Self::NoMatch { hints } if hints.iter().any(Hint::is_proven) => {
                f.write_str("none of these secrets made a signature for this request as it is")
            }
            Self::NoMatch { .. } => f.write_str(
                "none of these secrets made a signature for this request: either the request was \
                 altered or these are not the endpoint's secrets; a signature cannot tell which",
            ),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body { secret, changes } => {
                let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "with secret {secret} it verifies {}: verify the bytes as they came, before anything \
                     parses, decodes or saves them as text",
                    changes.join(" and ")
                )
            }
            Self::Empty => f.write_str(
                "the body is empty, but the body of a delivery never is: something read it before, \
                 or it was not saved",
            ),
            Self::ObjectText => f.write_str(
                "the body is a JavaScript object converted to a string: keep the bytes as they came, \
                 before anything parses them",
            ),
            Self::Length { stated, found } => write!(
                f,
                "this is not the body that came: it has {found} bytes, but Content-Length is {stated}"
            ),
            Self::Signed { secret, key, bytes } => write!(
                f,
                "secret {secret} is right, but the sender signs {bytes} and takes {key} as the key"
            ),
        }
    }
}

impl fmt::Display for BodyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WithoutFinalNewline => "without the line end at the end of the body",
            Self::WithFinalNewline => "with a line end added to the body",
            Self::CrlfForLf => "with CRLF in place of each LF of the body",
            Self::LfForCrlf => "with LF in place of each CRLF of the body",
            Self::WithoutByteOrderMark => "without the byte order mark before the body",
            Self::Utf16 => "with the body, which is in UTF-16, converted to UTF-8",
            Self::ReadAsLatin1 => {
                "with the UTF-8 of the body as it was before it was read as ISO 8859-1 or Windows-1252"
            }
            Self::WrittenAsLatin1 => "with the body, which is in ISO 8859-1, converted to UTF-8",
            Self::JsonString => "with the body taken out of a JSON string",
            Self::PythonLiteral => "with the body taken out of a Python literal",
            Self::NodeBuffer => {
                "with the body taken out of the JSON of a Node.js Buffer"
            }
            Self::Base64 => "with the base64 of the body decoded",
            Self::PercentEncoded => "with the percent-encoding of the body decoded",
            Self::Json(rewrite) => return rewrite.fmt(f),
        })
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .differences
            .iter()
            .map(|difference| match difference {
                Difference::Space => "space",
                Difference::Escapes => "escapes",
                Difference::Numbers => "forms of numbers",
                Difference::Order => "order of names",
            })
            .collect();
        let names = match names.as_slice() {
            [others @ .., last] if !others.is_empty() => {
                format!("{} and {last}", others.join(", "))
            }
            names => names.concat(),
        };
        write!(
            f,
            "with the JSON of the body written as it was sent, with other {names}"
        )?;
        match self.writer {
            Some(writer) => write!(f, " (this is how {writer})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for JsonWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compact => "JSON.stringify and other compact writers write it",
            Self::CompactAscii => "compact writers that escape all but ASCII write it",
            Self::Indented => "JSON.stringify or json.dumps writes it with an indent",
            Self::Python => "Python's json.dumps writes it",
            Self::PythonUnicode => "Python's json.dumps writes it with ensure_ascii=False",
            Self::Php => "PHP's json_encode writes it",
            Self::Go => "Go's encoding/json writes it",
            Self::DotNet => ".NET's System.Text.Json writes it",
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decoded => "the decoded part after whsec_ (as Standard Webhooks does)",
            Self::WholeText => "the whole text of the secret (as Verbex v1 does)",
            Self::Undecoded => "the text after whsec_ without decoding it",
        })
    }
}

impl fmt::Display for SignedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdTimestampBody => "`id.timestamp.body` (as Standard Webhooks does)",
            Self::TimestampBody => "`timestamp.body` (as Verbex v1 does)",
            Self::Body => "the body alone",
        })
    }
}
