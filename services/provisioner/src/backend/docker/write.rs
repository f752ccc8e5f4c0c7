//! Writing: a container that is made and not started, with all that it will read.

use bollard::query_parameters::CreateContainerOptionsBuilder;
use candor_kernel::WorkspaceId;
use candor_kernel::token::TokenHash;

use super::engine::{Connection, MAKE};
use super::files::{self, CONFIGS, Ids, LONGEST_TABLE};
use super::look::{self, Container};
use super::mounts::{own_folders, sessions};
use super::names::{Names, Owner};
use super::run::refused_or_not;
use super::user::User;
use super::{DockerBackend, network, spec, volumes};
use crate::backend::{BackendError, Mount, Plan, Tier};

/// Longest archive that is uploaded, in bytes.
const LONGEST_ARCHIVE: usize = 64 * 1024 * 1024;

impl DockerBackend {
    /// Makes the container of the plan, never started, and puts into its volume what it
    /// will read.
    pub(super) async fn write_new(&self, plan: &Plan, user: &User) -> Result<(), BackendError> {
        let names = Names::of(plan.workspace);
        if self.free_name(plan, &names).await? == Name::HoldsThePlan {
            return Ok(());
        }
        if plan.tier != Tier::T4 {
            let _one_at_a_time = self.making_network.lock().await;
            network::ensure(&self.engine, &self.settings.network).await?;
        }
        self.make_volumes(plan, &names).await?;
        let id = self.create(plan, &names, user).await?;
        let owner = self.ids_in(&id, plan, user).await?;
        let unreadable = |error: std::io::Error| {
            BackendError::Refused(format!("the files of the plan: {error}"))
        };
        // A sandbox's root cannot be written, not even from here; its image brings the
        // folder.
        if owner != Ids::default() && plan.tier != Tier::T1 {
            let folders = files::folders(&own_folders(plan), owner).map_err(unreadable)?;
            self.upload(&id, "/", folders).await?;
        }
        let archive = files::archive(plan, owner).map_err(unreadable)?;
        if archive.len() > LONGEST_ARCHIVE {
            return Err(BackendError::Refused(format!(
                "the files below {CONFIGS} are {} bytes, {LONGEST_ARCHIVE} at most",
                archive.len()
            )));
        }
        self.upload(&id, CONFIGS, archive).await
    }

    /// Makes room for the plan's container. What does not belong to the workspace is never
    /// touched.
    async fn free_name(&self, plan: &Plan, names: &Names) -> Result<Name, BackendError> {
        let name = &names.container;
        let Some(there) = look::at(&self.engine, &self.mark, name).await? else {
            return Ok(Name::Free);
        };
        self.own(&there, plan.workspace, name)?;
        if !there.is_alive() {
            self.end(&there.id, name).await?;
            return Ok(Name::Free);
        }
        let token = self.token_of(&there.id).await?;
        if there.epoch == plan.epoch && token == Some(TokenHash::of(plan.token.expose())) {
            return Ok(Name::HoldsThePlan);
        }
        Err(BackendError::Unavailable(format!(
            "{name} still runs with epoch {}; it is stopped before another is made",
            there.epoch
        )))
    }

    /// Whether the container is the workspace's; an error that says whose it is if not.
    pub(super) fn own(
        &self,
        there: &Container,
        workspace: WorkspaceId,
        name: &str,
    ) -> Result<(), BackendError> {
        let whose = match there.owner {
            Owner::Ours(owner) if owner == workspace => return Ok(()),
            Owner::Ours(owner) => format!("workspace {owner}, whose id begins alike"),
            Owner::Foreign => "another installation".to_owned(),
            Owner::Unmarked => "nobody that is known here".to_owned(),
        };
        Err(BackendError::Refused(format!(
            "a container named {name} belongs to {whose} and is left alone; docker rename or docker rm makes room"
        )))
    }

    async fn make_volumes(&self, plan: &Plan, names: &Names) -> Result<(), BackendError> {
        let ensure = |name| volumes::ensure(&self.engine, &self.mark, plan.workspace, name);
        ensure(names.configs.as_str()).await?;
        if sessions(plan).is_some() {
            if plan.reset_session {
                let sessions = &names.sessions;
                volumes::remove(&self.engine, &self.mark, plan.workspace, sessions).await?;
            }
            ensure(names.sessions.as_str()).await?;
        }
        if plan.tier != Tier::T1 && plan.mount == Mount::Volume {
            ensure(names.workspace.as_str()).await?;
        }
        Ok(())
    }

    async fn create(
        &self,
        plan: &Plan,
        names: &Names,
        user: &User,
    ) -> Result<String, BackendError> {
        let name = &names.container;
        let step = format!("making container {name}");
        let connection = self.engine.connection().await;
        let connection = connection.map_err(|failure| failure.unavailable(&step))?;
        let gateway = self.gateway(plan, &connection).await?;
        let gateway = gateway.as_deref();
        let body = spec::container(plan, &self.settings, &connection, user, gateway)?;
        let mut options = CreateContainerOptionsBuilder::new().name(name);
        if let Some(platform) = &self.settings.image_platform {
            options = options.platform(platform);
        }
        let options = options.build();
        let made = self
            .engine
            .call(MAKE, |docker| async move {
                docker.create_container(Some(options), body).await
            })
            .await;
        made.map(|made| made.id)
            .map_err(|failure| refused_or_not(failure, &step, plan))
    }

    /// An address of the engine's machine for the container, where the engine's own word
    /// for it cannot be relied on: engines of old that started again beside running
    /// containers write `<nil>` into `/etc/hosts` for `host-gateway`.
    async fn gateway(
        &self,
        plan: &Plan,
        connection: &Connection,
    ) -> Result<Option<String>, BackendError> {
        if !connection.restores || !spec::finds_the_host(plan) {
            return Ok(None);
        }
        if plan.tier == Tier::T4 {
            // It has the machine's own network.
            return Ok(Some("127.0.0.1".to_owned()));
        }
        network::gateway(&self.engine, &self.settings.network).await
    }

    /// Who the files have to belong to, so that the instance reads them.
    async fn ids_in(&self, id: &str, plan: &Plan, user: &User) -> Result<Ids, BackendError> {
        if let Some(ids) = user.by_number() {
            return Ok(ids);
        }
        let table = |path| self.download(id, path, LONGEST_TABLE as usize + 4096);
        let (passwd, group) = (table("/etc/passwd").await?, table("/etc/group").await?);
        let (passwd, group) = (passwd.unwrap_or_default(), group.unwrap_or_default());
        files::look_up(user, &passwd, &group).ok_or_else(|| {
            BackendError::Refused(format!(
                "image {} runs as a user that its /etc/passwd does not know; write USER as uid:gid in its Dockerfile",
                spec::image(plan, &self.settings)
            ))
        })
    }
}

/// What is under the plan's name.
#[derive(PartialEq, Eq)]
enum Name {
    Free,
    /// The instance of the plan itself, with its token.
    HoldsThePlan,
}
