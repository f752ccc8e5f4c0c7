//! Who said it, and what it cost: from the authenticated caller and the agent's own
//! words, once for each message.
#![allow(clippy::unwrap_used)]

use candor_testkit::a2a_agent::Behaviour;
use candor_testkit::a2a_workspace::{A2aWorkspace, message};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use serde_json::{Value, json};

async fn up() -> (DataDir, Platform, Client) {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let candor = binaries.up(&data, &[]).await.unwrap();
    let client = Client::new(candor.http());
    (data, candor, client)
}

/// Message ids of a workspace's rows, newest first.
async fn listed(client: &mut Client, workspace: &A2aWorkspace, source: &str) -> Vec<String> {
    let target = format!("/workspaces/{}/activity?source={source}", workspace.id());
    let rows = client.send(Call::get(target)).await.unwrap().json();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| {
        let id = &row["request_body"]["params"]["message"]["messageId"];
        id.as_str().unwrap().to_owned()
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_its_callers_and_the_canvas_shows_people_only() {
    let (_data, candor, mut client) = up().await;
    let url = candor.database_url();
    let workspace = A2aWorkspace::start(&mut client, "target").await.unwrap();
    let peer = A2aWorkspace::start(&mut client, "peer").await.unwrap();
    let calls = [
        workspace.call(&message("person")),
        workspace.call_by(&workspace, &message("itself")),
        workspace.call_by(&peer, &message("peer")),
        // A bearer says who calls, also without the header (D43).
        workspace.call(&message("bearer")).bearer(peer.token()),
    ];
    for call in calls {
        let answer = client.send(call).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // Who only says so is nobody (D1).
    let claimed = workspace
        .call(&message("claimed"))
        .header("x-workspace-id", workspace.id());
    assert_eq!(client.send(claimed).await.unwrap().status, 401);

    let rows = "SELECT string_agg(concat_ws(' ', request_text::jsonb #>>
                    '{params,message,messageId}', source_kind, auth,
                    CASE source_id WHEN workspace_id THEN 'itself' ELSE w.name END),
                    ', ' ORDER BY seq)
                FROM activity_logs a LEFT JOIN workspaces w ON w.id = a.source_id
                WHERE activity_type = 'a2a_receive'";
    let wanted = "person user none, itself workspace token itself, \
                  peer workspace token peer, bearer workspace token peer";
    postgres::becomes(&url, rows, wanted).await.unwrap();
    assert_eq!(listed(&mut client, &workspace, "canvas").await, ["person"]);
    let others = listed(&mut client, &workspace, "agent").await;
    assert_eq!(others, ["bearer", "peer", "itself"]);

    // Who was answered spoke; who answered did not.
    let spoke = "SELECT string_agg(name, ',') FROM workspaces
                 WHERE last_outbound_at IS NOT NULL AND name = 'peer'";
    postgres::becomes(&url, spoke, "peer").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_once_for_each_answer() {
    let (_data, candor, mut client) = up().await;
    let url = candor.database_url();
    let workspace = A2aWorkspace::start(&mut client, "traced").await.unwrap();
    workspace.agent.set(Behaviour::Traced);
    for n in 0..2 {
        workspace
            .send(&mut client, &format!("m-{n}"))
            .await
            .unwrap();
    }
    workspace.agent.set(Behaviour::Eof);
    let queued = workspace.send(&mut client, "queued").await.unwrap();
    assert_eq!(queued.status, 202);
    workspace.agent.set(Behaviour::Traced);
    let calls = "SELECT call_count::text FROM workspace_token_usage";
    postgres::becomes(&url, calls, "3").await.unwrap();
    let call = Call::get(format!("/workspaces/{}/metrics", workspace.id()));
    let used = client.send(call).await.unwrap().json();
    let tokens = [
        "input_tokens",
        "output_tokens",
        "total_calls",
        "estimated_cost_usd",
    ];
    let tokens: Vec<&Value> = tokens.iter().map(|name| &used[*name]).collect();
    assert_eq!(
        tokens,
        [&json!(3000), &json!(600), &json!(3), &json!("0.018000")]
    );
    let traces = "SELECT count(*)::text FROM activity_logs
                  WHERE tool_trace_text::jsonb = '[{\"tool\": \"grep\", \"input\": \"x\"}]'";
    postgres::becomes(&url, traces, "3").await.unwrap();
}
