//! The program, a server of it, and files that it wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use hookturn_test::{ACME, Client, Ended, Program, Receiver, hookturn};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const K1: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub const K2: &str = "k2-new:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
/// Another key of the same name.
pub const K1_OTHER: &str = "k1:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// A run of the program, with the master keys in their variable and nothing else of an environment.
pub fn command(args: &[&str], keys: &str) -> Command {
    hookturn(args, &[("HOOKTURN_MASTER_KEYS", keys)])
}

pub fn run(args: &[&str], keys: &str) -> Ended {
    Program::spawn(&mut command(args, keys)).ended()
}

/// `hookturn check` of a file.
pub fn check(path: &Path, keys: &str) -> Ended {
    run(&["check", text(path)], keys)
}

/// The problems that `check` told of a file, without its last line.
pub fn problems(path: &Path, keys: &str) -> Vec<String> {
    let ended = check(path, keys);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.err, "");
    let mut lines: Vec<_> = ended.out.lines().map(str::to_owned).collect();
    let last = lines.pop().expect("a last line");
    assert!(last.contains("problem"), "{last}");
    lines
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The setting for a file.
pub fn store(path: &Path) -> String {
    format!("sqlite:{}", text(path))
}

/// A running `hookturn serve --dev`.
pub struct Server {
    program: Program,
    client: Client,
}

impl Server {
    pub fn start(path: &Path, keys: &str) -> Self {
        let (store, api_key) = (store(path), format!("acme={ACME}"));
        let args = ["--dev", "--rate-limit", "off", "--store", &store];
        let variables = [
            ("HOOKTURN_MASTER_KEYS", keys),
            ("HOOKTURN_API_KEYS", &api_key),
        ];
        let program = Program::serve(&args, &variables);
        Self {
            client: Client::of(&program.address),
            program,
        }
    }

    /// Waits until there is a line of the log with this text in it.
    pub fn wait_for(&self, text: &str) -> String {
        self.program.err.line_with(text)
    }

    pub async fn send(&self, method: &str, path: &str, body: &Value, key: &str) -> (u16, String) {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, path).json(body);
        if !key.is_empty() {
            request = request.with_key(key);
        }
        let answer = request.await;
        (answer.status, answer.text())
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, text) = self.send("POST", path, &body, "").await;
        assert!((200..300).contains(&status), "{path}: {status} {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// A new endpoint, by its id.
    pub async fn endpoint(&self, url: &str) -> String {
        let made = self
            .post("/webhooks/endpoints", json!({ "url": url }))
            .await;
        made["id"].as_str().expect("an id").to_owned()
    }

    /// Rotates, and returns what was answered.
    pub async fn rotate(&self, id: &str, key: &str) -> (u16, String) {
        let path = format!("/webhooks/endpoints/{id}/secret/rotate");
        self.send("POST", &path, &json!({}), key).await
    }

    /// Waits until the server has ended as it should.
    pub fn stop(self) {
        let log = self.program.stop();
        assert!(log.contains("closed the store"), "{log}");
    }

    /// Ends it as a loss of power would.
    pub fn kill(self) {
        self.program.kill();
    }
}

/// A directory with the file of a store in it.
pub struct Place {
    pub directory: TempDir,
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("hookturn.db");
        Self { directory, path }
    }

    /// With some of everything in it, under [`K1`]: endpoints of both APIs, signed and not, active
    /// and not; rotations that are remembered; events whose deliveries succeeded, are due again, or
    /// were canceled.
    pub async fn furnished() -> Self {
        let place = Self::new();
        let server = Server::start(&place.path, K1);
        furnish(&server).await;
        server.stop();
        place
    }

    /// The file, as a client of SQLite that may do anything.
    pub fn open(&self) -> Connection {
        Connection::open(&self.path).expect("a database")
    }

    /// Does something to the file that the program would not do.
    pub fn tamper(&self, sql: &str) {
        let db = self.open();
        db.execute_batch(sql).expect(sql);
        assert!(db.changes() > 0, "{sql}");
    }

    /// With so many events more, which takes a while to go through.
    pub fn filled(&self, events: u32) {
        self.tamper(&format!(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {events})
             INSERT INTO event (tenant, id, type, trace_id, created_at, deliveries, kept, remembered, sealed)
             SELECT tenant, id, type, trace_id, created_at, 0, 0, 1, sealed FROM event, n WHERE number = 1"
        ));
    }

    /// Flips the last bit of a sealed value.
    pub fn flip(&self, table: &str, number: i64) {
        let db = self.open();
        let sql = format!("SELECT sealed FROM {table} WHERE rowid = ?1");
        let mut sealed: Vec<u8> = db
            .query_row(&sql, [number], |row| row.get(0))
            .expect("a value");
        *sealed.last_mut().expect("a tag") ^= 1;
        let sql = format!("UPDATE {table} SET sealed = ?2 WHERE rowid = ?1");
        assert_eq!(db.execute(&sql, (number, sealed)), Ok(1));
    }

    /// The names of the files in the directory, in order.
    pub fn files(&self) -> Vec<String> {
        let entries = self.directory.path().read_dir().expect("a directory");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort_unstable();
        names
    }
}

pub async fn furnish(server: &Server) {
    let hook = Receiver::in_background().url();
    let well = server.endpoint(&hook).await;
    // Nobody listens there.
    server.endpoint("http://127.0.0.1:9/").await;
    let gone = server.endpoint("http://127.0.0.1:9/gone").await;
    let off = server.endpoint(&hook).await;
    let verbex = json!({
        "name": "one", "url": hook, "enable_signed_webhooks": true, "events": ["call.*", "a.b"],
        "headers": { "authorization": "Basic c2VjcmV0" },
    });
    server.post("/v1/public/webhook/subscription", verbex).await;
    let unsigned = json!({ "name": "two", "url": hook, "enable_signed_webhooks": false });
    server
        .post("/v1/public/webhook/subscription", unsigned)
        .await;
    let path = format!("/webhooks/endpoints/{off}");
    let (status, _) = server
        .send("PATCH", &path, &json!({ "status": "disabled" }), "off")
        .await;
    assert_eq!(status, 200);
    for round in 0..3 {
        server.rotate(&well, &format!("rotation-{round}")).await;
        let event = json!({ "type": "call.ended", "data": { "round": round } });
        let published = server.post("/events", event).await;
        assert_eq!(published["deliveries"], 5);
    }
    let (status, _) = server
        .send(
            "DELETE",
            &format!("/webhooks/endpoints/{gone}"),
            &json!({}),
            "",
        )
        .await;
    assert_eq!(status, 204);
}
