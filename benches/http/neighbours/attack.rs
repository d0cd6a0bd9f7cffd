//! What the neighbour, or a client without a key, does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpSocket;
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

use super::receiver::{SLOW_PATH, serve};
use crate::Fallible;
use crate::settings::Neighbours;
use crate::wire::{Connection, NEIGHBOUR_KEY, get_as, post_as};
use crate::work::Created;

/// A name server that answers nothing, since this address is only listened on.
const NAME_SERVER: &str = "127.17.53.53:53";

/// Runs a program that asks that name server. The mount is seen by this program alone.
pub const WITH_OWN_NAME_SERVER: &str = "set -e; f=$(mktemp); echo nameserver 127.17.53.53 >\"$f\"; \
     mount --bind \"$f\" /etc/resolv.conf; rm \"$f\"; exec \"$@\"";

/// How many requests a second a tenant may make by default.
const RATE: u32 = 100;

/// The largest data of an event that are accepted, less some room for the rest of the body.
const LARGE_DATA: usize = 250_000;

/// The largest answer that needs no API key.
const LARGEST_FILE: &str = "/docs/swagger-ui-bundle.js";

/// One kind of attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Nothing, to compare with.
    None,
    /// Publishes to very many endpoints.
    ManyEndpoints,
    /// Has more endpoints than there can be attempts, whose receivers answer after 14 s.
    SlowReceivers,
    /// Has endpoints on names that no name server answers for.
    UnansweredNames,
    /// Lists deliveries of the largest events.
    LargeLists,
    /// Publishes one event again and again, each time written differently.
    RepeatedEvents,
    /// Asks for large answers over HTTP/1.1 and reads none.
    UnreadHttp1,
    /// Asks for large answers over HTTP/2, with a window of 0.
    UnreadHttp2,
    /// Publishes to more hosts than there are file descriptors.
    ManyHosts,
    /// Opens connections and says nothing.
    IdleConnections,
    /// Deletes an endpoint with very many pending deliveries.
    Deletion,
}

impl Attack {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "no attack",
            Self::ManyEndpoints => "many endpoints",
            Self::SlowReceivers => "slow receivers",
            Self::UnansweredNames => "unanswered names",
            Self::LargeLists => "lists of large events",
            Self::RepeatedEvents => "repeated events",
            Self::UnreadHttp1 => "unread answers, HTTP/1.1",
            Self::UnreadHttp2 => "unread answers, HTTP/2",
            Self::ManyHosts => "many hosts",
            Self::IdleConnections => "idle connections",
            Self::Deletion => "deletion",
        }
    }

    /// The rate limit of the server. Most attacks keep to the default one by themselves, and need
    /// more requests than that to be prepared.
    pub const fn rate_limit(self) -> &'static str {
        match self {
            Self::UnreadHttp1 | Self::UnreadHttp2 => "100",
            _ => "off",
        }
    }

    /// Opens the name server that this attack needs, if it needs one and this machine allows it:
    /// only root may listen on port 53.
    pub fn name_server(self) -> Option<UdpSocket> {
        if self != Self::UnansweredNames {
            return None;
        }
        let mount = Command::new("unshare")
            .args(["--map-root-user", "--mount", "true"])
            .output();
        let can_mount = mount.is_ok_and(|output| output.status.success());
        UdpSocket::bind(NAME_SERVER).ok().filter(|_| can_mount)
    }
}

/// How far the attack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Preparing,
    Under,
    Over,
}

/// The thread that attacks.
pub struct Attacker {
    thread: JoinHandle<Fallible<Answers>>,
    prepared: Option<oneshot::Receiver<()>>,
    stage: watch::Sender<Stage>,
}

impl Attacker {
    /// Starts the thread, which first prepares the attack.
    pub fn start(attack: Attack, server: SocketAddr, sizes: Neighbours) -> Fallible<Self> {
        let (tell, prepared) = oneshot::channel();
        let (stage, watched) = watch::channel(Stage::Preparing);
        let neighbour = Neighbour {
            server,
            sizes,
            stage: watched,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("attack".to_owned())
            .spawn(move || {
                let work = neighbour.attack(attack, tell);
                LocalSet::new().block_on(&runtime, work)
            })?;
        Ok(Self {
            thread,
            prepared: Some(prepared),
            stage,
        })
    }

    /// Waits until the neighbour has all that the attack needs.
    pub async fn wait_until_prepared(&mut self) -> Fallible<()> {
        let prepared = self.prepared.take().ok_or("it was waited for")?;
        // If this fails, the thread has ended, and `stop` says why.
        let _ = prepared.await;
        Ok(())
    }

    pub fn begin(&self) {
        self.stage.send_replace(Stage::Under);
    }

    /// Ends the attack. Returns how its requests were answered.
    pub fn stop(self) -> Fallible<String> {
        self.stage.send_replace(Stage::Over);
        let answers = self.thread.join().map_err(|_| "the attack panicked")??;
        let mut text = String::new();
        for (status, count) in answers {
            let _ = write!(text, "{status}: {count}  ");
        }
        Ok(text)
    }
}

/// How many answers had which status. 0 is for connections that the server ended.
type Answers = BTreeMap<u16, u64>;

struct Neighbour {
    server: SocketAddr,
    sizes: Neighbours,
    stage: watch::Receiver<Stage>,
}

impl Neighbour {
    async fn attack(self, attack: Attack, prepared: oneshot::Sender<()>) -> Fallible<Answers> {
        let receiver = serve(None).await?;
        let here = |n: usize, path: &str| format!("http://{receiver}{path}/{n}");
        // Nobody waits for this any more if the run has failed.
        let ready = || {
            let _ = prepared.send(());
        };
        let sizes = self.sizes.clone();
        match attack {
            Attack::None => {
                ready();
                Ok(Answers::new())
            }
            Attack::ManyEndpoints => {
                self.endpoints(sizes.endpoints, |n| here(n, "")).await?;
                ready();
                self.at_rate(|n| publication(&format!("many-{n}"), "{}"))
                    .await
            }
            Attack::SlowReceivers => {
                self.endpoints(sizes.slow, |n| here(n, SLOW_PATH)).await?;
                ready();
                self.once(&publication("slow-1", "{}")).await
            }
            Attack::UnansweredNames => {
                let name = |n| format!("http://name-{n}.example.net/");
                self.endpoints(sizes.names, name).await?;
                ready();
                self.once(&publication("names-1", "{}")).await
            }
            Attack::ManyHosts => {
                let port = receiver.port();
                let host =
                    |n| format!("http://127.1.{}.{}:{port}{SLOW_PATH}", n / 250, n % 250 + 1);
                self.endpoints(sizes.hosts, host).await?;
                ready();
                self.once(&publication("hosts-1", "{}")).await
            }
            Attack::LargeLists => {
                let id = self.endpoints(1, |n| here(n, "")).await?;
                let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(LARGE_DATA));
                self.all(sizes.listed, |n| publication(&format!("large-{n}"), &data))
                    .await?;
                ready();
                let list = get_as(NEIGHBOUR_KEY, &deliveries_of(&id));
                self.at_rate(|_| list.clone()).await
            }
            Attack::RepeatedEvents => {
                self.endpoints(1, |n| here(n, "")).await?;
                ready();
                let depth = 60;
                let inner = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
                let items = vec![inner; LARGE_DATA / 420].join(",");
                self.at_rate(|n| {
                    let spaces = " ".repeat(n % 1000);
                    publication("repeated", &format!(r#"{{"list":{spaces}[{items}]}}"#))
                })
                .await
            }
            Attack::UnreadHttp1 => {
                let path = self.large_page().await?;
                ready();
                let request = get_as(NEIGHBOUR_KEY, &path).repeat(100);
                self.unread(&request).await
            }
            Attack::UnreadHttp2 => {
                let path = self.large_page().await?;
                ready();
                self.unread(&http2::requests_without_window(&[&path, LARGEST_FILE], 100))
                    .await
            }
            Attack::IdleConnections => {
                ready();
                self.unread(b"").await
            }
            Attack::Deletion => {
                let id = self.endpoints(1, |n| here(n, SLOW_PATH)).await?;
                self.all(sizes.pending, |n| {
                    publication(&format!("pending-{n}"), "{}")
                })
                .await?;
                ready();
                self.once(&delete(&id)).await
            }
        }
    }

    fn is_over(&self) -> bool {
        *self.stage.borrow() == Stage::Over
    }

    /// Waits until the attack is at this stage. If nobody steers it any more, it is over.
    async fn wait_for(&self, stage: Stage) {
        let _ = self.stage.clone().wait_for(|now| *now >= stage).await;
    }

    /// Creates endpoints and returns the id of the last one.
    async fn endpoints(&self, count: usize, url: impl Fn(usize) -> String) -> Fallible<String> {
        let mut id = String::new();
        let create = |n| {
            let body = format!(r#"{{"url":"{}"}}"#, url(n));
            post_as(NEIGHBOUR_KEY, "/webhooks/endpoints", &body)
        };
        let mut api = Connection::open(self.server).await?;
        for n in 0..count {
            let answer = api.call(&create(n)).await?;
            answer.expect_status(201)?;
            id = serde_json::from_slice::<Created>(answer.body)?.id;
        }
        Ok(id)
    }

    /// Makes requests over several connections, as fast as they are answered.
    async fn all(&self, count: usize, request: impl Fn(usize) -> Vec<u8>) -> Fallible<()> {
        const CONNECTIONS: usize = 32;
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS.min(count) {
            open.push(Connection::open(self.server).await?);
        }
        let connections = open.len();
        let work = open.iter_mut().enumerate().map(|(first, api)| {
            let request = &request;
            async move {
                for n in (first..count).step_by(connections) {
                    let answer = api.call(&request(n)).await?;
                    if answer.status >= 300 {
                        answer.expect_status(202)?;
                    }
                }
                Fallible::Ok(())
            }
        });
        futures_util::future::try_join_all(work).await?;
        Ok(())
    }

    /// Makes one request when the attack begins, and waits for its end.
    async fn once(&self, request: &[u8]) -> Fallible<Answers> {
        self.wait_for(Stage::Under).await;
        let mut api = Connection::open(self.server).await?;
        let status = api.call(request).await?.status;
        self.wait_for(Stage::Over).await;
        Ok(Answers::from([(status, 1)]))
    }

    /// Makes requests over several connections, as many a second as a tenant may make.
    async fn at_rate(&self, request: impl Fn(usize) -> Vec<u8>) -> Fallible<Answers> {
        const CONNECTIONS: u32 = 8;
        self.wait_for(Stage::Under).await;
        let work = (0..CONNECTIONS).map(async |first| {
            let mut answers = Answers::new();
            let mut api = Connection::open(self.server).await?;
            let mut pace = interval(Duration::from_secs(1) * CONNECTIONS / RATE);
            // No more than the rate limit allows, even after a long wait.
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for n in (usize::try_from(first)?..).step_by(usize::try_from(CONNECTIONS)?) {
                pace.tick().await;
                if self.is_over() {
                    break;
                }
                let status = api.call(&request(n)).await?.status;
                *answers.entry(status).or_default() += 1;
            }
            Fallible::Ok(answers)
        });
        let mut all = Answers::new();
        for answers in futures_util::future::try_join_all(work).await? {
            for (status, count) in answers {
                *all.entry(status).or_default() += count;
            }
        }
        Ok(all)
    }

    /// Creates endpoints with the longest URLs, and returns the path of a page of them.
    async fn large_page(&self) -> Fallible<String> {
        let long = "x".repeat(1900);
        let url = |n| format!("https://receiver.example/{n}/{long}");
        self.endpoints(100, url).await?;
        Ok("/webhooks/endpoints?limit=100".to_owned())
    }

    /// Opens connections from several addresses, sends these bytes over each and reads nothing.
    /// When the server ends one, another is opened, at most one a second.
    async fn unread(&self, bytes: &[u8]) -> Fallible<Answers> {
        const ADDRESSES: usize = 8;
        self.wait_for(Stage::Under).await;
        let count = if bytes.is_empty() {
            self.sizes.idle
        } else {
            self.sizes.unread
        };
        let work = (0..count).map(async |n| {
            let from = SocketAddr::from(([127, 2, 0, u8::try_from(n % ADDRESSES)? + 1], 0));
            let mut ended = 0;
            let mut pace = interval(Duration::from_secs(1));
            while !self.is_over() {
                pace.tick().await;
                tokio::select! {
                    // An error is an end, too.
                    _ = hold(self.server, from, bytes) => ended += 1,
                    () = self.wait_for(Stage::Over) => {}
                }
            }
            Fallible::Ok(ended)
        });
        let ended = futures_util::future::try_join_all(work).await?;
        Ok(Answers::from([(0, ended.into_iter().sum())]))
    }
}

/// Opens a connection, sends what the server takes of these bytes, and waits until the server ends
/// it.
async fn hold(server: SocketAddr, from: SocketAddr, bytes: &[u8]) -> Fallible<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    // So that the system takes little of what the server writes.
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(server).await?;
    stream.write_all(bytes).await?;
    if bytes.is_empty() {
        stream.read_u8().await?;
    }
    // The answers are not read, but that the server resets the connection is seen.
    stream.ready(Interest::ERROR).await?;
    Ok(())
}

fn publication(id: &str, data: &str) -> Vec<u8> {
    let body = format!(r#"{{"id":"{id}","type":"order.created","data":{data}}}"#);
    post_as(NEIGHBOUR_KEY, "/events", &body)
}

fn deliveries_of(endpoint: &str) -> String {
    format!("/webhooks/endpoints/{endpoint}/deliveries?limit=100")
}

fn delete(endpoint: &str) -> Vec<u8> {
    format!(
        "DELETE /webhooks/endpoints/{endpoint} HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         Authorization: Bearer {NEIGHBOUR_KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// The few frames of HTTP/2 (RFC 9113) that an attack needs.
mod http2 {
    use super::NEIGHBOUR_KEY;

    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    /// `END_STREAM` and `END_HEADERS`.
    const WHOLE: u8 = 5;

    /// Opens a connection whose streams take no bytes of answers, and asks for the paths in turn.
    pub fn requests_without_window(paths: &[&str], count: u32) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut bytes, SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        for (n, path) in (0..count).zip(paths.iter().cycle()) {
            frame(&mut bytes, HEADERS, WHOLE, 2 * n + 1, &head(path));
        }
        bytes
    }

    /// A GET in fields of the static table (RFC 7541, appendix A): GET, http, and then literals for
    /// the fields 4 (:path), 1 (:authority) and 23 (authorization).
    fn head(path: &str) -> Vec<u8> {
        let mut head = vec![0x82, 0x86, 0x04];
        text(&mut head, path);
        head.push(0x01);
        text(&mut head, "127.0.0.1");
        head.extend([0x0f, 0x08]);
        text(&mut head, &format!("Bearer {NEIGHBOUR_KEY}"));
        head
    }

    fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
        bytes.extend(&length[1..]);
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
    }

    /// A text of less than 127 bytes, not compressed.
    fn text(head: &mut Vec<u8>, text: &str) {
        head.push(u8::try_from(text.len()).unwrap_or(0));
        head.extend(text.as_bytes());
    }
}
