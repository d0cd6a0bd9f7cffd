//! `hookturn demo`: shows a whole rotation step by step, with a real server and a receiver that
//! verifies.
//!
//! Everything in it is real: it uses sockets and the public API, and prints each sentence only
//! after checking that it is true. If one is not, it prints what it found instead, and the exit
//! code is 1.

mod client;
mod print;
mod receiver;
mod story;
mod timeline;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::watch;

use self::client::Client;
use self::print::print_line;
use self::receiver::Receiver;
use self::story::{Dialect, Story};
use super::build::{BuiltServer, Parts};
use crate::cli::command_error::CommandError;
use crate::config::{StoreUrl, local_url};
use crate::cores::Cores;
use crate::delivery::SenderOptions;
use crate::random;
use crate::server::Limits;
use crate::store::StoreLimits;

#[derive(clap::Args)]
pub(super) struct DemoArgs {}

/// The tenant of the demo.
const TENANT: &str = "demo";

pub(super) fn run(_: &DemoArgs) -> Result<ExitCode, CommandError> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::new(&format!("cannot start threads: {error}")))?;
    let outcome = runtime.block_on(demo());
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn demo() -> Result<ExitCode, CommandError> {
    let (api, receiver) = (bind().await?, bind().await?);
    let url = |listener: &TcpListener| listener.local_addr().map(local_url);
    let told = |error: io::Error| CommandError::new(&format!("cannot listen: {error}"));
    let (api_url, receiver_url) = (url(&api).map_err(told)?, url(&receiver).map_err(told)?);

    let key = random::correlation_id().simple().to_string();
    let built = BuiltServer::new(Parts {
        cores: Cores::current(),
        store: StoreUrl::Memory,
        master_keys: None,
        keys: vec![(TENANT, &key)],
        rate_limit: None,
        public_url: api_url.clone(),
        dev: true,
        end_test_clock: false,
        store_limits: StoreLimits::default(),
        max_idle: SenderOptions::default().max_idle,
    })?;
    let (stop, stopped) = watch::channel(());
    let until_stop = || {
        let mut stopped = stopped.clone();
        async move {
            // An error means that the sender was dropped, which is also a stop.
            let _ = stopped.changed().await;
        }
    };
    let server = tokio::spawn(built.run(api, Limits::default(), until_stop()));
    let receiver = Receiver::start(receiver, until_stop());

    print_line(&format!("Hookturn listens on {api_url},"));
    print_line(&format!("a receiver that verifies on {receiver_url};"));
    print_line("both are in this process, with a clock that can be moved. Signatures keep");
    print_line("real time, so that receivers accept them.");
    let colored = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let client = Client::new(api_url, key);
    let mut story = Story::new(client, receiver, receiver_url, colored);
    let mut told = Ok(());
    for dialect in [Dialect::V2026, Dialect::Verbex] {
        told = story.tell(dialect).await;
        if told.is_err() {
            break;
        }
    }
    let code = story.end(told);
    stop.send_replace(());
    let _ = tokio::time::timeout(Duration::from_secs(5), server).await;
    Ok(code)
}

async fn bind() -> Result<TcpListener, CommandError> {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    listener.map_err(|error| CommandError::new(&format!("cannot listen on 127.0.0.1: {error}")))
}
