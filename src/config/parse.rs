//! Parses the text of each setting. An `Err` says what is wrong and how to fix it, without the
//! setting's name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::Url;
use zeroize::Zeroizing;

use super::store_url::StoreUrl;
use crate::store::at_rest::{MasterKey, MasterKeys, UnfitKeys};
use crate::telemetry::LogFormat;

/// The upper bound of `rate_limit` and of `max_connections`.
const MOST: u32 = 1_000_000;

/// Checks that the text is `HOST:PORT`, where the host may be a name.
pub(crate) fn listen(text: String) -> Result<String, String> {
    let sound = text.parse::<SocketAddr>().is_ok()
        || text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains([':', '/', '@']) && port.parse::<u16>().is_ok()
        });
    if sound {
        Ok(text)
    } else {
        Err("write HOST:PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080".to_owned())
    }
}

pub(super) fn store(text: &str) -> Result<StoreUrl, String> {
    if text == "memory:" {
        return Ok(StoreUrl::Memory);
    }
    if let Some(path) = text.strip_prefix("sqlite:") {
        return sqlite_path(path).map(|path| StoreUrl::Sqlite { path });
    }
    // Only the scheme is shown, since the rest of a store's URL may hold a password.
    let scheme = text
        .split_once(':')
        .map(|(scheme, _)| scheme)
        .filter(|scheme| {
            scheme.len() <= 16
                && !scheme.is_empty()
                && scheme.bytes().all(|byte| byte.is_ascii_lowercase())
        });
    Err(match scheme {
        Some("memory") => {
            "the store `memory:` takes nothing after the colon; use memory:".to_owned()
        }
        Some(scheme) => {
            format!(
                "the store `{scheme}:` is not supported by this version; use memory: or sqlite:PATH"
            )
        }
        None => {
            "the store URL is not supported by this version; use memory: or sqlite:PATH".to_owned()
        }
    })
}

/// Takes the whole text as the path. Texts that other programs read differently are refused, so
/// that no file appears in an unexpected place.
fn sqlite_path(text: &str) -> Result<PathBuf, String> {
    Err(match text {
        "" => "the store `sqlite:` needs the path of a file, such as sqlite:hookturn.db",
        _ if text.starts_with(':') => {
            "the store `sqlite:` keeps its records in a file; use memory: to keep them in memory"
        }
        _ if text.starts_with("//") => {
            "the store `sqlite:` has no host, and everything after the colon is the path; write a \
             path such as sqlite:/var/lib/hookturn/hookturn.db"
        }
        _ if text.starts_with("file:") => {
            "the store `sqlite:` takes a path, not a URL; write a path such as \
             sqlite:/var/lib/hookturn/hookturn.db"
        }
        _ => return Ok(text.into()),
    }
    .to_owned())
}

pub(super) fn rate_limit(text: &str) -> Result<Option<NonZeroU32>, String> {
    if text == "off" {
        return Ok(None);
    }
    match text.parse::<NonZeroU32>() {
        Ok(limit) if limit.get() <= MOST => Ok(Some(limit)),
        _ => Err(format!(
            "write a whole number of requests per second, 1 to {MOST}, or off"
        )),
    }
}

pub(super) fn max_connections(text: &str) -> Result<usize, String> {
    match text.parse::<u32>() {
        Ok(count @ 1..=MOST) => usize::try_from(count).map_err(|error| error.to_string()),
        _ => Err(format!("write a whole number of connections, 1 to {MOST}")),
    }
}

pub(super) fn days(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(days @ 1..=365) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        _ => Err("write a whole number of days, 1 to 365".to_owned()),
    }
}

/// Parses an absolute `http` or `https` URL without user information, query and fragment. Trailing
/// slashes are removed.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("{error}; write a URL such as https://hooks.example.com"))?;
    let fault = if !matches!(url.scheme(), "http" | "https") {
        "the scheme must be http or https"
    } else if !url.username().is_empty() || url.password().is_some() {
        "it must have no user information"
    } else if url.query().is_some() || url.fragment().is_some() {
        "it must have no query and no fragment"
    } else {
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    };
    Err(format!(
        "{fault}; write a URL such as https://hooks.example.com"
    ))
}

/// Returns the URL by which this machine reaches a server that is bound to `address`, without a
/// trailing slash. For an unspecified address (`0.0.0.0`, `[::]`) that is the loopback address.
#[must_use]
pub fn local_url(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    if let SocketAddr::V6(address) = &mut address {
        // A URL has no zone (RFC 3986).
        address.set_scope_id(0);
    }
    format!("http://{address}")
}

pub(super) fn log(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(text).map_err(|_| {
        "it is not a filter; write a level (error, warn, info, debug, trace) or a list such as \
             info,hookturn=debug"
            .to_owned()
    })
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("write text or json".to_owned()),
    }
}

/// Parses the variable of a flag that takes no value.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "" | "0" | "false" => Ok(false),
        _ => Err("write true, false, 1 or 0".to_owned()),
    }
}

/// Parses master keys, each `ID:BASE64` as [`MasterKey::parse`] takes it. Returns `None` when there
/// is none.
pub(super) fn master_keys(texts: &[Zeroizing<String>]) -> Result<Option<MasterKeys>, String> {
    let keys = texts
        .iter()
        .filter(|text| !text.is_empty())
        .flat_map(|text| text.split(','))
        .enumerate()
        .map(|(index, entry)| {
            MasterKey::parse(entry.trim())
                .map_err(|problem| format!("entry {}: {problem}", index + 1))
        })
        .collect::<Result<Vec<_>, _>>()?;
    match MasterKeys::new(keys) {
        Ok(keys) => Ok(Some(keys)),
        Err(UnfitKeys::None) => Ok(None),
        Err(unfit) => Err(unfit.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in [
            "127.0.0.1:8080",
            "0.0.0.0:0",
            "[::1]:80",
            "localhost:8080",
            "node-1.internal:1",
        ] {
            assert!(listen(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "8080",
            ":8080",
            "localhost",
            "localhost:",
            "localhost:65536",
            "::1:80",
            "http://localhost:80",
            "a:b:1",
        ] {
            assert!(listen(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn stores_are_known_by_their_scheme_and_no_password_is_shown() {
        assert_eq!(store("memory:"), Ok(StoreUrl::Memory));
        for path in [
            "hookturn.db",
            "/var/lib/hookturn/hookturn.db",
            "../a b?mode=ro#c%20",
            "/",
        ] {
            let parsed = store(&format!("sqlite:{path}"));
            assert_eq!(parsed, Ok(StoreUrl::Sqlite { path: path.into() }));
        }
        for (bad, shown) in [
            ("sqlite:", "needs the path of a file"),
            ("sqlite::memory:", "use memory:"),
            (
                "sqlite://PASSWORD/hookturn.db",
                "write a path such as sqlite:/var/lib",
            ),
            (
                "sqlite:///hookturn.db",
                "write a path such as sqlite:/var/lib",
            ),
            (
                "sqlite:file:hookturn.db?key=PASSWORD",
                "write a path such as sqlite:/var/lib",
            ),
            ("SQLITE:hookturn.db", "use memory: or sqlite:PATH"),
            ("postgres://u:PASSWORD@db/x", "`postgres:`"),
            ("memory:PASSWORD", "`memory:`"),
            ("PASSWORD", "use memory: or sqlite:PATH"),
            ("PASSWORD:x", "use memory: or sqlite:PATH"),
        ] {
            let error = store(bad).expect_err(bad);
            assert!(
                error.contains(shown) && !error.contains("PASSWORD"),
                "{error}"
            );
        }
    }

    #[test]
    fn numbers_keep_their_bounds() {
        assert_eq!(rate_limit("off"), Ok(None));
        assert_eq!(rate_limit("1"), Ok(NonZeroU32::new(1)));
        assert_eq!(rate_limit("1000000"), Ok(NonZeroU32::new(1_000_000)));
        assert_eq!(max_connections("1"), Ok(1));
        assert_eq!(max_connections("1000000"), Ok(1_000_000));
        assert_eq!(days("7"), Ok(Duration::from_secs(604_800)));
        assert!(days("0").is_err() && days("366").is_err() && days("7d").is_err());
        for bad in [
            "0",
            "-1",
            "1000001",
            "1.5",
            "ten",
            "OFF",
            " 1",
            "4294967296",
        ] {
            assert!(rate_limit(bad).is_err(), "{bad}");
            assert!(max_connections(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_public_url_is_absolute_and_bare() {
        for (good, kept) in [
            ("https://hooks.example.com", "https://hooks.example.com"),
            ("http://localhost:8080/", "http://localhost:8080"),
            ("https://example.com/hooks/", "https://example.com/hooks"),
            ("HTTPS://Example.COM:443", "https://example.com"),
        ] {
            assert_eq!(public_url(good).as_deref(), Ok(kept));
        }
        for bad in [
            "example.com",
            "/hooks",
            "ftp://example.com",
            "https://user:PASSWORD@example.com",
            "https://example.com/?x=PASSWORD",
            "https://example.com/#PASSWORD",
            "https://",
        ] {
            let error = public_url(bad).expect_err(bad);
            assert!(!error.contains("PASSWORD"), "{error}");
        }
    }

    #[test]
    fn the_url_of_an_unspecified_address_is_loopback() {
        for (address, url) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("0.0.0.0:81", "http://127.0.0.1:81"),
            ("[::]:81", "http://[::1]:81"),
            ("192.0.2.1:1", "http://192.0.2.1:1"),
        ] {
            assert_eq!(local_url(address.parse().expect("an address")), url);
        }
    }

    #[test]
    fn filters_and_switches_are_checked() {
        for good in [
            "info",
            "hookturn=debug,warn",
            "off",
            "info,hookturn::service=trace",
        ] {
            assert!(log(good).is_ok(), "{good}");
        }
        for bad in ["hookturn=loud", "info=debug=warn"] {
            assert!(log(bad).is_err(), "{bad}");
        }
        assert_eq!(switch("TRUE"), Ok(true));
        assert_eq!(switch("1"), Ok(true));
        assert_eq!(switch("false"), Ok(false));
        assert_eq!(switch(""), Ok(false));
        assert!(switch("maybe").is_err());
    }

    #[test]
    fn master_keys_have_an_id_and_32_bytes_and_are_not_shown() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let check = |text: &str| {
            let keys = master_keys(&[Zeroizing::new(text.to_owned())])?;
            let ids = keys.iter().flat_map(MasterKeys::ids);
            Ok::<_, String>(ids.map(str::to_owned).collect::<Vec<_>>())
        };
        for (good, ids) in [
            (String::new(), &[][..]),
            (format!("k1:{key}"), &["k1"]),
            (format!("k2:{key}, k1:{key}="), &["k2", "k1"]),
        ] {
            assert_eq!(check(&good).expect(&good), ids, "{good}");
        }
        for bad in [
            key.to_owned(),
            format!(":{key}"),
            format!("k 1:{key}"),
            format!("k1:{key}AAAA"),
            format!("k1:{}", &key[..40]),
            format!("k1:{key},k1:{key}"),
            format!("k1:{key},"),
            format!("{key}:k1"),
        ] {
            let error = check(&bad).expect_err(&bad);
            assert!(error.starts_with("entry "), "{error}");
            assert!(!error.contains(&key[..8]), "{error}");
        }
    }
}
