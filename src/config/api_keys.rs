//! The API keys in the settings.

use std::fmt;

use zeroize::Zeroizing;

/// The length of a key in characters.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 8..=256;

/// The text of an API key: 8 to 256 visible ASCII characters without a comma. `Debug` hides it, and
/// it is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// Parses a key.
    ///
    /// # Errors
    ///
    /// What a key must be. The error does not show the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !KEY_LENGTH.contains(&text.len())
            || !text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b',')
        {
            return Err(
                "the key must be 8 to 256 visible ASCII characters without a comma".to_owned(),
            );
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Returns the key's text, to hash it or to show it to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The tenants and their keys. A tenant may have several keys; a key belongs to one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeys(Vec<(String, ApiKey)>);

impl ApiKeys {
    /// Makes a set of one key of one tenant.
    ///
    /// # Errors
    ///
    /// What the tenant's name must be.
    pub fn one(tenant: &str, key: ApiKey) -> Result<Self, String> {
        Ok(Self(vec![(parse_tenant(tenant)?, key)]))
    }

    /// Parses texts, each of which may have several `TENANT=KEY` entries, separated by commas.
    /// Empty texts are ignored, and repeated entries count once.
    ///
    /// # Errors
    ///
    /// The number of the first bad entry and what is wrong with it. The error does not show the
    /// entry, which may hold a key.
    pub(super) fn parse(texts: &[Zeroizing<String>]) -> Result<Self, String> {
        let mut keys: Vec<(String, ApiKey)> = Vec::new();
        let entries = texts
            .iter()
            .filter(|text| !text.is_empty())
            .flat_map(|text| text.split(','));
        for (index, entry) in entries.enumerate() {
            let (tenant, key) =
                parse_entry(entry).map_err(|problem| format!("entry {}: {problem}", index + 1))?;
            match keys.iter().find(|(_, known)| *known == key) {
                None => keys.push((tenant, key)),
                Some((owner, _)) if *owner == tenant => {}
                Some(_) => {
                    return Err(format!(
                        "entry {}: the key belongs to another tenant already; give each tenant its own",
                        index + 1
                    ));
                }
            }
        }
        Ok(Self(keys))
    }

    /// Returns whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns pairs of a tenant and a key, in the order given. A tenant with several keys comes
    /// several times.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &ApiKey)> {
        self.0.iter().map(|(tenant, key)| (tenant.as_str(), key))
    }
}

fn parse_entry(entry: &str) -> Result<(String, ApiKey), String> {
    let (tenant, key) = entry.trim().split_once('=').ok_or("write TENANT=KEY")?;
    Ok((parse_tenant(tenant)?, ApiKey::parse(key)?))
}

fn parse_tenant(tenant: &str) -> Result<String, String> {
    let sound = (1..=64).contains(&tenant.len())
        && tenant
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if sound {
        Ok(tenant.to_owned())
    } else {
        Err("the tenant must be 1 to 64 of A-Z a-z 0-9 _ -; write TENANT=KEY".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Vec<(String, String)>, String> {
        let texts: Vec<_> = texts
            .iter()
            .map(|text| Zeroizing::new((*text).to_owned()))
            .collect();
        let keys = ApiKeys::parse(&texts)?;
        Ok(keys
            .iter()
            .map(|(tenant, key)| (tenant.to_owned(), key.expose().to_owned()))
            .collect())
    }

    fn pair(tenant: &str, key: &str) -> (String, String) {
        (tenant.to_owned(), key.to_owned())
    }

    #[test]
    fn pairs_are_read_from_flags_and_lists_alike() {
        let expected = vec![
            pair("a", "key-one-1"),
            pair("b", "key-two=="),
            pair("a", "key-three"),
        ];
        assert_eq!(
            parse(&["a=key-one-1", "b=key-two==", "a=key-three"]),
            Ok(expected.clone())
        );
        assert_eq!(
            parse(&["a=key-one-1, b=key-two==,a=key-three"]),
            Ok(expected)
        );
        assert_eq!(parse(&[]), Ok(vec![]));
        assert_eq!(parse(&[""]), Ok(vec![]));
    }

    #[test]
    fn the_bounds_of_a_key_and_of_a_tenant_hold() {
        for length in [8, 256] {
            assert!(
                parse(&[&format!("t={}", "k".repeat(length))]).is_ok(),
                "{length}"
            );
        }
        assert!(parse(&[&format!("{}=12345678", "t".repeat(64))]).is_ok());
        for bad in [
            "t=1234567".to_owned(),
            format!("t={}", "k".repeat(257)),
            format!("{}=12345678", "t".repeat(65)),
            "=12345678".to_owned(),
            "te nant=12345678".to_owned(),
            "t=1234 5678".to_owned(),
            "t=1234567ü".to_owned(),
            "12345678".to_owned(),
            "t=12345678,".to_owned(),
        ] {
            assert!(parse(&[&bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_key_is_not_two_tenants_but_may_be_repeated() {
        let error = parse(&["a=SECRET-KEY,b=SECRET-KEY"]).expect_err("one key, two tenants");
        assert!(error.starts_with("entry 2"), "{error}");
        assert_eq!(
            parse(&["a=SECRET-KEY,a=SECRET-KEY"]),
            Ok(vec![pair("a", "SECRET-KEY")])
        );
    }

    #[test]
    fn no_error_and_no_debug_output_shows_a_key() {
        for bad in [
            "SECRET",
            "t=SECRET",
            "te nant=SECRET-KEY",
            "a=SECRET-KEY,b=SECRET-KEY",
            "a=SECRET KEY",
        ] {
            let error = parse(&[bad]).expect_err(bad);
            assert!(!error.contains("SECRET"), "{error}");
        }
        let key = ApiKey::parse("SECRET-KEY").expect("a sound key");
        assert_eq!(
            format!("{:?}", ApiKeys(vec![("a".to_owned(), key)])),
            r#"ApiKeys([("a", ApiKey(…))])"#
        );
    }
}
