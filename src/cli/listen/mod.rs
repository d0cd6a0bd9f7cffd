//! `hookturn listen`: a receiver for the command line that verifies each delivery and explains the
//! result.
//!
//! It can also simulate a receiver that is slow or fails. It writes one block for each delivery to
//! standard output, each whole. A slow reader of that output does not delay answers
//! ([`output`](crate::output)).

mod forward;
mod settings;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio::{runtime, task};
use tracing_subscriber::EnvFilter;

use self::forward::Answer;
use self::settings::{LISTEN, ListenSettings};
pub(super) use self::settings::{ListenArgs, tolerance};
use super::report_text::{Rows, headline};
use super::secrets::Secrets;
use super::serve::{LAST_WAIT, Stop, bind};
use crate::cli::command_error::{CommandError, written};
use crate::clock::{Clock, SystemClock};
use crate::config::local_url;
use crate::domain::Timestamp;
use crate::domain::verification::{Report, X_WEBHOOK_EVENT, printable, verify};
use crate::output::Output;
use crate::server::{self, Limits};
use crate::telemetry::{self, LogFormat};

/// The most bytes in a delivery's body: four times what Hookturn allows for an event.
const MAX_BODY: usize = 1024 * 1024;

/// How long a body may take to arrive, as on Hookturn's own API.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the command waits at its end for the last blocks to be written.
const LAST_BLOCKS: Duration = Duration::from_secs(1);

/// The most characters of an event's type that are shown.
const SHOWN: usize = 64;

pub(super) fn run(args: ListenArgs) -> Result<(), CommandError> {
    let settings = ListenSettings::new(args)?;
    // Only the server's warnings are of interest here, such as a lack of file descriptors.
    let _log = telemetry::init(EnvFilter::new("warn"), LogFormat::Text)
        .map_err(|error| CommandError::new(&format!("cannot start logging: {error}")))?;
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::new(&format!("cannot start threads: {error}")))?;
    let outcome = runtime.block_on(listen(settings));
    runtime.shutdown_timeout(LAST_WAIT);
    outcome
}

async fn listen(settings: ListenSettings) -> Result<(), CommandError> {
    let mut stop = Stop::install()?;
    let listener = bind(LISTEN, &settings.listen).await?;
    let address = listener.local_addr().map_err(|error| {
        CommandError::new(&format!("{LISTEN}: {error}; choose another address"))
    })?;
    let unwritable = Arc::new(Unwritable::default());
    let of_output = Arc::clone(&unwritable);
    let dropped = |count| {
        format!("{count} deliveries are not shown: they came faster than this output was read\n\n")
    };
    let output = Output::start("blocks", io::stdout(), dropped, move |error| {
        of_output.note(error);
    })
    .map_err(|error| CommandError::new(&format!("cannot start threads: {error}")))?;

    let receiver = Arc::new(Receiver {
        settings,
        clock: Arc::new(SystemClock),
        received: AtomicU64::new(0),
        verified: AtomicU64::new(0),
        output,
    });
    receiver.say(&receiver.greeting(&local_url(address)));
    let app = Router::new()
        .fallback(receive)
        .with_state(Arc::clone(&receiver));
    let stopping = async {
        tokio::select! {
            () = stop.asked() => {}
            () = unwritable.now.notified() => {}
        }
    };
    server::serve(listener, app, Limits::default(), stopping).await;
    receiver.say(&receiver.summary());
    let output = receiver.output.clone();
    // The outcome does not matter: nobody reads the blocks that are not written by then.
    let _ = task::spawn_blocking(move || output.flush(LAST_BLOCKS)).await;
    match unwritable.error.lock().take() {
        Some(error) => written(Err(error)),
        None => Ok(()),
    }
}

/// Why standard output cannot be written. The command ends then, since nobody reads its output.
#[derive(Default)]
struct Unwritable {
    error: Mutex<Option<io::Error>>,
    now: Notify,
}

impl Unwritable {
    fn note(&self, error: &io::Error) {
        let again = io::Error::new(error.kind(), error.to_string());
        self.error.lock().get_or_insert(again);
        self.now.notify_one();
    }
}

struct Receiver {
    settings: ListenSettings,
    clock: Arc<dyn Clock>,
    received: AtomicU64,
    verified: AtomicU64,
    output: Output,
}

/// The answer to a delivery, and its description in the block.
struct Reply {
    response: Response,
    told: String,
}

async fn receive(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    // A separate task, since a sender that gives up cancels this one. Its delivery is still counted
    // and shown.
    match task::spawn(receiver.take(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Receiver {
    fn greeting(&self, url: &str) -> String {
        let now = self.settings.secrets.read();
        let secrets = match now.all.len() {
            0 => {
                "no secret, so no delivery will verify; see --secret and --secrets-file".to_owned()
            }
            1 => "1 secret".to_owned(),
            count => format!("{count} secrets"),
        };
        let forward = match &self.settings.forward {
            None => String::new(),
            Some(target) => format!(", forwarding deliveries to {}", target.shown()),
        };
        let notice = now.notice.map(|notice| notice + "\n").unwrap_or_default();
        format!("Listening on {url} with {secrets}{forward}\n{notice}Press Ctrl-C to stop.\n\n")
    }

    fn summary(&self) -> String {
        let received = self.received.load(Ordering::Relaxed);
        let verified = self.verified.load(Ordering::Relaxed);
        let deliveries = match received {
            1 => "1 delivery".to_owned(),
            count => format!("{count} deliveries"),
        };
        format!(
            "{deliveries}: {verified} verified, {} not\n",
            received - verified
        )
    }

    async fn take(self: Arc<Self>, request: Request) -> Response {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            let hint = "hookturn listen takes only deliveries, which are POST requests\n";
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, hint);
            let allow = HeaderValue::from_static("POST");
            response.headers_mut().insert(header::ALLOW, allow);
            return response;
        }
        let arrived = self.clock.now();
        let number = self.received.fetch_add(1, Ordering::Relaxed) + 1;
        let body = match read(body).await {
            Ok(body) => body,
            Err((status, problem)) => {
                let mut rows = Rows::default();
                rows.row("why", problem);
                self.tell(arrived, "NOT verified", status.as_str(), rows);
                return plain(status, &format!("{problem}\n"));
            }
        };

        // This reads a file and may take a tenth of a second to explain a failure.
        let receiver = Arc::clone(&self);
        let verifying = task::spawn_blocking(move || {
            let ListenSettings {
                secrets, tolerance, ..
            } = &receiver.settings;
            let secrets = secrets.read();
            let report = verdict(&head, &body, &secrets, arrived, *tolerance);
            (head, body, secrets, report)
        });
        // This fails only when the program is stopping.
        let Ok((head, body, secrets, report)) = verifying.await else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        if report.verified() {
            self.verified.fetch_add(1, Ordering::Relaxed);
        }
        let mut rows = Rows::default();
        rows.row("event", &event(&head, &body));
        if let Some(problem) = &secrets.unreadable {
            rows.row("secrets", problem);
        }
        if let Some(notice) = &secrets.notice {
            rows.row("note", notice);
        }
        rows.explain(&report, &secrets.places);

        let reply = self.reply(number, &report, &head, body).await;
        self.tell(arrived, &headline(&report), &reply.told, rows);
        if !self.settings.delay.is_zero() {
            sleep_until(Instant::now() + self.settings.delay).await;
        }
        reply.response
    }

    async fn reply(&self, number: u64, report: &Report, head: &Parts, body: Bytes) -> Reply {
        if fails(number, self.settings.fail_rate) {
            return Reply {
                response: plain(StatusCode::INTERNAL_SERVER_ERROR, "failing on purpose\n"),
                told: "500, failing on purpose".to_owned(),
            };
        }
        if let Some(target) = &self.settings.forward {
            return match target.send(head, body).await {
                Ok(answer) => Reply {
                    told: format!("{}, as {} did", answer.status.as_str(), target.shown()),
                    response: passed_back(answer),
                },
                Err(problem) => Reply {
                    response: plain(StatusCode::BAD_GATEWAY, &format!("{problem}\n")),
                    told: format!("502, since {} did not answer: {problem}", target.shown()),
                },
            };
        }
        let fitting = if report.verified() {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        let status = self.settings.status.unwrap_or(fitting);
        Reply {
            response: plain(status, &format!("{}\n", headline(report))),
            told: status.as_str().to_owned(),
        }
    }

    fn tell(&self, at: Timestamp, headline: &str, answered: &str, mut rows: Rows) {
        let delay = self.settings.delay;
        if delay.is_zero() {
            rows.row("answered", answered);
        } else {
            rows.row(
                "answered",
                &format!("{answered}, after {} s", delay.as_secs_f64()),
            );
        }
        self.say(&format!("{at}  {headline}\n{}\n", rows.into_text()));
    }

    /// Writes a block to standard output.
    fn say(&self, block: &str) {
        self.output.put(block.as_bytes());
    }
}

/// Returns whether the delivery with this number, from 1, is one of `percent` in a hundred. They
/// are spread evenly and are the same in every run, so that a test can be repeated.
fn fails(number: u64, percent: u64) -> bool {
    number * percent / 100 > (number - 1) * percent / 100
}

/// Reads the body, or returns the status and the reason of its refusal.
async fn read(body: Body) -> Result<Bytes, (StatusCode, &'static str)> {
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err((
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than 1 MiB",
        )),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err((
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive within 20 s",
        )),
    }
}

fn verdict(
    head: &Parts,
    body: &[u8],
    secrets: &Secrets,
    now: Timestamp,
    tolerance: Duration,
) -> Report {
    let headers: Vec<(&str, &[u8])> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    verify(&headers, body, &secrets.all, now, Some(tolerance))
}

/// Returns the event type that the delivery states, verified or not.
fn event(head: &Parts, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        r#type: Option<String>,
        event: Option<String>,
    }
    let stated = || {
        let Body { r#type, event } = serde_json::from_slice(body).ok()?;
        r#type.or(event)
    };
    if let Some(event) = head.headers.get(X_WEBHOOK_EVENT) {
        return printable(event.as_bytes(), SHOWN);
    }
    stated().map_or_else(
        || "without a type".to_owned(),
        |event| printable(event.as_bytes(), SHOWN),
    )
}

fn plain(status: StatusCode, text: &str) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], text.to_owned()).into_response()
}

fn passed_back(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_as_many_as_asked_for_and_spread() {
        for percent in 0..=100 {
            let failed = (1..=1000).filter(|number| fails(*number, percent)).count();
            assert_eq!(failed as u64, percent * 10);
        }
        let quarter: Vec<_> = (1..=8).filter(|number| fails(*number, 25)).collect();
        assert_eq!(quarter, [4, 8]);
    }
}
