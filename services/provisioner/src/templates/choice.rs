//! Which template a restart takes the configuration from (contract/workspaces.md,
//! "Template choice").

use candor_kernel::{Error, Reason};
use candor_proto::provisioner::v1::RestartWorkspaceRequest;
use candor_proto::registry::v1::Blueprint;

use super::{Templates, generated::allowed_runtime, unread};
use crate::app::App;
use crate::backend::BackendError;

/// Where templates of whole organisations are, below the templates' folder.
const ORGANISATIONS: &str = "org-templates";

/// The template that a restart asks for, of those that there are; nothing if the
/// configuration stays as it is. It looks at the templates' folder and may block for as
/// long as that takes.
///
/// # Errors
/// `NOT_ALLOWED` if a workspace itself asks for one that nobody gave it; the folder
/// cannot be read.
pub(crate) fn choose_template(
    app: &App,
    blueprint: &Blueprint,
    request: &RestartWorkspaceRequest,
    operator: bool,
) -> Result<Option<String>, Error> {
    let templates = Templates::of(app);
    match operator {
        true => choose(&templates, blueprint, request).map_err(unread),
        false => choose_own(&templates, blueprint, request),
    }
}

fn choose(
    templates: &Templates,
    blueprint: &Blueprint,
    request: &RestartWorkspaceRequest,
) -> Result<Option<String>, BackendError> {
    let asked = match request.template.as_str() {
        "" if request.apply_template => templates.named("", &blueprint.name)?,
        "" => None,
        template => Some(template.to_owned()),
    };
    if let Some(asked) = asked
        && templates.has(&asked)?
    {
        return Ok(Some(asked));
    }
    if request.rebuild_config
        && let Some(found) = templates.named(ORGANISATIONS, &blueprint.name)?
    {
        return Ok(Some(found));
    }
    match request.apply_template {
        true => default(templates, blueprint),
        false => Ok(None),
    }
}

/// Its own template once more, or its runtime's: what it names itself, by its name too,
/// could be any other's, and what templates hold is not for everybody.
fn choose_own(
    templates: &Templates,
    blueprint: &Blueprint,
    request: &RestartWorkspaceRequest,
) -> Result<Option<String>, Error> {
    let another = !request.template.is_empty() && request.template != blueprint.template;
    if another || request.rebuild_config {
        return Err(Error::new(
            Reason::NotAllowed,
            "admin credential required for: template",
        ));
    }
    if !blueprint.template.is_empty() && templates.has(&blueprint.template).map_err(unread)? {
        return Ok(Some(blueprint.template.clone()));
    }
    match request.apply_template {
        true => default(templates, blueprint).map_err(unread),
        false => Ok(None),
    }
}

/// The template of the workspace's runtime, if there is one.
fn default(templates: &Templates, blueprint: &Blueprint) -> Result<Option<String>, BackendError> {
    let default = format!("{}-default", allowed_runtime(&blueprint.runtime));
    Ok(templates.has(&default)?.then_some(default))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::templates::tests::{folder, template};

    fn ask(template: &str, apply_template: bool, rebuild_config: bool) -> RestartWorkspaceRequest {
        RestartWorkspaceRequest {
            template: template.to_owned(),
            apply_template,
            rebuild_config,
            ..RestartWorkspaceRequest::default()
        }
    }

    #[test]
    fn the_order_of_the_contract_is_kept() {
        let (place, templates) = folder();
        for (name, yaml) in [
            ("asked", "name: asked\n"),
            ("my-agent", "name: other\n"),
            ("named", "name: \"The PM\"\n"),
            ("crewai-default", "name: c\n"),
            ("org-templates/lost-one", "name: l\n"),
        ] {
            template(&place, name, yaml);
        }
        let of = |name: &str, runtime: &str| Blueprint {
            name: name.to_owned(),
            runtime: runtime.to_owned(),
            ..Blueprint::default()
        };
        let chosen = |of: &Blueprint, request| choose(&templates, of, &request).unwrap();
        let agent = of("My Agent", "crewai");
        assert_eq!(chosen(&agent, ask("", false, false)), None);
        assert_eq!(chosen(&agent, ask("asked", false, false)).unwrap(), "asked");
        assert_eq!(chosen(&agent, ask("", true, false)).unwrap(), "my-agent");
        let pm = of("the pm", "crewai");
        assert_eq!(chosen(&pm, ask("", true, false)).unwrap(), "named");
        let lost = of("Lost One", "crewai");
        assert_eq!(
            chosen(&lost, ask("", false, true)).unwrap(),
            "org-templates/lost-one"
        );
        let none = of("nobody", "crewai");
        assert_eq!(
            chosen(&none, ask("", true, true)).unwrap(),
            "crewai-default"
        );
        for escape in ["../asked", "/etc", "asked/../..", "a\0b", "missing"] {
            assert_eq!(chosen(&none, ask(escape, false, false)), None, "{escape:?}");
        }
        assert_eq!(chosen(&none, ask("org-templates", false, false)), None);
        // What an operator did not allow is langgraph, of which there is no template.
        let odd = of("nobody", "../../etc");
        assert_eq!(chosen(&odd, ask("", true, true)), None);
    }

    #[test]
    fn a_workspace_gets_its_own_template_or_its_runtimes_and_no_other() {
        let (place, templates) = folder();
        for name in ["mine", "another", "crewai-default"] {
            template(&place, name, "name: x\n");
        }
        let of = |template: &str| Blueprint {
            name: "another".to_owned(),
            runtime: "crewai".to_owned(),
            template: template.to_owned(),
            ..Blueprint::default()
        };
        let chosen = |template: &str, request| choose_own(&templates, &of(template), &request);
        let own = |template, request| chosen(template, request).unwrap().unwrap();
        assert_eq!(own("mine", ask("mine", false, false)), "mine");
        assert_eq!(own("mine", ask("", true, false)), "mine");
        assert_eq!(own("", ask("", true, false)), "crewai-default");
        assert_eq!(own("gone", ask("gone", true, false)), "crewai-default");
        for (template, refused) in [
            ("mine", ask("another", false, false)),
            ("mine", ask("mine/../another", false, false)),
            ("", ask("another", true, false)),
            ("mine", ask("", true, true)),
        ] {
            let error = chosen(template, refused).unwrap_err();
            assert_eq!(error.reason(), Reason::NotAllowed);
            assert_eq!(error.public(), "admin credential required for: template");
        }
    }
}
