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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::io;
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Layer, Registry};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Two lines, one in a span and one outside, without any exporter.
    fn two_lines(json: bool) -> Vec<String> {
        let lines = Lines::default();
        let sink = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || sink.clone())
            .with_ansi(false);
        let format = tracing_subscriber::fmt::format();
        let layer: Box<dyn Layer<Registry> + Send + Sync> = if json {
            layer
                .json()
                .event_format(WithTrace::json(format.json().flatten_event(true)))
                .boxed()
        } else {
            layer.event_format(WithTrace::text(format)).boxed()
        };
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOff)
            .build();
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(Registry::default().with(layer).with(traces), || {
            tracing::info_span!("work").in_scope(|| tracing::info!(n = 1, "inside"));
            tracing::info!("outside");
        });
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        written.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_text_line_in_a_span_ends_with_its_trace() {
        let lines = two_lines(false);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let (head, ids) = lines[0].split_once(" trace_id=").unwrap();
        assert!(head.ends_with("inside n=1"), "{head}");
        let (trace_id, span_id) = ids.split_once(" span_id=").unwrap();
        assert_eq!((trace_id.len(), span_id.len()), (32, 16));
        assert!(!lines[1].contains("trace_id"), "{}", lines[1]);
    }

    #[test]
    fn a_json_line_in_a_span_has_its_trace_as_a_field() {
        let lines = two_lines(true);
        let inside: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(inside["message"], "inside");
        assert_eq!(inside["trace_id"].as_str().unwrap().len(), 32);
        assert_eq!(inside["span_id"].as_str().unwrap().len(), 16);
        let outside: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert!(outside.get("trace_id").is_none());
    }
}
