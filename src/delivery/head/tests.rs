use proptest::prelude::*;

use super::*;

/// Returns what hyper reads for this head.
fn rendered(head: &str) -> String {
    let Parsed::Whole(parsed, len) = parse(head.as_bytes(), 0) else {
        panic!("no whole head: {head:?}");
    };
    assert_eq!(len, head.len(), "{head:?}");
    let mut out = Vec::new();
    parsed.render(&mut out);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn only_what_counts_is_passed_on() {
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 \r\n\r\n"),
        ("HTTP/1.1 200\n\n", "HTTP/1.1 200 \r\n\r\n"),
        ("HTTP/1.1  200\t \r\n\r\n", "HTTP/1.1 200 \r\n\r\n"),
        (
            "HTTP/1.3 200 \u{1}\u{fc}\0\r\n\r\n",
            "HTTP/1.1 200 \r\n\r\n",
        ),
        ("HTTP/1.0 999 x\r\n\r\n", "HTTP/1.0 999 \r\n\r\n"),
        (
            "HTTP/1.1 200 OK\r\nServer: x\r\n folded: close\r\ncontent-LENGTH \t:  5 \r\n\r\n",
            "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n",
        ),
        (
            " HTTP/1.1 200 OK\r\n folded\r\nno colon\r\n: x\r\nX\u{1}: y\r\nY: \0\rz\r\n\r\n"
                .trim_start(),
            "HTTP/1.1 200 \r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7, 07\r\n\r\n",
            "HTTP/1.1 200 \r\nContent-Length: 7\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
            "HTTP/1.1 200 \r\nConnection: close\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip,\r\n\tChunked\r\n\r\n",
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            "HTTP/1.1 200 \r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 \r\nConnection: close\r\n\r\n",
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: x, Keep-Alive\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.0 200 \r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            "HTTP/1.1 503 x\r\nRetry-After:\r\n 12\0\r\nRetry-After: 5\r\n 6\r\n\r\n",
            "HTTP/1.1 503 \r\nRetry-After: 12\r\n\r\n",
        ),
        (
            "HTTP/1.1 408 x\r\nConnection: keep-alive\r\nConnection: CLOSE\r\n\r\n",
            "HTTP/1.1 408 \r\nConnection: close\r\n\r\n",
        ),
    ] {
        assert_eq!(rendered(head), expected, "{head:?}");
    }
}

#[test]
fn lengths_that_are_none_stay_an_error() {
    for lines in [
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 0x1",
        "Content-Length: 1 2",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Content-Length: 1, 2",
        "Content-Length: 1\r\nContent-Length: 2",
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n");
        let expected = "HTTP/1.1 200 \r\nContent-Length: -\r\n\r\n";
        assert_eq!(rendered(&head), expected, "{lines:?}");
    }
}

#[test]
fn what_is_no_answer_is_seen_at_once() {
    for bytes in [
        "S",
        "HTTP/2 200 OK",
        "HTTP/1.x 200\n",
        "HTTP/1.1\n",
        "HTTP/1.1200 OK\n",
        "HTTP/1.1 20 OK\n",
        "HTTP/1.1 2000 OK\n",
        "HTTP/1.1 200OK\n",
        "HTTP/1.1 000 OK\n",
        "HTTP/1.1 -20 OK\n",
    ] {
        assert_eq!(parse(bytes.as_bytes(), 0), Parsed::NotHttp, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn a_head_is_found_however_it_is_cut(
        lines in prop::collection::vec("[ -~\\x01\\t]{1,20}", 0..5),
        ends in prop::collection::vec(any::<bool>(), 7),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut head = "HTTP/1.1 200 OK".to_owned();
        let mut ends = ends.into_iter().map(|long| if long { "\r\n" } else { "\n" });
        for line in lines {
            head += ends.next().unwrap_or("\n");
            head += &line;
        }
        head += ends.next().unwrap_or("\n");
        head += ends.next().unwrap_or("\n");
        let cut = cut.index(head.len());
        prop_assert_eq!(parse(&head.as_bytes()[..cut], 0), Parsed::Partial);
        let rest = head.clone() + "\n\nmore";
        let Parsed::Whole(_, len) = parse(rest.as_bytes(), cut) else {
            panic!("no whole head");
        };
        prop_assert_eq!(len, head.len());
    }

    #[test]
    fn nothing_makes_it_panic_or_write_what_hyper_refuses(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [b"HTTP/1.1 200 OK\r\n", &bytes[..], b"\r\n\r\n"].concat();
        if let Parsed::Whole(head, _) = parse(&bytes, 0) && head.framing != Framing::BadLength {
            let mut out = Vec::new();
            head.render(&mut out);
            let mut headers = [httparse::EMPTY_HEADER; 8];
            let parsed = httparse::Response::new(&mut headers).parse(&out);
            prop_assert_eq!(parsed, Ok(httparse::Status::Complete(out.len())));
        }
    }
}
