//! What the answers of rotations say about a key ring, held against what the server lists.

use std::collections::HashMap;

use hookturn_test::{Answer, fingerprint, millis, text};
use serde_json::Value;

/// The most secrets that are live at once.
const MAX_LIVE: usize = 10;

/// A secret and when it was made.
#[derive(Clone)]
struct Made {
    fingerprint: String,
    at: i64,
}

/// A rotation that was answered.
struct Rotated {
    made: Made,
    /// When the secret that it replaced expires, if it had a grace.
    expires_at: Option<i64>,
}

/// A key ring as its clients know it.
pub struct Ring {
    /// The current secret when all others were last revoked.
    current: Made,
    /// The rotations since then.
    rotated: Vec<Rotated>,
    /// The texts of all secrets there ever were, oldest first.
    pub secrets: Vec<String>,
    made_at: HashMap<String, i64>,
}

impl Ring {
    /// The ring of an endpoint that was just created.
    pub fn new(created: &Value) -> Self {
        let secret = text(created, "secret");
        let at = millis(&created["created_at"]);
        Self {
            current: Made {
                fingerprint: fingerprint(secret),
                at,
            },
            rotated: Vec::new(),
            secrets: vec![secret.to_owned()],
            made_at: HashMap::from([(secret.to_owned(), at)]),
        }
    }

    /// Learns of a rotation from its answer, unless it knows of it already.
    pub fn learn(&mut self, answered: &Answer, grace_seconds: u64) {
        let answer = answered.json();
        let secret = text(&answer, "secret").to_owned();
        if self.made_at.contains_key(&secret) {
            return;
        }
        let expires_at = millis(&answer["previous_secret_expires_at"]);
        let grace = i64::try_from(grace_seconds * 1000).expect("small");
        self.rotated.push(Rotated {
            made: Made {
                fingerprint: fingerprint(&secret),
                at: expires_at - grace,
            },
            expires_at: (grace > 0).then_some(expires_at),
        });
        self.made_at.insert(secret.clone(), expires_at - grace);
        self.secrets.push(secret);
    }

    /// When the secret was made that was current when all others were last revoked.
    pub fn since(&self) -> i64 {
        self.current.at
    }

    /// When a secret was made.
    pub fn made_at(&self, secret: &str) -> i64 {
        self.made_at[secret]
    }

    /// Asserts that the list is what all rotations together have left: one chain, of which nothing
    /// is lost. No grace may be over.
    pub fn assert_is(&self, listed: &[Value]) {
        let context = || {
            let known = self.rotated.iter().map(|rotated| {
                let made = &rotated.made;
                format!("{} {} {:?}", made.fingerprint, made.at, rotated.expires_at)
            });
            format!(
                "known: {} {} {}\nlisted: {listed:#?}",
                self.current.fingerprint,
                self.current.at,
                known.collect::<Vec<_>>().join("\n")
            )
        };
        let made: Vec<&Made> = std::iter::once(&self.current)
            .chain(self.rotated.iter().map(|rotated| &rotated.made))
            .collect();
        let made_of = |listed: &Value| {
            let fingerprint = text(listed, "fingerprint");
            let found = made.iter().find(|made| made.fingerprint == fingerprint);
            let found = found.unwrap_or_else(|| panic!("a secret nobody was told: {}", context()));
            assert_eq!(found.at, millis(&listed["created_at"]), "{}", context());
            *found
        };
        assert!(listed.len() <= MAX_LIVE, "{}", context());
        let (current, retiring) = listed.split_first().expect("a current secret");
        assert_eq!(text(current, "status"), "current", "{}", context());
        let newest = made.iter().map(|made| made.at).max();
        assert_eq!(Some(made_of(current).at), newest, "{}", context());

        // Each rotation with a grace has left one behind: the one made last before it.
        let mut graced: Vec<&Rotated> = self
            .rotated
            .iter()
            .filter(|rotated| rotated.expires_at.is_some())
            .collect();
        assert_eq!(retiring.len(), graced.len(), "{}", context());
        let mut before = i64::MAX;
        for one in retiring {
            assert_eq!(text(one, "status"), "retiring", "{}", context());
            let left = made_of(one);
            assert!(left.at <= before, "not in their order: {}", context());
            before = left.at;
            let expires_at = millis(&one["expires_at"]);
            let by = graced.iter().position(|rotated| {
                let is_between = |made: &&Made| left.at < made.at && made.at < rotated.made.at;
                rotated.expires_at == Some(expires_at)
                    && rotated.made.at >= left.at
                    && rotated.made.fingerprint != left.fingerprint
                    && !made.iter().any(is_between)
            });
            let by = by.unwrap_or_else(|| panic!("nobody has replaced {one}: {}", context()));
            graced.remove(by);
        }
    }

    /// All but the current one were revoked, and this is the list of what is left.
    pub fn revoked(&mut self, listed: &[Value]) {
        assert_eq!(listed.len(), 1, "{listed:?}");
        self.current = Made {
            fingerprint: text(&listed[0], "fingerprint").to_owned(),
            at: millis(&listed[0]["created_at"]),
        };
        self.rotated.clear();
    }
}
