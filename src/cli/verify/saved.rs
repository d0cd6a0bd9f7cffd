//! Parses a request that was saved in a file: its headers, and its body if it follows them.

/// The content of a file of headers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Saved<'a> {
    /// Names and values, in the order of the file.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// What follows the blank line after the headers, byte for byte; `None` when nothing follows.
    pub body: Option<&'a [u8]>,
}

/// Parses `Name: value` lines that end with LF or CRLF.
///
/// It skips a request or status line before them, and a whole head without headers, such as the
/// `HTTP/1.1 100 Continue` that `curl -i` prints.
///
/// # Errors
///
/// The number of the line that is not a header. The line is not shown, since it may hold a
/// credential.
pub(super) fn parse(file: &[u8]) -> Result<Saved<'_>, String> {
    let mut headers = Vec::new();
    let mut rest = file;
    let mut first_of_head = true;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let line = next_line(&mut rest);
        if line.is_empty() {
            if headers.is_empty() {
                first_of_head = true;
                continue;
            }
            let body = Some(rest).filter(|rest| !rest.is_empty());
            return Ok(Saved { headers, body });
        }
        if first_of_head && is_start_line(line) {
            first_of_head = false;
            continue;
        }
        first_of_head = false;
        let header = header(line)
            .ok_or_else(|| format!("line {number} is not a header; write Name: value"))?;
        headers.push(header);
    }
    if headers.is_empty() {
        return Err(
            "there is no header in it; write one line Name: value for each header".to_owned(),
        );
    }
    Ok(Saved {
        headers,
        body: None,
    })
}

fn next_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| *byte == b'\n');
    let (line, after) = match end {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (*rest, &rest[rest.len()..]),
    };
    *rest = after;
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns whether a line is like `POST /hook HTTP/1.1` or `HTTP/2 200`.
fn is_start_line(line: &[u8]) -> bool {
    let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    line.starts_with(b"HTTP/") || (last.len() < line.len() && last.starts_with(b"HTTP/"))
}

fn header(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = str::from_utf8(&line[..colon]).ok()?;
    // The name must be a token (RFC 9110, section 5.6.2), so that JSON or prose is not taken for
    // headers.
    let token = |byte| b"!#$%&'*+-.^_`|~".contains(&byte) || byte.is_ascii_alphanumeric();
    let sound = !name.is_empty() && name.bytes().all(token);
    sound.then(|| (name, line[colon + 1..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_of_every_origin_are_read() {
        let expected: Vec<(&str, &[u8])> = vec![("webhook-id", b"evt_1"), ("X-Time", b"12:30")];
        for (file, body) in [
            ("webhook-id: evt_1\nX-Time: 12:30", None),
            ("webhook-id:evt_1\r\nX-Time:\t12:30 \r\n\r\n", None),
            ("\n\nwebhook-id: evt_1\nX-Time: 12:30\n\n{}\n", Some("{}\n")),
            (
                "POST /a:b HTTP/1.1\r\nwebhook-id: evt_1\r\nX-Time: 12:30\r\n\r\n{}",
                Some("{}"),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/2 200\r\nwebhook-id: evt_1\r\nX-Time: 12:30\r\n\r\n\r\n",
                Some("\r\n"),
            ),
        ] {
            let saved = parse(file.as_bytes()).expect(file);
            assert_eq!(saved.headers, expected, "{file:?}");
            assert_eq!(saved.body, body.map(str::as_bytes), "{file:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_told_by_its_line_and_not_shown() {
        for (file, expected) in [
            ("", "no header in it"),
            ("HTTP/1.1 200 OK\n\n", "no header in it"),
            ("a: b\nSECRET\n", "line 2"),
            ("a: b\n SECRET: folded", "line 2"),
            ("{\"a\": \"SECRET\"}", "line 1"),
            (": SECRET", "line 1"),
        ] {
            let problem = parse(file.as_bytes()).expect_err(file);
            assert!(problem.contains(expected), "{file:?}: {problem}");
            assert!(!problem.contains("SECRET"), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(file in "(HTTP/1.1|[a-z]|:|\r|\n| |\\PC){0,60}", junk in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(file.as_bytes());
            let _ = parse(&junk);
        }
    }
}
