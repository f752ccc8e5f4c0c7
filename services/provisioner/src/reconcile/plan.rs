//! What an instance is made of: the workspace, its secrets, its files, its token.

use std::collections::BTreeMap;

use candor_kernel::{Epoch, Error};
use candor_process::config::Secret;
use candor_proto::registry::v1::Blueprint;

use crate::app::App;
use crate::backend::{BackendError, Mount, Plan, Tier};
use crate::environment;
use crate::store::instances::Instance;
use crate::templates;

/// Why no plan can be made.
#[derive(Debug)]
pub enum NoPlan {
    /// Something does not answer: later perhaps.
    Later(String),
    /// The workspace cannot be started as it is.
    Never {
        /// Why, for people.
        error: String,
        /// Settings that it lacks.
        missing: Vec<String>,
    },
}

impl From<Error> for NoPlan {
    fn from(error: Error) -> Self {
        use candor_kernel::ErrorKind as Kind;
        match error.kind() {
            Kind::Unavailable | Kind::ResourceExhausted => {
                Self::Later(error.for_operators().to_owned())
            }
            _ => Self::never(error.public()),
        }
    }
}

impl From<BackendError> for NoPlan {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Unavailable(why) => Self::Later(why),
            BackendError::Refused(why) => Self::never(why),
        }
    }
}

impl NoPlan {
    fn never(error: impl Into<String>) -> Self {
        Self::Never {
            error: error.into(),
            missing: Vec::new(),
        }
    }
}

/// The plan of a row's instance, with this token.
///
/// # Errors
/// [`NoPlan`].
pub async fn make(
    app: &App,
    row: &Instance,
    blueprint: &Blueprint,
    token: Secret,
) -> Result<Plan, NoPlan> {
    let id = row.id();
    let mut env = environment::environment(app, id).await?;
    let platform_url = app.platform_url(&row.backend).unwrap_or_default();
    own(&mut env, &id.to_string(), blueprint, &platform_url);
    let files = files(app, row, blueprint, &env).await?;
    let tier = tier(blueprint.tier);
    Ok(Plan {
        workspace: id,
        epoch: Epoch(row.epoch),
        name: blueprint.name.clone(),
        runtime: blueprint.runtime.clone(),
        tier,
        image: None,
        platform_url,
        env,
        files,
        token,
        mount: mount(tier, blueprint),
        reset_session: row.reset_session,
    })
}

/// A first instance, or one that is to take a template, gets a whole configuration; any
/// gets what people wrote and none was given yet.
async fn files(
    app: &App,
    row: &Instance,
    blueprint: &Blueprint,
    env: &BTreeMap<String, Secret>,
) -> Result<Vec<crate::backend::ConfigFile>, NoPlan> {
    let mut files = Vec::new();
    if !row.configured || !row.template.is_empty() {
        let template = [&row.template, &blueprint.template]
            .into_iter()
            .find(|name| !name.is_empty());
        let template = template.map(String::as_str);
        let configured = templates::files_for(app, row.id(), blueprint, template).await?;
        files = configured.files;
    }
    // The first epoch's template is the one that the workspace was made with.
    let asked = !row.template.is_empty() && row.epoch > 1;
    let laid_for = templates::For {
        epoch: row.epoch,
        everything: !row.configured,
        asked_at: asked.then_some(row.wanted_at),
    };
    let files = templates::lay_stored(app, row.id(), files, laid_for).await?;
    let required = templates::required_env(&files);
    match templates::missing_env(&required, |name| env.contains_key(name)) {
        Some((error, missing)) => Err(NoPlan::Never { error, missing }),
        None => Ok(files),
    }
}

/// What the platform itself sets, over everything (contract/provisioner.md, "Container
/// environment").
fn own(env: &mut BTreeMap<String, Secret>, id: &str, blueprint: &Blueprint, platform_url: &str) {
    let slug = slug(&blueprint.name);
    let git_name = format!("Molecule AI {}", blueprint.name);
    let git_email = format!("{slug}@agents.moleculesai.app");
    let defaults = [
        ("GIT_AUTHOR_NAME", git_name.as_str()),
        ("GIT_AUTHOR_EMAIL", &git_email),
        ("GIT_COMMITTER_NAME", &git_name),
        ("GIT_COMMITTER_EMAIL", &git_email),
    ];
    for (name, value) in defaults {
        env.entry(name.to_owned())
            .or_insert_with(|| Secret::new(value));
    }
    if blueprint.runtime == "hermes" {
        let chosen = env
            .get("MODEL_PROVIDER")
            .map(|model| model.expose().to_owned());
        let model = Some(blueprint.model.clone()).filter(|model| !model.is_empty());
        if let Some(model) = model.or(chosen) {
            env.insert("HERMES_DEFAULT_MODEL".to_owned(), Secret::new(&model));
        }
    }
    let tier = blueprint.tier.to_string();
    let own = [
        ("WORKSPACE_ID", id),
        ("WORKSPACE_CONFIG_PATH", "/configs"),
        ("PLATFORM_URL", platform_url),
        ("MOLECULE_URL", platform_url),
        ("TIER", &tier),
        ("PLUGINS_DIR", "/plugins"),
        ("PYTHONPATH", "/app"),
    ];
    for (name, value) in own {
        env.insert(name.to_owned(), Secret::new(value));
    }
    for (name, value) in [
        ("MOLECULE_AGENT_ROLE", &blueprint.role),
        ("PARENT_ID", &blueprint.parent_id),
    ] {
        if !value.is_empty() {
            env.insert(name.to_owned(), Secret::new(value));
        }
    }
}

/// A name as a part of an address: lower case, letters, digits and single dashes.
fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for letter in name.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    if slug.is_empty() {
        "agent".to_owned()
    } else {
        slug
    }
}

/// As on the legacy platform, what is none of the others is 2.
const fn tier(tier: i32) -> Tier {
    match tier {
        1 => Tier::T1,
        3 => Tier::T3,
        4 => Tier::T4,
        _ => Tier::T2,
    }
}

fn mount(tier: Tier, blueprint: &Blueprint) -> Mount {
    if tier == Tier::T1 {
        return Mount::None;
    }
    let read_only = blueprint.workspace_access == "read_only";
    if blueprint.workspace_dir.is_empty() || blueprint.workspace_access == "none" {
        return Mount::Volume;
    }
    Mount::Host {
        path: blueprint.workspace_dir.clone().into(),
        read_only,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_parts_of_addresses() {
        for (name, slugged) in [
            ("Test PM", "test-pm"),
            ("t1", "t1"),
            ("  Ä & b!", "b"),
            ("!!", "agent"),
        ] {
            assert_eq!(slug(name), slugged, "{name}");
        }
    }

    #[test]
    fn what_the_platform_sets_stands_over_secrets() {
        let mut env: BTreeMap<String, Secret> =
            [("WORKSPACE_ID", "evil"), ("GIT_AUTHOR_NAME", "me")]
                .map(|(name, value)| (name.to_owned(), Secret::new(value)))
                .into();
        let blueprint = Blueprint {
            name: "n".to_owned(),
            tier: 2,
            ..Blueprint::default()
        };
        own(&mut env, "id", &blueprint, "http://platform");
        let read = |name: &str| env.get(name).map(|value| value.expose().to_owned());
        assert_eq!(read("WORKSPACE_ID").as_deref(), Some("id"));
        assert_eq!(read("GIT_AUTHOR_NAME").as_deref(), Some("me"));
        assert_eq!(
            read("GIT_AUTHOR_EMAIL").as_deref(),
            Some("n@agents.moleculesai.app")
        );
        assert_eq!(read("PARENT_ID"), None);
    }

    #[test]
    fn a_folder_of_the_host_needs_an_access_that_allows_it() {
        let blueprint = |access: &str| Blueprint {
            workspace_dir: "/srv/x".to_owned(),
            workspace_access: access.to_owned(),
            ..Blueprint::default()
        };
        assert_eq!(mount(Tier::T1, &blueprint("read_write")), Mount::None);
        assert_eq!(mount(Tier::T2, &blueprint("none")), Mount::Volume);
        let mounted = mount(Tier::T2, &blueprint("read_only"));
        assert!(matches!(
            mounted,
            Mount::Host {
                read_only: true,
                ..
            }
        ));
    }
}
