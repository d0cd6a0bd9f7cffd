//! Logs: one event a line, on stderr.
//!
//! Standard output belongs to what was asked for. Times are RFC 3339 in UTC with milliseconds. An event is formatted in
//! memory and written with one call, so that lines of concurrent requests do not mix, and a log that cannot be written
//! (a closed pipe) is dropped rather than stopping the server.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    panic::{self, PanicHookInfo},
};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::filter_fn,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: coloured on a terminal, unless `NO_COLOR` is set.
    Text,
    /// For machines: one JSON object, the event's fields beside `timestamp`, `level`, `target` and `message`.
    Json,
}

impl LogFormat {
    /// [`Text`](Self::Text) if stderr is a terminal, else [`Json`](Self::Json).
    #[must_use]
    pub fn for_stderr() -> Self {
        if io::stderr().is_terminal() {
            Self::Text
        } else {
            Self::Json
        }
    }
}

/// Starts logging to stderr, for the whole process: the events that `filter` lets through, and panics. What h2 says below
/// `info` is left out even then.
///
/// A panic is logged as an `error` event with its place in the source. Its message is not: it may quote what the code
/// was working on, which may be a secret.
///
/// # Errors
///
/// When the process has a subscriber already.
pub fn init(filter: EnvFilter, format: LogFormat) -> Result<(), TryInitError> {
    subscriber(filter, format, io::stderr().is_terminal(), io::stderr).try_init()?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
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
    // An error in writing would otherwise be reported with `eprintln!`, which panics when stderr is gone.
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
            .with_span_list(false)
            .boxed(),
    };
    Registry::default()
        .with(filter)
        .with(filter_fn(quotes_nothing))
        .with(layer)
}

/// Whether an event may be logged, whatever the filter says.
///
/// Below `info`, h2 quotes what the peer sent: a malformed path, authority or scheme, the debug data of a GOAWAY. That
/// may hold anything, also a secret in the wrong place.
fn quotes_nothing(event: &Metadata<'_>) -> bool {
    let target = event.target();
    let is_h2 = target == "h2" || target.starts_with("h2::");
    !is_h2 || *event.level() <= Level::INFO
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    // Never `panic.payload()`; see `init`.
    let place = panic.location().map(tracing::field::display);
    tracing::error!(place, "panic");
}

/// The wall clock, RFC 3339 in UTC with milliseconds.
struct Millis;

impl FormatTime for Millis {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let mut micros = String::with_capacity(32);
        SystemTime.format_time(&mut Writer::new(&mut micros))?;
        // `2026-06-12T10:15:00.000123Z`: the library's own format, three digits longer than wanted.
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
