//! The real program, in a process of its own.

use std::process::{Child, Command, Stdio};

use crate::{Output, program};

/// A run of the program that is not started: with these arguments, with these variables and no others, with nothing on
/// its standard input, and with both of its outputs piped.
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

/// Runs the program to its end.
pub fn run(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    Program::start(args, variables).ended()
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote on standard output and [`Output::line`] has not returned.
    pub out: String,
    /// What it wrote on standard error and [`Output::line`] has not returned.
    pub err: String,
}

impl Ended {
    /// Asserts that the program refused to do what it was asked: exit code 2, and one line, which this returns.
    pub fn refusal(&self) -> &str {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.starts_with("hookturn: "), "{self:?}");
        self.err.trim_end()
    }
}

/// A running program. It is killed when this is dropped.
pub struct Program {
    child: Child,
    /// What it writes on standard output.
    pub out: Output,
    /// What it writes on standard error: its log, if it is a server.
    pub err: Output,
    /// Where it listens, `127.0.0.1:PORT`; empty before [`Self::listening`].
    pub address: String,
}

impl Program {
    /// Starts it with [`hookturn`], and does not wait for anything.
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(&mut hookturn(args, variables))
    }

    /// Runs `command`, and does not wait for anything.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        Self {
            out: Output::of_piped(child.stdout.take()),
            err: Output::of_piped(child.stderr.take()),
            child,
            address: String::new(),
        }
    }

    /// Starts `hookturn serve` on a free port, with these further arguments, and waits until it listens.
    pub fn serve(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        let program = Self::start(&args, variables).listening();
        program.unwrap_or_else(|ended| panic!("it does not listen: {ended:?}"))
    }

    /// Waits until its log says where it listens, which must be on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// How it ended, if it did instead.
    pub fn listening(mut self) -> Result<Self, Ended> {
        match self.err.wait_for(listening) {
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

    /// Sends it a signal: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        signal(name, self.id());
    }

    /// Kills it, as a loss of power would: without a chance to do anything. Returns what it had written on standard
    /// error.
    pub fn kill(mut self) -> String {
        self.child.kill().expect("a signal");
        self.end().err
    }

    /// Asks it to end, as a service manager does, and returns what it wrote on standard error. It must succeed.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.err
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> Ended {
        self.end()
    }

    fn end(&mut self) -> Ended {
        let out = self.out.rest();
        let err = self.err.rest();
        assert!(!err.contains("panicked"), "{err}");
        // Both of its streams are closed, so this does not wait for long.
        let code = self.child.wait().expect("a child").code();
        Ended { code, out, err }
    }

    /// The memory that it has resident, in bytes, as Linux tells it.
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
        // Only of use if the test failed half-way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by its name, through the shell: the standard library has no call for it.
pub fn signal(name: &str, process: u32) {
    let kill = format!("kill -{name} {process}");
    let killed = Command::new("sh").args(["-c", &kill]).status();
    assert!(killed.expect("a shell").success());
}

/// The address in the log line of a server that listens.
fn listening(log: &str) -> Option<String> {
    let line = log
        .split_inclusive('\n')
        .find(|line| line.contains("listening") && line.ends_with('\n'))?;
    let (_, port) = line.split_once("127.0.0.1:")?;
    let end = port.find(|c: char| !c.is_ascii_digit())?;
    Some(format!("127.0.0.1:{}", &port[..end]))
}
