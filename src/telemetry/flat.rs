//! Formats JSON log lines with the fields of an event's spans.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Adds the fields of this program's spans to the JSON object that another format writes, beside
/// the event's own fields, so that they have the same names on every line.
///
/// The library's own format puts them in a nested object, which it parses and writes again for each
/// line.
pub(super) struct Flat<F>(pub F);

impl<S, N, F> FormatEvent<S, N> for Flat<F>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(scope) = ctx.event_scope() else {
            return self.0.format_event(ctx, writer, event);
        };
        let mut line = String::with_capacity(512);
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        let Some(object) = line.strip_suffix("}\n") else {
            return writer.write_str(&line);
        };
        writer.write_str(object)?;
        let mut written = vec![event.metadata()];
        for span in scope.filter(|span| is_ours(span.metadata())) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write_fields(&mut writer, fields, span.metadata(), &written)?;
            }
            written.push(span.metadata());
        }
        writer.write_str("}\n")
    }
}

/// Returns whether a span is one of this program. The spans of libraries are left out, since their
/// fields may hold anything.
fn is_ours(span: &Metadata<'_>) -> bool {
    let target = span.target();
    target.split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

/// Writes the members of the JSON object `fields` of `span`, except those that were written before.
fn write_fields(
    writer: &mut Writer<'_>,
    fields: &str,
    span: &Metadata<'_>,
    written: &[&Metadata<'_>],
) -> fmt::Result {
    let was_written = |name: &str| {
        let mut written = written.iter();
        written.any(|other| other.fields().field(name).is_some())
    };
    if span.fields().iter().any(|field| was_written(field.name())) {
        let members: Map<String, Value> = serde_json::from_str(fields).unwrap_or_default();
        for (name, value) in members.iter().filter(|(name, _)| !was_written(name)) {
            write!(writer, ",{}:{value}", Value::from(name.as_str()))?;
        }
        return Ok(());
    }
    let members = fields
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    match members {
        None | Some("") => Ok(()),
        Some(members) => write!(writer, ",{members}"),
    }
}
