//! The identity layer around a gRPC service: what the service behind it sees.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod recorder;
mod world;

use std::sync::Arc;

use candor_identity::{BeatStanding, ListenerMode, Who, policy};
use candor_kernel::{AuthMethod, Caller, Reason};

use recorder::{Recorder, SERVICE, path, request, with};
use world::{
    ADMIN, BARE, EVERY, Is, JUNK, LIVE, MANUAL, MODES, OTHER, RETIRED, World, outcome, workspace,
};

const OPEN: ListenerMode = ListenerMode::Open;
const ENFORCED: ListenerMode = ListenerMode::Enforced;

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_caller_takes_the_place_of_the_identity_headers() {
    let (world, recorder) = (World::new(), Recorder::default());
    let (token, claim) = (bearer(MANUAL), LIVE.to_string());
    let call = request(&path("GetWorkspace"))
        .header("authorization", &token)
        .header("authorization", bearer(ADMIN))
        .header("x-workspace-id", &claim)
        .header("x-workspace-id", OTHER.to_string())
        .header("traceparent", "00-1-2-03");
    recorder.served(&world, ENFORCED, None, call).await.unwrap();
    let seen = recorder.only();
    assert_eq!(seen.identity_headers(), 0, "{:?}", seen.headers);
    assert_eq!(seen.headers.get("traceparent").unwrap(), "00-1-2-03");
    assert_eq!(outcome(Ok(seen.caller.unwrap())), Is::Proven(LIVE));
    let inbound = seen.inbound.unwrap();
    assert_eq!(inbound.mode, ENFORCED);
    assert_eq!(
        inbound.presented,
        world::presented(Some(MANUAL), Some(&claim))
    );
    assert!(Arc::ptr_eq(&inbound.authenticator, &world.authenticator));
}

#[tokio::test]
async fn the_mode_of_the_listener_decides_about_callers_without_a_credential() {
    let (world, recorder) = (World::new(), Recorder::default());
    let call = || request(&path("ListWorkspaces"));
    recorder.served(&world, OPEN, None, call()).await.unwrap();
    let nobody = Caller::User {
        auth: AuthMethod::None,
    };
    assert_eq!(recorder.only().caller, Some(nobody));
    let refused = recorder.served(&world, ENFORCED, None, call()).await;
    assert_eq!(refused, Err(Reason::MissingCredential));
    recorder.nothing_came();
}

#[tokio::test]
async fn refused_callers_never_reach_the_service() {
    let (world, recorder) = (World::new(), Recorder::default());
    let (own, other) = (LIVE.to_string(), OTHER.to_string());
    let cases = [
        (
            "GetWorkspace",
            JUNK,
            own.as_str(),
            Reason::InvalidCredential,
        ),
        ("GetWorkspace", RETIRED, &own, Reason::InvalidCredential),
        ("GetWorkspace", MANUAL, &other, Reason::InvalidCredential),
        ("GetWorkspace", MANUAL, "nope", Reason::InvalidCredential),
        ("GetWorkspace", MANUAL, "system:x", Reason::InvalidCallerId),
        ("ListWorkspaces", MANUAL, &own, Reason::InvalidCredential),
        ("IssueToken", MANUAL, &own, Reason::NotAllowed),
        ("SetViewport", MANUAL, &own, Reason::NotAllowed),
    ];
    for (method, token, claim, reason) in cases {
        let call = request(&path(method))
            .header("authorization", bearer(token))
            .header("x-workspace-id", claim);
        let got = recorder.served(&world, ENFORCED, None, call).await;
        assert_eq!(got, Err(reason), "{method} {token} {claim}");
    }
    world.store.set_down(true);
    world.watermark.credentials_changed();
    for mode in MODES {
        let call = request(&path("GetWorkspace")).header("authorization", bearer(MANUAL));
        let got = recorder.served(&world, mode, None, call).await;
        assert_eq!(got, Err(Reason::StoreUnavailable), "{mode:?}");
    }
    recorder.nothing_came();
}

#[tokio::test]
async fn a_method_without_a_row_does_not_exist() {
    let (world, recorder) = (World::new(), Recorder::default());
    let paths = [
        "/".to_owned(),
        format!("/{SERVICE}"),
        path(""),
        path("Nope"),
        path("getWorkspace"),
        path("GetWorkspace/"),
        "/other.v1.Service/GetWorkspace".to_owned(),
    ];
    for path in &paths {
        for mode in MODES {
            let call = request(path).header("authorization", bearer(ADMIN));
            let got = recorder.served(&world, mode, None, call).await;
            assert_eq!(got, Err(Reason::NotAvailable), "{path}");
            let call = with(request(path), &recorder::system());
            let got = recorder
                .served(&world, mode, recorder::verifier(), call)
                .await;
            assert_eq!(got, Err(Reason::NotAvailable), "{path}");
        }
    }
    recorder.nothing_came();
}

#[tokio::test]
async fn who_speaks_for_the_workspace_of_the_message_is_nobody_until_it_is_read() {
    let (world, recorder) = (World::new(), Recorder::default());
    let methods = [
        path("Register"),
        path("Heartbeat"),
        path("HeartbeatStream"),
        path("UpdateAgentCard"),
        path("GetState"),
        "/candor.provisioner.v1.ProvisionerService/GetSecretValues".to_owned(),
    ];
    for (method, mode) in methods
        .iter()
        .flat_map(|method| MODES.map(|mode| (method, mode)))
    {
        for token in [None, Some(MANUAL), Some(JUNK), Some(ADMIN)] {
            let mut call = request(method);
            if let Some(token) = token {
                call = call.header("authorization", bearer(token));
            }
            recorder.served(&world, mode, None, call).await.unwrap();
            let seen = recorder.only();
            assert_eq!(seen.caller, Some(Caller::Anonymous), "{method}");
            assert_eq!(seen.identity_headers(), 0);
            let inbound = seen.inbound.unwrap();
            assert_eq!(inbound.mode, mode);
            assert_eq!(inbound.presented, world::presented(token, None));
        }
    }
    assert_eq!(world.store.look_ups(), 0);
    let rows = policy::RPCS
        .iter()
        .filter(|row| row.who.speaks_for_subject());
    assert_eq!(rows.count(), methods.len());
    let speaks = EVERY.iter().filter(|who| who.speaks_for_subject());
    let wanted = [Who::Register, Who::Beat, Who::UpdateCard, Who::OwnWorkspace];
    assert_eq!(speaks.copied().collect::<Vec<_>>(), wanted);
}

#[tokio::test]
async fn what_was_presented_proves_the_caller_once_the_message_is_read() {
    let (world, recorder) = (World::new(), Recorder::default());
    let call = request(&path("Register")).header("authorization", bearer(MANUAL));
    recorder.served(&world, ENFORCED, None, call).await.unwrap();
    let inbound = recorder.only().inbound.unwrap();
    for (about, want) in [
        (LIVE, Is::Proven(LIVE)),
        (OTHER, Is::Invalid),
        (BARE, Is::Invalid),
    ] {
        let (mode, by) = (inbound.mode, &inbound.presented);
        let checked = inbound
            .authenticator
            .authenticate(mode, by, Who::Register, Some(about));
        assert_eq!(outcome(checked.await), want, "{about}");
    }
}

#[tokio::test]
async fn the_platforms_own_methods_take_no_credential_at_all() {
    let (world, recorder) = (World::new(), Recorder::default());
    let own = policy::RPCS
        .iter()
        .filter(|row| row.who == Who::PlatformOnly);
    for row in own {
        for mode in MODES {
            for token in [MANUAL, ADMIN, world::ORG] {
                let call = request(row.path).header("authorization", bearer(token));
                let got = recorder.served(&world, mode, None, call).await;
                assert_eq!(got, Err(Reason::NotAllowed), "{} {token}", row.path);
            }
        }
        recorder.nothing_came();
        let call = with(request(row.path), &recorder::system());
        recorder
            .served(&world, ENFORCED, recorder::verifier(), call)
            .await
            .unwrap();
        assert_eq!(recorder.only().caller, Some(recorder::gateway()));
    }
}

#[tokio::test]
async fn a_stale_caller_is_stale_behind_the_layer_too() {
    let (world, recorder) = (World::new(), Recorder::default());
    let call = request(&path("Heartbeat")).header("authorization", bearer(RETIRED));
    recorder.served(&world, ENFORCED, None, call).await.unwrap();
    let inbound = recorder.only().inbound.unwrap();
    let beat = inbound
        .authenticator
        .beat(inbound.mode, &inbound.presented, LIVE);
    match beat.await.unwrap() {
        BeatStanding::Caller(caller) => {
            assert_eq!(workspace(&caller), Is::Stale(LIVE))
        }
        other => panic!("{other:?}"),
    }
}
