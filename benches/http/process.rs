//! A server as a process of its own: started, waited for, looked at from outside, and stopped.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Fallible;
use crate::wire::{Connection, get};

/// A process that is killed when this is dropped, however the run ends.
pub struct Server {
    child: Child,
    address: SocketAddr,
    stderr: PathBuf,
    folder: Option<TempDir>,
}

impl Server {
    /// Starts `command` with what `arguments` makes of a free address, and waits until `/healthz`
    /// answers 200. What it writes to stderr goes to a file, as a service manager would arrange it.
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
            // Otherwise a HOOKTURN_… variable of the caller's would be measured instead.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Appending: what is written after `forget_log` starts at the file's new end, and
            // leaves no hole.
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

    /// Gives it the folder that its records are in, which goes when the server goes.
    pub fn owns(&mut self, folder: Option<TempDir>) {
        self.folder = folder;
    }

    /// Kills it, as a crash would, and leaves what it had on the disk.
    pub fn crash(mut self) -> Fallible<Option<TempDir>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.folder.take())
    }

    /// How many bytes its records take on the disk: 0 where they are in memory.
    pub fn bytes_on_disk(&self) -> Fallible<u64> {
        let mut sum = 0;
        if let Some(folder) = &self.folder {
            for file in std::fs::read_dir(folder.path())? {
                sum += file?.metadata()?.len();
            }
        }
        Ok(sum)
    }

    /// Asks it to end, and says what its store did: how many writes it made in how many commits.
    /// `None` where the store does not count them.
    pub fn stop(mut self) -> Fallible<Option<(f64, f64)>> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        self.child.wait()?;
        let log = std::fs::read_to_string(&self.stderr)?;
        let closed: Option<serde_json::Value> = log
            .lines()
            .filter(|line| line.contains("the store is closed"))
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

    /// Empties the file that stderr goes to.
    pub fn forget_log(&self) -> Fallible<()> {
        Ok(File::options().write(true).open(&self.stderr)?.set_len(0)?)
    }

    /// Waits until at least `count` lines are in the log, and fails if they do not come: a server
    /// that drops its log lines under load must not win by it.
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

    /// Memory of the process that is in RAM. `None` where there is no `/proc`.
    pub fn resident_bytes(&self) -> Option<u32> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u32 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    /// Processor time that the process has used so far. `None` where there is no `/proc`.
    pub fn processor_time(&self) -> Option<Duration> {
        processor_time(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the run's own error matters more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.stderr);
    }
}

/// Processor time that this process has used so far: the generator's own cost.
pub fn own_processor_time() -> Option<Duration> {
    processor_time("self")
}

fn processor_time(process: &str) -> Option<Duration> {
    // Linux counts in hundredths of a second here whatever its own tick is.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything, so count from
    // its end: the fields 14 and 15 of proc(5) are the 12th and 13th after it.
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

/// A port that was free a moment ago. Another program could take it in between; then the server
/// says so and the run ends, which is rare enough.
fn free_address() -> Fallible<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
