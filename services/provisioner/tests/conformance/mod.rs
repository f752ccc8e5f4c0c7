//! What every backend must do, whatever it makes instances of.
//!
//! A backend's test makes a [`World`] of it and says `conformance!(world().await)`:
//! each check becomes a test of its own, on a world of its own. The instances are the
//! program of `examples/stand_in.rs` (or something that behaves like it): it says what
//! it sees, leaves what it is told to, and ends when its environment says so.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod endings;
pub mod inside;
pub mod limits;
pub mod looking;
pub mod ownership;
pub mod running;
pub mod writing;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use candor_kernel::token::TokenHash;
use candor_kernel::{Epoch, WorkspaceId};
use candor_process::config::Secret;
use candor_provisioner::backend::{Backend, ConfigFile, Mount, Observed, Plan, Progress, Tier};
use candor_testkit::wait::wait_for;
use uuid::Uuid;

/// Set in a plan's environment, the instance ends at once with this exit status.
pub const ENDS: &str = "STAND_IN_ENDS";
/// What it says to its standard error before.
pub const WORDS: &str = "STAND_IN_WORDS";
/// Set, the instance does not hear that it should end.
pub const DEAF: &str = "STAND_IN_DEAF";
/// Each start of an instance adds a line to this file of its workspace.
pub const STARTS: &str = "starts";
/// The token, below `/configs`.
pub const TOKEN: &str = ".auth_token";

/// Longer than anything takes.
pub const SOON: Duration = Duration::from_secs(60);
/// For an instance that hears.
pub const GRACE: Duration = Duration::from_secs(20);

/// Folders of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/configs`.
    Configs,
    /// `/workspace`.
    Workspace,
    /// Where the runtime keeps its session.
    Session,
}

/// A file as the instance sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    pub content: Vec<u8>,
    /// Its permissions, where they can be known.
    pub mode: Option<u32>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.content[..self.content.len().min(80)];
        let head = String::from_utf8_lossy(head);
        write!(f, "{} bytes, {:?}: {head:?}", self.content.len(), self.mode)
    }
}

/// A plan that the backend must refuse.
pub struct Impossible {
    /// What makes it so.
    pub change: Box<dyn Fn(&mut Plan) + Send + Sync>,
    /// What the refusal must name: the fix.
    pub names: &'static str,
}

impl Impossible {
    pub fn new(names: &'static str, change: impl Fn(&mut Plan) + Send + Sync + 'static) -> Self {
        Self {
            change: Box::new(change),
            names,
        }
    }
}

/// A backend and what only its test knows: how to look into an instance past it.
/// Dropped, it leaves nothing behind.
#[async_trait]
pub trait World: Send + Sync {
    /// What is examined.
    fn backend(&self) -> &dyn Backend;

    /// The same installation's backend in a process that was started later.
    async fn again(&self) -> Box<dyn Backend>;

    /// Another installation's backend on the same machine, daemon or cluster.
    async fn neighbour(&self) -> Box<dyn Backend>;

    /// Makes a plan of `candor-echo` at tier 2 on a volume one that this backend can
    /// carry out: the image, settings of the stand-in.
    fn fit(&self, plan: &mut Plan);

    /// What it must refuse, beside runtimes that it does not claim.
    fn impossible(&self) -> Vec<Impossible>;

    /// The largest file that it must carry below `/configs`, in bytes.
    fn largest_file(&self) -> usize {
        1024 * 1024
    }

    /// A file of the running instance.
    async fn file(&self, workspace: WorkspaceId, place: Place, path: &str) -> Option<Seen>;

    /// Writes a file as the running instance would, with the folders above it; what
    /// stands in the way, a file where a folder is needed, is taken away first.
    async fn leave(&self, workspace: WorkspaceId, place: Place, path: &str, content: &str);

    /// The environment of the running instance.
    async fn env(&self, workspace: WorkspaceId) -> BTreeMap<String, String>;

    /// What others can see of it without its secrets: arguments, names, labels.
    async fn shown(&self, workspace: WorkspaceId) -> String;

    /// Ends the instance as a stranger would, without a word to the backend.
    async fn kill(&self, workspace: WorkspaceId);

    /// How many instances of the workspace run, counted past the backend.
    async fn instances(&self, workspace: WorkspaceId) -> usize;

    /// Whether an instance answers at this address.
    async fn answers(&self, url: &str) -> bool;
}

/// A start that nobody watches.
pub struct Unheard;

impl Progress for Unheard {
    fn told(&self, _: fmt::Arguments<'_>) {}
}

pub fn a_workspace() -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::new_v4())
}

/// A plan as the reconciler makes them, with a token and a secret of its own.
pub fn plan(world: &dyn World, workspace: WorkspaceId, epoch: i64) -> Plan {
    let id = workspace.to_string();
    let env = [
        ("WORKSPACE_ID", id.clone()),
        ("PLATFORM_URL", "http://127.0.0.1:9".to_owned()),
        ("TIER", "2".to_owned()),
        ("A_SECRET", format!("secret-{}", Uuid::new_v4())),
    ];
    let mut plan = Plan {
        workspace,
        epoch: Epoch(epoch),
        name: "Ada \"the\" agent".to_owned(),
        runtime: "candor-echo".to_owned(),
        tier: Tier::T2,
        image: None,
        platform_url: "http://127.0.0.1:9".to_owned(),
        env: env
            .map(|(name, value)| (name.to_owned(), Secret::new(value)))
            .into(),
        files: vec![config_file("config.yaml", format!("name: {epoch}\n"))],
        token: Secret::new(format!("token-{}", Uuid::new_v4())),
        mount: Mount::Volume,
        reset_session: false,
    };
    world.fit(&mut plan);
    plan
}

pub fn config_file(path: &str, content: impl Into<Vec<u8>>) -> ConfigFile {
    ConfigFile::new(path, content.into()).unwrap()
}

pub fn set(plan: &mut Plan, name: &str, value: &str) {
    plan.env.insert(name.to_owned(), Secret::new(value));
}

pub fn hash(plan: &Plan) -> TokenHash {
    TokenHash::of(plan.token.expose())
}

/// Written, read back and started, as the reconciler does it; what the start said.
pub async fn provision(world: &dyn World, plan: &Plan) -> Observed {
    let backend = world.backend();
    backend.write(plan).await.unwrap();
    let written = backend.written_token(plan.workspace, plan.epoch).await;
    assert_eq!(written, Ok(Some(hash(plan))), "the token was not written");
    backend.start(plan, &Unheard).await.unwrap()
}

/// Provisioned, and seen running; its address, once somebody answers there: that something
/// runs does not say that it listens yet.
pub async fn running(world: &dyn World, plan: &Plan) -> String {
    provision(world, plan).await;
    let url = wait_for("an instance that runs", SOON, || async {
        match world.backend().observe(plan.workspace).await.unwrap() {
            Observed::Running { epoch, url } => {
                assert_eq!(epoch, plan.epoch);
                url
            }
            Observed::Starting { epoch } => {
                assert_eq!(epoch, plan.epoch);
                None
            }
            other => panic!("{other:?}"),
        }
    });
    let url = url.await.unwrap();
    let answers = wait_for("an instance that answers", SOON, || async {
        world.answers(&url).await.then_some(())
    });
    answers.await.unwrap();
    url
}

/// Waits until the instance of this epoch has ended by itself; why.
pub async fn exited(backend: &dyn Backend, workspace: WorkspaceId, epoch: Epoch) -> String {
    let why = wait_for("the end of an instance", SOON, || async {
        match backend.observe(workspace).await.unwrap() {
            Observed::Exited { epoch: of, why } if of == epoch => Some(why),
            Observed::NotFound => panic!("an instance that ended by itself is not found"),
            _ => None,
        }
    });
    why.await.unwrap()
}

/// What an instance left in a file, as text; empty if there is none.
pub async fn text(world: &dyn World, workspace: WorkspaceId, place: Place, path: &str) -> String {
    let seen = world.file(workspace, place, path).await;
    seen.map(|seen| String::from_utf8(seen.content).unwrap())
        .unwrap_or_default()
}

/// Ends it and takes everything away.
pub async fn tidy(world: &dyn World, workspace: WorkspaceId) {
    use candor_provisioner::backend::Remove;
    world.backend().stop(workspace, GRACE).await.unwrap();
    world
        .backend()
        .remove(workspace, Remove::Everything)
        .await
        .unwrap();
}

/// One test for each check, on a world that the expression makes.
#[macro_export]
macro_rules! conformance {
    ($world:expr) => {
        $crate::conformance! { $world,
            running::nothing_is_found_of_a_workspace_that_never_was
            running::an_instance_runs_answers_and_is_not_made_twice
            running::an_instance_has_the_environment_of_its_plan_and_no_other
            running::a_restarted_platform_finds_what_runs
            running::a_restart_brings_the_new_token_and_keeps_the_work
            running::a_session_is_kept_until_it_is_reset
            writing::what_is_written_is_read_back
            writing::files_arrive_whatever_their_names_and_sizes
            writing::what_an_instance_left_in_the_way_is_no_obstacle
            writing::the_token_is_the_platforms_whatever_the_files_say
            looking::what_an_instance_has_is_seen_or_not_spoken_of
            endings::a_stop_is_final_and_may_be_repeated
            endings::an_instance_that_does_not_hear_is_killed
            endings::an_end_is_seen_with_its_reason
            endings::a_crash_loop_is_one_instance_at_a_time
            endings::an_instance_killed_from_outside_does_not_run
            endings::an_instance_that_never_started_can_be_stopped
            ownership::what_is_removed_is_gone_and_the_rest_stays
            ownership::installations_do_not_see_each_other
            limits::runtimes_of_others_are_not_claimed
            limits::what_cannot_be_carried_out_is_refused_with_the_fix
            limits::no_secret_is_shown
        }
    };
    ($world:expr, $($part:ident :: $check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let world = $world;
                $crate::conformance::$part::$check(&world).await;
            }
        )*
    };
}
