//! What a verification found, for programs as values and for people as sentences.
//!
//! No sentence holds a secret, a whole signature or an unescaped byte of the request.

use std::fmt;
use std::time::Duration;

use super::names::WEBHOOK_TIMESTAMP;
use super::secret::MalformedSecret;
use crate::domain::format::Format;
use crate::domain::secret::Fingerprint;

/// The outcome of one verification, with all that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The format that the headers are of; `None` when they are of none, or of both.
    pub format: Option<Format>,
    /// The event: `webhook-id` of Standard Webhooks, `X-Webhook-Traceid` of Verbex v1. At most 64
    /// printable ASCII characters, whatever was sent. In Verbex v1 it is not signed.
    pub id: Option<String>,
    /// The Unix second of the attempt, as the sender says.
    pub timestamp: Option<i64>,
    /// Seconds from then to now; negative when it lies ahead.
    pub age: Option<i64>,
    /// The signatures, in the order of the header.
    pub signatures: Vec<SignatureReport>,
    /// The secrets, in the order given.
    pub secrets: Vec<SecretReport>,
    /// Why the request is not verified, the first cause first. Empty when it is.
    pub failures: Vec<Rejection>,
}

impl Report {
    /// Whether the request is genuine and recent: signed with one of the secrets, and no failure.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.failures.is_empty()
    }

    /// The numbers, from 1, of the secrets that made one of the signatures. A request that is not
    /// verified may have some: one that is genuine but old, for example.
    pub fn matching_secrets(&self) -> impl Iterator<Item = usize> {
        let matched = |secret: &SecretReport| matches!(secret.outcome, SecretOutcome::Matched(_));
        (1..)
            .zip(&self.secrets)
            .filter_map(move |(number, secret)| matched(secret).then_some(number))
    }
}

/// What became of one signature of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureReport {
    /// It was made with these secrets, by number from 1: one, unless a secret was given twice.
    Matched(Vec<usize>),
    /// It is sound but was made with none of the secrets, or for another request.
    NotMatched,
    /// There was nothing to compare it with: see [`Report::failures`].
    NotTried,
    /// It is of another scheme, such as `v1a` (ed25519 in Standard Webhooks) or `v0`.
    OtherScheme(String),
    /// It cannot be read, for this reason.
    Malformed(&'static str),
}

/// What became of one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretReport {
    /// The public name of the secret.
    pub fingerprint: Fingerprint,
    /// What it was good for.
    pub outcome: SecretOutcome,
}

/// See [`SecretReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOutcome {
    /// It made these signatures, by number from 1.
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
    /// No secret was given, or none that is well-formed.
    NoSecret,
    /// No signature header of either format.
    NotSigned {
        /// The format of the sender, where its other headers tell it.
        format: Option<Format>,
    },
    /// Signature headers of both formats: which one to believe would be a guess.
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
        /// What it should be like.
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
    /// The attempt lies further ahead than is tolerated: one of the two clocks is wrong.
    TooNew {
        /// How far ahead.
        ahead: Duration,
        /// How far is tolerated.
        tolerance: Duration,
    },
    /// No signature is by any of the secrets. Either the body (or what else is signed) was altered
    /// or the secrets are wrong: an HMAC cannot tell which (RFC 2104 compares, and no more).
    NoMatch {
        /// Mistakes that would explain it.
        hints: Vec<Hint>,
    },
}

/// A mistake that explains why no signature matched, known to be one: with it undone a signature
/// does, or what came shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The body is not the one that was sent.
    Body {
        /// The number, from 1, of the secret that verifies the body that was sent.
        secret: usize,
        /// What gives back the body that was sent, one after the other.
        changes: Vec<BodyChange>,
    },
    /// There is no body, which no delivery of either format is without.
    Empty,
    /// The body is what JavaScript makes of an object when a text is asked for: `[object Object]`.
    ObjectText,
    /// The body is not as long as the request's headers say.
    Length {
        /// Bytes by `Content-Length`.
        stated: u64,
        /// Bytes of the body.
        found: u64,
    },
    /// The sender signs in another way than its headers promise.
    Signed {
        /// The number, from 1, of the secret that it signs with.
        secret: usize,
        /// How it makes a key of the secret.
        key: Key,
        /// What it signs.
        bytes: SignedBytes,
    },
}

impl Hint {
    /// Whether a signature matches once the mistake is undone, so that the secrets are known to be
    /// right.
    fn is_proven(&self) -> bool {
        matches!(self, Self::Body { .. } | Self::Signed { .. })
    }
}

/// What gives back the body that was signed.
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
    /// Reading each byte as a character (ISO 8859-1 or Windows-1252): it was read so, and written
    /// as UTF-8.
    ReadAsLatin1,
    /// Writing it as UTF-8, for ISO 8859-1.
    WrittenAsLatin1,
    /// Taking it out of a JSON string.
    JsonString,
    /// Taking it out of a bytes or string literal of Python.
    PythonLiteral,
    /// Making bytes of the list of numbers that Node.js makes of a buffer.
    NodeBuffer,
    /// Decoding its base64.
    Base64,
    /// Decoding its percent-encoding.
    PercentEncoded,
    /// Writing its JSON in another way.
    Json(Rewrite),
}

/// How a body whose JSON was parsed and written again differs from what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Who writes JSON as the body that came is written, if that is known.
    pub writer: Option<JsonWriter>,
    /// What differs. Not empty.
    pub differences: Vec<Difference>,
}

/// A way of writing JSON, by who is known for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonWriter {
    /// JavaScript's `JSON.stringify`, and many others: no space, and no escapes but those that must
    /// be.
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
    /// .NET's `System.Text.Json`: escapes for all that means something in HTML.
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

/// How a key is made of a secret's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The base64-decoded part after `whsec_`: Standard Webhooks.
    Decoded,
    /// The whole text: Verbex v1.
    WholeText,
    /// The text after `whsec_`, not decoded: nobody's rule, but a common mistake.
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

/// `bytes` as text for a terminal or a log: what is not visible ASCII is shown as `?`, and what
/// exceeds `limit` characters is left out.
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

/// The name of a format, for people.
#[must_use]
pub const fn format_name(format: Format) -> &'static str {
    match format {
        Format::StandardWebhooks => "Standard Webhooks",
        Format::Verbex => "Verbex v1",
    }
}

/// A time span for people: the two largest units that it has.
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
                "there are webhook-signature and X-Webhook-Signature: one delivery has one format",
            ),
            Self::MissingHeader { header } => write!(f, "the header {header} is missing"),
            Self::RepeatedHeader { header } => {
                write!(f, "the header {header} comes more than once")
            }
            Self::MalformedHeader {
                header,
                at,
                problem,
            } => write!(f, "the header {header} is malformed at character {at}: {problem}"),
            Self::UnknownScheme { schemes } => write!(
                f,
                "no signature is of scheme v1, the only one known here; there is {}",
                schemes.join(", ")
            ),
            Self::TooOld { age, tolerance } => write!(
                f,
                "it is too old: sent {} ago, and {} are tolerated; it may be a replay, or a saved \
                 request",
                span(*age),
                span(*tolerance)
            ),
            Self::TooNew { ahead, tolerance } => write!(
                f,
                "its {WEBHOOK_TIMESTAMP} or t= is {} ahead, and {} are tolerated: one of the two \
                 clocks is wrong",
                span(*ahead),
                span(*tolerance)
            ),
            Self::NoMatch { hints } if hints.iter().any(Hint::is_proven) => f.write_str(
                "no signature was made with one of these secrets for this request as it is",
            ),
            Self::NoMatch { .. } => f.write_str(
                "no signature was made with one of these secrets for this request: either the \
                 request was altered or the secrets are not the endpoint's; a signature cannot tell \
                 which",
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
                    "with secret {secret} it verifies {}: verify the bytes that came, before \
                     anything parses, decodes or saves them as text",
                    changes.join(" and ")
                )
            }
            Self::Empty => f.write_str(
                "the body is empty, and that of a delivery never is: something has read it before, \
                 or it was not saved",
            ),
            Self::ObjectText => f.write_str(
                "the body is what JavaScript makes of a parsed object: keep the bytes that came, \
                 before anything parses them",
            ),
            Self::Length { stated, found } => write!(
                f,
                "this is not the body that came: it has {found} bytes, and its Content-Length is \
                 {stated}"
            ),
            Self::Signed { secret, key, bytes } => write!(
                f,
                "secret {secret} is the sender's, which signs {bytes} and takes {key} as the key"
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
            Self::Utf16 => "with the body as UTF-8, which is UTF-16 here",
            Self::ReadAsLatin1 => {
                "with the body's UTF-8 as it was before it was read as ISO 8859-1 or Windows-1252"
            }
            Self::WrittenAsLatin1 => "with the body as UTF-8, which is ISO 8859-1 here",
            Self::JsonString => "with the body taken out of the JSON string that it is in",
            Self::PythonLiteral => "with the body taken out of the Python literal that it is in",
            Self::NodeBuffer => {
                "with the bytes of the Buffer of Node.js that the body is written as"
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
            "with the JSON of the body as it was sent, with other {names}"
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
            Self::CompactAscii => "compact writers write it that escape what is not ASCII",
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
            Self::WholeText => "the secret's whole text (as Verbex v1 does)",
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
