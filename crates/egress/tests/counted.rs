//! Every dial is counted by what became of it, every refusal by its reason.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;

use agent::*;
use candor_egress::{AddressPolicy, Progress};
use metrics_exporter_prometheus::PrometheusBuilder;

async fn dials() {
    let egress = egress(AddressPolicy::Private, Names::telling(&[]));
    for url in [
        "http://169.254.169.254/",
        "http://127.0.0.1/",
        "ftp://localhost/",
        "http://agent.test/",
    ] {
        send(&egress, post(url, "{}")).await.unwrap_err();
    }
    egress.check("http://127.0.0.1/").await.unwrap_err();

    told("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    told("").await.unwrap_err();
    told("no").await.unwrap_err();

    let (listener, address) = listen().await;
    let url = format!("http://{address}/");
    let progress = Progress::new();
    let local = local();
    tokio::select! {
        _ = local.send(post(&url, "{}"), &progress) => panic!("nobody answers"),
        _ = async { read_request(&mut listener.accept().await.unwrap().0).await } => {}
    }
    drop(listener);
    send(&local, post(&url, "{}")).await.unwrap_err();
}

#[test]
fn dials_and_refusals_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(dials()));
    let page = page.render();
    for line in [
        r#"candor_egress_dials_total{outcome="address_refused"} 3"#,
        r#"candor_egress_dials_total{outcome="unresolvable"} 1"#,
        r#"candor_egress_dials_total{outcome="answered"} 1"#,
        r#"candor_egress_dials_total{outcome="closed_after_write"} 1"#,
        r#"candor_egress_dials_total{outcome="bad_response"} 1"#,
        r#"candor_egress_dials_total{outcome="abandoned"} 1"#,
        r#"candor_egress_dials_total{outcome="connect_refused"} 1"#,
        r#"candor_egress_refused_total{reason="link_local"} 1"#,
        r#"candor_egress_refused_total{reason="loopback"} 2"#,
        r#"candor_egress_refused_total{reason="scheme"} 1"#,
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
    }
}
