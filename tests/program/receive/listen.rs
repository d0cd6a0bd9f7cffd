//! `hookturn listen`: what it prints, answers and passes on.

use std::io::{BufRead as _, BufReader};
use std::sync::mpsc::{self, Receiver};

use super::*;

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
    let scratch = Scratch::new();
    let file = scratch.file("secrets", format!("# old\n{}\n", text(1)));
    let listener = Listener::start(&["--secrets-file", &file], &[]);
    let with_new = headers(Format::StandardWebhooks, &[2], now(), BODY);
    let (answer, _) = listener.deliver(&with_new, BODY);
    assert_eq!(status(&answer), "401");

    scratch.file(
        "secrets",
        format!("{}\r\n\n  {}  \nwhsec_!\n", text(1), text(2)),
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
    let said = block.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("no server listens there"), "{block}");
}

#[test]
fn bad_usage_of_listen_is_one_line_without_a_secret() {
    let scratch = Scratch::new();
    let secret = text(1);
    let gone = scratch
        .0
        .path()
        .join("gone")
        .to_str()
        .expect("UTF-8")
        .to_owned();
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
            "it cannot be used with --status",
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
