//! A unary gRPC echo of beats, without a `.proto`: the floor of a hop.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::client::Grpc as Client;
use tonic::server::{Grpc as Server, NamedService, UnaryService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::beat::Beat;

const METHOD: &str = "/bench.Echo/Echo";

/// Answers every beat with itself.
#[derive(Debug, Clone)]
pub struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl UnaryService<Beat> for Echo {
    type Response = Beat;
    type Future = std::future::Ready<Result<Response<Beat>, Status>>;

    fn call(&mut self, request: Request<Beat>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() != METHOD {
                return Ok(Status::unimplemented("only the echo").into_http());
            }
            let mut grpc = Server::new(ProstCodec::default());
            Ok(grpc.unary(Echo, request).await)
        })
    }
}

/// Sends one beat there and back.
pub async fn echo(channel: Channel, beat: Beat) -> Result<Beat, Status> {
    let mut client = Client::new(channel);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Beat, Beat>::default();
    let path = PathAndQuery::from_static(METHOD);
    Ok(client
        .unary(Request::new(beat), path, codec)
        .await?
        .into_inner())
}
