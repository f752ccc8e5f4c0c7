//! What a workspace's instances read below `/configs`.

use candor_kernel::WorkspaceId;
use candor_proto::registry::v1::Blueprint;

use super::generated::{allowed_runtime, config_yaml};
use super::{CONFIG, Declared, Templates};
use crate::app::App;
use crate::backend::{BackendError, ConfigFile};

/// The label of a configuration that no template made.
const GENERATED: &str = "generated";

/// A configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configured {
    /// The files, without the token.
    pub files: Vec<ConfigFile>,
    /// The template's name, or `generated`.
    pub label: String,
}

/// The configuration of a workspace: the template that is asked for, else its runtime's
/// default, else a generated one (contract/workspaces.md, "Template resolution"). Without
/// a template it is generated.
///
/// # Errors
/// [`BackendError`], with the fix.
pub(crate) async fn files_for(
    app: &App,
    workspace: WorkspaceId,
    blueprint: &Blueprint,
    template: Option<&str>,
) -> Result<Configured, BackendError> {
    let templates = Templates::of(app);
    let blueprint = blueprint.clone();
    let template = template.unwrap_or_default().to_owned();
    let read = tokio::task::spawn_blocking(move || configured(&templates, &blueprint, &template));
    let configured = read.await.map_err(|panicked| {
        BackendError::Unavailable(format!("reading templates: {panicked}"))
    })??;
    tracing::debug!(%workspace, template = configured.label, "the configuration was read");
    Ok(configured)
}

fn configured(
    templates: &Templates,
    blueprint: &Blueprint,
    template: &str,
) -> Result<Configured, BackendError> {
    for name in names(blueprint, template) {
        if let Some(files) = templates.files(&name)? {
            return Ok(with(files, &name));
        }
    }
    Ok(with(vec![generated(blueprint)?], GENERATED))
}

/// Paths and lengths in bytes of a template's files that an instance is made from; what
/// is generated is short.
pub(crate) fn of_instance(
    templates: &Templates,
    blueprint: &Blueprint,
) -> Result<Vec<(String, u64)>, BackendError> {
    for name in names(blueprint, &blueprint.template) {
        if templates.has(&name)? {
            return templates.sizes(&name);
        }
    }
    Ok(Vec::new())
}

/// Where a configuration may come from, in order.
fn names(blueprint: &Blueprint, template: &str) -> Vec<String> {
    let default = format!("{}-default", allowed_runtime(&blueprint.runtime));
    match template {
        "" => Vec::new(),
        template => vec![template.to_owned(), default],
    }
}

fn with(files: Vec<ConfigFile>, label: &str) -> Configured {
    Configured {
        label: label.to_owned(),
        files,
    }
}

/// Variables without which the runtime does not start, by the `config.yaml` of files that
/// an instance is given.
pub(crate) fn required_env(files: &[ConfigFile]) -> Vec<String> {
    let config = files.iter().find(|file| file.path() == CONFIG);
    // One that cannot be read here is the runtime's to judge.
    let declared = config.and_then(|file| Declared::read(&file.content).ok());
    declared.unwrap_or_default().required_env
}

fn generated(blueprint: &Blueprint) -> Result<ConfigFile, BackendError> {
    ConfigFile::new(CONFIG, config_yaml(blueprint))
        .map_err(|bad| BackendError::Refused(bad.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::templates::tests::{folder, template};

    #[test]
    fn the_template_then_the_runtimes_default_then_a_generated_one() {
        let (place, templates) = folder();
        template(
            &place,
            "mine",
            "name: m\nruntime_config:\n  required_env: [KEY]\n",
        );
        template(&place, "crewai-default", "name: c\n");
        let of = |runtime: &str| Blueprint {
            name: "n".to_owned(),
            runtime: runtime.to_owned(),
            ..Blueprint::default()
        };
        let label = |runtime: &str, template: &str| {
            configured(&templates, &of(runtime), template)
                .unwrap()
                .label
        };
        let mine = configured(&templates, &of("crewai"), "mine").unwrap();
        assert_eq!(mine.label, "mine");
        assert_eq!(required_env(&mine.files), ["KEY"]);
        assert_eq!(required_env(&[]), [""; 0]);
        assert_eq!(label("crewai", "no-such"), "crewai-default");
        assert_eq!(label("crewai", "../crewai-default"), "crewai-default");
        assert_eq!(label("hermes", "no-such"), "generated");
        assert_eq!(label("crewai", ""), "generated");
        std::fs::remove_file(place.path().join("mine/config.yaml")).unwrap();
        std::fs::write(place.path().join("mine/prompt.md"), "p").unwrap();
        assert_eq!(label("crewai", "mine"), "crewai-default");
    }
}
