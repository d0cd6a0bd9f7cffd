//! `hookturn keys generate`.

use hookturn_test::hookturn;

use super::*;

/// The id and the base64 of what `keys generate` printed.
fn generated(args: &[&str]) -> (String, String) {
    let args = [&["keys", "generate"], args].concat();
    let Ended { code, out, err } = run(&args, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let line = out.strip_suffix('\n').expect("a whole line");
    assert!(!line.contains(char::is_whitespace), "{line}");
    let (id, key) = line.split_once(':').expect("an id");
    (id.to_owned(), key.to_owned())
}

#[test]
fn a_generated_master_key_is_one_that_serve_takes() {
    let (id, key) = generated(&[]);
    let (date, time) = id
        .strip_prefix('k')
        .and_then(|rest| rest.split_once('-'))
        .expect("k, the date and the time");
    let digits = |text: &str| text.parse::<u32>().is_ok().then_some(text.len());
    assert!(date.starts_with("20"), "{id}");
    assert_eq!((digits(date), digits(time)), (Some(8), Some(6)), "{id}");
    let (other_id, other) = generated(&["--id", "new_1"]);
    assert_eq!(other_id, "new_1");
    assert_ne!(key, other);

    let keys = format!("{other_id}:{other},{id}:{key}");
    let variables = [
        ("HOOKTURN_MASTER_KEYS", keys.as_str()),
        ("HOOKTURN_API_KEYS", "a=SECRET-KEY"),
    ];
    let args = ["serve", "--listen", "127.0.0.1:0", "--store", "memory:"];
    let program = Program::start(&args, &variables);
    listening(&program);
    program.signal("TERM");
    let Ended { code, out, err } = program.ended();
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    assert!(!err.contains(&key) && !err.contains(&other), "{err}");
}

/// A key that nobody was told must not look like one that was made.
#[test]
fn a_master_key_that_cannot_be_written_is_a_failure() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let ended = hookturn(&["keys", "generate"], &[])
        .stdout(full)
        .output()
        .expect("the program starts");
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.starts_with("hookturn: cannot write to standard output: ")
            && said.lines().count() == 1,
        "{said}"
    );
}
