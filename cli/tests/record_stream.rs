//! Rows on one stream: each answered when it is durable, a refused one harms no
//! other, a repeated one is the same row.
#![allow(clippy::unwrap_used)]

use candor_proto::activity::v1 as pb;
use candor_proto::activity::v1::activity_log_service_client::ActivityLogServiceClient;
use candor_testkit::agent::{FakeAgent, with_bearer};
use candor_testkit::http::Client;
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres;

fn row(workspace: &str, n: u64) -> pb::RecordRequest {
    pb::RecordRequest {
        id: format!("01a20000-0000-7000-8000-{n:012x}"),
        workspace_id: workspace.to_owned(),
        activity_type: "agent_log".to_owned(),
        summary: Some(n.to_string()),
        ..pb::RecordRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_answered_and_refused_ones_harm_nobody() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let mine = FakeAgent::enrolled(&mut client, "mine").await.unwrap();
    let other = FakeAgent::enrolled(&mut client, "other").await.unwrap();

    let mut messages: Vec<pb::RecordStreamRequest> = (0..20)
        .map(|message| pb::RecordStreamRequest {
            rows: (0..100).map(|n| row(&mine.id, message * 100 + n)).collect(),
        })
        .collect();
    let conflicting = pb::RecordRequest {
        summary: Some("another".to_owned()),
        ..row(&mine.id, 5)
    };
    let nul = pb::RecordRequest {
        summary: Some("\0".to_owned()),
        ..row(&mine.id, 3_000)
    };
    messages.push(pb::RecordStreamRequest {
        rows: vec![
            row(&mine.id, 7),
            conflicting,
            nul,
            row(&other.id, 3_001),
            row(&mine.id, 3_002),
            row(&mine.id, 3_002),
        ],
    });
    let mut rows = ActivityLogServiceClient::new(candor.channel().await.unwrap());
    let request = with_bearer(futures::stream::iter(messages), &mine.token).unwrap();
    let mut answers = rows.record_stream(request).await.unwrap().into_inner();
    let mut results = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        results.extend(answer.results);
    }
    assert_eq!(results.len(), 2_006);
    let stored = results.iter().take(2_000);
    assert!(stored.clone().all(|result| result.error_reason.is_empty()));
    let ids: Vec<_> = stored.map(|result| result.id.clone()).collect();
    let sent: Vec<_> = (0..2_000).map(|n| row(&mine.id, n).id).collect();
    assert_eq!(ids, sent, "answered in their order");
    let reasons: Vec<_> = results[2_000..]
        .iter()
        .map(|result| result.error_reason.as_str())
        .collect();
    let refused = [
        "",
        "ACTIVITY_CONFLICT",
        "INVALID_FIELD",
        "INVALID_CREDENTIAL",
        "",
        "",
    ];
    assert_eq!(reasons, refused);

    let count = "SELECT count(*) FROM activity_logs";
    let stored = postgres::count(&candor.database_url(), count)
        .await
        .unwrap();
    assert_eq!(stored, 2_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_postgres_refuses_harms_no_neighbour() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let mut client = Client::new(candor.http());
    let mine = FakeAgent::enrolled(&mut client, "mine").await.unwrap();
    let url = candor.database_url();
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON activity_logs FOR EACH ROW
            WHEN (NEW.summary IN ('13', '77')) EXECUTE FUNCTION refuse()";
    postgres::execute(&url, refuse).await.unwrap();

    let message = pb::RecordStreamRequest {
        rows: (0..100).map(|n| row(&mine.id, n)).collect(),
    };
    let mut rows = ActivityLogServiceClient::new(candor.channel().await.unwrap());
    let request = with_bearer(futures::stream::iter([message]), &mine.token).unwrap();
    let mut answers = rows.record_stream(request).await.unwrap().into_inner();
    let results = answers.message().await.unwrap().unwrap().results;
    let refused: Vec<_> = results
        .iter()
        .enumerate()
        .filter(|(_, result)| !result.error_reason.is_empty())
        .map(|(n, result)| (n, result.error_reason.as_str()))
        .collect();
    assert_eq!(refused, [(13, "INTERNAL"), (77, "INTERNAL")]);
    let stored = postgres::count(&url, "SELECT count(*) FROM activity_logs").await;
    assert_eq!(stored.unwrap(), 98);
}
