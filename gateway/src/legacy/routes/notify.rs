//! The agent's words to the person (contract/activity.md, "notify").

use std::sync::Arc;

use candor_kernel::Error;
use candor_proto::activity::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::{Call, bad_request};
use crate::legacy::json::bind::{Malformed, Object};

const MALFORMED: &str = "message is required";

/// POST /workspaces/:id/notify.
pub(crate) async fn notify(app: Arc<App>, call: Call) -> Answer {
    let request = request(&call)?;
    app.activity
        .call(&call.caller, request, |mut c, r| async move {
            c.notify(r).await
        })
        .await?;
    Ok(answer::status("sent"))
}

fn request(call: &Call) -> Result<pb::NotifyRequest, Error> {
    let object = call.object(MALFORMED)?;
    let malformed = |_: Malformed| bad_request(MALFORMED);
    let message = object.required_string("message").map_err(malformed)?;
    let given = object.array("attachments").map_err(malformed)?;
    let attachments = given.unwrap_or_default().into_iter().map(|raw| {
        let object = Object::parse(raw.as_bytes()).map_err(malformed)?;
        let text = |name| object.string(name).map_err(malformed);
        Ok(pb::Attachment {
            uri: text("uri")?.unwrap_or_default(),
            name: text("name")?.unwrap_or_default(),
            mime_type: text("mimeType")?.unwrap_or_default(),
            size: object
                .integer_i64("size")
                .map_err(malformed)?
                .unwrap_or_default(),
        })
    });
    Ok(pb::NotifyRequest {
        workspace_id: call.workspace_id()?.to_string(),
        message,
        attachments: attachments.collect::<Result<_, Error>>()?,
        // Chosen here, so that one request is one message.
        id: uuid::Uuid::now_v7().to_string(),
    })
}
