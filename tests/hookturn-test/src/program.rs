//! Runs the real program in its own process.

use std::process::{Child, Command, Stdio};

use crate::{Output, program};

/// Prepares a run of the program with these arguments, only these environment variables, an empty
/// standard input, and both outputs piped.
pub fn hookturn(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    command
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program until it ends.
pub fn run(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    Program::start(args, variables).ended()
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` when a signal ended the program.
    pub code: Option<i32>,
    /// The standard output that [`Output::line`] has not returned.
    pub out: String,
    /// The standard error that [`Output::line`] has not returned.
    pub err: String,
}

impl Ended {
    /// Asserts that the program refused its arguments or files, with exit code 2 and one line on
    /// standard error. Returns the line.
    pub fn refusal(&self) -> &str {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.starts_with("hookturn: "), "{self:?}");
        self.err.trim_end()
    }
}

/// A running program, which is killed when this is dropped.
pub struct Program {
    child: Child,
    /// The standard output.
    pub out: Output,
    /// The standard error: the log, if the program is a server.
    pub err: Output,
    /// The address that it listens on, `127.0.0.1:PORT`; empty before [`Self::listening`].
    pub address: String,
}

impl Program {
    /// Starts the program, and does not wait for anything. See [`hookturn()`].
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(&mut hookturn(args, variables))
    }

    /// Starts `command`, and does not wait for anything.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        Self {
            out: Output::of_piped(child.stdout.take()),
            err: Output::of_piped(child.stderr.take()),
            child,
            address: String::new(),
        }
    }

    /// Starts `hookturn serve` on a free port with these additional arguments, and waits until it
    /// listens.
    pub fn serve(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        let program = Self::start(&args, variables).listening();
        program.unwrap_or_else(|ended| panic!("the program does not listen: {ended:?}"))
    }

    /// Waits until the log says where the program listens, which must be on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// Returns how the program ended, if it ended instead.
    pub fn listening(mut self) -> Result<Self, Ended> {
        match self.err.wait_for(listening) {
            Some(address) => {
                self.address = address;
                Ok(self)
            }
            None => Err(self.ended()),
        }
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the program: `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        signal(name, self.id());
    }

    /// Kills the program with SIGKILL, which gives it no chance to react. Returns its standard
    /// error.
    pub fn kill(mut self) -> String {
        self.child.kill().expect("a signal");
        self.end().err
    }

    /// Stops the program with SIGTERM, as a service manager does, and returns its standard error.
    /// Its exit code must be 0.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.err
    }

    /// Waits until the program ends by itself.
    pub fn ended(mut self) -> Ended {
        self.end()
    }

    fn end(&mut self) -> Ended {
        let out = self.out.rest();
        let err = self.err.rest();
        assert!(!err.contains("panicked"), "{err}");
        // Both streams are closed, so this does not wait long.
        let code = self.child.wait().expect("a child").code();
        Ended { code, out, err }
    }

    /// Returns the resident memory of the program in bytes, as Linux reports it.
    #[cfg(target_os = "linux")]
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix("kB"))
            .expect("in kB");
        kib.trim().parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Needed only when the test failed half-way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by name, through the shell: the standard library has no function for it.
pub fn signal(name: &str, process: u32) {
    let kill = format!("kill -{name} {process}");
    let killed = Command::new("sh").args(["-c", &kill]).status();
    assert!(killed.expect("a shell").success());
}

/// Returns the address from the log line of a server that listens.
fn listening(log: &str) -> Option<String> {
    let line = log
        .split_inclusive('\n')
        .find(|line| line.contains("listening") && line.ends_with('\n'))?;
    let (_, port) = line.split_once("127.0.0.1:")?;
    let end = port.find(|c: char| !c.is_ascii_digit())?;
    Some(format!("127.0.0.1:{}", &port[..end]))
}
