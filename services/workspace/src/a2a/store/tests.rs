#![allow(clippy::unwrap_used)]
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::TryRecvError;

use super::*;
use crate::a2a::wire::Status;

fn task(id: &str, context: &str) -> Task {
    Task {
        id: id.to_owned(),
        context_id: context.to_owned(),
        status: Status::now(State::Submitted, None),
        artifacts: Vec::new(),
        history: vec![json!({"messageId": "m"})],
        metadata: Map::new(),
    }
}

fn begin(store: &Store, id: &str) -> Followed {
    store.begin(task(id, "c"), CancellationToken::new(), [0; 32])
}

fn answer(text: &str) -> Answer {
    Answer {
        text: text.to_owned(),
        ..Answer::default()
    }
}

fn store(tasks: usize, bytes: usize, behind: usize) -> Store {
    let limits = Limits {
        tasks,
        bytes,
        behind,
    };
    Store::new(limits, Scales::new(usize::MAX))
}

fn ids(store: &Store) -> Vec<String> {
    let page = store.page(&Filter::read("{}").unwrap());
    page.tasks.into_iter().map(|task| task.id).collect()
}

/// (text, append, lastChunk) of artifact updates, the state of others.
fn seen(followed: &mut Followed) -> Vec<Value> {
    let mut seen = Vec::new();
    while let Ok(event) = followed.events.try_recv() {
        let json: Value = serde_json::from_str(&event.told.unwrap().json).unwrap();
        let artifact = &json["artifactUpdate"];
        seen.push(match artifact.is_object() {
            true => json!([
                artifact["artifact"]["parts"][0]["text"],
                artifact["append"],
                artifact["lastChunk"]
            ]),
            false => json["statusUpdate"]["status"]["state"].clone(),
        });
    }
    seen
}

#[test]
fn the_oldest_ended_task_is_dropped_and_none_that_runs() {
    let store = store(3, usize::MAX, 16);
    for id in ["a", "b", "c"] {
        begin(&store, id);
    }
    store.completed("b", &answer("x"));
    store.completed("a", &answer("x"));
    begin(&store, "d");
    assert_eq!(ids(&store), ["d", "a", "c"], "b ended first");
    begin(&store, "e");
    begin(&store, "f");
    assert_eq!(ids(&store), ["f", "e", "d", "c"], "all of them run");
    store.ended("c", State::Canceled, None);
    assert_eq!(
        ids(&store),
        ["f", "e", "d"],
        "too many, and now one has ended"
    );
}

#[test]
fn bytes_are_bounded_too() {
    let store = store(100, 3 * 1024 * 1024, 16);
    for id in ["a", "b", "c", "d"] {
        begin(&store, id);
        store.completed(id, &answer(&"x".repeat(2 * 1024 * 1024)));
    }
    assert_eq!(ids(&store), ["d", "c"], "each is kept up to a MiB");
    let kept = store.get("d").unwrap();
    assert_eq!(kept.artifacts[0].parts[0].text.len(), 1024 * 1024);
    assert!(store.inner.lock().bytes <= 3 * 1024 * 1024);
}

#[test]
fn an_answer_comes_in_chunks_and_the_last_is_what_was_not_told() {
    let store = store(3, usize::MAX, 16);
    let mut followed = begin(&store, "a");
    store.working("a", None);
    store.told("a", "one ".to_owned());
    store.told("a", String::new());
    store.told("a", "two".to_owned());
    assert_eq!(
        store.get("a").unwrap().artifacts[0].parts[0].text,
        "one two"
    );
    store.completed("a", &answer("one two three"));
    assert_eq!(
        json!(seen(&mut followed)),
        json!([
            "TASK_STATE_WORKING",
            ["one ", false, false],
            ["two", true, false],
            [" three", true, true],
            "TASK_STATE_COMPLETED"
        ])
    );
    assert!(matches!(
        followed.events.try_recv(),
        Err(TryRecvError::Closed)
    ));
    assert_eq!(
        store.get("a").unwrap().artifacts[0].parts[0].text,
        "one two three"
    );
}

#[test]
fn another_answer_than_was_told_replaces_it_and_one_at_once_is_whole() {
    let store = store(3, usize::MAX, 16);
    let mut followed = begin(&store, "a");
    store.told("a", "one".to_owned());
    store.completed("a", &answer("two"));
    let expected = json!([
        ["one", false, false],
        ["two", false, true],
        "TASK_STATE_COMPLETED"
    ]);
    assert_eq!(json!(seen(&mut followed)), expected);
    let mut followed = begin(&store, "b");
    store.completed("b", &answer("two"));
    let expected = json!([["two", false, true], "TASK_STATE_COMPLETED"]);
    assert_eq!(json!(seen(&mut followed)), expected);
    store.ended("b", State::Failed, Some("late"));
    assert_eq!(
        store.get("b").unwrap().status.state,
        State::Completed,
        "it has ended"
    );
}

#[test]
fn what_is_told_beyond_what_is_kept_comes_with_the_last_chunk() {
    let store = store(3, usize::MAX, 16);
    let mut followed = begin(&store, "a");
    let most = "x".repeat(1024 * 1024);
    store.told("a", most.clone());
    store.told("a", "more".to_owned());
    store.completed("a", &answer(&format!("{most}more")));
    let seen = seen(&mut followed);
    assert_eq!(seen[1], json!(["more", true, true]));
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_follower_that_is_too_far_behind_is_told_so() {
    let store = store(3, usize::MAX, 4);
    let mut followed = begin(&store, "a");
    for _ in 0..10 {
        store.working("a", Some("busy".to_owned()));
    }
    assert!(matches!(
        followed.events.try_recv(),
        Err(TryRecvError::Lagged(6))
    ));
}

#[test]
fn pages_follow_each_other_whatever_begins_meanwhile() {
    let store = store(100, usize::MAX, 4);
    for number in 0..5 {
        begin(&store, &number.to_string());
    }
    store.begin(task("other", "d"), CancellationToken::new(), [0; 32]);
    let read = |params: Value| store.page(&Filter::read(&params.to_string()).unwrap());
    let of = |page: &Page| -> Vec<String> { page.tasks.iter().map(|t| t.id.clone()).collect() };
    let first = read(json!({"contextId": "c", "pageSize": 2}));
    assert_eq!(
        (of(&first), first.total_size, first.page_size),
        (vec!["4".into(), "3".into()], 5, 2)
    );
    begin(&store, "new");
    let token = first.next_page_token;
    let second = read(json!({"contextId": "c", "pageSize": 3, "pageToken": token}));
    assert_eq!(of(&second), ["2", "1", "0"]);
    assert_eq!(second.next_page_token, "");
    store.completed("1", &answer("done"));
    let done = read(json!({"status": "TASK_STATE_COMPLETED"}));
    assert_eq!(of(&done), ["1"]);
    assert!(done.tasks[0].artifacts.is_empty());
    let whole = read(
        json!({"status": "TASK_STATE_COMPLETED", "includeArtifacts": true, "historyLength": 0}),
    );
    assert_eq!(whole.tasks[0].artifacts[0].parts[0].text, "done");
    assert!(whole.tasks[0].history.is_empty());
    let after = "2999-01-01T00:00:00Z";
    assert_eq!(read(json!({"statusTimestampAfter": after})).total_size, 0);
}

#[test]
fn params_of_a_list_that_make_no_sense_are_refused() {
    for wrong in [
        json!({"pageSize": 0}),
        json!({"pageSize": 101}),
        json!({"pageSize": -1}),
        json!({"pageToken": "x"}),
        json!({"status": "done"}),
        json!({"status": 3}),
        json!({"historyLength": -1}),
        json!({"statusTimestampAfter": "yesterday"}),
    ] {
        assert!(Filter::read(&wrong.to_string()).is_err(), "{wrong}");
    }
}
