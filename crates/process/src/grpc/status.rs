//! [`candor_kernel::Error`] to [`tonic::Status`] and back (design section 2).
//!
//! The reason travels as `google.rpc.ErrorInfo`, a wrong field as
//! `google.rpc.BadRequest`, the time to try again as `google.rpc.RetryInfo`. The
//! internal text never travels.

use std::collections::HashMap;

use candor_kernel::{Error, ErrorKind, Reason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// `google.rpc.ErrorInfo.domain`.
const DOMAIN: &str = "candor";

/// The status of an error. The internal text ends here, so it is logged here.
#[must_use]
pub fn to_status(error: &Error) -> Status {
    log(error);
    let mut details = ErrorDetails::new();
    let metadata: HashMap<String, String> = error
        .facts()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    details.set_error_info(error.reason().code(), DOMAIN, metadata);
    if let Some(field) = error.field_name() {
        details.add_bad_request_violation(field, error.public());
    }
    if let Some(after) = error.retry_after() {
        details.set_retry_info(Some(after));
    }
    Status::with_error_details(code(error.kind()), error.public(), details)
}

/// The error of a status. A status without our reason comes from the transport
/// or from something in between: then the peer is to blame, or we are.
#[must_use]
pub fn from_status(status: &Status) -> Error {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == DOMAIN);
    let Some(reason) = info.and_then(|info| Reason::from_code(&info.reason)) else {
        return from_foreign(status);
    };
    let field = details
        .bad_request()
        .and_then(|bad| bad.field_violations.first());
    let mut error = match (reason, field) {
        (Reason::InvalidField, Some(field)) => {
            Error::field(field.field.clone(), status.message().to_owned())
        }
        _ => Error::new(reason, status.message().to_owned()),
    };
    for (name, value) in info.into_iter().flat_map(|info| &info.metadata) {
        error = error.with_fact(name.clone(), value.clone());
    }
    match details.retry_info().and_then(|retry| retry.retry_delay) {
        Some(after) => error.with_retry_after(after),
        None => error,
    }
}

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        // gRPC has no word for gone; the reason says it.
        ErrorKind::NotFound | ErrorKind::Gone => Code::NotFound,
        ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable | ErrorKind::Upstream => Code::Unavailable,
        ErrorKind::Unimplemented => Code::Unimplemented,
        ErrorKind::Internal => Code::Internal,
    }
}

/// A status that none of our servers made.
fn from_foreign(status: &Status) -> Error {
    let (reason, public) = match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted => (
            Reason::PeerUnavailable,
            "a part of the platform does not answer, retry shortly",
        ),
        Code::ResourceExhausted => (
            Reason::Overloaded,
            "a part of the platform is overloaded, retry shortly",
        ),
        Code::InvalidArgument => (Reason::InvalidField, "invalid request"),
        Code::Unauthenticated => (Reason::InvalidCredential, "invalid credential"),
        Code::PermissionDenied => (Reason::NotAllowed, "not allowed"),
        Code::Unimplemented => (Reason::NotAvailable, "not available on this platform"),
        // A broken connection shows as Unknown, with the transport's error inside.
        _ if std::error::Error::source(status)
            .is_some_and(|source| source.is::<tonic::transport::Error>()) =>
        {
            (
                Reason::PeerUnavailable,
                "a part of the platform does not answer, retry shortly",
            )
        }
        _ => (Reason::Internal, "internal error"),
    };
    let error = Error::new(reason, public).with_internal(format_args!(
        "{:?}: {}",
        status.code(),
        status.message()
    ));
    if reason.kind() == ErrorKind::Unavailable {
        return error.with_retry_after(std::time::Duration::from_secs(1));
    }
    error
}

fn log(error: &Error) {
    let Some(internal) = error.internal_text() else {
        return;
    };
    let reason = error.reason().code();
    match error.kind() {
        ErrorKind::Internal => tracing::error!(reason, internal, "{error}"),
        ErrorKind::Unavailable => tracing::warn!(reason, internal, "{error}"),
        _ => tracing::debug!(reason, internal, "{error}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_reason_comes_back_as_itself() {
        for reason in Reason::ALL {
            let sent = Error::new(*reason, format!("text of {}", reason.code()))
                .with_internal("secret of ours")
                .with_fact("status", "paused")
                .with_retry_after(Duration::from_millis(1500));
            let status = to_status(&sent);
            assert!(
                !format!("{status:?}").contains("secret of ours"),
                "{status:?}"
            );
            let received = from_status(&status);
            assert_eq!(received.reason(), *reason);
            assert_eq!(received.public(), sent.public());
            assert_eq!(received.retry_after(), sent.retry_after());
            assert_eq!(received.fact("status"), Some("paused"));
            assert_eq!(received.internal_text(), None);
        }
    }

    #[test]
    fn a_wrong_field_keeps_its_name() {
        let received = from_status(&to_status(&Error::field("name", "name is too long")));
        assert_eq!(received.reason(), Reason::InvalidField);
        assert_eq!(received.field_name(), Some("name"));
        assert_eq!(received.public(), "name is too long");
    }

    #[test]
    fn what_no_server_of_ours_said_is_not_repeated_to_callers() {
        let cases = [
            (Code::Unavailable, Reason::PeerUnavailable),
            (Code::DeadlineExceeded, Reason::PeerUnavailable),
            (Code::Cancelled, Reason::PeerUnavailable),
            (Code::Unknown, Reason::Internal),
            (Code::Internal, Reason::Internal),
            (Code::Unauthenticated, Reason::InvalidCredential),
        ];
        for (code, reason) in cases {
            let error = from_status(&Status::new(code, "tcp connect error 10.0.0.7"));
            assert_eq!(error.reason(), reason, "{code:?}");
            assert!(!error.public().contains("10.0.0.7"));
            assert!(error.internal_text().unwrap().contains("10.0.0.7"));
        }
    }

    #[test]
    fn a_reason_of_another_domain_is_foreign() {
        let mut details = ErrorDetails::new();
        details.set_error_info("WORKSPACE_NOT_FOUND", "elsewhere.example", HashMap::new());
        let status = Status::with_error_details(Code::Internal, "no", details);
        assert_eq!(from_status(&status).reason(), Reason::Internal);
    }
}
