//! What a stranger with grpcurl sees: services and methods by reflection.

use prost::Message as _;
use prost_types::{FileDescriptorProto, MethodDescriptorProto};
use tonic::Status;
use tonic::transport::Channel;

/// Which protocol version is asked; tools exist that know only the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReflectionVersion {
    /// `grpc.reflection.v1`.
    V1,
    /// `grpc.reflection.v1alpha`.
    V1Alpha,
}

/// The names of all services that the server tells about.
///
/// # Errors
/// The server's [`Status`], or `internal` when it answers something else.
pub async fn list_services(
    channel: Channel,
    version: ReflectionVersion,
) -> Result<Vec<String>, Status> {
    match version {
        ReflectionVersion::V1 => v1::list_services(channel).await,
        ReflectionVersion::V1Alpha => v1alpha::list_services(channel).await,
    }
}

/// The file that defines `symbol`, and the files it needs that came with it.
///
/// # Errors
/// The server's [`Status`], or `internal` when it answers something else.
pub async fn file_of(
    channel: Channel,
    version: ReflectionVersion,
    symbol: &str,
) -> Result<Vec<FileDescriptorProto>, Status> {
    let files = match version {
        ReflectionVersion::V1 => v1::file_of(channel, symbol).await?,
        ReflectionVersion::V1Alpha => v1alpha::file_of(channel, symbol).await?,
    };
    files
        .iter()
        .map(|bytes| FileDescriptorProto::decode(bytes.as_slice()))
        .collect::<Result<_, _>>()
        .map_err(|error| Status::internal(error.to_string()))
}

/// Describes one method of a service (both by full name).
///
/// # Errors
/// The server's [`Status`]; `not_found` when the service has no such method.
pub async fn describe_method(
    channel: Channel,
    version: ReflectionVersion,
    service: &str,
    method: &str,
) -> Result<MethodDescriptorProto, Status> {
    let files = file_of(channel, version, service).await?;
    let (package, name) = service.rsplit_once('.').unwrap_or(("", service));
    files
        .into_iter()
        .filter(|file| file.package() == package)
        .flat_map(|file| file.service)
        .filter(|found| found.name() == name)
        .flat_map(|found| found.method)
        .find(|found| found.name() == method)
        .ok_or_else(|| Status::not_found(format!("{service} has no method {method}")))
}

// The two versions have the same messages under different names.
macro_rules! reflection_client {
    ($module:ident) => {
        mod $module {
            use super::{Channel, Status};
            use tokio_stream::StreamExt as _;
            use tonic_reflection::pb::$module::ServerReflectionRequest;
            use tonic_reflection::pb::$module::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$module::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$module::server_reflection_response::MessageResponse;

            pub(super) async fn list_services(channel: Channel) -> Result<Vec<String>, Status> {
                match ask(channel, MessageRequest::ListServices(String::new())).await? {
                    MessageResponse::ListServicesResponse(list) => Ok(list
                        .service
                        .into_iter()
                        .map(|service| service.name)
                        .collect()),
                    other => Err(unexpected(&other)),
                }
            }

            pub(super) async fn file_of(
                channel: Channel,
                symbol: &str,
            ) -> Result<Vec<Vec<u8>>, Status> {
                let question = MessageRequest::FileContainingSymbol(symbol.to_owned());
                match ask(channel, question).await? {
                    MessageResponse::FileDescriptorResponse(files) => {
                        Ok(files.file_descriptor_proto)
                    }
                    other => Err(unexpected(&other)),
                }
            }

            async fn ask(
                channel: Channel,
                question: MessageRequest,
            ) -> Result<MessageResponse, Status> {
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(question),
                };
                let mut answers = ServerReflectionClient::new(channel)
                    .server_reflection_info(tokio_stream::once(request))
                    .await?
                    .into_inner();
                let answer = answers.next().await.transpose()?;
                answer
                    .and_then(|answer| answer.message_response)
                    .ok_or_else(|| Status::internal("reflection answered nothing"))
            }

            fn unexpected(answer: &MessageResponse) -> Status {
                Status::internal(format!("reflection answered {answer:?}"))
            }
        }
    };
}

reflection_client!(v1);
reflection_client!(v1alpha);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;

    async fn serve_descriptors() -> Channel {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(candor_proto::DESCRIPTOR_SET)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(builder().build_v1().unwrap())
            .add_service(builder().build_v1alpha().unwrap());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Channel::from_shared(format!("http://{addr}"))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn both_versions_describe_heartbeat() {
        let channel = serve_descriptors().await;
        for version in [ReflectionVersion::V1, ReflectionVersion::V1Alpha] {
            let services = list_services(channel.clone(), version).await.unwrap();
            let registry = "candor.registry.v1.RegistryService".to_owned();
            assert!(services.contains(&registry), "{version:?}: {services:?}");
            let method = describe_method(channel.clone(), version, &registry, "Heartbeat")
                .await
                .unwrap();
            assert_eq!(method.input_type(), ".candor.registry.v1.HeartbeatRequest");
            let missing = describe_method(channel.clone(), version, &registry, "Nope").await;
            assert_eq!(missing.unwrap_err().code(), tonic::Code::NotFound);
        }
    }
}
