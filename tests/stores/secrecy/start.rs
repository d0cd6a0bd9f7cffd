//! What keeps the program from starting is told without the master key, wherever that stood.

use std::net::TcpListener;

use hookturn_test::{Program, run};

use super::generated_key;
use super::needles::Needles;

const BASE64: &str = "jhFtYXN0ZXIga2V5IG9mIGEgdGVzdPCdfj8+Lys9A8Q";

/// Flags with their variables.
const MASTER: (&str, &str) = ("--master-key", "HOOKTURN_MASTER_KEYS");
const STORE: (&str, &str) = ("--store", "HOOKTURN_STORE");

/// The one line of a program that refuses to start, and that told nobody an API key.
fn refusal(args: &[&str], variables: &[(&str, &str)]) -> String {
    run(args, variables).refusal().to_owned()
}

#[test]
fn no_failure_to_start_shows_the_master_key() {
    // Were a setting taken that is to be refused, this would still keep the server from running on.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound socket").to_string();
    let key = format!("k1:{BASE64}=");
    let twice = format!("{key},{key}");
    let short = format!("k1:{}", &BASE64[..40]);
    let long = format!("{key}AAAA");
    let turned = format!("{BASE64}:k1");
    let host = format!("sqlite://{BASE64}");
    let file = format!("sqlite:{BASE64}");
    let cases: [((&str, &str), &str, &str); 15] = [
        // Nothing is wrong with it.
        (MASTER, &key, "--listen"),
        (MASTER, &twice, MASTER.0),
        (MASTER, &short, MASTER.0),
        (MASTER, &long, MASTER.0),
        (MASTER, &turned, MASTER.0),
        (MASTER, BASE64, MASTER.0),
        // It is in the wrong place.
        (("--listen", "HOOKTURN_LISTEN"), &key, "--listen"),
        (("--api-key", "HOOKTURN_API_KEYS"), &key, "--api-key"),
        (STORE, &key, STORE.0),
        (STORE, BASE64, STORE.0),
        (STORE, &host, STORE.0),
        (STORE, &file, MASTER.0),
        (
            ("--public-url", "HOOKTURN_PUBLIC_URL"),
            &key,
            "--public-url",
        ),
        (
            ("--rate-limit", "HOOKTURN_RATE_LIMIT"),
            &key,
            "--rate-limit",
        ),
        (("--dev", "HOOKTURN_DEV"), &key, "--dev"),
    ];
    let mut needles = Needles::default();
    needles.add_master_key(BASE64);
    for ((flag, variable), value, named) in cases {
        let flag = format!("{flag}={value}");
        for (args, variables, named) in [
            (vec!["serve"], &[(variable, value)][..], named),
            (vec!["serve", &flag], &[], named),
            // It is an argument, where none is taken.
            (vec!["serve", value], &[], "unexpected argument"),
            (vec!["keys", value], &[], "unknown command"),
            (vec!["keys", "generate", value], &[], "unexpected argument"),
            (vec!["keys", "generate", "--id", &short], &[], "--id"),
        ] {
            let variables = [&[("HOOKTURN_LISTEN", address.as_str())], variables].concat();
            let said = refusal(&args, &variables);
            assert!(said.contains(named), "{args:?} {variables:?}: {said}");
            needles.assert_absent(&said);
        }
    }
}

/// It is told before an API key is made known, and before anything is served.
#[test]
fn a_store_that_cannot_be_opened_is_one_line_without_the_master_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let foreign = folder.path().join("foreign.db");
    std::fs::write(
        &foreign,
        "a text of somebody else's, longer than a page of nothing".repeat(99),
    )
    .expect("an own folder");
    let mut needles = Needles::default();
    needles.add_master_key(BASE64);
    let key = format!("k1:{BASE64}");

    let good = url("hookturn.db");
    let program = Program::serve(&["--store", &good, "--log", "trace"], &[(MASTER.1, &key)]);
    let api_key = generated_key(&program);
    program.signal("TERM");
    let ended = program.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    needles.assert_absent(&ended.out);
    needles.assert_absent(&ended.err);

    let mut other = BASE64.to_owned();
    other.replace_range(..1, "k");
    needles.add_master_key(&other);
    let (wrong, unknown) = (format!("k1:{other}"), format!("k2:{other}"));
    for (store, key) in [
        (url("missing/hookturn.db"), &key),
        (url(""), &key),
        (url("foreign.db"), &key),
        (good.clone(), &wrong),
        (good.clone(), &unknown),
    ] {
        let variables = [
            ("HOOKTURN_LISTEN", "127.0.0.1:0"),
            (STORE.1, &store),
            (MASTER.1, key),
        ];
        let said = refusal(&["serve"], &variables);
        assert!(!said.contains(&api_key), "{said}");
        needles.assert_absent(&said);
        let blamed = if store == good { MASTER.0 } else { STORE.0 };
        assert!(said.starts_with(&format!("hookturn: {blamed} ")), "{said}");
    }
}
