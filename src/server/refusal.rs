//! Adds texts to the responses by which hyper itself refuses a request: its head is not HTTP/1, or
//! is too large.
//!
//! hyper sends a status without a body, before the application sees a request. The
//! [socket](super::socket::Watched) replaces this response with one that has a line of text and a
//! request id.

use crate::random;

/// Returns the response to send instead of `head`, or `None` if `head` is not a refusal of hyper's
/// own. The new response is the same, with a body that says what is wrong and with the request id
/// that is in the log.
///
/// hyper's own refusals have one of these three statuses, and these three header fields and no
/// others. A response of an application has more: with an `X-Request-Id` in each response, it is
/// never mistaken for hyper's own.
pub(super) fn explained(head: &[u8]) -> Option<Vec<u8>> {
    // The first check looks at one byte only, because every response passes here.
    if head.get(9) != Some(&b'4') || !head.starts_with(b"HTTP/1.") {
        return None;
    }
    let head = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next()?;
    let (status, text) = match status_line.get(9..12)? {
        "400" => (
            400,
            "This is not a readable HTTP request: its first line or a header field is malformed.\n",
        ),
        "414" => (414, "The target of the request is too long.\n"),
        "431" => (
            431,
            "The head of the request is too large: it may have 32 KiB and 100 header fields.\n",
        ),
        _ => return None,
    };
    let mut answer = format!("{status_line}\r\n");
    for line in lines {
        match line.split_once(": ")? {
            ("content-length", "0") => {}
            ("connection" | "date", _) => {
                answer.push_str(line);
                answer.push_str("\r\n");
            }
            _ => return None,
        }
    }
    let request_id = random::correlation_id().simple();
    let length = text.len();
    let rest = format!(
        "content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n\
         x-request-id: {request_id}\r\ncontent-length: {length}\r\n\r\n{text}"
    );
    answer.push_str(&rest);
    tracing::info!(status, %request_id, "refused data that is not a valid HTTP request");
    Some(answer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_hypers_own_is_replaced() {
        let own = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
                   content-length: 0\r\ndate: now\r\n\r\n";
        let answer = explained(own.as_bytes()).expect("hyper's own");
        let answer = String::from_utf8(answer).expect("ASCII");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ndate: now\r\n"));
        assert!(head.ends_with(&format!("\r\ncontent-length: {}", body.len())));
        assert!(body.ends_with("malformed.\n"));
        for other in [
            "",
            "HTTP/1.1 4",
            "HTTP/1.1 400 Bad Request\r\n",
            &own.replace("400 Bad Request", "200 OK"),
            &own.replace("400 Bad Request", "404 Not Found"),
            &own.replace("length: 0", "length: 1"),
            &own.replace("date", "x-request-id"),
            &format!("{own}x"),
            &format!("{own}{own}"),
        ] {
            assert_eq!(explained(other.as_bytes()), None, "{other}");
        }
    }
}
