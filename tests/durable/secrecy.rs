//! What is secret rests on the disk only sealed: every file, in use and left behind, and every log
//! is searched for it, in every spelling.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use hookturn_test::{
    ACME, Program, Receiver, Request, SUBSCRIPTIONS, beside, run, scratch, status, text, until,
};
use serde_json::json;
use tokio::task::block_in_place;

use crate::api::Api;
use crate::stage::{MASTER_KEY, Setup};

const SECOND_KEY: &str = "k2:hM8l9e8yC4n6dXG4vKqQWcVZ0mC0Z9o3Wl9x2fJrT5s=";
const CREDENTIAL: &str = "Bearer 5c9a-header-of-a-receiver-71f0";
const TOKEN: &str = "q8Zr-token-in-an-address-02bd";
const DATA: &str = "d41c-what-an-event-is-about-9e63";

/// So many bytes of a secret in a row are a leak.
const RUN: usize = 12;

/// How far apart the runs begin that are looked for: whatever has `RUN + STEP - 1` bytes of a
/// secret in a row is found.
const STEP: usize = 4;

/// Runs of bytes that must not be found, each with what it is of.
#[derive(Default)]
struct Needles(HashMap<[u8; RUN], String>);

impl Needles {
    /// Bytes as they are.
    fn raw(&mut self, what: &str, bytes: &[u8]) {
        for run in bytes.windows(RUN).step_by(STEP) {
            let run = run.first_chunk().expect("a whole run");
            self.0.insert(*run, what.to_owned());
        }
    }

    /// Bytes in every spelling.
    fn bytes(&mut self, what: &str, bytes: &[u8]) {
        self.raw(what, bytes);
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes all");
            hex
        });
        // As `Debug` and JSON show a list of bytes.
        let list = format!("{bytes:?}");
        for list in [&list, &list.replace(' ', "")] {
            self.raw(what, list.trim_matches(['[', ']']).as_bytes());
        }
        for spelling in [
            hex.to_uppercase(),
            hex,
            BASE64_STANDARD.encode(bytes),
            BASE64_URL_SAFE_NO_PAD.encode(bytes),
        ] {
            self.raw(what, spelling.as_bytes());
        }
    }

    /// A text in every spelling.
    fn text(&mut self, text: &str) {
        for text in [text.to_owned(), text.to_uppercase(), text.to_lowercase()] {
            self.bytes(&text, text.as_bytes());
        }
    }

    /// A secret: its text, the part of it that is base64, and the bytes that this stands for.
    fn secret(&mut self, text: &str, base64: &str) {
        self.text(text);
        let bytes = BASE64_STANDARD_NO_PAD.decode(base64.trim_end_matches('='));
        self.bytes(text, &bytes.expect("base64"));
    }

    /// What of it is in these bytes.
    fn found_in(&self, bytes: &[u8]) -> Option<&str> {
        let mut runs = bytes.windows(RUN);
        runs.find_map(|run| self.0.get(run).map(String::as_str))
    }
}

/// Everything that must not be found after these secrets were told.
fn needles(secrets: &[String]) -> Needles {
    let mut needles = Needles::default();
    for secret in secrets {
        let base64 = secret.strip_prefix("whsec_").expect("a secret");
        needles.secret(secret, base64);
    }
    for key in [MASTER_KEY, SECOND_KEY] {
        needles.secret(&key[3..], &key[3..]);
    }
    for told in [ACME, CREDENTIAL, TOKEN, DATA] {
        needles.text(told);
    }
    needles
}

/// Everything at once, in both dialects, through failures, and returns every secret that was told.
async fn be_busy(program: &Program, receiver: &Receiver, round: usize) -> Vec<String> {
    let api = Api::of(program);
    let mut secrets = Vec::new();
    let url = format!("{}?token={TOKEN}", receiver.url());
    let hook = api.hook(&url, &["a.b"]).await;
    secrets.push(text(&hook, "secret").to_owned());
    let subscription = |name: &str, signed: bool| {
        json!({
            "name": name, "url": url, "enable_signed_webhooks": signed,
            "headers": { "X-Credential": CREDENTIAL }, "events": ["*"],
        })
    };
    let name = format!("subscription-{round}");
    let creation = Request::post(SUBSCRIPTIONS, subscription(&name, true));
    let creation = creation.with_key(format!("creation-{round}"));
    let created = api.ask(&creation).await.is(201);
    secrets.push(created.member("secret"));
    let id = created.member("id");
    let hook = text(&hook, "id").to_owned();
    for number in 0..8 {
        for path in [
            format!("/webhooks/endpoints/{hook}/secret/rotate"),
            format!("{SUBSCRIPTIONS}/{id}/rotate/secret"),
        ] {
            let key = format!("{round}-{number}-{}", path.len());
            let request = Request::post(path, "").with_key(key);
            let rotated = api.ask(&request).await.is(200);
            api.ask(&request).await.repeats(&rotated);
            secrets.push(rotated.member("secret"));
        }
    }
    receiver.once(status(500));
    let data = json!({ "type": "a.b", "id": format!("event-{round}"), "data": { "about": DATA } });
    api.post("/events", data).await.is(202);
    let deliveries = format!("/webhooks/endpoints/{hook}/deliveries");
    until(async || {
        let listed = api.all(&deliveries).await;
        listed[0]["attempts"][0].is_object()
    })
    .await;
    let listed = api.all(&deliveries).await;
    let resend = format!("/deliveries/{}/resend", text(&listed[0], "id"));
    api.post(&resend, "").await.is(202);
    // Signed no more, and signed anew.
    for signed in [false, true] {
        let put = api.put(&format!("{SUBSCRIPTIONS}/{id}"));
        let put = put.body(subscription(&name, signed).to_string());
        let put = put.await.is(200).json();
        secrets.extend(put["secret"].as_str().map(ToOwned::to_owned));
    }
    let revoke = format!("/webhooks/endpoints/{hook}/secret/revoke-previous");
    api.post(&revoke, "").await.is(200);
    if round == 1 {
        let path = format!("/webhooks/endpoints/{hook}");
        api.delete(&path).await.is(204);
    }
    api.post(
        "/webhooks/endpoints",
        json!({ "secret": secrets[0], "url": TOKEN }),
    )
    .await
    .is(422);
    secrets
}

/// The bytes of all files of this directory, unless one of them has something of it: that, and
/// where.
fn search(directory: &Path, needles: &Needles) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("a file");
        if let Some(found) = needles.found_in(&bytes) {
            return Err(format!("{found} is in {}", path.display()));
        }
        all.extend(bytes);
    }
    Ok(all)
}

/// Asserts that no file of this directory has anything of it. Returns the bytes of all of them.
fn assert_clean(directory: &Path, needles: &Needles) -> Vec<u8> {
    search(directory, needles).unwrap_or_else(|found| panic!("{found}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_rests_in_any_file_or_log() {
    let directory = scratch();
    let mut setup = Setup::in_dir(directory.path());
    setup.log = "trace";
    let receiver = Receiver::start().await;
    let mut secrets = Vec::new();
    let mut logs = String::new();

    let program = block_in_place(|| setup.start());
    secrets.extend(be_busy(&program, &receiver, 0).await);
    // While it is open, with its log, then as a kill leaves it, and as a copy of it is.
    let open = assert_clean(directory.path(), &needles(&secrets));
    for suffix in ["-wal", "-shm", "-lock"] {
        assert!(beside(&setup.path, suffix).exists(), "{suffix}");
    }
    logs += &block_in_place(|| program.kill());
    let copies = scratch();
    let copy = setup.copy_to(copies.path());
    assert_clean(copies.path(), &needles(&secrets));
    copy.open().execute("VACUUM", []).expect("room");
    let backup = copies.path().join("backup.db");
    let store = format!("sqlite:{}", setup.path.display());
    let to = backup.to_str().expect("UTF-8");
    let backed_up = run(&["backup", to, "--store", &store], &[]);
    assert_eq!(backed_up.code, Some(0), "{backed_up:?}");
    assert!(backup.exists());
    assert_clean(copies.path(), &needles(&secrets));

    // With a second key, which everything is sealed under anew, and then as a server leaves it that
    // was stopped.
    let setup = setup.with_keys(&format!("{SECOND_KEY},{MASTER_KEY}"));
    let program = block_in_place(|| setup.start());
    secrets.extend(be_busy(&program, &receiver, 1).await);
    assert_clean(directory.path(), &needles(&secrets));
    logs += &block_in_place(|| program.stop());
    logs += &setup.with_keys(MASTER_KEY).refused();
    let closed = assert_clean(directory.path(), &needles(&secrets));
    // In each round two first ones, 16 rotations, and one when signing was turned on again.
    assert_eq!(secrets.len(), 2 * (2 + 16 + 1));

    let needles = needles(&secrets);
    let unescaped = logs.replace("\\/", "/").replace("\\\"", "\"");
    for log in [&logs, &unescaped] {
        let found = needles.found_in(log.as_bytes());
        assert!(found.is_none(), "{found:?} is in a log");
    }
    assert!(
        logs.contains("TRACE") || logs.contains("DEBUG"),
        "all is logged"
    );

    // The search was in the right place: what may be read is there.
    let mut plain = Needles::default();
    plain.raw("a name", b"subscription-0");
    for bytes in [&open, &closed] {
        assert_eq!(plain.found_in(bytes), Some("a name"));
    }
}

#[test]
fn the_search_finds_what_is_planted_in_a_database() {
    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";
    let needles = needles(&[SECRET.to_owned()]);
    let bytes: Vec<u8> = (0..30).collect();
    let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d";
    let list = format!("{bytes:?}");
    let (upper, base64) = (SECRET.to_uppercase(), BASE64_STANDARD.encode(DATA));
    let planted: [&[u8]; 12] = [
        SECRET.as_bytes(),
        &SECRET.as_bytes()[20..36],
        &bytes,
        &bytes[3..18],
        hex.as_bytes(),
        b"000102030405060708090A0B0C0D0E0F",
        list.as_bytes(),
        upper.as_bytes(),
        ACME.as_bytes(),
        &MASTER_KEY.as_bytes()[3..],
        CREDENTIAL.as_bytes(),
        base64.as_bytes(),
    ];
    for planted in planted {
        for mode in ["delete", "wal"] {
            let directory = scratch();
            let db = Setup::in_dir(directory.path()).open();
            db.pragma_update(None, "journal_mode", mode)
                .expect("a mode");
            db.execute_batch("CREATE TABLE planted (x BLOB)")
                .expect("a table");
            assert_clean(directory.path(), &needles);
            db.execute("INSERT INTO planted VALUES (?1)", [planted])
                .expect("room");
            let found = search(directory.path(), &needles);
            assert!(
                found.is_err(),
                "{mode}: {:?}",
                String::from_utf8_lossy(planted)
            );
        }
    }
}
