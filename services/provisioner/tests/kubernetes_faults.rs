//! What the backend `kubernetes` says and does when the cluster does not do as it should.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod pods;

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use candor_kernel::{Epoch, WorkspaceId};
use candor_provisioner::backend::kubernetes::Settings;
use candor_provisioner::backend::{Backend as _, BackendError, Observed, Progress, Remove};
use candor_testkit::kube_api::{Fault, Started};
use candor_testkit::wait::wait_until;
use serde_json::json;

use conformance::{
    GRACE, SOON, Unheard, World as _, a_workspace, hash, plan, provision, running, set, tidy,
};
use pods::{IMAGE, NAMESPACE, Pods};

fn unavailable<T: fmt::Debug>(said: Result<T, BackendError>) -> String {
    match said {
        Err(BackendError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn refused<T: fmt::Debug>(said: Result<T, BackendError>) -> String {
    match said {
        Err(BackendError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Nobody waits long for an end that does not come.
fn soon(settings: &mut Settings) {
    settings.margin = Duration::from_millis(200);
}

fn token_of(started: &Started) -> String {
    std::fs::read_to_string(started.mounts["/candor/token"].join("auth_token")).unwrap()
}

/// What a start says.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn told(&self, what: fmt::Arguments<'_>) {
        self.0.lock().unwrap().push(what.to_string());
    }
}

/// Everything that is not an answer of the API with an empty list.
const HICCUPS: [Fault; 9] = [
    Fault::Status(500, "InternalError", "etcdserver: leader changed"),
    Fault::Status(503, "ServiceUnavailable", "apiserver is shutting down"),
    Fault::Status(429, "TooManyRequests", "too many requests"),
    Fault::Status(410, "Expired", "The provided continue parameter is too old"),
    Fault::Status(401, "Unauthorized", "Unauthorized"),
    Fault::Status(403, "Forbidden", "pods is forbidden"),
    Fault::Text(404, "<html>no such upstream</html>"),
    Fault::Text(200, "<html>please log in</html>"),
    Fault::DoneAndLost,
];

#[tokio::test]
async fn a_hiccup_of_the_api_makes_nothing_dead() {
    let world = Pods::new().await;
    let plan = plan(&world, a_workspace(), 1);
    running(&world, &plan).await;
    for fault in HICCUPS {
        world.api.fail("list", "pods", fault.clone(), 3);
        let observed = world.backend.observe(plan.workspace).await;
        unavailable(observed);
        unavailable(world.backend.list().await);
        unavailable(world.backend.stop(plan.workspace, GRACE).await);
        assert_eq!(world.instances(plan.workspace).await, 1, "{fault:?}");
        let seen = world.backend.observe(plan.workspace).await.unwrap();
        assert!(matches!(seen, Observed::Running { .. }), "{fault:?}");
    }
    for fault in HICCUPS {
        world.api.fail("get", "secrets", fault, 1);
        let read = world
            .backend
            .written_token(plan.workspace, plan.epoch)
            .await;
        unavailable(read);
    }
    tidy(&world, plan.workspace).await;
}

#[tokio::test]
async fn an_api_that_is_silent_or_gone_is_given_up() {
    let world = Pods::with(|settings| settings.call_deadline = Duration::from_millis(200)).await;
    world.api.fail("list", "pods", Fault::Silence, 1);
    let why = unavailable(world.backend.observe(a_workspace()).await);
    assert!(why.contains("did not answer within 200ms"), "{why}");
    // Over TLS as well: there is one provider of cryptography, and it is found.
    for url in ["http://127.0.0.1:9", "https://127.0.0.1:9"] {
        let nobody = pods::backend(url, world.settings.clone());
        let why = unavailable(nobody.observe(a_workspace()).await);
        assert!(why.contains("cannot be reached"), "{why}");
        unavailable(nobody.ready().await);
    }
}

#[tokio::test]
async fn lists_are_read_to_their_end_or_not_believed() {
    let world = Pods::new().await;
    world.api.page(2);
    let mut plans = Vec::new();
    for _ in 0..5 {
        let plan = plan(&world, a_workspace(), 1);
        running(&world, &plan).await;
        plans.push(plan);
    }
    let listed = world.backend.list().await.unwrap();
    let runs = listed
        .iter()
        .filter(|found| matches!(found.observed, Observed::Running { .. }));
    assert_eq!(runs.count(), 5);
    for plan in plans {
        tidy(&world, plan.workspace).await;
    }
    assert_eq!(world.backend.list().await, Ok(vec![]));
    for resource in ["pods", "secrets", "services", "networkpolicies"] {
        assert_eq!(world.api.objects(resource).len(), 0, "{resource}");
    }
}

/// Every call of a provision fails once, done or not: the same step again gets on.
#[tokio::test]
async fn steps_that_are_done_again_converge() {
    let world = Pods::new().await;
    let calls = [
        ("get", "services"),
        ("create", "services"),
        ("update", "services"),
        ("create", "networkpolicies"),
        ("create", "persistentvolumeclaims"),
        ("create", "secrets"),
        ("get", "pods"),
        ("create", "pods"),
    ];
    let faults = [
        Fault::DoneAndLost,
        Fault::Status(500, "InternalError", "no"),
        Fault::Status(409, "Conflict", "the object has been modified"),
    ];
    let workspace = a_workspace();
    let mut epoch = 0;
    for (verb, resource) in calls {
        for fault in &faults {
            if verb == "create" {
                // Nothing is there that would not have to be made.
                let removed = world.backend.remove(workspace, Remove::Everything).await;
                assert_eq!(removed, Ok(()));
            }
            world.api.fail(verb, resource, fault.clone(), 1);
            epoch += 1;
            let plan = plan(&world, workspace, epoch);
            let written = again(async || world.backend.write(&plan).await).await;
            assert_eq!(written, Ok(()), "{verb} {resource} {fault:?}");
            let read = world.backend.written_token(workspace, plan.epoch).await;
            assert_eq!(read, Ok(Some(hash(&plan))));
            let started = again(async || world.backend.start(&plan, &Unheard).await).await;
            let seen =
                matches!(started, Ok(Observed::Running { epoch, .. }) if epoch == plan.epoch);
            assert!(seen, "{verb} {resource} {fault:?}: {started:?}");
            assert_eq!(world.instances(workspace).await, 1);
            assert_eq!(world.api.objects("pods").len(), 1);
            assert_eq!(world.api.objects("secrets").len(), 1, "older ones went");
            assert_eq!(world.api.faults(), 0, "{verb} {resource}: it was met");
            world.backend.stop(workspace, GRACE).await.unwrap();
        }
    }
}

/// Once more where the first time failed.
async fn again<T>(step: impl AsyncFn() -> Result<T, BackendError>) -> Result<T, BackendError> {
    match step().await {
        Err(BackendError::Unavailable(_)) => step().await,
        done => done,
    }
}

#[tokio::test]
async fn a_node_that_is_gone_is_no_death() {
    let world = Pods::with(soon).await;
    let workspace = a_workspace();
    let plan = plan(&world, workspace, 1);
    running(&world, &plan).await;
    world.api.cut_node_off(true);
    for _ in 0..2 {
        let why = unavailable(world.backend.stop(workspace, Duration::ZERO).await);
        assert!(
            why.contains("node-1") && why.contains("out-of-service"),
            "{why}"
        );
        let seen = world.backend.observe(workspace).await.unwrap();
        assert!(matches!(seen, Observed::Running { .. }), "{seen:?}");
        assert_eq!(world.instances(workspace).await, 1);
    }
    world.api.cut_node_off(false);
    assert_eq!(world.backend.stop(workspace, GRACE).await, Ok(()));
    assert_eq!(world.instances(workspace).await, 0);
    tidy(&world, workspace).await;
}

/// Whether its Pod is still in the API, or was struck from it by force.
#[tokio::test]
async fn an_old_instance_that_survives_reads_its_own_token_and_is_not_called() {
    for is_forced in [false, true] {
        let world = Pods::with(|settings| {
            soon(settings);
            settings.force_after_grace = is_forced;
        })
        .await;
        let workspace = a_workspace();
        let old = plan(&world, workspace, 1);
        running(&world, &old).await;
        world.api.undying(&[("candor/epoch", "1")]);
        let stopped = world.backend.stop(workspace, Duration::ZERO).await;
        assert_eq!(stopped.is_ok(), is_forced, "{stopped:?}");
        let new = plan(&world, workspace, 2);
        let url = running(&world, &new).await;

        let both = world.running(workspace);
        assert_eq!(both.len(), 2);
        assert_eq!(token_of(&both[0]), old.token.expose());
        assert_eq!(token_of(&both[1]), new.token.expose());
        let shared = |started: &Started| started.mounts["/configs"].clone();
        assert_eq!(shared(&both[0]), shared(&both[1]), "on one volume");
        let link = std::fs::read_link(shared(&both[0]).join(".auth_token")).unwrap();
        assert_eq!(link.file_name().unwrap(), "auth_token");
        let reached = world.api.reached(&url);
        assert_eq!(reached.len(), 1);
        assert_eq!(reached[0].labels["candor/epoch"], "2");

        world.api.undying(&[]);
        world.backend.stop(workspace, GRACE).await.unwrap();
        assert!(wait_until(SOON, || world.running(workspace).is_empty()).await);
        tidy(&world, workspace).await;
    }
}

#[tokio::test]
async fn what_a_pod_waits_for_is_told_and_ends_in_a_reason() {
    let world = Pods::with(|settings| settings.start_deadline = Duration::from_secs(3)).await;
    let workspace = a_workspace();
    let plan = plan(&world, workspace, 1);
    world.backend.write(&plan).await.unwrap();
    world.api.fill_node(true);
    let heard = Heard::default();
    let why = unavailable(world.backend.start(&plan, &heard).await);
    assert!(why.contains("Insufficient memory"), "{why}");
    let told = heard.0.lock().unwrap().join("\n");
    assert!(told.contains("Insufficient memory"), "{told}");
    assert!(
        told.lines().count() < 6,
        "what is said again is said once: {told}"
    );
    let seen = world.backend.observe(workspace).await;
    assert_eq!(seen, Ok(Observed::Starting { epoch: Epoch(1) }));
    // The same step goes on with the Pod that is there.
    world.api.fill_node(false);
    let seen = world.backend.start(&plan, &Unheard).await.unwrap();
    assert!(matches!(seen, Observed::Running { .. }));
    assert_eq!(world.api.objects("pods").len(), 1);
    tidy(&world, workspace).await;
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_refused_with_what_the_registry_says() {
    let world = Pods::new().await;
    let workspace = a_workspace();
    let said = "rpc error: code = NotFound desc = manifest unknown";
    world.api.no_image(IMAGE, said);
    let plan = plan(&world, workspace, 1);
    world.backend.write(&plan).await.unwrap();
    let why = refused(world.backend.start(&plan, &Unheard).await);
    assert!(
        why.contains("manifest unknown") && why.contains("pull secret"),
        "{why}"
    );
    tidy(&world, workspace).await;
    // A registry that cannot be reached now may be later.
    let world = Pods::with(|settings| settings.start_deadline = Duration::from_millis(500)).await;
    world.api.no_image(IMAGE, "dial tcp: i/o timeout");
    world.backend.write(&plan).await.unwrap();
    let why = refused(world.backend.start(&plan, &Unheard).await);
    assert!(why.contains("was not pulled within 500ms"), "{why}");
    tidy(&world, workspace).await;
}

#[tokio::test]
async fn what_the_cluster_does_not_allow_is_said_with_the_fix() {
    let world = Pods::new().await;
    world.api.allow([]);
    let why = refused(world.backend.ready().await);
    assert!(why.contains("deploy/kubernetes/provisioner"), "{why}");
    let workspace = a_workspace();
    unavailable(world.backend.observe(workspace).await);
    unavailable(world.backend.written_token(workspace, Epoch(1)).await);
    world.api.allow(pods::allowed());
    assert_eq!(world.backend.ready().await, Ok(()));
    let plan = plan(&world, workspace, 1);
    world.backend.write(&plan).await.unwrap();
    let quota = Fault::Status(
        403,
        "Forbidden",
        "pods \"x\" is forbidden: exceeded quota: q",
    );
    world.api.fail("create", "pods", quota, 1);
    unavailable(world.backend.start(&plan, &Unheard).await);
    let level = Fault::Status(
        403,
        "Forbidden",
        "violates PodSecurity \"restricted:latest\"",
    );
    world.api.fail("create", "pods", level, 1);
    refused(world.backend.start(&plan, &Unheard).await);
    tidy(&world, workspace).await;
}

#[tokio::test]
async fn nothing_is_started_that_was_not_written() {
    let world = Pods::new().await;
    let workspace = a_workspace();
    let first = plan(&world, workspace, 1);
    let why = unavailable(world.backend.start(&first, &Unheard).await);
    assert!(why.contains("nothing is written"), "{why}");
    // Written for another number is not written for this one.
    world.backend.write(&first).await.unwrap();
    let second = plan(&world, workspace, 2);
    unavailable(world.backend.start(&second, &Unheard).await);
    assert_eq!(world.instances(workspace).await, 0);
    tidy(&world, workspace).await;
}

#[tokio::test]
async fn another_token_for_the_same_number_takes_the_place_of_the_first() {
    let world = Pods::new().await;
    let workspace = a_workspace();
    let (first, second) = (plan(&world, workspace, 1), plan(&world, workspace, 1));
    world.backend.write(&first).await.unwrap();
    world.backend.write(&second).await.unwrap();
    let read = world.backend.written_token(workspace, Epoch(1)).await;
    assert_eq!(read, Ok(Some(hash(&second))));
    let secrets = world.api.objects("secrets");
    assert_eq!(secrets.len(), 1);
    assert!(secrets.values().all(|secret| secret["immutable"] == true));
    running(&world, &second).await;
    assert_eq!(
        token_of(&world.running(workspace)[0]),
        second.token.expose()
    );
    tidy(&world, workspace).await;
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_touched_whatever_its_name() {
    for (resource, suffix) in [
        ("services", ""),
        ("networkpolicies", ""),
        ("persistentvolumeclaims", "-configs"),
        ("secrets", "-1"),
        ("pods", "-1"),
    ] {
        let world = Pods::new().await;
        let workspace = a_workspace();
        let theirs = theirs(resource, &format!("ws-{workspace}{suffix}"));
        world.api.put(resource, NAMESPACE, theirs);
        let before = world.api.objects(resource);
        let plan = plan(&world, workspace, 1);
        let said = match world.backend.write(&plan).await {
            Ok(()) => world.backend.start(&plan, &Unheard).await.map(drop),
            refused => refused,
        };
        let why = refused(said);
        assert!(why.contains("not of this installation"), "{why}");
        assert_eq!(
            world.backend.observe(workspace).await,
            Ok(Observed::NotFound)
        );
        tidy(&world, workspace).await;
        let spec = |objects: &std::collections::BTreeMap<String, serde_json::Value>| {
            let values = objects.values();
            values
                .map(|object| object["metadata"]["uid"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            spec(&world.api.objects(resource)),
            spec(&before),
            "{resource}"
        );
    }
}

fn theirs(resource: &str, name: &str) -> serde_json::Value {
    let rest = match resource {
        "services" => json!({"spec": {"ports": [{"port": 80}]}}),
        "networkpolicies" => json!({"spec": {"podSelector": {}}}),
        "secrets" => json!({"data": {"token": "dGhlaXJz"}}),
        "pods" => json!({"spec": {
            "containers": [{"name": "c", "image": "i", "securityContext":
                {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}}}),
        _ => json!({"spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}}),
    };
    let mut object = json!({"metadata": {"name": name}});
    for (field, value) in rest.as_object().unwrap() {
        object[field] = value.clone();
    }
    object
}

#[tokio::test]
async fn a_volume_that_is_going_is_not_written_to() {
    let world = Pods::with(soon).await;
    let workspace = a_workspace();
    let first = plan(&world, workspace, 1);
    running(&world, &first).await;
    // Asked while the instance still runs: the cluster holds the volume until it is gone.
    let why = unavailable(world.backend.remove(workspace, Remove::Everything).await);
    assert!(why.contains("still there"), "{why}");
    let second = plan(&world, workspace, 2);
    let why = unavailable(world.backend.write(&second).await);
    assert!(why.contains("being taken away"), "{why}");
    assert_eq!(world.instances(workspace).await, 1);
    world.backend.stop(workspace, GRACE).await.unwrap();
    assert_eq!(
        world.backend.remove(workspace, Remove::Everything).await,
        Ok(())
    );
    assert_eq!(world.backend.list().await, Ok(vec![]));
}

#[tokio::test]
async fn with_its_service_a_workspaces_secrets_and_policy_go_by_themselves() {
    let world = Pods::new().await;
    let workspace = a_workspace();
    running(&world, &plan(&world, workspace, 1)).await;
    world.api.delete("services", &format!("ws-{workspace}"));
    for resource in ["secrets", "networkpolicies"] {
        assert_eq!(world.api.objects(resource).len(), 0, "{resource}");
    }
    assert_eq!(world.api.objects("persistentvolumeclaims").len(), 2);
    assert_eq!(world.instances(workspace).await, 1, "what runs goes on");
    tidy(&world, workspace).await;
}

#[tokio::test]
async fn an_instance_that_ended_before_is_replaced_and_one_that_ends_is_reported() {
    let world = Pods::new().await;
    let workspace = a_workspace();
    let mut plan = plan(&world, workspace, 1);
    set(&mut plan, conformance::ENDS, "3");
    let seen = provision(&world, &plan).await;
    assert!(
        matches!(&seen, Observed::Exited { why, .. } if why.contains('3')),
        "{seen:?}"
    );
    let uid = |world: &Pods| {
        world.api.objects("pods").values().next().unwrap()["metadata"]["uid"].clone()
    };
    let before = uid(&world);
    let seen = world.backend.start(&plan, &Unheard).await.unwrap();
    assert!(matches!(&seen, Observed::Exited { .. }), "{seen:?}");
    assert_ne!(uid(&world), before, "it was started anew");
    tidy(&world, workspace).await;
}

#[tokio::test]
async fn a_pod_that_somebody_deletes_is_there_until_it_is_gone() {
    let world = Pods::new().await;
    let workspace: WorkspaceId = a_workspace();
    let mut plan = plan(&world, workspace, 1);
    set(&mut plan, conformance::DEAF, "1");
    running(&world, &plan).await;
    world.api.delete("pods", &format!("ws-{workspace}-1"));
    let seen = world.backend.observe(workspace).await.unwrap();
    assert!(matches!(seen, Observed::Running { .. }), "{seen:?}");
    // A shorter grace than the one that was given counts.
    world.backend.stop(workspace, Duration::ZERO).await.unwrap();
    assert!(wait_until(SOON, || world.running(workspace).is_empty()).await);
    tidy(&world, workspace).await;
}
