//! The log of the program, at its most talkative, has none of the secrets that went through it.

use std::collections::BTreeMap;

use reqwest::{Client, Method, RequestBuilder};

use super::needles::{Needles, secrets_in};
use super::program::Program;
use super::receiver::Receiver;
use super::{CREDENTIALS, KEY_OF_A};
use crate::http::{Answered, ENDPOINT, SUBSCRIPTIONS, answer};
use crate::support::patiently;

const OTHER_KEY_OF_A: &str = "another+key/of=the-first~tenant.0001";
const KEY_OF_B: &str = "key-of-the-second-tenant-7f3a9c";
const WRONG_KEY: &str = "hk_almost-right-but-mistyped-9d2e";
const MASTER_KEY: &str = "V5gTzq0LhYB3xN8mWcRk1uJdE6sPoaF9iQ2vXtG7nMw";
const PASSWORD: &str = "user:a-password-of-somebody-44c1";
/// A secret that a client sends where none belongs.
const MISPLACED: &str = "whsec_bWlzcGxhY2VkIGluIGEgYm9keSBvciBwYXRo0000";

/// A client of the program, which keeps every secret that it was told.
struct Caller<'a> {
    program: &'a Program,
    client: Client,
    told: std::cell::RefCell<Vec<String>>,
}

impl Caller<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.program.address);
        self.client.request(method, url).bearer_auth(KEY_OF_A)
    }

    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, path).body(body)
    }

    async fn send(&self, request: RequestBuilder) -> Answered {
        let answered = answer(request).await;
        let text = String::from_utf8_lossy(&answered.body);
        self.told.borrow_mut().extend(secrets_in(&text));
        answered
    }

    /// Sends a request that must be refused.
    async fn refused(&self, request: RequestBuilder) {
        let answered = self.send(request).await;
        assert!((400..500).contains(&answered.status), "{answered:?}");
    }
}

/// An idempotency key that no other endpoint's rotation was sent with.
fn endpoint_key(path: &str) -> &str {
    path.rsplit('/').next().expect("a path")
}

fn with_headers(name: &str, signed: bool, credentials: &[&str]) -> String {
    let headers: BTreeMap<String, &str> = credentials
        .iter()
        .enumerate()
        .map(|(number, value)| (format!("X-Credential-{number}"), *value))
        .collect();
    serde_json::json!({
        "name": name,
        "url": "https://example.com/hook",
        "enable_signed_webhooks": signed,
        "headers": headers,
    })
    .to_string()
}

/// Everything that succeeds, in both dialects.
async fn succeed(caller: &Caller<'_>) -> (String, String) {
    let created = caller
        .send(caller.post("/webhooks/endpoints", ENDPOINT))
        .await;
    let endpoint = format!("/webhooks/endpoints/{}", created.is(201).text("id"));
    let rotation = format!("{endpoint}/secret/rotate");
    for _ in 0..2 {
        let keyed = caller
            .post(&rotation, "")
            .header("Idempotency-Key", endpoint_key(&endpoint));
        caller.send(keyed).await.is(200);
    }
    for path in [&rotation, &format!("{endpoint}/rotate-secret")] {
        caller.send(caller.post(path, "")).await.is(200);
    }
    caller
        .send(caller.request(Method::GET, &format!("{endpoint}/secrets")))
        .await
        .is(200);
    let revoke = format!("{endpoint}/secret/revoke-previous");
    caller.send(caller.post(&revoke, "")).await.is(200);
    let patch = caller.request(Method::PATCH, &endpoint);
    caller
        .send(patch.body(r#"{"status":"disabled"}"#))
        .await
        .is(200);
    caller
        .send(caller.request(Method::GET, &endpoint))
        .await
        .is(200);
    caller
        .send(caller.request(Method::GET, "/webhooks/endpoints"))
        .await
        .is(200);

    let body = with_headers("name", true, &CREDENTIALS[..1]);
    let created = caller.send(caller.post(SUBSCRIPTIONS, body)).await.is(201);
    let subscription = format!("{SUBSCRIPTIONS}/{}", created.text("id"));
    let rotation = format!("{subscription}/rotate/secret");
    caller.send(caller.post(&rotation, MISPLACED)).await.is(200);
    for signed in [false, true] {
        let body = with_headers("name", signed, &CREDENTIALS[..2]);
        let put = caller.request(Method::PUT, &subscription).body(body);
        caller.send(put).await.is(200);
    }
    caller
        .send(caller.request(Method::GET, &subscription))
        .await
        .is(200);
    for path in ["/healthz", "/readyz", "/dev/clock"] {
        caller.send(caller.request(Method::GET, path)).await.is(200);
    }
    caller
        .send(caller.post("/dev/clock/advance", r#"{"seconds":1}"#))
        .await
        .is(200);
    (endpoint, subscription)
}

/// Events on their way to a receiver that fails at first, in both formats, with something secret in them.
async fn deliver(caller: &Caller<'_>) {
    let receiver = Receiver::start().await;
    let body = serde_json::json!({ "url": receiver.url(CREDENTIALS[1]) });
    let created = caller.post("/webhooks/endpoints", body.to_string());
    let created = caller.send(created).await;
    let endpoint = format!("/webhooks/endpoints/{}", created.is(201).text("id"));
    let mut body: serde_json::Value =
        serde_json::from_str(&with_headers("receiving", true, &CREDENTIALS[..2])).expect("JSON");
    body["url"] = receiver.url("").into();
    let created = caller.post(SUBSCRIPTIONS, body.to_string());
    let created = caller.send(created).await;
    let subscription = format!("/webhooks/endpoints/{}", created.is(201).text("id"));
    let event = format!(r#"{{"type":"a.b","data":{{"secret":"{MISPLACED}"}}}}"#);
    for path in [&endpoint, &subscription] {
        let rotation = format!("{path}/secret/rotate");
        caller.send(caller.post(&rotation, "")).await.is(200);
        let test = format!("{path}/test");
        caller.send(caller.post(&test, "")).await.is(202);
    }
    caller.send(caller.post("/events", event)).await.is(202);
    for path in [&endpoint, &subscription] {
        let list = format!("{path}/deliveries");
        // Some fail; resending them does not wait for their time.
        patiently(async {
            loop {
                let listed = caller.send(caller.request(Method::GET, &list)).await;
                let list = listed.is(200).json();
                let deliveries = list["data"].as_array().expect("a list");
                let tried = deliveries
                    .iter()
                    .filter(|one| one["attempts"][0].is_object());
                for failed in tried.filter(|one| one["status"] != "succeeded") {
                    let id = failed["id"].as_str().expect("an id");
                    let resend = format!("/deliveries/{id}/resend");
                    caller.send(caller.post(&resend, "")).await.is(202);
                }
                if deliveries.len() == 2
                    && deliveries.iter().all(|one| one["status"] == "succeeded")
                {
                    break;
                }
            }
        })
        .await;
        let delete = caller.request(Method::DELETE, path);
        caller.send(delete).await.is(204);
    }
    assert!(receiver.was_sent(&[
        "webhook-signature: v1,",
        "X-Webhook-Signature: t=",
        CREDENTIALS[0]
    ]));
}

/// Requests that are refused in every way, each with something secret in it.
async fn fail(caller: &Caller<'_>, endpoint: &str, subscription: &str) {
    let rotation = format!("{endpoint}/secret/rotate");
    let bodies = [
        MISPLACED.to_owned(),
        format!("\"{MISPLACED}\""),
        format!("{{\"secret\":\"{MISPLACED}\"}}"),
        format!("{{\"{MISPLACED}\":1}}"),
        format!("{{\"expire_current_in\":\"{MISPLACED}\"}}"),
        format!("{{\"url\":\"{MISPLACED}"),
        format!("{{\"url\":\"{MISPLACED}\",\"description\":7,\"events\":[\"{MISPLACED}\"]}}"),
        with_headers(MISPLACED, true, &[CREDENTIALS[2], "a line\nbreak"]),
        "x".repeat(70_000) + MISPLACED,
    ];
    for body in bodies {
        for path in [
            &rotation,
            "/webhooks/endpoints",
            SUBSCRIPTIONS,
            "/dev/clock/advance",
        ] {
            caller.refused(caller.post(path, body.clone())).await;
        }
        let put = caller.request(Method::PUT, subscription);
        caller.refused(put.body(body.clone())).await;
        let patch = caller.request(Method::PATCH, endpoint);
        caller.refused(patch.body(body)).await;
    }
    // Where it came from matters as little: the path, the query, the key of a header.
    for path in [
        format!("/webhooks/endpoints/{MISPLACED}"),
        format!("/webhooks/endpoints?starting_after={MISPLACED}"),
        format!("/webhooks/endpoints?{MISPLACED}=1"),
        format!("/webhooks/{MISPLACED}"),
        format!("{SUBSCRIPTIONS}/{MISPLACED}"),
        format!("/{MISPLACED}"),
    ] {
        caller.refused(caller.request(Method::GET, &path)).await;
    }
    caller
        .refused(caller.request(Method::DELETE, &rotation))
        .await;
    let two_keys = caller.post(&rotation, "");
    let two_keys = two_keys
        .header("Idempotency-Key", "one")
        .header("X-Idempotency-Key", "two");
    caller.refused(two_keys).await;
    let reused = caller.post(
        &rotation,
        format!("{{\"expire_current_in\": 7 , \"x\":\"{MISPLACED}\"}}"),
    );
    caller
        .refused(reused.header("Idempotency-Key", endpoint_key(endpoint)))
        .await;

    let anonymous = |path: &str| {
        let url = format!("http://{}{path}", caller.program.address);
        caller.client.post(url)
    };
    for path in [&rotation, &format!("{subscription}/rotate/secret")] {
        caller.refused(anonymous(path)).await;
        caller.refused(anonymous(path).bearer_auth(WRONG_KEY)).await;
        caller
            .refused(anonymous(path).header("Authorization", WRONG_KEY))
            .await;
        let (user, password) = PASSWORD.split_once(':').expect("a pair");
        caller
            .refused(anonymous(path).basic_auth(user, Some(password)))
            .await;
        let twice = anonymous(path)
            .bearer_auth(KEY_OF_A)
            .bearer_auth(OTHER_KEY_OF_A);
        caller.refused(twice).await;
        // A sound key of another tenant.
        caller.refused(anonymous(path).bearer_auth(KEY_OF_B)).await;
    }
}

/// An HTTP/2 connection with a path that is none, and a farewell, both with something secret in them.
fn malformed_http2() -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("a short frame");
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let path = format!("/a b/{MISPLACED}");
    let length = u8::try_from(path.len()).expect("a short path");
    // RFC 7541, appendix A: GET, http, and a literal value for :path.
    let headers = [&[0x82, 0x86, 0x04, length], path.as_bytes()].concat();
    let farewell = [&[0; 8], MISPLACED.as_bytes()].concat();
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(0x4, 0, 0, &[]),
        frame(0x1, 0x5, 1, &headers),
        frame(0x7, 0, 0, &farewell),
    ]
    .concat()
}

/// Drives the whole program, over HTTP/1 and HTTP/2, and returns every secret that its answers told.
async fn drive(program: &Program) -> Vec<String> {
    let mut told = Vec::new();
    for client in [
        Client::builder().no_proxy(),
        Client::builder().no_proxy().http2_prior_knowledge(),
    ] {
        let caller = Caller {
            program,
            client: client.build().expect("a client"),
            told: std::cell::RefCell::default(),
        };
        let (endpoint, subscription) = succeed(&caller).await;
        deliver(&caller).await;
        fail(&caller, &endpoint, &subscription).await;
        // Ten live secrets, and one too many.
        for path in [
            format!("{endpoint}/secret/rotate"),
            format!("{subscription}/rotate/secret"),
        ] {
            let mut answered = caller.send(caller.post(&path, "")).await;
            while answered.status == 200 {
                answered = caller.send(caller.post(&path, "")).await;
            }
            assert!([409, 422].contains(&answered.status), "{answered:?}");
        }
        for path in [&endpoint, &subscription] {
            caller
                .send(caller.request(Method::DELETE, path))
                .await
                .is(204);
        }
        told.extend(caller.told.into_inner());
    }
    let rubbish = format!("GET /{MISPLACED} {KEY_OF_A}\r\n{KEY_OF_A}\0\r\n\r\n");
    program.send_rubbish(rubbish.as_bytes());
    program.send_rubbish(&malformed_http2());
    told
}

async fn assert_log_is_clean(format: &str) {
    let keys = format!("a={KEY_OF_A},a={OTHER_KEY_OF_A},b={KEY_OF_B}");
    let program = Program::start(
        &["--log", "trace", "--log-format", format, "--dev"],
        &[
            ("HOOKTURN_API_KEYS", &keys),
            ("HOOKTURN_MASTER_KEYS", &format!("k1:{MASTER_KEY}=")),
        ],
    );
    let mut needles = Needles::default();
    let told = drive(&program).await;
    // In each of two rounds: 3 + 2 first ones, 3 + 1 rotations and their fills to the cap.
    assert!(told.len() > 40, "{} secrets were told", told.len());
    for secret in &told {
        needles.add_secret(secret);
    }
    needles.add_secret(MISPLACED);
    for text in [KEY_OF_A, OTHER_KEY_OF_A, KEY_OF_B, WRONG_KEY, PASSWORD] {
        needles.add(text);
    }
    needles.add_master_key(MASTER_KEY);
    needles.add(PASSWORD.split_once(':').expect("a pair").1);
    for text in CREDENTIALS {
        needles.add(text);
    }
    let (out, err) = program.end();
    assert_eq!(out, "", "a configured key is not told");
    assert!(
        err.contains("signing secret rotated"),
        "rotations are logged"
    );
    assert!(
        !err.contains("log lines were dropped"),
        "the whole log is searched"
    );
    let levels = ["TRACE", "DEBUG"];
    assert!(
        levels.iter().any(|level| err.contains(level)),
        "all is logged"
    );
    needles.assert_absent(&err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_the_log_as_json_at_any_level() {
    assert_log_is_clean("json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_the_log_as_text_at_any_level() {
    assert_log_is_clean("text").await;
}

#[tokio::test]
async fn a_generated_key_is_told_on_stdout_and_nowhere_else() {
    let program = Program::start(&["--log", "trace"], &[]);
    let key = program.generated_key();
    let url = format!("http://{}/webhooks/endpoints", program.address);
    let client = Client::builder().no_proxy().build().expect("a client");
    let created = answer(client.post(url).bearer_auth(&key).body(ENDPOINT)).await;
    let secret = created.is(201).text("secret");
    let mut needles = Needles::default();
    needles.add(&key);
    needles.add_secret(&secret);
    let (out, err) = program.end();
    needles.assert_absent(&err);
    assert!(out.contains(&key));
    assert!(!out.contains(&secret));
}
