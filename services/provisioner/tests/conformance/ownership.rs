//! Whose an instance is, and what is left of it.

use candor_provisioner::backend::{Observed, Remove};

use super::{GRACE, Place, World, a_workspace, plan, running, text, tidy};

pub async fn what_is_removed_is_gone_and_the_rest_stays(world: &dyn World) {
    let (backend, workspace) = (world.backend(), a_workspace());
    let other = plan(world, a_workspace(), 1);
    running(world, &other).await;
    world
        .leave(other.workspace, Place::Workspace, "w", "others")
        .await;
    let left = [
        (Place::Workspace, "w"),
        (Place::Configs, "c"),
        (Place::Session, "s"),
    ];
    let mut epoch = 0;
    for (what, kept) in [
        (None, [true, true, true]),
        (Some(Remove::Configs), [true, false, false]),
        (Some(Remove::Everything), [false, false, false]),
    ] {
        epoch += 1;
        running(world, &claude(world, workspace, epoch)).await;
        for (place, path) in left {
            world.leave(workspace, place, path, "mine").await;
        }
        backend.stop(workspace, GRACE).await.unwrap();
        if let Some(what) = what {
            backend.remove(workspace, what).await.unwrap();
            backend.remove(workspace, what).await.unwrap();
            let written = backend
                .written_token(workspace, candor_kernel::Epoch(epoch))
                .await;
            assert_eq!(written, Ok(None), "{what:?}");
        }
        if what == Some(Remove::Everything) {
            let listed = backend.list().await.unwrap();
            assert!(listed.iter().all(|found| found.workspace != workspace));
        }
        epoch += 1;
        running(world, &claude(world, workspace, epoch)).await;
        for ((place, path), kept) in left.into_iter().zip(kept) {
            let found = text(world, workspace, place, path).await;
            assert_eq!(found == "mine", kept, "{what:?}: {place:?}");
        }
        backend.stop(workspace, GRACE).await.unwrap();
    }
    let of_the_other = text(world, other.workspace, Place::Workspace, "w").await;
    assert_eq!(of_the_other, "others");
    tidy(world, workspace).await;
    tidy(world, other.workspace).await;
}

/// The runtime that has a session.
fn claude(
    world: &dyn World,
    workspace: candor_kernel::WorkspaceId,
    epoch: i64,
) -> candor_provisioner::backend::Plan {
    let mut plan = plan(world, workspace, epoch);
    plan.runtime = "candor-claude-code".to_owned();
    plan
}

pub async fn installations_do_not_see_each_other(world: &dyn World) {
    let plan = plan(world, a_workspace(), 1);
    let url = running(world, &plan).await;
    let neighbour = world.neighbour().await;
    let listed = neighbour.list().await.unwrap();
    assert!(listed.is_empty(), "{listed:?}");
    // The same id in another installation is another workspace, or none of its
    // business: what runs is not touched, whatever the answer.
    if let Ok(observed) = neighbour.observe(plan.workspace).await {
        assert_eq!(observed, Observed::NotFound);
    }
    let _refused = neighbour.stop(plan.workspace, GRACE).await;
    let _refused = neighbour.remove(plan.workspace, Remove::Everything).await;
    assert_eq!(world.instances(plan.workspace).await, 1);
    assert!(world.answers(&url).await);
    let seen = Observed::Running {
        epoch: plan.epoch,
        url: Some(url),
    };
    assert_eq!(world.backend().observe(plan.workspace).await, Ok(seen));
    tidy(world, plan.workspace).await;
}
