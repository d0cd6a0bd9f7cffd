//! The program as it is started and stopped: spawned, with nothing of this process's environment.
//!
//! No test sleeps; each waits for a line, an answer or an exit, within [`PATIENCE`].

mod keys;
mod stalled;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use hookturn_test::{Ended, PATIENCE, Program, run};

/// Asserts that the program refuses to start as it should, and returns its one line.
fn refusal(args: &[&str], variables: &[(&str, &str)]) -> String {
    let ended = run(args, variables);
    println!("{args:?} {variables:?}: {ended:?}");
    let said = ended.refusal();
    assert!(!said.contains("SECRET"), "{said}");
    said.to_owned()
}

/// The status line of `GET /healthz`.
fn health(address: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    write!(
        socket,
        "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .expect("it reads");
    let mut answer = String::new();
    BufReader::new(socket)
        .read_line(&mut answer)
        .expect("an answer");
    answer
}

/// The address in the log line that says where the server listens.
fn listening(program: &Program) -> (String, serde_json::Value) {
    let line: serde_json::Value =
        serde_json::from_str(&program.err.line()).expect("JSON, off a terminal");
    assert_eq!(line["message"], "listening");
    (
        line["address"].as_str().expect("an address").to_owned(),
        line,
    )
}

/// Settings with a bad value: by flags, by variable and value, and how the line begins that says
/// so.
const BAD: [(&[&str], &str, &str, &str); 19] = [
    (
        &["--listen", "8080"],
        "HOOKTURN_LISTEN",
        "8080",
        "--listen (HOOKTURN_LISTEN): ",
    ),
    (
        &["--api-key", "SECRET"],
        "HOOKTURN_API_KEYS",
        "SECRET",
        "--api-key (HOOKTURN_API_KEYS): entry 1: ",
    ),
    (
        &["--api-key", "a=SECRET-KEY", "--api-key", "b=SECRET-KEY"],
        "HOOKTURN_API_KEYS",
        "a=SECRET-KEY,b=SECRET-KEY",
        "--api-key (HOOKTURN_API_KEYS): entry 2: ",
    ),
    (
        &["--store", "sqlite:SECRET.db"],
        "HOOKTURN_STORE",
        "sqlite:SECRET.db",
        "--master-key (HOOKTURN_MASTER_KEYS): a store in a file needs a master key to \
         encrypt it; `hookturn keys generate` makes one",
    ),
    (
        &["--store", "sqlite://SECRET/hookturn.db"],
        "HOOKTURN_STORE",
        "sqlite://SECRET/hookturn.db",
        "--store (HOOKTURN_STORE): the store `sqlite:` has no host, and everything after the \
         colon is the path; write a path such as sqlite:/var/lib/hookturn/hookturn.db",
    ),
    (
        &["--store", "sqlite::memory:"],
        "HOOKTURN_STORE",
        "sqlite::memory:",
        "--store (HOOKTURN_STORE): the store `sqlite:` keeps its records in a file; ",
    ),
    (
        &["--store", "postgres://u:SECRET@db"],
        "HOOKTURN_STORE",
        "postgres://u:SECRET@db",
        "--store (HOOKTURN_STORE): the store `postgres:` is not supported by this version; use memory: or sqlite:PATH",
    ),
    (
        &["--master-key", "k:SECRET"],
        "HOOKTURN_MASTER_KEYS",
        "k:SECRET",
        "--master-key (HOOKTURN_MASTER_KEYS): ",
    ),
    (
        &["--rate-limit", "0"],
        "HOOKTURN_RATE_LIMIT",
        "0",
        "--rate-limit (HOOKTURN_RATE_LIMIT): ",
    ),
    (
        &["--public-url", "https://u:SECRET@h"],
        "HOOKTURN_PUBLIC_URL",
        "https://u:SECRET@h",
        "--public-url (HOOKTURN_PUBLIC_URL): ",
    ),
    (
        &["--log", "hookturn=loud"],
        "HOOKTURN_LOG",
        "hookturn=loud",
        "--log (HOOKTURN_LOG): ",
    ),
    (
        &["--log-format", "xml"],
        "HOOKTURN_LOG_FORMAT",
        "xml",
        "--log-format (HOOKTURN_LOG_FORMAT): ",
    ),
    (
        &["--max-connections", "0"],
        "HOOKTURN_MAX_CONNECTIONS",
        "0",
        "--max-connections (HOOKTURN_MAX_CONNECTIONS): ",
    ),
    (
        &["--max-connections-per-address", "0"],
        "HOOKTURN_MAX_CONNECTIONS_PER_ADDRESS",
        "0",
        "--max-connections-per-address",
    ),
    (
        &["--quota-endpoints", "0"],
        "HOOKTURN_QUOTA_ENDPOINTS",
        "0",
        "--quota-endpoints (HOOKTURN_QUOTA_ENDPOINTS): ",
    ),
    (
        &["--quota-pending-deliveries", "1.5"],
        "HOOKTURN_QUOTA_PENDING_DELIVERIES",
        "1.5",
        "--quota-pending-deliveries (HOOKTURN_QUOTA_PENDING_DELIVERIES): ",
    ),
    (
        &["--quota-event-bytes", "1 GiB"],
        "HOOKTURN_QUOTA_EVENT_BYTES",
        "1 GiB",
        "--quota-event-bytes (HOOKTURN_QUOTA_EVENT_BYTES): ",
    ),
    (
        &["--quota-idempotency-keys", "ten"],
        "HOOKTURN_QUOTA_IDEMPOTENCY_KEYS",
        "ten",
        "--quota-idempotency-keys",
    ),
    // A flag without a value has no bad one.
    (&["--dev=maybe"], "HOOKTURN_DEV", "maybe", "--dev"),
];

#[test]
fn a_bad_setting_is_one_line_that_names_it() {
    for (flags, variable, value, expected) in BAD {
        // Port 0, so that a setting that is wrongly taken does not stand in the way of another
        // test.
        let args = [&["serve"], flags].concat();
        let said = refusal(&args, &[("HOOKTURN_LISTEN", "127.0.0.1:0")]);
        assert!(said.contains(expected), "{said}");
        let said = refusal(&["serve"], &[(variable, value)]);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_bad_command_line_is_one_line_that_quotes_no_value() {
    for (args, expected) in [
        (&[][..], "no command"),
        (&["SECRET"], "unknown command"),
        (&["serve", "a=SECRET-KEY"], "unexpected argument"),
        (
            &["serve", "--api-kye=a=SECRET-KEY"],
            "unknown flag --api-kye; did you mean --api-key?",
        ),
        (
            &["serve", "--api-kye", "a=SECRET-KEY"],
            "unknown flag --api-kye",
        ),
        (&["serve", "-kSECRET"], "unexpected argument"),
        (&["serve", "--listen"], "--listen needs a value"),
        (
            &["serve", "--listen=a:1", "--listen=SECRET"],
            "--listen can be given only once",
        ),
        (&["serve", "--dev=SECRET"], "--dev takes no value"),
        (&["openapi"], "missing argument <DIALECT>"),
        (&["openapi", "SECRET"], "write 2026-03-01 or verbex-v1"),
        (
            &["keys"],
            "no command is given; the commands are generate and rewrap; see `hookturn keys --help`",
        ),
        (
            &["keys", "SECRET"],
            "unknown command; the commands are generate and rewrap",
        ),
        (
            &["keys", "rewrap", "--master-key=SECRET"],
            "--store (HOOKTURN_STORE): the store `memory:` has no file; write sqlite:PATH",
        ),
        (
            &["keys", "rewrap", "--store=sqlite:x", "--master-key=SECRET"],
            "--master-key (HOOKTURN_MASTER_KEYS): entry 1: ",
        ),
        (
            &["check"],
            "missing argument <PATH>; see `hookturn check --help`",
        ),
        (
            &["check", "x", "--master-key", "k:SECRET"],
            "--master-key (HOOKTURN_MASTER_KEYS): entry 1: ",
        ),
        (
            &["backup", "x", "--store=SECRET"],
            "--store (HOOKTURN_STORE): the store URL is not supported",
        ),
        (
            &["keys", "generate", "--id"],
            "--id needs a value; see `hookturn keys generate --help`",
        ),
        (
            &["keys", "generate", "--id", "SECRET key"],
            "--id: write 1 to 64 characters of A-Z a-z 0-9 _ -",
        ),
    ] {
        let said = refusal(args, &[]);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn only_what_is_near_is_suggested() {
    for (args, meant) in [
        (&["serve", "--api-kye=SECRET"][..], "--api-key"),
        (&["serve", "--API-KEY=SECRET"], "--api-key"),
        (&["serve", "--apikey", "SECRET"], "--api-key"),
        (&["serve", "--master_key", "SECRET"], "--master-key"),
        (&["serve", "--ratelimit=1"], "--rate-limit"),
        (&["serve", "--hlep"], "--help"),
        (&["listen", "--secret-file=SECRET"], "--secrets-file"),
        (&["verify", "--header=SECRET"], "--headers"),
        (&["srve"], "serve"),
        (&["Serve", "--api-key=SECRET"], "serve"),
        (&["keys", "genrate"], "generate"),
    ] {
        let said = refusal(args, &[]);
        let meant = format!("; did you mean {meant}? See `hookturn ");
        assert!(said.contains(&meant), "{args:?}: {said}");
    }
    for args in [
        &["serve", "--drain-delay=1"][..],
        &["serve", "--port=80"],
        &["serve", "--key=SECRET"],
        &["serve", "--config", "SECRET"],
        &["serve", "--database-url=SECRET"],
        &["serve", "--secrets-file=SECRET"],
        &["listen", "--store=SECRET"],
        &["verify", "--signature=SECRET"],
        &["keys", "generate", "--store=SECRET"],
        &["start", "--api-key=SECRET"],
        &["rotate"],
        &["keys", "list"],
    ] {
        let said = refusal(args, &[]);
        assert!(said.contains("unknown "), "{args:?}: {said}");
        assert!(!said.contains("did you mean"), "{args:?}: {said}");
    }
}

#[test]
fn a_taken_port_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound socket").to_string();
    let said = refusal(&["serve", "--listen", &address], &[]);
    assert!(
        said.contains("--listen (HOOKTURN_LISTEN): cannot listen on"),
        "{said}"
    );
    assert!(
        said.contains(&address) && said.contains("choose another port"),
        "{said}"
    );
}

#[test]
fn without_a_key_one_is_made_and_told_once() {
    let program = Program::start(&["serve", "--listen", "127.0.0.1:0"], &[]);
    let first = program.out.line();
    let url = first
        .split(' ')
        .find(|word| word.starts_with("http://"))
        .expect("a URL")
        .to_owned();
    assert!(first.contains(&format!("{url}/docs")), "{first}");
    let address = url.trim_start_matches("http://");
    assert!(health(address).starts_with("HTTP/1.1 200"));
    program.signal("TERM");
    let Ended { code, out, err } = program.ended();
    assert_eq!(code, Some(0), "{err}");
    let curl = out
        .lines()
        .find(|line| line.trim().starts_with("curl "))
        .expect("a curl line");
    assert!(
        curl.contains(r#"--json '{"url":"https://example.com/hook"}'"#),
        "{curl}"
    );
    assert!(
        curl.ends_with(&format!("{url}/webhooks/endpoints")),
        "{curl}"
    );
    let key = curl
        .split_once("Bearer ")
        .and_then(|(_, rest)| rest.split_once('\''))
        .expect("a key")
        .0;
    assert!(key.starts_with("hk_") && key.len() >= 35, "{key}");
    assert!(!err.contains(key), "{err}");

    let other = Program::start(&["serve", "--listen", "127.0.0.1:0"], &[]);
    other.out.line();
    other.signal("TERM");
    assert!(!other.ended().out.contains(key));
}

#[test]
fn with_a_key_standard_output_stays_empty() {
    for signal in ["TERM", "INT"] {
        let args = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--api-key",
            "a=SECRET-KEY-1",
            "--api-key",
            "b=SECRET-KEY-2",
        ];
        let program = Program::start(&args, &[]);
        let (address, said) = listening(&program);
        assert_eq!(said["dev"], false);
        assert!(health(&address).starts_with("HTTP/1.1 200"));
        // An idle connection does not hold it up.
        let idle = TcpStream::connect(&address).expect("a connection");
        program.signal(signal);
        let Ended { code, out, err } = program.ended();
        assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
        assert!(!err.contains("SECRET"), "{err}");
        drop(idle);
    }
}

#[test]
fn variables_mirror_flags() {
    let all = [
        ("HOOKTURN_LISTEN", "localhost:0"),
        ("HOOKTURN_API_KEYS", "a=SECRET-KEY-1,a=SECRET-KEY-2"),
        ("HOOKTURN_STORE", "memory:"),
        (
            "HOOKTURN_MASTER_KEYS",
            "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ),
        ("HOOKTURN_RATE_LIMIT", "off"),
        ("HOOKTURN_PUBLIC_URL", "https://hooks.example.com/"),
        ("HOOKTURN_LOG", "info"),
        ("HOOKTURN_LOG_FORMAT", "json"),
        ("HOOKTURN_DEV", "1"),
        ("HOOKTURN_MAX_CONNECTIONS", "10"),
        ("HOOKTURN_MAX_CONNECTIONS_PER_ADDRESS", "off"),
        ("HOOKTURN_QUOTA_ENDPOINTS", "10"),
        ("HOOKTURN_QUOTA_PENDING_DELIVERIES", "off"),
        ("HOOKTURN_QUOTA_EVENT_BYTES", "1000000"),
        ("HOOKTURN_QUOTA_IDEMPOTENCY_KEYS", "off"),
    ];
    let program = Program::start(&["serve"], &all);
    let (_, said) = listening(&program);
    assert_eq!(said["dev"], true);
    program.signal("TERM");
    let ended = program.ended();
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));

    // An empty variable is none; only the address is changed, to a free port.
    let empty: Vec<_> = all.iter().map(|(name, _)| (*name, "")).collect();
    let program = Program::start(&["serve", "--listen", "127.0.0.1:0"], &empty);
    assert!(program.out.line().contains("http://127.0.0.1:"));
    program.signal("TERM");
    assert_eq!(program.ended().code, Some(0));
}

#[test]
fn help_and_version_are_no_failures_and_show_no_key() {
    let secrets = [
        ("HOOKTURN_API_KEYS", "a=SECRET-KEY"),
        ("HOOKTURN_MASTER_KEYS", "k:SECRET"),
        ("HOOKTURN_STORE", "postgres://u:SECRET@db"),
        ("HOOKTURN_PUBLIC_URL", "https://u:SECRET@h"),
    ];
    let Ended { code, out, err } = run(&["serve", "--help"], &secrets);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.contains("HOOKTURN_API_KEYS") && !out.contains("SECRET"),
        "{out}"
    );
    let Ended { code, out, err } = run(&["--version"], &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out, format!("hookturn {}\n", env!("CARGO_PKG_VERSION")));
}

/// The commands that need the file of a store have no default for it, so they name none.
#[test]
fn only_the_server_has_a_default_store() {
    for (command, has_default) in [
        (&["serve", "--help"][..], true),
        (&["backup", "--help"], false),
        (&["keys", "rewrap", "--help"], false),
    ] {
        let Ended { code, out, err } = run(command, &[]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(out.contains("HOOKTURN_STORE"), "{out}");
        assert_eq!(out.contains("[default: memory:]"), has_default, "{out}");
    }
}

#[test]
fn a_document_is_all_of_standard_output() {
    for dialect in ["2026-03-01", "verbex-v1"] {
        let Ended { code, out, err } = run(&["openapi", dialect], &[]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert!(document["openapi"].is_string());
    }
}
