//! Describes failed attempts in short texts.
//!
//! The texts are shown to the owner of the endpoint and stored with the delivery. So they are
//! fixed: no part of them comes from the URL, a header, or the response.

use std::error::Error;
use std::io;

use hyper_util::client::legacy;
use rustix::io::Errno;
use rustls::{CertificateError, Error as TlsError};

use super::dialer::DialError;
use super::stream::StreamError;

/// Returns the text for a request that got no response.
///
/// The text describes the deepest cause that has a text.
pub(super) fn describe(failure: &legacy::Error) -> Box<str> {
    let mut text = "request failed";
    let mut next: Option<&(dyn Error + 'static)> = failure.source();
    while let Some(error) = next {
        next = error.source();
        if let Some(dial) = error.downcast_ref::<DialError>() {
            if !matches!(dial, DialError::Io(_)) {
                return dial.to_string().into();
            }
            text = "connection failed";
        } else if let Some(stream) = error.downcast_ref::<StreamError>() {
            return stream.to_string().into();
        } else if let Some(tls) = error.downcast_ref::<TlsError>() {
            text = of_tls(tls);
        } else if let Some(http) = error.downcast_ref::<hyper::Error>() {
            text = of_http(http).unwrap_or(text);
        } else if let Some(io) = error.downcast_ref::<io::Error>() {
            text = of_io(io.kind(), failure.is_connect()).unwrap_or(text);
            // `io::Error::source` returns the source of the inner error and skips the inner error
            // itself.
            if let Some(inner) = io.get_ref() {
                next = Some(inner);
            }
        }
    }
    text.into()
}

/// Whether the request was not sent because this machine has no file descriptor, buffer or memory
/// for it.
pub(super) fn is_own_fault(failure: &legacy::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = failure.source();
    while let Some(error) = next {
        next = error.source();
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let code = io.raw_os_error().map(Errno::from_raw_os_error);
            if let Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) = code {
                return true;
            }
            if let Some(inner) = io.get_ref() {
                next = Some(inner);
            }
        }
    }
    false
}

/// Whether the connection ended before the first byte of a response arrived.
pub(super) fn is_cut_off(failure: &legacy::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = failure.source();
    while let Some(error) = next {
        next = error.source();
        if let Some(http) = error.downcast_ref::<hyper::Error>() {
            if http.is_parse() {
                return false;
            }
            if http.is_incomplete_message() || http.is_closed() || http.is_canceled() {
                return true;
            }
        } else if let Some(io) = error.downcast_ref::<io::Error>() {
            return is_end(io.kind());
        }
    }
    false
}

/// Whether the connection was too old for a new request.
pub(super) fn is_retired(failure: &legacy::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = failure.source();
    while let Some(error) = next {
        next = error.source();
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let inner = io.get_ref().and_then(|inner| inner.downcast_ref());
            return matches!(inner, Some(StreamError::Retired));
        }
    }
    false
}

fn is_end(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}

fn of_io(kind: io::ErrorKind, connecting: bool) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        io::ErrorKind::TimedOut => "connection timed out",
        // Before the connection is established, only a handshake reads.
        io::ErrorKind::UnexpectedEof if connecting => "tls: connection closed in the handshake",
        kind if is_end(kind) => "connection closed before an answer",
        _ => return None,
    })
}

fn of_http(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse_too_large() {
        Some("response head too large")
    } else if error.is_parse() {
        Some("malformed response")
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Some("connection closed before an answer")
    } else {
        None
    }
}

fn of_tls(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => "tls: certificate not trusted",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "tls: certificate expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "tls: certificate not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "tls: certificate for another name"
            }
            CertificateError::Revoked => "tls: certificate revoked",
            _ => "tls: invalid certificate",
        },
        TlsError::NoCertificatesPresented => "tls: no certificate",
        TlsError::AlertReceived(_) => "tls: refused by the receiver",
        TlsError::PeerIncompatible(_) => "tls: no common version or cipher",
        TlsError::InvalidMessage(_) => "tls: malformed message",
        _ => "tls: failed",
    }
}
