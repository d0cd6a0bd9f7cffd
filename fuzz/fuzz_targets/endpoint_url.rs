//! Endpoint URLs: a URL that passes is one to every parser, and all parsers see the same host.

#![no_main]

use hookturn::api::url::{MAX_URL_LENGTH, check};
use http::Uri;
use url::Url;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let strict = check(text, false);
    if check(text, true).is_err() {
        assert!(strict.is_err(), "http may add what passes, not take away");
        return;
    }
    assert!(text.chars().count() <= MAX_URL_LENGTH);
    let url = Url::parse(text).expect("what passes parses");
    match url.scheme() {
        "https" => assert!(strict.is_ok()),
        "http" => assert!(strict.is_err()),
        other => panic!("the scheme is {other}"),
    }
    assert_eq!((url.username(), url.password()), ("", None));
    assert_eq!(url.fragment(), None);

    // A request to it can be sent, with only the characters of RFC 3986.
    let target = hookturn::delivery::target(text).expect("what passes can be sent");
    let target = target.path_and_query().expect("a target").as_str();
    assert!(!target.contains(['"', '<', '>', '[', '\\', ']', '^', '`', '{', '|', '}']));

    // A simple parser, which takes what is between `://` and the first of `/`, `?` and `#`, sees
    // the same host.
    let (scheme, rest) = text.split_once("://").expect("an authority");
    assert!(scheme.eq_ignore_ascii_case(url.scheme()));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let plain = Url::parse(&format!("https://{}/", &rest[..end])).expect("an authority");
    assert_eq!(plain.host(), url.host());
    assert_eq!(plain.username(), "");

    // So does the HTTP library, when it accepts the text.
    if let Ok(uri) = text.parse::<Uri>()
        && let Some(host) = uri.host()
    {
        let by_http = Url::parse(&format!("https://{host}/")).expect("a host");
        assert_eq!(by_http.host(), url.host());
    }
});
