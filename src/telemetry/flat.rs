//! JSON lines with the fields of the spans that an event happened in.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// Adds the fields of this program's spans to the JSON object that another format writes, beside the event's own: a
/// reader finds them under the same names on every line.
///
/// The library's own format nests them in an object, which it parses and writes again for each line.
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

/// Whether a span is one of this program. Those of libraries are left out: what they hold may be anything.
fn is_ours(span: &Metadata<'_>) -> bool {
    let target = span.target();
    target.split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

/// Writes the members of the JSON object `fields`, which are those of `span`, but for those that were written.
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
