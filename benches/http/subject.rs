//! A server under load, with the requests to send to it.

use std::ffi::OsString;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;

use crate::load::drive;
use crate::measure::{Sample, cost};
use crate::process::{self, Server, own_processor_time};
use crate::settings::Settings;
use crate::wire::{API_KEY, Connection};
use crate::work::{Creation, Timed, rotation_of};
use crate::{Fallible, floor};

/// A master key of arbitrary bytes.
const MASTER_KEY: &str = "bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How to start Hookturn for one line of the report.
#[derive(Debug, Clone, Copy)]
pub struct Configuration {
    pub name: &'static str,
    pub store: Store,
    /// Arguments of `hookturn serve` besides those that every configuration has.
    pub arguments: &'static [&'static str],
    /// Whether each request must be logged.
    pub logs_requests: bool,
    /// The share of the floor's rate that it should keep.
    pub target: f64,
}

/// Where the server keeps its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Memory,
    /// A file on the disk of the build directory, removed afterwards.
    Sqlite,
}

impl Store {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
        }
    }

    /// Makes a folder for the records, on the disk of the build directory.
    fn folder(self) -> Fallible<Option<TempDir>> {
        match self {
            Self::Memory => Ok(None),
            Self::Sqlite => Ok(Some(TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?)),
        }
    }
}

/// A running server and the requests to send to it.
pub struct Subject {
    pub name: &'static str,
    pub server: Server,
    logs_requests: bool,
    requests: Rc<[Vec<u8>]>,
}

/// Returns the program to measure: this build, or the one that `BENCH_PROGRAM` names.
pub fn program() -> OsString {
    std::env::var_os("BENCH_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_hookturn").into())
}

/// Starts Hookturn with these arguments besides those that every run needs, and without limits
/// for a tenant.
pub async fn hookturn(store: Store, further: &[&str]) -> Fallible<Server> {
    hookturn_on(store.folder()?, further).await
}

/// Starts Hookturn on the records in `folder`, or in memory, and without limits
/// for a tenant.
pub async fn hookturn_on(folder: Option<TempDir>, further: &[&str]) -> Fallible<Server> {
    let mut command = process::command(program());
    // These are variables, so that a version that does not know them can be measured, too.
    command
        .env("HOOKTURN_QUOTA_ENDPOINTS", "off")
        .env("HOOKTURN_QUOTA_EVENT_BYTES", "off")
        .env("HOOKTURN_RATE_LIMIT", "off");
    start(command, folder, further).await
}

/// Starts Hookturn by this command, to which the arguments are added.
pub async fn hookturn_by(command: Command, store: Store, further: &[&str]) -> Fallible<Server> {
    start(command, store.folder()?, further).await
}

async fn start(command: Command, folder: Option<TempDir>, further: &[&str]) -> Fallible<Server> {
    let url = match &folder {
        None => "memory:".to_owned(),
        Some(folder) => format!("sqlite:{}", folder.path().join("bench.db").display()),
    };
    let mut server = Server::start(command, |address| {
        let listen = address.to_string();
        let key = format!("bench={API_KEY}");
        // `--dev`, since the receiver is on loopback. Of what is measured it changes only the
        // clock, which adds an offset.
        [
            "serve",
            "--listen",
            &listen,
            "--api-key",
            &key,
            "--dev",
            "--store",
            &url,
            "--master-key",
            MASTER_KEY,
        ]
        .iter()
        .chain(further)
        .map(ToString::to_string)
        .collect()
    })
    .await?;
    server.owns(folder);
    Ok(server)
}

impl Subject {
    /// Starts the floor. Its endpoints are made up, since it accepts any id.
    pub async fn floor(name: &'static str, settings: &Settings) -> Fallible<Self> {
        let command = process::command(std::env::current_exe()?);
        let server = Server::start(command, |address| {
            vec![floor::ARGUMENT.to_owned(), address.port().to_string()]
        })
        .await?;
        let requests = (0..settings.endpoints)
            .map(|n| rotation_of(&format!("we_550e8400e29b41d4a716{n:012}")))
            .collect();
        Ok(Self {
            name,
            server,
            logs_requests: false,
            requests,
        })
    }

    /// Starts Hookturn and creates its endpoints.
    pub async fn hookturn(configuration: &Configuration, settings: &Settings) -> Fallible<Self> {
        let mut subject = Self {
            name: configuration.name,
            server: hookturn(configuration.store, configuration.arguments).await?,
            logs_requests: configuration.logs_requests,
            requests: Rc::new([]),
        };
        let ids = subject
            .create_endpoints(settings.endpoints, settings)
            .await?;
        subject.rotate_these(ids.iter());
        Ok(subject)
    }

    /// Creates endpoints through the API, over all connections, and returns their ids.
    pub async fn create_endpoints(
        &self,
        count: usize,
        settings: &Settings,
    ) -> Fallible<Vec<String>> {
        const WITHIN: Duration = Duration::from_secs(300);
        let work = drive(
            self.server.address(),
            settings.connections,
            WITHIN,
            Creation::of(count),
        )
        .await?;
        Ok(work.ids)
    }

    /// Sets the endpoints that a round rotates in turn.
    pub fn rotate_these<'a>(&mut self, ids: impl Iterator<Item = &'a String>) {
        self.requests = ids.map(|id| rotation_of(id)).collect();
    }

    /// Returns the length of the body of a rotation's answer.
    pub async fn answer_length(&self) -> Fallible<usize> {
        let mut connection = Connection::open(self.server.address()).await?;
        let answer = connection.call(&self.requests[0]).await?;
        answer.expect_status(200)?;
        Ok(answer.body.len())
    }

    /// Runs one round: rotations over all connections, during the warm-up and then the measured
    /// time.
    pub async fn round(&self, settings: &Settings) -> Fallible<Sample> {
        self.server.forget_log()?;
        let (server_before, own_before) = (self.server.processor_time(), own_processor_time());
        let work = Timed::start(
            Rc::clone(&self.requests),
            settings.warm_up,
            settings.measured,
        )?;
        let within = settings.warm_up + settings.measured + Duration::from_secs(20);
        let done = drive(self.server.address(), settings.connections, within, work)
            .await
            .map_err(|error| format!("{}: {error}", self.name))?;
        let (server_after, own_after) = (self.server.processor_time(), own_processor_time());
        if self.logs_requests {
            self.server.wait_for_log_lines(done.answered).await?;
        }
        let millis = |quantile: f64| {
            let micros =
                u32::try_from(done.latencies.value_at_quantile(quantile)).unwrap_or(u32::MAX);
            f64::from(micros) / 1e3
        };
        Ok(Sample {
            per_second: f64::from(done.measured) / settings.measured.as_secs_f64(),
            p50: millis(0.50),
            p99: millis(0.99),
            server_cost: cost(server_before, server_after, done.answered),
            generator_cost: cost(own_before, own_after, done.answered),
        })
    }
}
