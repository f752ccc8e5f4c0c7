//! The conformance suite on containers of a real engine (`scripts/with-docker`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod engine;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use bollard::query_parameters::{KillContainerOptions, ListVolumesOptions};
use candor_kernel::WorkspaceId;
use candor_provisioner::backend::docker::DockerBackend;
use candor_provisioner::backend::{Backend, Mount, Plan, Tier};

use self::conformance::inside::{Inside, program};
use self::conformance::{Impossible, Place, Seen, World, set};
use self::engine::{Engine, Image, container, engine};

conformance!(match world().await {
    Some(world) => world,
    None => return,
});

struct Containers {
    engine: Engine,
    backend: DockerBackend,
    neighbours: Engine,
    image: String,
}

async fn world() -> Option<Containers> {
    let engine = engine().await?;
    // Nobody's account, in an image that has none of the folders that are mounted.
    let program = program();
    let image = Image {
        name: "stand-in",
        program: (&program, "/stand_in"),
        command: &["/stand_in"],
        user: "10001:10001",
        files: &[],
    };
    Some(Containers {
        image: engine.image(&image).await,
        backend: DockerBackend::new(engine.settings()),
        neighbours: self::engine::engine().await?,
        engine,
    })
}

impl Containers {
    async fn inside(&self, workspace: WorkspaceId) -> Inside {
        let address = self.engine.address(&container(workspace)).await;
        Inside(address.expect("a published port"))
    }
}

#[async_trait]
impl World for Containers {
    fn backend(&self) -> &dyn Backend {
        &self.backend
    }

    async fn again(&self) -> Box<dyn Backend> {
        Box::new(DockerBackend::new(self.engine.settings()))
    }

    async fn neighbour(&self) -> Box<dyn Backend> {
        Box::new(DockerBackend::new(self.neighbours.settings()))
    }

    fn fit(&self, plan: &mut Plan) {
        plan.image = Some(self.image.clone());
        set(plan, "STAND_IN_WORKSPACE", "/workspace");
        set(plan, "STAND_IN_SESSION", "/sessions");
    }

    fn impossible(&self) -> Vec<Impossible> {
        let host = |path: &'static str| {
            move |plan: &mut Plan| {
                plan.mount = Mount::Host {
                    path: PathBuf::from(path),
                    read_only: false,
                };
            }
        };
        vec![
            Impossible::new("--allow-privileged (CANDOR_ALLOW_PRIVILEGED", |plan| {
                plan.tier = Tier::T3
            }),
            Impossible::new("--allow-privileged (CANDOR_ALLOW_PRIVILEGED", |plan| {
                plan.tier = Tier::T4
            }),
            Impossible::new("CANDOR_DOCKER_HOST_MOUNTS", host("/etc")),
            Impossible::new("make it", host("/no/such/folder")),
            Impossible::new("absolute path", host("/tmp/../etc")),
            Impossible::new("absolute path", host("/tmp:/etc")),
            Impossible::new("A=B", |plan| set(plan, "A=B", "a value that nobody sees")),
            Impossible::new("no:such:image", |plan| {
                plan.image = Some("no:such:image".to_owned());
            }),
        ]
    }

    async fn file(&self, workspace: WorkspaceId, place: Place, path: &str) -> Option<Seen> {
        self.inside(workspace).await.file(place, path).await
    }

    async fn leave(&self, workspace: WorkspaceId, place: Place, path: &str, content: &str) {
        self.inside(workspace)
            .await
            .leave(place, path, content)
            .await;
    }

    async fn env(&self, workspace: WorkspaceId) -> BTreeMap<String, String> {
        self.inside(workspace).await.env().await
    }

    async fn shown(&self, workspace: WorkspaceId) -> String {
        let mut about = self.engine.inspect(&container(workspace)).await.unwrap();
        // Variables are how an instance gets its secrets; all else is for everybody.
        about.config.as_mut().unwrap().env = None;
        let volumes = self
            .engine
            .docker
            .list_volumes(None::<ListVolumesOptions>)
            .await
            .unwrap();
        let history = self.engine.docker.image_history(&self.image).await.unwrap();
        format!("{about:?}\n{volumes:?}\n{history:?}")
    }

    async fn kill(&self, workspace: WorkspaceId) {
        let name = container(workspace);
        let options = None::<KillContainerOptions>;
        self.engine
            .docker
            .kill_container(&name, options)
            .await
            .unwrap();
    }

    async fn instances(&self, workspace: WorkspaceId) -> usize {
        let label = format!("candor.workspace={workspace}");
        self.engine.running(&label).await
    }

    async fn answers(&self, url: &str) -> bool {
        match Inside::at(url) {
            Some(inside) => inside.answers().await,
            None => false,
        }
    }
}
