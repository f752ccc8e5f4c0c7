//! `lf.a2a.v1.A2AService`: A2A 1.0 over gRPC, the tenant being a workspace.
//!
//! A call becomes the request of JSON-RPC that it stands for, takes the way of the
//! A2A door, and its answer becomes a message again: one pipeline, one policy.

mod reading;

use std::pin::Pin;
use std::sync::Arc;

use candor_a2a::grpc::{self, Wire};
use candor_a2a::jsonrpc::{Id, request_body};
use candor_a2a::{Error, ErrorKind, Method, Version, version};
use candor_identity::Call;
use candor_kernel::WorkspaceId;
use candor_process::grpc::to_status;
use candor_proto::a2a::v1;
use candor_proto::a2a::v1::a2a_service_server::A2aService;
use candor_proto::relay::v1 as pb;
use futures::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::delivery;
use crate::app::App;
use crate::deliver::Parts;
use crate::door::Binding;
use reading::{message, messages, nothing};

/// The metadata that names extensions.
const EXTENSIONS: &str = "a2a-extensions";

/// The service; cheap to clone.
#[derive(Clone)]
pub struct A2aGrpc {
    app: Arc<App>,
}

impl A2aGrpc {
    pub(crate) const fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    /// Begins a call.
    async fn begin<R: grpc::Request>(
        &self,
        method: Method,
        request: Request<R>,
    ) -> Result<Parts, Status> {
        let call = Call::of(&request).map_err(|error| to_status(&error))?;
        let (metadata, _, message) = request.into_parts();
        version_of(&metadata)?;
        let grpc::Call { tenant, params } =
            grpc::call(message).map_err(|error| error.to_status())?;
        let workspace: WorkspaceId = tenant.parse().map_err(|_| unknown_tenant(&tenant))?;
        let id = Id::text(&Uuid::new_v4().to_string());
        let body = request_body(&id, method.name(Version::V10), Some(&params));
        let request = pb::DeliverRequest {
            workspace_id: workspace.to_string(),
            body: body.into(),
            door: pb::Door::A2a.into(),
            a2a_version: Version::V10.as_str().to_owned(),
            a2a_extensions: text(&metadata, EXTENSIONS).unwrap_or_default(),
            needs_token: call
                .inbound
                .as_ref()
                .is_some_and(|inbound| !inbound.mode.is_open()),
            ..pb::DeliverRequest::default()
        };
        delivery::begin(Arc::clone(&self.app), call, request, Binding::Grpc)
            .await
            .map_err(|error| to_status(&error))
    }

    async fn unary<R: grpc::Request, M: Wire>(
        &self,
        method: Method,
        request: Request<R>,
    ) -> Result<Response<M>, Status> {
        message(self.begin(method, request).await?).await
    }
}

/// The service is that of 1.0, so that no word is needed for it; another one is
/// refused.
fn version_of(metadata: &MetadataMap) -> Result<(), Status> {
    let Some(asked) = text(metadata, version::HEADER).filter(|asked| !asked.trim().is_empty())
    else {
        return Ok(());
    };
    match Version::from_header(Some(&asked)) {
        Ok(Version::V10) => Ok(()),
        Ok(Version::V03) => {
            let text = "lf.a2a.v1.A2AService is A2A 1.0; 0.3 is spoken over JSON-RPC";
            Err(Error::new(ErrorKind::VersionNotSupported, text).to_status())
        }
        Err(error) => Err(error.to_status()),
    }
}

fn unknown_tenant(tenant: &str) -> Status {
    let text = match tenant {
        "" => "tenant is required: the id of a workspace",
        _ => "tenant must be the id of a workspace",
    };
    Error::new(ErrorKind::InvalidParams, text)
        .with("field", "tenant")
        .to_status()
}

fn text(metadata: &MetadataMap, name: &str) -> Option<String> {
    let value = metadata.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

type Events = Pin<Box<dyn Stream<Item = Result<v1::StreamResponse, Status>> + Send>>;

macro_rules! unary {
    ($($method:ident: $request:ident -> $response:ident = $operation:ident;)*) => {
        #[tonic::async_trait]
        impl A2aService for A2aGrpc {
            $(
                async fn $method(
                    &self,
                    request: Request<v1::$request>,
                ) -> Result<Response<v1::$response>, Status> {
                    self.unary(Method::$operation, request).await
                }
            )*

            type SendStreamingMessageStream = Events;
            async fn send_streaming_message(
                &self,
                request: Request<v1::SendMessageRequest>,
            ) -> Result<Response<Events>, Status> {
                let parts = self.begin(Method::SendStreamingMessage, request).await?;
                Ok(Response::new(Box::pin(messages(parts))))
            }

            type SubscribeToTaskStream = Events;
            async fn subscribe_to_task(
                &self,
                request: Request<v1::SubscribeToTaskRequest>,
            ) -> Result<Response<Events>, Status> {
                let parts = self.begin(Method::SubscribeToTask, request).await?;
                Ok(Response::new(Box::pin(messages(parts))))
            }

            async fn delete_task_push_notification_config(
                &self,
                request: Request<v1::DeleteTaskPushNotificationConfigRequest>,
            ) -> Result<Response<()>, Status> {
                nothing(self.begin(Method::DeletePushConfig, request).await?).await
            }
        }
    };
}

unary! {
    send_message: SendMessageRequest -> SendMessageResponse = SendMessage;
    get_task: GetTaskRequest -> Task = GetTask;
    list_tasks: ListTasksRequest -> ListTasksResponse = ListTasks;
    cancel_task: CancelTaskRequest -> Task = CancelTask;
    create_task_push_notification_config:
        TaskPushNotificationConfig -> TaskPushNotificationConfig = CreatePushConfig;
    get_task_push_notification_config:
        GetTaskPushNotificationConfigRequest -> TaskPushNotificationConfig = GetPushConfig;
    list_task_push_notification_configs:
        ListTaskPushNotificationConfigsRequest -> ListTaskPushNotificationConfigsResponse
            = ListPushConfigs;
    get_extended_agent_card: GetExtendedAgentCardRequest -> AgentCard = GetExtendedCard;
}
