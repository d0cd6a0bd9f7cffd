//! Logs to stderr, one event per line.
//!
//! Standard output is for what a command was asked for. Times are RFC 3339 in UTC with
//! milliseconds. The thread of an event formats its line, and another thread writes it whole
//! ([`output`](crate::output)). So lines of concurrent requests do not mix, and nothing waits for
//! the reader of the log. When the reader is too slow, lines are dropped, and a line says how many.
//! Events inside a request or an attempt of a delivery also have the fields of its span.

mod flat;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{self, PanicHookInfo};
use std::time::Duration;

use serde_json::json;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use self::flat::Flat;
use crate::output::Output;

/// How long the program waits at its end for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How long a panic waits for its line to be written, since the process may end with it.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The message of the line that counts dropped lines.
const DROPPED: &str = "log lines were dropped: they came faster than they could be written";

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured on a terminal, unless `NO_COLOR` is set.
    Text,
    /// For machines: one JSON object per line, with the event's fields beside `timestamp`, `level`,
    /// `target` and `message`.
    Json,
}

impl LogFormat {
    /// Returns [`Text`](Self::Text) if stderr is a terminal, else [`Json`](Self::Json).
    #[must_use]
    pub fn for_stderr() -> Self {
        if io::stderr().is_terminal() {
            Self::Text
        } else {
            Self::Json
        }
    }
}

/// The log of the process. Dropping it at the end of the program waits for the last lines to be
/// written, for at most a second.
#[must_use]
pub struct Log(Output);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(LAST_LINES);
    }
}

/// Starts logging the events that pass `filter`, and panics, to stderr for the whole process.
/// Events of h2 below `info` are never logged.
///
/// A panic is logged as an `error` event with its place in the source, but without its message,
/// which may quote a secret.
///
/// # Errors
///
/// When the thread cannot be started, or when the process has a subscriber already.
pub fn init(filter: EnvFilter, format: LogFormat) -> io::Result<Log> {
    let notice = move |lines| dropped(format, lines);
    let output = Output::start("log", io::stderr(), notice, |_| {})?;
    let writer = output.clone();
    let writer = move || Line(writer.clone());
    subscriber(filter, format, io::stderr().is_terminal(), writer)
        .try_init()
        .map_err(io::Error::other)?;
    let of_panics = output.clone();
    panic::set_hook(Box::new(move |panic| {
        log_panic(panic);
        of_panics.flush(LAST_WORDS);
    }));
    Ok(Log(output))
}

/// Writes the last line of a failed command to stderr. It waits at most a second for the reader.
pub fn say_last(line: &str) {
    let text = format!("{line}\n");
    match Output::start("last line", io::stderr(), |_| String::new(), |_| {}) {
        Ok(output) => {
            output.put(text.as_bytes());
            output.flush(LAST_LINES);
        }
        Err(_) => {
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }
}

/// Takes a line from the formatter, which writes it with one call, and puts it in the output.
struct Line(Output);

impl io::Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the line that counts dropped lines. It does not go through the subscriber, so no filter
/// can drop it.
fn dropped(format: LogFormat, lines: u64) -> String {
    let mut time = String::new();
    let _ = Millis.format_time(&mut Writer::new(&mut time));
    let target = module_path!();
    match format {
        LogFormat::Text => format!("{time}  WARN {target}: {DROPPED} lines={lines}\n"),
        LogFormat::Json => {
            let line = json!({
                "timestamp": time, "level": "WARN", "message": DROPPED, "lines": lines, "target": target,
            });
            format!("{line}\n")
        }
    }
}

fn subscriber<W>(
    filter: EnvFilter,
    format: LogFormat,
    terminal: bool,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // Write errors would otherwise be reported with `eprintln!`, which panics when stderr is
    // closed.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_timer(Millis)
        .log_internal_errors(false);
    let layer = match format {
        LogFormat::Text if terminal => layer.boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .map_event_format(Flat)
            .boxed(),
    };
    Registry::default()
        .with(filter)
        .with(filter_fn(quotes_nothing))
        .with(layer)
}

/// Returns whether an event may be logged at all.
///
/// Below `info`, h2 quotes what the peer sent: a malformed path, authority or scheme, or the debug
/// data of a GOAWAY. That may be a secret in the wrong place.
fn quotes_nothing(event: &Metadata<'_>) -> bool {
    let target = event.target();
    let is_h2 = target == "h2" || target.starts_with("h2::");
    !is_h2 || *event.level() <= Level::INFO
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    // Do not log `panic.payload()`; see `init`.
    let place = panic.location().map(tracing::field::display);
    tracing::error!(place, "panic");
}

/// The wall clock's time in RFC 3339, in UTC with milliseconds.
struct Millis;

impl FormatTime for Millis {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let mut micros = String::with_capacity(32);
        SystemTime.format_time(&mut Writer::new(&mut micros))?;
        // The library's format, such as `2026-06-12T10:15:00.000123Z`, has three digits too many.
        writer.write_str(
            micros
                .get(.."2026-06-12T10:15:00.000".len())
                .unwrap_or(&micros),
        )?;
        writer.write_char('Z')
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("no panic while locked")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = subscriber(EnvFilter::new("info"), format, false, move || {
            writer.clone()
        });
        tracing::subscriber::with_default(subscriber, log);
        let bytes = written.0.lock().expect("no panic while locked").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let lines = logged(LogFormat::Json, || {
            tracing::info!(status = 200, path = "/x\n\"y\"", "request");
            tracing::debug!("not asked for");
        });
        assert_eq!(lines.matches('\n').count(), 1, "{lines}");
        let line: serde_json::Value = serde_json::from_str(&lines).expect("one object");
        assert_eq!(line["message"], "request");
        assert_eq!(line["status"], 200);
        assert_eq!(line["path"], "/x\n\"y\"");
        assert_eq!(line["level"], "INFO");
        let time = line["timestamp"].as_str().expect("a time");
        assert_eq!(time.len(), "2026-06-12T10:15:00.000Z".len(), "{time}");
        chrono::DateTime::parse_from_rfc3339(time).expect("RFC 3339");
    }

    #[test]
    fn text_is_a_plain_line_off_a_terminal() {
        let line = logged(LogFormat::Text, || tracing::info!(status = 200, "request"));
        assert!(
            line.contains(" INFO ") && line.contains("request status=200"),
            "{line}"
        );
        assert!(!line.contains('\u{1b}'), "{line}");
    }

    #[test]
    fn a_line_has_the_fields_of_the_spans_around_it_once() {
        let log = || {
            let outer = tracing::info_span!("outer", tenant = "a \"b\"", number = 7);
            let _outer = outer.enter();
            let foreign = tracing::info_span!(target: "another::library", "foreign", secret = "x");
            let _foreign = foreign.enter();
            tracing::info!(number = 7, "within");
            let inner = tracing::info_span!("inner", tenant = "c", place = "here");
            inner.in_scope(|| tracing::info!("deeper"));
            tracing::info_span!("empty").in_scope(|| tracing::info!("as before"));
        };
        let lines = logged(LogFormat::Json, log);
        let lines: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("one object"))
            .collect();
        let told = |line: &serde_json::Value| {
            ["tenant", "number", "place", "secret", "span"].map(|name| line[name].clone())
        };
        let null = serde_json::Value::Null;
        let outer = [
            "a \"b\"".into(),
            7.into(),
            null.clone(),
            null.clone(),
            null.clone(),
        ];
        assert_eq!(told(&lines[0]), outer);
        let inner = ["c".into(), 7.into(), "here".into(), null.clone(), null];
        assert_eq!(told(&lines[1]), inner);
        assert_eq!(told(&lines[2]), outer);
        let raw = logged(LogFormat::Json, log);
        let first = raw.lines().next().expect("a line");
        assert_eq!(first.matches("number").count(), 1, "{first}");

        let text = logged(LogFormat::Text, log);
        assert!(text.contains("tenant=\"a \\\"b\\\"\" number=7"), "{text}");
    }

    #[test]
    fn the_line_that_counts_dropped_ones_is_like_the_others() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let logged = logged(format, || tracing::warn!(lines = 7, "{DROPPED}"));
            let counted = dropped(format, 7);
            let (time, rest) = match format {
                LogFormat::Text => counted.split_at("2026-06-12T10:15:00.000Z".len()),
                LogFormat::Json => (counted.as_str(), ""),
            };
            match format {
                LogFormat::Text => {
                    chrono::DateTime::parse_from_rfc3339(time).expect("RFC 3339");
                    assert_eq!(rest, logged[time.len()..].replace("::tests", ""));
                }
                LogFormat::Json => {
                    let [mut counted, mut logged] = [&counted, &logged].map(|line| {
                        assert_eq!(line.matches('\n').count(), 1, "{line}");
                        serde_json::from_str::<serde_json::Value>(line).expect("one object")
                    });
                    for line in [&mut counted, &mut logged] {
                        let time = line["timestamp"].take();
                        let time = time.as_str().expect("a time");
                        chrono::DateTime::parse_from_rfc3339(time).expect("RFC 3339");
                        line["target"].take();
                    }
                    assert_eq!(counted, logged);
                }
            }
        }
    }

    #[test]
    fn a_panic_is_logged_with_its_place_and_without_its_message() {
        let before = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        let lines = logged(LogFormat::Json, || {
            panic::catch_unwind(|| panic!("whsec_of_somebody")).expect_err("it panics");
        });
        panic::set_hook(before);
        let line: serde_json::Value = serde_json::from_str(&lines).expect("one object");
        assert_eq!(line["level"], "ERROR");
        assert!(
            line["place"]
                .as_str()
                .expect("a place")
                .contains("telemetry.rs:"),
            "{line}"
        );
        assert!(!lines.contains("whsec"), "{lines}");
    }
}
