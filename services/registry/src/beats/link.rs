//! Ties a batch to the calls that brought its beats (span links).

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Span links a batch carries, at most.
const MOST_LINKS: usize = 128;

/// Links the batch's span to the spans these headers name.
pub(super) fn link<'a>(batch: &Span, traceparents: impl Iterator<Item = &'a str>) {
    for context in traceparents.filter_map(parse).take(MOST_LINKS) {
        batch.add_link(context);
    }
}

/// Reads a W3C `traceparent` (Trace Context, section 3.2).
fn parse(header: &str) -> Option<SpanContext> {
    let mut parts = header.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(flags),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_traceparent_and_refuses_anything_else() {
        assert!(parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_some());
        for bad in ["", "00", "00-0-0-0", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
