//! The program as a process, and the file that it is started on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use hookturn_test::{ACME, Ended, GLOBEX, PATIENCE, Program, beside, lossy, run};

/// The master key of most tests.
pub const MASTER_KEY: &str = "k1:PH1GGshMtHjp8blV2CuDn6mYbwFtOfE5r0tNpX0QyWk=";

/// How a server is started.
#[derive(Clone)]
pub struct Setup {
    pub path: PathBuf,
    /// `HOOKTURN_MASTER_KEYS`; none when empty.
    pub master_keys: String,
    pub dev: bool,
    pub end_test_clock: bool,
    /// `--log`.
    pub log: &'static str,
    /// What runs the program, with its arguments before those of the program. May be empty.
    pub through: Vec<String>,
}

impl Setup {
    /// On the database `hookturn.db` in this directory, with the test clock.
    pub fn in_dir(directory: &Path) -> Self {
        Self::on(directory.join("hookturn.db"))
    }

    /// On this database.
    pub fn on(path: PathBuf) -> Self {
        Self {
            path,
            master_keys: MASTER_KEY.to_owned(),
            dev: true,
            end_test_clock: false,
            log: "info",
            through: Vec::new(),
        }
    }

    /// The same with other master keys.
    pub fn with_keys(&self, keys: &str) -> Self {
        Self {
            master_keys: keys.to_owned(),
            ..self.clone()
        }
    }

    fn command(&self) -> Command {
        let program = hookturn_test::program();
        let mut command = match self.through.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--rate-limit", "off"])
            .args(["--log-format", "json", "--log", self.log])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOOKTURN_STORE", format!("sqlite:{}", self.path.display()))
            .env("HOOKTURN_API_KEYS", format!("acme={ACME},globex={GLOBEX}"))
            .env("HOOKTURN_MASTER_KEYS", &self.master_keys)
            .env("HOOKTURN_DEV", self.dev.to_string())
            .env("HOOKTURN_END_TEST_CLOCK", self.end_test_clock.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the program, and does not wait for anything.
    pub fn spawn(&self) -> Program {
        Program::spawn(&mut self.command())
    }

    /// Starts the program, and waits until it listens.
    pub fn start(&self) -> Program {
        let began = Instant::now();
        let program = self.spawn().listening();
        let program = program.unwrap_or_else(|ended| panic!("it does not listen: {ended:?}"));
        assert!(
            began.elapsed() < PATIENCE / 2,
            "it took {:?}",
            began.elapsed()
        );
        program
    }

    /// Starts the program, which must refuse to serve: exit code 2 and one line, which this
    /// returns.
    pub fn refused(&self) -> String {
        self.spawn().ended().refusal().to_owned()
    }

    /// Starts the program, waits until it has ended by itself or listens, and then stops it.
    pub fn ended_or_stopped(&self) -> Ended {
        match self.spawn().listening() {
            Ok(program) => {
                program.signal("TERM");
                program.ended()
            }
            Err(ended) => ended,
        }
    }

    /// A copy of the database, and of its log if it has one, in `directory`.
    pub fn copy_to(&self, directory: &Path) -> Self {
        let copy = directory.join("hookturn.db");
        for suffix in ["", "-wal"] {
            let from = beside(&self.path, suffix);
            if from.exists() {
                fs::copy(from, beside(&copy, suffix)).expect("a copy");
            }
        }
        Self {
            path: copy,
            ..self.clone()
        }
    }

    /// The database, past the program, which must not run.
    pub fn open(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).expect("a database")
    }

    /// What `hookturn check` makes of the file: its exit code, and what it says.
    pub fn check(&self) -> (Option<i32>, String) {
        let path = self.path.to_str().expect("UTF-8");
        let checked = run(
            &["check", path],
            &[("HOOKTURN_MASTER_KEYS", &self.master_keys)],
        );
        let said = checked.out + &checked.err;
        assert!(!said.contains("whsec_"), "{said}");
        (checked.code, said)
    }

    /// Asserts that the file is sound. No server may run on it.
    pub fn assert_sound(&self) {
        let (code, said) = self.check();
        assert_eq!(code, Some(0), "{said}");
        let found: String = self
            .open()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("an answer");
        assert_eq!(found, "ok");
    }
}

/// Runs a program of the system that must succeed, and returns what it said.
pub fn system(program: &str, args: &[&str]) -> String {
    try_system(program, args).unwrap_or_else(|said| panic!("{program} {args:?}: {said}"))
}

/// Runs a program of the system, and returns what it said, as an error if it failed.
pub fn try_system(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let said = lossy(&output.stdout) + &lossy(&output.stderr);
    if output.status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}
