//! What a backend does not do.

use candor_provisioner::backend::{BackendError, Observed, Plan};

use super::{Unheard, World, a_workspace, plan, running, tidy};

pub async fn runtimes_of_others_are_not_claimed(world: &dyn World) {
    let backend = world.backend();
    assert!(backend.claims("candor-echo"));
    let runtimes = backend.runtimes();
    assert!(runtimes.contains(&"candor-echo".to_owned()), "{runtimes:?}");
    assert!(runtimes.iter().all(|runtime| backend.claims(runtime)));
    assert!(runtimes.is_sorted(), "{runtimes:?}");
    for runtime in ["", "external", "candor-", "Candor-Echo", "candor-echo "] {
        assert!(!backend.claims(runtime), "{runtime:?}");
    }
}

/// Neither written nor started; what it says.
async fn refused(world: &dyn World, plan: &Plan) -> String {
    let backend = world.backend();
    let said = match backend.write(plan).await {
        Ok(()) => backend.start(plan, &Unheard).await.map(|_| ()),
        refused => refused,
    };
    match said {
        Err(BackendError::Refused(why)) => {
            assert_eq!(world.instances(plan.workspace).await, 0);
            // What was made on the way may be left, to be stopped.
            backend.stop(plan.workspace, super::GRACE).await.unwrap();
            let observed = backend.observe(plan.workspace).await;
            assert_eq!(observed, Ok(Observed::NotFound));
            why
        }
        other => panic!("{other:?}"),
    }
}

pub async fn what_cannot_be_carried_out_is_refused_with_the_fix(world: &dyn World) {
    let impossible = world.impossible();
    assert!(!impossible.is_empty());
    for case in impossible {
        let mut plan = plan(world, a_workspace(), 1);
        (case.change)(&mut plan);
        let why = refused(world, &plan).await;
        assert!(why.contains(case.names), "{}: {why}", case.names);
        for secret in plan.env.values().chain([&plan.token]) {
            // A value as short as a tier stands in any text.
            let secret = secret.expose();
            assert!(secret.len() < 16 || !why.contains(secret), "{why}");
        }
        tidy(world, plan.workspace).await;
    }
}

pub async fn no_secret_is_shown(world: &dyn World) {
    let plan = plan(world, a_workspace(), 1);
    running(world, &plan).await;
    let shown = world.shown(plan.workspace).await;
    assert!(!shown.is_empty());
    let secret = plan.env["A_SECRET"].expose();
    for hidden in [secret, plan.token.expose()] {
        assert!(!shown.contains(hidden), "{shown}");
        assert!(!format!("{plan:?}").contains(hidden));
    }
    tidy(world, plan.workspace).await;
}
