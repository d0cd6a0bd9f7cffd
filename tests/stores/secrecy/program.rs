//! The program as it is started: a process, with all that it writes kept.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use crate::support::PATIENCE;

/// A running `hookturn serve`.
pub(super) struct Program {
    child: Child,
    out: Written,
    err: Written,
    /// Where it listens, `127.0.0.1:PORT`.
    pub(super) address: String,
}

/// One output stream, read to its end by a thread.
struct Written {
    text: Arc<(Mutex<String>, Condvar)>,
    reader: JoinHandle<()>,
}

impl Written {
    fn read(stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let reader = thread::spawn({
            let text = Arc::clone(&text);
            move || {
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while stream
                    .read_until(b'\n', &mut line)
                    .is_ok_and(|read| read > 0)
                {
                    let (text, more) = &*text;
                    text.lock()
                        .expect("no panic while locked")
                        .push_str(&String::from_utf8_lossy(&line));
                    more.notify_all();
                    line.clear();
                }
            }
        });
        Self { text, reader }
    }

    /// Waits until `find` finds something in what was written so far.
    fn wait_for(&self, find: impl Fn(&str) -> Option<String>) -> String {
        let (text, more) = &*self.text;
        let text = text.lock().expect("no panic while locked");
        let (text, _) = more
            .wait_timeout_while(text, PATIENCE, |text| find(text).is_none())
            .expect("no panic while locked");
        find(&text).unwrap_or_else(|| panic!("it is not there: {text}"))
    }

    fn end(self) -> String {
        self.reader.join().expect("the reader does not panic");
        let text = self.text.0.lock().expect("no panic while locked");
        text.clone()
    }
}

/// The address that the log line of a started server tells.
fn listening(log: &str) -> Option<String> {
    let line = log
        .split_inclusive('\n')
        .find(|line| line.contains("listening") && line.ends_with('\n'))?;
    let port = &line[line.find("127.0.0.1:")? + "127.0.0.1:".len()..];
    let end = port.find(|c: char| !c.is_ascii_digit())?;
    Some(format!("127.0.0.1:{}", &port[..end]))
}

impl Program {
    /// Starts it on a free port, with nothing of this process's environment.
    pub(super) fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookturn"))
            .args(["serve", "--listen", "127.0.0.1:0", "--rate-limit", "off"])
            .args(args)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let out = Written::read(child.stdout.take().expect("piped"));
        let err = Written::read(child.stderr.take().expect("piped"));
        let mut program = Self {
            child,
            out,
            err,
            address: String::new(),
        };
        program.address = program.err.wait_for(listening);
        program
    }

    /// The key that it made, as it told it.
    pub(super) fn generated_key(&self) -> String {
        self.out.wait_for(|out| {
            let mut lines = out
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let line = lines.find(|line| line.trim().starts_with("hk_"))?;
            Some(line.trim().to_owned())
        })
    }

    /// Sends what is no sound request, and waits until the server has closed upon it.
    pub(super) fn send_rubbish(&self, bytes: &[u8]) {
        let mut socket = TcpStream::connect(&self.address).expect("it listens");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("an open socket");
        socket.write_all(bytes).expect("it reads");
        socket.shutdown(Shutdown::Write).expect("an open socket");
        // A reset is a way to close as well.
        let _ = socket.read_to_end(&mut Vec::new());
    }

    /// Asks it to stop, and returns all that it wrote on stdout and on stderr.
    pub(super) fn end(mut self) -> (String, String) {
        // The standard library has no call for a signal.
        let kill = format!("kill -TERM {}", self.child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status();
        assert!(killed.expect("a shell").success());
        assert!(self.child.wait().expect("a child").success());
        let ended = |written: &mut Written| {
            let empty = Written::read(std::io::empty());
            std::mem::replace(written, empty).end()
        };
        (ended(&mut self.out), ended(&mut self.err))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Only of use if the test failed half-way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
