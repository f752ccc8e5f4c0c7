//! Finds and reaches a running Candor.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use candor_process::grpc::ANSWER_LIMIT;
use candor_proto::provisioner::v1::provisioner_service_client::ProvisionerServiceClient;
use candor_proto::registry::v1 as pb;
use candor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use candor_proto::relay::v1::relay_service_client::RelayServiceClient;
use clap::Args;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::up::Whereabouts;

/// How long one call may take.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Which Candor to talk to, and as whom.
#[derive(Debug, Clone, Args)]
pub struct ReachArgs {
    /// The gRPC address, host:port; without it, what runs on the data
    /// directory, else 127.0.0.1:50051.
    #[arg(long, env = "CANDOR_GRPC")]
    pub grpc: Option<String>,
    /// The data directory of a Candor on this machine.
    #[arg(long, env = "CANDOR_DATA_DIR", default_value = ".candor")]
    pub data_dir: PathBuf,
    /// The admin token, where the listener is enforced.
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

impl ReachArgs {
    /// Where the gRPC listener is.
    pub fn address(&self) -> String {
        self.grpc
            .clone()
            .or_else(|| Whereabouts::read(&self.data_dir).map(|found| found.grpc))
            .unwrap_or_else(|| "127.0.0.1:50051".to_owned())
    }

    /// Connects to the registry.
    pub async fn connect(&self) -> Result<RegistryServiceClient<Channel>, Box<dyn Error>> {
        let channel = self.channel().await?;
        Ok(RegistryServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT))
    }

    /// Connects to the relay.
    pub async fn relay(&self) -> Result<RelayServiceClient<Channel>, Box<dyn Error>> {
        let channel = self.channel().await?;
        Ok(RelayServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT))
    }

    /// Connects to the provisioner.
    pub async fn provisioner(&self) -> Result<ProvisionerServiceClient<Channel>, Box<dyn Error>> {
        let channel = self.channel().await?;
        Ok(ProvisionerServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT))
    }

    /// Connects.
    pub async fn channel(&self) -> Result<Channel, Box<dyn Error>> {
        let address = self.address();
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(DEADLINE)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        endpoint.connect().await.map_err(|error| {
            format!("nothing answers at {address} ({error}): is `candor up` running? pass --grpc HOST:PORT").into()
        })
    }

    /// A request with a deadline and the operator's credential.
    pub fn request<T>(&self, message: T) -> Result<Request<T>, Box<dyn Error>> {
        let mut request = self.stream_request(message)?;
        request.set_timeout(DEADLINE);
        Ok(request)
    }

    /// A request for a stream: it has no deadline of its own.
    pub fn stream_request<T>(&self, message: T) -> Result<Request<T>, Box<dyn Error>> {
        let mut request = Request::new(message);
        if let Some(token) = &self.admin_token {
            request
                .metadata_mut()
                .insert("authorization", format!("Bearer {token}").parse()?);
        }
        Ok(request)
    }
}

/// Every workspace, page by page.
pub async fn workspaces(
    client: &mut RegistryServiceClient<Channel>,
    reach: &ReachArgs,
) -> Result<Vec<pb::Workspace>, Box<dyn Error>> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = reach.request(pb::ListWorkspacesRequest { page_token })?;
        let listed = client.list_workspaces(request).await;
        let page = listed.map_err(|status| told(&status))?.into_inner();
        all.extend(page.workspaces);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// The id of a workspace that is given by id, or by a name that only one has.
pub async fn workspace_id(reach: &ReachArgs, given: &str) -> Result<String, Box<dyn Error>> {
    if given.parse::<candor_kernel::WorkspaceId>().is_ok() {
        return Ok(given.to_owned());
    }
    let listed = workspaces(&mut reach.connect().await?, reach).await?;
    let mut found = listed.iter().filter(|workspace| workspace.name == given);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.id.clone()),
        (Some(_), Some(_)) => {
            Err(format!("several workspaces are called {given:?}: use the id").into())
        }
        (None, _) => Err(format!("no workspace is called {given:?}").into()),
    }
}

/// Says what a refused call means for a person.
pub fn told(status: &Status) -> String {
    match status.code() {
        tonic::Code::Unauthenticated => {
            format!(
                "{} (set ADMIN_TOKEN or pass --admin-token)",
                status.message()
            )
        }
        code => format!("{} ({code:?})", status.message()),
    }
}

/// The same of a call of the relay.
pub fn told_by_relay(status: &Status) -> String {
    match status.code() {
        tonic::Code::Unimplemented => "this process is no relay: pass --grpc with its address \
             (its own default port is 50054)"
            .to_owned(),
        _ => told(status),
    }
}

/// The same of a call of the provisioner.
pub fn told_by_provisioner(status: &Status) -> String {
    match status.code() {
        tonic::Code::Unimplemented => "this process is no provisioner: pass --grpc with its \
             address (its own default port is 50052)"
            .to_owned(),
        _ => told(status),
    }
}
