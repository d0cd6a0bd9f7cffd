//! `hookturn listen` and `hookturn verify` as they are run: spawned, with real deliveries over loopback.
//!
//! No test sleeps; each waits for a line, an answer or an exit, within [`PATIENCE`].

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use hookturn::{
    clock::{Clock as _, SystemClock},
    domain::{
        Format, Secret,
        signature::{self, Signer},
    },
};

const PATIENCE: Duration = Duration::from_secs(30);

const BODY: &str = r#"{"type":"call.started","data":{}}"#;

fn secret(byte: u8) -> Secret {
    Secret::from_bytes(&[byte; 30])
}

/// A secret's text, as a flag.
fn text(byte: u8) -> String {
    secret(byte).expose().to_string()
}

fn now() -> i64 {
    SystemClock.wall().unix_seconds()
}

/// The headers of a delivery signed at `timestamp` with the secrets of these bytes.
fn headers(format: Format, secrets: &[u8], timestamp: i64, body: &str) -> String {
    let signers: Vec<_> = secrets
        .iter()
        .map(|byte| Signer::new(format, &secret(*byte)))
        .collect();
    match format {
        Format::StandardWebhooks => format!(
            "webhook-id: evt_1\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: {}\r\n",
            signature::standard_webhooks(&signers, "evt_1", timestamp, body.as_bytes())
        ),
        Format::Verbex => format!(
            "X-Webhook-Event: Call.Started\r\nX-Webhook-Traceid: 0af7651916cd43dd8448eb211c80319c\r\n\
             X-Webhook-Signature: {}\r\n",
            signature::verbex(&signers, timestamp, body.as_bytes())
        ),
    }
}

/// A directory of the test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the target directory is writable");
        Self(path)
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("the scratch directory is writable");
        path.to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn hookturn(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookturn"));
    command
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `hookturn listen`, ended with the test.
struct Listener {
    child: Child,
    address: String,
    out: Receiver<String>,
}

impl Listener {
    fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let args = [&["listen", "--listen", "127.0.0.1:0"], args].concat();
        let mut child = hookturn(&args, variables).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("piped");
        let (send, out) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut listener = Self {
            child,
            address: String::new(),
            out,
        };
        let greeting = listener.block();
        let (_, rest) = greeting.split_once("http://").expect("a URL");
        let end = rest.find(' ').expect("a word after it");
        rest[..end].clone_into(&mut listener.address);
        listener
    }

    /// The lines up to the next blank one.
    fn block(&self) -> String {
        let mut block = String::new();
        loop {
            match self
                .out
                .recv_timeout(PATIENCE)
                .expect("another line")
                .as_str()
            {
                "" => return block,
                line => block = block + line + "\n",
            }
        }
    }

    /// Sends a delivery and returns the answer and the block that tells of it.
    fn deliver(&self, headers: &str, body: &str) -> (String, String) {
        let answer = post(&self.address, headers, body);
        (answer, self.block())
    }

    /// Presses Ctrl-C and returns what it says at the end, on standard output and on standard error.
    fn interrupt(mut self) -> (String, String) {
        let kill = format!("kill -INT {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("a shell").success());
        let mut last = String::new();
        loop {
            match self.out.recv_timeout(PATIENCE) {
                Ok(line) => last = last + &line + "\n",
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
        assert!(self.child.wait().expect("a child").success());
        let mut err = String::new();
        let stderr = self.child.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut err).expect("text");
        (last, err)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(address: &str, head: &str, body: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("open");
    let head = format!("{head}Host: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("it reads");
    // A refused body may be left unread.
    let _ = socket.write_all(body);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

fn post(address: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("POST /hook HTTP/1.1\r\n{headers}Content-Length: {length}\r\n");
    request(address, &head, body.as_bytes())
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

/// That a block fits a terminal and shows no secret.
fn assert_fit_to_show(block: &str) {
    for line in block.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for byte in 0..10 {
        assert!(!block.contains(&text(byte)[6..]), "{block}");
    }
}

#[test]
fn each_delivery_is_told_and_answered() {
    let (old, new) = (text(1), text(2));
    let listener = Listener::start(&["--secret", &new, "--secret", &old], &[]);

    let grace = headers(Format::StandardWebhooks, &[2, 1], now(), BODY);
    let (answer, block) = listener.deliver(&grace, BODY);
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(
        block.contains("Z  verified with secrets 1 and 2\n"),
        "{block}"
    );
    for row in [
        "event        call.started\n",
        "id           evt_1\n",
        "format       Standard Webhooks\n",
        "signature 1  v1, made with secret 1\n",
        "signature 2  v1, made with secret 2\n",
        "answered     200\n",
    ] {
        assert!(block.contains(row), "{row}{block}");
    }
    assert!(
        block.contains(&secret(1).fingerprint().to_string()),
        "{block}"
    );
    assert_fit_to_show(&block);

    let retired = headers(Format::Verbex, &[3, 1], now(), BODY);
    let (answer, block) = listener.deliver(&retired, BODY);
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(block.contains("verified with secret 2\n"), "{block}");
    assert!(block.contains("event        Call.Started\n"), "{block}");
    assert!(
        block.contains("with a secret that is not given here"),
        "{block}"
    );
    assert_fit_to_show(&block);

    let foreign = headers(Format::Verbex, &[4], now(), BODY);
    let (answer, block) = listener.deliver(&foreign, BODY);
    assert_eq!(status(&answer), "401", "{answer}");
    assert!(block.contains("Z  NOT verified\n"), "{block}");
    assert!(block.contains("answered     401\n"), "{block}");
    assert_fit_to_show(&block);

    // What a stranger sends does not reach the terminal as it is.
    let hostile = "webhook-id: \u{9b}31m\r\nwebhook-signature: v1,\u{9b}\r\n";
    let (answer, block) = listener.deliver(hostile, "{\"type\":\"\\u001b[31mred\"}");
    assert_eq!(status(&answer), "401", "{answer}");
    assert!(block.contains("event        ?[31mred\n"), "{block}");
    assert!(
        !block.contains(|char: char| char.is_control() && char != '\n'),
        "{block:?}"
    );

    let (last, err) = listener.interrupt();
    assert_eq!(last, "4 deliveries: 2 verified, 2 not\n");
    assert_eq!(err, "");
}

#[test]
fn a_rotation_can_be_rehearsed_with_the_file() {
    let scratch = Scratch::new("rehearsal");
    let file = scratch.file("secrets", &format!("# old\n{}\n", text(1)));
    let listener = Listener::start(&["--secrets-file", &file], &[]);
    let with_new = headers(Format::StandardWebhooks, &[2], now(), BODY);
    let (answer, _) = listener.deliver(&with_new, BODY);
    assert_eq!(status(&answer), "401");

    scratch.file(
        "secrets",
        &format!("{}\r\n\n  {}  \nwhsec_!\n", text(1), text(2)),
    );
    let (answer, block) = listener.deliver(&with_new, BODY);
    assert_eq!(status(&answer), "200");
    assert!(block.contains("verified with secret 2\n"), "{block}");
    assert!(
        block.contains("(line 3 of the file): made signature 1"),
        "{block}"
    );
    assert!(block.contains("(line 4 of the file): malformed"), "{block}");

    fs::remove_file(&file).expect("it is there");
    let (answer, block) = listener.deliver(&with_new, BODY);
    assert_eq!(status(&answer), "401");
    assert!(block.contains("secrets      cannot read"), "{block}");
}

#[test]
fn it_answers_as_it_is_told() {
    let secret = text(1);
    let delivery = headers(Format::StandardWebhooks, &[1], now(), BODY);

    let variables = [
        ("HOOKTURN_LISTEN_SECRETS", secret.as_str()),
        ("HOOKTURN_LISTEN_STATUS", "204"),
        ("HOOKTURN_LISTEN_FAIL_RATE", "50"),
        ("HOOKTURN_LISTEN_DELAY", "0.02"),
        ("HOOKTURN_LISTEN_TOLERANCE", ""),
    ];
    let listener = Listener::start(&[], &variables);
    let start = Instant::now();
    let answers: Vec<_> = (0..4)
        .map(|_| status(&listener.deliver(&delivery, BODY).0).to_owned())
        .collect();
    assert_eq!(answers, ["204", "500", "204", "500"]);
    assert!(start.elapsed() >= Duration::from_millis(80));
    let (_, block) = listener.deliver("", BODY);
    assert!(
        block.contains("answered     204, after 0.02 s\n"),
        "{block}"
    );

    let old = headers(Format::StandardWebhooks, &[1], now() - 50, BODY);
    let listener = Listener::start(&["--secret", &secret, "--tolerance", "40"], &[]);
    let (answer, block) = listener.deliver(&old, BODY);
    assert_eq!(status(&answer), "401");
    assert!(block.contains("it is too old"), "{block}");
    assert!(block.contains("made signature 1"), "{block}");
}

#[test]
fn what_is_no_delivery_is_refused() {
    let listener = Listener::start(&[], &[]);
    let answer = request(&listener.address, "GET / HTTP/1.1\r\n", b"");
    assert!(
        answer.starts_with("HTTP/1.1 405") && answer.contains("allow: POST"),
        "{answer}"
    );
    let large = "x".repeat(1024 * 1024 + 1);
    let (answer, block) = listener.deliver("", &large);
    assert_eq!(status(&answer), "413", "{answer}");
    assert!(block.contains("larger than 1 MiB"), "{block}");
    let (answer, block) = listener.deliver("", &large[1..]);
    assert_eq!(status(&answer), "401", "{answer}");
    assert!(block.contains("no well-formed secret"), "{block}");
    assert_eq!(listener.interrupt().0, "2 deliveries: 0 verified, 2 not\n");
}

/// Answers one request, and sends what it was to the test.
fn upstream(answer: &'static str) -> (String, Receiver<String>) {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = server.local_addr().expect("bound").to_string();
    let (send, received) = mpsc::channel();
    thread::spawn(move || {
        let (mut socket, _) = server.accept().expect("a connection");
        drop(server);
        let mut reader = BufReader::new(socket.try_clone().expect("open"));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).expect("a head");
        }
        let mut body = vec![0; BODY.len()];
        reader.read_exact(&mut body).expect("a body");
        socket.write_all(answer.as_bytes()).expect("it reads");
        let _ = send.send(head + &String::from_utf8(body).expect("text"));
    });
    (address, received)
}

#[test]
fn deliveries_are_passed_on_and_the_answer_back() {
    let (address, received) = upstream(
        "HTTP/1.1 202 Accepted\r\nX-Own: yes\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let url = format!("http://{address}/in?x=1");
    let secret = text(1);
    let listener = Listener::start(&["--secret", &secret, "--forward", &url], &[]);
    let delivery = headers(Format::StandardWebhooks, &[1], now(), BODY);
    let (answer, block) = listener.deliver(&delivery, BODY);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(
        answer.contains("x-own: yes\r\n") && answer.ends_with("\r\n\r\nok"),
        "{answer}"
    );
    let told = format!("answered     202, as http://{address}/in did\n");
    assert!(block.contains(&told), "{block}");

    let request = received.recv_timeout(PATIENCE).expect("a request");
    assert!(
        request.starts_with("POST /in?x=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains(&format!("host: {address}\r\n")),
        "{request}"
    );
    assert!(request.contains("webhook-id: evt_1\r\n"), "{request}");
    assert!(!request.contains("connection: close"), "{request}");
    assert!(request.ends_with(&format!("\r\n\r\n{BODY}")), "{request}");

    // The upstream has ended.
    let (answer, block) = listener.deliver(&delivery, BODY);
    assert_eq!(status(&answer), "502", "{answer}");
    assert!(block.contains("nothing listens there"), "{block}");
}

/// Runs `hookturn verify`; returns its exit code, and what it says on standard output and standard error.
fn verify(args: &[&str], input: Option<&str>) -> (i32, String, String) {
    let args = [&["verify"], args].concat();
    let mut child = hookturn(&args, &[("HOOKTURN_VERIFY_SECRETS", "")])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may have refused already.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("an exit");
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn a_saved_request_is_checked() {
    let scratch = Scratch::new("saved");
    let secret = text(1);
    for format in [Format::StandardWebhooks, Format::Verbex] {
        let head = headers(format, &[1], 1_700_000_000, BODY);
        let head_file = scratch.file("head", &head);
        let body_file = scratch.file("body", BODY);
        let whole_file = scratch.file("whole", &format!("POST / HTTP/1.1\r\n{head}\r\n{BODY}"));
        let secrets_file = scratch.file("secrets", &secret);
        let saved = ["--headers", &head_file, "--body", &body_file];
        let whole = ["--headers", &whole_file];
        let piped = ["--headers", &head_file, "--body", "-"];
        for (request, age, code) in [
            (&saved[..], &["--at", "delivery"][..], 0),
            (&saved, &["--no-tolerance"], 0),
            (&saved, &["--at", "1700000300"], 0),
            (&saved, &["--at", "1700000301"], 1),
            (&saved, &["--at", "1700000301", "--tolerance", "301"], 0),
            (&saved, &["--at", "2023-11-14T22:13:21Z"], 0),
            (&saved, &[], 1),
            (&whole, &["--at", "delivery"], 0),
            (&piped, &["--at", "delivery"], 0),
        ] {
            for secrets in [["--secret", &secret], ["--secrets-file", &secrets_file]] {
                let args = [request, age, &secrets].concat();
                let (found, out, err) = verify(&args, Some(BODY));
                assert_eq!((found, err.as_str()), (code, ""), "{args:?}: {out}");
                let headline = if code == 0 {
                    "verified with secret 1\n"
                } else {
                    "NOT verified\n"
                };
                assert!(out.starts_with(headline), "{out}");
                assert_fit_to_show(&out);
            }
        }

        let args = [&piped[..], &["--secret", &secret, "--at", "delivery"]].concat();
        let (code, out, _) = verify(&args, Some(&format!("{BODY}\n")));
        assert_eq!(code, 1);
        assert!(
            out.contains("hint         with secret 1 it verifies without the line end"),
            "{out}"
        );
        assert_fit_to_show(&out);
        let other = text(2);
        let args = [&saved[..], &["--secret", &other, "--at", "delivery"]].concat();
        let (code, out, _) = verify(&args, None);
        assert_eq!(code, 1);
        assert!(out.contains("a signature cannot"), "{out}");
    }
}

/// Asserts that each command line is refused with one line that holds the text, and no secret.
fn assert_refused(cases: &[(&[&str], &str)]) {
    for (args, expected) in cases {
        let output = hookturn(args, &[]).output().expect("it runs");
        let err = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert_eq!((output.stdout.len(), err.lines().count()), (0, 1), "{err}");
        assert!(
            err.starts_with("hookturn: ") && err.contains(expected),
            "{args:?}: {err}"
        );
        assert!(
            !err.contains("SECRET\n") && !err.contains("SECRET@"),
            "{err}"
        );
        assert!(!err.contains("whsec_S") && !err.contains(&text(1)), "{err}");
    }
}

#[test]
fn bad_usage_of_verify_is_one_line_without_a_secret() {
    let scratch = Scratch::new("usage_of_verify");
    let secret = text(1);
    let bad = "whsec_SECRET";
    let head = scratch.file("head", "webhook-id: 1\n");
    let no_head = scratch.file("no_head", "webhook-id: 1\nSECRET\n");
    let secrets = scratch.file("secrets", "# SECRET\n\nSECRET\n");
    let gone = scratch.0.join("gone").to_str().expect("UTF-8").to_owned();
    let cases: &[(&[&str], &str)] = &[
        (&["verify"], "missing argument --headers <FILE>"),
        (
            &["verify", "--headers", &head],
            "--secret (HOOKTURN_VERIFY_SECRETS): give one",
        ),
        (
            &["verify", "--headers", &head, "--secret", bad],
            "secret 1: ",
        ),
        (
            &["verify", "--headers", &head, "--secret", "SECRET"],
            "starts with whsec_",
        ),
        (
            &["verify", "--headers", &head, "--secrets-file", &secrets],
            "--secrets-file: line 3 of ",
        ),
        (
            &["verify", "--headers", &gone, "--secret", &secret],
            "--headers: cannot read ",
        ),
        (
            &["verify", "--headers", &no_head, "--secret", &secret],
            "line 2 is no header",
        ),
        (
            &["verify", "--headers", &head, "--secret", &secret],
            "--body: give the file",
        ),
        (
            &[
                "verify",
                "--headers",
                &head,
                "--secret",
                &secret,
                "--at",
                "SECRET",
            ],
            "--at: write now, delivery",
        ),
        (
            &[
                "verify",
                "--headers",
                "-",
                "--body",
                "-",
                "--secret",
                &secret,
            ],
            "only one of --headers and --body",
        ),
        (
            &["verify", "--headers", &head, "--secert=SECRET"],
            "did you mean --secret",
        ),
    ];
    assert_refused(cases);
}

#[test]
fn bad_usage_of_listen_is_one_line_without_a_secret() {
    let scratch = Scratch::new("usage_of_listen");
    let secret = text(1);
    let gone = scratch.0.join("gone").to_str().expect("UTF-8").to_owned();
    let cases: &[(&[&str], &str)] = &[
        (
            &["listen", "--secret", &secret, "--secret", "whsec_SECRET"],
            "secret 2: ",
        ),
        (
            &["listen", "--secrets-file", &gone],
            "--secrets-file (HOOKTURN_LISTEN_SECRETS_FILE): ",
        ),
        (
            &["listen", "--listen", "9000"],
            "--listen (HOOKTURN_LISTEN_ADDR): write HOST:PORT",
        ),
        (
            &["listen", "--status", "99"],
            "--status (HOOKTURN_LISTEN_STATUS): ",
        ),
        (&["listen", "--delay", "soon"], "--delay"),
        (
            &["listen", "--fail-rate", "101"],
            "--fail-rate (HOOKTURN_LISTEN_FAIL_RATE): ",
        ),
        (
            &["listen", "--forward", "https://u:SECRET@h"],
            "--forward (HOOKTURN_LISTEN_FORWARD): ",
        ),
        (
            &[
                "listen",
                "--forward",
                "http://127.0.0.1:1",
                "--status",
                "200",
            ],
            "it goes with no --status",
        ),
        (
            &["listen", "--tolerance", "5m"],
            "--tolerance (HOOKTURN_LISTEN_TOLERANCE): ",
        ),
    ];
    assert_refused(cases);
}

#[test]
fn help_shows_no_secret() {
    let variables = [
        ("HOOKTURN_LISTEN_SECRETS", "whsec_SECRET"),
        ("HOOKTURN_VERIFY_SECRETS", "whsec_SECRET"),
    ];
    for command in ["listen", "verify"] {
        let output = hookturn(&[command, "--help"], &variables)
            .output()
            .expect("it runs");
        let help = String::from_utf8(output.stdout).expect("text");
        assert!(
            help.contains("--secrets-file") && !help.contains("whsec_S"),
            "{help}"
        );
    }
}
