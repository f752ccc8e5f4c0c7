//! Templates (contract/neighbours.md, "Templates").

use std::sync::Arc;

use candor_identity::Call;
use candor_kernel::Error;
use candor_proto::provisioner::v1 as pb;

use crate::app::App;
use crate::templates::{Declared, Templates, unread};

pub(super) async fn list(
    app: Arc<App>,
    call: Call,
    _: pb::ListTemplatesRequest,
) -> Result<pb::ListTemplatesResponse, Error> {
    call.operator()?;
    let templates = Templates::of(&app);
    let listed = tokio::task::spawn_blocking(move || templates.list());
    let listed = listed
        .await
        .map_err(Error::internal)?
        .map_err(unread)?
        .into_iter();
    Ok(pb::ListTemplatesResponse {
        templates: listed.map(shown).collect(),
    })
}

/// What a template says of a workspace that is about to be made from it.
pub(super) async fn describe(
    app: Arc<App>,
    call: Call,
    request: pb::DescribeTemplateRequest,
) -> Result<pb::DescribeTemplateResponse, Error> {
    call.operator()?;
    let templates = Templates::of(&app);
    let read = tokio::task::spawn_blocking(move || templates.run_by(&request.name));
    let (runtime, model) = read.await.map_err(Error::internal)?.map_err(unread)?;
    Ok(pb::DescribeTemplateResponse { runtime, model })
}

fn shown((id, declared): (String, Declared)) -> pb::Template {
    let models = declared.models.into_iter().map(|model| pb::TemplateModel {
        id: model.id,
        name: model.name,
        required_env: model.required_env,
    });
    pb::Template {
        id,
        name: declared.name,
        description: declared.description,
        tier: declared.tier,
        runtime: declared.runtime,
        model: declared.model,
        models: models.collect(),
        required_env: declared.required_env,
        skills: declared.skills,
        provision_timeout_seconds: declared.provision_timeout_seconds,
    }
}
