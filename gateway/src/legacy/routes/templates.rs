//! Templates (contract/neighbours.md, "Templates").

use std::sync::Arc;

use candor_proto::provisioner::v1 as pb;

use super::files::LOOK;
use crate::legacy::App;
use crate::legacy::answer::{self, Answer};
use crate::legacy::call::Call;
use crate::legacy::json::encode::{Members as _, Struct, Writer, array};

/// GET /templates.
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let listed = app
        .provisioner
        .call_within(
            LOOK,
            &call.caller,
            pb::ListTemplatesRequest {},
            |mut c, r| async move { c.list_templates(r).await },
        )
        .await?;
    Ok(answer::ok(array(listed.templates.iter().map(template))))
}

fn template(one: &pb::Template) -> String {
    let mut shown = Struct::new()
        .string("id", &one.id)
        .string("name", &one.name)
        .string("description", &one.description)
        .int("tier", one.tier.into())
        .string("runtime", &one.runtime)
        .string("model", &one.model);
    if !one.models.is_empty() {
        shown = shown.encoded("models", &array(one.models.iter().map(model)));
    }
    if !one.required_env.is_empty() {
        shown = shown.encoded("required_env", &texts(&one.required_env));
    }
    shown = match one.skills.is_empty() {
        true => shown.null("skills"),
        false => shown.encoded("skills", &texts(&one.skills)),
    };
    let count = i64::try_from(one.skills.len()).unwrap_or(i64::MAX);
    shown = shown.int("skill_count", count);
    if let Some(seconds) = one.provision_timeout_seconds {
        shown = shown.int("provision_timeout_seconds", seconds);
    }
    shown.finish()
}

fn model(one: &pb::TemplateModel) -> String {
    let mut shown = Struct::new().string("id", &one.id);
    if !one.name.is_empty() {
        shown = shown.string("name", &one.name);
    }
    if !one.required_env.is_empty() {
        shown = shown.encoded("required_env", &texts(&one.required_env));
    }
    shown.finish()
}

fn texts(all: &[String]) -> String {
    array(all.iter().map(|text| {
        let mut writer = Writer::new();
        writer.string(text);
        writer.finish()
    }))
}
