//! What other services must be told, in order.

use candor_kernel::Error;
use candor_process::pool::store_error;
use sqlx::PgConnection;

/// What a row of the outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A row or an outcome for the activity log.
    Activity,
    /// An event that is stored.
    Event,
    /// An event that is only shown.
    Transient,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Event => "event",
            Self::Transient => "transient",
        }
    }
    fn from_label(label: &str) -> Result<Self, Error> {
        [Self::Activity, Self::Event, Self::Transient]
            .into_iter()
            .find(|kind| kind.label() == label)
            .ok_or_else(|| Error::internal(format_args!("outbox kind {label}")))
    }
}

/// One row.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Parcel {
    pub id: i64,
    pub kind: Kind,
    pub payload: Vec<u8>,
}

/// The advisory lock of whoever empties the outbox.
const EMPTYING: i64 = 0x0CA2_D0E5_0047;

/// Adds to the outbox, in this order.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn push(connection: &mut PgConnection, parcels: &[(Kind, Vec<u8>)]) -> Result<(), Error> {
    let kinds: Vec<&str> = parcels.iter().map(|(kind, _)| kind.label()).collect();
    let payloads: Vec<&[u8]> = parcels.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    sqlx::query!(
        r#"INSERT INTO relay.outbox (kind, payload)
           SELECT u.kind, u.payload
           FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS u (kind, payload, n)
           ORDER BY u.n"#,
        &kinds as _,
        &payloads as _
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    Ok(())
}

/// Becomes the one who empties the outbox until the transaction ends; false if
/// another one is.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn try_lock(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock($1) AS "locked!""#,
        EMPTYING
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)
}

/// The oldest rows: at most so many, and about so many bytes.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn oldest(
    connection: &mut PgConnection,
    most: i64,
    most_bytes: i64,
) -> Result<Vec<Parcel>, Error> {
    let rows = sqlx::query!(
        r#"SELECT id, kind, payload FROM (
               SELECT *, sum(octet_length(payload)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING)
                         - octet_length(payload) AS before
               FROM (SELECT id, kind, payload FROM relay.outbox ORDER BY id LIMIT $1) page) sized
           WHERE before + octet_length(payload) <= $2 OR before = 0 ORDER BY id"#,
        most,
        most_bytes
    )
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
    rows.into_iter()
        .map(|row| {
            Ok(Parcel {
                id: row.id,
                kind: Kind::from_label(&row.kind)?,
                payload: row.payload,
            })
        })
        .collect()
}

/// Deletes what was told.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn delete(connection: &mut PgConnection, ids: &[i64]) -> Result<(), Error> {
    sqlx::query!("DELETE FROM relay.outbox WHERE id = ANY($1)", ids)
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// How many rows wait, and for how many seconds the oldest one has.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub async fn backlog(connection: &mut PgConnection) -> Result<(i64, f64), Error> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "count!",
                  coalesce(extract(epoch FROM now() - min(created_at)), 0)::double precision
                      AS "age!"
           FROM relay.outbox"#
    )
    .fetch_one(connection)
    .await
    .map_err(store_error)?;
    Ok((row.count, row.age))
}
