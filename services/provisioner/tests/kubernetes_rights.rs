//! The Role of the manifest is exactly what the backend does: with it everything works
//! (the conformance suite runs under it), and nothing in it is not used.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod pods;

use candor_provisioner::backend::kubernetes::Settings;
use candor_provisioner::backend::{Backend as _, Remove};

use conformance::{GRACE, a_workspace, plan, running};
use pods::Pods;

#[tokio::test]
async fn the_role_has_exactly_the_rights_that_are_used() {
    let mut world = Pods::new().await;
    let workspace = a_workspace();
    assert_eq!(world.backend.ready().await, Ok(()));
    running(&world, &plan(&world, workspace, 1)).await;
    world.backend.stop(workspace, GRACE).await.unwrap();
    // Another platform's address is another policy.
    let settings = Settings {
        reachable: vec!["10.1.0.0/16".into()],
        ..world.settings.clone()
    };
    world.backend = pods::backend(&world.api.url(), settings);
    running(&world, &plan(&world, workspace, 2)).await;
    let policies = world.api.objects("networkpolicies");
    assert!(
        policies
            .values()
            .all(|policy| policy.to_string().contains("10.1.0.0/16"))
    );
    world.backend.list().await.unwrap();
    world.backend.stop(workspace, GRACE).await.unwrap();
    world
        .backend
        .remove(workspace, Remove::Everything)
        .await
        .unwrap();
    assert_eq!(world.api.done(), pods::allowed());
}
