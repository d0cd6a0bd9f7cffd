//! `hookturn demo`: the story holds, and can be read in a plain terminal.

use hookturn_test::run;

#[test]
fn the_demo_tells_the_whole_story_within_80_columns_and_drops_no_event() {
    let ended = run(&["demo"], &[]);
    let (told, errors) = (ended.out, ended.err);
    assert_eq!(ended.code, Some(0), "{told}\n{errors}");
    assert_eq!(errors, "", "nothing to complain about");

    for sentence in [
        "arrived with 1 signature:",
        "arrived with 2 signatures:",
        "a receiver with the new secret alone verifies it",
        "a receiver with the old secret alone verifies it",
        "a receiver with the old secret alone refuses it",
        "the same answer, byte for byte; nothing was rotated twice",
        "1 h later",
        "72 h later",
    ] {
        assert!(told.contains(sentence), "{sentence}\n{told}");
    }
    // A line for each secret of each dialect in the timelines.
    assert_eq!(
        told.matches("├").count() + told.matches("┤").count(),
        2,
        "{told}"
    );
    assert_eq!(told.matches("●").count(), 8, "{told}");
    assert!(told.trim_end().ends_with(": 0 events dropped"), "{told}");

    assert!(
        !told.contains('\u{1b}'),
        "no colour where there is no terminal"
    );
    for line in told.lines() {
        assert!(line.chars().count() <= 80, "longer than 80 columns: {line}");
    }
    assert!(
        !told.contains("whsec_"),
        "secrets are told by their fingerprints"
    );
}
