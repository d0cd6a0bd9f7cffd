//! `Host`: an accepted value is a host, perhaps with a port, and nothing else.

#![no_main]

use hookturn::api::host::check;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Uri, Version};

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    let Ok(host) = HeaderValue::from_bytes(value) else {
        return;
    };
    let headers = HeaderMap::from_iter([(HOST, host)]);
    let uri = Uri::from_static("/");
    let checked = check(Version::HTTP_11, &uri, &headers);
    // The result is the same in all versions of HTTP when the URI has no authority.
    assert_eq!(check(Version::HTTP_10, &uri, &headers), checked);
    assert_eq!(check(Version::HTTP_2, &uri, &headers), checked);
    if checked.is_ok() {
        let host = std::str::from_utf8(value).expect("ASCII");
        assert!(host.is_ascii() && !host.contains(['/', '?', '#', '@', '\\', ' ', '"', '<', '>']));
        let port = host
            .rsplit_once(':')
            .filter(|(host, _)| !host.ends_with(':'));
        if !host.contains('[')
            && let Some((name, port)) = port
        {
            assert!(!name.contains(':') && (port.is_empty() || port.parse::<u16>().is_ok()));
        }
    }
});
