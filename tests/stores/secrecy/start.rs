//! What keeps the program from starting is told without the master key, wherever that stood.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::needles::Needles;

const BASE64: &str = "jhFtYXN0ZXIga2V5IG9mIGEgdGVzdPCdfj8+Lys9A8Q";

/// Flags with their variables.
const MASTER: (&str, &str) = ("--master-key", "HOOKTURN_MASTER_KEYS");
const STORE: (&str, &str) = ("--store", "HOOKTURN_STORE");

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
            let ended = Command::new(env!("CARGO_BIN_EXE_hookturn"))
                .args(&args)
                .env_clear()
                .env("HOOKTURN_LISTEN", &address)
                .envs(variables.iter().copied())
                .stdin(Stdio::null())
                .output()
                .expect("the program starts");
            let said = String::from_utf8_lossy(&ended.stderr);
            let case = format!("{args:?} {variables:?}: {said}");
            assert_eq!(ended.status.code(), Some(2), "{case}");
            assert!(ended.stdout.is_empty(), "{case}");
            assert_eq!(said.lines().count(), 1, "{case}");
            assert!(said.contains(named), "{case}");
            needles.assert_absent(&said);
        }
    }
}
