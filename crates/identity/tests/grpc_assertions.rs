//! Assertions between processes: what a client's layer sends, and what a server's
//! layer believes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod recorder;
mod world;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use candor_identity::assertion::METADATA;
use candor_identity::{ClientIdentityLayer, Keys, ListenerMode, Signer, Verifier};
use candor_kernel::{AuthMethod, AuthVersion, Caller, Epoch, Reason, WorkspaceCaller};
use chrono::{TimeDelta, Utc};
use http::{HeaderValue, Request};
use tonic::body::Body;
use tower::{Layer as _, ServiceExt as _};

use recorder::{
    KEY, Recorder, SERVICE, answer, gateway, keys, layer, path, request, system, verifier, with,
};
use world::{ADMIN, LIVE, MANUAL, MODES, World};

const ENFORCED: ListenerMode = ListenerMode::Enforced;
const OTHER_KEY: &str = "another key of these tests, 32 bytes too";

fn callers() -> Vec<Caller> {
    let methods = [AuthMethod::None, AuthMethod::Admin, AuthMethod::OrgToken];
    let mut callers: Vec<_> = methods.map(|auth| Caller::User { auth }).into();
    callers.extend([gateway(), Caller::Anonymous]);
    for (auth, epoch, stale) in [
        (AuthMethod::Claimed, None, false),
        (AuthMethod::Token, Some(Epoch(3)), true),
    ] {
        callers.push(Caller::Workspace(WorkspaceCaller {
            id: LIVE,
            auth,
            epoch,
            stale,
            auth_version: AuthVersion(7),
        }));
    }
    callers
}

fn client(audience: &'static str) -> ClientIdentityLayer {
    ClientIdentityLayer::new(Arc::new(Signer::new(keys(KEY))), audience)
}

fn call_of(caller: Option<Caller>) -> Request<Body> {
    let mut call = request(&path("AppendEvents")).body(Body::empty()).unwrap();
    if let Some(caller) = caller {
        call.extensions_mut().insert(caller);
    }
    call
}

#[tokio::test]
async fn a_signed_system_caller_is_believed_and_nothing_else_is_asked() {
    let (world, recorder) = (World::new(), Recorder::default());
    for mode in MODES {
        for padded in [STANDARD.encode(system()), STANDARD_NO_PAD.encode(system())] {
            let call = request(&path("AppendEvents"))
                .header(METADATA, padded)
                .header("authorization", format!("Bearer {MANUAL}"))
                .header("x-workspace-id", LIVE.to_string());
            recorder
                .served(&world, mode, verifier(), call)
                .await
                .unwrap();
            let seen = recorder.only();
            assert_eq!(seen.caller, Some(gateway()));
            assert_eq!(seen.identity_headers(), 0, "{:?}", seen.headers);
            assert!(seen.inbound.is_none(), "an assertion is not checked again");
        }
    }
    assert_eq!(world.store.look_ups(), 0);
}

#[tokio::test]
async fn an_assertion_is_refused_unless_it_is_ours_for_us_and_of_now() {
    let (world, recorder) = (World::new(), Recorder::default());
    let now = Utc::now();
    let signed = |key: &str, audience: &str, seconds: i64| {
        let then = now + TimeDelta::seconds(seconds);
        let assertion = Signer::new(keys(key)).sign(&gateway(), audience, then);
        STANDARD_NO_PAD.encode(assertion)
    };
    let cut = STANDARD_NO_PAD.encode(&system()[1..]);
    let cases = [
        (
            "of another audience",
            signed(KEY, "candor.relay.v1.RelayService", 0),
        ),
        ("of no audience", signed(KEY, "", 0)),
        ("expired", signed(KEY, SERVICE, -60)),
        ("of the future", signed(KEY, SERVICE, 60)),
        ("of a key nobody knows", signed(OTHER_KEY, SERVICE, 0)),
        ("no base64", "!!!".to_owned()),
        ("another alphabet", URL_SAFE_NO_PAD.encode([0xff; 80])),
        ("cut off", cut),
        ("junk", STANDARD.encode([1; 80])),
        ("short", STANDARD.encode([1; 3])),
        ("empty", String::new()),
    ];
    // A credential beside it does not help, nor does an open listener.
    for (what, value) in &cases {
        for mode in MODES {
            for method in [
                "AppendEvents",
                "Heartbeat",
                "GetWorkspace",
                "ListWorkspaces",
            ] {
                let call = request(&path(method))
                    .header(METADATA, value)
                    .header("authorization", format!("Bearer {ADMIN}"));
                let got = recorder.served(&world, mode, verifier(), call).await;
                assert_eq!(got, Err(Reason::InvalidCredential), "{what} {method}");
            }
        }
    }
    let value = HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    let call = request(&path("Heartbeat")).header(METADATA, value);
    let got = recorder.served(&world, ENFORCED, verifier(), call).await;
    assert_eq!(got, Err(Reason::InvalidCredential));
    recorder.nothing_came();
}

#[tokio::test]
async fn without_a_key_every_assertion_is_refused() {
    let (world, recorder) = (World::new(), Recorder::default());
    for mode in MODES {
        for method in ["AppendEvents", "Heartbeat", "GetWorkspace"] {
            let call = with(request(&path(method)), &system());
            let got = recorder.served(&world, mode, None, call).await;
            assert_eq!(got, Err(Reason::InvalidCredential), "{mode:?} {method}");
        }
    }
    recorder.nothing_came();
}

#[tokio::test]
async fn the_key_before_is_believed_while_keys_change() {
    let (world, recorder) = (World::new(), Recorder::default());
    let changing = Keys::new(OTHER_KEY, Some(KEY)).unwrap();
    let verifier = Some(Arc::new(Verifier::new(changing)));
    let call = with(request(&path("AppendEvents")), &system());
    recorder
        .served(&world, ENFORCED, verifier, call)
        .await
        .unwrap();
    assert_eq!(recorder.only().caller, Some(gateway()));
}

#[tokio::test]
async fn the_server_believes_what_the_client_signs() {
    let (world, recorder) = (World::new(), Recorder::default());
    for caller in callers() {
        let server = layer(&world, ENFORCED, verifier()).layer(recorder.clone());
        let Ok(response) = client(SERVICE)
            .layer(server)
            .oneshot(call_of(Some(caller.clone())))
            .await;
        assert_eq!(answer(&response), Ok(()));
        let seen = recorder.only();
        assert_eq!(seen.caller, Some(caller));
        assert_eq!(seen.identity_headers(), 0);
    }
}

#[tokio::test]
async fn what_the_client_signs_for_another_service_is_refused() {
    let (world, recorder) = (World::new(), Recorder::default());
    let server = layer(&world, ENFORCED, verifier()).layer(recorder.clone());
    let elsewhere = client("candor.relay.v1.RelayService").layer(server);
    let Ok(response) = elsewhere.oneshot(call_of(Some(gateway()))).await;
    assert_eq!(answer(&response), Err(Reason::InvalidCredential));
    recorder.nothing_came();
}

#[tokio::test]
async fn the_client_sends_the_assertion_only_and_marks_it_as_sensitive() {
    let recorder = Recorder::default();
    let sending = client(SERVICE).layer(recorder.clone());
    let Ok(_) = sending.oneshot(call_of(Some(gateway()))).await;
    let seen = recorder.only();
    assert_eq!(seen.identity_headers(), 1);
    let value = seen.headers.get(METADATA).unwrap();
    assert!(value.is_sensitive());
    let assertion = STANDARD_NO_PAD.decode(value).unwrap();
    let verifier = Verifier::new(keys(KEY));
    let sent = verifier.verify(&assertion, SERVICE, Utc::now());
    assert_eq!(sent, Ok(gateway()));
    assert_eq!(seen.caller, None, "the caller goes no other way");
}

#[tokio::test]
async fn the_client_sends_nothing_without_a_caller_and_the_server_refuses() {
    let (world, recorder) = (World::new(), Recorder::default());
    let sending = client(SERVICE).layer(recorder.clone());
    let Ok(_) = sending.oneshot(call_of(None)).await;
    assert_eq!(recorder.only().identity_headers(), 0);

    let server = layer(&world, ENFORCED, verifier()).layer(recorder.clone());
    let Ok(response) = client(SERVICE).layer(server).oneshot(call_of(None)).await;
    assert_eq!(answer(&response), Err(Reason::MissingCredential));
    recorder.nothing_came();
}
