//! How long a call may wait for the head of its answer.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::Status;
use tower::{Layer, Service};

/// A service whose answers may take longer than others': those of agents do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// As `lf.a2a.v1.A2AService`.
    pub service: &'static str,
    /// Its own limit.
    pub deadline: Duration,
}

/// Ends calls whose answer does not begin in time.
#[derive(Debug, Clone)]
pub(super) struct AnswerDeadlineLayer {
    pub usual: Duration,
    pub patient: Vec<Patience>,
}

impl<S> Layer<S> for AnswerDeadlineLayer {
    type Service = AnswerDeadline<S>;
    fn layer(&self, inner: S) -> Self::Service {
        AnswerDeadline {
            layer: self.clone(),
            inner,
        }
    }
}

/// See [`AnswerDeadlineLayer`].
#[derive(Debug, Clone)]
pub(super) struct AnswerDeadline<S> {
    layer: AnswerDeadlineLayer,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for AnswerDeadline<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = request.uri().path().trim_start_matches('/');
        let service = service.split('/').next().unwrap_or_default();
        let patient = self.layer.patient.iter().find(|row| row.service == service);
        let deadline = patient.map_or(self.layer.usual, |row| row.deadline);
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout(deadline, answer).await {
                Ok(answer) => answer,
                Err(_) => Ok(Status::deadline_exceeded("no answer in time").into_http()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;
    use std::future::pending;
    use std::time::Instant;

    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn each_service_has_its_own_patience() {
        let layer = AnswerDeadlineLayer {
            usual: Duration::from_millis(20),
            patient: vec![Patience {
                service: "slow.Service",
                deadline: Duration::from_millis(200),
            }],
        };
        let silent = tower::service_fn(|_| pending::<Result<Response<String>, Infallible>>());
        for (path, least) in [("/quick.Service/Get", 20), ("/slow.Service/Get", 200)] {
            let began = Instant::now();
            let request = Request::builder().uri(path).body(()).unwrap();
            let answer = layer.layer(silent).oneshot(request).await.unwrap();
            assert_eq!(answer.headers()["grpc-status"], "4", "{path}");
            assert!(began.elapsed() >= Duration::from_millis(least), "{path}");
        }
    }
}
