//! What a field may hold.

use candor_kernel::text::storable;
use candor_kernel::{ActivityId, AuthMethod, Error, Source, WorkspaceId};
use candor_proto::activity::v1 as pb;
use serde_json::value::RawValue;

use crate::body::StoredBody;

/// A text for a column: empty is absent.
pub(super) fn text(field: &'static str, given: Option<String>) -> Result<Option<String>, Error> {
    match given.filter(|text| !text.is_empty()) {
        Some(text) => storable(field, &text).map(|()| Some(text)),
        None => Ok(None),
    }
}

/// A text for a column, also an empty one.
pub(super) fn kept(field: &'static str, given: Option<String>) -> Result<Option<String>, Error> {
    if let Some(text) = &given {
        storable(field, text)?;
    }
    Ok(given)
}

/// A text that must be there.
pub(super) fn required(field: &'static str, given: String) -> Result<String, Error> {
    text(field, Some(given))?.ok_or_else(|| Error::field(field, format!("{field} is required")))
}

/// JSON text: empty is absent.
pub(super) fn json(field: &'static str, given: Option<String>) -> Result<Option<String>, Error> {
    let given = text(field, given)?;
    if let Some(text) = &given
        && serde_json::from_str::<&RawValue>(text).is_err()
    {
        return Err(Error::field(field, format!("{field} is not JSON")));
    }
    Ok(given)
}

pub(super) fn workspace(field: &'static str, id: &str) -> Result<WorkspaceId, Error> {
    WorkspaceId::of_field(field, id)
}

/// An optional workspace: empty is absent.
pub(super) fn target(id: Option<&str>) -> Result<Option<WorkspaceId>, Error> {
    id.filter(|id| !id.is_empty())
        .map(|id| workspace("target_id", id))
        .transpose()
}

/// The id of a row; a new one if the writer chose none.
pub(super) fn row_id(id: &str) -> Result<ActivityId, Error> {
    if id.is_empty() {
        return Ok(ActivityId::from_uuid(uuid::Uuid::now_v7()));
    }
    ActivityId::of_field("id", id)
}

pub(super) fn body(
    field: &'static str,
    given: Option<pb::Body>,
) -> Result<Option<StoredBody>, Error> {
    given.map(|body| StoredBody::of(field, body)).transpose()
}

/// The source that one of Candor's own processes names: the caller that it
/// authenticated, and what that caller claimed.
pub(super) fn source(given: Option<pb::Source>) -> Result<(Source, Option<String>), Error> {
    let wrong = |what: &str| Error::field("source", format!("source.{what}"));
    let given = given.ok_or_else(|| Error::field("source", "source is required"))?;
    let claimed = text("source", Some(given.claimed))?;
    let auth = || AuthMethod::from_label(&given.auth).ok_or_else(|| wrong("auth is unknown"));
    let source = match given.kind.try_into() {
        Ok(pb::SourceKind::User) => Source::User { auth: auth()? },
        Ok(pb::SourceKind::Workspace) => Source::Workspace {
            id: workspace("source", &given.id)?,
            auth: auth()?,
        },
        Ok(pb::SourceKind::System) if !given.id.is_empty() => {
            storable("source", &given.id)?;
            Source::System { name: given.id }
        }
        Ok(pb::SourceKind::Anonymous) => Source::Anonymous,
        _ => return Err(wrong("kind is missing, unknown or incomplete")),
    };
    Ok((source, claimed))
}
