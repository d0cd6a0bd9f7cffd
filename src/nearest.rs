//! Finds the known word nearest to a mistyped one, for every "did you mean".

/// Returns the known word nearest to `typed`, if it is near enough. Of equally near words it
/// returns the first.
///
/// At most a third of the known word's letters may be missing, added, replaced or swapped with
/// their neighbour (optimal string alignment), since beyond that unrelated words match too. Case
/// does not matter.
#[must_use]
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let measured = known.into_iter().map(|word| {
        let distance = strsim::osa_distance(&word.to_lowercase(), &typed);
        (distance, word)
    });
    let (distance, word) = measured.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= word.chars().count()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_others_are_not() {
        let flags = [
            "listen",
            "api-key",
            "store",
            "rate-limit",
            "log",
            "dev",
            "max-connections",
        ];
        let commands = [
            "serve", "demo", "listen", "verify", "openapi", "keys", "backup", "check",
        ];
        let fields = ["url", "events", "description", "expire_current_in"];
        for (known, typed, meant) in [
            (&flags[..], "api-kye", Some("api-key")),
            (&flags, "api-keys", Some("api-key")),
            (&flags, "api_key", Some("api-key")),
            (&flags, "apikey", Some("api-key")),
            (&flags, "API-KEY", Some("api-key")),
            (&flags, "ratelimt", Some("rate-limit")),
            (&flags, "maxConnections", Some("max-connections")),
            (&flags, "lgo", Some("log")),
            (&flags, "drain-delay", None),
            (&flags, "key", None),
            (&flags, "port", None),
            (&flags, "limit", None),
            (&flags, "dog", Some("log")),
            (&flags, "dig", None),
            (&flags, "l", None),
            (&flags, "", None),
            (&commands, "srve", Some("serve")),
            (&commands, "cehck", Some("check")),
            (&commands, "key", Some("keys")),
            (&commands, "start", None),
            (&commands, "rotate", None),
            (&commands, "version", None),
            (&fields, "expire_curent_in", Some("expire_current_in")),
            (&fields, "expireCurrentIn", Some("expire_current_in")),
            (&fields, "EXPIRE_CURRENT_IN", Some("expire_current_in")),
            (&fields, "uri", Some("url")),
            (&fields, "event", Some("events")),
            (&fields, "expires_at", None),
            (&fields, "secret", None),
            (&fields, "link", None),
            (&[], "url", None),
        ] {
            let found = nearest(typed, known.iter().copied());
            assert_eq!(found, meant, "{typed}");
        }
    }
}
