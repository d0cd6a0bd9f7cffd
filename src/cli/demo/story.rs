//! The steps of the demo, with checks of what the receiver sees.

use std::process::ExitCode;

use super::client::Client;
use super::print::print_line;
use super::receiver::{Received, Receiver};
use super::timeline::{self, Sent, Told};
use crate::clock::{Clock as _, SystemClock};
use crate::domain::verification::{DEFAULT_TOLERANCE, ReceiverSecret, SignatureReport, verify};

/// One of the two dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2026,
    Verbex,
}

impl Dialect {
    const fn title(self) -> &'static str {
        match self {
            Self::V2026 => "2026-03-01: Standard Webhooks, a grace of the caller's choice",
            Self::Verbex => "Verbex v1: X-Webhook-Signature, a grace of 72 hours",
        }
    }

    const fn collection(self) -> &'static str {
        match self {
            Self::V2026 => "/webhooks/endpoints",
            Self::Verbex => "/v1/public/webhook/subscription",
        }
    }

    /// Returns the path of a rotation under the endpoint's path, and its body.
    const fn rotation(self) -> (&'static str, &'static str) {
        match self {
            Self::V2026 => ("/secret/rotate", r#"{"expire_current_in":3600}"#),
            Self::Verbex => ("/rotate/secret", ""),
        }
    }

    const fn grace(self) -> (u32, &'static str) {
        match self {
            Self::V2026 => (3600, "1 h"),
            Self::Verbex => (72 * 3600, "72 h"),
        }
    }

    const fn event(self) -> &'static str {
        match self {
            Self::V2026 => "order.paid",
            Self::Verbex => "Call.Ended",
        }
    }

    const fn signature_header(self) -> &'static str {
        match self {
            Self::V2026 => "webhook-signature",
            Self::Verbex => "x-webhook-signature",
        }
    }
}

/// A secret with its name in the demo.
struct Secret {
    name: &'static str,
    secret: ReceiverSecret,
}

impl Secret {
    fn new(name: &'static str, text: &str) -> Result<Self, String> {
        let secret = ReceiverSecret::new(text);
        match secret.malformed() {
            None => Ok(Self { name, secret }),
            Some(error) => Err(format!("the answer has no secret: {error}")),
        }
    }
}

pub(super) struct Story {
    client: Client,
    receiver: Receiver,
    receiver_url: String,
    colored: bool,
    steps: usize,
    published: usize,
    verified: usize,
    told: Vec<Told>,
}

impl Story {
    pub fn new(client: Client, receiver: Receiver, receiver_url: String, colored: bool) -> Self {
        Self {
            client,
            receiver,
            receiver_url,
            colored,
            steps: 0,
            published: 0,
            verified: 0,
            told: Vec::new(),
        }
    }

    /// Runs the demo in one dialect.
    pub async fn tell(&mut self, dialect: Dialect) -> Result<(), String> {
        print_line("");
        print_line(dialect.title());
        let (id, old) = self.register(dialect).await?;
        let secrets = [old];
        let first = self.send(dialect, &secrets, &["old"]).await?;

        let (operation, body) = dialect.rotation();
        let path = format!("{}/{id}{operation}", dialect.collection());
        let key = format!("rotation-of-{id}");
        self.step(&format!(
            "POST {}/{{id}}{operation} {body}",
            dialect.collection()
        ));
        let rotated = self.client.post(&path, Some(&key), body).await?;
        let [old] = secrets;
        let secrets = [Secret::new("new", &rotated.text("secret"))?, old];
        self.fact(&format!(
            "the new secret is {}",
            secrets[0].secret.fingerprint()
        ));
        let until = rotated.text("previous_secret_expires_at");
        self.fact(&format!("the old one signs until {until}"));

        self.step("the same request again, with the same Idempotency-Key");
        let again = self.client.post(&path, Some(&key), body).await?;
        let is_marked = again.headers.get("idempotent-replayed").is_some();
        check(
            again.bytes == rotated.bytes && is_marked,
            "the answer is not the same",
        )?;
        let listed = self
            .client
            .get(&format!("/webhooks/endpoints/{id}/secrets"))
            .await?;
        check(listed.entries() == 2, "a second rotation took place")?;
        self.fact("the same answer, byte for byte; nothing was rotated twice");

        let second = self.send(dialect, &secrets, &["new", "old"]).await?;

        let (seconds, words) = dialect.grace();
        let body = format!(r#"{{"seconds":{seconds}}}"#);
        self.step(&format!("POST /dev/clock/advance {body}"));
        let advanced = self.client.post("/dev/clock/advance", None, &body).await?;
        self.fact(&format!("{words} later: it is {}", advanced.text("now")));

        let third = self.send(dialect, &secrets, &["new"]).await?;
        self.told.push(Told {
            title: match dialect {
                Dialect::V2026 => "2026-03-01",
                Dialect::Verbex => "Verbex v1",
            },
            grace: words,
            old: secrets[1].secret.fingerprint(),
            new: secrets[0].secret.fingerprint(),
            sent: [first, second, third],
        });

        // So that this endpoint does not get the events of the other dialect.
        self.step(&format!("DELETE {}/{{id}}", dialect.collection()));
        self.client
            .delete(&format!("{}/{id}", dialect.collection()))
            .await?;
        check(self.receiver.is_silent().await, "a delivery came twice")?;
        self.fact("the endpoint is gone; nothing came twice");
        Ok(())
    }

    async fn register(&mut self, dialect: Dialect) -> Result<(String, Secret), String> {
        let path = dialect.collection();
        self.step(&format!("POST {path}"));
        let url = format!("{}/hook", self.receiver_url);
        let body = match dialect {
            Dialect::V2026 => format!(r#"{{"url":"{url}"}}"#),
            Dialect::Verbex => {
                format!(r#"{{"name":"demo","url":"{url}","enable_signed_webhooks":true}}"#)
            }
        };
        let created = self.client.post(path, None, &body).await?;
        check(created.status == 201, "it was not created")?;
        let (id, secret) = (
            created.text("id"),
            Secret::new("old", &created.text("secret"))?,
        );
        self.fact(&format!("registered {id}"));
        self.fact(&format!(
            "its secret, shown this once, is {}",
            secret.secret.fingerprint()
        ));
        Ok((id, secret))
    }

    /// Sends an event and verifies its delivery with `secrets`. Those named in `signing` must have
    /// signed it, in this order, and the others must not.
    async fn send(
        &mut self,
        dialect: Dialect,
        secrets: &[Secret],
        signing: &[&str],
    ) -> Result<Sent, String> {
        self.step(&format!("POST /events {}", dialect.event()));
        let body = format!(
            r#"{{"type":"{}","data":{{"number":{}}}}}"#,
            dialect.event(),
            self.steps
        );
        self.client.post("/events", None, &body).await?;
        self.published += 1;
        let received = self.receiver.next().await?;

        let header = dialect.signature_header();
        let signed_by = signed_by(&received, secrets);
        check(
            signed_by == signing,
            &format!("signed by {signed_by:?} instead of {signing:?} in {header}"),
        )?;
        self.verified += 1;
        let count = match signing.len() {
            1 => "1 signature".to_owned(),
            count => format!("{count} signatures"),
        };
        self.fact(&format!(
            "arrived with {count}: {}",
            abridged(received.header(header))
        ));
        for secret in secrets {
            let verifies = verifies_alone(&received, secret);
            check(
                verifies == signing.contains(&secret.name),
                &format!("the {} secret alone verifies it: {verifies}", secret.name),
            )?;
            let told = if verifies {
                format!(
                    "a receiver with the {} secret alone verifies it",
                    secret.name
                )
            } else {
                format!(
                    "a receiver with the {} secret alone refuses it",
                    secret.name
                )
            };
            self.fact(&told);
        }
        Ok(Sent {
            by_old: signing.contains(&"old"),
            by_new: signing.contains(&"new"),
        })
    }

    fn step(&mut self, text: &str) {
        self.steps += 1;
        print_line(&format!("{:>3}  {}", self.steps, text.trim_end()));
    }

    fn fact(&self, text: &str) {
        let mark = if self.colored {
            "\u{1b}[32m✓\u{1b}[0m"
        } else {
            "✓"
        };
        print_line(&format!("     {mark} {text}"));
    }

    /// Ends the demo with the timelines, or with the check that failed.
    pub fn end(self, outcome: Result<(), String>) -> ExitCode {
        print_line("");
        if let Err(found) = outcome {
            let mark = if self.colored {
                "\u{1b}[31m✗\u{1b}[0m"
            } else {
                "✗"
            };
            print_line(&format!("     {mark} {found}"));
            print_line("");
            print_line("The demo failed.");
            return ExitCode::FAILURE;
        }
        for told in &self.told {
            for line in timeline::draw(told) {
                print_line(&line);
            }
            print_line("");
        }
        let dropped = self.published - self.verified;
        print_line(&format!(
            "{} events sent, each verified with every live secret: {dropped} events dropped",
            self.published
        ));
        ExitCode::SUCCESS
    }
}

/// Returns the names of the secrets that made the signatures, in the order of the signatures. A
/// signature that none of them made is `?`.
fn signed_by(received: &Received, secrets: &[Secret]) -> Vec<&'static str> {
    let keys: Vec<ReceiverSecret> = secrets.iter().map(|secret| secret.secret.clone()).collect();
    let report = verified(received, &keys);
    let name = |signature: &SignatureReport| match signature {
        SignatureReport::Matched(numbers) => {
            let number = numbers.first().copied().unwrap_or_default();
            number
                .checked_sub(1)
                .and_then(|place| secrets.get(place))
                .map_or("?", |secret| secret.name)
        }
        _ => "?",
    };
    report.signatures.iter().map(name).collect()
}

fn verifies_alone(received: &Received, secret: &Secret) -> bool {
    verified(received, std::slice::from_ref(&secret.secret)).verified()
}

fn verified(
    received: &Received,
    secrets: &[ReceiverSecret],
) -> crate::domain::verification::Report {
    let headers: Vec<(&str, &[u8])> = received
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    // Receivers use their own clocks, which the test clock does not move.
    let now = SystemClock.now();
    verify(
        &headers,
        &received.body,
        secrets,
        now,
        Some(DEFAULT_TOLERANCE),
    )
}

/// Shortens a signature header to fit a line.
fn abridged(header: &str) -> String {
    let parts = header.split([' ', ',']).filter(|part| *part != "v1");
    let short = parts.map(|part| match part.char_indices().nth(11) {
        Some((end, _)) if !part.starts_with("t=") => format!("{}…", &part[..end]),
        _ => part.to_owned(),
    });
    short.collect::<Vec<_>>().join(" ")
}

fn check(is_so: bool, otherwise: &str) -> Result<(), String> {
    if is_so {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}
