//! What is delivered again is done once: the same message, and no other one.
#![allow(clippy::unwrap_used)]

mod stage;

use candor_testkit::http::Call;
use candor_testkit::wait::wait_until;
use candor_workspace::vitals::Standing;
use serde_json::{Value, json};
use stage::{SOON, Stage, message_03, message_10, rpc};

fn again(method: &str, params: &Value) -> Call {
    rpc(method, params).header("x-candor-attempt", "2")
}

#[tokio::test]
async fn the_turn_that_runs_is_joined_and_the_one_that_is_over_is_read() {
    let stage = Stage::new().await;
    let params = json!({"message": message_03("hi")});
    let repeat = || again("message/send", &params);
    let first = stage.calls("message/send", params.clone());
    assert!(wait_until(SOON, || stage.vitals.active() == 1).await);
    // Its deliverer was killed; the next one joins the turn that runs.
    first.abort();
    let (joined, ()) = tokio::join!(stage.send(repeat()), stage.answers("one"));
    assert_eq!(joined.json()["result"]["parts"][0]["text"], "one");
    let (joined, later) = (joined.json(), stage.send(repeat()).await.json());
    for same in ["taskId", "parts"] {
        let (told, again) = (&joined["result"][same], &later["result"][same]);
        assert_eq!(told, again, "the next one reads the answer that is there");
    }
    // Who does not say that it is a repeat means another message.
    let (other, ()) = tokio::join!(
        stage.send(rpc("message/send", &params).header("x-candor-attempt", "1")),
        stage.answers("two")
    );
    assert_eq!(other.json()["result"]["parts"][0]["text"], "two");
    assert_eq!(stage.vitals.report().progress.begun, 2);
}

#[tokio::test]
async fn another_message_under_the_same_id_is_another_one() {
    let stage = Stage::new().await;
    stage.answers("for alice").await;
    let alice = json!({"message": message_10("alice question")});
    let told = stage.call("SendMessage", alice.clone()).await;
    assert_eq!(told["result"]["message"]["parts"][0]["text"], "for alice");
    let mut elsewhere = message_10("alice question");
    elsewhere["contextId"] = json!("another conversation");
    for (message, answer) in [
        (message_10("bob question"), "for bob"),
        (elsewhere, "elsewhere"),
    ] {
        stage.answers(answer).await;
        let params = json!({"message": message});
        let told = stage.send(again("SendMessage", &params)).await.json();
        assert_eq!(told["result"]["message"]["parts"][0]["text"], answer);
    }
    // And the same one is the same in whichever version and order it is written.
    let old = json!({"message": message_03("alice question")});
    let told = stage.send(again("message/send", &old)).await.json();
    assert_eq!(told["result"]["parts"][0]["text"], "for alice");
    assert_eq!(stage.vitals.report().progress.begun, 3);
}

#[tokio::test]
async fn the_task_is_told_at_once_where_it_is_enough() {
    let stage = Stage::new().await;
    let id = stage.begins("hi").await;
    for (method, message, configuration) in [
        (
            "SendMessage",
            message_10("hi"),
            json!({"returnImmediately": true}),
        ),
        ("message/send", message_03("hi"), json!({"blocking": false})),
    ] {
        let params = json!({"message": message, "configuration": configuration});
        let told = stage.send(again(method, &params)).await.json();
        let result = &told["result"];
        let task = result.get("task").unwrap_or(result);
        assert_eq!(task["id"], id.as_str(), "{told}");
    }
    assert_eq!(stage.vitals.report().progress.begun, 1);
}

#[tokio::test]
async fn after_an_attempt_that_was_refused_the_next_one_is_tried() {
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for number in 0..33 {
        ids.push(stage.begins(&format!("message {number}")).await);
    }
    let params = json!({"message": message_10("mine")});
    assert_eq!(stage.send(rpc("SendMessage", &params)).await.status, 503);
    for id in &ids {
        stage.call("CancelTask", json!({"id": id})).await;
    }
    stage.answers("yours").await;
    let told = stage.send(again("SendMessage", &params)).await.json();
    assert_eq!(told["result"]["message"]["parts"][0]["text"], "yours");
}

#[tokio::test]
async fn one_that_was_refused_while_it_waited_began_nothing() {
    let stage = Stage::new().await;
    stage.begins("first").await;
    let params = json!({"message": message_10("second")});
    let waiting = stage.calls("SendMessage", params.clone());
    assert!(wait_until(SOON, || stage.vitals.active() == 2).await);
    stage.vitals.stand(Standing::Superseded);
    stage.answers("one").await;
    assert_eq!(waiting.await.unwrap().status, 503);
    // It is not the end: whoever comes again is told to come again, or is let in.
    let answer = stage.send(again("SendMessage", &params)).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    stage.vitals.stand(Standing::Current);
    stage.answers("two").await;
    let told = stage.send(again("SendMessage", &params)).await.json();
    assert_eq!(told["result"]["message"]["parts"][0]["text"], "two");
}

#[tokio::test]
async fn half_an_answer_is_not_told_as_if_it_were_whole() {
    let stage = Stage::new().await;
    let params = json!({"message": message_10("hi")});
    let long = "x".repeat(1024 * 1024 + 7);
    stage.answers(&long).await;
    let told = stage.call("SendMessage", params.clone()).await;
    let message = &told["result"]["message"];
    assert_eq!(
        message["parts"][0]["text"].as_str().unwrap().len(),
        long.len()
    );
    let told = stage.send(again("SendMessage", &params)).await.json();
    let info = &told["error"]["data"][0];
    assert_eq!(info["reason"], "ANSWER_NOT_KEPT", "{}", told["error"]);
    assert_eq!(info["metadata"]["task_id"], message["taskId"]);
    let task = stage.task(message["taskId"].as_str().unwrap()).await;
    assert_eq!(task["metadata"]["cut"]["answer_bytes"], long.len());
    assert_eq!(
        stage.vitals.report().progress.begun,
        1,
        "and it is not done twice"
    );
}
