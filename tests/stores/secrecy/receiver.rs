//! A receiver of webhooks that refuses the first ones.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// It listens until the test ends.
pub(super) struct Receiver {
    port: u16,
    received: Arc<Mutex<String>>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let received = Arc::new(Mutex::new(String::new()));
        let of_task = Arc::clone(&received);
        tokio::spawn(async move {
            let mut count = 0;
            while let Ok((socket, _)) = listener.accept().await {
                count += 1;
                let status = if count <= 3 { 500 } else { 200 };
                // One that goes away half-way is not missed.
                let _ = answer(socket, status, &of_task).await;
            }
        });
        Self { port, received }
    }

    /// Where it is reached, with a query.
    pub(super) fn url(&self, query: &str) -> String {
        let query = query.replace(' ', "%20");
        format!("http://127.0.0.1:{}/hook?{query}", self.port)
    }

    /// Whether it was sent all of these.
    pub(super) fn was_sent(&self, texts: &[&str]) -> bool {
        let received = self.received.lock().expect("no panic while locked");
        texts.iter().all(|text| received.contains(text))
    }
}

/// Answers one request, of which it needs to see no more than its first packet.
async fn answer(
    mut socket: TcpStream,
    status: u16,
    received: &Mutex<String>,
) -> std::io::Result<()> {
    let mut request = vec![0; 64 * 1024];
    let read = socket.read(&mut request).await?;
    received
        .lock()
        .expect("no panic while locked")
        .push_str(&String::from_utf8_lossy(&request[..read]));
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).await
}
