//! The program as a process, and the file that it is started on.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

/// Longer than anything here takes, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The API key of tenant `acme`.
pub const API_KEY: &str = "key-of-acme-0123456789";

/// The API key of tenant `globex`.
pub const OTHER_API_KEY: &str = "key-of-globex-0123456789";

/// The master key of most tests.
pub const MASTER_KEY: &str = "k1:PH1GGshMtHjp8blV2CuDn6mYbwFtOfE5r0tNpX0QyWk=";

/// Waits for `future`, but not for ever.
pub async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing here takes that long")
}

/// Asks again and again until the answer is yes, but not for ever.
pub async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    patiently(async {
        while !is_so().await {
            hookturn::clock::real_sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A directory on the disk that the build is on. It is removed with this.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory is writable")
}

/// The file that stands beside the database: `-wal`, `-shm` or `-lock`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

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
        let program = env!("CARGO_BIN_EXE_hookturn");
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
            .env(
                "HOOKTURN_API_KEYS",
                format!("acme={API_KEY},globex={OTHER_API_KEY}"),
            )
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
        let mut child = self.command().spawn().expect("the program starts");
        let log = Log::default();
        let of_reader = log.clone();
        let stderr = child.stderr.take().expect("piped");
        Program {
            child,
            reader: Some(thread::spawn(move || of_reader.read(stderr))),
            log,
            address: String::new(),
        }
    }

    /// Starts the program, and waits until it listens.
    pub fn start(&self) -> Program {
        let began = Instant::now();
        let program = self.spawn().listening();
        let program = program.unwrap_or_else(|(_, log)| panic!("it does not listen: {log}"));
        assert!(
            began.elapsed() < PATIENCE / 2,
            "it took {:?}",
            began.elapsed()
        );
        program
    }

    /// Starts the program, which must refuse to serve: exit code 2 and one line, which this returns.
    pub fn refused(&self) -> String {
        let program = self.spawn();
        let (code, log) = program.ended();
        assert_eq!(code, Some(2), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.starts_with("hookturn: "), "{log}");
        log
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
        let checked = Command::new(env!("CARGO_BIN_EXE_hookturn"))
            .arg("check")
            .arg(&self.path)
            .env_clear()
            .env("HOOKTURN_MASTER_KEYS", &self.master_keys)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        let said = [checked.stdout, checked.stderr].concat();
        let said = String::from_utf8(said).expect("UTF-8");
        assert!(
            !said.contains("panicked") && !said.contains("whsec_"),
            "{said}"
        );
        (checked.status.code(), said)
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

fn listening(log: &str) -> Option<String> {
    let line = log
        .split_inclusive('\n')
        .find(|line| line.contains("listening") && line.ends_with('\n'))?;
    let (_, port) = line.split_once("127.0.0.1:")?;
    let end = port.find(|c: char| !c.is_ascii_digit())?;
    Some(format!("127.0.0.1:{}", &port[..end]))
}

/// What a program writes on stderr.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    text: String,
    is_over: bool,
}

impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.0.lock().text)
    }
}

impl Log {
    fn read(&self, stderr: ChildStderr) {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        let (written, more) = &*self.0;
        while stderr
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line);
            written.lock().text.push_str(&text);
            more.notify_all();
            line.clear();
        }
        written.lock().is_over = true;
        more.notify_all();
    }

    /// Waits until `find` finds something in what was written so far. `None` when the program has ended without it.
    pub fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (written, more) = &*self.0;
        let mut written = written.lock();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(&written.text) {
                return Some(found);
            }
            if written.is_over {
                return None;
            }
            let timeout = more.wait_until(&mut written, deadline).timed_out();
            assert!(!timeout, "it is not there: {}", written.text);
        }
    }

    /// The lines of errors.
    pub fn errors(&self) -> Vec<String> {
        let text = self.to_string();
        let errors = text
            .lines()
            .filter(|line| line.contains(r#""level":"ERROR""#));
        errors.map(ToOwned::to_owned).collect()
    }

    /// The lines of errors that hold this.
    pub fn errors_with(&self, part: &str) -> usize {
        let errors = self.errors();
        errors.iter().filter(|line| line.contains(part)).count()
    }
}

/// A running `hookturn serve`. It is killed when this is dropped.
pub struct Program {
    child: Child,
    reader: Option<JoinHandle<()>>,
    pub log: Log,
    /// Where it listens, `127.0.0.1:PORT`.
    pub address: String,
}

impl Program {
    /// Waits until it listens. When it has ended instead: its exit code, and what it had written.
    pub fn listening(mut self) -> Result<Self, (Option<i32>, String)> {
        match self.log.wait_for(listening) {
            Some(address) => {
                self.address = address;
                Ok(self)
            }
            None => Err(self.ended()),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a loss of power would: without a chance to do anything. Returns what it had written.
    pub fn kill(mut self) -> String {
        self.child.kill().expect("a signal");
        self.end().1
    }

    /// Asks it to end, and does not wait for that.
    pub fn ask_to_stop(&self) {
        // The standard library has no call for a signal.
        run("sh", &["-c", &format!("kill -TERM {}", self.id())]);
    }

    /// Asks it to end, as a service manager does, and returns what it had written.
    pub fn stop(self) -> String {
        self.ask_to_stop();
        let (code, log) = self.ended();
        assert_eq!(code, Some(0), "{log}");
        log
    }

    /// Waits until it has ended by itself, and returns its exit code and what it had written.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let over = self.log.wait_for(|_| None::<()>);
        assert!(over.is_none());
        self.end()
    }

    /// Waits until it has ended by itself or listens, and then stops it. Returns its exit code, and what it had written.
    pub fn ended_or_stopped(self) -> (Option<i32>, String) {
        match self.listening() {
            Ok(program) => {
                program.ask_to_stop();
                program.ended()
            }
            Err(ended) => ended,
        }
    }

    fn end(&mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("a child");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        let log = self.log.to_string();
        assert!(!log.contains("panicked"), "{log}");
        (status.code(), log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Only of use if the test failed half-way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program of the system that must succeed, and returns what it said.
pub fn run(program: &str, args: &[&str]) -> String {
    try_run(program, args).unwrap_or_else(|said| panic!("{program} {args:?}: {said}"))
}

/// Runs a program of the system, and returns what it said, as an error if it failed.
pub fn try_run(program: &str, args: &[&str]) -> Result<String, String> {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let mut said = String::new();
    for stream in [
        child
            .stdout
            .take()
            .map(|out| Box::new(out) as Box<dyn std::io::Read>),
        child
            .stderr
            .take()
            .map(|err| Box::new(err) as Box<dyn std::io::Read>),
    ] {
        let mut text = String::new();
        if let Some(mut stream) = stream {
            stream
                .read_to_string(&mut text)
                .map_err(|error| error.to_string())?;
        }
        write!(said, "{text}").expect("a String takes all");
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}
