//! The gRPC service: identity in, one call of the application, errors out.

mod configs;
mod files;
mod hibernation;
mod instances;
mod lifecycle;
mod models;
mod moves;
mod removal;
mod rotation;
mod secrets;
mod team;
mod templates;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use candor_identity::Call;
use candor_identity::call::answer_within;
use candor_kernel::{Error, WorkspaceId};
use candor_proto::provisioner::v1 as pb;
use candor_proto::provisioner::v1::provisioner_service_server::ProvisionerService;
use tonic::{Request, Response, Status};

use crate::app::App;

/// Longest work on a call that needs Postgres and the registry only.
const QUICK: Duration = Duration::from_secs(5);
/// Longest work on a call that asks a backend.
const BACKEND: Duration = Duration::from_secs(20);
/// Longest work on a call that waits until an instance has ended.
pub const ENDING: Duration = Duration::from_secs(35);

/// Longest pause between two looks while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The largest message, in bytes: files of a request ([`crate::files::MOST_BYTES`]) with
/// room for what is around them.
pub const FILES_LIMIT: usize = 10 * 1024 * 1024;

/// The service; cheap to clone.
#[derive(Clone)]
pub struct ProvisionerGrpc {
    app: Arc<App>,
}

impl ProvisionerGrpc {
    pub(crate) const fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    async fn run<Req, Res, F>(
        &self,
        within: Duration,
        request: Request<Req>,
        handler: impl FnOnce(Arc<App>, Call, Req) -> F,
    ) -> Result<Response<Res>, Status>
    where
        F: Future<Output = Result<Res, Error>>,
    {
        answer_within(within, request, |call, message| {
            handler(Arc::clone(&self.app), call, message)
        })
        .await
    }
}

/// A workspace's id out of a request.
fn workspace(field: &'static str, id: &str) -> Result<WorkspaceId, Error> {
    id.parse()
        .map_err(|_| Error::field(field, "invalid workspace ID"))
}

/// The answer for an id that names no workspace, or a removed one.
fn no_workspace() -> Error {
    Error::new(
        candor_kernel::Reason::WorkspaceNotFound,
        "workspace not found",
    )
}

/// Who a call of ours to another service is made as.
pub(crate) fn provisioner() -> candor_kernel::Caller {
    candor_kernel::Caller::system("provisioner")
}

macro_rules! unary {
    ($($method:ident: $request:ident -> $response:ident within $within:ident = $handler:path;)*) => {
        #[tonic::async_trait]
        impl ProvisionerService for ProvisionerGrpc {
            $(
                async fn $method(
                    &self,
                    request: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    self.run($within, request, $handler).await
                }
            )*
        }
    };
}

unary! {
    restart_workspace: RestartWorkspaceRequest -> RestartWorkspaceResponse within BACKEND = lifecycle::restart;
    pause_workspace: PauseWorkspaceRequest -> PauseWorkspaceResponse within BACKEND = lifecycle::pause;
    resume_workspace: ResumeWorkspaceRequest -> ResumeWorkspaceResponse within BACKEND = lifecycle::resume;
    hibernate_workspace: HibernateWorkspaceRequest -> HibernateWorkspaceResponse within ENDING = hibernation::hibernate;
    report_bootstrap_failure: ReportBootstrapFailureRequest -> ReportBootstrapFailureResponse within QUICK = lifecycle::bootstrap_failed;
    expand_workspace: ExpandWorkspaceRequest -> ExpandWorkspaceResponse within BACKEND = team::expand;
    collapse_workspace: CollapseWorkspaceRequest -> CollapseWorkspaceResponse within ENDING = team::collapse;
    await_removal: AwaitRemovalRequest -> AwaitRemovalResponse within ENDING = removal::wait;
    explain_instance: ExplainInstanceRequest -> ExplainInstanceResponse within QUICK = instances::explain;
    list_backends: ListBackendsRequest -> ListBackendsResponse within BACKEND = instances::backends;
    get_policy: GetPolicyRequest -> Policy within QUICK = instances::policy;
    set_policy: SetPolicyRequest -> Policy within QUICK = instances::set_policy;
    list_secrets: ListSecretsRequest -> ListSecretsResponse within QUICK = secrets::list;
    put_secret: PutSecretRequest -> PutSecretResponse within QUICK = secrets::put;
    delete_secret: DeleteSecretRequest -> DeleteSecretResponse within QUICK = secrets::delete;
    get_secret_values: GetSecretValuesRequest -> GetSecretValuesResponse within QUICK = secrets::values;
    rotate_secrets: RotateSecretsRequest -> RotateSecretsResponse within ENDING = rotation::rotate;
    get_model: GetModelRequest -> GetModelResponse within QUICK = models::get;
    set_model: SetModelRequest -> SetModelResponse within QUICK = models::set;
    get_config: GetConfigRequest -> GetConfigResponse within QUICK = configs::get;
    merge_config: MergeConfigRequest -> MergeConfigResponse within QUICK = configs::merge;
    list_templates: ListTemplatesRequest -> ListTemplatesResponse within BACKEND = templates::list;
    describe_template: DescribeTemplateRequest -> DescribeTemplateResponse within BACKEND = templates::describe;
    list_files: ListFilesRequest -> ListFilesResponse within BACKEND = files::list;
    read_file: ReadFileRequest -> ReadFileResponse within BACKEND = files::read;
    write_files: WriteFilesRequest -> WriteFilesResponse within BACKEND = files::write;
    delete_file: DeleteFileRequest -> DeleteFileResponse within BACKEND = files::delete;
    get_shared_context: GetSharedContextRequest -> GetSharedContextResponse within BACKEND = files::shared_context;
}
