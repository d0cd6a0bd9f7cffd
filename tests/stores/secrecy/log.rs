//! The log of the program, at its most talkative, has none of the secrets that went through it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hookturn_test::{
    Answer, Client, Ended, PATIENCE, Program, Receiver, RequestBuilder, SUBSCRIPTIONS, patiently,
    status,
};
use reqwest::Method;

use super::needles::{Needles, secrets_in};
use super::{CREDENTIALS, KEY_OF_A, generated_key};
use crate::http::{ENDPOINT, answer};

const OTHER_KEY_OF_A: &str = "another+key/of=the-first~tenant.0001";
const KEY_OF_B: &str = "key-of-the-second-tenant-7f3a9c";
const WRONG_KEY: &str = "hk_almost-right-but-mistyped-9d2e";
const MASTER_KEY: &str = "V5gTzq0LhYB3xN8mWcRk1uJdE6sPoaF9iQ2vXtG7nMw";
const PASSWORD: &str = "user:a-password-of-somebody-44c1";
/// A secret that a client sends where none belongs.
const MISPLACED: &str = "whsec_bWlzcGxhY2VkIGluIGEgYm9keSBvciBwYXRo0000";

/// A client of the program, which keeps every secret that it was told.
struct Caller {
    client: Client,
    told: std::cell::RefCell<Vec<String>>,
}

impl Caller {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).key(KEY_OF_A)
    }

    fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.request(Method::POST, path).body(body)
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
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
async fn succeed(caller: &Caller) -> (String, String) {
    let created = caller
        .send(caller.post("/webhooks/endpoints", ENDPOINT))
        .await;
    let endpoint = format!("/webhooks/endpoints/{}", created.is(201).member("id"));
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
    let subscription = format!("{SUBSCRIPTIONS}/{}", created.member("id"));
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

/// Events on their way to a receiver that fails at first, in both formats, with something secret in
/// them.
async fn deliver(caller: &Caller) {
    let receiver = Receiver::start().await;
    for _ in 0..3 {
        receiver.once(status(500));
    }
    let query = format!("hook?{}", CREDENTIALS[1].replace(' ', "%20"));
    let body = serde_json::json!({ "url": receiver.url_of(&query) });
    let created = caller.post("/webhooks/endpoints", body.to_string());
    let created = caller.send(created).await;
    let endpoint = format!("/webhooks/endpoints/{}", created.is(201).member("id"));
    let mut body: serde_json::Value =
        serde_json::from_str(&with_headers("receiving", true, &CREDENTIALS[..2])).expect("JSON");
    body["url"] = receiver.url().into();
    let created = caller.post(SUBSCRIPTIONS, body.to_string());
    let created = caller.send(created).await;
    let subscription = format!("/webhooks/endpoints/{}", created.is(201).member("id"));
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
    let received = receiver.take();
    for (name, start) in [
        ("webhook-signature", "v1,"),
        ("X-Webhook-Signature", "t="),
        ("X-Credential-0", CREDENTIALS[0]),
    ] {
        let mut with_name = received
            .iter()
            .filter(|one| one.names.iter().any(|found| found == name));
        let is_there = with_name.any(|one| one.header(name).starts_with(start));
        assert!(is_there, "{name}: {start} in {received:?}");
    }
}

/// Requests that are refused in every way, each with something secret in it.
async fn fail(caller: &Caller, endpoint: &str, subscription: &str) {
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

    let anonymous = |path: &str| caller.client.post(path).no_key();
    for path in [&rotation, &format!("{subscription}/rotate/secret")] {
        caller.refused(anonymous(path)).await;
        caller.refused(anonymous(path).key(WRONG_KEY)).await;
        caller
            .refused(anonymous(path).header("Authorization", WRONG_KEY))
            .await;
        let basic = format!("Basic {}", BASE64_STANDARD.encode(PASSWORD));
        caller
            .refused(anonymous(path).header("Authorization", basic))
            .await;
        let twice = anonymous(path)
            .key(KEY_OF_A)
            .header("Authorization", format!("Bearer {OTHER_KEY_OF_A}"));
        caller.refused(twice).await;
        // A sound key of another tenant.
        caller.refused(anonymous(path).key(KEY_OF_B)).await;
    }
}

/// An HTTP/2 connection with a path that is none, and a farewell, both with something secret in
/// them.
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

/// Sends what is no sound request, and waits until the server has closed upon it.
fn send_rubbish(program: &Program, bytes: &[u8]) {
    let mut socket = TcpStream::connect(&program.address).expect("it listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    socket.write_all(bytes).expect("it reads");
    socket.shutdown(Shutdown::Write).expect("an open socket");
    // A reset is a way to close as well.
    let _ = socket.read_to_end(&mut Vec::new());
}

/// Drives the whole program, over HTTP/1 and HTTP/2, and returns every secret that its answers
/// told.
async fn drive(program: &Program) -> Vec<String> {
    let mut told = Vec::new();
    for client in [
        Client::of(&program.address),
        Client::over_http2(&program.address),
    ] {
        let caller = Caller {
            client,
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
    send_rubbish(program, rubbish.as_bytes());
    send_rubbish(program, &malformed_http2());
    told
}

async fn assert_log_is_clean(format: &str) {
    let keys = format!("a={KEY_OF_A},a={OTHER_KEY_OF_A},b={KEY_OF_B}");
    let program = Program::serve(
        &[
            "--rate-limit",
            "off",
            "--log",
            "trace",
            "--log-format",
            format,
            "--dev",
        ],
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
    program.signal("TERM");
    let Ended { code, out, err } = program.ended();
    assert_eq!(code, Some(0), "{err}");
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
    let program = Program::serve(&["--rate-limit", "off", "--log", "trace"], &[]);
    let key = generated_key(&program);
    let client = Client::of(&program.address);
    let created = client.post("/webhooks/endpoints").key(&key).body(ENDPOINT);
    let created = created.await;
    let secret = created.is(201).member("secret");
    let mut needles = Needles::default();
    needles.add(&key);
    needles.add_secret(&secret);
    program.signal("TERM");
    let Ended { code, out, err } = program.ended();
    assert_eq!(code, Some(0), "{err}");
    needles.assert_absent(&err);
    assert!(out.contains(&key));
    assert!(!out.contains(&secret));
}
