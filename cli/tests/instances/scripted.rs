//! A backend that does what it is told. Its instances are agents that hold the token
//! they found when they started, and call the platform's real listener.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use candor_kernel::token::TokenHash;
use candor_kernel::{Epoch, WorkspaceId};
use candor_provisioner::backend::{Backend, BackendError, Found, Observed, Plan, Progress, Remove};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, Journal, Manner};

/// The runtime that it claims.
pub const RUNTIME: &str = "scripted";

/// What it does wrong.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Nothing is answered.
    pub silent: bool,
    /// A stop says that it is done, and the instance goes on.
    pub fails_to_kill: bool,
    /// What was written reads as something else.
    pub garbles_tokens: bool,
    /// An image that is not there.
    pub refuses: Option<String>,
    /// Instances end before they call.
    pub stillborn: Option<String>,
    /// A stop is never done.
    pub never_stops: bool,
}

struct Instance {
    epoch: Epoch,
    ended: Option<String>,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    faults: Faults,
    manner: Manner,
    written: HashMap<WorkspaceId, (Epoch, String)>,
    instances: HashMap<WorkspaceId, Instance>,
    /// What outlives instances.
    configs: BTreeMap<WorkspaceId, Vec<String>>,
    steps: Vec<String>,
    most_at_once: HashMap<WorkspaceId, usize>,
    running: HashMap<WorkspaceId, usize>,
}

/// The backend, shared by all provisioners of a test.
#[derive(Clone)]
pub struct Scripted {
    state: Arc<Mutex<State>>,
    pub journal: Journal,
    platform: Arc<Mutex<Option<SocketAddr>>>,
}

impl Scripted {
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            journal: Journal::default(),
            platform: Arc::default(),
        }
    }

    /// Where its instances find the platform.
    pub fn platform_at(&self, address: SocketAddr) {
        *self.platform.lock() = Some(address);
    }

    pub fn faulty(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state.lock().faults);
    }

    /// How instances that start from now on behave.
    pub fn manner(&self, manner: Manner) {
        self.state.lock().manner = manner;
    }

    /// The instance is gone, as by somebody else's hand.
    pub fn lose(&self, id: WorkspaceId) {
        if let Some(instance) = self.state.lock().instances.remove(&id) {
            instance.stop.cancel();
        }
    }

    /// The instance ends by itself.
    pub fn end(&self, id: WorkspaceId, why: &str) {
        if let Some(instance) = self.state.lock().instances.get_mut(&id) {
            instance.stop.cancel();
            instance.ended = Some(why.to_owned());
        }
    }

    /// An instance that no platform made.
    pub fn plant(&self, id: WorkspaceId) {
        let instance = Instance {
            epoch: Epoch(1),
            ended: None,
            stop: CancellationToken::new(),
        };
        let mut state = self.state.lock();
        state.instances.insert(id, instance);
        state.running.insert(id, 1);
    }

    /// What was asked of it, in order.
    pub fn steps(&self) -> Vec<String> {
        self.state.lock().steps.clone()
    }

    pub fn runs(&self, id: WorkspaceId) -> Option<i64> {
        let state = self.state.lock();
        let instance = state.instances.get(&id)?;
        instance.ended.is_none().then_some(instance.epoch.0)
    }

    pub fn configs(&self, id: WorkspaceId) -> Vec<String> {
        let state = self.state.lock();
        state.configs.get(&id).cloned().unwrap_or_default()
    }

    /// How many instances of one workspace were ever started beside each other.
    pub fn most_at_once(&self, id: WorkspaceId) -> usize {
        let state = self.state.lock();
        state.most_at_once.get(&id).copied().unwrap_or_default()
    }

    fn answers(&self) -> Result<(), BackendError> {
        if self.state.lock().faults.silent {
            return Err(BackendError::Unavailable(
                "the engine does not answer".into(),
            ));
        }
        Ok(())
    }

    fn begin(&self, plan: &Plan) {
        let mut state = self.state.lock();
        let (_, token) = state.written[&plan.workspace].clone();
        if let Some(instance) = state.instances.get(&plan.workspace) {
            assert_eq!(instance.epoch, plan.epoch, "a double instance");
            return;
        }
        let running = state.running.entry(plan.workspace).or_default();
        *running += 1;
        let running = *running;
        let most = state.most_at_once.entry(plan.workspace).or_default();
        *most = running.max(*most);
        let stop = CancellationToken::new();
        let ended = state.faults.stillborn.clone();
        if ended.is_none() {
            let platform = self.platform.lock().unwrap();
            let manner = state.manner.clone();
            let agent = Agent::new(plan.workspace, plan.epoch, token, manner, platform);
            tokio::spawn(agent.live(self.journal.clone(), stop.clone()));
        }
        let epoch = plan.epoch;
        let instance = Instance { epoch, ended, stop };
        state.instances.insert(plan.workspace, instance);
    }

    fn noted(&self, what: String) {
        self.state.lock().steps.push(what);
    }
}

#[async_trait]
impl Backend for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn claims(&self, runtime: &str) -> bool {
        runtime == RUNTIME
    }

    fn runtimes(&self) -> Vec<String> {
        vec![RUNTIME.to_owned()]
    }

    async fn ready(&self) -> Result<(), BackendError> {
        self.answers()
    }

    async fn observe(&self, workspace: WorkspaceId) -> Result<Observed, BackendError> {
        self.answers()?;
        let state = self.state.lock();
        Ok(match state.instances.get(&workspace) {
            None => Observed::NotFound,
            Some(Instance {
                epoch,
                ended: Some(why),
                ..
            }) => Observed::Exited {
                epoch: *epoch,
                why: why.clone(),
            },
            Some(Instance { epoch, .. }) => Observed::Running {
                epoch: *epoch,
                url: Some("http://127.0.0.1:9".to_owned()),
            },
        })
    }

    async fn stop(&self, workspace: WorkspaceId, _: Duration) -> Result<(), BackendError> {
        self.answers()?;
        self.noted(format!("stop {workspace}"));
        let mut state = self.state.lock();
        if state.faults.never_stops {
            return Err(BackendError::Unavailable("it does not end".into()));
        }
        if let Some(instance) = state.instances.remove(&workspace) {
            *state.running.entry(workspace).or_default() -= 1;
            if !state.faults.fails_to_kill {
                instance.stop.cancel();
            }
        }
        Ok(())
    }

    async fn write(&self, plan: &Plan) -> Result<(), BackendError> {
        self.answers()?;
        self.noted(format!("write {} {}", plan.workspace, plan.epoch));
        let mut state = self.state.lock();
        if let Some(why) = &state.faults.refuses {
            return Err(BackendError::Refused(why.clone()));
        }
        let token = match state.faults.garbles_tokens {
            true => "garbled".to_owned(),
            false => plan.token.expose().to_owned(),
        };
        state.written.insert(plan.workspace, (plan.epoch, token));
        let files = plan.files.iter().map(|file| file.path().to_owned());
        state.configs.insert(plan.workspace, files.collect());
        Ok(())
    }

    async fn written_token(
        &self,
        workspace: WorkspaceId,
        epoch: Epoch,
    ) -> Result<Option<TokenHash>, BackendError> {
        self.answers()?;
        let state = self.state.lock();
        let written = state.written.get(&workspace);
        let written = written.filter(|(of, _)| *of == epoch);
        Ok(written.map(|(_, token)| TokenHash::of(token)))
    }

    async fn start(&self, plan: &Plan, _: &dyn Progress) -> Result<Observed, BackendError> {
        self.answers()?;
        self.noted(format!("start {} {}", plan.workspace, plan.epoch));
        self.begin(plan);
        self.observe(plan.workspace).await
    }

    async fn remove(&self, workspace: WorkspaceId, _: Remove) -> Result<(), BackendError> {
        self.answers()?;
        self.noted(format!("remove {workspace}"));
        self.state.lock().configs.remove(&workspace);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Found>, BackendError> {
        self.answers()?;
        let ids: Vec<WorkspaceId> = self.state.lock().instances.keys().copied().collect();
        let mut found = Vec::new();
        for workspace in ids {
            let observed = self.observe(workspace).await?;
            found.push(Found {
                workspace,
                observed,
            });
        }
        Ok(found)
    }
}
