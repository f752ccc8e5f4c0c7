//! kill -9 in the middle of a queue: what was acknowledged is delivered, in the order
//! of its acceptance, and every row says in the end what became of its message.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candor_testkit::a2a_agent::{A2aAgent, Behaviour, Gate, Pause};
use candor_testkit::a2a_workspace::{A2aWorkspace, message};
use candor_testkit::http::{Call, Client};
use candor_testkit::platform::{Binaries, DataDir};
use candor_testkit::postgres;
use candor_testkit::wait::wait_for;
use tokio::task::JoinSet;

/// Sent while the agent does something else: all of them wait in the queue.
const EARLY: usize = 100;
/// Sent while the queue is worked off and the platform is killed, one for each answer.
const LATE: usize = 100;
/// Answers after which the platform is killed, and whether the agent then holds a
/// message that was accepted before, or one whose sender waits.
const KILLS: [(usize, bool); 3] = [(30, true), (60, false), (90, true)];
/// How long the agent thinks about each message.
const THOUGHT: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_secs(60);

/// What its sender knows of a message.
#[derive(Debug)]
struct Sent {
    id: String,
    sends: usize,
    status: u16,
    began: Instant,
    acknowledged: Instant,
}

/// Sends a message until it is acknowledged, always under the same id.
async fn send(http: SocketAddr, call: Call, id: String) -> Sent {
    let began = Instant::now();
    let mut sends = 0;
    let status = wait_for("an acknowledgement", MINUTE, || {
        sends += 1;
        let call = call.clone();
        async move {
            let answer = Client::new(http).send(call).await.ok()?;
            [200, 202].contains(&answer.status).then_some(answer.status)
        }
    });
    let status = status.await.unwrap();
    Sent {
        id,
        sends,
        status,
        began,
        acknowledged: Instant::now(),
    }
}

/// A call that gives its agent five seconds, so that its intent is soon overdue.
fn call(workspace: &A2aWorkspace, id: &str) -> Call {
    workspace.call(&message(id)).header("x-timeout", "5")
}

/// One that is sent when the agent has answered so many.
async fn send_late(http: SocketAddr, workspace: Arc<A2aWorkspace>, n: usize) -> Sent {
    let answers = || async { (workspace.agent.counts().answered > n).then_some(()) };
    wait_for("the queue to be worked off", MINUTE, answers)
        .await
        .unwrap();
    let id = format!("late-{n}");
    send(http, call(&workspace, &id), id).await
}

/// One at a time, and each takes some time.
fn thoughtful() -> Behaviour {
    Behaviour::busy(Behaviour::slow(Pause::For(THOUGHT)))
}

/// Returns when the agent holds such a message, and answers it never.
async fn holds(agent: &A2aAgent, is_accepted: bool) {
    loop {
        let gate = Gate::closed();
        let pause = Pause::Until(gate.clone());
        agent.set(Behaviour::busy(Behaviour::slow(pause)));
        let held = wait_for("a message that is held", MINUTE, || async {
            agent.served().filter(|_| gate.is_waited_for())
        });
        let held = held.await.unwrap();
        if is_accepted == (held.header("x-candor-attempt") != Some("1")) {
            return;
        }
        gate.open();
    }
}

async fn all<T: 'static>(mut tasks: JoinSet<T>) -> Vec<T> {
    let mut done = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        done.push(ended.unwrap());
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_messages_survive_kills_in_their_order() {
    let data = DataDir::new().unwrap();
    let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
    let mut candor = binaries.up(&data, &[]).await.unwrap();
    let (http, url) = (candor.http(), candor.database_url());
    let mut client = Client::new(http);
    let workspace = A2aWorkspace::start(&mut client, "one at a time").await;
    let workspace = Arc::new(workspace.unwrap());
    let agent = &workspace.agent;
    let gate = Gate::closed();
    let pause = Pause::Until(gate.clone());
    agent.set(Behaviour::busy(Behaviour::slow(pause)));

    let first = tokio::spawn(send(http, call(&workspace, "first"), "first".to_owned()));
    agent.wait_for_requests(1).await.unwrap();
    let mut early = JoinSet::new();
    for n in 0..EARLY {
        let id = format!("early-{n}");
        early.spawn(send(http, call(&workspace, &id), id));
    }
    let mut sent = all(early).await;
    assert!(sent.iter().all(|one| one.status == 202), "{sent:?}");

    agent.set(thoughtful());
    let mut late = JoinSet::new();
    for n in 0..LATE {
        late.spawn(send_late(http, Arc::clone(&workspace), n));
    }
    gate.open();
    for (answers, is_accepted) in KILLS {
        agent
            .wait("answers", |counts| counts.answered >= answers)
            .await
            .unwrap();
        holds(agent, is_accepted).await;
        candor.process().kill9();
        agent.set(thoughtful());
        // As if the leases of the one that is gone had run out.
        let age = "UPDATE relay.entries SET lease_until = now() WHERE state = 'leased'";
        postgres::execute(&url, age).await.unwrap();
        let again = binaries.up_at(&http.to_string(), &data, &[]).await;
        candor = again.unwrap();
    }
    sent.push(first.await.unwrap());
    sent.extend(all(late).await);
    let url = candor.database_url();
    is_quiet(&url).await;

    let answered = agent.answered_ids();
    delivered_in_order(&sent, &answered);
    few_twice(&sent, &answered);
    every_row_is_final(&url, &sent).await;
}

/// Nothing waits, nothing is on its way, nothing is left to be told.
async fn is_quiet(url: &str) {
    let count = |what: &'static str, query: &'static str| {
        wait_for(what, MINUTE, move || async move {
            (postgres::count(url, query).await.unwrap() == 0).then_some(())
        })
    };
    let open = "SELECT count(*) FROM relay.entries WHERE settled_at IS NULL";
    count("an empty queue", open).await.unwrap();
    // As if their deadlines had passed long ago.
    let age = "UPDATE relay.intents SET deadline = deadline - interval '2 hours'";
    postgres::execute(url, age).await.unwrap();
    let untold = "SELECT (SELECT count(*) FROM relay.intents) +
                  (SELECT count(*) FROM relay.outbox)";
    count("everything to be told", untold).await.unwrap();
}

/// Every message was answered, and what was queued in the order of acceptance: who
/// was acknowledged before another was sent comes first.
fn delivered_in_order(sent: &[Sent], answered: &[String]) {
    let mut first = BTreeMap::new();
    for (n, id) in answered.iter().enumerate() {
        first.entry(id.as_str()).or_insert(n);
    }
    let lost: Vec<_> = sent
        .iter()
        .filter(|one| !first.contains_key(one.id.as_str()))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(first.len(), 1 + EARLY + LATE);
    let queued: Vec<&Sent> = sent
        .iter()
        .filter(|one| one.status == 202 && one.sends == 1)
        .collect();
    assert!(queued.len() > EARLY, "few were queued late");
    for one in &queued {
        for other in &queued {
            if one.acknowledged < other.began {
                let order = (first[one.id.as_str()], first[other.id.as_str()]);
                assert!(order.0 < order.1, "{one:?} {other:?} {order:?}");
            }
        }
    }
}

/// A message is answered twice only for a kill, which leaves one delivery without its
/// end, or because its sender sent it again.
fn few_twice(sent: &[Sent], answered: &[String]) {
    let twice = answered.len() - sent.len();
    let again: usize = sent.iter().map(|one| one.sends - 1).sum();
    println!("{twice} answers more than messages, {again} sent again");
    assert!(twice <= KILLS.len() + again, "{twice} {again}");
}

async fn every_row_is_final(url: &str, sent: &[Sent]) {
    let open = "SELECT count(*) FROM activity_logs WHERE phase <> 'final' OR status = 'queued'";
    assert_eq!(postgres::count(url, open).await.unwrap(), 0);
    let ids = "SELECT string_agg(DISTINCT request_text::jsonb #>> '{params,message,messageId}',
               ',') FROM activity_logs WHERE activity_type = 'a2a_receive'";
    let listed = postgres::text(url, ids).await.unwrap();
    let listed: BTreeSet<&str> = listed.split(',').collect();
    assert_eq!(listed, sent.iter().map(|one| one.id.as_str()).collect());
    // Nobody knows what became of the one that was on its way to its waiting sender.
    let unknown = "SELECT count(*) FROM activity_logs WHERE status = 'error'
                   AND error_detail LIKE 'outcome unknown%'";
    assert!(postgres::count(url, unknown).await.unwrap() >= 1);
    let undelivered = "SELECT count(*) FROM relay.entries e LEFT JOIN activity_logs a
                       ON a.id = e.activity_id
                       WHERE e.state <> 'delivered' OR a.status IS DISTINCT FROM 'ok'";
    assert_eq!(postgres::count(url, undelivered).await.unwrap(), 0);
}
