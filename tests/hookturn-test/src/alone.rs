//! Runs tests that cannot share their process.

use std::process::Command;

/// The variable that tells the child process that it is the child.
const VARIABLE: &str = "HOOKTURN_TEST_ALONE";

/// Runs `test`, the body of the test called `name`, in a process of its own. It is for a test that
/// measures its process, which other tests would disturb.
///
/// `name` is the full name of the test, as `cargo test -- --list` shows it.
pub fn alone(name: &str, test: impl FnOnce()) {
    if std::env::var_os(VARIABLE).is_some() {
        return test();
    }
    let this = std::env::current_exe().expect("the path of the test program");
    let child = Command::new(this)
        .args(["--exact", name, "--nocapture"])
        .env(VARIABLE, "1")
        .output()
        .expect("the test program can be started again");
    let [out, err] = [child.stdout, child.stderr].map(|bytes| crate::lossy(&bytes));
    assert!(child.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "no test is called {name}: {out}");
}
