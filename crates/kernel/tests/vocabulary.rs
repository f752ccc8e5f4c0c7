//! Words that are stored or sent must not change by accident.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use candor_kernel::decision::json_number;
use candor_kernel::token::{TokenHash, TokenText};
use candor_kernel::{
    CauseKind, Causes, Error, EventType, Reason, RuntimeMetadata, RuntimeState, Status,
};
use chrono::{DateTime, Utc};

#[test]
fn labels_are_unique_and_read_back() {
    for status in Status::ALL {
        assert_eq!(status.label().parse::<Status>().unwrap(), status);
        assert!(
            Status::ALL
                .iter()
                .any(|known| known.label() == status.legacy_label())
        );
    }
    assert!("gone".parse::<Status>().is_err());
    let events: BTreeSet<_> = EventType::ALL.iter().map(|event| event.label()).collect();
    assert_eq!(events.len(), EventType::ALL.len());
    let reasons: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(reasons.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Some(*reason));
    }
}

#[test]
fn readers_of_eight_statuses_see_eight() {
    let seen: BTreeSet<_> = Status::ALL
        .iter()
        .map(|status| status.legacy_label())
        .collect();
    assert_eq!(seen.len(), 8);
    assert_eq!(Status::AwaitingAgent.legacy_label(), "provisioning");
    assert_eq!(Status::Hibernating.legacy_label(), "paused");
}

#[test]
fn four_words_mean_healthy() {
    for word in ["", "ok", "healthy", "ready"] {
        assert!(RuntimeState(word.to_owned()).is_healthy(), "{word:?}");
    }
    for word in ["wedged", "OK", "starting", " "] {
        assert!(!RuntimeState(word.to_owned()).is_healthy(), "{word:?}");
    }
}

#[test]
fn causes_keep_their_first_time_and_their_stored_form() {
    let at = |seconds: i64| DateTime::<Utc>::from_timestamp(1_700_000_000 + seconds, 0).unwrap();
    let mut causes = Causes::default();
    causes.insert(CauseKind::Wedged, "first", at(0));
    causes.insert(CauseKind::Wedged, "second", at(9));
    let stored = serde_json::to_string(&causes).unwrap();
    assert_eq!(
        stored,
        r#"{"wedged":{"since":"2023-11-14T22:13:20Z","evidence":"second"}}"#
    );
    assert_eq!(serde_json::from_str::<Causes>(&stored).unwrap(), causes);
}

#[test]
fn metadata_with_unknown_members_is_read() {
    let text = r#"{"capabilities":{"status_mgmt":true},"idle_timeout_seconds":30,"later":1}"#;
    let metadata: RuntimeMetadata = serde_json::from_str(text).unwrap();
    assert!(metadata.owns_status());
    assert!(
        !serde_json::from_str::<RuntimeMetadata>("{}")
            .unwrap()
            .owns_status()
    );
}

#[test]
fn whole_numbers_print_without_a_fraction() {
    for (number, text) in [
        (0.0, "0"),
        (1.0, "1"),
        (-1.0, "-1"),
        (0.5, "0.5"),
        (7.5, "7.5"),
        (0.666_666_666_666_666_6, "0.6666666666666666"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
    ] {
        assert_eq!(json_number(number).to_string(), text);
    }
}

#[test]
fn callers_never_read_the_internal_text() {
    let error = Error::store_unavailable("connection to 10.0.0.7 refused");
    assert_eq!(
        error.to_string(),
        "platform datastore unavailable — retry shortly"
    );
    assert_eq!(
        error.internal_text(),
        Some("connection to 10.0.0.7 refused")
    );
}

#[test]
fn tokens_have_43_characters_and_hide_in_logs() {
    let token = TokenText::from_random([7; 32]);
    assert_eq!(token.reveal().len(), 43);
    assert_eq!(token.prefix(), &token.reveal()[..8]);
    assert_eq!(token.hash(), TokenHash::of(token.reveal()));
    assert_eq!(format!("{:?}", token.hash()), "TokenHash(..)");
}
