//! Serves a router on a real socket.

use std::net::SocketAddr;

use axum::Router;
use hookturn::cores::Cores;
use hookturn::server::{App, Limits, serve_on};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::patiently;

/// A router that is served on loopback. The server stops when this is dropped.
pub struct Serving {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// Tells the server to stop.
    pub stop: oneshot::Sender<()>,
    /// The task of the server, which ends when the server has stopped.
    pub task: JoinHandle<()>,
}

impl Serving {
    /// Serves `router` on a free port.
    pub async fn start(router: Router, limits: Limits) -> Self {
        let (listener, address) = listener().await;
        Self::on(listener, address, router, limits)
    }

    /// Serves `router` on a free port, with its connections on these cores.
    pub async fn start_on(cores: &Cores, router: Router, limits: Limits) -> Self {
        let (listener, address) = listener().await;
        Self::on_cores(cores.clone(), listener, address, router, limits)
    }

    /// Serves `router` on this socket, which has this address.
    pub(crate) fn on(
        listener: TcpListener,
        address: SocketAddr,
        router: impl App,
        limits: Limits,
    ) -> Self {
        Self::on_cores(Cores::current(), listener, address, router, limits)
    }

    fn on_cores(
        cores: Cores,
        listener: TcpListener,
        address: SocketAddr,
        router: impl App,
        limits: Limits,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // Also stops when the sender is dropped.
            let _ = stopped.await;
        };
        let task = tokio::spawn(async move {
            serve_on(&cores, listener, router, limits, stopped).await;
        });
        Self {
            address,
            stop,
            task,
        }
    }

    /// Opens a connection to the server.
    pub async fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).await;
        socket.expect("a connection")
    }

    /// Sends these bytes on a new connection, and returns it.
    pub async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut socket = self.connect().await;
        socket.write_all(bytes).await.expect("the server reads");
        socket
    }

    /// Tells the server to stop, and waits until it has stopped.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        patiently(self.task).await.expect("serve does not panic");
    }
}

/// Opens a socket on a free port of loopback, and returns it with its address.
pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    (listener, address)
}
