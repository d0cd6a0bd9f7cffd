//! Runs a server as a separate process: starts it, waits for it, observes it and stops it.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Fallible;
use crate::wire::{Connection, get};

/// A server process, which is killed on drop.
pub struct Server {
    child: Child,
    address: SocketAddr,
    stderr: PathBuf,
    folder: Option<TempDir>,
}

impl Server {
    /// Starts `command` with the `arguments` for a free address, and waits until `/healthz` answers
    /// 200. Its stderr goes to a file, as under a service manager.
    pub async fn start(
        mut command: Command,
        arguments: impl FnOnce(SocketAddr) -> Vec<String>,
    ) -> Fallible<Self> {
        let address = free_address()?;
        let stderr = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("http-bench-{}.log", address.port()));
        File::create(&stderr)?;
        let child = command
            .args(arguments(address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // In append mode, so that writes after `forget_log` start at the new end of the file.
            .stderr(File::options().append(true).open(&stderr)?)
            .spawn()
            .map_err(|error| {
                format!(
                    "{} cannot be started: {error}",
                    command.get_program().display()
                )
            })?;
        let mut server = Self {
            child,
            address,
            stderr,
            folder: None,
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Makes the server own the folder of its records, which is removed when the server is dropped.
    pub fn owns(&mut self, folder: Option<TempDir>) {
        self.folder = folder;
    }

    /// Kills the server, as a crash would, and returns the folder of its records.
    pub fn crash(mut self) -> Fallible<Option<TempDir>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.folder.take())
    }

    /// Returns how many bytes the records take on the disk: 0 when they are in memory.
    pub fn bytes_on_disk(&self) -> Fallible<u64> {
        let mut sum = 0;
        if let Some(folder) = &self.folder {
            for file in std::fs::read_dir(folder.path())? {
                sum += file?.metadata()?.len();
            }
        }
        Ok(sum)
    }

    /// Stops the server with SIGTERM. Returns how many writes its store made and in how many
    /// commits, or `None` when the store does not count them.
    pub fn stop(mut self) -> Fallible<Option<(f64, f64)>> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        self.child.wait()?;
        let log = std::fs::read_to_string(&self.stderr)?;
        let closed: Option<serde_json::Value> = log
            .lines()
            .filter(|line| line.contains("closed the store"))
            .find_map(|line| serde_json::from_str(line).ok());
        let number = |name: &str| closed.as_ref()?[name].as_f64();
        Ok(number("writes").zip(number("commits")))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn wait_until_ready(&mut self) -> Fallible<()> {
        const WITHIN: Duration = Duration::from_secs(20);
        let started = Instant::now();
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        loop {
            pause.tick().await;
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(&self.stderr)?;
                return Err(format!(
                    "a server ended before it answered ({status}): {}",
                    log.trim_end()
                )
                .into());
            }
            let asked = tokio::time::timeout(WITHIN, is_healthy(self.address)).await;
            if matches!(asked, Ok(Ok(true))) {
                return Ok(());
            }
            if started.elapsed() > WITHIN {
                return Err(format!("a server did not answer /healthz within {WITHIN:?}").into());
            }
        }
    }

    /// Empties the file of stderr.
    pub fn forget_log(&self) -> Fallible<()> {
        Ok(File::options().write(true).open(&self.stderr)?.set_len(0)?)
    }

    /// Waits until at least `count` lines are in the log, and fails if they do not come, so that a
    /// server gains nothing by dropping log lines under load.
    pub async fn wait_for_log_lines(&self, count: u32) -> Fallible<()> {
        const WITHIN: Duration = Duration::from_secs(5);
        let wanted = usize::try_from(count)?;
        let started = Instant::now();
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        loop {
            pause.tick().await;
            let log = std::fs::read(&self.stderr)?;
            let lines = log.split(|byte| *byte == b'\n').count() - 1;
            if lines >= wanted {
                return Ok(());
            }
            if started.elapsed() > WITHIN {
                return Err(format!(
                    "{count} requests were answered, but only {lines} lines were logged"
                )
                .into());
            }
        }
    }

    /// Returns the resident memory of the process, or `None` where there is no `/proc`.
    pub fn resident_bytes(&self) -> Option<u32> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u32 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    /// Returns how many files and sockets the process has open, or `None` where there is no
    /// `/proc`.
    pub fn open_files(&self) -> Option<usize> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).ok()?;
        Some(open.count())
    }

    /// Returns the processor time that the process has used so far, or `None` where there is no
    /// `/proc`.
    pub fn processor_time(&self) -> Option<Duration> {
        processor_time(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors are ignored here, since the run's own error matters more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.stderr);
    }
}

/// Returns the command that runs `program` with no environment but `PATH`. A `HOOKTURN_…` variable
/// of the caller would change what is measured.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// Returns the processor time that this process, the generator, has used so far.
pub fn own_processor_time() -> Option<Duration> {
    processor_time("self")
}

fn processor_time(process: &str) -> Option<Duration> {
    // Linux always counts in hundredths of a second here.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may contain any character, so
    // this counts from its end. The fields 14 and 15 of proc(5) are the 12th and 13th after it.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

async fn is_healthy(address: SocketAddr) -> Fallible<bool> {
    let mut connection = Connection::open(address).await?;
    Ok(connection.call(&get("/healthz")).await?.status == 200)
}

/// Returns an address with a free port. Another program may take the port before the server does;
/// then the run fails, which is rare.
fn free_address() -> Fallible<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
