//! Old instances, also ones that nobody could kill.

use candor_testkit::wait::wait_for;

use crate::lab::{Lab, SOON};

/// Restarts in a row.
const RESTARTS: i64 = 50;

#[tokio::test]
async fn fifty_restarts_without_a_single_401_though_no_instance_dies() {
    let lab = Lab::new().await;
    let id = lab.create("w").await;
    lab.runs(id, 1).await;
    lab.backend.faulty(|faults| faults.fails_to_kill = true);
    for epoch in 2..=RESTARTS + 1 {
        lab.restart(id).await;
        lab.runs(id, epoch).await;
    }
    // Every instance still beats, and is answered: the old ones as superseded.
    wait_for(
        "the first instance to be told that it is superseded",
        SOON,
        || async {
            let told = lab.backend.journal.of(id);
            let told = told.iter().rev().find(|entry| entry.epoch == 1);
            told.and_then(|entry| (entry.body["superseded"] == true).then_some(()))
        },
    )
    .await
    .unwrap();
    let refused = lab.backend.journal.refused();
    assert!(refused.is_empty(), "{refused:#?}");
    let registered = lab.backend.journal.of(id);
    let registered = registered.iter().filter(|entry| entry.what == "register");
    assert_eq!(registered.count(), usize::try_from(RESTARTS).unwrap() + 1);
    lab.runs(id, RESTARTS + 1).await;
}

#[tokio::test]
async fn a_survivor_changes_nothing() {
    let lab = Lab::new().await;
    let id = lab.create("w").await;
    lab.runs(id, 1).await;
    lab.backend.faulty(|faults| faults.fails_to_kill = true);
    // The old instance says that it is wedged from here on, the new one does not.
    lab.backend.manner(crate::agent::Manner {
        wedged: true,
        ..Default::default()
    });
    lab.restart(id).await;
    lab.becomes(id, "degraded").await;
    lab.backend.manner(crate::agent::Manner::default());
    lab.restart(id).await;
    lab.runs(id, 3).await;
    wait_for(
        "the wedged survivor to beat ten times more",
        SOON,
        || async {
            let told = lab.backend.journal.of(id);
            let old = told
                .iter()
                .filter(|entry| entry.epoch == 2 && entry.body["superseded"] == true);
            (old.count() > 10).then_some(())
        },
    )
    .await
    .unwrap();
    assert_eq!(lab.shown(id).await["status"], "online");
}

#[tokio::test]
async fn two_provisioners_make_one_instance() {
    let mut lab = Lab::new().await;
    lab.another_provisioner(crate::lab::config());
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(lab.create(&format!("w{n}")).await);
    }
    for id in &ids {
        lab.runs(*id, 1).await;
        lab.restart(*id).await;
    }
    for id in &ids {
        lab.runs(*id, 2).await;
        assert_eq!(lab.backend.most_at_once(*id), 1);
    }
    let refused = lab.backend.journal.refused();
    assert!(refused.is_empty(), "{refused:#?}");
}
