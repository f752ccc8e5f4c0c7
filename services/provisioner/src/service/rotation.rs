//! Seals every stored secret with the key of now.

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::{Error, Reason};
use candor_proto::provisioner::v1 as pb;
use uuid::Uuid;

use super::secrets::unreadable;
use crate::app::App;
use crate::store::rotation::{self, Resealed, Stored};

/// Names that are told of secrets that cannot be read, at most.
const MOST_NAMED: usize = 100;

/// How far it is.
#[derive(Default)]
struct Progress {
    sealed: u64,
    failed: u64,
    named: Vec<String>,
}

/// A page is written at once, or not at all; what is sealed with the key of now already
/// is left as it is. So it can be broken off at any time, and done again; the deadline of
/// a call is enough for millions that are done.
pub(super) async fn rotate(
    app: Arc<App>,
    call: Call,
    _: pb::RotateSecretsRequest,
) -> Result<pb::RotateSecretsResponse, Error> {
    call.operator()?;
    if !app.sealer.has_key() {
        return Err(Error::new(
            Reason::NoEncryptionKey,
            "no key is set to seal secrets with: set CANDOR_SECRETS_ENCRYPTION_KEY or \
             CANDOR_SECRETS_ENCRYPTION_KEY_FILE",
        ));
    }
    let mut progress = Progress::default();
    for global in [true, false] {
        let mut after = Uuid::nil();
        while let Some(last) = page(&app, global, after, &mut progress).await? {
            after = last;
        }
    }
    if progress.failed > 0 {
        let text = format!(
            "{} secrets open with neither key and were left as they are; {} were sealed anew",
            progress.failed, progress.sealed
        );
        return Err(unreadable(text, &progress.named));
    }
    Ok(pb::RotateSecretsResponse {
        sealed: i32::try_from(progress.sealed).unwrap_or(i32::MAX),
    })
}

/// Does one page: its last row, or none if there is nothing behind `after`.
async fn page(
    app: &App,
    global: bool,
    after: Uuid,
    progress: &mut Progress,
) -> Result<Option<Uuid>, Error> {
    let mut connection = app.store.connection().await?;
    let stored = match global {
        true => rotation::global_page(&mut connection, after).await?,
        false => rotation::page(&mut connection, after).await?,
    };
    let last = stored.last().map(|one| one.id);
    let mut anew = Resealed::default();
    for one in stored {
        if let Err(name) = reseal(app, one, &mut anew)? {
            progress.failed += 1;
            if progress.named.len() < MOST_NAMED {
                progress.named.push(name);
            }
        }
    }
    if !anew.ids.is_empty() {
        progress.sealed += match global {
            true => rotation::write_global(&mut connection, &anew).await?,
            false => rotation::write(&mut connection, &anew).await?,
        };
    }
    Ok(last)
}

/// Adds one to what is written, if it has to be; its name if it cannot be read.
fn reseal(app: &App, one: Stored, anew: &mut Resealed) -> Result<Result<(), String>, Error> {
    if !app.sealer.is_outdated(&one.value, one.version) {
        return Ok(Ok(()));
    }
    let Ok(value) = app.sealer.open(&one.key, &one.value, one.version) else {
        return Ok(Err(match one.workspace_id {
            Some(id) => format!("workspace:{id}:{}", one.key),
            None => format!("global:{}", one.key),
        }));
    };
    let (sealed, version) = app.sealer.seal(&one.key, &value)?;
    anew.ids.push(one.id);
    anew.read.push(one.value);
    anew.sealed.push(sealed);
    anew.versions.push(version);
    Ok(Ok(()))
}
