//! The newest structure events (contract/activity.md).

use std::sync::Arc;

use candor_proto::registry::v1 as pb;

use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::Call;
use crate::legacy::json::encode::{Map, Members as _, array};
use crate::legacy::shapes::time;

/// Events listed (contract/activity.md).
const LISTED: usize = 100;

/// GET /events.
pub(crate) async fn newest(app: Arc<App>, call: Call) -> Answer {
    list(&app, &call, None).await
}

/// GET /events/:id.
pub(crate) async fn newest_of(app: Arc<App>, call: Call) -> Answer {
    let id = call.workspace_id()?.to_string();
    list(&app, &call, Some(id)).await
}

async fn list(app: &App, call: &Call, workspace_id: Option<String>) -> Answer {
    let mut items = Vec::new();
    let mut page_token = String::new();
    loop {
        let left = LISTED.saturating_sub(items.len());
        let request = pb::ListEventsRequest {
            workspace_id: workspace_id.clone(),
            limit: i32::try_from(left).unwrap_or(i32::MAX),
            page_token,
        };
        let page = app
            .registry
            .call(&call.caller, request, |mut c, r| async move {
                c.list_events(r).await
            })
            .await?;
        items.extend(page.events.iter().map(item));
        page_token = page.next_page_token;
        if page_token.is_empty() || items.len() >= LISTED {
            return Ok(answer::ok(array(items)));
        }
    }
}

fn item(event: &pb::Event) -> String {
    let workspace = Some(event.workspace_id.as_str()).filter(|id| !id.is_empty());
    Map::new()
        .member("created_at", |json| time(json, event.created_at.as_ref()))
        .string("event_type", &event.event_type)
        .string("id", &event.id)
        .json_text("payload", &event.payload)
        .nullable_string("workspace_id", workspace)
        .finish()
}
