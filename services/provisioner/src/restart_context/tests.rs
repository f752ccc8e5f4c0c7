//! A registry that knows one workspace, a relay that keeps what it is given, and a real
//! database between them.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;

use candor_peers::{ActivityClient, GrpcChannel, RegistryClient, RelayClient, local};
use candor_process::migrate;
use candor_process::pool::PoolSettings;
use candor_proto::registry::v1 as registry;
use candor_secrets::Sealer;
use candor_testkit::postgres::{self, Postgres};
use chrono::TimeDelta;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::*;
use crate::provisioner::Services;
use crate::reconcile::{Budget, CrashPoint};
use crate::store::Store;
use crate::{Backends, ProvisionerConfig};

/// What the relay was given: the caller, and the body.
type Given = Arc<Mutex<Vec<(Caller, Value)>>>;

fn registry(known: Arc<Mutex<registry::Blueprint>>) -> GrpcChannel {
    local(service_fn(move |request: http::Request<Body>| {
        let known = known.lock().clone();
        let answer = service_fn(move |_: tonic::Request<registry::GetBlueprintRequest>| {
            let known = known.clone();
            async move { Ok(tonic::Response::new(known)) }
        });
        async move {
            let codec = ProstCodec::default();
            Ok::<_, Infallible>(Grpc::new(codec).unary(answer, request).await)
        }
    }))
}

fn relay_that_keeps(given: Given) -> GrpcChannel {
    local(service_fn(move |request: http::Request<Body>| {
        let given = Arc::clone(&given);
        let answer = service_fn(move |request: tonic::Request<relay::DeliverRequest>| {
            let caller = request.extensions().get::<Caller>().cloned().unwrap();
            let body = serde_json::from_slice(&request.get_ref().body).unwrap();
            given.lock().push((caller, body));
            let head = relay::deliver_response::Part::Head(relay::AnswerHead::default());
            let part = relay::DeliverResponse { part: Some(head) };
            async move { Ok(tonic::Response::new(futures::stream::iter([Ok(part)]))) }
        });
        async move {
            let codec = ProstCodec::default();
            Ok::<_, Infallible>(Grpc::new(codec).server_streaming(answer, request).await)
        }
    }))
}

struct Lab {
    app: Arc<App>,
    known: Arc<Mutex<registry::Blueprint>>,
    given: Given,
    url: String,
    _postgres: Postgres,
}

impl Lab {
    async fn new() -> Self {
        let postgres = Postgres::start_new().await.unwrap();
        let url = postgres.create_database().await.unwrap();
        let pool = PoolSettings::new("test").open(url.parse().unwrap());
        migrate::up(&pool).await.unwrap();
        let (known, given) = (Arc::default(), Given::default());
        let services = Services {
            registry: RegistryClient::new(registry(Arc::clone(&known))),
            activity: ActivityClient::new(registry(Arc::clone(&known))),
            relay: RelayClient::new(relay_that_keeps(Arc::clone(&given))),
        };
        let app = App {
            me: Uuid::now_v7(),
            config: ProvisionerConfig {
                templates: None,
                provision_timeout: None,
                grace: Duration::from_secs(10),
                budget: Budget::default(),
                sweep: Duration::from_secs(15),
                lease: Duration::from_secs(10),
                crash: CrashPoint::default(),
            },
            store: Store::new(pool),
            services,
            backends: Backends::default(),
            sealer: Sealer::default(),
            due: Notify::new(),
            settled: Notify::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Self {
            app: Arc::new(app),
            known,
            given,
            url,
            _postgres: postgres,
        }
    }

    fn knows(&self, status: &str, fence_epoch: i64) {
        *self.known.lock() = registry::Blueprint {
            status: status.to_owned(),
            fence_epoch,
            ..registry::Blueprint::default()
        };
    }

    /// How often it was told so far.
    fn told(&self) -> usize {
        self.given.lock().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_instance_is_told_once_and_an_older_one_never() {
    let lab = Lab::new().await;
    let workspace = WorkspaceId::from_uuid(Uuid::now_v7());
    let row = format!(
        "INSERT INTO provisioner.instances (workspace_id, backend, want, epoch, version)
         VALUES ('{workspace}', 'process', 'running', 2, 1)"
    );
    postgres::execute(&lab.url, &row).await.unwrap();
    let context = |epoch| Context {
        workspace,
        epoch,
        restarted_at: Utc::now(),
        previous_end: None,
        env_names: vec!["API_KEY".to_owned()],
    };

    lab.knows("provisioning", 2);
    let told = tokio::spawn(tell(Arc::clone(&lab.app), context(2)));
    lab.knows("online", 2);
    lab.app.settled.notify_waiters();
    told.await.unwrap();
    {
        let given = lab.given.lock();
        let [(caller, body)] = &given[..] else {
            panic!("told {} times", given.len());
        };
        assert_eq!(*caller, Caller::system("restart-context"));
        let message = &body["params"]["message"];
        assert_eq!(message["role"], "user");
        let metadata = serde_json::json!({"source": "platform", "kind": "restart_context",
            "layer": 1, "restart_context": true});
        assert_eq!(message["metadata"], metadata);
        let text = message["parts"][0]["text"].as_str().unwrap();
        assert!(text.contains("Env vars now available: API_KEY\n"), "{text}");
    }
    // Whoever tries again, after a crash too, finds it told.
    tell(Arc::clone(&lab.app), context(2)).await;
    assert_eq!(lab.told(), 1);
    // An instance that was replaced meanwhile hears nothing.
    lab.knows("online", 4);
    tell(Arc::clone(&lab.app), context(3)).await;
    assert_eq!(lab.told(), 1);
    // Nor does one that waits when the platform stops.
    lab.knows("provisioning", 5);
    let waits = tokio::spawn(tell(Arc::clone(&lab.app), context(5)));
    lab.app.stop.cancel();
    waits.await.unwrap();
    assert_eq!(lab.told(), 1);
}

#[test]
fn names_are_told_in_order_and_values_never() {
    let restarted_at = DateTime::UNIX_EPOCH + TimeDelta::days(1);
    let mut context = Context {
        workspace: WorkspaceId::from_uuid(Uuid::nil()),
        epoch: 2,
        restarted_at,
        previous_end: None,
        env_names: Vec::new(),
    };
    assert_eq!(
        text(&context),
        "=== WORKSPACE RESTART CONTEXT ===\n\
         Restart at: 1970-01-02T00:00:00Z\n\
         Previous session ended: (no prior session on record)\n\
         Env vars now available: (none)\n\
         === END RESTART CONTEXT ===\n"
    );
    context.previous_end = Some(restarted_at - TimeDelta::seconds(8_042));
    context.env_names = ["B", "A", "B"].map(str::to_owned).into();
    let text = text(&context);
    let session = "Previous session ended: 1970-01-01T21:45:58Z (2h14m ago)\n";
    assert!(text.contains(session), "{text}");
    assert!(text.contains("available: A, B\n"), "{text}");
}

#[test]
fn spans_are_brief() {
    for (seconds, told) in [(0, "0s"), (38, "38s"), (61, "1m1s"), (8_042, "2h14m")] {
        assert_eq!(brief(Duration::from_secs(seconds)), told);
    }
}
