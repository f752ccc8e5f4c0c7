//! Log lines that name their trace.

use std::fmt;

use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes what `inner` writes, plus `trace_id` and `span_id` of the span that
/// the event happened in.
pub(super) struct WithTrace<F> {
    inner: F,
    json: bool,
}

impl<F> WithTrace<F> {
    pub(super) fn text(inner: F) -> Self {
        Self { inner, json: false }
    }
    pub(super) fn json(inner: F) -> Self {
        Self { inner, json: true }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Entering a span activates its OpenTelemetry context.
        let active = opentelemetry::Context::current();
        let span = active.span().span_context().clone();
        if !span.is_valid() {
            return self.inner.format_event(context, writer, event);
        }
        let mut line = String::with_capacity(256);
        self.inner
            .format_event(context, Writer::new(&mut line), event)?;
        let (trace_id, span_id) = (span.trace_id(), span.span_id());
        match (self.json, line.strip_prefix('{')) {
            (true, Some(rest)) => {
                write!(
                    writer,
                    r#"{{"trace_id":"{trace_id}","span_id":"{span_id}",{rest}"#
                )
            }
            _ => writeln!(
                writer,
                "{} trace_id={trace_id} span_id={span_id}",
                line.trim_end()
            ),
        }
    }
}
